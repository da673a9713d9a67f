-- wakeups: the two numbers that spare a settlement a look at the queue.
--
-- They are sequences, because they are read and set outside of transactions. Not called means
-- null.

create sequence payout.waiting_wakeup;
comment on sequence payout.waiting_wakeup is
    'The wake-up job that was queued last, if no claim was made since; not called: none.';

create sequence payout.seen_wakeup minvalue 0 start 1;
comment on sequence payout.seen_wakeup is
    'The wake-up job that was seen to wait for a worker; not called: look for it in the queue; 0: '
    'the queue failed, so that only the next sweep touches it.';
