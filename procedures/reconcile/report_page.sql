-- report_page: take the next page of a read, and judge the read after its last page.
--
-- Called by: worker. Pages come in order, each with the parameters that were told for it.
-- Safe to repeat: a page that was taken before changes nothing, and tells where the read is now. A
-- page that Stripe refused for its rate lowers the pace of reads; its parameters come again.
-- Locks: payout.adoptions, as claim_reads; the read; the progress rows of the transfers that it
-- concerns, in id order.
-- Raises: SP340 no such read, or not its token; SP341 a page out of order or malformed, or a read
-- that no longer counts for this database; SP401 not read committed.

create or replace function payout_api.report_page(
    p_read_id bigint,
    p_token text,
    p_parameters jsonb,
    p_objects jsonb,
    p_has_more boolean,
    p_is_rate_limited boolean default false
)
returns table (
    next_parameters jsonb,
    objects_seen bigint,
    objects_found bigint,
    result text,
    is_alarm boolean,
    read_in_seconds double precision
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    v_read payout.stripe_reads;
    v_problem text;
    v_turns record;
begin
    -- A transfer that was settled meanwhile would be unknown to these books, and stop the engine.
    perform payout.refuse_old_snapshot('no page is taken');
    lock table payout.adoptions in access share mode;
    select * into v_read
    from payout.stripe_reads as r
    where r.read_id = p_read_id
        and sha256(convert_to(p_token, 'UTF8')) = any (r.token_sha256s)
    for update;
    if not found then
        raise exception 'read %: there is no such read, or the token is of another',
            coalesce(p_read_id::text, 'null')
            using
                errcode = 'SP340',
                hint = 'Hand back the token as claim_reads told it; or claim again.';
    end if;

    if p_is_rate_limited then
        perform payout.lower_pace('reads', payout.clock() - interval '1 second');
    elsif not exists (
        select from payout.stripe_read_pages as p
        where p.read_id = p_read_id and p.parameters = p_parameters
    ) then
        v_problem := payout.page_problem(v_read, p_parameters, p_objects, p_has_more);
        if v_problem is not null then
            raise exception 'read %: %', p_read_id, v_problem
                using
                    errcode = 'SP341',
                    hint = 'Read the list page by page, with the parameters that the database '
                        'tells; claim again if the read no longer counts.';
        end if;
        v_read := payout.take_page(v_read, p_parameters, p_objects, p_has_more);
    end if;
    v_turns := payout.take_turns(
        'reads', num_nonnulls(v_read.next_parameters), payout.clock());
    return query
    select v_read.next_parameters, v_read.objects_seen, v_read.objects_found, v_read.result,
        v_read.is_alarm, v_turns.first_seconds;
end
$$;
comment on function payout_api.report_page(
    bigint, text, jsonb, jsonb, boolean, boolean
) is
    'Takes the objects of a page, as Stripe sent them, with the parameters that it was asked with; '
    'returns the parameters of the next page (null: there is none, and result says what was '
    'found), the counts of the read so far, and the seconds until the turn of the next page. '
    'p_is_rate_limited: there are no objects, Stripe refused the page for its rate.';
grant execute on function payout_api.report_page(
    bigint, text, jsonb, jsonb, boolean, boolean
) to payout_worker;
