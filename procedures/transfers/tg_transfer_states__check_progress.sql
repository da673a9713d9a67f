-- tg_transfer_states__check_progress: let attempts and keys only count up.
--
-- A row never goes to another transfer. A claim, and nothing else, counts one attempt up. A new
-- key comes only with the move failed -> scheduled, takes the next number, and must have its
-- observation. An old key is never sent again because its number never comes back; its send
-- window, and that a send ended unknown, are never forgotten. A paid row does not change
-- at all, and a date is not taken away as if the payee had no account. No WHEN clauses: Postgres
-- reads their text anew for each statement.
-- Raises: SP103 the change would go back; 23514 the name of a rule that is broken.

create or replace function payout.tg_transfer_states__check_progress()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
    v_broken text;
begin
    if new.payout_transfer_id <> old.payout_transfer_id then
        v_problem := 'progress belongs to one transfer';
    elsif new.state = 'in_flight' and old.state <> 'in_flight'
        and new.attempt <> old.attempt + 1 then
        v_problem := 'a claim counts the attempt up by one';
    elsif new.attempt <> old.attempt
        and not (new.state = 'in_flight' and old.state <> 'in_flight') then
        v_problem := 'only a claim counts attempts';
    elsif new.generation <> old.generation
        and not (old.state = 'failed' and new.state = 'scheduled'
            and new.generation = old.generation + 1) then
        v_problem := 'a new key takes the next number and only after a decline';
    elsif old.state = 'failed' and new.state = 'scheduled' and not exists (
        select from payout.transfer_observations as k
        where k.payout_transfer_id = new.payout_transfer_id
            and k.generation = new.generation
            and k.signal = 'key_opened'
            and new.generation = old.generation + 1
    ) then
        v_problem := 'a new key needs its observation first';
    elsif new.generation = old.generation and old.window_begins_at is not null
        and new.window_begins_at is distinct from old.window_begins_at then
        v_problem := 'the send window of a key does not move';
    elsif new.generation = old.generation and old.has_unknown_send and not new.has_unknown_send then
        v_problem := 'a send whose outcome is unknown stays so under its key';
    elsif old.state = 'paid' then
        v_problem := 'a paid transfer does not change';
    elsif new.reason = 'awaiting_account' and old.reason is distinct from 'awaiting_account' then
        v_problem := 'only a transfer that never had a date waits for an account';
    end if;

    if v_problem is not null then
        raise exception 'transfer %: %', new.payout_transfer_id, v_problem
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
comment on function payout.tg_transfer_states__check_progress() is
    'Trigger: attempt and generation never go back, a new key has its evidence (SP103); the row '
    'keeps its rules (23514).';
