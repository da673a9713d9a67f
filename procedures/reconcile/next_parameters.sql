-- next_parameters: the parameters of the page that follows a page of a read.

create or replace function payout.next_parameters(
    p_read payout.stripe_reads, p_parameters jsonb, p_objects jsonb, p_has_more boolean
)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_has_more
            then p_parameters || jsonb_build_object('starting_after', p_objects -> -1 -> 'id')
        -- Each query that was read to its end has one page after which no more follow.
        else p_read.queries -> (
            select count(*)::integer + 1
            from payout.stripe_read_pages as p
            where p.read_id = p_read.read_id and not p.has_more)
    end
$$;
comment on function payout.next_parameters(payout.stripe_reads, jsonb, jsonb, boolean) is
    'After the last page of a query those of the next query; null after the last one.';
