-- installation: which database this is, and how far seals and comparisons are.

create or replace view payout_api.installation as
select
    now() as taken_at,
    current_database() as database_name,
    session_user as login,
    payout_api.release() as release,
    e.installation_id,
    e.stripe_account_id,
    e.is_livemode,
    payout_api.seal_head() as seal_head,
    s.sealed_at,
    (select count(*) from payout_api.workers as w where w.is_alive) as workers_alive,
    c.begun_at as compared_at,
    c.transfers_seen as transfers_compared
from payout.engine_settings as e
left join lateral (
    select s.sealed_at from payout.seals as s order by s.seal_id desc limit 1
) as s on true
left join lateral (
    select r.begun_at, r.transfers_seen
    from payout_api.reconcile_progress as r
    where r.progress = 'finished'
    order by r.read_id desc
    limit 1
) as c on true;
comment on view payout_api.installation is
    'One row: the release, the Stripe account and mode, the newest seal, the workers that are '
    'alive, and the last comparison of all transfers that finished.';
