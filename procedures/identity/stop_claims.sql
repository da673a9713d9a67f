-- stop_claims: stop claims for a reason that Stripe showed, until an operator adopts the database.
--
-- A database that hands out nothing anyway is left as it is: a row more would devalue the
-- comparison with which its operator is about to adopt it.
-- Safe to repeat: while claims are stopped nothing is recorded.
-- Locks: the row of settings, as adopt_database does.

create or replace function payout.stop_claims(p_alarm text, p_reason text, p_read_id bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from payout.engine_settings for update;
    if payout.identity_problem() is not null then
        return;
    end if;
    insert into payout.adoptions (read_id, reason) values (p_read_id, p_reason);
    insert into payout.operator_actions (action, subject, reason, details)
    values ('stop_claims', p_alarm, p_reason, jsonb_build_object('read_id', p_read_id));
    perform payout.notify_operators(
        p_alarm, p_reason, jsonb_build_object('read_id', p_read_id));
end
$$;
comment on function payout.stop_claims(text, text, bigint) is
    'Records that the database is not adopted, for a reason that a read has shown, and notifies '
    'operators.';
