-- adopt_database: propose to adopt this database, so that it hands out transfers again.
--
-- Called by: operator, after a restore, a promotion or a clone (docs/restore.md). Another person
-- approves it: a database that has forgotten payments pays them twice.
-- Safe to repeat: while the database is adopted, nothing is recorded.
-- Raises: SP320 no reason; SP410 no comparison by this identity, or no recent one.

create or replace function payout_api.adopt_database(
    p_reason text, p_without_reconcile boolean default false
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if payout.adopt(p_reason, p_without_reconcile, true) = 'already' then
        return 'already';
    end if;
    perform payout.propose('adopt_database', p_reason, '{}', jsonb_build_object(
        'without_reconcile', p_without_reconcile is true));
    return 'proposed';
end
$$;
comment on function payout_api.adopt_database(text, boolean) is
    'Proposes to adopt the database under its present identity, with a reason, once a comparison '
    'that began within the last hour has finished; p_without_reconcile does without one. '
    'Proposed: it waits for payout_api.approve; or already.';
grant execute on function payout_api.adopt_database(text, boolean) to payout_operator;
