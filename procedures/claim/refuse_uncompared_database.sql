-- refuse_uncompared_database: refuse claims until Stripe's newest transfers were compared lately.
--
-- The comparison notices a database that went back in time under the same identity
-- (stop_beside_another). A worker that is refused makes one, and claims again.
-- Raises: SP405 none is finished that still counts.

create or replace function payout.refuse_uncompared_database(p_within interval)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if not payout.is_compared(p_within) then
        raise exception 'no transfer is handed out before Stripe''s newest transfers were compared'
            using
                errcode = 'SP405',
                hint = 'A worker compares them by itself, with a key that may read transfers.';
    end if;
end
$$;
comment on function payout.refuse_uncompared_database(interval) is
    'Refuses to go on (SP405) unless Stripe''s newest transfers were compared under this start of '
    'the server, no longer ago than p_within.';
