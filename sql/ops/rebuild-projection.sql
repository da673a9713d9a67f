-- rebuild-projection: make payout.transfer_states again out of the facts.
--
-- psql "$DATABASE_URL" --single-transaction -v ON_ERROR_STOP=1 -f sql/ops/rebuild-projection.sql
--
-- For a superuser, with the workers stopped; a session that comes meanwhile waits for it. The
-- differences that payout_api.verify_projection() shows are gone afterwards, except for money:
-- those say that the books and the facts disagree, and an operator must look. Wake-up jobs are
-- forgotten and the sweep queues them again; a date that was moved by hand is the one that was
-- decided first.

lock table payout.transfer_states in access exclusive mode;

alter table payout.transfer_states disable trigger _500_refuse_delete;

delete from payout.transfer_states;

-- A copy may be under way already; the rules of the row hold for it as well.
set local session_replication_role = replica;

-- The facts of all transfers are joined: by hashes, not one by one.
set local jit = off;
set local enable_nestloop = off;

insert into payout.transfer_states (
    payout_transfer_id, state, generation, attempt, lease_until, next_attempt_at,
    stripe_transfer_id, window_begins_at, tries, has_unknown_send, reason, next_lookup_at)
select
    f.payout_transfer_id, f.state, f.generation, f.attempt, f.lease_until, f.next_attempt_at,
    f.stripe_transfer_id, f.window_begins_at, f.tries, f.has_unknown_send, f.reason,
    case when f.state = 'parked' or (f.state = 'failed' and f.next_attempt_at is not null)
        then payout.clock() end
from payout.fold_facts() as f;

insert into payout.account_waits (payout_transfer_id, payee_id)
select s.payout_transfer_id, t.payee_id
from payout.transfer_states as s
join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
where s.reason = 'awaiting_account'
on conflict do nothing;

set local session_replication_role = origin;

alter table payout.transfer_states enable always trigger _500_refuse_delete;

-- The application is told where a transfer stands now, if it was told otherwise.
insert into payout.outcomes (
    payout_transfer_id, status, reason, hold_id, stripe_transfer_id, reversed_minor)
select u.payout_transfer_id, u.status, u.reason, u.hold_id, u.stripe_transfer_id, u.reversed_minor
from payout.untold_outcomes() as u
where u.status is not null
order by u.payout_transfer_id;

insert into payout.operator_actions (action, subject, reason)
values ('rebuild', 'payout.transfer_states', 'made again out of the facts');
