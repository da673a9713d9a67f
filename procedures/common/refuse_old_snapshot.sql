-- refuse_old_snapshot: refuse a step that decides by absence in an older snapshot.
--
-- A row that another session wrote meanwhile would count as absent there.
-- Raises: SP401 not read committed.

create or replace function payout.refuse_old_snapshot(p_refused text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception '% in a transaction that is %', p_refused,
            current_setting('transaction_isolation')
            using
                errcode = 'SP401',
                hint = 'begin isolation level read committed';
    end if;
end
$$;
comment on function payout.refuse_old_snapshot(text) is
    'Refuses outside read committed; p_refused begins the sentence: no hold is released.';
