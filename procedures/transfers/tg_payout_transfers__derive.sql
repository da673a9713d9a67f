-- tg_payout_transfers__derive: fill in the identity of a transfer, which follows from the rest.
--
-- An insert may leave it out; a given one must agree, unless a replica role copies the rows of
-- another installation.
-- Raises: 23514 with the name of the first rule that is broken.

create or replace function payout.tg_payout_transfers__derive()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_payout_ref text;
    v_broken text;
begin
    select payout.payout_ref(
        e.installation_id, new.settlement_id, new.payee_id, new.source_transaction)
    into v_payout_ref
    from payout.engine_settings as e;
    if new.amount_minor <= 0 then
        v_broken := 'amount_is_positive';
    elsif new.payout_ref <> v_payout_ref then
        if current_setting('session_replication_role') = 'replica' then
            return new;
        end if;
        v_broken := 'payout_ref_is_derived';
    end if;
    if v_broken is not null then
        perform payout.refuse_bad_row('payout_transfers', v_broken);
    end if;
    new.payout_ref := v_payout_ref;
    return new;
end
$$;
comment on function payout.tg_payout_transfers__derive() is
    'Trigger: fills in payout_ref, or refuses a given one that differs, and an amount that is not '
    'above 0 (23514).';
