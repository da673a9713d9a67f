-- may_go_on: tell whether an open read still counts once it is finished.

create or replace function payout.may_go_on(p_read payout.stripe_reads)
returns boolean
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select case p_read.kind
        when 'newest' then payout.is_current(
            p_read, (select e.comparison_counts_for / 2 from payout.engine_settings as e))
        else payout.is_of_this_database(p_read)
    end
$$;
comment on function payout.may_go_on(payout.stripe_reads) is
    'True for a read of this database; for one of the newest transfers if it will allow claims for '
    'a while.';
