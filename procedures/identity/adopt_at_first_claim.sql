-- adopt_at_first_claim: adopt a new installation when it hands out its first transfer.
--
-- Called by: claim_transfers, before the first attempts are written. An installation that has
-- attempts but no such adoption was loaded with those of another one, however old it is. Two
-- first claims at once write two adoptions.

create or replace function payout.adopt_at_first_claim(p_payout_transfer_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_payout_transfer_ids <> '{}' and (
        select e.is_installation from payout.adoptions as e order by e.adoption_id desc limit 1
    ) then
        insert into payout.adoptions (
            system_identifier, timeline_id, database_oid, table_oid, is_first_claim, reason)
        select w.*, true, 'the first claim'
        from payout.database_identity() as w;
    end if;
end
$$;
comment on function payout.adopt_at_first_claim(bigint[]) is
    'Records the identity of a new installation, once it hands out any of these transfers.';
