-- tg_transfer_states__check_start: let a transfer start only as scheduled, with its first key.
--
-- Rows that a replica role copies may have come further; the rules of the row hold for them too.
-- Raises: SP103 another start; 23514 the name of a rule that is broken.

create or replace function payout.tg_transfer_states__check_start()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_broken text;
begin
    -- The row that a settlement writes for a payee who has an account.
    if new.state = 'scheduled' and new.generation = 1 and new.attempt = 0 and new.tries = 0
        and new.window_begins_at is null and new.next_attempt_at is not null and new.reason is null
        and new.lease_until is null and new.next_lookup_at is null
        and new.stripe_transfer_id is null then
        return new;
    end if;
    if (new.state <> 'scheduled' or new.generation <> 1 or new.attempt <> 0
        or new.window_begins_at is not null)
        and current_setting('session_replication_role') <> 'replica' then
        raise exception
            'transfer %: a transfer starts as scheduled, with its first key and no attempt',
            new.payout_transfer_id
            using
                errcode = 'SP103',
                detail = format(
                    'State %s, generation %s, attempt %s was asked for.',
                    new.state, new.generation, new.attempt),
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    v_broken := payout.progress_problem(new);
    if v_broken is not null then
        perform payout.refuse_bad_row('transfer_states', v_broken);
    end if;
    return new;
end
$$;
comment on function payout.tg_transfer_states__check_start() is
    'Trigger: a transfer starts as scheduled, with its first key and no attempt (SP103), and keeps '
    'the rules of its row (23514).';
