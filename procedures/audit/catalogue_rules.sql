-- catalogue_rules: the constraints, indexes, triggers, rules and policies of the engine's tables.
--
-- A foreign key is enforced by triggers of its own, which can be switched off like any other.

create or replace function payout.catalogue_rules()
returns table (object text, definition text, deparsed text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with ours as (
        select c.oid
        from pg_class as c
        where c.relnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
    )
    select
        format('constraint %s on %s', k.conname, coalesce(
            nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text)),
        jsonb_build_array(
            k.contype, k.condeferrable, k.condeferred, k.convalidated, k.connoinherit,
            coalesce(to_jsonb(k) ->> 'conenforced', 'true'), (
                select string_agg(t.tgenabled::text, '' order by t.tgenabled)
                from pg_trigger as t
                where t.tgconstraint = k.oid and t.tgisinternal
            ))::text,
        pg_get_constraintdef(k.oid)
    from pg_constraint as k
    where k.connamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        and k.contype not in ('n', 't')
    union all
    select
        format('index %s', i.indexrelid::regclass),
        jsonb_build_array(
            i.indrelid::regclass, i.indisunique, i.indisprimary, i.indisvalid, i.indisready,
            i.indislive, i.indimmediate, i.indnullsnotdistinct, i.indpred is not null)::text,
        pg_get_indexdef(i.indexrelid)
    from pg_index as i
    join ours as c on c.oid = i.indrelid
    union all
    select
        format('trigger %s on %s', t.tgname, t.tgrelid::regclass),
        jsonb_build_array(
            t.tgenabled, t.tgfoid::regprocedure, t.tgtype, t.tgdeferrable, t.tginitdeferred,
            encode(t.tgargs, 'hex'), t.tgoldtable, t.tgnewtable, t.tgqual is not null)::text,
        pg_get_triggerdef(t.oid)
    from pg_trigger as t
    join ours as c on c.oid = t.tgrelid
    where not t.tgisinternal
    union all
    select format('rule %s on %s', r.rulename, r.ev_class::regclass),
        jsonb_build_array(r.ev_type, r.ev_enabled, r.is_instead)::text, pg_get_ruledef(r.oid)
    from pg_rewrite as r
    join ours as c on c.oid = r.ev_class
    where r.rulename <> '_RETURN'
    union all
    select format('policy %s on %s', p.polname, p.polrelid::regclass),
        jsonb_build_array(p.polcmd, p.polpermissive, p.polroles::regrole[])::text,
        concat_ws(' check ', pg_get_expr(p.polqual, p.polrelid),
            pg_get_expr(p.polwithcheck, p.polrelid))
    from pg_policy as p
    join ours as c on c.oid = p.polrelid
$$;
comment on function payout.catalogue_rules() is 'Part of payout.catalogue().';
