-- report_lookup_page: take a page of a look-up, and judge the look-up after the last one.
--
-- Called by: worker. The pages of a query come in order, the queries in any.
-- Safe to repeat: a page that was taken before changes nothing, nor does the last one.
-- Locks: the transfer's progress row.
-- Raises: SP340 unknown look-up or query, a page out of order or malformed; SP341 another query
-- than was given out under these numbers (refuse_other_query).

create or replace function payout_api.report_lookup_page(
    p_lookup_id bigint,
    p_query_number integer,
    p_query jsonb,
    p_starting_after text,
    p_transfers jsonb,
    p_has_more boolean
)
returns table (is_complete boolean, verdict text, state text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    v_lookup payout.transfer_lookups;
    v_state payout.transfer_states;
begin
    select * into v_lookup
    from payout.transfer_lookups as l
    where l.lookup_id = p_lookup_id;
    if not found then
        perform payout.refuse_lookup_page(p_lookup_id, 'there is no such look-up');
    end if;
    select * into strict v_state
    from payout.transfer_states as s
    where s.payout_transfer_id = v_lookup.payout_transfer_id
    for update;

    perform payout.add_lookup_page(
        v_lookup, p_query_number, p_query, p_starting_after, p_transfers, p_has_more);

    if (
        select count(*)
        from payout.transfer_lookup_pages as p
        where p.lookup_id = p_lookup_id and not p.has_more
    ) < jsonb_array_length(v_lookup.queries) then
        return query select false, null::text, v_state.state::text;
    else
        return query
        select true, j.verdict, j.state from payout.finish_lookup(v_lookup, v_state) as j;
    end if;
end
$$;
comment on function payout_api.report_lookup_page(bigint, integer, jsonb, text, jsonb, boolean) is
    'Takes a page of a query of a look-up, as Stripe sent it; once all are there, returns the '
    'verdict (ok, already, stale or alarm) and the state of the transfer.';
revoke execute on function payout_api.report_lookup_page(
    bigint, integer, jsonb, text, jsonb, boolean
) from public;
grant execute on function payout_api.report_lookup_page(
    bigint, integer, jsonb, text, jsonb, boolean
) to payout_worker;
