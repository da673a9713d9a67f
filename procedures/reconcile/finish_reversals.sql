-- finish_reversals: book the reversals of a transfer, so that the payee is owed their amount again.
--
-- The transfer stays paid; operators decide whether to pay again, with another settlement. Each
-- reversal is booked once. Stripe's list may lag: one that is short of the known amount is read
-- again later. So are reversals that contradict the transfer, or cannot be read, each day: an
-- operator is told, and the page may have been a broken one.
-- Locks: the transfer's row of reversed_transfers.

create or replace function payout.finish_reversals(p_read payout.stripe_reads)
returns payout.stripe_reads
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read payout.stripe_reads := p_read;
    v_transfer payout.payout_transfers;
    v_reversals jsonb := (
        select coalesce(jsonb_agg(r.reversal order by p.page_number, r.position), '[]')
        from payout.stripe_read_pages as p
        cross join jsonb_array_elements(p.kept) with ordinality as r (reversal, position)
        where p.read_id = p_read.read_id);
    v_problem text;
    v_booked_minor bigint;
begin
    perform
    from payout.reversed_transfers as r
    where r.stripe_transfer_id = p_read.stripe_transfer_id
    for update;
    select t.* into strict v_transfer
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    where s.stripe_transfer_id = p_read.stripe_transfer_id;

    v_problem := payout.reversals_problem(v_transfer, v_reversals);
    if v_problem is null then
        v_read.objects_found := payout.book_reversals(v_transfer, v_reversals)::bigint;
        v_problem := case when p_read.objects_seen > jsonb_array_length(v_reversals)
            then 'some cannot be read' end;
    else
        perform payout.record_discrepancies(array[row(
            'reversals_contradict_transfer', v_transfer.payout_transfer_id,
            p_read.stripe_transfer_id,
            payout.transfer_facts(
                v_transfer, (select e.is_livemode from payout.engine_settings as e)),
            jsonb_build_object('problem', v_problem, 'reversals', v_reversals), null
        )::payout.discrepancy], p_read.read_id);
    end if;

    v_booked_minor := (
        select coalesce(sum(e.amount_minor), 0)::bigint
        from payout.ledger_entries as e
        where e.payout_transfer_id = v_transfer.payout_transfer_id and e.kind = 'reversal');
    update payout.reversed_transfers as r
    set next_lookup_at = case
            when v_problem is null and v_booked_minor < r.amount_reversed_minor
                then payout.clock() + interval '10 minutes'
            -- More was reversed since it was handed out: note_reversals asked for another read.
            when r.next_lookup_at <= payout.clock() then r.next_lookup_at
            when v_booked_minor < r.amount_reversed_minor
                then payout.clock() + interval '1 day'
        end,
        amount_reversed_minor = greatest(r.amount_reversed_minor, v_booked_minor)
    where r.stripe_transfer_id = p_read.stripe_transfer_id;
    v_read.result := concat_ws(', ', format('reversals of %s: %s booked',
        p_read.stripe_transfer_id, v_read.objects_found), v_problem);
    v_read.is_alarm := v_problem is not null;
    return v_read;
end
$$;
comment on function payout.finish_reversals(payout.stripe_reads) is
    'Returns the read with its result and the number of reversals booked now.';
