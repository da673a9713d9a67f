-- stop_beside_another: stop claims when Stripe shows that another database pays from the account.
--
-- A transfer with our installation's id that no claim here explains was sent by the same
-- installation: by a copy of this database, or by this one before it went back in time. One that a
-- read has listed before stops nothing again: the operator who adopted the database knew it. A
-- claim is committed before its request leaves, so one that is under way has its attempt here.
-- A transfer of another installation is refused before this one has ever claimed, and not asked
-- about again: two installations share no key.
-- Called by: take_listed_transfers and finish_lookup, before they store what was seen.

create or replace function payout.stop_beside_another(
    p_seen payout.stripe_transfer[], p_read_id bigint
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_installation_id text := (select e.installation_id from payout.engine_settings as e);
    v_ours text;
    v_other payout.stripe_transfer;
begin
    select min(l.stripe_transfer_id) into v_ours
    from unnest(p_seen) as l
    left join payout.payout_transfers as t on t.payout_ref = l.belongs_to
    left join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    where l.payout_engine = v_installation_id
        and l.belongs_to ~ '^payout_[0-9a-f]{40}$'
        and coalesce(s.attempt, 0) = 0
        and not exists (
            select from payout.transfer_states as p
            where p.stripe_transfer_id = l.stripe_transfer_id
        )
        and not exists (
            select from payout.listed_transfers as k
            where k.stripe_transfer_id = l.stripe_transfer_id
        );
    if v_ours is not null then
        perform payout.stop_claims('database_went_back',
            format('Stripe has transfers of this installation that this database never sent, such '
                'as %s: it went back in time, or a copy of it pays too', v_ours), p_read_id);
    end if;

    select l.* into v_other
    from unnest(p_seen) as l
    where l.payout_engine <> v_installation_id
        and l.payout_engine ~ '^[0-9a-f]{32}$'
        -- The first claim, and an operator, adopt it anew.
        and (
            select a.is_installation from payout.adoptions as a order by a.adoption_id desc limit 1
        )
    order by l.stripe_transfer_id
    limit 1;
    if found then
        perform payout.stop_claims('another_installation',
            format('another installation pays from the same Stripe account, payout_engine %s, such '
                'as %s', v_other.payout_engine, v_other.stripe_transfer_id), p_read_id);
    end if;
end
$$;
comment on function payout.stop_beside_another(payout.stripe_transfer[], bigint) is
    'Stops claims when a transfer of this installation is unknown here and was not listed before, '
    'or when one of another installation is seen before the first claim.';
