-- verify_books: whether all rows agree with each other and keep their rules.
--
-- Called by: operators, auditors; after a restore, or when the doctor names a guard. It reads all
-- settlements, lines, transfers, entries and observations.

create or replace function payout_api.verify_books()
returns table (check_name text, detail text, hint text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select c.check_name, c.detail, c.hint
    from (
        select * from payout.check_settlements()
        union all
        select * from payout.check_rules()
        union all
        select * from payout.check_references()
        union all
        select * from payout.check_acts()
        union all
        select * from payout.check_secrets()
    ) as c
    where not c.is_ok
$$;
comment on function payout_api.verify_books() is
    'One row for each rule that is broken: settlements that are not scheduled to the last line, '
    'requests, progress and entries that contradict their rows, rows without an origin, releases '
    'and resolutions without their act, secrets. '
    'None: all is well.';
revoke execute on function payout_api.verify_books() from public;
grant execute on function payout_api.verify_books() to payout_operator, payout_auditor;
