-- seal_head: the end of the chain of seals, to be kept where this database's owner cannot write.
--
-- Print it, mail it, log it elsewhere, daily. A role that can rewrite tables can rewrite every seal
-- after its change: only a head that was kept elsewhere shows that. verify_seals(p_head => …)
-- compares.

create or replace function payout_api.seal_head()
returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select s.seal_id || ':' || encode(s.seal_sha256, 'hex')
    from payout.seals as s
    order by s.seal_id desc
    limit 1
$$;
comment on function payout_api.seal_head() is
    'Number and hash of the newest seal; null before the first.';
grant execute on function payout_api.seal_head() to payout_operator, payout_auditor;
