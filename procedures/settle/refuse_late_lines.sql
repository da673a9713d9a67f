-- refuse_late_lines: raise the one error for lines that come after their settlement was scheduled.
--
-- Raises: SP102, always.

create or replace function payout.refuse_late_lines(p_settlement_id text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'settlement % is complete: its lines cannot be changed', p_settlement_id
        using
            errcode = 'SP102',
            detail = 'Its payouts were scheduled from exactly the lines it had.',
            hint = 'Record a correction as another settlement.',
            schema = 'payout',
            table = 'settlement_lines';
end
$$;
comment on function payout.refuse_late_lines(text) is 'Raises SP102 for a line that came too late.';
