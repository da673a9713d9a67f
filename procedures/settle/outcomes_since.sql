-- outcomes_since: the changes of status and the reversals that came after a cursor, in order.
--
-- Called by: the application, which keeps the last outcome_id that it has handled.
-- Nothing is passed by, whatever commits late: a transaction that wrote outcomes and is not over
-- holds a lock that tells the id above which it wrote (tg_outcomes__announce). The last id drawn is
-- read before the locks, and the rows after them. Each read asks for one notification.
-- Raises: SP315 a limit or cursor that cannot be one; SP401 a standby, or not read committed.

create or replace function payout_api.outcomes_since(
    p_after bigint default 0, p_limit integer default 100
)
returns table (
    outcome_id bigint,
    settlement_id text,
    payee_id text,
    source_transaction text,
    amount_minor bigint,
    currency text,
    status text,
    reason text,
    stripe_transfer_id text,
    changed_at timestamptz,
    reversed_minor bigint
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_drawn bigint;
    v_settled bigint;
begin
    if pg_is_in_recovery() or current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'no outcomes are read %', case
            when pg_is_in_recovery() then 'from a standby'
            else 'in a transaction that is ' || current_setting('transaction_isolation') end
            using
                errcode = 'SP401',
                hint = 'Only a new snapshot of the primary shows that nothing is missing: begin '
                    'isolation level read committed';
    end if;
    if current_setting('transaction_read_only') = 'off'
        and pg_sequence_last_value('payout.awaited_outcomes'::regclass) is null then
        perform setval('payout.awaited_outcomes', 1);
    end if;

    v_drawn := coalesce(pg_sequence_last_value('payout.outcomes_outcome_id_seq'::regclass), 0);
    if coalesce(p_limit, 0) not between 1 and 10000 or p_after is null or p_after > v_drawn then
        raise exception 'cannot read % outcomes after %', coalesce(p_limit::text, 'null'),
            coalesce(p_after::text, 'null')
            using
                errcode = 'SP315',
                detail = format('The last outcome has number %s at most.', v_drawn),
                hint = 'Ask for 1 to 10000. A cursor from the future means that the database went '
                    'back in time: read again from an earlier one.';
    end if;

    -- A writer has a lock on the table, too, which no stranger can take.
    v_settled := least(v_drawn, (
        select min(w.key) + 9000000000000000000
        from (
            select min(l.classid::bigint << 32 | l.objid::bigint)
                filter (where l.locktype = 'advisory' and l.objsubid = 1) as key
            from pg_locks as l
            where l.database = (
                    select d.oid from pg_database as d where d.datname = current_database())
                and l.pid is distinct from pg_backend_pid()
            group by l.virtualtransaction
            having bool_or(l.relation = 'payout.outcomes'::regclass
                and l.mode = 'RowExclusiveLock')
        ) as w
        where w.key < -8000000000000000000));
    return query
    select o.outcome_id, t.settlement_id::text, t.payee_id::text, t.source_transaction,
        t.amount_minor, t.currency::text, o.status::text,
        coalesce(o.reason, 'waits_for_' || h.awaits, h.scope || '_on_hold'),
        o.stripe_transfer_id, o.changed_at, o.reversed_minor
    from payout.outcomes as o
    join payout.payout_transfers as t on t.payout_transfer_id = o.payout_transfer_id
    left join payout.holds as h on h.hold_id = o.hold_id
    where o.outcome_id > p_after and o.outcome_id <= v_settled
    order by o.outcome_id
    limit p_limit;
end
$$;
comment on function payout_api.outcomes_since(bigint, integer) is
    'Up to p_limit changes of status, and reversals, with an outcome_id above p_after, in order. '
    'Store the last outcome_id and read on from there: nothing is skipped, nothing comes twice.';
grant execute on function payout_api.outcomes_since(bigint, integer) to payout_app;
