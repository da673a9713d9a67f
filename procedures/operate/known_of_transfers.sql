-- known_of_transfers: the sends and alarms that a person who acts on transfers can have seen.
--
-- Called by: propose, and do_proposed, which refuses a proposal that is about earlier ones.

create or replace function payout.known_of_transfers(p_payout_transfer_ids bigint[])
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_payout_transfer_ids = '{}' then '{}'
        else jsonb_build_object(
            'attempts', (
                select jsonb_agg(s.attempt order by s.payout_transfer_id)
                from payout.transfer_states as s
                where s.payout_transfer_id = any (p_payout_transfer_ids)),
            'newest_discrepancy_id', (
                select max(d.discrepancy_id)
                from payout.discrepancies as d
                where d.payout_transfer_id = any (p_payout_transfer_ids)))
    end
$$;
comment on function payout.known_of_transfers(bigint[]) is
    'The attempts of the transfers, in the order of their numbers, and the id of their newest '
    'discrepancy, as an object; an empty one for none.';
revoke execute on function payout.known_of_transfers(bigint[]) from public;
