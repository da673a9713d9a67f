-- known_of: the sends, alarms and stops that a person who proposes an act can have seen.
--
-- Called by: propose and release_hold; do_proposed, which refuses a proposal from before others
-- came. Discrepancies are never deleted: their number shows each new one; so does that of
-- write-offs and repayments, where one is proposed. A proposal from before claims were stopped for
-- another reason adopts no database.

create or replace function payout.known_of(p_verb text, p_payout_transfer_ids bigint[])
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_payout_transfer_ids <> '{}' then jsonb_build_object(
            'payout_transfer_ids', to_jsonb(p_payout_transfer_ids),
            'attempts', (
                select jsonb_agg(s.attempt order by s.payout_transfer_id)
                from payout.transfer_states as s
                where s.payout_transfer_id = any (p_payout_transfer_ids)),
            'discrepancies', (
                select count(*)
                from payout.discrepancies as d
                where d.payout_transfer_id = any (p_payout_transfer_ids)))
            || case when p_verb in ('write_off', 'repay') then jsonb_build_object(
                'closings', (
                    select count(l.ledger_entry_id)
                    from payout.ledger_entries as l
                    where l.payout_transfer_id = any (p_payout_transfer_ids)
                        and l.kind = 'write_off')) else '{}' end
        when p_verb = 'adopt_database' and payout.identity_problem() is not null
            then jsonb_build_object(
                'problem', payout.identity_problem(),
                'newest_adoption_id', (select max(a.adoption_id) from payout.adoptions as a))
        else '{}'
    end
$$;
comment on function payout.known_of(text, bigint[]) is
    'Of transfers their numbers, their attempts in that order, and how many discrepancies they '
    'have; of the database the reason for which claims are stopped, and its newest adoption.';
