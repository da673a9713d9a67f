-- mark_held_transfers: take due transfers that are on hold out of the index of due transfers.
--
-- A claim steps over each transfer on hold that is due; marked ones it does not meet, however
-- many there are and however long they are on hold. The mark only spares that work: a claim asks
-- for holds itself. It is set under a lock on the hold, and the hold's release clears it.
-- Only scopes that have an open hold are looked at, nearly always few; each subject by index: hence
-- the offset.
-- Locks: open holds, shared, and the transfers' progress rows, skipping those that are locked.

create or replace function payout.mark_held_transfers(p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_scopes text[] := array(
        select s.scope
        from unnest('{currency,payee,settlement,transfer}'::text[]) as s (scope)
        where exists (
            select from payout.holds as h where h.scope = s.scope and h.released_at is null
        ));
    v_marked integer;
begin
    for v_round in 1 .. 10 loop
        exit when v_scopes = '{}';
        with due as materialized (
            select s.payout_transfer_id, s.window_begins_at,
                s.payout_transfer_id in (select payout.let_through_ids()) as is_let_through
            from payout.transfer_states as s
            where s.next_attempt_at <= p_now
                and s.hold_id is null
                and s.state in ('scheduled', 'retry_wait', 'unknown')
            order by s.next_attempt_at
            limit 500
        ), held as materialized (
            select t.payout_transfer_id, h.hold_id
            from due as d
            join payout.payout_transfers as t on t.payout_transfer_id = d.payout_transfer_id
            cross join lateral (values
                ('currency', t.currency::text), ('payee', t.payee_id::text),
                ('settlement', t.settlement_id::text), ('transfer', t.payout_transfer_id::text)
            ) as x (scope, subject)
            cross join lateral (
                select h.hold_id
                from payout.holds as h
                where h.released_at is null and (h.scope, h.subject) = (x.scope, x.subject)
                    and (h.awaits is null or (
                        d.window_begins_at is null
                        and (h.awaits in ('cap', 'account_change') or not d.is_let_through)
                        and (h.awaits <> 'funds' or t.source_transaction is null)))
                offset 0
            ) as h
            where x.scope = any (v_scopes)
        ), kept as materialized (
            select h.hold_id from payout.holds as h
            where h.hold_id in (select d.hold_id from held as d) and h.released_at is null
            for share skip locked
        ), free as materialized (
            select s.payout_transfer_id from payout.transfer_states as s
            where s.payout_transfer_id in (select d.payout_transfer_id from held as d)
                and s.state in ('scheduled', 'retry_wait', 'unknown')
                and payout.progress_problem(s) is null
            for update skip locked
        )
        update payout.transfer_states as s
        set hold_id = d.hold_id
        from held as d
        join kept as k on k.hold_id = d.hold_id
        join free as f on f.payout_transfer_id = d.payout_transfer_id
        where s.payout_transfer_id = d.payout_transfer_id;
        get diagnostics v_marked = row_count;
        exit when v_marked < 250;
    end loop;
end
$$;
comment on function payout.mark_held_transfers(timestamptz) is
    'Sets transfer_states.hold_id of up to 5,000 transfers on hold that are due first.';
