-- claim_reads: hand out what is to be read at Stripe next, each with a token.
--
-- Called by: worker. It moves no money, so it asks for neither holds nor an adoption. A look-up is
-- evidence of absence by its time: none is begun while our clock is not Stripe's.
-- Safe to repeat: a look-up, or the reversals of a transfer, is begun once more after ten minutes;
-- a comparison and a read of events go on where they are, also by several workers at once. The
-- newest transfers are read once half the time has passed for which the last read allows claims.
-- Locks: payout.adoptions, so that a read for an account begins before the account is changed.
-- Raises: SP404 (bind_stripe_account); SP311 no worker, limit out of range, unknown kind.

create or replace function payout_api.claim_reads(
    p_worker text,
    p_limit integer default 20,
    p_stripe_account_id text default null,
    p_is_livemode boolean default null,
    p_kind text default null,
    p_stripe_now timestamptz default null
)
returns table (
    read_id bigint,
    kind text,
    token text,
    path text,
    parameters jsonb,
    objects_seen bigint,
    objects_expected bigint,
    read_in_seconds double precision
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    -- Lists first: their last page takes rows of transfers while it holds the read.
    v_kinds constant text[] := array['newest', 'events', 'comparison', 'lookup', 'reversals'];
    v_kind text;
    v_ids bigint[] := '{}'::bigint[];
    v_turns record;
begin
    lock table payout.adoptions in access share mode;
    perform payout.bind_stripe_account(p_stripe_account_id, p_is_livemode);
    if coalesce(btrim(p_worker), '') = '' or coalesce(p_limit, 0) not between 1 and 1000
        or p_kind <> all (v_kinds) then
        raise exception 'claim of % reads by %, of kind %', coalesce(p_limit::text, 'null'),
            coalesce(nullif(btrim(p_worker), ''), 'no worker'), coalesce(p_kind, 'any')
            using
                errcode = 'SP311',
                hint = 'Name the worker, ask for 1 to 1000 of kind newest, lookup, reversals, '
                    'events, comparison or any (null).';
    end if;

    foreach v_kind in array v_kinds loop
        continue when p_kind <> v_kind
            or cardinality(v_ids) >= p_limit
            or (v_kind = 'newest' and payout.is_compared(
                (select e.comparison_counts_for / 2 from payout.engine_settings as e)))
            or (v_kind = 'lookup' and payout.clock_differs(p_stripe_now));
        v_ids := v_ids || case
            when v_kind in ('lookup', 'reversals')
                then payout.begin_due_reads(v_kind, p_worker, p_limit - cardinality(v_ids))
            else array[payout.continue_list(v_kind, p_worker)]
        end;
    end loop;

    v_turns := payout.take_turns('reads', cardinality(v_ids), payout.clock());
    return query
    with claimed as materialized (
        select i.read_id, 'ct_' || replace(gen_random_uuid()::text, '-', '') as token
        from unnest(v_ids) as i (read_id)
    )
    update payout.stripe_reads as r
    set token_sha256s = (sha256(convert_to(c.token, 'UTF8')) || r.token_sha256s)[:20]
    from claimed as c
    where r.read_id = c.read_id
    returning r.read_id, r.kind, c.token, r.path, r.next_parameters, r.objects_seen,
        r.objects_expected,
        v_turns.first_seconds + v_turns.apart_seconds * (array_position(v_ids, r.read_id) - 1);
end
$$;
comment on function payout_api.claim_reads(
    text, integer, text, boolean, text, timestamptz
) is
    'Hands out up to p_limit reads, of one kind (newest, lookup, reversals, events, comparison) or '
    'of all: path and parameters of the next page, and the token without which report_page takes '
    'none; read_in_seconds is the turn of the first page, counted from before the call. The Stripe '
    'account is that of the worker''s key, p_stripe_now the time by Stripe''s Date header; no '
    'look-ups while that is far from the server''s clock.';
grant execute on function payout_api.claim_reads(
    text, integer, text, boolean, text, timestamptz
) to payout_worker;
