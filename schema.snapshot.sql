--
-- PostgreSQL database dump
--

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: payout; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA payout;


--
-- Name: SCHEMA payout; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA payout IS 'Private: tables, guards and the functions behind payout_api. The queue is only a doorbell; these tables are the truth.';


--
-- Name: payout_api; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA payout_api;


--
-- Name: SCHEMA payout_api; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA payout_api IS 'Everything that may be called: by the application, the worker, operators and auditors.';


--
-- Name: currency_code; Type: DOMAIN; Schema: payout; Owner: -
--

CREATE DOMAIN payout.currency_code AS text
	CONSTRAINT currency_is_three_lower_case_letters CHECK ((VALUE ~ '^[a-z]{3}$'::text));


--
-- Name: DOMAIN currency_code; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON DOMAIN payout.currency_code IS 'ISO 4217 code in lower case, as Stripe writes it.';


--
-- Name: id_fits(text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.id_fits(p_id text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    -- E'': a session may read plain literals in the old way.
    v_broken text := case
        when p_id ~ E'^[ \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]'
            or p_id ~ E'[ \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]$'
            then 'id_has_no_blank_at_its_ends'
        when p_id ~ E'[\\x01-\\x1f\\x7f-\\x9f]' then 'id_has_no_control_characters'
        -- Soft hyphen, byte order mark and others that nobody sees; not the two joiners,
        -- which some scripts are written with.
        when p_id ~ E'[\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f\\u202a-\\u202e'
                '\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]'
            then 'id_has_no_invisible_characters'
        when length(p_id) not between 1 and 200 then 'id_is_1_to_200_characters'
        when p_id is not nfc normalized then 'id_is_in_unicode_normal_form_c'
    end;
begin
    if v_broken is not null then
        raise exception 'value for domain payout.external_id violates check constraint "%"',
            v_broken
            using
                errcode = '23514',
                detail = format('The id is %L.', left(p_id, 60)),
                schema = 'payout',
                datatype = 'external_id',
                constraint = v_broken;
    end if;
    return true;
end
$_$;


--
-- Name: FUNCTION id_fits(p_id text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.id_fits(p_id text) IS 'Check: 1 to 200 characters, no blank at its ends, no control or invisible characters, normal form C.';


--
-- Name: external_id; Type: DOMAIN; Schema: payout; Owner: -
--

CREATE DOMAIN payout.external_id AS text
	CONSTRAINT id_fits CHECK ((((octet_length(VALUE) <= 200) AND (VALUE ~ '^[!-~]([ -~]*[!-~])?$'::text)) OR payout.id_fits(VALUE)));


--
-- Name: DOMAIN external_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON DOMAIN payout.external_id IS 'A name given outside of the engine (settlement, payee, line): compared byte for byte, sent to Stripe as metadata, hence short and in one spelling only.';


--
-- Name: finding; Type: TYPE; Schema: payout; Owner: -
--

CREATE TYPE payout.finding AS (
	kind text,
	payout_transfer_id bigint,
	stripe_transfer_id text,
	ours jsonb,
	theirs jsonb
);


--
-- Name: TYPE finding; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TYPE payout.finding IS 'Where Stripe and the books disagree about a transfer, before it is a row of discrepancies.';


--
-- Name: judgement; Type: TYPE; Schema: payout; Owner: -
--

CREATE TYPE payout.judgement AS (
	verdict text,
	to_state text,
	reason text,
	error_rule_id integer,
	next_attempt_at timestamp with time zone,
	counts_as_try boolean,
	leaves_unknown boolean,
	is_alarm boolean,
	pauses_engine boolean
);


--
-- Name: TYPE judgement; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TYPE payout.judgement IS 'What one outcome means for its transfer.';


--
-- Name: metadata; Type: DOMAIN; Schema: payout; Owner: -
--

CREATE DOMAIN payout.metadata AS jsonb
	CONSTRAINT metadata_is_an_object CHECK ((jsonb_typeof(VALUE) = 'object'::text));


--
-- Name: DOMAIN metadata; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON DOMAIN payout.metadata IS 'A JSON object.';


--
-- Name: moment; Type: DOMAIN; Schema: payout; Owner: -
--

CREATE DOMAIN payout.moment AS timestamp with time zone
	CONSTRAINT moment_is_finite CHECK (isfinite(VALUE));


--
-- Name: DOMAIN moment; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON DOMAIN payout.moment IS 'A point in time, not infinity.';


--
-- Name: outcome; Type: TYPE; Schema: payout; Owner: -
--

CREATE TYPE payout.outcome AS (
	payout_transfer_id bigint,
	generation integer,
	attempt integer,
	idempotency_key text,
	signal text,
	detail text,
	http_status integer,
	stripe_request_id text,
	is_replayed boolean,
	should_retry text,
	rate_limited_reason text,
	retry_after_seconds numeric,
	error_type text,
	error_code text,
	error_message text,
	error_param text,
	object text,
	stripe_transfer_id text,
	amount_minor bigint,
	currency text,
	destination text,
	is_livemode boolean,
	payout_ref text,
	amount_reversed_minor bigint,
	lookup_id bigint,
	found integer,
	first_absence_id bigint
);


--
-- Name: TYPE outcome; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TYPE payout.outcome IS 'What a worker saw of one attempt: the elements of the array that report_outcomes takes.';


--
-- Name: positive_minor; Type: DOMAIN; Schema: payout; Owner: -
--

CREATE DOMAIN payout.positive_minor AS bigint
	CONSTRAINT amount_is_positive CHECK ((VALUE > 0));


--
-- Name: DOMAIN positive_minor; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON DOMAIN payout.positive_minor IS 'An amount of money in minor units, above zero.';


--
-- Name: settlement_state; Type: DOMAIN; Schema: payout; Owner: -
--

CREATE DOMAIN payout.settlement_state AS text
	CONSTRAINT settlement_is_pending_or_complete CHECK ((VALUE = ANY (ARRAY['pending'::text, 'complete'::text])));


--
-- Name: DOMAIN settlement_state; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON DOMAIN payout.settlement_state IS 'pending: editable; complete: frozen and scheduled.';


--
-- Name: source_transaction_id; Type: DOMAIN; Schema: payout; Owner: -
--

CREATE DOMAIN payout.source_transaction_id AS text
	CONSTRAINT source_transaction_looks_like_one CHECK (((VALUE ~ '^[A-Za-z0-9]+_[A-Za-z0-9_]+$'::text) AND (length(VALUE) <= 255)));


--
-- Name: DOMAIN source_transaction_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON DOMAIN payout.source_transaction_id IS 'Stripe''s id of a charge, such as ch_1.';


--
-- Name: transfer_state; Type: DOMAIN; Schema: payout; Owner: -
--

CREATE DOMAIN payout.transfer_state AS text
	CONSTRAINT state_is_known CHECK ((VALUE = ANY (ARRAY['scheduled'::text, 'in_flight'::text, 'retry_wait'::text, 'unknown'::text, 'parked'::text, 'failed'::text, 'paid'::text, 'cancelled'::text])));


--
-- Name: DOMAIN transfer_state; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON DOMAIN payout.transfer_state IS 'A state out of payout.states.';


--
-- Name: absence_counts_from(bigint); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.absence_counts_from(p_payout_transfer_id bigint) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select max(a.lease_until + e.attempt_drain_for
        + case when payout.is_definite(a) then interval '0' else e.indeterminate_for end)
    from payout.transfer_attempts as a
    cross join payout.engine_settings as e
    where a.payout_transfer_id = p_payout_transfer_id
        and not payout.was_seen_at_stripe(p_payout_transfer_id)
        and not exists (
            select from payout.transfer_observations as o
            join payout.stripe_error_rules as r on r.error_code = o.error_code
            where o.payout_transfer_id = p_payout_transfer_id
                and r.reason = 'stripe_may_execute_later'
        )
$$;


--
-- Name: FUNCTION absence_counts_from(p_payout_transfer_id bigint); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.absence_counts_from(p_payout_transfer_id bigint) IS 'When everything that was ever sent for a transfer is over; null: nobody can know, or it was never sent.';


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: transfer_lookups; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.transfer_lookups (
    lookup_id bigint NOT NULL,
    payout_transfer_id bigint NOT NULL,
    worker text NOT NULL,
    queries jsonb NOT NULL,
    begun_at timestamp with time zone NOT NULL
);


--
-- Name: TABLE transfer_lookups; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.transfer_lookups IS 'Every look at Stripe''s list of transfers for one whose outcome is unknown. Insert-only; what came of it is an observation.';


--
-- Name: COLUMN transfer_lookups.queries; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_lookups.queries IS 'The parameters of GET /v1/transfers, one object a query; together they list all there can be.';


--
-- Name: COLUMN transfer_lookups.begun_at; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_lookups.begun_at IS 'Before anything was asked of Stripe.';


--
-- Name: add_lookup_page(payout.transfer_lookups, integer, jsonb, text, jsonb, boolean); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.add_lookup_page(p_lookup payout.transfer_lookups, p_query_number integer, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_former payout.transfer_lookup_pages;
    v_problem text;
    v_transfer payout.payout_transfers;
begin
    select * into strict v_transfer
    from payout.payout_transfers as t
    where t.payout_transfer_id = p_lookup.payout_transfer_id;

    if coalesce(p_query_number, -1)
        not between 0 and jsonb_array_length(p_lookup.queries) - 1 then
        perform payout.refuse_lookup_page(p_lookup.lookup_id,
            format('it has no query %s', coalesce(p_query_number::text, 'null')));
    end if;
    perform payout.refuse_other_query(
        format('look-up %s', p_lookup.lookup_id), p_query, p_lookup.queries -> p_query_number);
    if jsonb_typeof(p_transfers) = 'array' and exists (
        select from payout.transfer_lookup_pages as p
        where p.lookup_id = p_lookup.lookup_id and p.query_number = p_query_number
            and p.starting_after is not distinct from p_starting_after
    ) then
        return;
    end if;

    select * into v_former
    from payout.transfer_lookup_pages as p
    where p.lookup_id = p_lookup.lookup_id and p.query_number = p_query_number
    order by p.page_number desc
    limit 1;
    v_problem := payout.page_problem(
        v_former.last_id, v_former.has_more, p_starting_after, p_transfers, p_has_more);
    if v_problem is not null then
        perform payout.refuse_lookup_page(p_lookup.lookup_id, v_problem);
    end if;

    insert into payout.transfer_lookup_pages (
        lookup_id, query_number, page_number, starting_after, last_id, has_more, transfers_seen,
        matches, received_at)
    select p_lookup.lookup_id, p_query_number, coalesce(v_former.page_number, 0) + 1,
        p_starting_after, p_transfers -> -1 ->> 'id', p_has_more, jsonb_array_length(p_transfers),
        coalesce(
            jsonb_agg(payout.match_facts(t) || jsonb_build_object('is_by_charge', m.is_by_charge))
                filter (where m.is_ours or m.is_by_charge),
            '[]'),
        payout.clock()
    from (select) as always
    left join jsonb_array_elements(p_transfers) as t on true
    cross join lateral (values (
        v_transfer.payout_ref in (t #>> '{metadata,payout_ref}', t ->> 'transfer_group'),
        t #>> '{metadata,payout_ref}' is null
            and t ->> 'source_transaction' = v_transfer.source_transaction
            and t ->> 'destination' = v_transfer.destination
            and t ->> 'amount' = v_transfer.amount_minor::text
    )) as m (is_ours, is_by_charge);
end
$$;


--
-- Name: FUNCTION add_lookup_page(p_lookup payout.transfer_lookups, p_query_number integer, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.add_lookup_page(p_lookup payout.transfer_lookups, p_query_number integer, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean) IS 'Stores a page with its matches, unless it is there; refuses one that is not the next.';


--
-- Name: where_we_are(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.where_we_are(OUT system_identifier bigint, OUT timeline_id integer, OUT database_oid oid, OUT table_oid oid) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    system_identifier := (pg_control_system()).system_identifier;
    timeline_id := case
        when pg_is_in_recovery() then (pg_control_checkpoint()).timeline_id
        else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
    end;
    database_oid := (select d.oid from pg_database as d where d.datname = current_database());
    table_oid := 'payout.transfer_states'::regclass;
end
$$;


--
-- Name: FUNCTION where_we_are(OUT system_identifier bigint, OUT timeline_id integer, OUT database_oid oid, OUT table_oid oid); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.where_we_are(OUT system_identifier bigint, OUT timeline_id integer, OUT database_oid oid, OUT table_oid oid) IS 'This place: system identifier, timeline, oid of the database, oid of payout.transfer_states.';


--
-- Name: reconcile_runs; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.reconcile_runs (
    reconcile_run_id bigint NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    created_from timestamp with time zone NOT NULL,
    created_until timestamp with time zone NOT NULL,
    next_cursor text,
    transfers_seen bigint DEFAULT 0 NOT NULL,
    discrepancies_found bigint DEFAULT 0 NOT NULL,
    system_identifier bigint DEFAULT (payout.where_we_are()).system_identifier,
    timeline_id integer DEFAULT (payout.where_we_are()).timeline_id,
    database_oid oid DEFAULT (payout.where_we_are()).database_oid,
    table_oid oid DEFAULT (payout.where_we_are()).table_oid,
    worker text,
    transfers_expected bigint DEFAULT 0 NOT NULL,
    abandoned_at timestamp with time zone,
    epoch_id bigint,
    CONSTRAINT counts_are_not_negative CHECK (((transfers_seen >= 0) AND (discrepancies_found >= 0))),
    CONSTRAINT expected_is_not_negative CHECK ((transfers_expected >= 0)),
    CONSTRAINT run_is_finished_or_abandoned CHECK (((finished_at IS NULL) OR (abandoned_at IS NULL))),
    CONSTRAINT window_is_in_order CHECK ((created_from < created_until))
);


--
-- Name: TABLE reconcile_runs; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.reconcile_runs IS 'One comparison of Stripe''s list of transfers with these books, and how far it has come.';


--
-- Name: COLUMN reconcile_runs.created_from; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.reconcile_runs.created_from IS 'The run compares transfers that Stripe created from this time on.';


--
-- Name: COLUMN reconcile_runs.created_until; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.reconcile_runs.created_until IS 'And before this time.';


--
-- Name: COLUMN reconcile_runs.next_cursor; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.reconcile_runs.next_cursor IS 'Stripe transfer id after which the next page starts; null: from the newest.';


--
-- Name: COLUMN reconcile_runs.system_identifier; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.reconcile_runs.system_identifier IS 'With the next three: where the run was made, as in payout.epochs.';


--
-- Name: COLUMN reconcile_runs.worker; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.reconcile_runs.worker IS 'Who began it; others may have gone on with it.';


--
-- Name: COLUMN reconcile_runs.transfers_expected; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.reconcile_runs.transfers_expected IS 'Transfers that were reported paid here within the window, when the run began.';


--
-- Name: COLUMN reconcile_runs.abandoned_at; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.reconcile_runs.abandoned_at IS 'Given up: it was made in another place, or before the gate was closed.';


--
-- Name: COLUMN reconcile_runs.epoch_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.reconcile_runs.epoch_id IS 'The newest of payout.epochs when the run was begun; null: there was none.';


--
-- Name: add_reconcile_page(payout.reconcile_runs, text, jsonb, boolean); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.add_reconcile_page(p_run payout.reconcile_runs, p_starting_after text, p_transfers jsonb, p_has_more boolean) RETURNS payout.reconcile_runs
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_run payout.reconcile_runs;
    v_seen payout.stripe_sightings[] := array(
        select g from payout.read_sightings(p_run.reconcile_run_id, p_transfers) as g);
    v_last_id text := coalesce(p_transfers -> -1 ->> 'id', p_starting_after);
    v_found integer;
begin
    insert into payout.reconcile_pages (
        reconcile_run_id, page_number, starting_after, last_id, has_more, stripe_transfer_ids)
    select p_run.reconcile_run_id, coalesce(max(p.page_number), 0) + 1, p_starting_after,
        v_last_id, p_has_more, array(select g.stripe_transfer_id from unnest(v_seen) as g)
    from payout.reconcile_pages as p
    where p.reconcile_run_id = p_run.reconcile_run_id;

    v_found := payout.take_sightings(v_seen, p_run.reconcile_run_id);
    perform payout.note_reversals(v_seen);
    if not p_has_more then
        v_found := v_found + payout.record_findings(
            array(select f from payout.find_missing(p_run) as f), p_run.reconcile_run_id);
        perform payout.resolve_findings(p_run.reconcile_run_id);
        v_found := v_found + payout.adopt_sightings(
            array(select u from payout.unjudged_sightings() as u));
    end if;

    update payout.reconcile_runs as r
    set next_cursor = v_last_id,
        transfers_seen = r.transfers_seen + cardinality(v_seen),
        discrepancies_found = r.discrepancies_found + v_found,
        finished_at = case when not p_has_more then payout.clock() end
    where r.reconcile_run_id = p_run.reconcile_run_id
    returning * into strict v_run;
    return v_run;
end
$$;


--
-- Name: FUNCTION add_reconcile_page(p_run payout.reconcile_runs, p_starting_after text, p_transfers jsonb, p_has_more boolean); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.add_reconcile_page(p_run payout.reconcile_runs, p_starting_after text, p_transfers jsonb, p_has_more boolean) IS 'Takes the next page of a run: findings, adopted transfers, the run''s progress.';


--
-- Name: seals; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.seals (
    seal_id bigint NOT NULL,
    seal_version integer NOT NULL,
    table_name text NOT NULL,
    first_id bigint NOT NULL,
    last_id bigint NOT NULL,
    row_ids int8multirange NOT NULL,
    row_digests bytea NOT NULL,
    rows_sha256 bytea NOT NULL,
    rows_from timestamp with time zone,
    rows_until timestamp with time zone,
    sealed_at timestamp with time zone NOT NULL,
    seal_sha256 bytea NOT NULL,
    CONSTRAINT digests_have_eight_bytes_a_row CHECK (((octet_length(row_digests) % 8) = 0)),
    CONSTRAINT hashes_have_32_bytes CHECK (((octet_length(rows_sha256) = 32) AND (octet_length(seal_sha256) = 32))),
    CONSTRAINT range_is_in_order CHECK ((first_id <= last_id)),
    CONSTRAINT seals_count_from_one CHECK ((seal_id >= 1)),
    CONSTRAINT version_is_known CHECK ((seal_version = 1))
);


--
-- Name: TABLE seals; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.seals IS 'One chain over all sealed tables: each seal closes the next range of ids of one table and covers the hash of the seal before it. Insert-only.';


--
-- Name: COLUMN seals.seal_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seals.seal_id IS 'Place in the chain, without gaps.';


--
-- Name: COLUMN seals.seal_version; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seals.seal_version IS 'Which columns the digests cover: version 1 those of payout.sealed_rows_v1.';


--
-- Name: COLUMN seals.first_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seals.first_id IS 'Where the range begins: right after the former range of this table, gaps included.';


--
-- Name: COLUMN seals.last_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seals.last_id IS 'Where it ends; no row up to here could still come.';


--
-- Name: COLUMN seals.row_ids; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seals.row_ids IS 'The ids in the range that had a row.';


--
-- Name: COLUMN seals.row_digests; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seals.row_digests IS 'The first 8 bytes of the digest of each of these rows, in order: they tell which row changed.';


--
-- Name: COLUMN seals.rows_sha256; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seals.rows_sha256 IS 'SHA-256 of the whole digests of these rows, in order: it tells that none changed.';


--
-- Name: COLUMN seals.rows_from; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seals.rows_from IS 'The earliest time of a row in the range.';


--
-- Name: COLUMN seals.rows_until; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seals.rows_until IS 'The latest time of a row of this table up to the end of the range.';


--
-- Name: COLUMN seals.sealed_at; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seals.sealed_at IS 'When the range was closed.';


--
-- Name: COLUMN seals.seal_sha256; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seals.seal_sha256 IS 'SHA-256 of the former seal''s hash and the other columns of this one.';


--
-- Name: add_seal(text, bigint, integer, timestamp with time zone); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.add_seal(p_table_name text, p_up_to_id bigint, p_limit integer, p_now timestamp with time zone) RETURNS payout.seals
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_seal payout.seals;
    v_former payout.seals;
begin
    select * into v_former
    from payout.seals as s
    where s.table_name = p_table_name
    order by s.last_id desc
    limit 1;

    v_seal.seal_id := 1 + coalesce((select max(s.seal_id) from payout.seals as s), 0);
    v_seal.seal_version := 1;
    v_seal.table_name := p_table_name;
    -- The first range begins at the lowest number there is: ids below 1 could be slipped in.
    v_seal.first_id := coalesce(v_former.last_id + 1, -9223372036854775808);
    v_seal.sealed_at := p_now;

    select
        coalesce(range_agg(int8range(r.row_id, r.row_id, '[]')), '{}'),
        coalesce(string_agg(substr(r.row_sha256, 1, 8), '' order by r.row_id), ''),
        sha256(coalesce(string_agg(r.row_sha256, '' order by r.row_id), '')),
        min(r.row_at), greatest(v_former.rows_until, max(r.row_at)),
        case when count(*) < p_limit then p_up_to_id else max(r.row_id) end
    into v_seal.row_ids, v_seal.row_digests, v_seal.rows_sha256, v_seal.rows_from,
        v_seal.rows_until, v_seal.last_id
    from payout.sealed_rows_v1(p_table_name, v_seal.first_id, p_up_to_id, p_limit) as r;

    v_seal.seal_sha256 := payout.seal_sha256(v_seal);
    insert into payout.seals select v_seal.*;
    if p_table_name = 'ledger_entries' then
        insert into payout.seal_subtotals (
            seal_id, account, currency, debit_minor, credit_minor)
        select v_seal.seal_id, b.account, b.currency, b.debit_minor, b.credit_minor
        from payout.subtotals_of(v_seal) as b;
    end if;
    return v_seal;
end
$$;


--
-- Name: FUNCTION add_seal(p_table_name text, p_up_to_id bigint, p_limit integer, p_now timestamp with time zone); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.add_seal(p_table_name text, p_up_to_id bigint, p_limit integer, p_now timestamp with time zone) IS 'Seals up to p_limit rows of a table that are not sealed yet and not above an id, with the sub-totals of the ledger; returns the seal.';


--
-- Name: adopt_seen(bigint[]); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.adopt_seen(p_payout_transfer_ids bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_seen_ids bigint[];
    v_sightings text[];
begin
    if not exists (select from payout.stripe_sightings) then
        return p_payout_transfer_ids;
    end if;
    select array_agg(t.payout_transfer_id), array_agg(g.stripe_transfer_id)
    into v_seen_ids, v_sightings
    from payout.payout_transfers as t
    join payout.stripe_sightings as g on g.payout_ref = t.payout_ref
    where t.payout_transfer_id = any (p_payout_transfer_ids);

    if v_seen_ids is null then
        return p_payout_transfer_ids;
    end if;
    perform payout.adopt_sightings(v_sightings);
    return array(
        select t.payout_transfer_id
        from payout.payout_transfers as t
        where t.payout_transfer_id = any (p_payout_transfer_ids)
            and t.payout_transfer_id <> all (v_seen_ids)
            and t.settlement_id <> all (payout.held_subjects('settlement')));
end
$$;


--
-- Name: FUNCTION adopt_seen(p_payout_transfer_ids bigint[]); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.adopt_seen(p_payout_transfer_ids bigint[]) IS 'Adopts what was seen at Stripe and returns the others, which may be sent.';


--
-- Name: adopt_sightings(text[]); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.adopt_sightings(p_stripe_transfer_ids text[]) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_ids bigint[];
    v_outcomes payout.outcome[];
    v_alarms integer := 0;
begin
    if p_stripe_transfer_ids = '{}' then
        return 0;
    end if;
    v_ids := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.payout_transfer_id = any (array(
            select t.payout_transfer_id
            from payout.stripe_sightings as g
            join payout.payout_transfers as t on t.payout_ref = g.payout_ref
            where g.stripe_transfer_id = any (p_stripe_transfer_ids)))
        order by s.payout_transfer_id
        for update);
    perform payout.park_seen(v_ids);

    for v_outcomes in
        select array_agg(o.outcome)
        from (
            select
                payout.sighting_outcome(g, s) as outcome,
                row_number() over (
                    partition by s.payout_transfer_id order by g.created_at, g.stripe_transfer_id
                ) as turn
            from payout.stripe_sightings as g
            join payout.payout_transfers as t on t.payout_ref = g.payout_ref
            join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
            where g.stripe_transfer_id = any (p_stripe_transfer_ids)
        ) as o
        group by o.turn
        order by o.turn
    loop
        v_alarms := v_alarms + (
            select count(*) filter (where r.verdict = 'alarm')
            from payout.record_outcomes(v_outcomes) as r)::integer;
    end loop;
    perform payout.resolve_adopted(p_stripe_transfer_ids);
    return v_alarms;
end
$$;


--
-- Name: FUNCTION adopt_sightings(p_stripe_transfer_ids text[]); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.adopt_sightings(p_stripe_transfer_ids text[]) IS 'Judges stored sightings of transfers that are known here; returns how many were alarms.';


--
-- Name: answer_doorbells(bigint[]); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.answer_doorbells(p_doorbell_ids bigint[]) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'procrastinate', 'pg_temp'
    AS $$
declare
    v_answered integer;
begin
    if p_doorbell_ids is null or not payout.has_queue() then
        return 0;
    end if;
    delete from procrastinate.procrastinate_jobs as q
    where q.id in (
        select b.id
        from procrastinate.procrastinate_jobs as b
        where b.id = any (p_doorbell_ids)
            and b.status = 'todo'
            and b.task_name = 'payout.execute'
        for update skip locked
    );
    get diagnostics v_answered = row_count;
    return v_answered;
end
$$;


--
-- Name: FUNCTION answer_doorbells(p_doorbell_ids bigint[]); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.answer_doorbells(p_doorbell_ids bigint[]) IS 'Deletes the queue jobs of these ids that no worker has fetched yet; returns how many.';


--
-- Name: payout_transfers; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.payout_transfers (
    payout_transfer_id bigint NOT NULL,
    payout_job_id bigint NOT NULL,
    settlement_id payout.external_id NOT NULL,
    payee_id payout.external_id NOT NULL,
    source_transaction text,
    destination text NOT NULL,
    amount_minor bigint NOT NULL,
    currency payout.currency_code NOT NULL,
    payout_ref text NOT NULL,
    request jsonb NOT NULL,
    request_sha256 bytea NOT NULL,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
);


--
-- Name: TABLE payout_transfers; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.payout_transfers IS 'One Stripe transfer that is owed: who, how much, to which account, and the request as it will be sent, frozen when the settlement was completed.';


--
-- Name: COLUMN payout_transfers.amount_minor; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.payout_transfers.amount_minor IS 'Sum of the lines it pays, in minor units of currency.';


--
-- Name: COLUMN payout_transfers.payout_ref; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.payout_transfers.payout_ref IS 'Business identity: payout.payout_ref(settlement, payee, source_transaction). The idempotency key is payout_ref plus the key generation; Stripe stores it as metadata.';


--
-- Name: COLUMN payout_transfers.request; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.payout_transfers.request IS 'Parameters of POST /v1/transfers, sent exactly as they stand here.';


--
-- Name: COLUMN payout_transfers.request_sha256; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.payout_transfers.request_sha256 IS 'Digest of request, made by the database.';


--
-- Name: answers_request(payout.outcome, payout.payout_transfers); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.answers_request(p_outcome payout.outcome, p_transfer payout.payout_transfers) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
    return coalesce(
        p_outcome.object = 'transfer'
        and p_outcome.stripe_transfer_id ~ '^tr_[A-Za-z0-9_]+$'
        and length(p_outcome.stripe_transfer_id) <= 255
        and p_outcome.amount_minor = p_transfer.amount_minor
        and p_outcome.currency = p_transfer.currency
        and p_outcome.destination = p_transfer.destination
        and p_outcome.payout_ref = p_transfer.payout_ref
        and p_outcome.is_livemode is not null,
        false);
end
$_$;


--
-- Name: FUNCTION answers_request(p_outcome payout.outcome, p_transfer payout.payout_transfers); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.answers_request(p_outcome payout.outcome, p_transfer payout.payout_transfers) IS 'True when object, id, amount, currency, destination, mode and payout_ref are those asked for.';


--
-- Name: stripe_error_rules; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.stripe_error_rules (
    error_rule_id integer NOT NULL,
    signal text NOT NULL,
    http_status_from integer,
    http_status_to integer,
    error_type text,
    error_code text,
    is_replayed boolean,
    should_retry text,
    is_rate_limited boolean,
    reaction text NOT NULL,
    is_saved boolean DEFAULT false NOT NULL,
    is_alarm boolean DEFAULT false NOT NULL,
    wait_at_least interval DEFAULT '00:00:00'::interval NOT NULL,
    wait_base interval DEFAULT '00:00:01'::interval NOT NULL,
    wait_cap interval DEFAULT '00:15:00'::interval NOT NULL,
    reason text NOT NULL,
    advice text NOT NULL,
    CONSTRAINT only_a_decline_is_saved CHECK (((reaction = ANY (ARRAY['decline'::text, 'decline_until_funded'::text])) = is_saved)),
    CONSTRAINT reaction_is_known CHECK ((reaction = ANY (ARRAY['retry'::text, 'decline'::text, 'decline_until_funded'::text, 'refuse'::text, 'unknown'::text, 'park'::text, 'pause'::text, 'absent'::text]))),
    CONSTRAINT should_retry_is_stripes_header CHECK ((should_retry = ANY (ARRAY['true'::text, 'false'::text]))),
    CONSTRAINT signal_is_known CHECK ((signal = ANY (ARRAY['response'::text, 'unreadable'::text, 'no_response'::text, 'not_sent'::text, 'lease_expired'::text, 'key_expired'::text, 'looked_up'::text]))),
    CONSTRAINT status_range_is_whole CHECK ((((http_status_from IS NULL) = (http_status_to IS NULL)) AND (http_status_from <= http_status_to))),
    CONSTRAINT waits_are_in_order CHECK (((wait_at_least >= '00:00:00'::interval) AND (wait_base > '00:00:00'::interval) AND (wait_cap >= wait_base)))
);


--
-- Name: TABLE stripe_error_rules; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.stripe_error_rules IS 'What an answer that is no success means, as data: the first rule in order of its id that fits counts; a null column fits everything (stripe/FACTS.md, section 6).';


--
-- Name: COLUMN stripe_error_rules.should_retry; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.stripe_error_rules.should_retry IS 'Stripe-Should-Retry; null fits any.';


--
-- Name: COLUMN stripe_error_rules.is_rate_limited; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.stripe_error_rules.is_rate_limited IS 'Whether Stripe-Rate-Limited-Reason came with the answer; null fits both.';


--
-- Name: COLUMN stripe_error_rules.reaction; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.stripe_error_rules.reaction IS 'retry: surely not executed, same key; decline: saved under the key, money back to the payee; decline_until_funded: the same, and a new key later by itself; refuse: not saved, a decline only if nothing else was ever sent under the key; unknown: same key, sticky; park: a person, or a look at Stripe''s list; pause: hold the whole engine, costs no try; absent: proved by rule Q, money back to the payee and a new key.';


--
-- Name: COLUMN stripe_error_rules.is_saved; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.stripe_error_rules.is_saved IS 'Stripe answers the same to every later request with this key.';


--
-- Name: COLUMN stripe_error_rules.wait_at_least; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.stripe_error_rules.wait_at_least IS 'Floor of the wait before the next step.';


--
-- Name: COLUMN stripe_error_rules.advice; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.stripe_error_rules.advice IS 'What a person can do, shown beside the reason.';


--
-- Name: backoff(payout.stripe_error_rules, integer); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.backoff(p_rule payout.stripe_error_rules, p_tries integer) RETURNS interval
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return coalesce(
        p_rule.wait_at_least
            + random() * least(p_rule.wait_cap, p_rule.wait_base * 2 ^ least(p_tries, 30)),
        interval '5 minutes');
end
$$;


--
-- Name: FUNCTION backoff(p_rule payout.stripe_error_rules, p_tries integer); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.backoff(p_rule payout.stripe_error_rules, p_tries integer) IS 'The rule''s floor plus a random part of its base, doubled for each earlier try up to its cap.';


--
-- Name: book_reversals(payout.payout_transfers, jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.book_reversals(p_transfer payout.payout_transfers, p_reversals jsonb) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_booked integer;
begin
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor,
        currency, stripe_reversal_id)
    select p_transfer.payout_transfer_id, 'reversal', s.generation, 'stripe_balance',
        'payable:' || p_transfer.payee_id, (r.reversal ->> 'amount')::bigint, p_transfer.currency,
        r.reversal ->> 'id'
    from jsonb_array_elements(p_reversals) with ordinality as r (reversal, position)
    join payout.transfer_states as s on s.payout_transfer_id = p_transfer.payout_transfer_id
    order by r.position desc
    on conflict (stripe_reversal_id) where stripe_reversal_id is not null do nothing;
    get diagnostics v_booked = row_count;
    return v_booked;
end
$$;


--
-- Name: FUNCTION book_reversals(p_transfer payout.payout_transfers, p_reversals jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.book_reversals(p_transfer payout.payout_transfers, p_reversals jsonb) IS 'Books reversals that are not booked yet, oldest first; returns how many.';


--
-- Name: booked_places(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.booked_places() RETURNS TABLE(payout_transfer_id bigint, place text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
    select b.payout_transfer_id,
        string_agg(format('%s %s %s', b.account, b.amount_minor, b.currency), ', '
            order by b.account, b.currency)
    from (
        select e.payout_transfer_id, m.account, e.currency, sum(m.amount_minor) as amount_minor
        from payout.ledger_entries as e
        cross join lateral (values
            (e.debit_account, -e.amount_minor), (e.credit_account, e.amount_minor)
        ) as m (account, amount_minor)
        where e.kind <> 'reversal' and m.account <> 'settlement_funds'
        group by e.payout_transfer_id, m.account, e.currency
        having sum(m.amount_minor) <> 0
    ) as b
    group by b.payout_transfer_id
$$;


--
-- Name: FUNCTION booked_places(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.booked_places() IS 'For each transfer the account, amount in minor units and currency that its ledger entries leave it at, reversals aside.';


--
-- Name: call_person(text, text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.call_person(p_reason text, p_subject text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform pg_notify('payout_alarms', p_reason);
    raise warning 'payout alarm: %, %', p_reason, p_subject
        using hint = 'See payout.discrepancies and payout_api.unpaid.';
end
$$;


--
-- Name: FUNCTION call_person(p_reason text, p_subject text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.call_person(p_reason text, p_subject text) IS 'Notifies channel payout_alarms of a reason, and warns with what it is about.';


--
-- Name: check_books(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.check_books() RETURNS TABLE(check_name text, is_ok boolean, detail text, hint text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select 'books balance', count(*) = 0,
        coalesce(string_agg(b.currency, ', '), 'every currency'),
        'payout_api.hold(''engine'', …) and select * from payout_api.trial_balance'
    from payout_api.trial_balance as b
    where b.difference_minor <> 0 or b.in_flight_minor <> b.open_transfers_minor
    union all
    select 'no discrepancy is open', count(*) = 0,
        coalesce(string_agg(distinct d.kind, ', '), 'none'),
        'select * from payout.discrepancies where resolved_at is null'
    from payout.discrepancies as d
    where d.resolved_at is null
    union all
    select 'no secret in any row', count(*) = 0,
        coalesce(string_agg(distinct x.place, ', '), 'settlements, observations, actions, holds'),
        'revoke that key at Stripe, then find out who wrote it'
    from (
        select 'settlements.metadata', s.metadata::text from payout.settlements as s
        union all
        select 'transfer_observations',
            concat_ws(' ', o.facts, o.error_code, o.error_type, o.reason, o.stripe_request_id)
        from payout.transfer_observations as o
        union all
        select 'operator_actions', concat_ws(' ', a.reason, a.subject, a.details)
        from payout.operator_actions as a
        union all
        select 'holds', concat_ws(' ', h.reason, h.subject, h.release_reason)
        from payout.holds as h
        union all
        select 'discrepancies', concat_ws(' ', d.ours, d.theirs, d.resolution)
        from payout.discrepancies as d
    ) as x (place, content)
    where x.content ~ '(^|[^A-Za-z0-9])[sr]k_(live|test)_[A-Za-z0-9]'
$$;


--
-- Name: FUNCTION check_books(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.check_books() IS 'Part of payout_api.doctor(): books and transfers agree, no secret is stored.';


--
-- Name: check_gate(text, boolean); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.check_gate(p_stripe_account_id text, p_is_livemode boolean) RETURNS TABLE(check_name text, is_ok boolean, detail text, hint text)
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select 'the gate is open', g.problem is null,
        coalesce(g.problem, (
            select format('adopted by %s at %s: %s', e.recorded_by, e.recorded_at, e.reason)
            from payout.epochs as e
            order by e.epoch_id desc
            limit 1)),
        'docs/restore.md: payout-engine reconcile, then select payout_api.open_gate(reason)'
    from (select payout.gate_problem() as problem) as g
    union all
    select 'the key is of the fixed account',
        s.stripe_account_id is null or p_stripe_account_id is null
            or (s.stripe_account_id = p_stripe_account_id
                and s.is_livemode is not distinct from p_is_livemode),
        concat_ws('; ',
            case
                when s.stripe_account_id is null then 'none is fixed: the first claim fixes one'
                else 'fixed: ' || payout.name_stripe_account(s.stripe_account_id, s.is_livemode)
            end,
            'the key: ' || case
                when p_stripe_account_id is null then 'not asked'
                else payout.name_stripe_account(p_stripe_account_id, p_is_livemode)
            end),
        'give the worker another key; if the platform has moved: '
            'select payout_api.change_stripe_account(stripe_account_id, is_livemode, reason)'
    from payout.engine_settings as s
$$;


--
-- Name: FUNCTION check_gate(p_stripe_account_id text, p_is_livemode boolean); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.check_gate(p_stripe_account_id text, p_is_livemode boolean) IS 'Part of payout_api.doctor(): the database is where it was adopted, the key is of its account.';


--
-- Name: check_guards(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.check_guards() RETURNS TABLE(check_name text, is_ok boolean, detail text, hint text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select 'guards are enabled always', count(*) filter (where t.tgenabled = 'A') = 71,
        coalesce(string_agg(format('%s on %s', t.tgname, t.tgrelid::regclass), ', ')
            filter (where t.tgenabled <> 'A'), format('%s of 71 guards', count(*))),
        'alter table … enable always trigger …; then find out who disabled it'
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = 'payout'::regnamespace and not t.tgisinternal
        and t.tgname not in (
            '_900_schedule_payout_job', '_900_refuse_frozen_insert', '_900_check_settlement')
    union all
    select 'inserts are guarded', count(*) = 2, format('%s of 2 guards', count(*)),
        'alter table … enable trigger …; then find out who disabled it'
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = 'payout'::regnamespace and t.tgenabled = 'O'
        and t.tgname in ('_900_refuse_frozen_insert', '_900_check_settlement')
    union all
    select 'settlements schedule their payouts', coalesce(min(t.tgenabled::text) = 'O', false),
        coalesce(min(t.tgenabled::text), 'missing'),
        'alter table payout.settlements enable trigger _900_schedule_payout_job'
    from pg_trigger as t
    where t.tgrelid = 'payout.settlements'::regclass and t.tgname = '_900_schedule_payout_job'
    union all
    select 'no table is part of another', count(*) = 0,
        coalesce(string_agg(i.inhrelid::regclass::text, ', '), 'no child'),
        'find out who made it: its rows count as those of its parent, and no guard sees them'
    from pg_inherits as i
    join pg_class as c on c.oid = i.inhparent
    where c.relnamespace = 'payout'::regnamespace and c.relkind = 'r'
    union all
    select 'everything belongs to payout_owner', count(*) = 0,
        coalesce(string_agg(o.name, ', '), 'tables, views and functions'),
        'alter … owner to payout_owner'
    from (
        select c.oid::regclass::text from pg_class as c
        where c.relnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
            and c.relkind in ('r', 'v') and c.relowner <> 'payout_owner'::regrole
        union all
        select p.oid::regprocedure::text from pg_proc as p
        where p.pronamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
            and p.proowner <> 'payout_owner'::regrole
    ) as o (name)
    union all
    select 'functions are pinned and private', count(*) = 0,
        coalesce(string_agg(p.oid::regprocedure::text, ', '), 'every function'),
        'deploy the migrations again; nothing else may replace these functions'
    from pg_proc as p
    where p.pronamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        and (not coalesce(p.proconfig, '{}') && array[
                'search_path=pg_catalog, pg_temp', 'search_path=pg_catalog, procrastinate, pg_temp']
            or has_function_privilege('public', p.oid, 'EXECUTE'))
$$;


--
-- Name: FUNCTION check_guards(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.check_guards() IS 'Part of payout_api.doctor(): triggers, owners and rights are as deployed.';


--
-- Name: check_lines_of(text[], boolean); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.check_lines_of(p_settlement_ids text[], p_are_new boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_found_ids text[];
    v_has_older boolean;
    v_frozen_id text;
begin
    select coalesce(array_agg(l.settlement_id), '{}'::text[]), coalesce(bool_or(l.is_older), false)
    into v_found_ids, v_has_older
    from (
        select s.settlement_id::text,
            s.state = 'pending' and s.xmin <> pg_current_xact_id()::xid as is_older
        from payout.settlements as s
        where s.settlement_id = any (p_settlement_ids)
        order by s.settlement_id
        for no key update
    ) as l;

    if cardinality(v_found_ids) < cardinality(p_settlement_ids) then
        insert into payout.lines_ahead (settlement_id)
        select i.settlement_id::payout.external_id
        from (
            select unnest(p_settlement_ids)
            except
            select unnest(v_found_ids)
        ) as i (settlement_id)
        order by i.settlement_id
        on conflict do nothing;
    end if;

    if v_has_older then
        update payout.settlements as s
        set state = s.state
        where s.settlement_id = any (p_settlement_ids)
            and s.state = 'pending'
            and s.xmin <> pg_current_xact_id()::xid;
    end if;

    -- With immediate constraints the very statement that inserts both has scheduled
    -- the settlement by now; it did so with these lines if they add up.
    select j.settlement_id::text into v_frozen_id
    from payout.payout_jobs as j
    join payout.settlements as s on s.settlement_id = j.settlement_id
    where j.settlement_id = any (p_settlement_ids)
        and (not p_are_new or s.total_minor <> (
            select sum(l.amount_minor)
            from payout.settlement_lines as l
            where l.settlement_id = j.settlement_id
        ))
    limit 1;
    if found then
        perform payout.refuse_late_lines(v_frozen_id);
    end if;
end
$$;


--
-- Name: FUNCTION check_lines_of(p_settlement_ids text[], p_are_new boolean); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.check_lines_of(p_settlement_ids text[], p_are_new boolean) IS 'Refuses changed lines of settlements that have been scheduled (SP102); guards against those that are being completed meanwhile.';


--
-- Name: check_queue(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.check_queue() RETURNS TABLE(check_name text, is_ok boolean, detail text, hint text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select 'the doorbell can ring',
        payout.has_queue() and exists (
            select from pg_proc as p
            where p.pronamespace = to_regnamespace('procrastinate')
                and p.proname = 'procrastinate_defer_jobs_v1'
        ),
        'procrastinate''s schema, functions and rights', 'payout-engine migrate'
    union all
    select 'somebody sweeps', count(*) = 0,
        format('%s leases ran out over a minute ago', count(*)),
        'start a worker, or select * from payout_api.sweep()'
    from payout.transfer_states as s
    where s.lease_until < clock_timestamp() - interval '1 minute'
    union all
    select 'somebody claims', count(*) = 0,
        format('%s transfers have been due for over five minutes', count(*)),
        'start a worker; select * from payout_api.unpaid order by next_attempt_at'
    from payout.transfer_states as s
    where s.next_attempt_at < clock_timestamp() - interval '5 minutes'
    union all
    select 'nothing is on hold', count(*) = 0,
        coalesce(string_agg(format('%s (%s)', concat_ws(' ', h.scope, h.subject), h.reason), ', '),
            'no hold'),
        'payout_api.release_hold(hold_id, reason) once the cause is gone'
    from payout.holds as h
    where h.released_at is null
$$;


--
-- Name: FUNCTION check_queue(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.check_queue() IS 'Part of payout_api.doctor(): the queue is installed, rung and answered, nothing is on hold.';


--
-- Name: check_references(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.check_references() RETURNS TABLE(check_name text, is_ok boolean, detail text, hint text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select 'every row refers to what is there', count(*) = 0,
        coalesce(string_agg(distinct o.name, ', '), 'lines, jobs, transfers, progress and entries'),
        'the guards were off while somebody changed rows: compare with a backup'
    from (
        select 'settlement_lines' from payout.settlement_lines as l
        where not exists (
            select from payout.settlements as s where s.settlement_id = l.settlement_id
        )
        union all
        select 'payout_jobs' from payout.payout_jobs as j
        where not exists (
            select from payout.settlements as s where s.settlement_id = j.settlement_id
        )
        union all
        select 'payout_transfers' from payout.payout_transfers as t
        where not exists (
            select from payout.payout_jobs as j where j.payout_job_id = t.payout_job_id
        ) or not exists (
            select from payout.payees as p where p.payee_id = t.payee_id
        ) or not exists (
            select from payout.transfer_states as s
            where s.payout_transfer_id = t.payout_transfer_id
        )
        union all
        select 'transfer_states' from payout.transfer_states as s
        where not exists (
            select from payout.payout_transfers as t
            where t.payout_transfer_id = s.payout_transfer_id
        )
        union all
        select 'ledger_entries' from payout.ledger_entries as e
        where not exists (
            select from payout.payout_transfers as t
            where t.payout_transfer_id = e.payout_transfer_id
        )
    ) as o (name)
$$;


--
-- Name: FUNCTION check_references(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.check_references() IS 'Part of payout_api.doctor(): no line, job, transfer, progress row or entry is an orphan.';


--
-- Name: check_rights(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.check_rights() RETURNS TABLE(check_name text, is_ok boolean, detail text, hint text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select 'nobody was given more rights', count(*) = 0,
        coalesce(string_agg(format('%s on %s to %s', g.privilege_type, g.thing,
            case g.grantee when 0 then 'public' else g.grantee::regrole::text end), ', '), 'none'),
        'revoke … on … from …; then find out who granted it'
    from payout.given_rights() as g
    where g.grantee <> g.owner
        and not exists (
            select
            from payout.expected_rights() as w
            where g.grantee <> 0
                and g.grantee::regrole::text = any (string_to_array(w.roles, '|'))
                and g.privilege_type = any (string_to_array(w.privileges, '|'))
                and g.thing ~ w.things
        )
$$;


--
-- Name: FUNCTION check_rights(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.check_rights() IS 'Part of payout_api.doctor(): rights beyond reading are those that the migrations gave.';


--
-- Name: check_rules(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.check_rules() RETURNS TABLE(check_name text, is_ok boolean, detail text, hint text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    with open_transfers as (
        select s as progress, t.*
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where s.state not in ('paid', 'cancelled')
    ), wrong as (
        select o.payout_transfer_id as id, 'every request still to be sent says what its row says'
        from open_transfers as o
        where o.amount_minor <= 0 or not starts_with(o.destination, 'acct_')
            or o.payout_ref
                <> payout.payout_ref(o.settlement_id, o.payee_id, o.source_transaction)
            or o.request_sha256 <> payout.request_sha256(o.request)
            or case jsonb_typeof(o.request) when 'object' then o.request - 'metadata' end
                is distinct from jsonb_build_object(
                    'amount', o.amount_minor, 'currency', o.currency,
                    'destination', o.destination,
                    case when o.source_transaction is null
                        then 'transfer_group' else 'source_transaction' end,
                    coalesce(o.source_transaction, o.payout_ref))
            or (o.request -> 'metadata' @> jsonb_build_object(
                'payout_ref', o.payout_ref, 'settlement_id', o.settlement_id,
                'payee_id', o.payee_id)) is not true
        union all
        select o.payout_transfer_id, 'every transfer that is not paid can go on'
        from open_transfers as o
        where payout.progress_problem(o.progress) is not null
        union all
        select e.ledger_entry_id, 'every entry is a movement that exists'
        from payout.ledger_entries as e
        where e.amount_minor <= 0 or (e.kind = 'obligation' and e.generation <> 1)
            or (e.kind = 'reversal') <> (e.stripe_reversal_id is not null)
            or (
                e.kind,
                case when e.debit_account like 'payable:_%' then '*' else e.debit_account end,
                case when e.credit_account like 'payable:_%' then '*' else e.credit_account end
            ) not in (
                ('obligation', 'settlement_funds', '*'), ('reserve', '*', 'in_flight'),
                ('paid', 'in_flight', 'stripe_balance'), ('release', 'in_flight', '*'),
                ('reversal', 'stripe_balance', '*'))
    )
    select r.rule, count(w.id) = 0,
        format('%s break this%s', count(w.id), ', the first is number ' || min(w.id)),
        'payout_api.hold(''engine'', …); find out who wrote it while the guards were off'
    from (values
        ('every request still to be sent says what its row says'),
        ('every transfer that is not paid can go on'),
        ('every entry is a movement that exists')
    ) as r (rule)
    left join wrong as w (id, rule) on w.rule = r.rule
    group by r.rule
$$;


--
-- Name: FUNCTION check_rules(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.check_rules() IS 'Part of payout_api.doctor(): open transfers and ledger entries keep the rules of their rows.';


--
-- Name: check_seal(payout.seals); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.check_seal(p_seal payout.seals) RETURNS TABLE(table_name text, row_id bigint, seal_id bigint, what text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
    with changed as materialized (
        select r.row_id, r.what from payout.check_seal_rows(p_seal) as r
    )
    select 'seals', p_seal.seal_id, p_seal.seal_id, c.what
    from payout.check_seal_chain(p_seal) as c (what)
    where c.what is not null
    union all
    select p_seal.table_name, c.row_id, p_seal.seal_id, c.what
    from changed as c
    union all
    select 'seal_subtotals', null, p_seal.seal_id, format('%s %s is altered', account, currency)
    from (select s.* from payout.seal_subtotals as s where s.seal_id = p_seal.seal_id) as s
    full join (
        select b.* from payout.subtotals_of(p_seal) as b
        where p_seal.table_name = 'ledger_entries'
    ) as b using (account, currency)
    where (s.debit_minor, s.credit_minor) is distinct from (b.debit_minor, b.credit_minor)
        and not exists (select from changed as c)
$$;


--
-- Name: FUNCTION check_seal(p_seal payout.seals); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.check_seal(p_seal payout.seals) IS 'Findings about one seal: the chain, its rows, its sub-totals.';


--
-- Name: check_seal_chain(payout.seals); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.check_seal_chain(p_seal payout.seals) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select case
        when p_seal.seal_id > 1 and not exists (
            select from payout.seals as b where b.seal_id = p_seal.seal_id - 1
        ) then 'the seal before it is missing'
        when p_seal.seal_sha256 <> payout.seal_sha256(p_seal)
            then 'it was altered, or the seal before it was'
        when p_seal.first_id is distinct from coalesce((
            select max(b.last_id) + 1
            from payout.seals as b
            where b.table_name = p_seal.table_name and b.last_id < p_seal.last_id
        ), -9223372036854775808) then 'it does not begin where the one before it ended'
    end
$$;


--
-- Name: FUNCTION check_seal_chain(p_seal payout.seals); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.check_seal_chain(p_seal payout.seals) IS 'What is wrong with a seal itself; null when it is as it was made.';


--
-- Name: check_seal_rows(payout.seals); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.check_seal_rows(p_seal payout.seals) RETURNS TABLE(row_id bigint, what text)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
declare
    v_ids bigint[];
    v_digests bytea[];
    v_rows_sha256 bytea;
begin
    select
        coalesce(array_agg(r.row_id), '{}'), coalesce(array_agg(substr(r.row_sha256, 1, 8)), '{}'),
        sha256(coalesce(string_agg(r.row_sha256, '' order by r.row_id), ''))
    into v_ids, v_digests, v_rows_sha256
    from payout.sealed_rows_v1(
        p_seal.table_name, p_seal.first_id, p_seal.last_id, null) as r;
    if v_rows_sha256 = p_seal.rows_sha256 then
        return;
    end if;

    return query
    select coalesce(n.row_id, s.row_id), case
        when s.row_id is null then 'slipped in'
        when n.row_id is null then 'removed'
        else 'altered'
    end
    from unnest(v_ids, v_digests) as n (row_id, digest)
    full join (
        select i.row_id, substr(p_seal.row_digests, i.position::integer * 8 - 7, 8) as digest
        from (
            select g.row_id, row_number() over (order by g.row_id) as position
            from unnest(p_seal.row_ids) as r
            cross join lateral generate_series(lower(r), upper(r) - 1) as g (row_id)
        ) as i
    ) as s on s.row_id = n.row_id
    where s.digest is distinct from n.digest
    order by 1;
    -- Somebody found a row whose digest begins like that of the row it replaces.
    if not found then
        return query select null::bigint, 'altered';
    end if;
end
$$;


--
-- Name: FUNCTION check_seal_rows(p_seal payout.seals); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.check_seal_rows(p_seal payout.seals) IS 'Rows of a seal''s range that were altered, removed or slipped in since; none: all is well.';


--
-- Name: check_seals(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.check_seals() RETURNS TABLE(check_name text, is_ok boolean, detail text, hint text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select 'facts are sealed in time', count(*) = 0,
        coalesce(string_agg(m.table_name, ', '), 'all that are older than 15 minutes'),
        'start a worker, or payout_api.seal(); else a transaction, of any database of the server, '
        'has been writing for long: select * from pg_stat_activity where backend_xid is not null'
    from payout.seal_marks as m
    cross join lateral payout.sealed_rows_v1(
        m.table_name,
        coalesce(
            (select max(s.last_id) + 1 from payout.seals as s where s.table_name = m.table_name),
            -9223372036854775808),
        9223372036854775807, 1) as r
    where r.row_at < clock_timestamp() - interval '15 minutes'
    union all
    select 'the newest seals are as they were made', count(*) = 0,
        coalesce(string_agg(distinct c.table_name, ', '), 'the last range of each sealed table'),
        'payout_api.hold(''engine'', …), select * from payout_api.verify_seals(), and find out who '
        'wrote there'
    from payout.seal_marks as m
    cross join lateral (
        select s as seal
        from payout.seals as s
        where s.table_name = m.table_name
        order by s.last_id desc
        limit 1
    ) as n
    cross join lateral payout.check_seal(n.seal) as c
$$;


--
-- Name: FUNCTION check_seals(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.check_seals() IS 'Part of payout_api.doctor(): nothing waits long to be sealed, the newest ranges are intact.';


--
-- Name: check_server(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.check_server() RETURNS TABLE(check_name text, is_ok boolean, detail text, hint text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select 'server version',
        current_setting('server_version_num')::integer / 10000 between 15 and 18,
        current_setting('server_version'), 'The engine is tested on PostgreSQL 15 to 18.'
    union all
    select 'server keeps commits',
        not pg_is_in_recovery() and current_setting('fsync') = 'on'
            and current_setting('synchronous_commit') not in ('off', 'local')
            and current_setting('full_page_writes') = 'on',
        format('fsync %s, synchronous_commit %s, full_page_writes %s, in recovery %s',
            current_setting('fsync'), current_setting('synchronous_commit'),
            current_setting('full_page_writes'), pg_is_in_recovery()),
        'Claims are refused on a server that may lose them.'
    union all
    select 'nobody may create temporary objects',
        not has_database_privilege('public', current_database(), 'TEMPORARY'),
        format('database %s', current_database()),
        format('revoke temporary on database %I from public', current_database())
$$;


--
-- Name: FUNCTION check_server(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.check_server() IS 'Part of payout_api.doctor(): version, durability.';


--
-- Name: check_settlements(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.check_settlements() RETURNS TABLE(check_name text, is_ok boolean, detail text, hint text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select 'every complete settlement is scheduled', count(*) = 0,
        format('%s are not', count(*)),
        'select payout.schedule_payout_job(settlement_id), as superuser'
    from payout.settlements as s
    where s.state = 'complete'
        and not exists (
            select from payout.payout_jobs as j where j.settlement_id = s.settlement_id
        )
    union all (
        with owed as (
            select l.settlement_id, l.payee_id, l.source_transaction::text,
                sum(l.amount_minor) as amount_minor
            from payout.settlement_lines as l
            join payout.payout_jobs as j on j.settlement_id = l.settlement_id
            group by l.settlement_id, l.payee_id, l.source_transaction
        ), made as (
            select t.settlement_id, t.payee_id, t.source_transaction,
                t.amount_minor::numeric as amount_minor
            from payout.payout_transfers as t
        ), total as (
            select s.settlement_id, s.total_minor::numeric as amount_minor
            from payout.settlements as s
            join payout.payout_jobs as j on j.settlement_id = s.settlement_id
        ), wrong as (
            select o.settlement_id from (table owed except table made) as o
            union
            select m.settlement_id from (table made except table owed) as m
            union
            select t.settlement_id
            from (
                table total
                except
                select o.settlement_id, sum(o.amount_minor) from owed as o group by o.settlement_id
            ) as t
        )
        select 'every settlement is paid as its lines say', count(*) = 0,
            format('%s are not%s', count(*), ', the first is ' || min(w.settlement_id)),
            'compare its lines with its transfers; settle what is missing under another id'
        from wrong as w
    )
$$;


--
-- Name: FUNCTION check_settlements(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.check_settlements() IS 'Part of payout_api.doctor(): no complete settlement is forgotten, and none of its lines.';


--
-- Name: clear_lost_doorbells(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.clear_lost_doorbells() RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'procrastinate', 'pg_temp'
    AS $$
declare
    v_cleared integer;
begin
    if not payout.has_queue() then
        return 0;
    end if;
    delete from procrastinate.procrastinate_jobs as q
    where q.id in (
        select b.id
        from procrastinate.procrastinate_jobs as b
        where b.task_name in ('payout.execute', 'payout.sweep')
            and b.status <> 'todo'
            and (
                select max(e.at) from procrastinate.procrastinate_events as e where e.job_id = b.id
            ) < payout.clock() - case b.status
                when 'doing' then interval '2 minutes'
                else interval '1 day'
            end
        for update skip locked
    );
    get diagnostics v_cleared = row_count;
    return v_cleared;
end
$$;


--
-- Name: FUNCTION clear_lost_doorbells(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.clear_lost_doorbells() IS 'Deletes queue jobs of ours that have been `doing` for two minutes or ended a day ago.';


--
-- Name: clock(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.clock() RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return clock_timestamp();
end
$$;


--
-- Name: FUNCTION clock(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.clock() IS 'Now, by the database''s clock, not frozen per transaction.';


--
-- Name: close_reversal_lookup(payout.payout_transfers, text, text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.close_reversal_lookup(p_transfer payout.payout_transfers, p_stripe_transfer_id text, p_problem text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_is_complete boolean;
begin
    update payout.reversed_transfers as r
    set next_lookup_at = case
            when p_problem is null and b.booked_minor < r.amount_reversed_minor
                then payout.clock() + interval '10 minutes'
            -- More was seen since it was handed out: note_reversals asked for another look.
            when r.next_lookup_at <= payout.clock() then r.next_lookup_at
        end,
        amount_reversed_minor = greatest(r.amount_reversed_minor, b.booked_minor)
    from (
        select coalesce(sum(e.amount_minor), 0)::bigint as booked_minor
        from payout.ledger_entries as e
        where e.payout_transfer_id = p_transfer.payout_transfer_id and e.kind = 'reversal'
    ) as b
    where r.stripe_transfer_id = p_stripe_transfer_id
    returning b.booked_minor >= r.amount_reversed_minor into strict v_is_complete;
    return v_is_complete;
end
$$;


--
-- Name: FUNCTION close_reversal_lookup(p_transfer payout.payout_transfers, p_stripe_transfer_id text, p_problem text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.close_reversal_lookup(p_transfer payout.payout_transfers, p_stripe_transfer_id text, p_problem text) IS 'True when all that was seen taken back is booked; decides when its reversals are read again.';


--
-- Name: stripe_sightings; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.stripe_sightings (
    stripe_transfer_id text NOT NULL,
    payout_ref text NOT NULL,
    amount_minor bigint,
    amount_reversed_minor bigint NOT NULL,
    currency payout.currency_code,
    destination text,
    is_livemode boolean,
    named_payout_ref text,
    named_settlement text,
    created_at timestamp with time zone NOT NULL,
    reconcile_run_id bigint,
    seen_at timestamp with time zone NOT NULL
);


--
-- Name: TABLE stripe_sightings; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.stripe_sightings IS 'Transfers that Stripe had when these books did not say that it had paid by them. A transfer with such a payout_ref is never sent: it becomes paid, or an alarm.';


--
-- Name: COLUMN stripe_sightings.payout_ref; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.stripe_sightings.payout_ref IS 'Whose it is: by its transfer_group, else by its metadata.';


--
-- Name: COLUMN stripe_sightings.amount_minor; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.stripe_sightings.amount_minor IS 'With the next columns: as Stripe listed it; null: not to be read.';


--
-- Name: COLUMN stripe_sightings.amount_reversed_minor; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.stripe_sightings.amount_reversed_minor IS 'What had been taken back of it when it was seen first.';


--
-- Name: COLUMN stripe_sightings.named_payout_ref; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.stripe_sightings.named_payout_ref IS 'payout_ref in its metadata, by which a success is judged.';


--
-- Name: COLUMN stripe_sightings.named_settlement; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.stripe_sightings.named_settlement IS 'settlement_id in its metadata.';


--
-- Name: COLUMN stripe_sightings.created_at; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.stripe_sightings.created_at IS 'When Stripe made it, by Stripe''s clock.';


--
-- Name: COLUMN stripe_sightings.reconcile_run_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.stripe_sightings.reconcile_run_id IS 'The run that saw it first; null: an event did.';


--
-- Name: COLUMN stripe_sightings.seen_at; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.stripe_sightings.seen_at IS 'When that run saw it, by our clock.';


--
-- Name: compare_sightings(payout.stripe_sightings[]); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.compare_sightings(p_seen payout.stripe_sightings[]) RETURNS SETOF payout.finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
    return query
    select
        k.kind, t.payout_transfer_id, g.stripe_transfer_id,
        case when t.payout_transfer_id is not null then
            payout.transfer_facts(t, e.is_livemode) else '{}' end,
        jsonb_strip_nulls(to_jsonb(g) - array['stripe_transfer_id', 'reconcile_run_id', 'seen_at'])
    from unnest(p_seen) as g
    cross join payout.engine_settings as e
    left join payout.transfer_states as s on s.stripe_transfer_id = g.stripe_transfer_id
    left join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    cross join lateral (select case
        when t.payout_transfer_id is not null then case
            when (g.payout_ref, g.amount_minor, g.currency::text, g.destination, g.is_livemode)
                is distinct from (
                    t.payout_ref, t.amount_minor, t.currency::text, t.destination, e.is_livemode)
                then 'differs_at_stripe'
        end
        when g.payout_ref is null then case
            when g.created_at > (select min(o.recorded_at) from payout.epochs as o)
                - interval '1 day' then 'transfer_without_payout_ref'
        end
        when not exists (
            select from payout.payout_transfers as o where o.payout_ref = g.payout_ref
        ) then 'unknown_transfer_at_stripe'
    end) as k (kind)
    where k.kind is not null;
end
$$;


--
-- Name: FUNCTION compare_sightings(p_seen payout.stripe_sightings[]); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.compare_sightings(p_seen payout.stripe_sightings[]) IS 'Findings about listed transfers: other content than paid here, made by somebody else, or unknown here.';


--
-- Name: settlements; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.settlements (
    settlement_id payout.external_id NOT NULL,
    currency payout.currency_code NOT NULL,
    total_minor payout.positive_minor NOT NULL,
    state payout.settlement_state DEFAULT 'pending'::text NOT NULL,
    pay_after payout.moment,
    metadata payout.metadata DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    is_scheduled_by_call boolean DEFAULT false NOT NULL
);


--
-- Name: TABLE settlements; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.settlements IS 'What the marketplace settled with its payees. Editable while pending, frozen once complete; completing it schedules its payouts in the same transaction.';


--
-- Name: COLUMN settlements.total_minor; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.settlements.total_minor IS 'Sum of the lines in minor units of the currency; the commit fails if they differ.';


--
-- Name: COLUMN settlements.pay_after; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.settlements.pay_after IS 'Nothing is sent before this time; null: at once.';


--
-- Name: COLUMN settlements.metadata; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.settlements.metadata IS 'Text values copied into the metadata of each Stripe transfer, within Stripe''s limits.';


--
-- Name: COLUMN settlements.is_scheduled_by_call; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.settlements.is_scheduled_by_call IS 'True: complete_settlement wrote the row and made its job; the trigger need not.';


--
-- Name: create_payout_job(payout.settlements); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.create_payout_job(p_settlement payout.settlements) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_payout_job_id bigint;
    v_made_minor bigint;
begin
    insert into payout.payout_jobs (settlement_id)
    values (p_settlement.settlement_id)
    on conflict do nothing
    returning payout_job_id into v_payout_job_id;

    if not found then
        select j.payout_job_id into strict v_payout_job_id
        from payout.payout_jobs as j
        where j.settlement_id = p_settlement.settlement_id;
        return v_payout_job_id;
    end if;

    -- First: a reserved key in the metadata would be found wrong in the requests.
    if p_settlement.metadata <> '{}' then
        perform payout.refuse_bad_header(p_settlement);
    end if;
    v_made_minor := payout.create_transfers(p_settlement, v_payout_job_id);
    if v_made_minor is distinct from p_settlement.total_minor then
        perform payout.refuse_bad_settlement(p_settlement, v_made_minor);
    end if;
    return v_payout_job_id;
end
$$;


--
-- Name: FUNCTION create_payout_job(p_settlement payout.settlements); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.create_payout_job(p_settlement payout.settlements) IS 'Schedules the payouts of a complete settlement whose row this transaction holds; returns the payout_job_id. Refuses one that cannot be paid out as it stands (SP301 to SP306, SP308) or has changed meanwhile (SP402).';


--
-- Name: settlement_lines; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.settlement_lines (
    settlement_id payout.external_id NOT NULL,
    line_id payout.external_id NOT NULL,
    payee_id payout.external_id NOT NULL,
    amount_minor payout.positive_minor NOT NULL,
    source_transaction payout.source_transaction_id
);


--
-- Name: TABLE settlement_lines; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.settlement_lines IS 'What a settlement owes to whom. Lines of one payee and source_transaction become one transfer.';


--
-- Name: COLUMN settlement_lines.amount_minor; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.settlement_lines.amount_minor IS 'Amount in the smallest unit of the settlement''s currency (cents for usd, yen for jpy).';


--
-- Name: COLUMN settlement_lines.source_transaction; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.settlement_lines.source_transaction IS 'Stripe charge that funds the line; null: the platform''s available balance.';


--
-- Name: create_single_payout(payout.settlements, payout.settlement_lines); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.create_single_payout(p_settlement payout.settlements, p_line payout.settlement_lines) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_destination text;
    v_payout_job_id bigint := nextval('payout.payout_jobs_payout_job_id_seq'::regclass);
    v_transfer_id bigint := nextval('payout.payout_transfers_payout_transfer_id_seq'::regclass);
    v_doorbell_id bigint := pg_sequence_last_value('payout.seen_doorbell'::regclass);
begin
    select (
        select a.stripe_account_id
        from payout.payee_accounts as a
        where a.payee_id = p_line.payee_id
        order by a.payee_account_id desc
        limit 1
    ) into v_destination
    from payout.currencies as c
    where c.currency = p_settlement.currency
        and p_line.amount_minor <= c.largest_amount_minor
        and p_line.amount_minor % c.amount_step = 0;

    if p_settlement.metadata <> '{}' then
        perform payout.refuse_bad_header(p_settlement);
    end if;
    if v_destination is null or p_line.amount_minor <> p_settlement.total_minor then
        perform payout.refuse_bad_settlement(
            p_settlement, case when v_destination is not null then p_line.amount_minor::bigint end);
    end if;

    -- The bell that was seen to wait serves nearly every settlement.
    if v_doorbell_id is null or p_settlement.pay_after is not null then
        v_doorbell_id := (payout.ring_for_job(v_payout_job_id, 1, p_settlement.pay_after))[1];
    end if;

    -- One statement: each costs its start and end once more.
    with job as (
        insert into payout.payout_jobs (payout_job_id, settlement_id) overriding system value
        values (v_payout_job_id, p_settlement.settlement_id)
    ), transfer as (
        insert into payout.payout_transfers (
            payout_transfer_id, payout_job_id, settlement_id, payee_id, source_transaction,
            destination, amount_minor, currency, request)
        overriding system value
        values (
            v_transfer_id, v_payout_job_id, p_settlement.settlement_id, p_line.payee_id,
            p_line.source_transaction, v_destination, p_line.amount_minor, p_settlement.currency,
            case when p_settlement.metadata <> '{}'
                then jsonb_build_object('metadata', p_settlement.metadata)
            end)
    ), progress as (
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, doorbell_id)
        values (v_transfer_id, coalesce(p_settlement.pay_after, current_timestamp), v_doorbell_id)
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    values
        (v_transfer_id, 'obligation', 1, 'settlement_funds', 'payable:' || p_line.payee_id,
            p_line.amount_minor, p_settlement.currency),
        (v_transfer_id, 'reserve', 1, 'payable:' || p_line.payee_id, 'in_flight',
            p_line.amount_minor, p_settlement.currency);
    return v_payout_job_id;
end
$$;


--
-- Name: FUNCTION create_single_payout(p_settlement payout.settlements, p_line payout.settlement_lines); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.create_single_payout(p_settlement payout.settlements, p_line payout.settlement_lines) IS 'Schedules the payout of a new settlement by its only line; returns the payout_job_id. Refuses what create_payout_job refuses.';


--
-- Name: create_transfers(payout.settlements, bigint); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.create_transfers(p_settlement payout.settlements, p_payout_job_id bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_made_minor bigint;
begin
    with owed as materialized (
        select * from payout.owed_transfers(p_settlement)
    ), bells as materialized (
        select payout.ring_for_job(
            p_payout_job_id, (select count(*)::integer from owed), p_settlement.pay_after) as ids
    ), transfers as (
        insert into payout.payout_transfers (
            payout_job_id, settlement_id, payee_id, source_transaction, destination,
            amount_minor, currency, request)
        select
            p_payout_job_id, p_settlement.settlement_id, o.payee_id, o.source_transaction,
            o.stripe_account_id, o.amount_minor, p_settlement.currency,
            case when p_settlement.metadata <> '{}'
                then jsonb_build_object('metadata', p_settlement.metadata)
            end
        from owed as o
        returning payout_transfer_id, payee_id, amount_minor, currency
    ), states as (
        -- The bells are shared out evenly; without any the sweep will ring.
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, doorbell_id)
        select t.payout_transfer_id, coalesce(p_settlement.pay_after, current_timestamp),
            b.ids[1 + (row_number() over (order by t.payout_transfer_id) - 1)
                * cardinality(b.ids) / count(*) over ()]
        from transfers as t
        cross join bells as b
    ), entries as (
        insert into payout.ledger_entries (
            payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor,
            currency)
        select
            t.payout_transfer_id, e.kind, 1, e.debit_account, e.credit_account, t.amount_minor,
            t.currency
        from transfers as t
        cross join lateral (values
            ('obligation', 'settlement_funds', 'payable:' || t.payee_id),
            ('reserve', 'payable:' || t.payee_id, 'in_flight')
        ) as e (kind, debit_account, credit_account)
        order by t.payout_transfer_id, e.kind
    )
    select sum(t.amount_minor)::bigint into v_made_minor
    from transfers as t
    having sum(t.amount_minor) = (
        select sum(l.amount_minor)
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id);
    return v_made_minor;
end
$$;


--
-- Name: FUNCTION create_transfers(p_settlement payout.settlements, p_payout_job_id bigint); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.create_transfers(p_settlement payout.settlements, p_payout_job_id bigint) IS 'Writes the transfers of a settlement, their progress rows with their bells, and the books; returns the sum of their amounts, null unless that is what the lines add up to.';


--
-- Name: defer_job(bigint, integer); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.defer_job(p_payout_job_id bigint, p_times integer) RETURNS bigint[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'procrastinate', 'pg_temp'
    AS $$
begin
    if p_times < 1 or not payout.has_queue() then
        return '{}'::bigint[];
    end if;
    return procrastinate.procrastinate_defer_jobs_v1(array_fill(
        row(
            'payouts', 'payout.execute', 0, null, null,
            jsonb_build_object('payout_job_id', p_payout_job_id), null
        )::procrastinate.procrastinate_job_to_defer_v1,
        array[p_times]));
end
$$;


--
-- Name: FUNCTION defer_job(p_payout_job_id bigint, p_times integer); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.defer_job(p_payout_job_id bigint, p_times integer) IS 'Defers p_times queue jobs payout.execute in queue payouts; returns their ids, none without procrastinate''s schema.';


--
-- Name: events_page_problem(jsonb, text, jsonb, boolean); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.events_page_problem(p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    v_former payout.event_pages;
begin
    if p_query is null or p_query -> 'types' is distinct from '["transfer.reversed"]'
        or coalesce(p_query #>> '{created,gte}' !~ '^[0-9]{1,11}$', true)
        or coalesce(p_query #>> '{created,lt}' !~ '^[0-9]{1,11}$', true)
        or to_timestamp((p_query #>> '{created,gte}')::double precision)
            > payout.events_read_until()
        or to_timestamp((p_query #>> '{created,lt}')::double precision)
            > payout.clock() + interval '10 minutes' then
        return 'the query was not given out by next_events_query';
    end if;

    select * into v_former
    from payout.event_pages as p
    where p.query = p_query
    order by p.event_page_id desc
    limit 1;
    return coalesce(
        payout.page_problem(
            v_former.last_id, v_former.has_more, p_starting_after, p_events, p_has_more),
        payout.list_problem(p_events, '^evt_[A-Za-z0-9_]+$'),
        (
            select 'the page holds an event that is not about a transfer'
            from jsonb_array_elements(p_events) as e
            where payout.list_problem(
                jsonb_build_array(e #> '{data,object}'), '^tr_[A-Za-z0-9_]+$') is not null
            limit 1
        ));
end
$_$;


--
-- Name: FUNCTION events_page_problem(p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.events_page_problem(p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean) IS 'Why this is no page of events that is to be taken now, with the cursor expected; null: it is.';


--
-- Name: events_read_until(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.events_read_until() RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return coalesce(
        (
            select case when p.created_until < payout.clock() + interval '10 minutes' then
                p.created_until end
            from payout.event_pages as p
            where not p.has_more
            order by p.event_page_id desc
            limit 1
        ),
        payout.clock() - interval '30 days');
end
$$;


--
-- Name: FUNCTION events_read_until(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.events_read_until() IS 'The end of the last window of events of which every page was taken.';


--
-- Name: expected_rights(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.expected_rights() RETURNS TABLE(roles text, privileges text, things text)
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
    values
        ('payout_app', 'INSERT|UPDATE', '^payout[.]settlements[.](currency|total_minor|'
            'state|pay_after|metadata)$'),
        ('payout_app', 'INSERT', '^payout[.]settlements[.]settlement_id$'),
        ('payout_app', 'INSERT|UPDATE',
            '^payout[.]settlement_lines[.](payee_id|amount_minor|source_transaction)$'),
        ('payout_app', 'INSERT', '^payout[.]settlement_lines[.](settlement_id|line_id)$'),
        ('payout_app', 'DELETE', '^payout[.]settlement_lines$'),
        ('payout_app', 'EXECUTE', '^payout[.]id_fits[(]'),
        ('payout_app|payout_operator', 'EXECUTE', '^payout_api[.]register_payee[(]'),
        ('payout_app', 'EXECUTE', '^payout_api[.]complete_settlement[(]'),
        ('payout_worker', 'EXECUTE', '^payout_api[.](claim_transfers|report_outcomes|'
            'claim_lookups|report_lookup_page)[(]'),
        ('payout_worker', 'EXECUTE',
            '^payout_api[.](begin_reconcile|report_reconcile_page|next_events_query|'
            'report_events_page|claim_reversal_lookups|report_reversals)[(]'),
        ('payout_worker|payout_operator', 'EXECUTE', '^payout_api[.](sweep|seal)[(]'),
        ('payout_operator', 'EXECUTE', '^payout_api[.](hold|release_hold)[(]'),
        ('payout_operator', 'EXECUTE', '^payout_api[.]resolve_discrepancy[(]'),
        ('payout_operator', 'EXECUTE',
            '^payout_api[.](open_gate|change_stripe_account|approve_absence)[(]'),
        ('payout_worker|payout_operator|payout_auditor', 'EXECUTE',
            '^payout_api[.](doctor|open_discrepancies)[(]'),
        ('payout_operator|payout_auditor', 'EXECUTE',
            '^payout_api[.](verify_projection|verify_seals|seal_head|balances_as_of)[(]')
$_$;


--
-- Name: FUNCTION expected_rights(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.expected_rights() IS 'Part of payout_api.doctor(): the rights that the migrations give.';


--
-- Name: expire_leases(timestamp with time zone, integer); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.expire_leases(p_now timestamp with time zone, p_limit integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_parked integer;
    v_expired integer;
begin
    with expired as (
        select s.payout_transfer_id, s.generation, s.attempt,
            case
                when s.lease_until > payout.clock() then 'clock_was_set_back'
                when s.tries + 1 >= e.max_tries then 'tries_used_up_worker_did_not_report'
                else 'worker_did_not_report'
            end as reason
        from payout.transfer_states as s
        cross join payout.engine_settings as e
        where s.lease_until < p_now
            or (s.lease_until > payout.clock() + 2 * e.lease_for and exists (
                select from payout.transfer_attempts as a
                where a.payout_transfer_id = s.payout_transfer_id
                    and a.generation = s.generation
                    and a.attempt = s.attempt
                    and a.claimed_at > payout.clock() + e.lease_for))
        order by s.lease_until
        limit p_limit
        for update of s skip locked
    ), judged as (
        select x.*, case x.reason when 'worker_did_not_report' then 'unknown' else 'parked' end
            as to_state
        from expired as x
    ), observed as (
        insert into payout.transfer_observations (
            payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason,
            error_rule_id, is_counted_try, has_unknown_send, next_attempt_at)
        select j.payout_transfer_id, j.generation, j.attempt, 'lease_expired', 'ok', j.to_state,
            j.reason, r.error_rule_id, true, true, case j.to_state when 'unknown' then p_now end
        from judged as j
        left join payout.stripe_error_rules as r on r.signal = 'lease_expired'
    ), moved as (
        update payout.transfer_states as s
        set state = j.to_state,
            lease_until = null,
            next_attempt_at = case j.to_state when 'unknown' then p_now end,
            tries = s.tries + 1,
            has_unknown_send = true,
            reason = j.reason,
            changed_at = p_now
        from judged as j
        where s.payout_transfer_id = j.payout_transfer_id
        returning s.state
    )
    select (count(*) filter (where m.state = 'parked'))::integer, count(*)::integer
    into v_parked, v_expired
    from moved as m;

    if v_parked > 0 then
        perform payout.call_person('transfers_parked', v_parked || ' by the sweep');
    end if;
    return v_expired;
end
$$;


--
-- Name: FUNCTION expire_leases(p_now timestamp with time zone, p_limit integer); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.expire_leases(p_now timestamp with time zone, p_limit integer) IS 'Closes up to p_limit leases that ran out: unknown and due at once, or parked when the tries are used up. Returns how many.';


--
-- Name: find_missing(payout.reconcile_runs); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.find_missing(p_run payout.reconcile_runs) RETURNS SETOF payout.finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'on'
    AS $$
begin
    return query
    with seen as materialized (
        select i.stripe_transfer_id
        from payout.reconcile_pages as p
        cross join unnest(p.stripe_transfer_ids) as i (stripe_transfer_id)
        where p.reconcile_run_id = p_run.reconcile_run_id
    )
    select
        'missing_at_stripe', t.payout_transfer_id, s.stripe_transfer_id,
        payout.transfer_facts(t, c.is_livemode), '{}'::jsonb
    from payout.ledger_entries as e
    join payout.transfer_states as s on s.payout_transfer_id = e.payout_transfer_id
    join payout.payout_transfers as t on t.payout_transfer_id = e.payout_transfer_id
    cross join payout.engine_settings as c
    where e.kind = 'paid'
        and e.created_at >= p_run.created_from
        and e.created_at < p_run.created_until
        and s.state = 'paid'
        and s.first_sent_at >= p_run.created_from
        and not exists (
            select from seen as i where i.stripe_transfer_id = s.stripe_transfer_id
        );
end
$$;


--
-- Name: FUNCTION find_missing(p_run payout.reconcile_runs); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.find_missing(p_run payout.reconcile_runs) IS 'Findings at the end of a run: paid here, not in Stripe''s list.';


--
-- Name: finding_advice(text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.finding_advice(p_kind text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return case p_kind
        when 'missing_at_stripe' then
            'Look the id up at Stripe. If it is not there nobody was paid: find out who reported '
            'it, and settle it anew under another settlement.'
        when 'differs_at_stripe' then
            'Look both up. What Stripe has is what was paid: correct the difference with another '
            'settlement, or reverse it at Stripe.'
        when 'reversals_contradict_transfer' then
            'Look the transfer and its reversals up at Stripe. They do not belong to it as it was '
            'paid, so none of them was booked.'
        when 'transfer_without_payout_ref' then
            'Somebody, or other software, paid past the engine. If it pays a settlement, hold '
            'that settlement before it is sent; then resolve this with the reason.'
        when 'unknown_transfer_at_stripe' then
            'This database does not know it: was it restored? Record its settlement again, '
            'unchanged: the transfer becomes paid and is not sent. If it will never be recorded, '
            'reverse the transfer at Stripe, or resolve this with the reason.'
    end;
end
$$;


--
-- Name: FUNCTION finding_advice(p_kind text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.finding_advice(p_kind text) IS 'The next step for a kind of finding.';


--
-- Name: transfer_states; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.transfer_states (
    payout_transfer_id bigint NOT NULL,
    state payout.transfer_state DEFAULT 'scheduled'::text NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone,
    next_attempt_at timestamp with time zone,
    stripe_transfer_id text,
    first_sent_at timestamp with time zone,
    tries integer DEFAULT 0 NOT NULL,
    has_unknown_send boolean DEFAULT false NOT NULL,
    reason text,
    doorbell_id bigint,
    changed_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    next_lookup_at timestamp with time zone
)
WITH (fillfactor='70');


--
-- Name: TABLE transfer_states; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.transfer_states IS 'How far each transfer has come: the one table that changes while money moves. It can be rebuilt from attempts, observations and key generations.';


--
-- Name: COLUMN transfer_states.generation; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_states.generation IS 'Which idempotency key counts: payout_ref plus this number.';


--
-- Name: COLUMN transfer_states.attempt; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_states.attempt IS 'Number of the newest claim, over all generations; with generation the fence for reports.';


--
-- Name: COLUMN transfer_states.lease_until; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_states.lease_until IS 'Until when the claiming worker alone may talk to Stripe about this transfer.';


--
-- Name: COLUMN transfer_states.next_attempt_at; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_states.next_attempt_at IS 'When the engine acts next by itself; null: it does not.';


--
-- Name: COLUMN transfer_states.first_sent_at; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_states.first_sent_at IS 'First claim under the key of this generation; Stripe forgets the key 24 hours later.';


--
-- Name: COLUMN transfer_states.tries; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_states.tries IS 'Claims of this generation that count against engine_settings.max_tries and lengthen the wait.';


--
-- Name: COLUMN transfer_states.has_unknown_send; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_states.has_unknown_send IS 'True when some send of this generation may have been executed: then `surely not executed` about a later one settles nothing.';


--
-- Name: COLUMN transfer_states.reason; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_states.reason IS 'Why it stands here, in one short phrase.';


--
-- Name: COLUMN transfer_states.doorbell_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_states.doorbell_id IS 'The queue job that was deferred to wake a worker for it. No foreign key: the queue may be emptied at any time.';


--
-- Name: COLUMN transfer_states.next_lookup_at; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_states.next_lookup_at IS 'When a parked transfer is looked for at Stripe next; null: it is not parked.';


--
-- Name: finish_lookup(payout.transfer_lookups, payout.transfer_states); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.finish_lookup(p_lookup payout.transfer_lookups, p_state payout.transfer_states) RETURNS TABLE(verdict text, state text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_outcome payout.outcome := payout.lookup_outcome(p_lookup, p_state);
    v_counts_from timestamptz;
begin
    return query
    select o.verdict, coalesce(o.moved_to, p_state.state)::text
    from payout.transfer_observations as o
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.facts ->> 'lookup_id' = p_lookup.lookup_id::text;
    if found then
        return;
    end if;

    return query
    select r.verdict, r.state from payout.record_outcomes(array[v_outcome]) as r;

    v_counts_from := payout.absence_counts_from(p_state.payout_transfer_id);
    update payout.transfer_states as s
    set next_lookup_at = payout.clock() + greatest(
        e.scans_apart_for,
        case
            when p_lookup.begun_at < v_counts_from then
                least((payout.clock() - s.changed_at) / 4, v_counts_from - payout.clock())
            when v_counts_from is null or s.reason = 'absence_awaits_approval' then
                (payout.clock() - s.changed_at) / 4
        end)
    from payout.engine_settings as e
    where s.payout_transfer_id = p_state.payout_transfer_id
        and s.state = 'parked';

    if v_outcome.found = 1 then
        perform payout.note_reversals(array[
            jsonb_populate_record(null::payout.stripe_sightings, to_jsonb(v_outcome))]);
        update payout.discrepancies as d
        set resolved_at = payout.clock(),
            resolved_by = 'engine',
            resolution = format('Stripe has it as %s, as it was asked for.',
                v_outcome.stripe_transfer_id)
        from payout.transfer_states as s
        where d.payout_transfer_id = p_state.payout_transfer_id
            and d.resolved_at is null
            and (d.stripe_transfer_id is null or d.stripe_transfer_id = s.stripe_transfer_id)
            and d.kind <> 'several_transfers_at_stripe'
            and s.payout_transfer_id = p_state.payout_transfer_id
            and s.stripe_transfer_id = v_outcome.stripe_transfer_id;
    end if;
end
$$;


--
-- Name: FUNCTION finish_lookup(p_lookup payout.transfer_lookups, p_state payout.transfer_states); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.finish_lookup(p_lookup payout.transfer_lookups, p_state payout.transfer_states) IS 'Verdict and state after all pages of a look-up: paid, known, an alarm, absent or given up.';


--
-- Name: first_absence(payout.transfer_lookups); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.first_absence(p_lookup payout.transfer_lookups) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select min(o.observation_id)
    from payout.transfer_observations as o
    join payout.transfer_lookups as l on l.lookup_id = (o.facts ->> 'lookup_id')::bigint
    cross join payout.engine_settings as e
    where o.payout_transfer_id = p_lookup.payout_transfer_id
        and o.signal = 'looked_up'
        and o.verdict = 'ok'
        and o.facts ->> 'found' = '0'
        and l.begun_at >= payout.absence_counts_from(p_lookup.payout_transfer_id)
        and o.observed_at <= p_lookup.begun_at - e.scans_apart_for
$$;


--
-- Name: FUNCTION first_absence(p_lookup payout.transfer_lookups); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.first_absence(p_lookup payout.transfer_lookups) IS 'The observation of the first of two scans by which a look-up that found nothing is proof; null: it is not.';


--
-- Name: fold_facts(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.fold_facts() RETURNS TABLE(payout_transfer_id bigint, state text, generation integer, attempt integer, lease_until timestamp with time zone, next_attempt_at timestamp with time zone, stripe_transfer_id text, first_sent_at timestamp with time zone, tries integer, has_unknown_send boolean, reason text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
    select
        n.payout_transfer_id, w.state, n.generation, coalesce(n.claim_attempt, 0),
        case w.state when 'in_flight' then n.lease_until end,
        case
            when w.state in ('scheduled', 'retry_wait', 'unknown') then
                coalesce(n.next_attempt_at, n.due_at)
            -- An alarm about a declined transfer stops its next key.
            when w.state = 'failed' and not n.is_stopped then n.next_attempt_at
        end,
        case w.state when 'paid' then n.stripe_transfer_id end,
        n.first_sent_at, n.tries, n.has_unknown_send,
        case when not r.is_reopened then n.reason end
    from payout.newest_facts() as n
    cross join lateral (
        select n.moved_to = 'failed' and n.moved_generation < n.generation as is_reopened
    ) as r
    cross join lateral (
        select case
            when n.moved_to in ('paid', 'parked') then n.moved_to
            when n.moved_to = 'failed' and not r.is_reopened then n.moved_to
            when n.claim_generation = n.generation
                and n.claim_attempt > coalesce(n.moved_attempt, 0) then 'in_flight'
            when not r.is_reopened then n.moved_to
            when n.is_released then 'cancelled'
            else 'scheduled'
        end as state
    ) as w
$$;


--
-- Name: FUNCTION fold_facts(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.fold_facts() IS 'One row for each transfer as transfer_states must say it, folded from attempts, observations, keys and books.';


--
-- Name: gate_problem(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.gate_problem() RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_epoch payout.epochs;
    v_here record;
    v_changes text;
begin
    select * into v_epoch from payout.epochs as e order by e.epoch_id desc limit 1;
    if not found then
        return 'It was never adopted, and it had transfers when the gate was built.';
    end if;
    if v_epoch.system_identifier is null then
        return format('The gate was closed: %s.', v_epoch.reason);
    end if;

    v_here := payout.where_we_are();
    v_changes := concat_ws('; ',
        case when v_here.system_identifier <> v_epoch.system_identifier then
            format('system from %s to %s', v_epoch.system_identifier, v_here.system_identifier) end,
        case when v_here.timeline_id <> v_epoch.timeline_id then
            format('timeline from %s to %s', v_epoch.timeline_id, v_here.timeline_id) end,
        case when v_here.database_oid <> v_epoch.database_oid then
            format('database from %s to %s', v_epoch.database_oid, v_here.database_oid) end,
        case when v_here.table_oid <> v_epoch.table_oid then
            format('tables from %s to %s', v_epoch.table_oid, v_here.table_oid) end);
    if v_changes <> '' then
        return format('Changed since: %s.', v_changes);
    end if;

    -- Rows that were loaded into a new installation, or replicated to it, bring no epoch along.
    if v_epoch.is_installation and v_epoch.recorded_at > (
        select t.created_at from payout.payout_transfers as t order by t.payout_transfer_id limit 1
    ) then
        return 'It has transfers from before it was installed.';
    end if;
    -- The first claim here writes an epoch of its own (note_first_claim).
    if v_epoch.is_installation and exists (select from payout.transfer_attempts)
        and not exists (
            select from payout.epochs as e
            where e.epoch_id > v_epoch.epoch_id and e.is_first_claim
        ) then
        return 'It has attempts that were not handed out here.';
    end if;
    return null;
end
$$;


--
-- Name: FUNCTION gate_problem(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.gate_problem() IS 'Says how this place differs from where the database was last adopted; null: it does not.';


--
-- Name: given_rights(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.given_rights() RETURNS TABLE(thing text, privilege_type text, grantee oid, owner oid)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    with ours as (
        select n.oid, n.nspname, n.nspowner as owner, n.nspacl as acl
        from pg_namespace as n
        where n.nspname in ('payout', 'payout_api')
    )
    select format('schema %s', o.nspname), a.privilege_type, a.grantee, o.owner
    from ours as o cross join lateral aclexplode(o.acl) as a
    where a.privilege_type <> 'USAGE'
    union all
    select c.oid::regclass::text, a.privilege_type, a.grantee, c.relowner
    from pg_class as c
    join ours as o on o.oid = c.relnamespace
    cross join lateral aclexplode(c.relacl) as a
    where a.privilege_type <> 'SELECT' and c.relkind in ('r', 'v', 'S')
    union all
    select format('%s.%s', t.attrelid::regclass, t.attname), a.privilege_type, a.grantee,
        c.relowner
    from pg_attribute as t
    join pg_class as c on c.oid = t.attrelid
    join ours as o on o.oid = c.relnamespace
    cross join lateral aclexplode(t.attacl) as a
    where a.privilege_type <> 'SELECT'
    union all
    select p.oid::regprocedure::text, a.privilege_type, a.grantee, p.proowner
    from pg_proc as p
    join ours as o on o.oid = p.pronamespace
    cross join lateral aclexplode(p.proacl) as a
    where a.grantee <> 0
    union all
    select format('role %s', m.roleid::regrole), 'MEMBER', m.member, m.roleid
    from pg_auth_members as m
    where m.member::regrole::text in (
        'payout_owner', 'payout_app', 'payout_worker', 'payout_operator', 'payout_auditor')
    union all
    select format('parameter %s', p.parname), a.privilege_type, a.grantee, a.grantor
    from pg_parameter_acl as p cross join lateral aclexplode(p.paracl) as a
    where p.parname = 'session_replication_role'
    union all
    select c.oid::regclass::text, a.privilege_type, a.grantee, c.relowner
    from pg_class as c
    cross join lateral aclexplode(c.relacl) as a
    where c.relnamespace = to_regnamespace('procrastinate')
        and a.privilege_type <> 'SELECT'
        and (a.grantee = 0 or a.grantee::regrole::text = 'payout_app')
$$;


--
-- Name: FUNCTION given_rights(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.given_rights() IS 'Part of payout_api.doctor(): the rights beyond reading that somebody has.';


--
-- Name: has_queue(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.has_queue() RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if to_regnamespace('procrastinate') is null
        or not has_schema_privilege(to_regnamespace('procrastinate')::oid, 'usage')
        or to_regclass('procrastinate.procrastinate_jobs') is null
        or to_regclass('procrastinate.procrastinate_events') is null
        or to_regclass('procrastinate.procrastinate_periodic_defers') is null
        or to_regtype('procrastinate.procrastinate_job_to_defer_v1') is null
        or to_regprocedure('procrastinate.procrastinate_defer_jobs_v1('
            'procrastinate.procrastinate_job_to_defer_v1[])') is null then
        return false;
    end if;
    return has_function_privilege('procrastinate.procrastinate_defer_jobs_v1('
            'procrastinate.procrastinate_job_to_defer_v1[])', 'execute')
        and has_table_privilege('procrastinate.procrastinate_jobs', 'select')
        and has_table_privilege('procrastinate.procrastinate_jobs', 'insert')
        and has_table_privilege('procrastinate.procrastinate_jobs', 'update')
        and has_table_privilege('procrastinate.procrastinate_jobs', 'delete')
        and has_table_privilege('procrastinate.procrastinate_events', 'select')
        and has_table_privilege('procrastinate.procrastinate_events', 'insert')
        and has_table_privilege('procrastinate.procrastinate_periodic_defers', 'select')
        and has_table_privilege('procrastinate.procrastinate_periodic_defers', 'update')
        and has_sequence_privilege('procrastinate.procrastinate_jobs_id_seq', 'usage')
        and has_sequence_privilege('procrastinate.procrastinate_events_id_seq', 'usage');
end
$$;


--
-- Name: FUNCTION has_queue(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.has_queue() IS 'True when procrastinate''s schema is there and the engine may write to it.';


--
-- Name: hear_doorbell(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.hear_doorbell() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if pg_sequence_last_value('payout.waiting_doorbell'::regclass) is not null then
        perform setval('payout.waiting_doorbell', 1, false);
    end if;
    if pg_sequence_last_value('payout.seen_doorbell'::regclass) is not null then
        perform setval('payout.seen_doorbell', 1, false);
    end if;
end
$$;


--
-- Name: FUNCTION hear_doorbell(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.hear_doorbell() IS 'Forgets which bell waits (payout.waiting_doorbell, payout.seen_doorbell); not undone by a rollback.';


--
-- Name: held_subjects(text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.held_subjects(p_scope text) RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select array(
        select h.subject
        from payout.holds as h
        where h.scope = p_scope
            and h.released_at is null)
$$;


--
-- Name: FUNCTION held_subjects(p_scope text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.held_subjects(p_scope text) IS 'The currencies, payees or settlements with an open hold.';


--
-- Name: transfer_attempts; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.transfer_attempts (
    payout_transfer_id bigint NOT NULL,
    generation integer NOT NULL,
    attempt integer NOT NULL,
    worker text NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    CONSTRAINT lease_ends_after_the_claim CHECK ((lease_until > claimed_at))
);


--
-- Name: TABLE transfer_attempts; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.transfer_attempts IS 'Every claim, committed before anything is sent under it.';


--
-- Name: COLUMN transfer_attempts.worker; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_attempts.worker IS 'The name the claiming process gave itself.';


--
-- Name: COLUMN transfer_attempts.lease_until; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_attempts.lease_until IS 'Until when this claim held the transfer, unless it was reported before.';


--
-- Name: is_definite(payout.transfer_attempts); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.is_definite(p_attempt payout.transfer_attempts) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select exists (
        select from payout.transfer_observations as o
        join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
        where o.payout_transfer_id = p_attempt.payout_transfer_id
            and o.generation = p_attempt.generation
            and o.attempt = p_attempt.attempt
            and o.verdict = 'ok'
            and r.reaction in ('retry', 'pause', 'refuse', 'decline', 'decline_until_funded')
    )
$$;


--
-- Name: FUNCTION is_definite(p_attempt payout.transfer_attempts); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.is_definite(p_attempt payout.transfer_attempts) IS 'True when what came back was accepted and says that the send had no effect, nor will have.';


--
-- Name: is_explained(payout.finding); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.is_explained(p_finding payout.finding) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select exists (
        select from payout.discrepancies as d
        where d.kind = p_finding.kind
            and d.stripe_transfer_id = p_finding.stripe_transfer_id
            and d.is_finding
            and d.resolved_at is not null
            and d.resolved_by_run_id is null
            and d.theirs - array['amount_reversed_minor', 'created_at']
                = p_finding.theirs - array['amount_reversed_minor', 'created_at']
    )
$$;


--
-- Name: FUNCTION is_explained(p_finding payout.finding); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.is_explained(p_finding payout.finding) IS 'True when a person, or an adoption, has resolved a discrepancy that says the same.';


--
-- Name: is_only_send(payout.transfer_states); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.is_only_send(p_state payout.transfer_states) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select not p_state.has_unknown_send and not exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_state.payout_transfer_id
            and o.generation = p_state.generation
            and o.attempt <> p_state.attempt
            and o.signal <> 'not_sent'
            and coalesce(o.http_status, 0) not in (401, 403, 429)
    )
$$;


--
-- Name: FUNCTION is_only_send(p_state payout.transfer_states); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.is_only_send(p_state payout.transfer_states) IS 'True when no attempt but the newest can have had an effect under the current key.';


--
-- Name: engine_settings; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.engine_settings (
    is_single_row boolean DEFAULT true NOT NULL,
    lease_for interval DEFAULT '00:00:30'::interval NOT NULL,
    http_deadline_for interval DEFAULT '00:00:20'::interval NOT NULL,
    send_window_for interval DEFAULT '20:00:00'::interval NOT NULL,
    attempt_drain_for interval DEFAULT '00:15:00'::interval NOT NULL,
    max_tries integer DEFAULT 50 NOT NULL,
    max_generations integer DEFAULT 30 NOT NULL,
    largest_claim integer DEFAULT 1000 NOT NULL,
    transfers_per_doorbell integer DEFAULT 100 NOT NULL,
    ring_again_after interval DEFAULT '00:00:05'::interval NOT NULL,
    is_livemode boolean,
    stripe_account_id text,
    indeterminate_for interval DEFAULT '24:00:00'::interval NOT NULL,
    scans_apart_for interval DEFAULT '01:00:00'::interval NOT NULL,
    absence_limit_minor bigint DEFAULT 100000 NOT NULL,
    CONSTRAINT absence_limit_is_an_amount CHECK ((absence_limit_minor >= 0)),
    CONSTRAINT attempts_drain_after_the_deadline CHECK ((attempt_drain_for >= http_deadline_for)),
    CONSTRAINT bounds_are_positive CHECK (((max_tries > 0) AND (max_generations > 0) AND (largest_claim > 0) AND (transfers_per_doorbell > 0) AND (ring_again_after >= '00:00:00'::interval))),
    CONSTRAINT lease_outlasts_the_http_deadline CHECK (((http_deadline_for > '00:00:00'::interval) AND (lease_for > http_deadline_for))),
    CONSTRAINT scans_are_an_hour_apart CHECK ((scans_apart_for >= '01:00:00'::interval)),
    CONSTRAINT send_window_ends_before_stripe_forgets_the_key CHECK (((send_window_for > '00:00:00'::interval) AND (send_window_for <= '23:00:00'::interval))),
    CONSTRAINT stripe_account_id_looks_like_one CHECK (((stripe_account_id ~ '^acct_[A-Za-z0-9_]+$'::text) AND (length(stripe_account_id) <= 255))),
    CONSTRAINT stripe_account_is_fixed_with_its_mode CHECK (((stripe_account_id IS NULL) OR (is_livemode IS NOT NULL))),
    CONSTRAINT stripe_settles_within_a_day CHECK ((indeterminate_for >= '24:00:00'::interval)),
    CONSTRAINT there_is_one_row CHECK (is_single_row)
);


--
-- Name: TABLE engine_settings; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.engine_settings IS 'The engine''s numbers, in one row.';


--
-- Name: COLUMN engine_settings.lease_for; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.engine_settings.lease_for IS 'How long a claim holds a transfer.';


--
-- Name: COLUMN engine_settings.http_deadline_for; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.engine_settings.http_deadline_for IS 'Total time for one call to Stripe; a send begins no later than the lease minus this.';


--
-- Name: COLUMN engine_settings.send_window_for; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.engine_settings.send_window_for IS 'How long after its first use a key may be sent; Stripe forgets keys after 24 hours.';


--
-- Name: COLUMN engine_settings.attempt_drain_for; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.engine_settings.attempt_drain_for IS 'How long after its lease an attempt that nobody reported on still counts as open.';


--
-- Name: COLUMN engine_settings.max_tries; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.engine_settings.max_tries IS 'Counted tries under one key before a person is asked.';


--
-- Name: COLUMN engine_settings.max_generations; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.engine_settings.max_generations IS 'Keys that one transfer may ever use.';


--
-- Name: COLUMN engine_settings.largest_claim; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.engine_settings.largest_claim IS 'Most transfers that one claim hands out.';


--
-- Name: COLUMN engine_settings.transfers_per_doorbell; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.engine_settings.transfers_per_doorbell IS 'One queue job rings for this many transfers, so that several workers share a settlement.';


--
-- Name: COLUMN engine_settings.ring_again_after; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.engine_settings.ring_again_after IS 'A transfer due for longer than this without a bell in the queue is rung for again.';


--
-- Name: COLUMN engine_settings.is_livemode; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.engine_settings.is_livemode IS 'The Stripe mode that answers must have; null: not fixed yet.';


--
-- Name: COLUMN engine_settings.stripe_account_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.engine_settings.stripe_account_id IS 'The Stripe account that pays; null until the first claim names one, together with its mode.';


--
-- Name: COLUMN engine_settings.indeterminate_for; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.engine_settings.indeterminate_for IS 'How long after an attempt without a definite answer Stripe may still carry it out.';


--
-- Name: COLUMN engine_settings.scans_apart_for; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.engine_settings.scans_apart_for IS 'How far apart two scans of Stripe''s list must be that prove a transfer absent.';


--
-- Name: COLUMN engine_settings.absence_limit_minor; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.engine_settings.absence_limit_minor IS 'Transfers above this amount, in minor units of any currency, get a new key after such a proof only when a person approves.';


--
-- Name: judge_absence(payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.judge_absence(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) RETURNS payout.judgement
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_judgement payout.judgement;
begin
    v_judgement.verdict := case p_state.state when 'parked' then 'ok' else 'stale' end;
    v_judgement.reason := 'absent_at_stripe';
    if p_state.state <> 'parked' or p_outcome.first_absence_id is null then
        return v_judgement;
    end if;

    if p_transfer.amount_minor <= p_settings.absence_limit_minor or exists (
        select from payout.operator_actions as a
        where a.action = 'approve_absence'
            and a.subject = p_state.payout_transfer_id::text
            and (a.details ->> 'generation')::integer = p_state.generation
    ) then
        v_judgement.to_state := 'failed';
        v_judgement.error_rule_id := 61;
        if p_state.generation < p_settings.max_generations then
            v_judgement.next_attempt_at := payout.clock();
        else
            v_judgement.reason := 'keys_used_up_absent_at_stripe';
            v_judgement.is_alarm := true;
        end if;
    elsif p_state.reason <> 'absence_awaits_approval' then
        v_judgement.to_state := 'parked';
        v_judgement.error_rule_id := 60;
        v_judgement.reason := 'absence_awaits_approval';
        v_judgement.is_alarm := true;
    end if;
    return v_judgement;
end
$$;


--
-- Name: FUNCTION judge_absence(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.judge_absence(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) IS 'Judges a look-up that found nothing: evidence only, or proof; then failed with a new key at once, or parked for approval.';


--
-- Name: judge_decline(payout.judgement, payout.stripe_error_rules, payout.transfer_states, payout.engine_settings); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.judge_decline(p_judgement payout.judgement, p_rule payout.stripe_error_rules, p_state payout.transfer_states, p_settings payout.engine_settings) RETURNS payout.judgement
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_judgement payout.judgement := p_judgement;
    v_others_drain_at timestamptz := payout.other_attempts_drain_at(p_state);
    v_may_have_another_key boolean := p_rule.reaction = 'decline_until_funded'
        and p_state.generation < p_settings.max_generations;
begin
    if v_others_drain_at > payout.clock() then
        v_judgement.to_state := 'unknown';
        v_judgement.reason := 'declined_while_another_attempt_is_open';
        v_judgement.next_attempt_at := v_others_drain_at;
        return v_judgement;
    end if;

    if p_rule.reaction = 'refuse' and not payout.is_only_send(p_state) then
        v_judgement.to_state := 'parked';
        v_judgement.next_attempt_at := null;
        return v_judgement;
    end if;

    v_judgement.to_state := 'failed';
    if not v_may_have_another_key then
        v_judgement.next_attempt_at := null;
    end if;
    if p_rule.reaction = 'decline_until_funded' and not v_may_have_another_key then
        v_judgement.reason := 'keys_used_up_' || p_rule.reason;
        v_judgement.is_alarm := true;
    end if;
    return v_judgement;
end
$$;


--
-- Name: FUNCTION judge_decline(p_judgement payout.judgement, p_rule payout.stripe_error_rules, p_state payout.transfer_states, p_settings payout.engine_settings); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.judge_decline(p_judgement payout.judgement, p_rule payout.stripe_error_rules, p_state payout.transfer_states, p_settings payout.engine_settings) IS 'Failed, with or without a later key; unknown while another attempt is open; parked in doubt.';


--
-- Name: judge_failure(payout.outcome, payout.transfer_states, payout.engine_settings); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.judge_failure(p_outcome payout.outcome, p_state payout.transfer_states, p_settings payout.engine_settings) RETURNS payout.judgement
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_judgement payout.judgement;
    v_rule payout.stripe_error_rules := payout.match_error_rule(p_outcome);
begin
    v_judgement.verdict := 'ok';
    v_judgement.error_rule_id := v_rule.error_rule_id;
    v_judgement.reason := coalesce(v_rule.reason, 'unmapped_answer');
    v_judgement.is_alarm := coalesce(v_rule.is_alarm, true);
    v_judgement.pauses_engine := v_rule.reaction = 'pause';
    v_judgement.counts_as_try := v_rule.reaction is distinct from 'pause';
    v_judgement.leaves_unknown := coalesce(v_rule.reaction in ('unknown', 'park'), true);
    v_judgement.next_attempt_at := payout.clock() + greatest(
        payout.backoff(v_rule, p_state.tries + p_state.generation - 1),
        make_interval(
            secs => greatest(least(coalesce(p_outcome.retry_after_seconds, 0), 3600), 0)));

    if v_rule.reaction in ('decline', 'decline_until_funded', 'refuse') then
        return payout.judge_decline(v_judgement, v_rule, p_state, p_settings);
    elsif v_rule.reaction = 'park' then
        v_judgement.to_state := 'parked';
        v_judgement.next_attempt_at := null;
    elsif v_judgement.counts_as_try and p_state.tries + 1 >= p_settings.max_tries then
        v_judgement.to_state := 'parked';
        v_judgement.next_attempt_at := null;
        v_judgement.reason := 'tries_used_up_' || v_judgement.reason;
        v_judgement.is_alarm := true;
    elsif v_rule.reaction in ('retry', 'pause') and not p_state.has_unknown_send then
        v_judgement.to_state := 'retry_wait';
    else
        v_judgement.to_state := 'unknown';
    end if;
    return v_judgement;
end
$$;


--
-- Name: FUNCTION judge_failure(p_outcome payout.outcome, p_state payout.transfer_states, p_settings payout.engine_settings); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.judge_failure(p_outcome payout.outcome, p_state payout.transfer_states, p_settings payout.engine_settings) IS 'Judges an outcome that is no success by payout.stripe_error_rules: retry_wait, unknown, parked, or as judge_decline says.';


--
-- Name: judge_lookup(payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.judge_lookup(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) RETURNS payout.judgement
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_judgement payout.judgement;
begin
    if p_outcome.found = 1 then
        v_judgement := payout.judge_success(p_outcome, p_state, p_transfer, p_settings);
        if v_judgement.to_state = 'paid' then
            v_judgement.reason := 'found_at_stripe';
        end if;
    elsif p_outcome.found = 0 then
        return payout.judge_absence(p_outcome, p_state, p_transfer, p_settings);
    elsif exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_outcome.payout_transfer_id
            and o.reason = 'several_transfers_at_stripe'
            and o.facts ->> 'detail' = p_outcome.detail
    ) then
        v_judgement.verdict := 'already';
    else
        v_judgement.verdict := 'alarm';
        v_judgement.reason := 'several_transfers_at_stripe';
        v_judgement.is_alarm := true;
    end if;
    return v_judgement;
end
$$;


--
-- Name: FUNCTION judge_lookup(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.judge_lookup(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) IS 'Judges a look-up by how many transfers it found: paid or an alarm, as judge_absence says, or an alarm.';


--
-- Name: judge_outcome(payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.judge_outcome(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) RETURNS payout.judgement
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_judgement payout.judgement;
begin
    -- Serials are handed out again after a promotion, keys are not.
    if p_outcome.idempotency_key <> p_transfer.payout_ref || ':' || p_outcome.generation then
        v_judgement.verdict := 'alarm';
        v_judgement.reason := 'report_of_another_transfer';
        v_judgement.is_alarm := true;
        return v_judgement;
    end if;

    if p_outcome.signal = 'looked_up' then
        return payout.judge_lookup(p_outcome, p_state, p_transfer, p_settings);
    elsif p_outcome.signal = 'response' and p_outcome.http_status between 200 and 299 then
        return payout.judge_success(p_outcome, p_state, p_transfer, p_settings);
    end if;

    if p_state.state = 'in_flight'
        and p_state.generation = p_outcome.generation
        and p_state.attempt = p_outcome.attempt then
        return payout.judge_failure(p_outcome, p_state, p_settings);
    end if;

    v_judgement.verdict := case
        when exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = p_outcome.payout_transfer_id
                and o.attempt = p_outcome.attempt
                and o.generation = p_outcome.generation
                and o.signal = p_outcome.signal
                and o.verdict = 'ok'
        ) then 'already'
        else 'stale'
    end;
    v_judgement.is_alarm := false;
    return v_judgement;
end
$$;


--
-- Name: FUNCTION judge_outcome(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.judge_outcome(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) IS 'Verdict, next state and reason for one reported outcome; changes nothing.';


--
-- Name: judge_success(payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.judge_success(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) RETURNS payout.judgement
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_judgement payout.judgement;
begin
    v_judgement.reason := case
        when not payout.answers_request(p_outcome, p_transfer)
            or p_outcome.is_livemode <> p_settings.is_livemode then 'answer_contradicts_request'
        when p_state.stripe_transfer_id = p_outcome.stripe_transfer_id then 'known'
        when p_state.state = 'paid' then 'second_transfer_at_stripe'
        when p_outcome.generation <> p_state.generation
            or p_state.state in ('scheduled', 'failed', 'cancelled')
            then 'success_under_closed_key'
        when exists (
            select from payout.transfer_states as s
            where s.stripe_transfer_id = p_outcome.stripe_transfer_id
        ) then 'stripe_id_of_another_transfer'
    end;

    if v_judgement.reason is null then
        v_judgement.verdict := 'ok';
        v_judgement.to_state := 'paid';
    elsif v_judgement.reason = 'known' or exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_outcome.payout_transfer_id
            and o.attempt = p_outcome.attempt
            and o.generation = p_outcome.generation
            and o.verdict = 'alarm'
            and o.stripe_transfer_id is not distinct from p_outcome.stripe_transfer_id
    ) then
        v_judgement.verdict := 'already';
        v_judgement.reason := null;
    else
        v_judgement.verdict := 'alarm';
        v_judgement.is_alarm := true;
        if p_state.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown') then
            v_judgement.to_state := 'parked';
            v_judgement.leaves_unknown := true;
        end if;
    end if;
    return v_judgement;
end
$$;


--
-- Name: FUNCTION judge_success(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.judge_success(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) IS 'Judges a transfer that Stripe made: paid, already known, or an alarm that parks what is open.';


--
-- Name: keep_sightings(payout.stripe_sightings[]); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.keep_sightings(p_seen payout.stripe_sightings[]) RETURNS SETOF text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
    return query
    with unexplained as materialized (
        select g.*
        from unnest(p_seen) as g
        where g.payout_ref is not null
            and not exists (
                select from payout.transfer_states as s
                where s.stripe_transfer_id = g.stripe_transfer_id
            )
    ), kept as (
        insert into payout.stripe_sightings
        select u.* from unexplained as u
        order by u.stripe_transfer_id
        on conflict do nothing
        returning stripe_transfer_id
    )
    select u.stripe_transfer_id
    from unexplained as u
    join payout.payout_transfers as t on t.payout_ref = u.payout_ref
    join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    where case
        when s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown', 'parked') then true
        -- Its next key is scheduled by itself, and then not sent.
        when s.state = 'failed' and s.next_attempt_at is not null then false
        else u.stripe_transfer_id in (select k.stripe_transfer_id from kept as k)
    end;
end
$$;


--
-- Name: FUNCTION keep_sightings(p_seen payout.stripe_sightings[]); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.keep_sightings(p_seen payout.stripe_sightings[]) IS 'Stores sightings that no paid transfer explains; returns those that are to be judged now.';


--
-- Name: list_problem(jsonb, text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.list_problem(p_objects jsonb, p_id_pattern text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
    if exists (
        select from jsonb_array_elements(p_objects) as o
        where jsonb_typeof(o) <> 'object'
            or coalesce(o ->> 'id' !~ p_id_pattern or length(o ->> 'id') > 255, true)
            or coalesce(o ->> 'created' !~ '^[0-9]{1,11}$', true)
    ) then
        return 'the page holds something of another kind, or without a time';
    elsif jsonb_array_length(p_objects) <> (
        select count(distinct o ->> 'id') from jsonb_array_elements(p_objects) as o
    ) then
        return 'the page names an object twice';
    end if;
    return null;
end
$_$;


--
-- Name: FUNCTION list_problem(p_objects jsonb, p_id_pattern text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.list_problem(p_objects jsonb, p_id_pattern text) IS 'Why these are no objects with such ids, each once and with the time it was made; null: they are.';


--
-- Name: lock_due_transfers(timestamp with time zone, timestamp with time zone, integer, bigint); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.lock_due_transfers(p_now timestamp with time zone, p_first_sent_after timestamp with time zone, p_limit integer, p_payout_job_id bigint) RETURNS TABLE(payout_transfer_id bigint, doorbell_id bigint)
    LANGUAGE plpgsql ROWS 20
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
begin
    return query
    select s.payout_transfer_id, s.doorbell_id
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    where s.next_attempt_at <= p_now
        and s.state in ('scheduled', 'retry_wait', 'unknown')
        and (s.first_sent_at is null
            or (s.first_sent_at > p_first_sent_after and s.first_sent_at <= p_now))
        and (p_payout_job_id is null or t.payout_job_id = p_payout_job_id)
        and not exists (
            select from payout.holds as h where h.scope = 'engine' and h.released_at is null
        )
        and not case
            when t.currency = any ((select payout.held_subjects('currency'))::text[]) then true
            when t.payee_id = any ((select payout.held_subjects('payee'))::text[]) then true
            else t.settlement_id = any ((select payout.held_subjects('settlement'))::text[])
        end
    order by s.next_attempt_at
    limit p_limit
    for update of s skip locked;
end
$$;


--
-- Name: FUNCTION lock_due_transfers(p_now timestamp with time zone, p_first_sent_after timestamp with time zone, p_limit integer, p_payout_job_id bigint); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.lock_due_transfers(p_now timestamp with time zone, p_first_sent_after timestamp with time zone, p_limit integer, p_payout_job_id bigint) IS 'Locks and returns up to p_limit due transfers that are not on hold and whose key is young enough to be sent.';


--
-- Name: lookup_outcome(payout.transfer_lookups, payout.transfer_states); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.lookup_outcome(p_lookup payout.transfer_lookups, p_state payout.transfer_states) RETURNS payout.outcome
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_matches jsonb[] := array(
        select distinct on (m ->> 'stripe_transfer_id') m
        from payout.transfer_lookup_pages as p
        cross join jsonb_array_elements(p.matches) as m
        where p.lookup_id = p_lookup.lookup_id
        order by m ->> 'stripe_transfer_id', p.received_at desc);
    v_outcome payout.outcome;
    v_ours jsonb[] := array(
        select m from unnest(v_matches) as m where m ->> 'is_by_charge' is distinct from 'true');
begin
    if v_ours <> '{}' then
        v_matches := v_ours;
    end if;
    if cardinality(v_matches) = 1 then
        v_outcome := jsonb_populate_record(v_outcome, v_matches[1]);
    elsif cardinality(v_matches) > 1 then
        v_outcome.detail := (
            select string_agg(m ->> 'stripe_transfer_id', ', ') from unnest(v_matches) as m);
    else
        v_outcome.first_absence_id := payout.first_absence(p_lookup);
    end if;
    v_outcome.payout_transfer_id := p_state.payout_transfer_id;
    v_outcome.generation := p_state.generation;
    v_outcome.attempt := p_state.attempt;
    v_outcome.signal := 'looked_up';
    v_outcome.lookup_id := p_lookup.lookup_id;
    v_outcome.found := cardinality(v_matches);
    return v_outcome;
end
$$;


--
-- Name: FUNCTION lookup_outcome(p_lookup payout.transfer_lookups, p_state payout.transfer_states); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.lookup_outcome(p_lookup payout.transfer_lookups, p_state payout.transfer_states) IS 'The outcome of a complete look-up: how many transfers were found, and which, if it is one.';


--
-- Name: lookup_queries(payout.payout_transfers); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.lookup_queries(p_transfer payout.payout_transfers) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_sent_since timestamptz := (
        select least(p_transfer.created_at, min(a.claimed_at)) - interval '1 day'
        from payout.transfer_attempts as a
        where a.payout_transfer_id = p_transfer.payout_transfer_id
        having count(*) > 0);
begin
    return case
        when p_transfer.source_transaction is null
            then jsonb_build_array(jsonb_build_object('transfer_group', p_transfer.payout_ref))
        else '[]'
    end || jsonb_strip_nulls(jsonb_build_object(
        'destination', p_transfer.destination,
        'created', case when v_sent_since is not null then
            jsonb_build_object('gte', floor(extract(epoch from v_sent_since))::bigint)
        end));
end
$$;


--
-- Name: FUNCTION lookup_queries(p_transfer payout.payout_transfers); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.lookup_queries(p_transfer payout.payout_transfers) IS 'The parameters of GET /v1/transfers, one object a query, that together list whatever Stripe has of the transfer.';


--
-- Name: match_error_rule(payout.outcome); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.match_error_rule(p_outcome payout.outcome) RETURNS payout.stripe_error_rules
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select r
    from payout.stripe_error_rules as r
    where r.signal = p_outcome.signal
        and (r.http_status_from is null
            or p_outcome.http_status between r.http_status_from and r.http_status_to)
        and (r.error_type is null or r.error_type = p_outcome.error_type)
        and (r.error_code is null or r.error_code = p_outcome.error_code)
        and (r.is_replayed is null or r.is_replayed = coalesce(p_outcome.is_replayed, false))
        and (r.should_retry is null or r.should_retry = p_outcome.should_retry)
        and (r.is_rate_limited is null
            or r.is_rate_limited = (p_outcome.rate_limited_reason is not null))
    order by r.error_rule_id
    limit 1
$$;


--
-- Name: FUNCTION match_error_rule(p_outcome payout.outcome); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.match_error_rule(p_outcome payout.outcome) IS 'The rule that says what an outcome without success means; the last rule of a signal fits all.';


--
-- Name: match_facts(jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.match_facts(p_transfer jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
    return jsonb_build_object(
        'object', p_transfer ->> 'object',
        'stripe_transfer_id', p_transfer ->> 'id',
        'amount_minor', case
            when p_transfer ->> 'amount' ~ '^[0-9]{1,18}$' then (p_transfer ->> 'amount')::bigint
        end,
        'currency', p_transfer ->> 'currency',
        'destination', p_transfer ->> 'destination',
        'is_livemode', case
            when jsonb_typeof(p_transfer -> 'livemode') = 'boolean' then p_transfer -> 'livemode'
        end,
        'payout_ref', p_transfer #>> '{metadata,payout_ref}',
        'amount_reversed_minor', case
            when p_transfer ->> 'amount_reversed' ~ '^[0-9]{1,18}$'
                then (p_transfer ->> 'amount_reversed')::bigint
        end);
end
$_$;


--
-- Name: FUNCTION match_facts(p_transfer jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.match_facts(p_transfer jsonb) IS 'A transfer as Stripe lists it, in the terms of payout.outcome; null is what cannot be read.';


--
-- Name: metadata_problem(jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.metadata_problem(p_metadata jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select case
        when p_metadata = '{}' then null
        when jsonb_typeof(p_metadata) <> 'object' then 'is not an object'
        when (select count(*) from jsonb_object_keys(p_metadata)) > 47 then 'has over 47 keys'
        else (
            select c.problem
            from jsonb_each(p_metadata) as m
            cross join lateral (select case
                when m.key in ('payout_ref', 'settlement_id', 'payee_id')
                    then format('key %s is reserved', m.key)
                when length(m.key) not between 1 and 40
                    then format('key %s is not 1 to 40 characters long', left(m.key, 60))
                when m.key ~ '[][]' then format('key %s has a square bracket', m.key)
                when jsonb_typeof(m.value) <> 'string' then format('value of %s is not text', m.key)
                when length(m.value #>> '{}') not between 1 and 500
                    then format('value of %s is not 1 to 500 characters long', m.key)
            end) as c (problem)
            where c.problem is not null
            order by m.key
            limit 1
        )
    end
$$;


--
-- Name: FUNCTION metadata_problem(p_metadata jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.metadata_problem(p_metadata jsonb) IS 'Why Stripe would refuse this metadata beside our own three keys; null when it would not.';


--
-- Name: name_stripe_account(text, boolean); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.name_stripe_account(p_stripe_account_id text, p_is_livemode boolean) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return format('%s in %s mode', coalesce(p_stripe_account_id, 'an account not named'),
        case p_is_livemode when true then 'live' when false then 'test' else 'unknown' end);
end
$$;


--
-- Name: FUNCTION name_stripe_account(p_stripe_account_id text, p_is_livemode boolean); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.name_stripe_account(p_stripe_account_id text, p_is_livemode boolean) IS 'Writes a Stripe account and its mode for messages.';


--
-- Name: newest_facts(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.newest_facts() RETURNS TABLE(payout_transfer_id bigint, due_at timestamp with time zone, generation integer, moved_to text, moved_generation integer, moved_attempt integer, next_attempt_at timestamp with time zone, stripe_transfer_id text, reason text, claim_generation integer, claim_attempt integer, lease_until timestamp with time zone, first_sent_at timestamp with time zone, tries integer, has_unknown_send boolean, is_stopped boolean, is_released boolean)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_nestloop TO 'off'
    AS $$
    with keys as (
        select t.payout_transfer_id, coalesce(s.pay_after, t.created_at) as due_at,
            coalesce(k.generation, 1) as generation, coalesce(k.opened_after, 0) as opened_after
        from payout.payout_transfers as t
        join payout.settlements as s on s.settlement_id = t.settlement_id
        left join (
            select k.payout_transfer_id, max(k.generation) as generation,
                max(greatest(k.evidence_observation_id, k.second_evidence_observation_id))
                    as opened_after
            from payout.key_generations as k
            group by k.payout_transfer_id
        ) as k on k.payout_transfer_id = t.payout_transfer_id
    ), moves as (
        select distinct on (o.payout_transfer_id) o.payout_transfer_id, o.observation_id,
            o.moved_to, o.generation, o.attempt, o.next_attempt_at, o.stripe_transfer_id, o.reason
        from payout.transfer_observations as o
        where o.moved_to is not null
        order by o.payout_transfer_id, o.observation_id desc
    ), claims as (
        select distinct on (a.payout_transfer_id) a.payout_transfer_id, a.generation, a.attempt,
            a.lease_until
        from payout.transfer_attempts as a
        order by a.payout_transfer_id, a.attempt desc
    ), first_claims as (
        select distinct on (a.payout_transfer_id, a.generation) a.payout_transfer_id,
            a.generation, a.claimed_at
        from payout.transfer_attempts as a
        order by a.payout_transfer_id, a.generation, a.attempt
    ), seen as (
        select o.payout_transfer_id, count(*) filter (where o.is_counted_try)::integer as tries,
            bool_or(o.has_unknown_send) as has_unknown_send,
            bool_or(o.verdict = 'alarm' and o.reason <> 'report_of_another_transfer'
                and o.observation_id > m.observation_id) as is_stopped
        from payout.transfer_observations as o
        join keys as k on k.payout_transfer_id = o.payout_transfer_id
        left join moves as m on m.payout_transfer_id = o.payout_transfer_id
        where o.observation_id > k.opened_after
        group by o.payout_transfer_id
    )
    select k.payout_transfer_id, k.due_at, k.generation, m.moved_to, m.generation, m.attempt,
        m.next_attempt_at, m.stripe_transfer_id, m.reason, a.generation, a.attempt, a.lease_until,
        f.claimed_at, coalesce(o.tries, 0), coalesce(o.has_unknown_send, false),
        coalesce(o.is_stopped, false), e.payout_transfer_id is not null
    from keys as k
    left join moves as m on m.payout_transfer_id = k.payout_transfer_id
    left join claims as a on a.payout_transfer_id = k.payout_transfer_id
    left join first_claims as f
        on f.payout_transfer_id = k.payout_transfer_id and f.generation = k.generation
    left join seen as o on o.payout_transfer_id = k.payout_transfer_id
    left join payout.ledger_entries as e on e.payout_transfer_id = k.payout_transfer_id
        and e.generation = k.generation and e.kind = 'release'
$$;


--
-- Name: FUNCTION newest_facts(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.newest_facts() IS 'One row for each transfer with the facts that fold_facts makes its progress of; tries and unknown sends are those of the newest key.';


--
-- Name: newest_row_id(text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.newest_row_id(p_table_name text) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select case p_table_name
        when 'ledger_entries' then
            (select max(e.ledger_entry_id) from payout.ledger_entries as e)
        when 'transfer_observations' then
            (select max(o.observation_id) from payout.transfer_observations as o)
        when 'key_generations' then
            (select max(k.key_generation_id) from payout.key_generations as k)
        when 'payout_transfers' then
            (select max(t.payout_transfer_id) from payout.payout_transfers as t)
    end
$$;


--
-- Name: FUNCTION newest_row_id(p_table_name text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.newest_row_id(p_table_name text) IS 'The highest id in a table that is sealed; null: it is empty.';


--
-- Name: note_first_claim(bigint[]); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.note_first_claim(p_payout_transfer_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if p_payout_transfer_ids <> '{}' and (
        select e.is_installation from payout.epochs as e order by e.epoch_id desc limit 1
    ) then
        insert into payout.epochs (
            system_identifier, timeline_id, database_oid, table_oid, is_first_claim, reason)
        select w.*, true, 'the first claim'
        from payout.where_we_are() as w;
    end if;
end
$$;


--
-- Name: FUNCTION note_first_claim(p_payout_transfer_ids bigint[]); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.note_first_claim(p_payout_transfer_ids bigint[]) IS 'Adopts a new installation where it is, once it hands out any of these transfers.';


--
-- Name: note_reversals(payout.stripe_sightings[]); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.note_reversals(p_seen payout.stripe_sightings[]) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_noted integer;
begin
    insert into payout.reversed_transfers as r (
        stripe_transfer_id, amount_reversed_minor, next_lookup_at)
    select g.stripe_transfer_id, max(g.amount_reversed_minor), payout.clock()
    from unnest(p_seen) as g
    where g.amount_reversed_minor > 0
        and (g.payout_ref is not null or exists (
            select from payout.transfer_states as s
            where s.stripe_transfer_id = g.stripe_transfer_id))
    group by g.stripe_transfer_id
    order by g.stripe_transfer_id
    on conflict (stripe_transfer_id) do update
    set amount_reversed_minor = excluded.amount_reversed_minor,
        next_lookup_at = excluded.next_lookup_at
    where r.amount_reversed_minor < excluded.amount_reversed_minor;
    get diagnostics v_noted = row_count;
    return v_noted;
end
$$;


--
-- Name: FUNCTION note_reversals(p_seen payout.stripe_sightings[]); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.note_reversals(p_seen payout.stripe_sightings[]) IS 'Has the reversals of transfers looked up where more was taken back than was known; returns of how many.';


--
-- Name: other_attempts_drain_at(payout.transfer_states); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.other_attempts_drain_at(p_state payout.transfer_states) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select max(a.lease_until + e.attempt_drain_for)
    from payout.transfer_attempts as a
    cross join payout.engine_settings as e
    where a.payout_transfer_id = p_state.payout_transfer_id
        and a.generation = p_state.generation
        and a.attempt <> p_state.attempt
        and not exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = a.payout_transfer_id
                and o.generation = a.generation
                and o.attempt = a.attempt
                and o.signal not in ('lease_expired', 'key_expired', 'looked_up')
        )
$$;


--
-- Name: FUNCTION other_attempts_drain_at(p_state payout.transfer_states); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.other_attempts_drain_at(p_state payout.transfer_states) IS 'When the last unreported other attempt of the current key counts as over; null: none is open.';


--
-- Name: owed_transfers(payout.settlements); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.owed_transfers(p_settlement payout.settlements) RETURNS TABLE(payee_id payout.external_id, source_transaction text, amount_minor bigint, stripe_account_id text)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
    return query
    select o.payee_id, o.source_transaction, o.amount_minor, a.stripe_account_id
    from (
        -- More than a bigint holds is more than any currency takes.
        select l.payee_id, l.source_transaction::text,
            least(sum(l.amount_minor), 1000000000000000000)::bigint as amount_minor
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id
        group by l.payee_id, l.source_transaction
    ) as o
    join payout.currencies as c on c.currency = p_settlement.currency
        and o.amount_minor <= c.largest_amount_minor
        and o.amount_minor % c.amount_step = 0
    cross join lateral (
        select pa.stripe_account_id
        from payout.payee_accounts as pa
        where pa.payee_id = o.payee_id
        order by pa.payee_account_id desc
        limit 1
    ) as a
    order by o.payee_id, o.source_transaction;
end
$$;


--
-- Name: FUNCTION owed_transfers(p_settlement payout.settlements); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.owed_transfers(p_settlement payout.settlements) IS 'Payee, source, amount in minor units and account of each transfer that a settlement makes.';


--
-- Name: page_problem(text, boolean, text, jsonb, boolean); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.page_problem(p_last_id text, p_had_more boolean, p_starting_after text, p_items jsonb, p_has_more boolean) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if p_items is null or jsonb_typeof(p_items) <> 'array' then
        return 'the page is not an array';
    elsif exists (
        select from jsonb_array_elements(p_items) as i
        where coalesce(jsonb_typeof(i -> 'id') <> 'string', true)
    ) then
        return 'the page holds something without an id';
    elsif p_has_more is null then
        return 'nobody says whether more pages follow';
    elsif p_has_more and jsonb_array_length(p_items) = 0 then
        return 'the page is empty, but more are said to follow';
    elsif not p_had_more then
        return 'there are no more pages';
    elsif p_starting_after is distinct from p_last_id then
        return format('the page after %s comes next, not that after %s',
            coalesce(p_last_id, 'nothing'), coalesce(p_starting_after, 'nothing'));
    end if;
    return null;
end
$$;


--
-- Name: FUNCTION page_problem(p_last_id text, p_had_more boolean, p_starting_after text, p_items jsonb, p_has_more boolean); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.page_problem(p_last_id text, p_had_more boolean, p_starting_after text, p_items jsonb, p_has_more boolean) IS 'Compares a page with the last id of the page before and whether more were to follow (both null: it is the first); null: it is the next one.';


--
-- Name: park_expired_keys(timestamp with time zone, integer); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.park_expired_keys(p_now timestamp with time zone, p_limit integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_parked integer;
begin
    with expired as (
        select s.payout_transfer_id, s.generation, s.attempt,
            case when s.first_sent_at > payout.clock() then 'clock_was_set_back'
                else 'key_too_old_to_send' end as reason
        from payout.transfer_states as s
        cross join payout.engine_settings as e
        where s.next_attempt_at is not null
            and s.state in ('retry_wait', 'unknown')
            and ((s.next_attempt_at <= p_now and s.first_sent_at <= p_now - e.send_window_for)
                or s.first_sent_at > payout.clock())
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked
    ), observed as (
        insert into payout.transfer_observations (
            payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason,
            error_rule_id)
        select x.payout_transfer_id, x.generation, x.attempt, 'key_expired', 'ok', 'parked',
            x.reason, r.error_rule_id
        from expired as x
        left join payout.stripe_error_rules as r on r.signal = 'key_expired'
    ), moved as (
        update payout.transfer_states as s
        set state = 'parked',
            next_attempt_at = null,
            reason = x.reason,
            changed_at = p_now
        from expired as x
        where s.payout_transfer_id = x.payout_transfer_id
        returning 1
    )
    select count(*)::integer into v_parked from moved;

    if v_parked > 0 then
        perform payout.call_person('transfers_parked', v_parked || ' by the sweep');
    end if;
    return v_parked;
end
$$;


--
-- Name: FUNCTION park_expired_keys(p_now timestamp with time zone, p_limit integer); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.park_expired_keys(p_now timestamp with time zone, p_limit integer) IS 'Parks up to p_limit transfers whose key is older than the send window, or of unknown age. Returns how many.';


--
-- Name: park_seen(bigint[]); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.park_seen(p_payout_transfer_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
    with parked as (
        update payout.transfer_states as s
        set state = 'parked',
            next_attempt_at = null,
            doorbell_id = null,
            reason = 'seen_at_stripe',
            changed_at = payout.clock()
        where s.payout_transfer_id = any (p_payout_transfer_ids)
            and s.state = 'scheduled'
        returning s.payout_transfer_id, s.generation, s.attempt
    )
    insert into payout.transfer_observations (
        payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason)
    select p.payout_transfer_id, p.generation, p.attempt, 'looked_up', 'ok', 'parked',
        'seen_at_stripe'
    from parked as p
    order by p.payout_transfer_id;
end
$$;


--
-- Name: FUNCTION park_seen(p_payout_transfer_ids bigint[]); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.park_seen(p_payout_transfer_ids bigint[]) IS 'Parks those of the transfers that are scheduled, with the observation that says why.';


--
-- Name: payout_ref(text, text, text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.payout_ref(p_settlement_id text, p_payee_id text, p_source_transaction text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return 'payout_' || left(encode(sha256(convert_to(
        format('%s:%s,%s:%s,%s',
            octet_length(p_settlement_id), p_settlement_id,
            octet_length(p_payee_id), p_payee_id, p_source_transaction),
        'UTF8')), 'hex'), 40);
end
$$;


--
-- Name: FUNCTION payout_ref(p_settlement_id text, p_payee_id text, p_source_transaction text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.payout_ref(p_settlement_id text, p_payee_id text, p_source_transaction text) IS 'Identity of the transfer of a settlement to a payee from a source: payout_ and 40 hex digits.';


--
-- Name: place_hold(text, text, text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.place_hold(p_scope text, p_subject text, p_reason text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_hold_id bigint;
begin
    loop
        insert into payout.holds (scope, subject, reason)
        values (p_scope, p_subject, p_reason)
        on conflict do nothing
        returning hold_id into v_hold_id;

        if found then
            insert into payout.operator_actions (action, subject, reason, details)
            values ('hold', concat_ws(' ', p_scope, p_subject), p_reason,
                jsonb_build_object('hold_id', v_hold_id));
            exit;
        end if;

        select h.hold_id into v_hold_id
        from payout.holds as h
        where h.scope = p_scope
            and h.subject is not distinct from p_subject
            and h.released_at is null
        for share;
        exit when found;
    end loop;
    return v_hold_id;
end
$$;


--
-- Name: FUNCTION place_hold(p_scope text, p_subject text, p_reason text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.place_hold(p_scope text, p_subject text, p_reason text) IS 'Places a hold unless there is one, notes it in operator_actions, returns its hold_id.';


--
-- Name: progress_problem(payout.transfer_states); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.progress_problem(p_state payout.transfer_states) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return case
        when p_state.generation < 1 then 'generation_counts_from_one'
        when p_state.attempt < 0 then 'attempt_counts_from_zero'
        when p_state.tries < 0 then 'tries_count_from_zero'
        when p_state.state = 'cancelled' and p_state.attempt <> 0
            then 'cancelled_was_never_attempted'
        when (p_state.state = 'in_flight') <> (p_state.lease_until is not null)
            then 'only_in_flight_has_a_lease'
        when p_state.state = 'in_flight' and p_state.first_sent_at is null
            then 'in_flight_has_been_sent'
        when (p_state.state = 'paid') <> (p_state.stripe_transfer_id is not null)
            then 'paid_names_its_transfer'
        when p_state.state in ('scheduled', 'retry_wait', 'unknown')
            and p_state.next_attempt_at is null then 'waiting_names_its_next_attempt'
        when p_state.state in ('in_flight', 'parked', 'paid', 'cancelled')
            and p_state.next_attempt_at is not null then 'resting_has_no_next_attempt'
        when p_state.state in ('parked', 'failed') and p_state.reason is null
            then 'parked_and_failed_say_why'
        when p_state.state <> 'parked' and p_state.next_lookup_at is not null
            then 'only_parked_is_looked_up'
    end;
end
$$;


--
-- Name: FUNCTION progress_problem(p_state payout.transfer_states); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.progress_problem(p_state payout.transfer_states) IS 'The first rule about counters, lease, next steps, Stripe''s id and reason that a row breaks, or null.';


--
-- Name: proof_of_absence(payout.transfer_states); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.proof_of_absence(p_state payout.transfer_states) RETURNS bigint[]
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select array[(o.facts ->> 'first_absence_id')::bigint, o.observation_id]
    from payout.transfer_observations as o
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.generation = p_state.generation
        and o.signal = 'looked_up'
        and o.moved_to = 'failed'
$$;


--
-- Name: FUNCTION proof_of_absence(p_state payout.transfer_states); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.proof_of_absence(p_state payout.transfer_states) IS 'The observations of two scans that found nothing, on which it was given up; null: it was not.';


--
-- Name: raise_alarm(payout.outcome, payout.judgement); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.raise_alarm(p_outcome payout.outcome, p_judgement payout.judgement) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_transfer payout.payout_transfers;
begin
    perform payout.call_person(
        p_judgement.reason, 'transfer ' || p_outcome.payout_transfer_id);

    if p_judgement.pauses_engine then
        perform payout.place_hold('engine', null, p_judgement.reason);
    end if;

    if p_judgement.verdict <> 'alarm' and p_judgement.to_state is distinct from 'parked' then
        return p_judgement.reason;
    end if;

    select * into strict v_transfer
    from payout.payout_transfers as t
    where t.payout_transfer_id = p_outcome.payout_transfer_id;

    insert into payout.discrepancies (
        kind, payout_transfer_id, stripe_transfer_id, ours, theirs, advice)
    values (
        p_judgement.reason, v_transfer.payout_transfer_id, p_outcome.stripe_transfer_id,
        v_transfer.request, jsonb_strip_nulls(to_jsonb(p_outcome)),
        coalesce(
            (select r.advice from payout.stripe_error_rules as r
                where r.error_rule_id = p_judgement.error_rule_id),
            'Look the payout_ref up at Stripe and compare; nothing of this settlement is sent '
            'until its hold is released.'));

    if p_judgement.verdict = 'alarm' then
        perform payout.place_hold('settlement', v_transfer.settlement_id, p_judgement.reason);
    end if;
    return p_judgement.reason;
end
$$;


--
-- Name: FUNCTION raise_alarm(p_outcome payout.outcome, p_judgement payout.judgement); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.raise_alarm(p_outcome payout.outcome, p_judgement payout.judgement) IS 'Calls a person, records a discrepancy, holds the settlement or the engine; returns the reason.';


--
-- Name: read_lines(payout.external_id, jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.read_lines(p_settlement_id payout.external_id, p_lines jsonb) RETURNS payout.settlement_lines[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    v_lines payout.settlement_lines[] := '{}'::payout.settlement_lines[];
    v_line jsonb := p_lines -> 0;
    v_line_id text := v_line ->> 'line_id';
    v_payee_id text := v_line ->> 'payee_id';
    v_source_transaction text := v_line ->> 'source_transaction';
    v_amount_minor text := (v_line -> 'amount_minor')::text;
begin
    if jsonb_typeof(p_lines) = 'array' and p_lines -> 1 is null
        and v_amount_minor ~ '^[1-9][0-9]{0,14}$'
        and v_line_id is not null and v_payee_id is not null
        and v_line - 'amount_minor' = (case
            when v_source_transaction is null
                then jsonb_object(array['line_id', v_line_id, 'payee_id', v_payee_id])
            else jsonb_object(array['line_id', v_line_id, 'payee_id', v_payee_id,
                'source_transaction', v_source_transaction])
        end) then
        return array[row(
            p_settlement_id, v_line_id, v_payee_id, v_amount_minor, v_source_transaction
        )::payout.settlement_lines];
    end if;

    perform payout.refuse_bad_lines(p_lines);
    for i in 0 .. jsonb_array_length(p_lines) - 1 loop
        v_line := p_lines -> i;
        v_lines := v_lines || row(
            p_settlement_id, v_line ->> 'line_id', v_line ->> 'payee_id',
            v_line ->> 'amount_minor', v_line ->> 'source_transaction'
        )::payout.settlement_lines;
    end loop;
    return v_lines;
end
$_$;


--
-- Name: FUNCTION read_lines(p_settlement_id payout.external_id, p_lines jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.read_lines(p_settlement_id payout.external_id, p_lines jsonb) IS 'The lines of a settlement given as JSON, or an error that names the wrong one (SP309).';


--
-- Name: read_outcomes(jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.read_outcomes(p_outcomes jsonb) RETURNS payout.outcome[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    v_problem text;
begin
    if p_outcomes is null or jsonb_typeof(p_outcomes) <> 'array' then
        v_problem := 'p_outcomes is not an array';
    else
        select format('outcome %s %s', e.position, c.problem) into v_problem
        from jsonb_array_elements(p_outcomes) with ordinality as e (outcome, position)
        cross join lateral (select case
            when jsonb_typeof(e.outcome) <> 'object' then 'is not an object'
            when coalesce(e.outcome ->> 'payout_transfer_id', '') !~ '^[0-9]{1,18}$'
                then 'has no whole number payout_transfer_id'
            when coalesce(e.outcome ->> 'generation', '') !~ '^[0-9]{1,9}$'
                then 'has no whole number generation'
            when coalesce(e.outcome ->> 'attempt', '') !~ '^[0-9]{1,9}$'
                then 'has no whole number attempt'
            when coalesce(e.outcome ->> 'signal', '') not in (
                'response', 'unreadable', 'no_response', 'not_sent')
                then 'has no signal out of response, unreadable, no_response, not_sent'
        end) as c (problem)
        where c.problem is not null
        order by e.position
        limit 1;
    end if;
    if v_problem is not null then
        raise exception '%', v_problem
            using
                errcode = 'SP312',
                hint = 'comment on type payout.outcome says what an outcome is.';
    end if;

    return array(
        select jsonb_populate_record(null::payout.outcome, e.outcome - array(
            select f.key
            from jsonb_each_text(e.outcome) as f
            where (f.key = 'http_status' and f.value !~ '^[0-9]{3}$')
                or (f.key in ('amount_minor', 'amount_reversed_minor')
                    and f.value !~ '^-?[0-9]{1,18}$')
                or (f.key = 'retry_after_seconds' and f.value !~ '^[0-9]{1,9}([.][0-9]{1,9})?$')
                or (f.key in ('is_replayed', 'is_livemode') and f.value not in ('true', 'false'))))
        from jsonb_array_elements(p_outcomes) with ordinality as e (outcome, position)
        order by e.position);
end
$_$;


--
-- Name: FUNCTION read_outcomes(p_outcomes jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.read_outcomes(p_outcomes jsonb) IS 'Reported outcomes in the order they came; SP312 when one cannot be read.';


--
-- Name: read_sightings(bigint, jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.read_sightings(p_reconcile_run_id bigint, p_transfers jsonb) RETURNS SETOF payout.stripe_sightings
    LANGUAGE plpgsql ROWS 100
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
    return query
    select
        t ->> 'id',
        case
            when t ->> 'transfer_group' ~ '^payout_[0-9a-f]{40}$' then t ->> 'transfer_group'
            else t #>> '{metadata,payout_ref}'
        end,
        case when t ->> 'amount' ~ '^[0-9]{1,18}$' then (t ->> 'amount')::bigint end,
        case
            when t ->> 'amount_reversed' ~ '^[0-9]{1,18}$' then (t ->> 'amount_reversed')::bigint
            else 0
        end,
        substring(t ->> 'currency' from '^[a-z]{3}$')::payout.currency_code,
        t ->> 'destination',
        case when jsonb_typeof(t -> 'livemode') = 'boolean' then (t -> 'livemode')::boolean end,
        t #>> '{metadata,payout_ref}',
        t #>> '{metadata,settlement_id}',
        to_timestamp((t ->> 'created')::double precision),
        p_reconcile_run_id,
        payout.clock()
    from jsonb_array_elements(p_transfers) as t;
end
$_$;


--
-- Name: FUNCTION read_sightings(p_reconcile_run_id bigint, p_transfers jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.read_sightings(p_reconcile_run_id bigint, p_transfers jsonb) IS 'Transfers as Stripe lists them, one row each; null is what cannot be read.';


--
-- Name: reconcile_page_problem(payout.reconcile_runs, text, jsonb, boolean); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.reconcile_page_problem(p_run payout.reconcile_runs, p_starting_after text, p_transfers jsonb, p_has_more boolean) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
    if p_run.reconcile_run_id is null then
        return 'there is no such run';
    elsif not exists (
        select from payout.runs_of_this_place() as r
        where r.reconcile_run_id = p_run.reconcile_run_id
    ) then
        return 'the run does not count here any more: begin another one';
    elsif p_run.finished_at is not null then
        return 'the run has all of its pages';
    end if;
    return coalesce(
        payout.page_problem(
            p_run.next_cursor, true, p_starting_after, p_transfers, p_has_more),
        payout.list_problem(p_transfers, '^tr_[A-Za-z0-9_]+$'));
end
$_$;


--
-- Name: FUNCTION reconcile_page_problem(p_run payout.reconcile_runs, p_starting_after text, p_transfers jsonb, p_has_more boolean); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.reconcile_page_problem(p_run payout.reconcile_runs, p_starting_after text, p_transfers jsonb, p_has_more boolean) IS 'Why a page is not the next one of a run, with the cursor that is expected; null: it is.';


--
-- Name: reconcile_query(payout.reconcile_runs); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.reconcile_query(p_run payout.reconcile_runs) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return jsonb_build_object('created', jsonb_build_object(
        'gte', greatest(0, floor(extract(epoch from p_run.created_from - interval '1 hour'))),
        'lt', ceil(extract(epoch from p_run.created_until + interval '5 minutes'))));
end
$$;


--
-- Name: FUNCTION reconcile_query(p_run payout.reconcile_runs); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.reconcile_query(p_run payout.reconcile_runs) IS 'The parameters of GET /v1/transfers that list what a run compares.';


--
-- Name: record_findings(payout.finding[], bigint); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.record_findings(p_findings payout.finding[], p_reconcile_run_id bigint) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_findings payout.finding[];
    v_new record;
    v_found integer;
begin
    -- Who is resolving one of them is waited for, and then believed.
    perform
    from payout.discrepancies as d
    join unnest(p_findings) as f on f.kind = d.kind and f.stripe_transfer_id = d.stripe_transfer_id
    where d.is_finding and d.resolved_at is null
    order by d.stripe_transfer_id, d.kind
    for update of d;
    v_findings := array(
        select f from unnest(p_findings) as f
        where not payout.is_explained(f)
        order by f.stripe_transfer_id, f.kind);
    if v_findings = '{}' then
        return 0;
    end if;
    for v_new in
        select f.kind, count(*) as findings, min(f.stripe_transfer_id) as example
        from unnest(v_findings) as f
        where not exists (
            select from payout.discrepancies as d
            where d.kind = f.kind
                and d.stripe_transfer_id = f.stripe_transfer_id
                and d.is_finding
                and d.resolved_at is null
        )
        group by f.kind
        order by f.kind
    loop
        perform payout.call_person(
            v_new.kind, format('%s found, %s among them', v_new.findings, v_new.example));
    end loop;

    insert into payout.discrepancies as d (
        kind, payout_transfer_id, stripe_transfer_id, ours, theirs, advice, is_finding,
        found_by_run_id, last_found_by_run_id)
    select f.kind, f.payout_transfer_id, f.stripe_transfer_id, f.ours, f.theirs,
        payout.finding_advice(f.kind), true, p_reconcile_run_id, p_reconcile_run_id
    from unnest(v_findings) as f
    on conflict (kind, stripe_transfer_id) where is_finding and resolved_at is null
    do update set last_found_by_run_id = coalesce(
        excluded.last_found_by_run_id, d.last_found_by_run_id);
    get diagnostics v_found = row_count;
    return v_found;
end
$$;


--
-- Name: FUNCTION record_findings(p_findings payout.finding[], p_reconcile_run_id bigint); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.record_findings(p_findings payout.finding[], p_reconcile_run_id bigint) IS 'Stores findings as discrepancies, each once; returns how many are open.';


--
-- Name: record_outcomes(payout.outcome[]); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.record_outcomes(p_outcomes payout.outcome[]) RETURNS TABLE(payout_transfer_id bigint, generation integer, attempt integer, verdict text, state text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
begin
    return query
    with judged as materialized (
        select o as outcome, j as judgement, o.*, j.*, s.generation as current_generation,
            s.state as former_state, t.amount_minor as owed_minor, t.currency as owed_currency,
            t.payee_id
        from unnest(p_outcomes) as o
        join payout.transfer_states as s on s.payout_transfer_id = o.payout_transfer_id
        join payout.payout_transfers as t on t.payout_transfer_id = o.payout_transfer_id
        cross join lateral payout.judge_outcome(
            o, s, t, (select e from payout.engine_settings as e)) as j
        order by o.payout_transfer_id
    ), observed as (
        insert into payout.transfer_observations (
            payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason,
            error_rule_id, http_status, error_type, error_code, is_replayed, stripe_transfer_id,
            stripe_request_id, facts, is_counted_try, has_unknown_send, next_attempt_at)
        select
            j.payout_transfer_id, j.generation, j.attempt, j.signal, j.verdict, j.to_state,
            j.reason, j.error_rule_id, j.http_status, j.error_type, j.error_code, j.is_replayed,
            j.stripe_transfer_id, j.stripe_request_id, payout.remaining_facts(j.outcome),
            coalesce(j.counts_as_try, false), coalesce(j.leaves_unknown, false), j.next_attempt_at
        from judged as j
    ), moved as (
        update payout.transfer_states as s
        set state = j.to_state,
            lease_until = null,
            next_attempt_at = case when j.to_state <> 'paid' then j.next_attempt_at end,
            stripe_transfer_id = case when j.to_state = 'paid' then j.stripe_transfer_id end,
            tries = s.tries + coalesce(j.counts_as_try, false)::integer,
            has_unknown_send = s.has_unknown_send or coalesce(j.leaves_unknown, false),
            reason = j.reason,
            changed_at = payout.clock()
        from judged as j
        where s.payout_transfer_id = j.payout_transfer_id and j.to_state is not null
    ), stopped as (
        -- Rule K must not open a new key behind an alarm's back.
        update payout.transfer_states as s
        set next_attempt_at = null
        from judged as j where s.payout_transfer_id = j.payout_transfer_id and j.is_alarm
            and j.former_state = 'failed' and j.reason <> 'report_of_another_transfer'
    ), booked as (
        insert into payout.ledger_entries (
            payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor,
            currency)
        select j.payout_transfer_id, case j.to_state when 'paid' then 'paid' else 'release' end,
            j.current_generation, 'in_flight',
            case j.to_state when 'paid' then 'stripe_balance' else 'payable:' || j.payee_id end,
            j.owed_minor, j.owed_currency
        from judged as j where j.to_state in ('paid', 'failed')
    ), called as (
        select count(payout.raise_alarm(j.outcome, j.judgement)) as alarms
        from judged as j where j.is_alarm
    )
    select j.payout_transfer_id, j.generation, j.attempt, j.verdict,
        coalesce(j.to_state, j.former_state::text)
    from judged as j
    -- Named in a condition because a query that nobody asks is not run.
    where (select c.alarms from called as c) >= 0;
end
$$;


--
-- Name: FUNCTION record_outcomes(p_outcomes payout.outcome[]); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.record_outcomes(p_outcomes payout.outcome[]) IS 'Stores outcomes with their judgement, moves the transfers, books paid and released money.';


--
-- Name: record_unknown_transfers(payout.outcome[]); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.record_unknown_transfers(p_outcomes payout.outcome[]) RETURNS TABLE(payout_transfer_id bigint, generation integer, attempt integer, verdict text, state text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return query
    with recorded as (
        insert into payout.discrepancies (kind, stripe_transfer_id, theirs, advice)
        select 'report_of_unknown_transfer', o.stripe_transfer_id, jsonb_strip_nulls(to_jsonb(o)),
            'This database does not know the transfer: was it restored or promoted? Look the '
            'payout_ref up at Stripe before anything is sent.'
        from unnest(p_outcomes) as o
        returning theirs
    )
    select
        (r.theirs ->> 'payout_transfer_id')::bigint, (r.theirs ->> 'generation')::integer,
        (r.theirs ->> 'attempt')::integer, 'alarm', null::text
    from recorded as r;

    if found then
        perform payout.call_person('report_of_unknown_transfer', 'restored or promoted?');
    end if;
end
$$;


--
-- Name: FUNCTION record_unknown_transfers(p_outcomes payout.outcome[]); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.record_unknown_transfers(p_outcomes payout.outcome[]) IS 'Stores outcomes of unknown transfers as discrepancies and answers alarm for each.';


--
-- Name: refuse_bad_amounts(text, text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_bad_amounts(p_settlement_id text, p_currency text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_transfer record;
begin
    select l.payee_id, sum(l.amount_minor) as amount_minor, c.largest_amount_minor, c.amount_step
    into v_transfer
    from payout.settlement_lines as l
    join payout.currencies as c on c.currency = p_currency
    where l.settlement_id = p_settlement_id
    group by l.payee_id, l.source_transaction, c.largest_amount_minor, c.amount_step
    having sum(l.amount_minor) > c.largest_amount_minor or sum(l.amount_minor) % c.amount_step <> 0
    order by l.payee_id
    limit 1;

    if not found then
        return;
    end if;
    if v_transfer.amount_minor > v_transfer.largest_amount_minor then
        raise exception 'settlement %, payee %: % is more than one transfer can carry (% %)',
            p_settlement_id, v_transfer.payee_id, v_transfer.amount_minor,
            v_transfer.largest_amount_minor, p_currency
            using
                errcode = 'SP304',
                hint = 'Split it over several settlements.';
    end if;
    raise exception 'settlement %, payee %: % is not a multiple of % as Stripe asks for %',
        p_settlement_id, v_transfer.payee_id, v_transfer.amount_minor,
        v_transfer.amount_step, p_currency
        using
            errcode = 'SP306',
            hint = 'payout.currencies.amount_step says which amounts a currency knows.';
end
$$;


--
-- Name: FUNCTION refuse_bad_amounts(p_settlement_id text, p_currency text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_bad_amounts(p_settlement_id text, p_currency text) IS 'Refuses a settlement with a transfer too large (SP304) or off the currency''s step (SP306).';


--
-- Name: refuse_bad_header(payout.settlements); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_bad_header(p_settlement payout.settlements) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_problem text := payout.metadata_problem(p_settlement.metadata);
begin
    if not exists (
        select from payout.currencies as c where c.currency = p_settlement.currency
    ) then
        raise exception 'settlement %: currency % is not supported',
            p_settlement.settlement_id, p_settlement.currency
            using
                errcode = 'SP305',
                hint = 'payout.currencies lists those that Stripe transfers.';
    end if;
    if v_problem is not null then
        raise exception 'settlement %: metadata %', p_settlement.settlement_id, v_problem
            using
                errcode = 'SP308',
                hint = 'Stripe takes 50 keys of 40 characters, text values of 500; three are ours.';
    end if;
end
$$;


--
-- Name: FUNCTION refuse_bad_header(p_settlement payout.settlements); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_bad_header(p_settlement payout.settlements) IS 'Refuses a settlement for its currency (SP305) or metadata (SP308).';


--
-- Name: refuse_bad_lines(jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_bad_lines(p_lines jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    v_problem text;
begin
    if p_lines is null or jsonb_typeof(p_lines) <> 'array' or p_lines = '[]' then
        v_problem := 'p_lines is not an array with at least one line';
    else
        select format('line %s of p_lines %s', e.position, c.problem) into v_problem
        from (
            select e.line, e.position,
                row_number() over (partition by e.line ->> 'line_id' order by e.position) as nth
            from jsonb_array_elements(p_lines) with ordinality as e (line, position)
        ) as e
        cross join lateral (select case
            when jsonb_typeof(e.line) <> 'object' then 'is not an object'
            when jsonb_typeof(e.line -> 'line_id') is distinct from 'string'
                then 'has no text line_id'
            when jsonb_typeof(e.line -> 'payee_id') is distinct from 'string'
                then 'has no text payee_id'
            when jsonb_typeof(e.line -> 'amount_minor') is distinct from 'number'
                or e.line ->> 'amount_minor' !~ '^-?[0-9]+$'
                then 'has no whole number amount_minor'
            when e.line ->> 'amount_minor' !~ '^[1-9]'
                then 'has an amount_minor that is not above 0'
            when length(e.line ->> 'amount_minor') > 15
                then 'has an amount_minor that is more than one transfer can carry'
            when coalesce(jsonb_typeof(e.line -> 'source_transaction'), 'null')
                not in ('string', 'null')
                then 'has a source_transaction that is not text'
            when e.line - array['line_id', 'payee_id', 'amount_minor', 'source_transaction'] <> '{}'
                then 'has a key that is none of line_id, payee_id, amount_minor, source_transaction'
            when e.nth > 1 then format('repeats the line_id %s', e.line ->> 'line_id')
        end) as c (problem)
        where c.problem is not null
        order by e.position
        limit 1;
    end if;

    if v_problem is not null then
        raise exception '%', v_problem
            using
                errcode = 'SP309',
                hint = 'A line is {"line_id":"1","payee_id":"seller_1","amount_minor":700}.';
    end if;
end
$_$;


--
-- Name: FUNCTION refuse_bad_lines(p_lines jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_bad_lines(p_lines jsonb) IS 'Refuses lines given as JSON that cannot be read, naming the first (SP309).';


--
-- Name: refuse_bad_payees(text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_bad_payees(p_settlement_id text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_line record;
begin
    select l.line_id, l.payee_id, p.payee_id is not null as is_registered into v_line
    from payout.settlement_lines as l
    left join payout.payees as p on p.payee_id = l.payee_id
    where l.settlement_id = p_settlement_id
        and not exists (
            select from payout.payee_accounts as a where a.payee_id = l.payee_id
        )
    order by l.line_id
    limit 1;

    if not found then
        return;
    end if;
    if not v_line.is_registered then
        raise exception 'settlement %, line %: payee % is unknown',
            p_settlement_id, v_line.line_id, v_line.payee_id
            using
                errcode = 'SP301',
                hint = 'Call payout_api.register_payee first.';
    end if;
    raise exception 'settlement %, line %: payee % has no Stripe account',
        p_settlement_id, v_line.line_id, v_line.payee_id
        using
            errcode = 'SP302',
            hint = 'Call payout_api.register_payee with p_stripe_account_id first.';
end
$$;


--
-- Name: FUNCTION refuse_bad_payees(p_settlement_id text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_bad_payees(p_settlement_id text) IS 'Refuses a settlement with a payee that is unknown (SP301) or has no Stripe account (SP302).';


--
-- Name: refuse_bad_row(text, text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_bad_row(p_table text, p_rule text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    raise exception 'new row for relation "%" violates check constraint "%"', p_table, p_rule
        using
            errcode = '23514',
            schema = 'payout',
            table = p_table,
            constraint = p_rule;
end
$$;


--
-- Name: FUNCTION refuse_bad_row(p_table text, p_rule text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_bad_row(p_table text, p_rule text) IS 'Raises 23514 for a row of the table that breaks the rule.';


--
-- Name: refuse_bad_settlement(payout.settlements, bigint); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_bad_settlement(p_settlement payout.settlements, p_made_minor bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform payout.refuse_bad_header(p_settlement);
    perform payout.refuse_bad_total(p_settlement);
    perform payout.refuse_bad_payees(p_settlement.settlement_id);
    perform payout.refuse_bad_amounts(p_settlement.settlement_id, p_settlement.currency);
    if p_made_minor is distinct from p_settlement.total_minor then
        raise exception 'settlement %: payees or currencies changed while it was scheduled',
            p_settlement.settlement_id
            using
                errcode = 'SP402',
                hint = 'Repeat the transaction.';
    end if;
end
$$;


--
-- Name: FUNCTION refuse_bad_settlement(p_settlement payout.settlements, p_made_minor bigint); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_bad_settlement(p_settlement payout.settlements, p_made_minor bigint) IS 'Refuses a settlement that cannot be paid out as it stands (SP301 to SP306, SP308), or of which another sum than its total can (SP402).';


--
-- Name: refuse_bad_total(payout.settlements); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_bad_total(p_settlement payout.settlements) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_lines_minor numeric;
begin
    select coalesce(sum(l.amount_minor), 0) into v_lines_minor
    from payout.settlement_lines as l
    where l.settlement_id = p_settlement.settlement_id;

    if v_lines_minor <> p_settlement.total_minor then
        raise exception 'settlement %: lines add up to %, total_minor is %, difference %',
            p_settlement.settlement_id, v_lines_minor, p_settlement.total_minor,
            p_settlement.total_minor - v_lines_minor
            using
                errcode = 'SP303',
                hint = 'Insert every line in the transaction that completes the settlement.';
    end if;
end
$$;


--
-- Name: FUNCTION refuse_bad_total(p_settlement payout.settlements); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_bad_total(p_settlement payout.settlements) IS 'Refuses a settlement whose lines do not add up (SP303), naming the difference.';


--
-- Name: refuse_closed_gate(text, boolean); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_closed_gate(p_stripe_account_id text, p_is_livemode boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_problem text := payout.gate_problem();
begin
    if v_problem is not null then
        raise exception 'no transfer is handed out: this database is not where it was adopted'
            using
                errcode = 'SP403',
                detail = v_problem,
                hint = 'docs/restore.md: payout-engine reconcile, '
                    'then select payout_api.open_gate(reason).';
    end if;
    perform payout.refuse_other_stripe_account(p_stripe_account_id, p_is_livemode);
end
$$;


--
-- Name: FUNCTION refuse_closed_gate(p_stripe_account_id text, p_is_livemode boolean); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_closed_gate(p_stripe_account_id text, p_is_livemode boolean) IS 'Refuses to go on where the database was not adopted, or for another Stripe account.';


--
-- Name: refuse_late_lines(text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_late_lines(p_settlement_id text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: FUNCTION refuse_late_lines(p_settlement_id text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_late_lines(p_settlement_id text) IS 'Raises SP102 for a line that came too late.';


--
-- Name: refuse_list(text, text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_list(p_what text, p_problem text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    raise exception '%: %', p_what, p_problem
        using
            errcode = 'SP341',
            hint = 'Read the list from where the database says, page by page, to its end.';
end
$$;


--
-- Name: FUNCTION refuse_list(p_what text, p_problem text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_list(p_what text, p_problem text) IS 'Raises SP341 for a page or list of Stripe''s that is malformed or not the one expected.';


--
-- Name: refuse_lookup_page(bigint, text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_lookup_page(p_lookup_id bigint, p_problem text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    raise exception 'look-up %: %', coalesce(p_lookup_id::text, 'null'), p_problem
        using
            errcode = 'SP340',
            hint = 'Read each query of claim_lookups from its start, page by page.',
            schema = 'payout',
            table = 'transfer_lookup_pages';
end
$$;


--
-- Name: FUNCTION refuse_lookup_page(p_lookup_id bigint, p_problem text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_lookup_page(p_lookup_id bigint, p_problem text) IS 'Raises SP340 for a page that is not one the look-up waits for.';


--
-- Name: refuse_other_query(text, jsonb, jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_other_query(p_what text, p_query jsonb, p_asked jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if p_query is distinct from p_asked then
        raise exception '%: the page answers another query than was given out here', p_what
            using
                errcode = 'SP341',
                detail = format('It answers %s, asked is %s.', coalesce(p_query::text, 'none'),
                    coalesce(p_asked::text, 'nothing')),
                hint = 'Hand back the query as it was given out; a number that another database '
                    'gave out counts there alone: begin or claim anew.';
    end if;
end
$$;


--
-- Name: FUNCTION refuse_other_query(p_what text, p_query jsonb, p_asked jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_other_query(p_what text, p_query jsonb, p_asked jsonb) IS 'Raises SP341 for a page of another query than a run or look-up asks.';


--
-- Name: refuse_other_stripe_account(text, boolean); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_other_stripe_account(p_stripe_account_id text, p_is_livemode boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_settings payout.engine_settings;
begin
    select * into strict v_settings from payout.engine_settings;

    if v_settings.stripe_account_id is null and p_stripe_account_id is not null
        and p_is_livemode = coalesce(v_settings.is_livemode, p_is_livemode) then
        update payout.engine_settings as e
        set stripe_account_id = p_stripe_account_id, is_livemode = p_is_livemode
        where e.stripe_account_id is null;
        if found then
            insert into payout.operator_actions (action, subject, reason, details)
            values ('fix_stripe_account', p_stripe_account_id,
                'the engine: nobody had named an account before',
                jsonb_build_object('is_livemode', p_is_livemode));
        end if;
        -- Somebody else may have been first.
        select * into strict v_settings from payout.engine_settings;
    end if;

    if v_settings.stripe_account_id is distinct from p_stripe_account_id
        or (p_stripe_account_id is not null
            and v_settings.is_livemode is distinct from p_is_livemode) then
        raise exception 'this database does not pay from %',
            payout.name_stripe_account(p_stripe_account_id, p_is_livemode)
            using
                errcode = 'SP404',
                detail = format('It pays from %s.', payout.name_stripe_account(
                    v_settings.stripe_account_id, v_settings.is_livemode)),
                hint = 'Give the worker a key of that account and mode; if the platform has moved, '
                    'see payout_api.change_stripe_account.';
    end if;
end
$$;


--
-- Name: FUNCTION refuse_other_stripe_account(p_stripe_account_id text, p_is_livemode boolean); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_other_stripe_account(p_stripe_account_id text, p_is_livemode boolean) IS 'Refuses a caller with another Stripe account or mode than the fixed one; fixes the first.';


--
-- Name: refuse_unsafe_account_change(payout.engine_settings, boolean); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_unsafe_account_change(p_old payout.engine_settings, p_is_livemode boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    -- The other account would say of each that it was never executed. Test mode moves no money.
    if p_old.stripe_account_id is not null and p_is_livemode and exists (
        select from payout.transfer_states as s
        where s.state in ('in_flight', 'retry_wait', 'unknown', 'parked') and s.attempt > 0
    ) then
        raise exception 'transfers are open that % may have executed', p_old.stripe_account_id
            using
                errcode = 'SP411',
                hint = 'Have them settled with a key of the old account first (docs/restore.md).';
    end if;

    -- What the test account was asked meanwhile says nothing of the live one.
    if p_is_livemode and exists (
        select from payout.operator_actions as a
        where a.action = 'change_stripe_account'
            and a.details @> '{"old_is_livemode": true, "is_livemode": false}'
            and (exists (
                select from payout.transfer_attempts as t where t.claimed_at > a.acted_at
            ) or exists (
                select from payout.transfer_lookups as l where l.begun_at > a.acted_at
            ) or exists (
                select from payout.reconcile_runs as r where r.started_at > a.acted_at
            ) or exists (
                select from payout.event_pages as p where p.received_at > a.acted_at
            ))
    ) then
        raise exception 'what was used in test mode does not go back to live mode'
            using
                errcode = 'SP411',
                hint = 'A copy that was used in test mode stays there (docs/restore.md).';
    end if;
end
$$;


--
-- Name: FUNCTION refuse_unsafe_account_change(p_old payout.engine_settings, p_is_livemode boolean); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_unsafe_account_change(p_old payout.engine_settings, p_is_livemode boolean) IS 'Refuses to change to a live account while transfers are open that were ever sent, or after anything was done in test mode (SP411).';


--
-- Name: refuse_unsafe_server(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.refuse_unsafe_server() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_problem text;
begin
    v_problem := case
        when pg_is_in_recovery() then 'the server is in recovery'
        when current_setting('fsync') = 'off' then 'fsync is off'
        when current_setting('synchronous_commit') in ('off', 'local')
            then 'synchronous_commit is ' || current_setting('synchronous_commit')
        when current_setting('transaction_isolation') <> 'read committed'
            then 'the transaction is ' || current_setting('transaction_isolation')
    end;
    if v_problem is not null then
        raise exception 'no transfer is handed out while %', v_problem
            using
                errcode = 'SP401',
                hint = 'A claim must be as durable as the transfer it allows, and see what is '
                    'true now.';
    end if;
end
$$;


--
-- Name: FUNCTION refuse_unsafe_server(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.refuse_unsafe_server() IS 'Refuses to go on when a commit could be lost (recovery, fsync or synchronous_commit off), or in a transaction that is not read committed.';


--
-- Name: remaining_facts(payout.outcome); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.remaining_facts(p_outcome payout.outcome) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return jsonb_strip_nulls(to_jsonb(p_outcome) - array[
        'payout_transfer_id', 'generation', 'attempt', 'idempotency_key', 'signal', 'http_status',
        'error_type', 'error_code', 'is_replayed', 'stripe_transfer_id', 'stripe_request_id']);
end
$$;


--
-- Name: FUNCTION remaining_facts(p_outcome payout.outcome); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.remaining_facts(p_outcome payout.outcome) IS 'What transfer_observations.facts keeps of an outcome; absent parts are left out.';


--
-- Name: reopen_failed(timestamp with time zone, integer); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.reopen_failed(p_now timestamp with time zone, p_limit integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_ids bigint[];
begin
    v_ids := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        cross join payout.engine_settings as e
        where s.next_attempt_at <= p_now
            and s.state = 'failed'
            and s.generation < e.max_generations
            and (payout.saved_decline(s) is not null or payout.proof_of_absence(s) is not null)
            and not payout.was_seen_at_stripe(s.payout_transfer_id)
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked);

    insert into payout.key_generations (
        payout_transfer_id, generation, reason, evidence_observation_id,
        second_evidence_observation_id)
    select s.payout_transfer_id, s.generation + 1, s.reason,
        coalesce(payout.saved_decline(s), p.scans[1]), p.scans[2]
    from payout.transfer_states as s
    cross join lateral payout.proof_of_absence(s) as p (scans)
    where s.payout_transfer_id = any (v_ids);

    with reopened as (
        update payout.transfer_states as s
        set state = 'scheduled',
            generation = s.generation + 1,
            first_sent_at = null,
            tries = 0,
            has_unknown_send = false,
            reason = null,
            changed_at = p_now
        where s.payout_transfer_id = any (v_ids)
        returning s.payout_transfer_id, s.generation
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    select r.payout_transfer_id, 'reserve', r.generation, 'payable:' || t.payee_id, 'in_flight',
        t.amount_minor, t.currency
    from reopened as r
    join payout.payout_transfers as t on t.payout_transfer_id = r.payout_transfer_id;

    return cardinality(v_ids);
end
$$;


--
-- Name: FUNCTION reopen_failed(p_now timestamp with time zone, p_limit integer); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.reopen_failed(p_now timestamp with time zone, p_limit integer) IS 'Opens the next key for up to p_limit failed transfers that are due and may have one; returns how many.';


--
-- Name: request_sha256(jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.request_sha256(p_request jsonb) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return sha256(replace(p_request::text, E'\\', E'\\\\')::bytea);
end
$$;


--
-- Name: FUNCTION request_sha256(p_request jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.request_sha256(p_request jsonb) IS 'SHA-256 of the JSON text of a request.';


--
-- Name: resolve_adopted(text[]); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.resolve_adopted(p_stripe_transfer_ids text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = 'engine',
        resolution = format('Stripe has transfer %s as %s, as it was asked for.',
            s.payout_transfer_id, s.stripe_transfer_id)
    from payout.transfer_states as s
    cross join lateral (
        select o.discrepancy_id
        from payout.discrepancies as o
        where o.resolved_at is null
            and o.kind <> 'several_transfers_at_stripe'
            and (
                o.stripe_transfer_id = s.stripe_transfer_id
                or (o.payout_transfer_id = s.payout_transfer_id and o.stripe_transfer_id is null)
            )
        for update skip locked
    ) as f
    where s.stripe_transfer_id = any (p_stripe_transfer_ids)
        and d.discrepancy_id = f.discrepancy_id;
end
$$;


--
-- Name: FUNCTION resolve_adopted(p_stripe_transfer_ids text[]); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.resolve_adopted(p_stripe_transfer_ids text[]) IS 'Resolves discrepancies about transfers that are paid here by these sightings now.';


--
-- Name: resolve_findings(bigint); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.resolve_findings(p_reconcile_run_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'on'
    AS $$
begin
    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = 'engine',
        resolution = format('reconcile run %s found it no longer', p_reconcile_run_id),
        resolved_by_run_id = p_reconcile_run_id
    where d.resolved_at is null
        and d.is_finding
        and d.last_found_by_run_id < p_reconcile_run_id
        and d.stripe_transfer_id in (
            select i.stripe_transfer_id
            from payout.reconcile_pages as p
            cross join unnest(p.stripe_transfer_ids) as i (stripe_transfer_id)
            where p.reconcile_run_id = p_reconcile_run_id
        );
end
$$;


--
-- Name: FUNCTION resolve_findings(p_reconcile_run_id bigint); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.resolve_findings(p_reconcile_run_id bigint) IS 'Resolves open findings about transfers that this run saw and did not find again.';


--
-- Name: reversal_list_problem(text, jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.reversal_list_problem(p_stripe_transfer_id text, p_reversals jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    v_problem text := coalesce(
        payout.page_problem(null, null, null, p_reversals, false),
        payout.list_problem(p_reversals, '^trr_[A-Za-z0-9_]+$'));
begin
    if v_problem is null and exists (
        select from jsonb_array_elements(p_reversals) as r
        where r ->> 'transfer' is distinct from p_stripe_transfer_id
            or coalesce(r ->> 'amount' !~ '^[1-9][0-9]{0,17}$', true)
            or jsonb_typeof(r -> 'currency') is distinct from 'string'
    ) then
        v_problem := 'the list holds something that is no reversal of it';
    end if;
    return v_problem;
end
$_$;


--
-- Name: FUNCTION reversal_list_problem(p_stripe_transfer_id text, p_reversals jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.reversal_list_problem(p_stripe_transfer_id text, p_reversals jsonb) IS 'Why this is no list of reversals of that transfer; null: it is.';


--
-- Name: reversals_finding(payout.payout_transfers, text, text, jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.reversals_finding(p_transfer payout.payout_transfers, p_stripe_transfer_id text, p_problem text, p_reversals jsonb) RETURNS payout.finding
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_finding payout.finding;
begin
    v_finding.kind := 'reversals_contradict_transfer';
    v_finding.payout_transfer_id := p_transfer.payout_transfer_id;
    v_finding.stripe_transfer_id := p_stripe_transfer_id;
    v_finding.ours := payout.transfer_facts(
        p_transfer, (select e.is_livemode from payout.engine_settings as e));
    v_finding.theirs := jsonb_build_object('problem', p_problem, 'reversals', (
        select jsonb_agg(jsonb_build_object(
            'id', r -> 'id', 'amount', r -> 'amount', 'currency', r -> 'currency'))
        from jsonb_array_elements(p_reversals) as r));
    return v_finding;
end
$$;


--
-- Name: FUNCTION reversals_finding(p_transfer payout.payout_transfers, p_stripe_transfer_id text, p_problem text, p_reversals jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.reversals_finding(p_transfer payout.payout_transfers, p_stripe_transfer_id text, p_problem text, p_reversals jsonb) IS 'The finding that says which reversals do not fit which transfer, and why.';


--
-- Name: reversals_problem(payout.payout_transfers, jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.reversals_problem(p_transfer payout.payout_transfers, p_reversals jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if exists (
        select from jsonb_array_elements(p_reversals) as r
        where r ->> 'currency' is distinct from p_transfer.currency::text
    ) then
        return 'another currency';
    elsif (
        select sum(r.amount_minor)
        from (
            select r ->> 'id', (r ->> 'amount')::numeric
            from jsonb_array_elements(p_reversals) as r
            union
            select e.stripe_reversal_id, e.amount_minor
            from payout.ledger_entries as e
            where e.payout_transfer_id = p_transfer.payout_transfer_id and e.kind = 'reversal'
        ) as r (id, amount_minor)
    ) > p_transfer.amount_minor then
        return 'more than was paid';
    elsif exists (
        select from payout.ledger_entries as e
        join jsonb_array_elements(p_reversals) as r on r ->> 'id' = e.stripe_reversal_id
        where e.payout_transfer_id <> p_transfer.payout_transfer_id
            or e.amount_minor <> (r ->> 'amount')::bigint
    ) then
        return 'booked otherwise';
    end if;
    return null;
end
$$;


--
-- Name: FUNCTION reversals_problem(p_transfer payout.payout_transfers, p_reversals jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.reversals_problem(p_transfer payout.payout_transfers, p_reversals jsonb) IS 'What contradicts the transfer; null: nothing does.';


--
-- Name: ring_doorbells(timestamp with time zone, integer); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.ring_doorbells(p_now timestamp with time zone, p_limit integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_settings payout.engine_settings;
    v_due bigint[];
    v_doorbells bigint[];
begin
    if not payout.has_queue()
        or exists (
            select from payout.holds as h where h.scope = 'engine' and h.released_at is null
        ) then
        return 0;
    end if;
    perform payout.clear_lost_doorbells();
    -- The bell that was seen may be lost as well: whoever settles next looks again.
    perform setval('payout.seen_doorbell', 1, false);
    select * into strict v_settings from payout.engine_settings;

    v_due := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where s.next_attempt_at <= p_now
            and s.state in ('scheduled', 'retry_wait', 'unknown')
            and (s.doorbell_id is null
                or s.next_attempt_at <= p_now - v_settings.ring_again_after)
            and not exists (
                select from procrastinate.procrastinate_jobs as q
                where q.id = s.doorbell_id and q.status = 'todo'
                    and q.task_name = 'payout.execute'
            )
            and not case
                when t.currency = any ((select payout.held_subjects('currency'))::text[]) then true
                when t.payee_id = any ((select payout.held_subjects('payee'))::text[]) then true
                else t.settlement_id = any ((select payout.held_subjects('settlement'))::text[])
            end
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked);

    v_doorbells := payout.defer_job(
        (select t.payout_job_id from payout.payout_transfers as t
            where t.payout_transfer_id = v_due[1]),
        ceil(cardinality(v_due)::numeric / v_settings.transfers_per_doorbell)::integer);

    update payout.transfer_states as s
    set doorbell_id = v_doorbells[1 + (d.place - 1) / v_settings.transfers_per_doorbell]
    from unnest(v_due) with ordinality as d (payout_transfer_id, place)
    where s.payout_transfer_id = d.payout_transfer_id;

    return cardinality(v_doorbells);
end
$$;


--
-- Name: FUNCTION ring_doorbells(p_now timestamp with time zone, p_limit integer); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.ring_doorbells(p_now timestamp with time zone, p_limit integer) IS 'Rings for up to p_limit due transfers without a bell in the queue; returns the bells rung.';


--
-- Name: ring_for_job(bigint, integer, timestamp with time zone); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.ring_for_job(p_payout_job_id bigint, p_transfers integer, p_pay_after timestamp with time zone) RETURNS bigint[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_seen_id bigint := pg_sequence_last_value('payout.seen_doorbell'::regclass);
    v_times integer := 1;
    v_doorbell_ids bigint[];
begin
    if p_pay_after > now() then
        return '{}'::bigint[];
    end if;
    if p_transfers > 1 then
        v_times := (
            select (p_transfers + e.transfers_per_doorbell - 1) / e.transfers_per_doorbell
            from payout.engine_settings as e);
    end if;
    if v_times = 1 then
        if v_seen_id is null then
            v_seen_id := payout.see_doorbell();
        end if;
        if v_seen_id is not null then
            return array[v_seen_id];
        end if;
    end if;

    v_doorbell_ids := payout.defer_job(p_payout_job_id, v_times);
    if cardinality(v_doorbell_ids) > 0 then
        perform setval('payout.waiting_doorbell', v_doorbell_ids[1]);
    end if;
    return v_doorbell_ids;
end
$$;


--
-- Name: FUNCTION ring_for_job(p_payout_job_id bigint, p_transfers integer, p_pay_after timestamp with time zone); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.ring_for_job(p_payout_job_id bigint, p_transfers integer, p_pay_after timestamp with time zone) IS 'Rings for a new payout job, once for each transfers_per_doorbell (of engine_settings) transfers, or lets a bell serve that waits already; none before pay_after. Returns the bells.';


--
-- Name: row_sha256(jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.row_sha256(p_columns jsonb) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return sha256(convert_to(p_columns::text, 'UTF8'));
end
$$;


--
-- Name: FUNCTION row_sha256(p_columns jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.row_sha256(p_columns jsonb) IS 'SHA-256 of a JSON text in UTF-8.';


--
-- Name: runs_of_this_place(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.runs_of_this_place() RETURNS SETOF payout.reconcile_runs
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select r.*
    from payout.reconcile_runs as r
    cross join payout.where_we_are() as w
    left join lateral (
        select e.epoch_id, e.reconcile_run_id
        from payout.epochs as e
        where not e.is_first_claim
        order by e.epoch_id desc
        limit 1
    ) as e on true
    where r.abandoned_at is null
        and (r.system_identifier, r.timeline_id, r.database_oid, r.table_oid)
            = (w.system_identifier, w.timeline_id, w.database_oid, w.table_oid)
        and (e.epoch_id is null or r.epoch_id >= e.epoch_id
            or r.reconcile_run_id >= e.reconcile_run_id)
$$;


--
-- Name: FUNCTION runs_of_this_place(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.runs_of_this_place() IS 'Runs, finished or going on, that were made here since the gate was last opened or closed, and the one that opened it.';


--
-- Name: saved_decline(payout.transfer_states); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.saved_decline(p_state payout.transfer_states) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select max(o.observation_id)
    from payout.transfer_observations as o
    join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.generation = p_state.generation
        and o.verdict = 'ok'
        and o.moved_to = 'failed'
        and r.is_saved
$$;


--
-- Name: FUNCTION saved_decline(p_state payout.transfer_states); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.saved_decline(p_state payout.transfer_states) IS 'The accepted decline that Stripe saved under the current key; null: there is none.';


--
-- Name: schedule_payout_job(text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.schedule_payout_job(p_settlement_id text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_settlement payout.settlements;
begin
    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = p_settlement_id
    for update;

    if not found then
        raise exception 'settlement % does not exist', p_settlement_id
            using errcode = 'SP310';
    end if;
    if v_settlement.state <> 'complete' then
        raise exception 'settlement % is still pending', p_settlement_id
            using
                errcode = 'SP202',
                hint = 'Set its state to complete; that schedules its payouts.';
    end if;
    return payout.create_payout_job(v_settlement);
end
$$;


--
-- Name: FUNCTION schedule_payout_job(p_settlement_id text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.schedule_payout_job(p_settlement_id text) IS 'Schedules the payouts of a complete settlement and returns its payout_job_id; repeatable.';


--
-- Name: seal_sha256(payout.seals); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.seal_sha256(p_seal payout.seals) RETURNS bytea
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select sha256(
        coalesce(
            (select b.seal_sha256 from payout.seals as b where b.seal_id = p_seal.seal_id - 1), '')
        || convert_to(jsonb_build_array(
            p_seal.seal_id, p_seal.seal_version, p_seal.table_name, p_seal.first_id,
            p_seal.last_id, p_seal.row_ids::text, encode(p_seal.row_digests, 'hex'),
            encode(p_seal.rows_sha256, 'hex'), extract(epoch from p_seal.rows_from)::text,
            extract(epoch from p_seal.rows_until)::text,
            extract(epoch from p_seal.sealed_at)::text)::text, 'UTF8'))
$$;


--
-- Name: FUNCTION seal_sha256(p_seal payout.seals); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.seal_sha256(p_seal payout.seals) IS 'SHA-256 of the former seal''s hash followed by this seal''s other columns.';


--
-- Name: seal_marks; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.seal_marks (
    table_name text NOT NULL,
    marked_id bigint,
    marked_xid xid8,
    marked_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE seal_marks; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.seal_marks IS 'The tables that are sealed, and for each the id up to which it can be sealed once every transaction that ran when the mark was set has ended. The first row is the sealer''s lock.';


--
-- Name: COLUMN seal_marks.marked_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seal_marks.marked_id IS 'The newest id when the mark was set; null: no row.';


--
-- Name: COLUMN seal_marks.marked_xid; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seal_marks.marked_xid IS 'Transactions from this id on began later; null: there is no mark yet.';


--
-- Name: COLUMN seal_marks.marked_at; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seal_marks.marked_at IS 'When the mark was set; sealing waits a minute.';


--
-- Name: seal_up_to_mark(payout.seal_marks, timestamp with time zone, integer); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.seal_up_to_mark(p_mark payout.seal_marks, p_now timestamp with time zone, p_limit integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_seal payout.seals;
    v_last_id bigint;
    v_sealed integer := 0;
begin
    -- A mark out of the future is of another cluster, or of a clock that was set back.
    if p_mark.marked_at <= p_now
        and p_mark.marked_xid <= pg_snapshot_xmax(pg_current_snapshot()) then
        if p_mark.marked_xid > pg_snapshot_xmin(pg_current_snapshot()) then
            return 0;
        end if;
        v_last_id := coalesce((
            select max(s.last_id) from payout.seals as s where s.table_name = p_mark.table_name),
            -9223372036854775808);
        while v_last_id < p_mark.marked_id loop
            if v_sealed >= p_limit then
                return v_sealed;
            end if;
            v_seal := payout.add_seal(p_mark.table_name, p_mark.marked_id, 1000, p_now);
            v_last_id := v_seal.last_id;
            v_sealed := v_sealed + octet_length(v_seal.row_digests) / 8;
        end loop;
    end if;

    -- One query, hence one snapshot: what it sees as newest is what its end bounds.
    update payout.seal_marks as m
    set marked_id = payout.newest_row_id(m.table_name),
        marked_xid = pg_snapshot_xmax(pg_current_snapshot()),
        marked_at = p_now
    where m.table_name = p_mark.table_name;
    return v_sealed;
end
$$;


--
-- Name: FUNCTION seal_up_to_mark(p_mark payout.seal_marks, p_now timestamp with time zone, p_limit integer); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.seal_up_to_mark(p_mark payout.seal_marks, p_now timestamp with time zone, p_limit integer) IS 'Seals a table up to where it was marked, about p_limit rows at most, and marks it anew once it is there; returns the rows sealed.';


--
-- Name: sealed_rows_v1(text, bigint, bigint, integer); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.sealed_rows_v1(p_table_name text, p_first_id bigint, p_last_id bigint, p_limit integer) RETURNS TABLE(row_id bigint, row_at timestamp with time zone, row_sha256 bytea)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
    if p_table_name = 'ledger_entries' then
        return query
        select e.ledger_entry_id, e.created_at, payout.row_sha256(jsonb_build_array(
            e.ledger_entry_id, e.payout_transfer_id, e.kind, e.generation, e.debit_account,
            e.credit_account, e.amount_minor, e.currency, e.stripe_reversal_id,
            extract(epoch from e.created_at)::text))
        from payout.ledger_entries as e
        where e.ledger_entry_id between p_first_id and p_last_id
        order by e.ledger_entry_id limit p_limit;
    elsif p_table_name = 'transfer_observations' then
        return query
        select o.observation_id, o.observed_at, payout.row_sha256(jsonb_build_array(
            o.observation_id, o.payout_transfer_id, o.generation, o.attempt, o.signal, o.verdict,
            o.moved_to, o.reason, o.error_rule_id, o.http_status, o.error_type, o.error_code,
            o.is_replayed, o.stripe_transfer_id, o.stripe_request_id, o.facts, o.is_counted_try,
            o.has_unknown_send, extract(epoch from o.next_attempt_at)::text,
            extract(epoch from o.observed_at)::text))
        from payout.transfer_observations as o
        where o.observation_id between p_first_id and p_last_id
        order by o.observation_id limit p_limit;
    elsif p_table_name = 'key_generations' then
        return query
        select k.key_generation_id, k.opened_at, payout.row_sha256(jsonb_build_array(
            k.key_generation_id, k.payout_transfer_id, k.generation, k.reason,
            k.evidence_observation_id, k.opened_by, extract(epoch from k.opened_at)::text)
            || case when k.second_evidence_observation_id is null then '[]'
                else jsonb_build_array(k.second_evidence_observation_id) end)
        from payout.key_generations as k
        where k.key_generation_id between p_first_id and p_last_id
        order by k.key_generation_id limit p_limit;
    elsif p_table_name = 'payout_transfers' then
        return query
        select t.payout_transfer_id, t.created_at, payout.row_sha256(jsonb_build_array(
            t.payout_transfer_id, t.payout_job_id, t.settlement_id, t.payee_id,
            t.source_transaction, t.destination, t.amount_minor, t.currency, t.payout_ref,
            t.request, extract(epoch from t.created_at)::text)
            || case when t.request_sha256 = payout.request_sha256(t.request) then '[]'
                else jsonb_build_array(encode(t.request_sha256, 'hex')) end)
        from payout.payout_transfers as t
        where t.payout_transfer_id between p_first_id and p_last_id
        order by t.payout_transfer_id limit p_limit;
    end if;
end
$$;


--
-- Name: FUNCTION sealed_rows_v1(p_table_name text, p_first_id bigint, p_last_id bigint, p_limit integer); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.sealed_rows_v1(p_table_name text, p_first_id bigint, p_last_id bigint, p_limit integer) IS 'Up to p_limit rows of a table in a range of ids (inclusive), in their order, with the SHA-256 of what seals of version 1 cover.';


--
-- Name: see_doorbell(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.see_doorbell() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_doorbell_id bigint := pg_sequence_last_value('payout.waiting_doorbell'::regclass);
begin
    -- The queue may have been dropped since, or taken away from the engine.
    if v_doorbell_id is null or (
        has_schema_privilege(to_regnamespace('procrastinate')::oid, 'usage')
        and has_table_privilege(to_regclass('procrastinate.procrastinate_jobs')::oid, 'select')
        and has_table_privilege(to_regclass('procrastinate.procrastinate_events')::oid, 'select')
    ) is not true then
        return null;
    end if;
    perform from procrastinate.procrastinate_jobs as q
    where q.id = v_doorbell_id
        and q.status = 'todo'
        and q.task_name = 'payout.execute';
    if not found then
        return null;
    end if;
    if not exists (
        select from procrastinate.procrastinate_events as e
        where e.job_id = v_doorbell_id and e.at = now()
    ) then
        perform setval('payout.seen_doorbell', v_doorbell_id);
    end if;
    return v_doorbell_id;
end
$$;


--
-- Name: FUNCTION see_doorbell(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.see_doorbell() IS 'The id of the bell that waits in the queue, kept in payout.seen_doorbell if others see it too; or null.';


--
-- Name: settlement_difference(payout.settlements, text, jsonb, timestamp with time zone, jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.settlement_difference(p_settlement payout.settlements, p_currency text, p_lines jsonb, p_pay_after timestamp with time zone, p_metadata jsonb) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select concat_ws(', ',
        case when p_settlement.currency <> p_currency then 'currency' end,
        case when p_settlement.pay_after is distinct from p_pay_after then 'pay_after' end,
        case when p_settlement.metadata <> p_metadata then 'metadata' end,
        (
            select 'line ' || coalesce(o.line_id, n.line_id)
            from (
                select l.line_id, l.payee_id, l.amount_minor, l.source_transaction
                from payout.settlement_lines as l
                where l.settlement_id = p_settlement.settlement_id
            ) as o
            full join jsonb_to_recordset(p_lines) as n (
                line_id text, payee_id text, amount_minor bigint, source_transaction text
            ) on n.line_id = o.line_id
            where (o.payee_id, o.amount_minor, o.source_transaction)
                is distinct from (n.payee_id, n.amount_minor, n.source_transaction)
            order by coalesce(o.line_id, n.line_id)
            limit 1
        ))
$$;


--
-- Name: FUNCTION settlement_difference(p_settlement payout.settlements, p_currency text, p_lines jsonb, p_pay_after timestamp with time zone, p_metadata jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.settlement_difference(p_settlement payout.settlements, p_currency text, p_lines jsonb, p_pay_after timestamp with time zone, p_metadata jsonb) IS 'Names the parts that differ, for lines the first one; empty when nothing differs.';


--
-- Name: sighting_outcome(payout.stripe_sightings, payout.transfer_states); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.sighting_outcome(p_sighting payout.stripe_sightings, p_state payout.transfer_states) RETURNS payout.outcome
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return jsonb_populate_record(null::payout.outcome, to_jsonb(p_sighting)
        || jsonb_build_object(
            'payout_transfer_id', p_state.payout_transfer_id,
            'generation', p_state.generation,
            'attempt', p_state.attempt,
            'signal', 'looked_up',
            'object', 'transfer',
            'found', 1,
            'payout_ref', p_sighting.named_payout_ref,
            'detail', coalesce(
                'reconcile run ' || p_sighting.reconcile_run_id, 'events')));
end
$$;


--
-- Name: FUNCTION sighting_outcome(p_sighting payout.stripe_sightings, p_state payout.transfer_states); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.sighting_outcome(p_sighting payout.stripe_sightings, p_state payout.transfer_states) IS 'The outcome that a sighting is for a transfer as it stands.';


--
-- Name: start_run(text); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.start_run(p_worker text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
declare
    v_now timestamptz := payout.clock();
    v_from timestamptz := (
        select max(r.created_until) - interval '1 day'
        from payout.runs_of_this_place() as r
        -- One that was begun under a clock that was ahead ended nobody knows when.
        where r.finished_at is not null and r.created_until <= v_now);
begin
    update payout.reconcile_runs as r
    set abandoned_at = v_now
    where r.finished_at is null
        and r.abandoned_at is null
        and r.reconcile_run_id not in (
            select h.reconcile_run_id from payout.runs_of_this_place() as h);

    v_from := coalesce(
        v_from,
        -- Restored to before its first transfer, it has forgotten older ones than it has now.
        (select least(t.created_at, (select min(o.recorded_at) from payout.epochs as o))
                - interval '1 day'
            from payout.payout_transfers as t
            order by t.payout_transfer_id
            limit 1),
        to_timestamp(0));
    -- Though a clock was set back.
    v_from := least(v_from, v_now - interval '1 day');

    insert into payout.reconcile_runs (
        worker, started_at, epoch_id, created_from, created_until, transfers_expected)
    values (
        p_worker, v_now, (select max(o.epoch_id) from payout.epochs as o), v_from, v_now, (
            select count(*)
            from payout.ledger_entries as e
            where e.kind = 'paid' and e.created_at >= v_from and e.created_at < v_now))
    on conflict do nothing;
end
$$;


--
-- Name: FUNCTION start_run(p_worker text); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.start_run(p_worker text) IS 'Begins a reconcile run, unless one goes on; gives up one that no longer counts here.';


--
-- Name: subtotals_at(bigint); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.subtotals_at(p_seal_id bigint) RETURNS TABLE(account text, currency payout.currency_code, debit_minor bigint, credit_minor bigint)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
    with recursive accounts as (
        (
            select t.account, t.currency
            from payout.seal_subtotals as t
            order by t.account, t.currency
            limit 1
        )
        union all
        select n.account, n.currency
        from accounts as a
        cross join lateral (
            select t.account, t.currency
            from payout.seal_subtotals as t
            where (t.account, t.currency) > (a.account, a.currency)
            order by t.account, t.currency
            limit 1
        ) as n
    )
    select a.account, a.currency, t.debit_minor, t.credit_minor
    from accounts as a
    cross join lateral (
        select t.debit_minor, t.credit_minor
        from payout.seal_subtotals as t
        where t.account = a.account and t.currency = a.currency and t.seal_id <= p_seal_id
        order by t.seal_id desc
        limit 1
    ) as t
$$;


--
-- Name: FUNCTION subtotals_at(p_seal_id bigint); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.subtotals_at(p_seal_id bigint) IS 'Sums of debits and credits of every account, in minor units, up to the end of a seal.';


--
-- Name: subtotals_of(payout.seals); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.subtotals_of(p_seal payout.seals) RETURNS TABLE(account text, currency payout.currency_code, debit_minor bigint, credit_minor bigint)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
    select m.account, m.currency,
        (coalesce(f.debit_minor, 0) + m.debit_minor)::bigint,
        (coalesce(f.credit_minor, 0) + m.credit_minor)::bigint
    from (
        select a.account, e.currency, sum(a.debit_minor) as debit_minor,
            sum(a.credit_minor) as credit_minor
        from payout.ledger_entries as e
        cross join lateral (values
            (e.debit_account, e.amount_minor, 0), (e.credit_account, 0, e.amount_minor)
        ) as a (account, debit_minor, credit_minor)
        where e.ledger_entry_id between p_seal.first_id and p_seal.last_id
        group by a.account, e.currency
    ) as m
    left join lateral (
        select t.debit_minor, t.credit_minor
        from payout.seal_subtotals as t
        where t.account = m.account and t.currency = m.currency and t.seal_id < p_seal.seal_id
        order by t.seal_id desc
        limit 1
    ) as f on true
$$;


--
-- Name: FUNCTION subtotals_of(p_seal payout.seals); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.subtotals_of(p_seal payout.seals) IS 'Debits and credits, in minor units, of each account that the range of a ledger seal moved, from the first entry to the last of the range.';


--
-- Name: take_events(jsonb); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.take_events(p_events jsonb) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_seen payout.stripe_sightings[];
begin
    -- Of several events about one transfer the one that shows it furthest reversed.
    v_seen := array(
        select distinct on (g.stripe_transfer_id) g
        from payout.read_sightings(null, (
            select coalesce(jsonb_agg(e #> '{data,object}'), '[]')
            from jsonb_array_elements(p_events) as e)) as g
        order by g.stripe_transfer_id, g.amount_reversed_minor desc);
    -- In the order of add_reconcile_page, with which it shares rows.
    perform payout.take_sightings(v_seen, null);
    return payout.note_reversals(v_seen);
end
$$;


--
-- Name: FUNCTION take_events(p_events jsonb); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.take_events(p_events jsonb) IS 'Takes what events show; returns how many transfers were reversed further than was known.';


--
-- Name: take_sightings(payout.stripe_sightings[], bigint); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.take_sightings(p_seen payout.stripe_sightings[], p_reconcile_run_id bigint) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
    return payout.record_findings(
            array(select f from payout.compare_sightings(p_seen) as f), p_reconcile_run_id)
        + payout.adopt_sightings(array(select k from payout.keep_sightings(p_seen) as k));
end
$$;


--
-- Name: FUNCTION take_sightings(p_seen payout.stripe_sightings[], p_reconcile_run_id bigint); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.take_sightings(p_seen payout.stripe_sightings[], p_reconcile_run_id bigint) IS 'Compares and adopts; returns how many findings and alarms there are.';


--
-- Name: tg__refuse_change(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.tg__refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    raise exception '% on %.% is refused', lower(tg_op), tg_table_schema, tg_table_name
        using
            errcode = 'SP101',
            detail = format('%s.%s holds facts.', tg_table_schema, tg_table_name),
            hint = 'Facts are only added; a correction is a new fact.',
            schema = tg_table_schema,
            table = tg_table_name;
end
$$;


--
-- Name: FUNCTION tg__refuse_change(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.tg__refuse_change() IS 'Trigger: refuses update, delete and truncate of an insert-only table (SP101).';


--
-- Name: tg_holds__release_once(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.tg_holds__release_once() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if old.released_at is not null
        or (new.hold_id, new.scope, new.subject, new.reason, new.placed_by, new.placed_at)
            is distinct from
            (old.hold_id, old.scope, old.subject, old.reason, old.placed_by, old.placed_at)
    then
        raise exception 'hold % can only be released, once', old.hold_id
            using
                errcode = 'SP104',
                hint = 'Place another hold.',
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    return new;
end
$$;


--
-- Name: FUNCTION tg_holds__release_once(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.tg_holds__release_once() IS 'Trigger: the only change of a hold is its first release (SP104).';


--
-- Name: tg_ledger_entries__check_movement(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.tg_ledger_entries__check_movement() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_exists boolean := false;
begin
    if new.kind = 'obligation' then
        v_exists := new.debit_account = 'settlement_funds'
            and new.credit_account like 'payable:_%' and new.generation = 1;
    elsif new.kind = 'reserve' then
        v_exists := new.debit_account like 'payable:_%' and new.credit_account = 'in_flight';
    elsif new.kind = 'paid' then
        v_exists := new.debit_account = 'in_flight' and new.credit_account = 'stripe_balance';
    elsif new.kind = 'release' then
        v_exists := new.debit_account = 'in_flight' and new.credit_account like 'payable:_%';
    elsif new.kind = 'reversal' then
        v_exists := new.debit_account = 'stripe_balance'
            and new.credit_account like 'payable:_%'
            and new.stripe_reversal_id is not null;
    end if;
    if not v_exists or new.amount_minor <= 0
        or (new.stripe_reversal_id is not null and new.kind <> 'reversal') then
        perform payout.refuse_bad_row('ledger_entries', case
            when new.amount_minor <= 0 then 'amount_is_positive'
            when new.kind = 'obligation' and new.generation <> 1
                then 'obligation_is_of_the_first_generation'
            else 'movement_exists'
        end);
    end if;
    return new;
end
$$;


--
-- Name: FUNCTION tg_ledger_entries__check_movement(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.tg_ledger_entries__check_movement() IS 'Trigger: the amount is above 0, the accounts are those of the kind, only reversals name a reversal (23514).';


--
-- Name: tg_lines_ahead__check_settlement(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.tg_lines_ahead__check_settlement() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    delete from payout.lines_ahead as a where a.settlement_id = new.settlement_id;

    -- Held from the first look on: what comes after it is no settlement of these lines.
    perform from payout.settlements as s
    where s.settlement_id = new.settlement_id
    for no key update;
    if not found and current_setting('transaction_isolation') like 'read %' then
        raise exception 'settlement % does not exist', new.settlement_id
            using
                errcode = 'SP310',
                detail = 'Lines of it have been inserted.',
                hint = 'Insert the settlement and its lines in one transaction, in any order.';
    elsif not found then
        raise exception 'settlement % does not exist, or not yet when this transaction began',
            new.settlement_id
            using
                errcode = 'SP402',
                hint = 'Repeat the transaction, and insert the settlement if nobody else does.';
    end if;

    -- Written, so that whoever completes it with an older snapshot fails.
    update payout.settlements as s
    set state = s.state
    where s.settlement_id = new.settlement_id
        and s.state = 'pending'
        and s.xmin <> pg_current_xact_id()::xid;

    perform from payout.payout_jobs as j
    join payout.settlements as s on s.settlement_id = j.settlement_id
    where j.settlement_id = new.settlement_id
        and s.total_minor <> (
            select sum(l.amount_minor)
            from payout.settlement_lines as l
            where l.settlement_id = new.settlement_id
        );
    if found then
        perform payout.refuse_late_lines(new.settlement_id);
    end if;
    return null;
end
$$;


--
-- Name: FUNCTION tg_lines_ahead__check_settlement(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.tg_lines_ahead__check_settlement() IS 'Trigger: at commit, refuses lines whose settlement was scheduled without them (SP102), or is not there (SP310).';


--
-- Name: tg_payout_transfers__derive(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.tg_payout_transfers__derive() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_payout_ref text := payout.payout_ref(
        new.settlement_id, new.payee_id, new.source_transaction);
    v_metadata jsonb := jsonb_object(array[
        'payout_ref', v_payout_ref,
        'settlement_id', new.settlement_id,
        'payee_id', new.payee_id]);
    v_request jsonb;
    v_request_sha256 bytea;
    v_broken text;
begin
    if new.request is not null then
        v_metadata := case jsonb_typeof(new.request -> 'metadata')
            when 'object' then new.request -> 'metadata'
            else '{}'
        end || v_metadata;
    end if;
    v_request := jsonb_object(array[
        'currency', new.currency,
        'destination', new.destination,
        case when new.source_transaction is null
            then 'transfer_group' else 'source_transaction' end,
        coalesce(new.source_transaction, v_payout_ref)
    ]) || jsonb_build_object('amount', new.amount_minor, 'metadata', v_metadata);
    v_request_sha256 := sha256(replace(v_request::text, E'\\', E'\\\\')::bytea);

    if new.amount_minor <= 0 then
        v_broken := 'amount_is_positive';
    elsif not starts_with(new.destination, 'acct_') then
        v_broken := 'destination_is_a_stripe_account';
    elsif new.payout_ref is not null or new.request is not null
        or new.request_sha256 is not null then
        v_broken := case
            when new.payout_ref <> v_payout_ref then 'payout_ref_is_derived'
            when not v_request @> new.request then 'request_says_what_the_row_says'
            when new.request_sha256 <> v_request_sha256 then 'digest_is_of_the_request'
        end;
    end if;
    if v_broken is not null then
        perform payout.refuse_bad_row('payout_transfers', v_broken);
    end if;

    new.payout_ref := v_payout_ref;
    new.request := v_request;
    new.request_sha256 := v_request_sha256;
    return new;
end
$$;


--
-- Name: FUNCTION tg_payout_transfers__derive(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.tg_payout_transfers__derive() IS 'Trigger: fills in payout_ref, request and its digest, or refuses those that are not so, an amount that is not above 0 and a destination that is no account (23514).';


--
-- Name: tg_settlement_lines__refuse_frozen(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.tg_settlement_lines__refuse_frozen() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
begin
    if tg_op = 'INSERT' then
        -- `offset 0`: two look-ups for each line, never a whole table for all.
        perform from changed as c
        where not exists (
            select from payout.settlements as s
            where s.settlement_id = c.settlement_id
                and s.xmin = pg_current_xact_id()::xid
            offset 0
        ) or exists (
            select from payout.payout_jobs as j
            where j.settlement_id = c.settlement_id
            offset 0
        )
        limit 1;
        if not found then
            return null;
        end if;
    end if;
    perform payout.check_lines_of(
        array(select distinct c.settlement_id::text from changed as c), tg_op = 'INSERT');
    return null;
end
$$;


--
-- Name: FUNCTION tg_settlement_lines__refuse_frozen(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.tg_settlement_lines__refuse_frozen() IS 'Trigger: refuses lines of a settlement that has been scheduled (SP102).';


--
-- Name: tg_settlements__refuse_frozen(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.tg_settlements__refuse_frozen() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if old.state = 'complete' and (tg_op = 'DELETE' or new operator(pg_catalog.*<>) old) then
        raise exception 'settlement % is complete and cannot be changed', old.settlement_id
            using
                errcode = 'SP102',
                detail = 'Its payouts were scheduled from exactly this content.',
                hint = 'Record a correction as another settlement.',
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    if tg_op = 'DELETE' then
        if exists (
            select from payout.settlement_lines as l where l.settlement_id = old.settlement_id
        ) then
            raise exception 'settlement % has lines and cannot be deleted', old.settlement_id
                using
                    errcode = 'SP102',
                    hint = 'Delete its lines first.',
                    schema = tg_table_schema,
                    table = tg_table_name;
        end if;
        return old;
    end if;
    if new.settlement_id <> old.settlement_id then
        raise exception 'settlement % cannot be renamed', old.settlement_id
            using
                errcode = 'SP102',
                hint = 'Delete the pending settlement and insert another.',
                schema = tg_table_schema,
                table = tg_table_name,
                column = 'settlement_id';
    end if;
    return new;
end
$$;


--
-- Name: FUNCTION tg_settlements__refuse_frozen(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.tg_settlements__refuse_frozen() IS 'Trigger: refuses changes to a complete settlement, and to lose one that has lines (SP102).';


--
-- Name: tg_settlements__schedule_payout_job(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.tg_settlements__schedule_payout_job() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_lines payout.settlement_lines[];
begin
    -- The row is as the event shows it, and held: a complete settlement is frozen.
    if new.state <> 'complete' then
        return null;
    end if;
    -- Two lines are enough to see whether there is exactly one; none if it has its job. One
    -- that was complete before may have a job that an older snapshot does not show.
    v_lines := array(
        select l
        from payout.settlement_lines as l
        where l.settlement_id = new.settlement_id
            and not exists (
                select from payout.payout_jobs as j where j.settlement_id = new.settlement_id
            )
        limit 2);
    if cardinality(v_lines) = 1 and old.state is distinct from 'complete' then
        perform payout.create_single_payout(new, v_lines[1]);
    else
        perform payout.create_payout_job(new);
    end if;
    return null;
end
$$;


--
-- Name: FUNCTION tg_settlements__schedule_payout_job(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.tg_settlements__schedule_payout_job() IS 'Trigger: schedules the payouts of a settlement when it commits as complete.';


--
-- Name: tg_transfer_states__check_progress(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.tg_transfer_states__check_progress() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_problem text;
    v_broken text;
begin
    if new.payout_transfer_id <> old.payout_transfer_id then
        v_problem := 'progress belongs to one transfer';
    elsif new.state = 'in_flight' and old.state <> 'in_flight'
        and new.attempt <> old.attempt + 1 then
        v_problem := 'a claim counts the attempt up by one';
    elsif new.attempt <> old.attempt
        and not (new.state = 'in_flight' and old.state <> 'in_flight') then
        v_problem := 'only a claim counts attempts';
    elsif new.generation <> old.generation
        and not (old.state = 'failed' and new.state = 'scheduled'
            and new.generation = old.generation + 1) then
        v_problem := 'a new key takes the next number and only after a decline';
    elsif old.state = 'failed' and new.state = 'scheduled' and not exists (
        select from payout.key_generations as k
        where k.payout_transfer_id = new.payout_transfer_id
            and k.generation = new.generation
            and new.generation = old.generation + 1
    ) then
        v_problem := 'a new key needs its row in payout.key_generations first';
    elsif new.generation = old.generation and old.first_sent_at is not null
        and new.first_sent_at is distinct from old.first_sent_at then
        v_problem := 'the first send under a key is a fact';
    elsif new.generation = old.generation and old.has_unknown_send and not new.has_unknown_send then
        v_problem := 'a send whose outcome is unknown stays so under its key';
    elsif old.state = 'paid' then
        v_problem := 'what is paid is paid';
    end if;

    if v_problem is not null then
        raise exception 'transfer %: %', new.payout_transfer_id, v_problem
            using
                errcode = 'SP103',
                detail = format(
                    'State %s, generation %s, attempt %s was asked for.',
                    new.state, new.generation, new.attempt),
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    v_broken := payout.progress_problem(new);
    if v_broken is not null then
        perform payout.refuse_bad_row('transfer_states', v_broken);
    end if;
    return new;
end
$$;


--
-- Name: FUNCTION tg_transfer_states__check_progress(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.tg_transfer_states__check_progress() IS 'Trigger: attempt and generation never go back, a new key has its evidence (SP103); the row keeps its rules (23514).';


--
-- Name: tg_transfer_states__check_start(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.tg_transfer_states__check_start() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_broken text;
begin
    -- All that a settlement writes.
    if new.state = 'scheduled' and new.generation = 1 and new.attempt = 0 and new.tries = 0
        and new.first_sent_at is null and new.next_attempt_at is not null
        and new.lease_until is null and new.next_lookup_at is null
        and new.stripe_transfer_id is null then
        return new;
    end if;
    if (new.state <> 'scheduled' or new.generation <> 1 or new.attempt <> 0
        or new.first_sent_at is not null)
        and current_setting('session_replication_role') <> 'replica' then
        raise exception
            'transfer %: a transfer starts as scheduled, with its first key and no attempt',
            new.payout_transfer_id
            using
                errcode = 'SP103',
                detail = format(
                    'State %s, generation %s, attempt %s was asked for.',
                    new.state, new.generation, new.attempt),
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    v_broken := payout.progress_problem(new);
    if v_broken is not null then
        perform payout.refuse_bad_row('transfer_states', v_broken);
    end if;
    return new;
end
$$;


--
-- Name: FUNCTION tg_transfer_states__check_start(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.tg_transfer_states__check_start() IS 'Trigger: a transfer starts as scheduled, with its first key and no attempt (SP103), and keeps the rules of its row (23514).';


--
-- Name: tg_transfer_states__check_transition(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.tg_transfer_states__check_transition() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if not exists (
        select from payout.state_edges as e
        where e.from_state = old.state
            and e.to_state = new.state
    ) then
        raise exception 'transfer cannot move from % to %', old.state, new.state
            using
                errcode = 'SP201',
                detail = format('Transfer %s is %s.', old.payout_transfer_id, old.state),
                hint = 'payout.state_edges lists the moves that exist.',
                schema = tg_table_schema,
                table = tg_table_name,
                column = 'state';
    end if;
    return new;
end
$$;


--
-- Name: FUNCTION tg_transfer_states__check_transition(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.tg_transfer_states__check_transition() IS 'Trigger: rejects a change of transfer_states.state that is not in payout.state_edges (SP201).';


--
-- Name: tg_transfer_states__plan_lookup(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.tg_transfer_states__plan_lookup() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    new.next_lookup_at := case new.state when 'parked' then payout.clock() end;
    return new;
end
$$;


--
-- Name: FUNCTION tg_transfer_states__plan_lookup(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.tg_transfer_states__plan_lookup() IS 'Trigger: sets next_lookup_at when a transfer becomes parked, clears it when it leaves.';


--
-- Name: transfer_facts(payout.payout_transfers, boolean); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.transfer_facts(p_transfer payout.payout_transfers, p_is_livemode boolean) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    return jsonb_build_object(
        'payout_ref', p_transfer.payout_ref,
        'settlement_id', p_transfer.settlement_id,
        'amount_minor', p_transfer.amount_minor,
        'currency', p_transfer.currency,
        'destination', p_transfer.destination,
        'is_livemode', p_is_livemode);
end
$$;


--
-- Name: FUNCTION transfer_facts(p_transfer payout.payout_transfers, p_is_livemode boolean); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.transfer_facts(p_transfer payout.payout_transfers, p_is_livemode boolean) IS 'What these books say of a transfer, to be laid beside what Stripe says.';


--
-- Name: unjudged_sightings(); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.unjudged_sightings() RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
    select g.stripe_transfer_id::text
    from payout.stripe_sightings as g
    join payout.payout_transfers as t on t.payout_ref = g.payout_ref
    join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    where s.stripe_transfer_id is distinct from g.stripe_transfer_id
        and (s.state <> 'failed' or s.next_attempt_at is null)
        and not exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = t.payout_transfer_id
                and o.stripe_transfer_id = g.stripe_transfer_id
        )
$$;


--
-- Name: FUNCTION unjudged_sightings(); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.unjudged_sightings() IS 'Sightings of transfers that are known here, that were never judged.';


--
-- Name: was_seen_at_stripe(bigint); Type: FUNCTION; Schema: payout; Owner: -
--

CREATE FUNCTION payout.was_seen_at_stripe(p_payout_transfer_id bigint) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_payout_transfer_id
            and o.reason is distinct from 'report_of_another_transfer'
            and (o.stripe_transfer_id is not null or (o.facts ->> 'found')::integer > 0)
    )
$$;


--
-- Name: FUNCTION was_seen_at_stripe(p_payout_transfer_id bigint); Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON FUNCTION payout.was_seen_at_stripe(p_payout_transfer_id bigint) IS 'True once an observation of the transfer, accepted or not, tells of it at Stripe.';


--
-- Name: approve_absence(bigint, text); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.approve_absence(p_payout_transfer_id bigint, p_reason text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_state payout.transfer_states;
    v_action_id bigint;
begin
    select * into v_state
    from payout.transfer_states as s
    where s.payout_transfer_id = p_payout_transfer_id
    for update;
    if not found then
        raise exception 'there is no transfer %', coalesce(p_payout_transfer_id::text, 'null')
            using
                errcode = 'SP310',
                hint = 'payout_api.unpaid lists the transfers that are not paid.';
    elsif v_state.state <> 'parked' or coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot approve the absence of transfer %, which is %, for reason %',
            p_payout_transfer_id, v_state.state, coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP314',
                hint = 'Only what is parked is looked for at Stripe; give a reason.';
    end if;

    insert into payout.operator_actions (action, subject, reason, details)
    values ('approve_absence', p_payout_transfer_id::text, p_reason,
        jsonb_build_object('generation', v_state.generation))
    returning operator_action_id into v_action_id;
    update payout.transfer_states as s
    set next_lookup_at = payout.clock()
    where s.payout_transfer_id = p_payout_transfer_id;
    return v_action_id;
end
$$;


--
-- Name: FUNCTION approve_absence(p_payout_transfer_id bigint, p_reason text); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.approve_absence(p_payout_transfer_id bigint, p_reason text) IS 'Approves that a transfer above engine_settings.absence_limit_minor gets a new key once the engine has proved it absent at Stripe; returns the number of the noted action.';


--
-- Name: balances_as_of(timestamp with time zone); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.balances_as_of(p_at timestamp with time zone) RETURNS TABLE(account text, currency payout.currency_code, debit_minor bigint, credit_minor bigint, balance_minor bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
    with sealed as (
        -- The longest run of seals all of whose entries count.
        select s.seal_id, s.last_id
        from payout.seals as s
        where s.table_name = 'ledger_entries' and s.rows_until <= p_at
        order by s.last_id desc
        limit 1
    ), rest as (
        -- Ranges beyond it that begin early enough, then what is not sealed yet.
        select s.first_id, s.last_id
        from payout.seals as s
        where s.table_name = 'ledger_entries' and s.rows_from <= p_at
            and s.last_id > coalesce((select b.last_id from sealed as b), -9223372036854775808)
        union all
        select coalesce(max(s.last_id) + 1, -9223372036854775808), 9223372036854775807
        from payout.seals as s
        where s.table_name = 'ledger_entries'
    )
    select b.account, b.currency, sum(b.debit_minor)::bigint, sum(b.credit_minor)::bigint,
        (sum(b.credit_minor) - sum(b.debit_minor))::bigint
    from (
        select t.* from sealed as s cross join lateral payout.subtotals_at(s.seal_id) as t
        union all
        select m.*
        from rest as r
        cross join lateral (
            -- Kept apart by the offset, so that each range is read by its ids.
            select l.* from payout.ledger_entries as l
            where l.ledger_entry_id between r.first_id and r.last_id
            offset 0
        ) as e
        cross join lateral (values
            (e.debit_account, e.currency, e.amount_minor, 0::bigint),
            (e.credit_account, e.currency, 0::bigint, e.amount_minor)
        ) as m (account, currency, debit_minor, credit_minor)
        where e.created_at <= p_at
    ) as b
    group by b.account, b.currency
$$;


--
-- Name: FUNCTION balances_as_of(p_at timestamp with time zone); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.balances_as_of(p_at timestamp with time zone) IS 'Credit minus debit of every account and currency in minor units, of the entries whose transaction had begun by p_at and has committed; infinity: of all.';


--
-- Name: begin_reconcile(text, text, boolean); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.begin_reconcile(p_worker text, p_stripe_account_id text, p_is_livemode boolean) RETURNS TABLE(reconcile_run_id bigint, query jsonb, starting_after text, transfers_seen bigint, transfers_expected bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    lock table payout.epochs in access share mode;
    perform payout.refuse_other_stripe_account(p_stripe_account_id, p_is_livemode);
    if coalesce(btrim(p_worker), '') = '' or p_stripe_account_id is null then
        perform payout.refuse_list(
            format('reconcile of %s by %s', coalesce(p_stripe_account_id, 'nothing'),
                coalesce(nullif(btrim(p_worker), ''), 'nobody')),
            'name the worker and its Stripe account');
    end if;

    -- Whoever finishes the run between two looks leaves none: hence a loop.
    loop
        return query
        select r.reconcile_run_id, payout.reconcile_query(r), r.next_cursor, r.transfers_seen,
            r.transfers_expected
        from payout.runs_of_this_place() as r
        where r.finished_at is null;
        exit when found;
        perform payout.start_run(p_worker);
    end loop;
end
$$;


--
-- Name: FUNCTION begin_reconcile(p_worker text, p_stripe_account_id text, p_is_livemode boolean); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.begin_reconcile(p_worker text, p_stripe_account_id text, p_is_livemode boolean) IS 'The run that goes on: parameters of GET /v1/transfers, the id after which its next page starts (null: from the newest), transfers seen so far, and how many these books expect.';


--
-- Name: change_stripe_account(text, boolean, text); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.change_stripe_account(p_stripe_account_id text, p_is_livemode boolean, p_reason text) RETURNS payout.engine_settings
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
    v_old payout.engine_settings;
    v_new payout.engine_settings;
begin
    if coalesce(p_stripe_account_id !~ '^acct_[A-Za-z0-9_]+$', true) or p_is_livemode is null
        or coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot change the Stripe account to % for reason %',
            payout.name_stripe_account(p_stripe_account_id, p_is_livemode),
            coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP320',
                hint = 'Name the account (acct_…), whether it is live mode, and a reason.';
    end if;

    -- The lock shows what was handed out before it was granted only to a later snapshot.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'the Stripe account is not changed in a transaction that is %',
            current_setting('transaction_isolation')
            using
                errcode = 'SP401',
                hint = 'begin isolation level read committed';
    end if;
    lock table payout.epochs in access exclusive mode;
    select * into strict v_old from payout.engine_settings for update;
    if (v_old.stripe_account_id, v_old.is_livemode) = (p_stripe_account_id, p_is_livemode) then
        return v_old;
    end if;

    perform payout.refuse_unsafe_account_change(v_old, p_is_livemode);
    update payout.engine_settings as e
    set stripe_account_id = p_stripe_account_id, is_livemode = p_is_livemode
    returning * into v_new;
    insert into payout.operator_actions (action, subject, reason, details)
    values ('change_stripe_account', p_stripe_account_id, p_reason, jsonb_build_object(
        'is_livemode', p_is_livemode, 'old_stripe_account_id', v_old.stripe_account_id,
        'old_is_livemode', v_old.is_livemode));
    if v_old.stripe_account_id is not null then
        insert into payout.epochs (reason) values ('Stripe account changed: ' || p_reason);
    end if;
    return v_new;
end
$_$;


--
-- Name: FUNCTION change_stripe_account(p_stripe_account_id text, p_is_livemode boolean, p_reason text); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.change_stripe_account(p_stripe_account_id text, p_is_livemode boolean, p_reason text) IS 'Fixes another Stripe account or mode, with a reason, and closes the gate until it is opened.';


--
-- Name: claim_lookups(text, integer, text, boolean); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.claim_lookups(p_worker text, p_limit integer DEFAULT 20, p_stripe_account_id text DEFAULT NULL::text, p_is_livemode boolean DEFAULT NULL::boolean) RETURNS TABLE(lookup_id bigint, payout_transfer_id bigint, queries jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_now timestamptz := payout.clock();
begin
    perform payout.refuse_other_stripe_account(p_stripe_account_id, p_is_livemode);

    if p_worker is null or coalesce(p_limit, 0) not between 1 and 1000 then
        raise exception 'claim of % look-ups by %', coalesce(p_limit::text, 'null'),
            coalesce(p_worker, 'nobody')
            using
                errcode = 'SP311',
                hint = 'Name the worker, ask for 1 to 1000.';
    end if;

    return query
    with due as (
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.next_lookup_at <= v_now
        order by s.next_lookup_at
        limit p_limit
        for update skip locked
    ), moved as (
        update payout.transfer_states as s
        set next_lookup_at = v_now + interval '10 minutes'
        from due as d
        where s.payout_transfer_id = d.payout_transfer_id
        returning s.payout_transfer_id
    ), begun as (
        insert into payout.transfer_lookups (payout_transfer_id, worker, queries, begun_at)
        select t.payout_transfer_id, p_worker, payout.lookup_queries(t), v_now
        from moved as m
        join payout.payout_transfers as t on t.payout_transfer_id = m.payout_transfer_id
        returning transfer_lookups.*
    )
    select b.lookup_id, b.payout_transfer_id, b.queries
    from begun as b
    order by b.lookup_id;
end
$$;


--
-- Name: FUNCTION claim_lookups(p_worker text, p_limit integer, p_stripe_account_id text, p_is_livemode boolean); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.claim_lookups(p_worker text, p_limit integer, p_stripe_account_id text, p_is_livemode boolean) IS 'Hands out up to p_limit due look-ups, each with the queries of Stripe''s list of transfers that answer it, numbered from 0. The Stripe account is that of the worker''s key.';


--
-- Name: claim_reversal_lookups(text, integer, text, boolean); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.claim_reversal_lookups(p_worker text, p_limit integer DEFAULT 20, p_stripe_account_id text DEFAULT NULL::text, p_is_livemode boolean DEFAULT NULL::boolean) RETURNS TABLE(stripe_transfer_id text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_now timestamptz := payout.clock();
begin
    perform payout.refuse_other_stripe_account(p_stripe_account_id, p_is_livemode);
    if p_worker is null or coalesce(p_limit, 0) not between 1 and 1000 then
        raise exception 'claim of % look-ups by %', coalesce(p_limit::text, 'null'),
            coalesce(p_worker, 'nobody')
            using
                errcode = 'SP311',
                hint = 'Name the worker, ask for 1 to 1000.';
    end if;

    return query
    with due as (
        select r.stripe_transfer_id
        from payout.reversed_transfers as r
        where r.next_lookup_at <= v_now
            and exists (
                select from payout.transfer_states as s
                where s.stripe_transfer_id = r.stripe_transfer_id
            )
        order by r.next_lookup_at
        limit p_limit
        for update skip locked
    )
    update payout.reversed_transfers as r
    set next_lookup_at = v_now + interval '10 minutes'
    from due as d
    where r.stripe_transfer_id = d.stripe_transfer_id
    returning r.stripe_transfer_id;
end
$$;


--
-- Name: FUNCTION claim_reversal_lookups(p_worker text, p_limit integer, p_stripe_account_id text, p_is_livemode boolean); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.claim_reversal_lookups(p_worker text, p_limit integer, p_stripe_account_id text, p_is_livemode boolean) IS 'Hands out up to p_limit transfers of which Stripe has taken back more than is booked.';


--
-- Name: claim_transfers(text, integer, bigint, text, boolean); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.claim_transfers(p_worker text, p_limit integer DEFAULT 100, p_payout_job_id bigint DEFAULT NULL::bigint, p_stripe_account_id text DEFAULT NULL::text, p_is_livemode boolean DEFAULT NULL::boolean) RETURNS TABLE(payout_transfer_id bigint, generation integer, attempt integer, idempotency_key text, request jsonb, lease_seconds double precision, deadline_seconds double precision)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
declare
    v_settings payout.engine_settings;
    v_now timestamptz := payout.clock();
    v_due_ids bigint[];
    v_doorbell_ids bigint[];
begin
    perform payout.refuse_unsafe_server();
    perform payout.refuse_closed_gate(p_stripe_account_id, p_is_livemode);
    select * into strict v_settings from payout.engine_settings;

    if p_worker is null or coalesce(p_limit, 0) not between 1 and v_settings.largest_claim then
        raise exception 'claim of % transfers by %', coalesce(p_limit::text, 'null'),
            coalesce(p_worker, 'nobody')
            using
                errcode = 'SP311',
                hint = format('Name the worker, ask for 1 to %s.', v_settings.largest_claim);
    end if;

    perform payout.hear_doorbell();
    if exists (
        select from payout.holds as h where h.scope = 'engine' and h.released_at is null
    ) then
        return;
    end if;

    select array_agg(d.payout_transfer_id), array_agg(distinct d.doorbell_id)
    into v_due_ids, v_doorbell_ids
    from payout.lock_due_transfers(
        v_now, v_now - v_settings.send_window_for, p_limit, p_payout_job_id) as d;
    perform payout.answer_doorbells(v_doorbell_ids);
    v_due_ids := payout.adopt_seen(v_due_ids);
    perform payout.note_first_claim(v_due_ids);
    return query
    with claimed as (
        update payout.transfer_states as s
        set state = 'in_flight',
            attempt = s.attempt + 1,
            lease_until = v_now + v_settings.lease_for,
            next_attempt_at = null,
            first_sent_at = coalesce(s.first_sent_at, v_now),
            doorbell_id = null,
            changed_at = v_now
        where s.payout_transfer_id = any (v_due_ids)
        returning s.*
    ), opened as (
        insert into payout.transfer_attempts (
            payout_transfer_id, generation, attempt, worker, claimed_at, lease_until)
        select c.payout_transfer_id, c.generation, c.attempt, p_worker, v_now, c.lease_until
        from claimed as c
    )
    select
        c.payout_transfer_id, c.generation, c.attempt,
        t.payout_ref || ':' || c.generation, t.request,
        extract(epoch from v_settings.lease_for)::double precision,
        extract(epoch from v_settings.http_deadline_for)::double precision
    from claimed as c
    join payout.payout_transfers as t on t.payout_transfer_id = c.payout_transfer_id;
end
$$;


--
-- Name: FUNCTION claim_transfers(p_worker text, p_limit integer, p_payout_job_id bigint, p_stripe_account_id text, p_is_livemode boolean); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.claim_transfers(p_worker text, p_limit integer, p_payout_job_id bigint, p_stripe_account_id text, p_is_livemode boolean) IS 'Hands out up to p_limit due transfers (of one job, if given) with key, request and lease; empty while the engine is on hold. The Stripe account is that of the worker''s key. Seconds count from before the call.';


--
-- Name: complete_settlement(text, text, jsonb, timestamp with time zone, jsonb); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.complete_settlement(p_settlement_id text, p_currency text, p_lines jsonb, p_pay_after timestamp with time zone DEFAULT NULL::timestamp with time zone, p_metadata jsonb DEFAULT '{}'::jsonb) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_settlement payout.settlements := row(
        p_settlement_id::payout.external_id, p_currency::payout.currency_code,
        null::payout.positive_minor, 'complete'::payout.settlement_state,
        p_pay_after::payout.moment, coalesce(p_metadata, '{}')::payout.metadata, current_timestamp,
        true)::payout.settlements;
    v_lines payout.settlement_lines[];
    v_line payout.settlement_lines;
    v_total_minor bigint := 0::bigint;
    v_difference text;
begin
    v_lines := payout.read_lines(v_settlement.settlement_id, p_lines);
    foreach v_line in array v_lines loop
        v_total_minor := v_total_minor + v_line.amount_minor;
    end loop;
    v_settlement.total_minor := v_total_minor;

    insert into payout.settlements
    values (v_settlement.*)
    on conflict (settlement_id) do nothing;

    if found then
        insert into payout.settlement_lines
        select l.*
        from unnest(v_lines) as l;
        if cardinality(v_lines) = 1 then
            return payout.create_single_payout(v_settlement, v_lines[1]);
        end if;
        return payout.create_payout_job(v_settlement);
    end if;

    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = p_settlement_id
    for update;

    v_difference := payout.settlement_difference(
        v_settlement, p_currency, p_lines, p_pay_after, coalesce(p_metadata, '{}'));
    if v_difference <> '' then
        raise exception 'settlement % exists with other content: %', p_settlement_id, v_difference
            using
                errcode = 'SP307',
                detail = format('The settlement is %s.', v_settlement.state),
                hint = 'Repeat a settlement unchanged, or give another one its own id.';
    end if;

    update payout.settlements as s
    set state = 'complete'
    where s.settlement_id = p_settlement_id
        and s.state = 'pending';

    return payout.schedule_payout_job(p_settlement_id);
end
$$;


--
-- Name: FUNCTION complete_settlement(p_settlement_id text, p_currency text, p_lines jsonb, p_pay_after timestamp with time zone, p_metadata jsonb); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.complete_settlement(p_settlement_id text, p_currency text, p_lines jsonb, p_pay_after timestamp with time zone, p_metadata jsonb) IS 'Records a settlement with its lines and schedules its payouts; returns the payout_job_id. Safe to repeat with the same content; amounts are in minor units of the currency.';


--
-- Name: doctor(text, boolean); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.doctor(p_stripe_account_id text DEFAULT NULL::text, p_is_livemode boolean DEFAULT NULL::boolean) RETURNS TABLE(check_name text, is_ok boolean, detail text, hint text)
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
    select * from payout.check_server()
    union all
    select * from payout.check_gate(p_stripe_account_id, p_is_livemode)
    union all
    select * from payout.check_guards()
    union all
    select * from payout.check_rights()
    union all
    select * from payout.check_queue()
    union all
    select * from payout.check_books()
    union all
    select * from payout.check_settlements()
    union all
    select * from payout.check_rules()
    union all
    select * from payout.check_references()
    union all
    select * from payout.check_seals()
$$;


--
-- Name: FUNCTION doctor(p_stripe_account_id text, p_is_livemode boolean); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.doctor(p_stripe_account_id text, p_is_livemode boolean) IS 'Checks server, gate, guards, queue, books and seals; hint says what to do where is_ok is false. The Stripe account is that of the caller''s key, if it has one.';


--
-- Name: hold(text, text, text); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.hold(p_scope text, p_reason text, p_subject text DEFAULT NULL::text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_exists boolean;
begin
    if p_scope is null or p_scope not in ('engine', 'currency', 'payee', 'settlement')
        or (p_scope = 'engine') <> (p_subject is null)
        or coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot hold % % for reason %', coalesce(p_scope, 'null'),
            coalesce(p_subject, 'without subject'), coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP313',
                hint = 'Scopes: engine (no subject), currency, payee, settlement; give a reason.';
    end if;
    v_exists := case p_scope
        when 'engine' then true
        when 'currency' then exists (
            select from payout.currencies as c where c.currency = p_subject)
        when 'payee' then exists (select from payout.payees as p where p.payee_id = p_subject)
        else exists (select from payout.settlements as s where s.settlement_id = p_subject)
    end;
    if not v_exists then
        raise exception 'there is no % % to hold', p_scope, p_subject
            using
                errcode = 'SP310',
                hint = 'Currencies are written in lower case; look for the exact id.';
    end if;
    return payout.place_hold(p_scope, p_subject, p_reason);
end
$$;


--
-- Name: FUNCTION hold(p_scope text, p_reason text, p_subject text); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.hold(p_scope text, p_reason text, p_subject text) IS 'Stops new sends of a scope (engine, currency, payee, settlement) until the hold is released.';


--
-- Name: next_events_query(text, boolean); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.next_events_query(p_stripe_account_id text, p_is_livemode boolean) RETURNS TABLE(query jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    perform payout.refuse_other_stripe_account(p_stripe_account_id, p_is_livemode);
    return query
    select jsonb_build_object(
        'types', jsonb_build_array('transfer.reversed'),
        'created', jsonb_build_object(
            'gte', floor(extract(epoch from payout.events_read_until() - interval '1 day')),
            'lt', ceil(extract(epoch from payout.clock() + interval '5 minutes'))));
end
$$;


--
-- Name: FUNCTION next_events_query(p_stripe_account_id text, p_is_livemode boolean); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.next_events_query(p_stripe_account_id text, p_is_livemode boolean) IS 'Parameters of GET /v1/events for what happened since the events were last read to the end.';


--
-- Name: open_discrepancies(); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.open_discrepancies() RETURNS TABLE(kind text, open_count bigint, since timestamp with time zone, advice text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select d.kind, count(*), min(d.found_at),
        (array_agg(d.advice order by d.found_at, d.discrepancy_id))[1]
    from payout.discrepancies as d
    where d.resolved_at is null
    group by d.kind
    order by min(d.found_at), d.kind
$$;


--
-- Name: FUNCTION open_discrepancies(); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.open_discrepancies() IS 'The discrepancies that nobody has resolved, by kind: how many, since when, and the next step for the oldest of them.';


--
-- Name: epochs; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.epochs (
    epoch_id bigint NOT NULL,
    system_identifier bigint,
    timeline_id integer,
    database_oid oid,
    table_oid oid,
    is_installation boolean DEFAULT false NOT NULL,
    reconcile_run_id bigint,
    reason text NOT NULL,
    recorded_by text DEFAULT SESSION_USER NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    is_first_claim boolean DEFAULT false NOT NULL,
    CONSTRAINT installation_has_a_place CHECK (((NOT is_installation) OR (system_identifier IS NOT NULL))),
    CONSTRAINT only_a_place_is_reconciled CHECK (((reconcile_run_id IS NULL) OR (system_identifier IS NOT NULL))),
    CONSTRAINT place_is_whole_or_none CHECK ((num_nulls(system_identifier, timeline_id, database_oid, table_oid) = ANY (ARRAY[0, 4]))),
    CONSTRAINT reason_is_given CHECK ((length(btrim(reason)) > 0))
);


--
-- Name: TABLE epochs; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.epochs IS 'Where this database was adopted as the true one; the newest row counts. Claims are refused anywhere else. A row without a place closes the gate until somebody opens it again.';


--
-- Name: COLUMN epochs.system_identifier; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.epochs.system_identifier IS 'pg_control_system(): another one is another cluster, so the data was restored into it.';


--
-- Name: COLUMN epochs.timeline_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.epochs.timeline_id IS 'Another timeline: a standby was promoted, or the cluster was recovered to a point in time.';


--
-- Name: COLUMN epochs.database_oid; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.epochs.database_oid IS 'Another database: a clone by template, or a dump restored beside the first one.';


--
-- Name: COLUMN epochs.table_oid; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.epochs.table_oid IS 'Of payout.transfer_states; another one: a dump was restored into the same database.';


--
-- Name: COLUMN epochs.is_installation; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.epochs.is_installation IS 'Recorded by the migration, in a database without transfers: older ones were loaded later.';


--
-- Name: COLUMN epochs.reconcile_run_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.epochs.reconcile_run_id IS 'The finished run of reconcile_runs that the opening relied on; null: none.';


--
-- Name: COLUMN epochs.is_first_claim; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.epochs.is_first_claim IS 'Written when the installation handed out its first transfer. Without it attempts are those of another installation, from which data were loaded.';


--
-- Name: open_gate(text, boolean); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.open_gate(p_reason text, p_without_reconcile boolean DEFAULT false) RETURNS payout.epochs
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_problem text;
    v_here record;
    v_epoch payout.epochs;
    v_run_id bigint;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'the gate is not opened without a reason'
            using
                errcode = 'SP320',
                hint = 'Say what happened to the database, and why it is the true one now.';
    end if;

    lock table payout.epochs in access share mode;
    perform from payout.engine_settings for update;
    v_problem := payout.gate_problem();
    select * into v_epoch from payout.epochs as e order by e.epoch_id desc limit 1;
    if v_problem is null then
        return v_epoch;
    end if;

    v_here := payout.where_we_are();
    select r.reconcile_run_id into v_run_id
    from payout.reconcile_runs as r
    where r.finished_at is not null
        and (r.system_identifier, r.timeline_id, r.database_oid, r.table_oid)
            = (v_here.system_identifier, v_here.timeline_id, v_here.database_oid, v_here.table_oid)
        and (v_epoch.epoch_id is null or r.epoch_id >= v_epoch.epoch_id)
        and r.created_until between payout.clock() - interval '1 hour' and payout.clock()
    order by r.reconcile_run_id desc
    limit 1;
    if v_run_id is null and p_without_reconcile is not true then
        raise exception 'the gate stays closed: nothing was reconciled in this place lately'
            using
                errcode = 'SP410',
                detail = v_problem,
                hint = 'docs/restore.md: payout-engine reconcile, then open the gate within an '
                    'hour of its start; or pass p_without_reconcile => true if nothing can have '
                    'been forgotten.';
    end if;

    insert into payout.epochs (
        system_identifier, timeline_id, database_oid, table_oid, reconcile_run_id, reason)
    values (v_here.system_identifier, v_here.timeline_id, v_here.database_oid, v_here.table_oid,
        v_run_id, p_reason)
    returning * into v_epoch;
    insert into payout.operator_actions (action, reason, details)
    values ('open_gate', p_reason, jsonb_build_object('epoch_id', v_epoch.epoch_id,
        'reconcile_run_id', v_run_id, 'problem', v_problem));
    return v_epoch;
end
$$;


--
-- Name: FUNCTION open_gate(p_reason text, p_without_reconcile boolean); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.open_gate(p_reason text, p_without_reconcile boolean) IS 'Adopts the database where it is now, with a reason, once a reconcile run that was begun within the last hour was finished here; p_without_reconcile does without one and is recorded. Safe to repeat.';


--
-- Name: register_payee(text, text); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.register_payee(p_payee_id text, p_stripe_account_id text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_current text;
begin
    insert into payout.payees (payee_id)
    values (p_payee_id)
    on conflict (payee_id) do nothing;

    if p_stripe_account_id is null then
        return;
    end if;

    perform
    from payout.payees as p
    where p.payee_id = p_payee_id
    for no key update;

    select a.stripe_account_id into v_current
    from payout.payee_accounts as a
    where a.payee_id = p_payee_id
    order by a.payee_account_id desc
    limit 1;

    if v_current is distinct from p_stripe_account_id then
        insert into payout.payee_accounts (payee_id, stripe_account_id)
        values (p_payee_id, p_stripe_account_id);
    end if;
end
$$;


--
-- Name: FUNCTION register_payee(p_payee_id text, p_stripe_account_id text); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.register_payee(p_payee_id text, p_stripe_account_id text) IS 'Registers a payee; with an account, records it as the one to pay from now on. Repeatable; transfers already scheduled keep their account.';


--
-- Name: holds; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.holds (
    hold_id bigint NOT NULL,
    scope text NOT NULL,
    subject text,
    reason text NOT NULL,
    placed_by text DEFAULT SESSION_USER NOT NULL,
    placed_at timestamp with time zone DEFAULT now() NOT NULL,
    released_by text,
    released_at timestamp with time zone,
    release_reason text,
    CONSTRAINT only_the_engine_has_no_subject CHECK (((scope = 'engine'::text) = (subject IS NULL))),
    CONSTRAINT reason_is_given CHECK ((length(btrim(reason)) > 0)),
    CONSTRAINT release_is_whole CHECK ((((released_at IS NULL) = (released_by IS NULL)) AND ((released_at IS NULL) = (release_reason IS NULL)))),
    CONSTRAINT scope_is_known CHECK ((scope = ANY (ARRAY['engine'::text, 'currency'::text, 'payee'::text, 'settlement'::text])))
);


--
-- Name: TABLE holds; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.holds IS 'What is not to be sent for now: nothing at all, a currency, a payee or a settlement.';


--
-- Name: release_hold(bigint, text); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.release_hold(p_hold_id bigint, p_reason text) RETURNS payout.holds
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_hold payout.holds;
    v_known_ids bigint[];
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot release hold % without a reason', p_hold_id
            using
                errcode = 'SP313',
                hint = 'Say what was done about it.';
    end if;

    -- Whoever releases it has seen these at most.
    v_known_ids := array(
        select d.discrepancy_id
        from payout.holds as h
        join payout.payout_transfers as t on t.settlement_id = h.subject
        join payout.discrepancies as d on d.payout_transfer_id = t.payout_transfer_id
        where h.hold_id = p_hold_id and h.scope = 'settlement');

    select * into v_hold
    from payout.holds as h
    where h.hold_id = p_hold_id
    for update;

    if not found then
        raise exception 'hold % does not exist', p_hold_id
            using
                errcode = 'SP310',
                hint = 'select * from payout.holds where released_at is null';
    end if;

    if v_hold.released_at is not null then
        return v_hold;
    end if;

    if v_hold.scope = 'settlement' and exists (
        select from payout.payout_transfers as t
        join payout.discrepancies as d on d.payout_transfer_id = t.payout_transfer_id
        where t.settlement_id = v_hold.subject and d.discrepancy_id <> all (v_known_ids)
    ) then
        raise exception 'hold %: another alarm came meanwhile', p_hold_id
            using
                errcode = 'SP402',
                hint = 'Look at payout.discrepancies, then release it again.';
    end if;

    update payout.holds as h
    set released_at = payout.clock(),
        released_by = session_user,
        release_reason = p_reason
    where h.hold_id = p_hold_id
    returning * into v_hold;

    insert into payout.operator_actions (action, subject, reason, details)
    values ('release', concat_ws(' ', v_hold.scope, v_hold.subject), p_reason,
        jsonb_build_object('hold_id', p_hold_id));
    return v_hold;
end
$$;


--
-- Name: FUNCTION release_hold(p_hold_id bigint, p_reason text); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.release_hold(p_hold_id bigint, p_reason text) IS 'Releases a hold with a reason; the sweep then rings for what is due. Safe to repeat.';


--
-- Name: report_events_page(jsonb, text, jsonb, boolean); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.report_events_page(p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean) RETURNS TABLE(events_new integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_problem text;
begin
    lock table payout.epochs in access share mode;
    if exists (
        select from payout.event_pages as p
        where p.query = p_query and p.starting_after is not distinct from p_starting_after
    ) then
        return query select 0;
        return;
    end if;
    v_problem := payout.events_page_problem(p_query, p_starting_after, p_events, p_has_more);
    if v_problem is not null then
        perform payout.refuse_list('events', v_problem);
    end if;

    insert into payout.event_pages (
        query, created_until, starting_after, last_id, has_more, events_seen)
    values (
        p_query, to_timestamp((p_query #>> '{created,lt}')::double precision), p_starting_after,
        coalesce(p_events -> -1 ->> 'id', p_starting_after), p_has_more,
        jsonb_array_length(p_events))
    on conflict do nothing;
    -- Another worker may have brought it meanwhile; what it says counts once all the same.
    return query select payout.take_events(p_events);
end
$$;


--
-- Name: FUNCTION report_events_page(p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.report_events_page(p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean) IS 'Takes a page of events, as Stripe sent it, with the query that it answers; returns how many transfers were reversed further than was known.';


--
-- Name: report_lookup_page(bigint, integer, jsonb, text, jsonb, boolean); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.report_lookup_page(p_lookup_id bigint, p_query_number integer, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean) RETURNS TABLE(is_complete boolean, verdict text, state text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_lookup payout.transfer_lookups;
    v_state payout.transfer_states;
begin
    select * into v_lookup
    from payout.transfer_lookups as l
    where l.lookup_id = p_lookup_id;
    if not found then
        perform payout.refuse_lookup_page(p_lookup_id, 'there is no such look-up');
    end if;
    select * into strict v_state
    from payout.transfer_states as s
    where s.payout_transfer_id = v_lookup.payout_transfer_id
    for update;

    perform payout.add_lookup_page(
        v_lookup, p_query_number, p_query, p_starting_after, p_transfers, p_has_more);

    if (
        select count(*)
        from payout.transfer_lookup_pages as p
        where p.lookup_id = p_lookup_id and not p.has_more
    ) < jsonb_array_length(v_lookup.queries) then
        return query select false, null::text, v_state.state::text;
    else
        return query
        select true, j.verdict, j.state from payout.finish_lookup(v_lookup, v_state) as j;
    end if;
end
$$;


--
-- Name: FUNCTION report_lookup_page(p_lookup_id bigint, p_query_number integer, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.report_lookup_page(p_lookup_id bigint, p_query_number integer, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean) IS 'Takes a page of a query of a look-up, as Stripe sent it; once all are there, says what was found (ok, already, stale or alarm) and the state of the transfer.';


--
-- Name: report_outcomes(jsonb); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.report_outcomes(p_outcomes jsonb) RETURNS TABLE(payout_transfer_id bigint, generation integer, attempt integer, verdict text, state text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_outcomes payout.outcome[] := payout.read_outcomes(p_outcomes);
    v_turns bigint[];
    v_known_ids bigint[];
begin
    v_known_ids := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.payout_transfer_id = any (array(
            select o.payout_transfer_id from unnest(v_outcomes) as o))
        order by s.payout_transfer_id
        for update);

    -- Two outcomes of one transfer are judged one after the other.
    v_turns := array(
        select row_number() over (partition by o.payout_transfer_id order by o.ordinality)
        from unnest(v_outcomes) with ordinality as o
        order by o.ordinality);
    -- So are all, if two name the same transfer at Stripe: one look would believe both.
    if (
        select count(o.stripe_transfer_id) > count(distinct o.stripe_transfer_id)
        from unnest(v_outcomes) as o
    ) then
        v_turns := array(select generate_series(1, cardinality(v_outcomes)));
    end if;

    for v_turn in 1 .. (
        select coalesce(max(t.turn), 0)::integer from unnest(v_turns) as t (turn)
    ) loop
        return query
        select * from payout.record_outcomes(array(
            select v_outcomes[i]
            from generate_subscripts(v_outcomes, 1) as i
            where v_turns[i] = v_turn and (v_outcomes[i]).payout_transfer_id = any (v_known_ids)));
    end loop;

    if exists (
        select from unnest(v_outcomes) as o where o.payout_transfer_id <> all (v_known_ids)
    ) then
        return query
        select * from payout.record_unknown_transfers(array(
            select v_outcomes[i]
            from generate_subscripts(v_outcomes, 1) as i
            where (v_outcomes[i]).payout_transfer_id <> all (v_known_ids)));
    end if;
end
$$;


--
-- Name: FUNCTION report_outcomes(p_outcomes jsonb); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.report_outcomes(p_outcomes jsonb) IS 'Takes an array of payout.outcome objects; answers ok, already, stale or alarm and the state for each. Every outcome is stored, whatever the answer.';


--
-- Name: report_reconcile_page(bigint, jsonb, text, jsonb, boolean); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.report_reconcile_page(p_reconcile_run_id bigint, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean) RETURNS TABLE(transfers_seen bigint, discrepancies_found bigint, is_finished boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_run payout.reconcile_runs;
    v_problem text;
begin
    lock table payout.epochs in access share mode;
    select * into v_run
    from payout.reconcile_runs as r
    where r.reconcile_run_id = p_reconcile_run_id
    for update;
    if found then
        perform payout.refuse_other_query(
            format('reconcile run %s', p_reconcile_run_id), p_query,
            payout.reconcile_query(v_run));
    end if;

    if not exists (
        select from payout.reconcile_pages as p
        where p.reconcile_run_id = p_reconcile_run_id
            and (p.starting_after = p_starting_after
                or (p.page_number = 1 and p_starting_after is null))
    ) then
        v_problem := payout.reconcile_page_problem(
            v_run, p_starting_after, p_transfers, p_has_more);
        if v_problem is not null then
            perform payout.refuse_list(
                format('reconcile run %s', coalesce(p_reconcile_run_id::text, 'null')), v_problem);
        end if;
        v_run := payout.add_reconcile_page(v_run, p_starting_after, p_transfers, p_has_more);
    end if;
    return query
    select v_run.transfers_seen, v_run.discrepancies_found, v_run.finished_at is not null;
end
$$;


--
-- Name: FUNCTION report_reconcile_page(p_reconcile_run_id bigint, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.report_reconcile_page(p_reconcile_run_id bigint, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean) IS 'Takes a page of a run, as Stripe sent it, with the query that it answers; returns what the run has seen and found so far, and whether it is finished.';


--
-- Name: report_reversals(text, jsonb); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.report_reversals(p_stripe_transfer_id text, p_reversals jsonb) RETURNS TABLE(reversals_booked integer, is_complete boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
declare
    v_transfer payout.payout_transfers;
    v_wanted_minor bigint;
    v_problem text := payout.reversal_list_problem(p_stripe_transfer_id, p_reversals);
    v_booked integer := 0;
begin
    select r.amount_reversed_minor into v_wanted_minor
    from payout.reversed_transfers as r
    where r.stripe_transfer_id = p_stripe_transfer_id
    for update;
    select t.* into v_transfer
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    where s.stripe_transfer_id = p_stripe_transfer_id and v_wanted_minor > 0;
    if v_problem is not null or v_transfer.payout_transfer_id is null then
        perform payout.refuse_list(
            format('reversals of %s', coalesce(p_stripe_transfer_id, 'null')),
            coalesce(v_problem, 'nothing of a transfer that is paid by it was seen reversed'));
    end if;

    v_problem := payout.reversals_problem(v_transfer, p_reversals);
    if v_problem is null then
        v_booked := payout.book_reversals(v_transfer, p_reversals);
    else
        perform payout.record_findings(array[payout.reversals_finding(
            v_transfer, p_stripe_transfer_id, v_problem, p_reversals)], null);
    end if;
    return query
    select v_booked, payout.close_reversal_lookup(v_transfer, p_stripe_transfer_id, v_problem);
end
$$;


--
-- Name: FUNCTION report_reversals(p_stripe_transfer_id text, p_reversals jsonb); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.report_reversals(p_stripe_transfer_id text, p_reversals jsonb) IS 'Takes all of Stripe''s reversals of a transfer; returns how many were booked now, and whether all that was seen taken back is booked.';


--
-- Name: discrepancies; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.discrepancies (
    discrepancy_id bigint NOT NULL,
    kind text NOT NULL,
    payout_transfer_id bigint,
    stripe_transfer_id text,
    ours jsonb DEFAULT '{}'::jsonb NOT NULL,
    theirs jsonb DEFAULT '{}'::jsonb NOT NULL,
    advice text NOT NULL,
    found_at timestamp with time zone DEFAULT now() NOT NULL,
    resolved_at timestamp with time zone,
    resolved_by text,
    resolution text,
    is_finding boolean DEFAULT false NOT NULL,
    found_by_run_id bigint,
    last_found_by_run_id bigint,
    resolved_by_run_id bigint,
    CONSTRAINT findings_name_a_transfer CHECK (((NOT is_finding) OR (stripe_transfer_id IS NOT NULL))),
    CONSTRAINT resolution_is_whole CHECK ((((resolved_at IS NULL) = (resolved_by IS NULL)) AND ((resolved_at IS NULL) = (resolution IS NULL)))),
    CONSTRAINT runs_resolve_findings CHECK (((resolved_by_run_id IS NULL) OR (is_finding AND (resolved_at IS NOT NULL))))
);


--
-- Name: TABLE discrepancies; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.discrepancies IS 'Where Stripe and these books disagree: what each side says and what to do. Never deleted.';


--
-- Name: COLUMN discrepancies.is_finding; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.discrepancies.is_finding IS 'Found by comparing with Stripe, so that a later comparison may find it again, or no longer.';


--
-- Name: COLUMN discrepancies.found_by_run_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.discrepancies.found_by_run_id IS 'The reconcile run that found it first; null: found in another way.';


--
-- Name: COLUMN discrepancies.last_found_by_run_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.discrepancies.last_found_by_run_id IS 'The last run that found it.';


--
-- Name: COLUMN discrepancies.resolved_by_run_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.discrepancies.resolved_by_run_id IS 'The run that saw the transfer and found nothing wrong; then it may be found anew.';


--
-- Name: resolve_discrepancy(bigint, text); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.resolve_discrepancy(p_discrepancy_id bigint, p_reason text) RETURNS payout.discrepancies
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_discrepancy payout.discrepancies;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot resolve discrepancy % without a reason', p_discrepancy_id
            using
                errcode = 'SP313',
                hint = 'Say what was found and what was done about it.';
    end if;

    select * into v_discrepancy
    from payout.discrepancies as d
    where d.discrepancy_id = p_discrepancy_id
    for update;
    if not found then
        raise exception 'discrepancy % does not exist', p_discrepancy_id
            using
                errcode = 'SP310',
                hint = 'select * from payout_api.discrepancies';
    end if;
    if v_discrepancy.resolved_at is not null then
        return v_discrepancy;
    end if;

    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = session_user,
        resolution = p_reason
    where d.discrepancy_id = p_discrepancy_id
    returning * into v_discrepancy;

    insert into payout.operator_actions (action, subject, reason, details)
    values ('resolve_discrepancy', v_discrepancy.kind, p_reason,
        jsonb_build_object('discrepancy_id', p_discrepancy_id));
    return v_discrepancy;
end
$$;


--
-- Name: FUNCTION resolve_discrepancy(p_discrepancy_id bigint, p_reason text); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.resolve_discrepancy(p_discrepancy_id bigint, p_reason text) IS 'Resolves a discrepancy with a reason; it releases no hold and moves no money. Safe to repeat.';


--
-- Name: seal(integer); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.seal(p_limit integer DEFAULT 10000) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_now timestamptz := payout.clock();
    v_mark payout.seal_marks;
    v_sealed integer := 0;
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'seal of % rows', coalesce(p_limit::text, 'null')
            using
                errcode = 'SP311',
                hint = 'Give a limit of at least 1, or none.';
    end if;

    -- The first mark is the lock: there is one chain, hence one sealer at a time.
    perform
    from payout.seal_marks as m
    where m.table_name = 'key_generations'
        and exists (
            select from payout.seal_marks as d
            where d.marked_at <= v_now - interval '1 minute' or d.marked_at > v_now
        )
    for update skip locked;
    if not found then
        return 0;
    end if;

    for v_mark in
        select m.*
        from payout.seal_marks as m
        where m.marked_at <= v_now - interval '1 minute' or m.marked_at > v_now
        order by m.table_name
    loop
        v_sealed := v_sealed + payout.seal_up_to_mark(v_mark, v_now, p_limit);
    end loop;
    return v_sealed;
end
$$;


--
-- Name: FUNCTION seal(p_limit integer); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.seal(p_limit integer) IS 'Seals rows of the ledger, of observations, keys and transfers that nothing can come before any more, about p_limit of each; returns how many. Safe to repeat.';


--
-- Name: seal_head(); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.seal_head() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    select s.seal_id || ':' || encode(s.seal_sha256, 'hex')
    from payout.seals as s
    order by s.seal_id desc
    limit 1
$$;


--
-- Name: FUNCTION seal_head(); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.seal_head() IS 'Number and hash of the newest seal; null before the first.';


--
-- Name: sweep(integer); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.sweep(p_limit integer DEFAULT 1000) RETURNS TABLE(leases_expired integer, transfers_parked integer, transfers_reopened integer, doorbells_rung integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    v_now timestamptz;
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'sweep of % transfers', coalesce(p_limit::text, 'null')
            using
                errcode = 'SP311',
                hint = 'Give a limit of at least 1, or none.';
    end if;
    -- First, while the sweep has locked no transfer yet.
    perform payout_api.seal();
    v_now := payout.clock();
    return query
    select
        payout.expire_leases(v_now, p_limit),
        payout.park_expired_keys(v_now, p_limit),
        payout.reopen_failed(v_now, p_limit),
        payout.ring_doorbells(v_now, p_limit);
end
$$;


--
-- Name: FUNCTION sweep(p_limit integer); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.sweep(p_limit integer) IS 'Closes leases that ran out, parks what is too old to send, opens new keys where rule K allows, rings for what is due; up to p_limit of each. Returns how many. It also seals.';


--
-- Name: verify_projection(); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.verify_projection() RETURNS TABLE(payout_transfer_id bigint, column_name text, stored text, folded text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
    select payout_transfer_id, c.column_name, c.stored, c.folded
    from payout.transfer_states as s
    full join payout.fold_facts() as f using (payout_transfer_id)
    cross join lateral (values
        ('state', s.state::text, f.state),
        ('generation', s.generation::text, f.generation::text),
        ('attempt', s.attempt::text, f.attempt::text),
        ('lease_until', s.lease_until::text, f.lease_until::text),
        ('stripe_transfer_id', s.stripe_transfer_id, f.stripe_transfer_id),
        ('first_sent_at', s.first_sent_at::text, f.first_sent_at::text),
        ('tries', s.tries::text, f.tries::text),
        ('has_unknown_send', s.has_unknown_send::text, f.has_unknown_send::text)
    ) as c (column_name, stored, folded)
    where c.stored is distinct from c.folded
    union all
    select payout_transfer_id, 'money', d.place, b.place
    from (
        select t.payout_transfer_id,
            format('%s %s %s',
                case
                    when s.state = 'paid' then 'stripe_balance'
                    when s.state in ('failed', 'cancelled') then 'payable:' || t.payee_id
                    else 'in_flight'
                end, t.amount_minor, t.currency) as place
        from payout.payout_transfers as t
        join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    ) as d
    full join payout.booked_places() as b using (payout_transfer_id)
    where d.place is distinct from b.place
    order by 1, 2
$$;


--
-- Name: FUNCTION verify_projection(); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.verify_projection() IS 'One row for each difference between transfer_states (stored) and the fold of the facts (folded); column money compares where the state says the amount is with the books. None: all is well.';


--
-- Name: verify_seals(bigint, text); Type: FUNCTION; Schema: payout_api; Owner: -
--

CREATE FUNCTION payout_api.verify_seals(p_from bigint DEFAULT 1, p_head text DEFAULT NULL::text) RETURNS TABLE(table_name text, row_id bigint, seal_id bigint, what text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $_$
begin
    if p_from is null or (p_from <> 1 and not exists (
        select from payout.seals as s where s.seal_id = p_from
    )) then
        raise exception 'there is no seal %', coalesce(p_from::text, 'null')
            using
                errcode = 'SP330',
                hint = 'select min(seal_id), max(seal_id) from payout.seals';
    end if;
    if p_head !~ '^[1-9][0-9]{0,17}:[0-9a-f]{64}$' then
        raise exception 'head % is none', p_head
            using
                errcode = 'SP330',
                hint = 'Give what payout_api.seal_head() said: number, colon, 64 hex digits.';
    end if;

    return query
    select distinct on (f.table_name) f.table_name, f.row_id, f.seal_id, f.what
    from (
        select c.*
        from payout.seals as s
        cross join lateral payout.check_seal(s) as c
        where s.seal_id >= p_from
        union all
        select 'seals', h.seal_id, h.seal_id, 'it is not the seal that the kept head names'
        from (select split_part(p_head, ':', 1)::bigint, split_part(p_head, ':', 2))
            as h (seal_id, sha256)
        where p_head is not null and not exists (
            select from payout.seals as s
            where s.seal_id = h.seal_id and s.seal_sha256 = decode(h.sha256, 'hex')
        )
    ) as f
    order by f.table_name, f.seal_id, f.row_id;
end
$_$;


--
-- Name: FUNCTION verify_seals(p_from bigint, p_head text); Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON FUNCTION payout_api.verify_seals(p_from bigint, p_head text) IS 'Recomputes seals from p_from on and returns per table the first row that was altered, removed or slipped in, table seals for the chain itself; nothing when all is as it was sealed.';


--
-- Name: currencies; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.currencies (
    currency payout.currency_code NOT NULL,
    minor_digits smallint NOT NULL,
    amount_step integer DEFAULT 1 NOT NULL,
    largest_amount_minor bigint DEFAULT 99999999 NOT NULL,
    CONSTRAINT amount_step_is_a_power_of_ten CHECK ((amount_step = ANY (ARRAY[1, 10, 100]))),
    CONSTRAINT largest_amount_is_positive CHECK ((largest_amount_minor > 0)),
    CONSTRAINT minor_digits_are_0_2_or_3 CHECK ((minor_digits = ANY (ARRAY[0, 2, 3])))
);


--
-- Name: TABLE currencies; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.currencies IS 'The currencies Stripe transfers and how it counts them (docs.stripe.com/currencies).';


--
-- Name: COLUMN currencies.minor_digits; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.currencies.minor_digits IS 'Decimal places between the currency and its minor unit: 2 for usd, 0 for jpy, 3 for kwd.';


--
-- Name: COLUMN currencies.amount_step; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.currencies.amount_step IS 'An amount must be a multiple of this: 10 for three-decimal currencies, 100 for isk and ugx.';


--
-- Name: COLUMN currencies.largest_amount_minor; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.currencies.largest_amount_minor IS 'The most that one transfer may carry, in minor units.';


--
-- Name: discrepancies_discrepancy_id_seq; Type: SEQUENCE; Schema: payout; Owner: -
--

ALTER TABLE payout.discrepancies ALTER COLUMN discrepancy_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME payout.discrepancies_discrepancy_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: epochs_epoch_id_seq; Type: SEQUENCE; Schema: payout; Owner: -
--

ALTER TABLE payout.epochs ALTER COLUMN epoch_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME payout.epochs_epoch_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: event_pages; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.event_pages (
    event_page_id bigint NOT NULL,
    query jsonb NOT NULL,
    created_until timestamp with time zone NOT NULL,
    starting_after text,
    last_id text,
    has_more boolean NOT NULL,
    events_seen integer NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT only_an_empty_list_has_no_last_id CHECK (((last_id IS NOT NULL) OR ((events_seen = 0) AND (NOT has_more)))),
    CONSTRAINT seen_is_not_negative CHECK ((events_seen >= 0))
);


--
-- Name: TABLE event_pages; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.event_pages IS 'A page of Stripe''s events about reversed transfers that was taken. What was read to its last page says where the next query begins.';


--
-- Name: COLUMN event_pages.query; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.event_pages.query IS 'The parameters of GET /v1/events that it answers.';


--
-- Name: COLUMN event_pages.created_until; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.event_pages.created_until IS 'The query names events from before this time, by Stripe''s clock.';


--
-- Name: COLUMN event_pages.received_at; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.event_pages.received_at IS 'When a worker reported it.';


--
-- Name: event_pages_event_page_id_seq; Type: SEQUENCE; Schema: payout; Owner: -
--

ALTER TABLE payout.event_pages ALTER COLUMN event_page_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME payout.event_pages_event_page_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: holds_hold_id_seq; Type: SEQUENCE; Schema: payout; Owner: -
--

ALTER TABLE payout.holds ALTER COLUMN hold_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME payout.holds_hold_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: key_generations; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.key_generations (
    payout_transfer_id bigint NOT NULL,
    generation integer NOT NULL,
    reason text NOT NULL,
    evidence_observation_id bigint NOT NULL,
    opened_by text DEFAULT SESSION_USER NOT NULL,
    opened_at timestamp with time zone DEFAULT now() NOT NULL,
    key_generation_id bigint NOT NULL,
    second_evidence_observation_id bigint,
    CONSTRAINT evidence_comes_in_order CHECK ((second_evidence_observation_id > evidence_observation_id)),
    CONSTRAINT first_key_needs_no_reason CHECK ((generation >= 2))
);


--
-- Name: TABLE key_generations; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.key_generations IS 'Why a second idempotency key was ever allowed for a transfer, and on what evidence (rule K).';


--
-- Name: COLUMN key_generations.evidence_observation_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.key_generations.evidence_observation_id IS 'The accepted decline, saved under the former key, that closed the former generation; or the first of two scans of Stripe''s list that found nothing.';


--
-- Name: COLUMN key_generations.key_generation_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.key_generations.key_generation_id IS 'Number in the order in which keys were opened, for seals.';


--
-- Name: COLUMN key_generations.second_evidence_observation_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.key_generations.second_evidence_observation_id IS 'The second scan; null where a decline was the evidence.';


--
-- Name: key_generations_key_generation_id_seq; Type: SEQUENCE; Schema: payout; Owner: -
--

ALTER TABLE payout.key_generations ALTER COLUMN key_generation_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME payout.key_generations_key_generation_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: ledger_accounts; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.ledger_accounts (
    account text NOT NULL,
    is_per_payee boolean NOT NULL,
    meaning text NOT NULL
);


--
-- Name: TABLE ledger_accounts; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.ledger_accounts IS 'The chart of accounts. `payable` has one sub-account a payee, written payable:<payee_id>.';


--
-- Name: ledger_entries; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.ledger_entries (
    ledger_entry_id bigint NOT NULL,
    payout_transfer_id bigint NOT NULL,
    kind text NOT NULL,
    generation integer NOT NULL,
    debit_account text NOT NULL,
    credit_account text NOT NULL,
    amount_minor bigint NOT NULL,
    currency payout.currency_code NOT NULL,
    stripe_reversal_id text,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
);


--
-- Name: TABLE ledger_entries; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.ledger_entries IS 'Double-entry books: each row moves an amount from one account to another, so it balances by construction. Insert-only.';


--
-- Name: COLUMN ledger_entries.kind; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.ledger_entries.kind IS 'obligation: owed; reserve: set aside for sending; paid: Stripe moved it; release: back to the payee''s account here; reversal: Stripe took it back.';


--
-- Name: COLUMN ledger_entries.amount_minor; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.ledger_entries.amount_minor IS 'In minor units of currency, always positive.';


--
-- Name: COLUMN ledger_entries.stripe_reversal_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.ledger_entries.stripe_reversal_id IS 'Stripe''s trr_ id, for kind reversal only: each reversal is booked once.';


--
-- Name: ledger_entries_ledger_entry_id_seq; Type: SEQUENCE; Schema: payout; Owner: -
--

ALTER TABLE payout.ledger_entries ALTER COLUMN ledger_entry_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME payout.ledger_entries_ledger_entry_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: lines_ahead; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.lines_ahead (
    settlement_id payout.external_id NOT NULL
);


--
-- Name: TABLE lines_ahead; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.lines_ahead IS 'Settlements whose lines came first, while their transaction runs; empty for everybody else. At commit each is checked: the settlement must be of the same transaction or still pending.';


--
-- Name: operator_actions; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.operator_actions (
    operator_action_id bigint NOT NULL,
    action text NOT NULL,
    subject text,
    reason text NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    acted_by text DEFAULT SESSION_USER NOT NULL,
    acted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT reason_is_given CHECK ((length(btrim(reason)) > 0))
);


--
-- Name: TABLE operator_actions; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.operator_actions IS 'Who told the engine what, and why; also what the engine stopped by itself.';


--
-- Name: operator_actions_operator_action_id_seq; Type: SEQUENCE; Schema: payout; Owner: -
--

ALTER TABLE payout.operator_actions ALTER COLUMN operator_action_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME payout.operator_actions_operator_action_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: payee_accounts; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.payee_accounts (
    payee_account_id bigint NOT NULL,
    payee_id payout.external_id NOT NULL,
    stripe_account_id text NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    recorded_by text DEFAULT SESSION_USER NOT NULL,
    CONSTRAINT stripe_account_id_looks_like_one CHECK (((stripe_account_id ~ '^acct_[A-Za-z0-9_]+$'::text) AND (length(stripe_account_id) <= 255)))
);


--
-- Name: TABLE payee_accounts; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.payee_accounts IS 'Which Stripe account a payee is paid to, as history: the newest row counts for settlements completed from then on; transfers already scheduled keep the account they were given.';


--
-- Name: payee_accounts_payee_account_id_seq; Type: SEQUENCE; Schema: payout; Owner: -
--

ALTER TABLE payout.payee_accounts ALTER COLUMN payee_account_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME payout.payee_accounts_payee_account_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: payees; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.payees (
    payee_id payout.external_id NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE payees; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.payees IS 'Who can be owed money. Never changed, never deleted.';


--
-- Name: payout_jobs; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.payout_jobs (
    payout_job_id bigint NOT NULL,
    settlement_id payout.external_id NOT NULL,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
);


--
-- Name: TABLE payout_jobs; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.payout_jobs IS 'One row for each completed settlement: its payout was scheduled.';


--
-- Name: payout_jobs_payout_job_id_seq; Type: SEQUENCE; Schema: payout; Owner: -
--

ALTER TABLE payout.payout_jobs ALTER COLUMN payout_job_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME payout.payout_jobs_payout_job_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: payout_transfers_payout_transfer_id_seq; Type: SEQUENCE; Schema: payout; Owner: -
--

ALTER TABLE payout.payout_transfers ALTER COLUMN payout_transfer_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME payout.payout_transfers_payout_transfer_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: reconcile_pages; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.reconcile_pages (
    reconcile_run_id bigint NOT NULL,
    page_number integer NOT NULL,
    starting_after text,
    last_id text,
    has_more boolean NOT NULL,
    stripe_transfer_ids text[] NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT only_an_empty_list_has_no_last_id CHECK (((last_id IS NOT NULL) OR ((page_number = 1) AND (stripe_transfer_ids = '{}'::text[]) AND (NOT has_more)))),
    CONSTRAINT pages_count_from_one CHECK ((page_number >= 1))
);


--
-- Name: TABLE reconcile_pages; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.reconcile_pages IS 'A page of Stripe''s list that a run has taken: what it said is in findings and sightings, here are the ids that it named.';


--
-- Name: COLUMN reconcile_pages.starting_after; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.reconcile_pages.starting_after IS 'The last id of the page before; null: the first page.';


--
-- Name: COLUMN reconcile_pages.last_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.reconcile_pages.last_id IS 'After which the next page starts.';


--
-- Name: COLUMN reconcile_pages.received_at; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.reconcile_pages.received_at IS 'When a worker reported it.';


--
-- Name: reconcile_runs_reconcile_run_id_seq; Type: SEQUENCE; Schema: payout; Owner: -
--

ALTER TABLE payout.reconcile_runs ALTER COLUMN reconcile_run_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME payout.reconcile_runs_reconcile_run_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: reversed_transfers; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.reversed_transfers (
    stripe_transfer_id text NOT NULL,
    amount_reversed_minor bigint NOT NULL,
    next_lookup_at timestamp with time zone,
    noted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT amount_is_positive CHECK ((amount_reversed_minor > 0))
);


--
-- Name: TABLE reversed_transfers; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.reversed_transfers IS 'Transfers of ours of which Stripe has taken something back, and whether the books have it.';


--
-- Name: COLUMN reversed_transfers.amount_reversed_minor; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.reversed_transfers.amount_reversed_minor IS 'The most that was seen taken back, in minor units of the transfer''s currency.';


--
-- Name: COLUMN reversed_transfers.next_lookup_at; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.reversed_transfers.next_lookup_at IS 'When its reversals are to be read; null: they are booked, or a person must look.';


--
-- Name: COLUMN reversed_transfers.noted_at; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.reversed_transfers.noted_at IS 'When a reversal of it was seen first.';


--
-- Name: seal_subtotals; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.seal_subtotals (
    account text NOT NULL,
    currency payout.currency_code NOT NULL,
    seal_id bigint NOT NULL,
    debit_minor bigint NOT NULL,
    credit_minor bigint NOT NULL
);


--
-- Name: TABLE seal_subtotals; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.seal_subtotals IS 'For each seal of ledger_entries the accounts that its range moved, with all that was booked on them up to its end. Insert-only.';


--
-- Name: COLUMN seal_subtotals.debit_minor; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seal_subtotals.debit_minor IS 'Sum of all debits up to the end of the seal, in minor units of currency.';


--
-- Name: COLUMN seal_subtotals.credit_minor; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.seal_subtotals.credit_minor IS 'Sum of all credits up to the end of the seal, in minor units of currency.';


--
-- Name: seen_doorbell; Type: SEQUENCE; Schema: payout; Owner: -
--

CREATE SEQUENCE payout.seen_doorbell
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE seen_doorbell; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON SEQUENCE payout.seen_doorbell IS 'The queue job that was seen to wait for a worker; null (not called): look for it.';


--
-- Name: state_edges; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.state_edges (
    from_state text NOT NULL,
    to_state text NOT NULL,
    why text NOT NULL,
    CONSTRAINT edge_leads_elsewhere CHECK ((from_state <> to_state))
);


--
-- Name: TABLE state_edges; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.state_edges IS 'The only moves a transfer may make; a guard on transfer_states holds everybody to them.';


--
-- Name: states; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.states (
    state text NOT NULL,
    is_final boolean NOT NULL,
    whose_turn text NOT NULL,
    meaning text NOT NULL,
    CONSTRAINT turn_is_of_a_known_party CHECK ((whose_turn = ANY (ARRAY['engine'::text, 'stripe'::text, 'operator'::text, 'nobody'::text])))
);


--
-- Name: TABLE states; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.states IS 'The states of a transfer, each with its meaning.';


--
-- Name: COLUMN states.is_final; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.states.is_final IS 'True when no move leads out of the state.';


--
-- Name: COLUMN states.whose_turn; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.states.whose_turn IS 'Who acts next while a transfer stands here.';


--
-- Name: transfer_lookup_pages; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.transfer_lookup_pages (
    lookup_id bigint NOT NULL,
    query_number integer NOT NULL,
    page_number integer NOT NULL,
    starting_after text,
    last_id text,
    has_more boolean NOT NULL,
    transfers_seen integer NOT NULL,
    matches jsonb NOT NULL,
    received_at timestamp with time zone NOT NULL,
    CONSTRAINT counts_are_not_negative CHECK (((query_number >= 0) AND (page_number >= 1) AND (transfers_seen >= 0)))
);


--
-- Name: TABLE transfer_lookup_pages; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.transfer_lookup_pages IS 'The pages of Stripe''s list that a look-up read, and which of their transfers match. Insert-only.';


--
-- Name: COLUMN transfer_lookup_pages.query_number; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_lookup_pages.query_number IS 'Which of transfer_lookups.queries, from 0.';


--
-- Name: COLUMN transfer_lookup_pages.starting_after; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_lookup_pages.starting_after IS 'The id that the page was asked for after; null: the first page.';


--
-- Name: COLUMN transfer_lookup_pages.last_id; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_lookup_pages.last_id IS 'The last id on the page, after which the next one starts; null: an empty page.';


--
-- Name: COLUMN transfer_lookup_pages.matches; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_lookup_pages.matches IS 'The transfers with our payout_ref in metadata or transfer_group, in the terms of payout.outcome.';


--
-- Name: transfer_lookups_lookup_id_seq; Type: SEQUENCE; Schema: payout; Owner: -
--

ALTER TABLE payout.transfer_lookups ALTER COLUMN lookup_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME payout.transfer_lookups_lookup_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: transfer_observations; Type: TABLE; Schema: payout; Owner: -
--

CREATE TABLE payout.transfer_observations (
    observation_id bigint NOT NULL,
    payout_transfer_id bigint NOT NULL,
    generation integer NOT NULL,
    attempt integer NOT NULL,
    signal text NOT NULL,
    verdict text NOT NULL,
    moved_to payout.transfer_state,
    reason text,
    error_rule_id integer,
    http_status integer,
    error_type text,
    error_code text,
    is_replayed boolean,
    stripe_transfer_id text,
    stripe_request_id text,
    facts jsonb DEFAULT '{}'::jsonb NOT NULL,
    observed_at timestamp with time zone DEFAULT now() NOT NULL,
    is_counted_try boolean DEFAULT false NOT NULL,
    has_unknown_send boolean DEFAULT false NOT NULL,
    next_attempt_at timestamp with time zone,
    CONSTRAINT http_status_has_three_digits CHECK (((http_status >= 0) AND (http_status <= 999))),
    CONSTRAINT signal_is_known CHECK ((signal = ANY (ARRAY['response'::text, 'unreadable'::text, 'no_response'::text, 'not_sent'::text, 'lease_expired'::text, 'key_expired'::text, 'looked_up'::text]))),
    CONSTRAINT verdict_is_known CHECK ((verdict = ANY (ARRAY['ok'::text, 'already'::text, 'stale'::text, 'alarm'::text])))
);


--
-- Name: TABLE transfer_observations; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON TABLE payout.transfer_observations IS 'Everything seen of a transfer: answers, timeouts, leases that ran out; accepted or not.';


--
-- Name: COLUMN transfer_observations.signal; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_observations.signal IS 'What was seen: a readable answer, an unreadable one, none, surely nothing sent, a lease or a key that expired.';


--
-- Name: COLUMN transfer_observations.verdict; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_observations.verdict IS 'ok: it counted; already: known before; stale: too late to count; alarm: a person must look.';


--
-- Name: COLUMN transfer_observations.moved_to; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_observations.moved_to IS 'The state it led to; null: no move.';


--
-- Name: COLUMN transfer_observations.facts; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_observations.facts IS 'The rest of what the worker reported.';


--
-- Name: COLUMN transfer_observations.is_counted_try; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_observations.is_counted_try IS 'It counted against engine_settings.max_tries.';


--
-- Name: COLUMN transfer_observations.has_unknown_send; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_observations.has_unknown_send IS 'From here on some send under the key may have been executed.';


--
-- Name: COLUMN transfer_observations.next_attempt_at; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON COLUMN payout.transfer_observations.next_attempt_at IS 'When the engine was to act next, as decided then; null: not by itself.';


--
-- Name: transfer_observations_observation_id_seq; Type: SEQUENCE; Schema: payout; Owner: -
--

ALTER TABLE payout.transfer_observations ALTER COLUMN observation_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME payout.transfer_observations_observation_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: waiting_doorbell; Type: SEQUENCE; Schema: payout; Owner: -
--

CREATE SEQUENCE payout.waiting_doorbell
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE waiting_doorbell; Type: COMMENT; Schema: payout; Owner: -
--

COMMENT ON SEQUENCE payout.waiting_doorbell IS 'The queue job that was rung last, if no claim was made since; null (not called): none.';


--
-- Name: discrepancies; Type: VIEW; Schema: payout_api; Owner: -
--

CREATE VIEW payout_api.discrepancies AS
 SELECT d.discrepancy_id,
    d.kind,
    COALESCE((t.settlement_id)::text, (d.theirs ->> 'named_settlement'::text)) AS settlement_id,
    d.payout_transfer_id,
    d.stripe_transfer_id,
    d.ours,
    d.theirs,
    d.found_at AS since,
    d.found_by_run_id,
    d.last_found_by_run_id,
    concat_ws(' '::text, d.advice, 'Then:', (('select payout_api.release_hold('::text || h.hold_id) || ', ''…'');'::text), format('select payout_api.resolve_discrepancy(%s, ''…'');'::text, d.discrepancy_id)) AS what_to_do
   FROM ((payout.discrepancies d
     LEFT JOIN payout.payout_transfers t ON ((t.payout_transfer_id = d.payout_transfer_id)))
     LEFT JOIN payout.holds h ON (((h.scope = 'settlement'::text) AND (h.subject = (t.settlement_id)::text) AND (h.released_at IS NULL))))
  WHERE (d.resolved_at IS NULL);


--
-- Name: VIEW discrepancies; Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON VIEW payout_api.discrepancies IS 'One row for each open discrepancy: what these books say (ours) and Stripe (theirs), since when, by which reconcile run, and the next step with the calls that end it.';


--
-- Name: error_codes; Type: VIEW; Schema: payout_api; Owner: -
--

CREATE VIEW payout_api.error_codes AS
 SELECT sqlstate,
    meaning,
    reaction
   FROM ( VALUES ('SP101'::text,'a fact may not be changed or removed'::text,'stop and alert'::text), ('SP102'::text,'a complete settlement may not be changed'::text,'stop and alert'::text), ('SP103'::text,'attempts and keys of a transfer only count up'::text,'stop and alert'::text), ('SP104'::text,'a hold can only be released, once'::text,'stop and alert'::text), ('SP201'::text,'the transfer is in a state that knows no such move'::text,'finish quietly'::text), ('SP202'::text,'the settlement is still pending'::text,'finish quietly'::text), ('SP301'::text,'a line names an unknown payee'::text,'correct the call'::text), ('SP302'::text,'a line names a payee without a Stripe account'::text,'correct the call'::text), ('SP303'::text,'the lines do not add up to the total'::text,'correct the call'::text), ('SP304'::text,'a transfer is larger than Stripe takes'::text,'correct the call'::text), ('SP305'::text,'the currency is not supported'::text,'correct the call'::text), ('SP306'::text,'the amount is no multiple of the currency''s step'::text,'correct the call'::text), ('SP307'::text,'the settlement exists with other content'::text,'correct the call'::text), ('SP308'::text,'the metadata is beyond what Stripe takes'::text,'correct the call'::text), ('SP309'::text,'the lines are malformed'::text,'correct the call'::text), ('SP310'::text,'no such settlement, transfer, job, hold or discrepancy'::text,'correct the call'::text), ('SP311'::text,'a claim of more or fewer transfers than one claim hands out'::text,'correct the call'::text), ('SP312'::text,'the reported outcomes are malformed'::text,'correct the call'::text), ('SP313'::text,'a hold, release or resolution without what it needs'::text,'correct the call'::text), ('SP314'::text,'an approval without what it needs'::text,'correct the call'::text), ('SP330'::text,'no such seal, or no head of seals'::text,'correct the call'::text), ('SP320'::text,'the gate or the Stripe account without what its change needs'::text,'correct the call'::text), ('SP340'::text,'a page of Stripe''s list that is not the next one'::text,'correct the call'::text), ('SP341'::text,'a page or list of Stripe''s that is malformed or not expected'::text,'correct the call'::text), ('SP401'::text,'the server may lose what it commits, so nothing is handed out'::text,'try later'::text), ('SP402'::text,'another transaction came first: repeat this one'::text,'try later'::text), ('SP403'::text,'the database is not where it was adopted: the gate is closed'::text,'try later'::text), ('SP404'::text,'the database pays from another Stripe account, or in the other mode'::text,'try later'::text), ('SP410'::text,'nothing was reconciled in this place, so the gate stays closed'::text,'try later'::text), ('SP411'::text,'transfers are open that the old Stripe account may have executed'::text,'try later'::text)) c(sqlstate, meaning, reaction);


--
-- Name: VIEW error_codes; Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON VIEW payout_api.error_codes IS 'SP1xx: an invariant was touched, stop and alert. SP2xx: the row is in another state, finish quietly. SP3xx: a bad argument, the caller''s bug. SP4xx: not now, try later.';


--
-- Name: ledger_balances; Type: VIEW; Schema: payout_api; Owner: -
--

CREATE VIEW payout_api.ledger_balances AS
 SELECT account,
    currency,
    debit_minor,
    credit_minor,
    balance_minor
   FROM payout_api.balances_as_of('infinity'::timestamp with time zone) b(account, currency, debit_minor, credit_minor, balance_minor);


--
-- Name: VIEW ledger_balances; Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON VIEW payout_api.ledger_balances IS 'Credit minus debit of every account and currency, in minor units. payable:<payee> is what is owed and not being sent, in_flight what is being sent, stripe_balance what Stripe has moved.';


--
-- Name: overview; Type: VIEW; Schema: payout_api; Owner: -
--

CREATE VIEW payout_api.overview AS
 SELECT s.state,
    t.currency,
    count(*) AS transfers,
    (sum(t.amount_minor))::bigint AS amount_minor,
    min(s.changed_at) AS oldest_since,
    min(s.next_attempt_at) AS next_attempt_at
   FROM (payout.transfer_states s
     JOIN payout.payout_transfers t ON ((t.payout_transfer_id = s.payout_transfer_id)))
  GROUP BY s.state, t.currency;


--
-- Name: VIEW overview; Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON VIEW payout_api.overview IS 'Transfers by state and currency; amounts in minor units.';


--
-- Name: reconcile_progress; Type: VIEW; Schema: payout_api; Owner: -
--

CREATE VIEW payout_api.reconcile_progress AS
 SELECT r.reconcile_run_id,
        CASE
            WHEN (r.finished_at IS NOT NULL) THEN 'finished'::text
            WHEN (r.abandoned_at IS NOT NULL) THEN 'given up'::text
            ELSE 'going on'::text
        END AS progress,
    r.worker,
    r.started_at,
    COALESCE(r.finished_at, r.abandoned_at) AS ended_at,
    r.created_from,
    r.created_until,
    p.pages,
    p.last_page_at,
    r.transfers_seen,
    r.transfers_expected,
    r.discrepancies_found
   FROM (payout.reconcile_runs r
     LEFT JOIN LATERAL ( SELECT count(*) AS pages,
            max(p_1.received_at) AS last_page_at
           FROM payout.reconcile_pages p_1
          WHERE (p_1.reconcile_run_id = r.reconcile_run_id)) p ON (true))
  ORDER BY r.reconcile_run_id DESC;


--
-- Name: VIEW reconcile_progress; Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON VIEW payout_api.reconcile_progress IS 'One row for each run: what it compares, the pages and transfers seen so far, how many these books expected, and how many findings it has.';


--
-- Name: trial_balance; Type: VIEW; Schema: payout_api; Owner: -
--

CREATE VIEW payout_api.trial_balance AS
 SELECT COALESCE(b.currency, o.currency) AS currency,
    (COALESCE(b.debit_minor, (0)::numeric))::bigint AS debit_minor,
    (COALESCE(b.credit_minor, (0)::numeric))::bigint AS credit_minor,
    (COALESCE((b.credit_minor - b.debit_minor), (0)::numeric))::bigint AS difference_minor,
    (COALESCE(b.in_flight_minor, (0)::numeric))::bigint AS in_flight_minor,
    (COALESCE(o.open_transfers_minor, (0)::numeric))::bigint AS open_transfers_minor
   FROM (( SELECT l.currency,
            sum(l.debit_minor) AS debit_minor,
            sum(l.credit_minor) AS credit_minor,
            sum(l.balance_minor) FILTER (WHERE (l.account = 'in_flight'::text)) AS in_flight_minor
           FROM payout_api.ledger_balances l
          GROUP BY l.currency) b
     FULL JOIN ( SELECT t.currency,
            sum(t.amount_minor) AS open_transfers_minor
           FROM (payout.transfer_states s
             JOIN payout.payout_transfers t ON ((t.payout_transfer_id = s.payout_transfer_id)))
          WHERE ((s.state)::text = ANY (ARRAY['scheduled'::text, 'in_flight'::text, 'retry_wait'::text, 'unknown'::text, 'parked'::text]))
          GROUP BY t.currency) o ON (((o.currency)::text = (b.currency)::text)));


--
-- Name: VIEW trial_balance; Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON VIEW payout_api.trial_balance IS 'Per currency: difference_minor is zero, and in_flight_minor equals open_transfers_minor, the sum of the transfers that are neither paid, failed nor cancelled. Anything else is a bug.';


--
-- Name: unpaid; Type: VIEW; Schema: payout_api; Owner: -
--

CREATE VIEW payout_api.unpaid AS
 SELECT t.payout_transfer_id,
    t.settlement_id,
    t.payee_id,
    t.destination,
    t.amount_minor,
    t.currency,
    s.state,
    COALESCE(s.reason, st.meaning) AS reason,
    s.changed_at AS since,
        CASE
            WHEN (h.hold_id IS NOT NULL) THEN 'operator'::text
            WHEN (((s.state)::text = 'failed'::text) AND (s.next_attempt_at IS NOT NULL)) THEN 'engine'::text
            WHEN (a.reason IS NOT NULL) THEN 'operator'::text
            WHEN (s.reason = ANY (ARRAY['stripe_may_execute_later'::text, 'absence_awaits_approval'::text])) THEN 'operator'::text
            WHEN (s.next_lookup_at IS NOT NULL) THEN 'engine'::text
            ELSE st.whose_turn
        END AS whose_turn,
    COALESCE(s.next_attempt_at, s.next_lookup_at) AS next_attempt_at,
        CASE
            WHEN (h.hold_id IS NOT NULL) THEN format('On hold (%s): payout_api.release_hold(%s, reason).'::text, h.reason, h.hold_id)
            WHEN (a.reason IS NOT NULL) THEN format('Stripe showed something else than was asked for (%s). Look the payout_ref up there; what is still owed, settle under another settlement.'::text, a.reason)
            ELSE COALESCE(r.advice, st.meaning)
        END AS advice,
    t.payout_ref,
    s.generation,
    s.attempt
   FROM ((((((payout.transfer_states s
     JOIN payout.payout_transfers t ON ((t.payout_transfer_id = s.payout_transfer_id)))
     JOIN payout.states st ON ((st.state = (s.state)::text)))
     LEFT JOIN LATERAL ( SELECT o_1.error_rule_id
           FROM payout.transfer_observations o_1
          WHERE ((o_1.payout_transfer_id = s.payout_transfer_id) AND (o_1.moved_to IS NOT NULL))
          ORDER BY o_1.observation_id DESC
         LIMIT 1) o ON (true))
     LEFT JOIN payout.stripe_error_rules r ON ((r.error_rule_id = o.error_rule_id)))
     LEFT JOIN LATERAL ( SELECT o_1.reason
           FROM payout.transfer_observations o_1
          WHERE ((o_1.payout_transfer_id = s.payout_transfer_id) AND ((s.state)::text = 'parked'::text) AND (o_1.verdict = 'alarm'::text) AND (o_1.reason <> 'report_of_another_transfer'::text))
          ORDER BY o_1.observation_id DESC
         LIMIT 1) a ON (true))
     LEFT JOIN LATERAL ( SELECT h_1.hold_id,
            h_1.reason
           FROM payout.holds h_1
          WHERE ((h_1.released_at IS NULL) AND ((h_1.scope = 'engine'::text) OR (h_1.subject =
                CASE h_1.scope
                    WHEN 'currency'::text THEN (t.currency)::text
                    WHEN 'payee'::text THEN (t.payee_id)::text
                    WHEN 'settlement'::text THEN (t.settlement_id)::text
                    ELSE NULL::text
                END)))
          ORDER BY h_1.hold_id
         LIMIT 1) h ON (true))
  WHERE ((s.state)::text <> 'paid'::text);


--
-- Name: VIEW unpaid; Type: COMMENT; Schema: payout_api; Owner: -
--

COMMENT ON VIEW payout_api.unpaid IS 'One row for each transfer that is not paid: state, reason, since when, whose turn it is, when the engine acts next by itself, and what a person can do.';


--
-- Name: currencies currencies_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.currencies
    ADD CONSTRAINT currencies_pkey PRIMARY KEY (currency);


--
-- Name: discrepancies discrepancies_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.discrepancies
    ADD CONSTRAINT discrepancies_pkey PRIMARY KEY (discrepancy_id);


--
-- Name: engine_settings engine_settings_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.engine_settings
    ADD CONSTRAINT engine_settings_pkey PRIMARY KEY (is_single_row);


--
-- Name: epochs epochs_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.epochs
    ADD CONSTRAINT epochs_pkey PRIMARY KEY (epoch_id);


--
-- Name: event_pages event_pages_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.event_pages
    ADD CONSTRAINT event_pages_pkey PRIMARY KEY (event_page_id);


--
-- Name: event_pages event_pages_query_starting_after_key; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.event_pages
    ADD CONSTRAINT event_pages_query_starting_after_key UNIQUE NULLS NOT DISTINCT (query, starting_after);


--
-- Name: holds holds_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.holds
    ADD CONSTRAINT holds_pkey PRIMARY KEY (hold_id);


--
-- Name: key_generations key_generations_key_generation_id_key; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.key_generations
    ADD CONSTRAINT key_generations_key_generation_id_key UNIQUE (key_generation_id);


--
-- Name: key_generations key_generations_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.key_generations
    ADD CONSTRAINT key_generations_pkey PRIMARY KEY (payout_transfer_id, generation);


--
-- Name: ledger_accounts ledger_accounts_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.ledger_accounts
    ADD CONSTRAINT ledger_accounts_pkey PRIMARY KEY (account);


--
-- Name: ledger_entries ledger_entries_payout_transfer_id_kind_generation_reversal_key; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.ledger_entries
    ADD CONSTRAINT ledger_entries_payout_transfer_id_kind_generation_reversal_key UNIQUE NULLS NOT DISTINCT (payout_transfer_id, kind, generation, stripe_reversal_id);


--
-- Name: ledger_entries ledger_entries_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.ledger_entries
    ADD CONSTRAINT ledger_entries_pkey PRIMARY KEY (ledger_entry_id);


--
-- Name: lines_ahead lines_ahead_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.lines_ahead
    ADD CONSTRAINT lines_ahead_pkey PRIMARY KEY (settlement_id);


--
-- Name: operator_actions operator_actions_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.operator_actions
    ADD CONSTRAINT operator_actions_pkey PRIMARY KEY (operator_action_id);


--
-- Name: payee_accounts payee_accounts_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.payee_accounts
    ADD CONSTRAINT payee_accounts_pkey PRIMARY KEY (payee_account_id);


--
-- Name: payees payees_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.payees
    ADD CONSTRAINT payees_pkey PRIMARY KEY (payee_id);


--
-- Name: payout_jobs payout_jobs_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.payout_jobs
    ADD CONSTRAINT payout_jobs_pkey PRIMARY KEY (payout_job_id);


--
-- Name: payout_jobs payout_jobs_settlement_id_key; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.payout_jobs
    ADD CONSTRAINT payout_jobs_settlement_id_key UNIQUE (settlement_id);


--
-- Name: payout_transfers payout_transfers_payout_ref_key; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.payout_transfers
    ADD CONSTRAINT payout_transfers_payout_ref_key UNIQUE (payout_ref);


--
-- Name: payout_transfers payout_transfers_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.payout_transfers
    ADD CONSTRAINT payout_transfers_pkey PRIMARY KEY (payout_transfer_id);


--
-- Name: payout_transfers payout_transfers_settlement_id_payee_id_source_transaction_key; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.payout_transfers
    ADD CONSTRAINT payout_transfers_settlement_id_payee_id_source_transaction_key UNIQUE NULLS NOT DISTINCT (settlement_id, payee_id, source_transaction);


--
-- Name: reconcile_pages reconcile_pages_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.reconcile_pages
    ADD CONSTRAINT reconcile_pages_pkey PRIMARY KEY (reconcile_run_id, page_number);


--
-- Name: reconcile_pages reconcile_pages_reconcile_run_id_starting_after_key; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.reconcile_pages
    ADD CONSTRAINT reconcile_pages_reconcile_run_id_starting_after_key UNIQUE NULLS NOT DISTINCT (reconcile_run_id, starting_after);


--
-- Name: reconcile_runs reconcile_runs_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.reconcile_runs
    ADD CONSTRAINT reconcile_runs_pkey PRIMARY KEY (reconcile_run_id);


--
-- Name: reversed_transfers reversed_transfers_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.reversed_transfers
    ADD CONSTRAINT reversed_transfers_pkey PRIMARY KEY (stripe_transfer_id);


--
-- Name: seal_marks seal_marks_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.seal_marks
    ADD CONSTRAINT seal_marks_pkey PRIMARY KEY (table_name);


--
-- Name: seal_subtotals seal_subtotals_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.seal_subtotals
    ADD CONSTRAINT seal_subtotals_pkey PRIMARY KEY (account, currency, seal_id);


--
-- Name: seals seals_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.seals
    ADD CONSTRAINT seals_pkey PRIMARY KEY (seal_id);


--
-- Name: seals seals_table_name_last_id_key; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.seals
    ADD CONSTRAINT seals_table_name_last_id_key UNIQUE (table_name, last_id);


--
-- Name: settlement_lines settlement_lines_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.settlement_lines
    ADD CONSTRAINT settlement_lines_pkey PRIMARY KEY (settlement_id, line_id);


--
-- Name: settlements settlements_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.settlements
    ADD CONSTRAINT settlements_pkey PRIMARY KEY (settlement_id);


--
-- Name: state_edges state_edges_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.state_edges
    ADD CONSTRAINT state_edges_pkey PRIMARY KEY (from_state, to_state);


--
-- Name: states states_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.states
    ADD CONSTRAINT states_pkey PRIMARY KEY (state);


--
-- Name: stripe_error_rules stripe_error_rules_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.stripe_error_rules
    ADD CONSTRAINT stripe_error_rules_pkey PRIMARY KEY (error_rule_id);


--
-- Name: stripe_sightings stripe_sightings_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.stripe_sightings
    ADD CONSTRAINT stripe_sightings_pkey PRIMARY KEY (stripe_transfer_id);


--
-- Name: transfer_attempts transfer_attempts_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.transfer_attempts
    ADD CONSTRAINT transfer_attempts_pkey PRIMARY KEY (payout_transfer_id, attempt);


--
-- Name: transfer_lookup_pages transfer_lookup_pages_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.transfer_lookup_pages
    ADD CONSTRAINT transfer_lookup_pages_pkey PRIMARY KEY (lookup_id, query_number, page_number);


--
-- Name: transfer_lookups transfer_lookups_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.transfer_lookups
    ADD CONSTRAINT transfer_lookups_pkey PRIMARY KEY (lookup_id);


--
-- Name: transfer_observations transfer_observations_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.transfer_observations
    ADD CONSTRAINT transfer_observations_pkey PRIMARY KEY (observation_id);


--
-- Name: transfer_states transfer_states_pkey; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.transfer_states
    ADD CONSTRAINT transfer_states_pkey PRIMARY KEY (payout_transfer_id);


--
-- Name: transfer_states transfer_states_stripe_transfer_id_key; Type: CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.transfer_states
    ADD CONSTRAINT transfer_states_stripe_transfer_id_key UNIQUE (stripe_transfer_id);


--
-- Name: discrepancies_explained_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX discrepancies_explained_idx ON payout.discrepancies USING btree (kind, stripe_transfer_id) WHERE (is_finding AND (resolved_at IS NOT NULL) AND (resolved_by_run_id IS NULL));


--
-- Name: discrepancies_kind_stripe_transfer_id_finding_key; Type: INDEX; Schema: payout; Owner: -
--

CREATE UNIQUE INDEX discrepancies_kind_stripe_transfer_id_finding_key ON payout.discrepancies USING btree (kind, stripe_transfer_id) WHERE (is_finding AND (resolved_at IS NULL));


--
-- Name: discrepancies_open_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX discrepancies_open_idx ON payout.discrepancies USING btree (found_at) WHERE (resolved_at IS NULL);


--
-- Name: discrepancies_open_payout_transfer_id_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX discrepancies_open_payout_transfer_id_idx ON payout.discrepancies USING btree (payout_transfer_id) WHERE (resolved_at IS NULL);


--
-- Name: discrepancies_open_stripe_transfer_id_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX discrepancies_open_stripe_transfer_id_idx ON payout.discrepancies USING btree (stripe_transfer_id) WHERE (resolved_at IS NULL);


--
-- Name: event_pages_created_until_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX event_pages_created_until_idx ON payout.event_pages USING btree (created_until) WHERE (NOT has_more);


--
-- Name: holds_scope_subject_open_key; Type: INDEX; Schema: payout; Owner: -
--

CREATE UNIQUE INDEX holds_scope_subject_open_key ON payout.holds USING btree (scope, subject) NULLS NOT DISTINCT WHERE (released_at IS NULL);


--
-- Name: ledger_entries_created_at_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX ledger_entries_created_at_idx ON payout.ledger_entries USING brin (created_at);


--
-- Name: ledger_entries_stripe_reversal_id_key; Type: INDEX; Schema: payout; Owner: -
--

CREATE UNIQUE INDEX ledger_entries_stripe_reversal_id_key ON payout.ledger_entries USING btree (stripe_reversal_id) WHERE (stripe_reversal_id IS NOT NULL);


--
-- Name: payee_accounts_payee_id_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX payee_accounts_payee_id_idx ON payout.payee_accounts USING btree (payee_id, payee_account_id DESC) INCLUDE (stripe_account_id);


--
-- Name: reconcile_runs_one_goes_on_key; Type: INDEX; Schema: payout; Owner: -
--

CREATE UNIQUE INDEX reconcile_runs_one_goes_on_key ON payout.reconcile_runs USING btree ((true)) WHERE ((finished_at IS NULL) AND (abandoned_at IS NULL));


--
-- Name: reversed_transfers_next_lookup_at_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX reversed_transfers_next_lookup_at_idx ON payout.reversed_transfers USING btree (next_lookup_at) WHERE (next_lookup_at IS NOT NULL);


--
-- Name: seal_subtotals_seal_id_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX seal_subtotals_seal_id_idx ON payout.seal_subtotals USING btree (seal_id);


--
-- Name: stripe_sightings_payout_ref_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX stripe_sightings_payout_ref_idx ON payout.stripe_sightings USING btree (payout_ref);


--
-- Name: transfer_lookups_payout_transfer_id_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX transfer_lookups_payout_transfer_id_idx ON payout.transfer_lookups USING btree (payout_transfer_id);


--
-- Name: transfer_observations_payout_transfer_id_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX transfer_observations_payout_transfer_id_idx ON payout.transfer_observations USING btree (payout_transfer_id, attempt);


--
-- Name: transfer_states_lease_until_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX transfer_states_lease_until_idx ON payout.transfer_states USING btree (lease_until) WHERE (lease_until IS NOT NULL);


--
-- Name: transfer_states_next_attempt_at_again_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX transfer_states_next_attempt_at_again_idx ON payout.transfer_states USING btree (next_attempt_at) WHERE ((next_attempt_at IS NOT NULL) AND ((state)::text = ANY (ARRAY['retry_wait'::text, 'unknown'::text, 'failed'::text])));


--
-- Name: transfer_states_next_attempt_at_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX transfer_states_next_attempt_at_idx ON payout.transfer_states USING btree (next_attempt_at) WHERE (next_attempt_at IS NOT NULL);


--
-- Name: transfer_states_next_lookup_at_idx; Type: INDEX; Schema: payout; Owner: -
--

CREATE INDEX transfer_states_next_lookup_at_idx ON payout.transfer_states USING btree (next_lookup_at) WHERE (next_lookup_at IS NOT NULL);


--
-- Name: payout_transfers _110_derive; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _110_derive BEFORE INSERT ON payout.payout_transfers FOR EACH ROW EXECUTE FUNCTION payout.tg_payout_transfers__derive();

ALTER TABLE payout.payout_transfers ENABLE ALWAYS TRIGGER _110_derive;


--
-- Name: transfer_states _110_plan_lookup; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _110_plan_lookup BEFORE UPDATE ON payout.transfer_states FOR EACH ROW WHEN ((((old.state)::text = 'parked'::text) <> ((new.state)::text = 'parked'::text))) EXECUTE FUNCTION payout.tg_transfer_states__plan_lookup();

ALTER TABLE payout.transfer_states ENABLE ALWAYS TRIGGER _110_plan_lookup;


--
-- Name: ledger_entries _500_check_movement; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_check_movement BEFORE INSERT ON payout.ledger_entries FOR EACH ROW EXECUTE FUNCTION payout.tg_ledger_entries__check_movement();

ALTER TABLE payout.ledger_entries ENABLE ALWAYS TRIGGER _500_check_movement;


--
-- Name: transfer_states _500_check_start; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_check_start BEFORE INSERT ON payout.transfer_states FOR EACH ROW EXECUTE FUNCTION payout.tg_transfer_states__check_start();

ALTER TABLE payout.transfer_states ENABLE ALWAYS TRIGGER _500_check_start;


--
-- Name: transfer_states _500_check_transition; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_check_transition BEFORE UPDATE ON payout.transfer_states FOR EACH ROW WHEN (((old.state)::text IS DISTINCT FROM (new.state)::text)) EXECUTE FUNCTION payout.tg_transfer_states__check_transition();

ALTER TABLE payout.transfer_states ENABLE ALWAYS TRIGGER _500_check_transition;


--
-- Name: currencies _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.currencies FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.currencies ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: epochs _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.epochs FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.epochs ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: event_pages _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.event_pages FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.event_pages ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: key_generations _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.key_generations FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.key_generations ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: ledger_accounts _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.ledger_accounts FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.ledger_accounts ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: ledger_entries _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.ledger_entries FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.ledger_entries ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: operator_actions _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.operator_actions FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.operator_actions ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: payee_accounts _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.payee_accounts FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.payee_accounts ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: payees _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.payees FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.payees ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: payout_jobs _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.payout_jobs FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.payout_jobs ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: payout_transfers _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.payout_transfers FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.payout_transfers ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: reconcile_pages _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.reconcile_pages FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.reconcile_pages ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: seal_subtotals _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.seal_subtotals FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.seal_subtotals ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: seals _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.seals FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.seals ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: state_edges _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.state_edges FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.state_edges ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: states _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.states FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.states ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: stripe_sightings _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.stripe_sightings FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.stripe_sightings ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: transfer_attempts _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.transfer_attempts FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.transfer_attempts ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: transfer_lookup_pages _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.transfer_lookup_pages FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.transfer_lookup_pages ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: transfer_lookups _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.transfer_lookups FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.transfer_lookups ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: transfer_observations _500_refuse_change; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_change BEFORE DELETE OR UPDATE ON payout.transfer_observations FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.transfer_observations ENABLE ALWAYS TRIGGER _500_refuse_change;


--
-- Name: discrepancies _500_refuse_delete; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_delete BEFORE DELETE ON payout.discrepancies FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.discrepancies ENABLE ALWAYS TRIGGER _500_refuse_delete;


--
-- Name: engine_settings _500_refuse_delete; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_delete BEFORE DELETE ON payout.engine_settings FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.engine_settings ENABLE ALWAYS TRIGGER _500_refuse_delete;


--
-- Name: holds _500_refuse_delete; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_delete BEFORE DELETE ON payout.holds FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.holds ENABLE ALWAYS TRIGGER _500_refuse_delete;


--
-- Name: reconcile_runs _500_refuse_delete; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_delete BEFORE DELETE ON payout.reconcile_runs FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.reconcile_runs ENABLE ALWAYS TRIGGER _500_refuse_delete;


--
-- Name: reversed_transfers _500_refuse_delete; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_delete BEFORE DELETE ON payout.reversed_transfers FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.reversed_transfers ENABLE ALWAYS TRIGGER _500_refuse_delete;


--
-- Name: seal_marks _500_refuse_delete; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_delete BEFORE DELETE ON payout.seal_marks FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.seal_marks ENABLE ALWAYS TRIGGER _500_refuse_delete;


--
-- Name: transfer_states _500_refuse_delete; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_delete BEFORE DELETE ON payout.transfer_states FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.transfer_states ENABLE ALWAYS TRIGGER _500_refuse_delete;


--
-- Name: settlements _500_refuse_frozen; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_frozen BEFORE DELETE OR UPDATE ON payout.settlements FOR EACH ROW EXECUTE FUNCTION payout.tg_settlements__refuse_frozen();

ALTER TABLE payout.settlements ENABLE ALWAYS TRIGGER _500_refuse_frozen;


--
-- Name: currencies _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.currencies FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.currencies ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: discrepancies _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.discrepancies FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.discrepancies ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: engine_settings _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.engine_settings FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.engine_settings ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: epochs _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.epochs FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.epochs ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: event_pages _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.event_pages FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.event_pages ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: holds _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.holds FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.holds ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: key_generations _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.key_generations FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.key_generations ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: ledger_accounts _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.ledger_accounts FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.ledger_accounts ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: ledger_entries _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.ledger_entries FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.ledger_entries ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: lines_ahead _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.lines_ahead FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.lines_ahead ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: operator_actions _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.operator_actions FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.operator_actions ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: payee_accounts _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.payee_accounts FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.payee_accounts ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: payees _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.payees FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.payees ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: payout_jobs _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.payout_jobs FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.payout_jobs ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: payout_transfers _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.payout_transfers FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.payout_transfers ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: reconcile_pages _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.reconcile_pages FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.reconcile_pages ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: reconcile_runs _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.reconcile_runs FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.reconcile_runs ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: reversed_transfers _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.reversed_transfers FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.reversed_transfers ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: seal_marks _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.seal_marks FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.seal_marks ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: seal_subtotals _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.seal_subtotals FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.seal_subtotals ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: seals _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.seals FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.seals ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: settlement_lines _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.settlement_lines FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.settlement_lines ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: settlements _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.settlements FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.settlements ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: state_edges _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.state_edges FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.state_edges ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: states _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.states FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.states ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: stripe_error_rules _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.stripe_error_rules FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.stripe_error_rules ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: stripe_sightings _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.stripe_sightings FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.stripe_sightings ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: transfer_attempts _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.transfer_attempts FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.transfer_attempts ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: transfer_lookup_pages _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.transfer_lookup_pages FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.transfer_lookup_pages ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: transfer_lookups _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.transfer_lookups FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.transfer_lookups ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: transfer_observations _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.transfer_observations FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.transfer_observations ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: transfer_states _500_refuse_truncate; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_refuse_truncate BEFORE TRUNCATE ON payout.transfer_states FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change();

ALTER TABLE payout.transfer_states ENABLE ALWAYS TRIGGER _500_refuse_truncate;


--
-- Name: holds _500_release_once; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _500_release_once BEFORE UPDATE ON payout.holds FOR EACH ROW EXECUTE FUNCTION payout.tg_holds__release_once();

ALTER TABLE payout.holds ENABLE ALWAYS TRIGGER _500_release_once;


--
-- Name: transfer_states _511_check_progress; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _511_check_progress BEFORE UPDATE ON payout.transfer_states FOR EACH ROW EXECUTE FUNCTION payout.tg_transfer_states__check_progress();

ALTER TABLE payout.transfer_states ENABLE ALWAYS TRIGGER _511_check_progress;


--
-- Name: lines_ahead _900_check_settlement; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE CONSTRAINT TRIGGER _900_check_settlement AFTER INSERT ON payout.lines_ahead DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION payout.tg_lines_ahead__check_settlement();


--
-- Name: settlement_lines _900_refuse_frozen_insert; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _900_refuse_frozen_insert AFTER INSERT ON payout.settlement_lines REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION payout.tg_settlement_lines__refuse_frozen();


--
-- Name: settlements _900_schedule_payout_job; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE CONSTRAINT TRIGGER _900_schedule_payout_job AFTER INSERT OR UPDATE ON payout.settlements DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((NOT new.is_scheduled_by_call)) EXECUTE FUNCTION payout.tg_settlements__schedule_payout_job();


--
-- Name: settlement_lines _901_refuse_frozen_update_from; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _901_refuse_frozen_update_from AFTER UPDATE ON payout.settlement_lines REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION payout.tg_settlement_lines__refuse_frozen();

ALTER TABLE payout.settlement_lines ENABLE ALWAYS TRIGGER _901_refuse_frozen_update_from;


--
-- Name: settlement_lines _902_refuse_frozen_update_to; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _902_refuse_frozen_update_to AFTER UPDATE ON payout.settlement_lines REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION payout.tg_settlement_lines__refuse_frozen();

ALTER TABLE payout.settlement_lines ENABLE ALWAYS TRIGGER _902_refuse_frozen_update_to;


--
-- Name: settlement_lines _903_refuse_frozen_delete; Type: TRIGGER; Schema: payout; Owner: -
--

CREATE TRIGGER _903_refuse_frozen_delete AFTER DELETE ON payout.settlement_lines REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION payout.tg_settlement_lines__refuse_frozen();

ALTER TABLE payout.settlement_lines ENABLE ALWAYS TRIGGER _903_refuse_frozen_delete;


--
-- Name: discrepancies discrepancies_payout_transfer_id_fkey; Type: FK CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.discrepancies
    ADD CONSTRAINT discrepancies_payout_transfer_id_fkey FOREIGN KEY (payout_transfer_id) REFERENCES payout.payout_transfers(payout_transfer_id);


--
-- Name: key_generations key_generations_evidence_observation_id_fkey; Type: FK CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.key_generations
    ADD CONSTRAINT key_generations_evidence_observation_id_fkey FOREIGN KEY (evidence_observation_id) REFERENCES payout.transfer_observations(observation_id);


--
-- Name: key_generations key_generations_payout_transfer_id_fkey; Type: FK CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.key_generations
    ADD CONSTRAINT key_generations_payout_transfer_id_fkey FOREIGN KEY (payout_transfer_id) REFERENCES payout.payout_transfers(payout_transfer_id);


--
-- Name: key_generations key_generations_second_evidence_observation_id_fkey; Type: FK CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.key_generations
    ADD CONSTRAINT key_generations_second_evidence_observation_id_fkey FOREIGN KEY (second_evidence_observation_id) REFERENCES payout.transfer_observations(observation_id);


--
-- Name: payee_accounts payee_accounts_payee_id_fkey; Type: FK CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.payee_accounts
    ADD CONSTRAINT payee_accounts_payee_id_fkey FOREIGN KEY (payee_id) REFERENCES payout.payees(payee_id);


--
-- Name: seal_subtotals seal_subtotals_seal_id_fkey; Type: FK CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.seal_subtotals
    ADD CONSTRAINT seal_subtotals_seal_id_fkey FOREIGN KEY (seal_id) REFERENCES payout.seals(seal_id);


--
-- Name: state_edges state_edges_from_state_fkey; Type: FK CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.state_edges
    ADD CONSTRAINT state_edges_from_state_fkey FOREIGN KEY (from_state) REFERENCES payout.states(state);


--
-- Name: state_edges state_edges_to_state_fkey; Type: FK CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.state_edges
    ADD CONSTRAINT state_edges_to_state_fkey FOREIGN KEY (to_state) REFERENCES payout.states(state);


--
-- Name: transfer_attempts transfer_attempts_payout_transfer_id_fkey; Type: FK CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.transfer_attempts
    ADD CONSTRAINT transfer_attempts_payout_transfer_id_fkey FOREIGN KEY (payout_transfer_id) REFERENCES payout.payout_transfers(payout_transfer_id);


--
-- Name: transfer_lookup_pages transfer_lookup_pages_lookup_id_fkey; Type: FK CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.transfer_lookup_pages
    ADD CONSTRAINT transfer_lookup_pages_lookup_id_fkey FOREIGN KEY (lookup_id) REFERENCES payout.transfer_lookups(lookup_id);


--
-- Name: transfer_lookups transfer_lookups_payout_transfer_id_fkey; Type: FK CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.transfer_lookups
    ADD CONSTRAINT transfer_lookups_payout_transfer_id_fkey FOREIGN KEY (payout_transfer_id) REFERENCES payout.payout_transfers(payout_transfer_id);


--
-- Name: transfer_observations transfer_observations_payout_transfer_id_fkey; Type: FK CONSTRAINT; Schema: payout; Owner: -
--

ALTER TABLE ONLY payout.transfer_observations
    ADD CONSTRAINT transfer_observations_payout_transfer_id_fkey FOREIGN KEY (payout_transfer_id) REFERENCES payout.payout_transfers(payout_transfer_id);


--
-- Name: SCHEMA payout; Type: ACL; Schema: -; Owner: -
--

GRANT USAGE ON SCHEMA payout TO payout_app;
GRANT USAGE ON SCHEMA payout TO payout_operator;
GRANT USAGE ON SCHEMA payout TO payout_auditor;


--
-- Name: SCHEMA payout_api; Type: ACL; Schema: -; Owner: -
--

GRANT USAGE ON SCHEMA payout_api TO payout_app;
GRANT USAGE ON SCHEMA payout_api TO payout_worker;
GRANT USAGE ON SCHEMA payout_api TO payout_operator;
GRANT USAGE ON SCHEMA payout_api TO payout_auditor;


--
-- Name: FUNCTION id_fits(p_id text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.id_fits(p_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION payout.id_fits(p_id text) TO payout_app;


--
-- Name: FUNCTION absence_counts_from(p_payout_transfer_id bigint); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.absence_counts_from(p_payout_transfer_id bigint) FROM PUBLIC;


--
-- Name: TABLE transfer_lookups; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.transfer_lookups TO payout_operator;
GRANT SELECT ON TABLE payout.transfer_lookups TO payout_auditor;


--
-- Name: FUNCTION add_lookup_page(p_lookup payout.transfer_lookups, p_query_number integer, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.add_lookup_page(p_lookup payout.transfer_lookups, p_query_number integer, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean) FROM PUBLIC;


--
-- Name: FUNCTION where_we_are(OUT system_identifier bigint, OUT timeline_id integer, OUT database_oid oid, OUT table_oid oid); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.where_we_are(OUT system_identifier bigint, OUT timeline_id integer, OUT database_oid oid, OUT table_oid oid) FROM PUBLIC;


--
-- Name: TABLE reconcile_runs; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.reconcile_runs TO payout_operator;
GRANT SELECT ON TABLE payout.reconcile_runs TO payout_auditor;


--
-- Name: FUNCTION add_reconcile_page(p_run payout.reconcile_runs, p_starting_after text, p_transfers jsonb, p_has_more boolean); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.add_reconcile_page(p_run payout.reconcile_runs, p_starting_after text, p_transfers jsonb, p_has_more boolean) FROM PUBLIC;


--
-- Name: TABLE seals; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.seals TO payout_operator;
GRANT SELECT ON TABLE payout.seals TO payout_auditor;


--
-- Name: FUNCTION add_seal(p_table_name text, p_up_to_id bigint, p_limit integer, p_now timestamp with time zone); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.add_seal(p_table_name text, p_up_to_id bigint, p_limit integer, p_now timestamp with time zone) FROM PUBLIC;


--
-- Name: FUNCTION adopt_seen(p_payout_transfer_ids bigint[]); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.adopt_seen(p_payout_transfer_ids bigint[]) FROM PUBLIC;


--
-- Name: FUNCTION adopt_sightings(p_stripe_transfer_ids text[]); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.adopt_sightings(p_stripe_transfer_ids text[]) FROM PUBLIC;


--
-- Name: FUNCTION answer_doorbells(p_doorbell_ids bigint[]); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.answer_doorbells(p_doorbell_ids bigint[]) FROM PUBLIC;


--
-- Name: TABLE payout_transfers; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.payout_transfers TO payout_operator;
GRANT SELECT ON TABLE payout.payout_transfers TO payout_auditor;


--
-- Name: FUNCTION answers_request(p_outcome payout.outcome, p_transfer payout.payout_transfers); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.answers_request(p_outcome payout.outcome, p_transfer payout.payout_transfers) FROM PUBLIC;


--
-- Name: TABLE stripe_error_rules; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.stripe_error_rules TO payout_operator;
GRANT SELECT ON TABLE payout.stripe_error_rules TO payout_auditor;


--
-- Name: FUNCTION backoff(p_rule payout.stripe_error_rules, p_tries integer); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.backoff(p_rule payout.stripe_error_rules, p_tries integer) FROM PUBLIC;


--
-- Name: FUNCTION book_reversals(p_transfer payout.payout_transfers, p_reversals jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.book_reversals(p_transfer payout.payout_transfers, p_reversals jsonb) FROM PUBLIC;


--
-- Name: FUNCTION booked_places(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.booked_places() FROM PUBLIC;


--
-- Name: FUNCTION call_person(p_reason text, p_subject text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.call_person(p_reason text, p_subject text) FROM PUBLIC;


--
-- Name: FUNCTION check_books(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.check_books() FROM PUBLIC;


--
-- Name: FUNCTION check_gate(p_stripe_account_id text, p_is_livemode boolean); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.check_gate(p_stripe_account_id text, p_is_livemode boolean) FROM PUBLIC;


--
-- Name: FUNCTION check_guards(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.check_guards() FROM PUBLIC;


--
-- Name: FUNCTION check_lines_of(p_settlement_ids text[], p_are_new boolean); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.check_lines_of(p_settlement_ids text[], p_are_new boolean) FROM PUBLIC;


--
-- Name: FUNCTION check_queue(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.check_queue() FROM PUBLIC;


--
-- Name: FUNCTION check_references(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.check_references() FROM PUBLIC;


--
-- Name: FUNCTION check_rights(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.check_rights() FROM PUBLIC;


--
-- Name: FUNCTION check_rules(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.check_rules() FROM PUBLIC;


--
-- Name: FUNCTION check_seal(p_seal payout.seals); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.check_seal(p_seal payout.seals) FROM PUBLIC;


--
-- Name: FUNCTION check_seal_chain(p_seal payout.seals); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.check_seal_chain(p_seal payout.seals) FROM PUBLIC;


--
-- Name: FUNCTION check_seal_rows(p_seal payout.seals); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.check_seal_rows(p_seal payout.seals) FROM PUBLIC;


--
-- Name: FUNCTION check_seals(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.check_seals() FROM PUBLIC;


--
-- Name: FUNCTION check_server(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.check_server() FROM PUBLIC;


--
-- Name: FUNCTION check_settlements(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.check_settlements() FROM PUBLIC;


--
-- Name: FUNCTION clear_lost_doorbells(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.clear_lost_doorbells() FROM PUBLIC;


--
-- Name: FUNCTION clock(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.clock() FROM PUBLIC;


--
-- Name: FUNCTION close_reversal_lookup(p_transfer payout.payout_transfers, p_stripe_transfer_id text, p_problem text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.close_reversal_lookup(p_transfer payout.payout_transfers, p_stripe_transfer_id text, p_problem text) FROM PUBLIC;


--
-- Name: TABLE stripe_sightings; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.stripe_sightings TO payout_operator;
GRANT SELECT ON TABLE payout.stripe_sightings TO payout_auditor;


--
-- Name: FUNCTION compare_sightings(p_seen payout.stripe_sightings[]); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.compare_sightings(p_seen payout.stripe_sightings[]) FROM PUBLIC;


--
-- Name: TABLE settlements; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.settlements TO payout_app;
GRANT SELECT ON TABLE payout.settlements TO payout_operator;
GRANT SELECT ON TABLE payout.settlements TO payout_auditor;


--
-- Name: COLUMN settlements.settlement_id; Type: ACL; Schema: payout; Owner: -
--

GRANT INSERT(settlement_id) ON TABLE payout.settlements TO payout_app;


--
-- Name: COLUMN settlements.currency; Type: ACL; Schema: payout; Owner: -
--

GRANT INSERT(currency),UPDATE(currency) ON TABLE payout.settlements TO payout_app;


--
-- Name: COLUMN settlements.total_minor; Type: ACL; Schema: payout; Owner: -
--

GRANT INSERT(total_minor),UPDATE(total_minor) ON TABLE payout.settlements TO payout_app;


--
-- Name: COLUMN settlements.state; Type: ACL; Schema: payout; Owner: -
--

GRANT INSERT(state),UPDATE(state) ON TABLE payout.settlements TO payout_app;


--
-- Name: COLUMN settlements.pay_after; Type: ACL; Schema: payout; Owner: -
--

GRANT INSERT(pay_after),UPDATE(pay_after) ON TABLE payout.settlements TO payout_app;


--
-- Name: COLUMN settlements.metadata; Type: ACL; Schema: payout; Owner: -
--

GRANT INSERT(metadata),UPDATE(metadata) ON TABLE payout.settlements TO payout_app;


--
-- Name: FUNCTION create_payout_job(p_settlement payout.settlements); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.create_payout_job(p_settlement payout.settlements) FROM PUBLIC;


--
-- Name: TABLE settlement_lines; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT,DELETE ON TABLE payout.settlement_lines TO payout_app;
GRANT SELECT ON TABLE payout.settlement_lines TO payout_operator;
GRANT SELECT ON TABLE payout.settlement_lines TO payout_auditor;


--
-- Name: COLUMN settlement_lines.settlement_id; Type: ACL; Schema: payout; Owner: -
--

GRANT INSERT(settlement_id) ON TABLE payout.settlement_lines TO payout_app;


--
-- Name: COLUMN settlement_lines.line_id; Type: ACL; Schema: payout; Owner: -
--

GRANT INSERT(line_id) ON TABLE payout.settlement_lines TO payout_app;


--
-- Name: COLUMN settlement_lines.payee_id; Type: ACL; Schema: payout; Owner: -
--

GRANT INSERT(payee_id),UPDATE(payee_id) ON TABLE payout.settlement_lines TO payout_app;


--
-- Name: COLUMN settlement_lines.amount_minor; Type: ACL; Schema: payout; Owner: -
--

GRANT INSERT(amount_minor),UPDATE(amount_minor) ON TABLE payout.settlement_lines TO payout_app;


--
-- Name: COLUMN settlement_lines.source_transaction; Type: ACL; Schema: payout; Owner: -
--

GRANT INSERT(source_transaction),UPDATE(source_transaction) ON TABLE payout.settlement_lines TO payout_app;


--
-- Name: FUNCTION create_single_payout(p_settlement payout.settlements, p_line payout.settlement_lines); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.create_single_payout(p_settlement payout.settlements, p_line payout.settlement_lines) FROM PUBLIC;


--
-- Name: FUNCTION create_transfers(p_settlement payout.settlements, p_payout_job_id bigint); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.create_transfers(p_settlement payout.settlements, p_payout_job_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION defer_job(p_payout_job_id bigint, p_times integer); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.defer_job(p_payout_job_id bigint, p_times integer) FROM PUBLIC;


--
-- Name: FUNCTION events_page_problem(p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.events_page_problem(p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean) FROM PUBLIC;


--
-- Name: FUNCTION events_read_until(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.events_read_until() FROM PUBLIC;


--
-- Name: FUNCTION expected_rights(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.expected_rights() FROM PUBLIC;


--
-- Name: FUNCTION expire_leases(p_now timestamp with time zone, p_limit integer); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.expire_leases(p_now timestamp with time zone, p_limit integer) FROM PUBLIC;


--
-- Name: FUNCTION find_missing(p_run payout.reconcile_runs); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.find_missing(p_run payout.reconcile_runs) FROM PUBLIC;


--
-- Name: FUNCTION finding_advice(p_kind text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.finding_advice(p_kind text) FROM PUBLIC;


--
-- Name: TABLE transfer_states; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.transfer_states TO payout_operator;
GRANT SELECT ON TABLE payout.transfer_states TO payout_auditor;


--
-- Name: FUNCTION finish_lookup(p_lookup payout.transfer_lookups, p_state payout.transfer_states); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.finish_lookup(p_lookup payout.transfer_lookups, p_state payout.transfer_states) FROM PUBLIC;


--
-- Name: FUNCTION first_absence(p_lookup payout.transfer_lookups); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.first_absence(p_lookup payout.transfer_lookups) FROM PUBLIC;


--
-- Name: FUNCTION fold_facts(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.fold_facts() FROM PUBLIC;


--
-- Name: FUNCTION gate_problem(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.gate_problem() FROM PUBLIC;


--
-- Name: FUNCTION given_rights(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.given_rights() FROM PUBLIC;


--
-- Name: FUNCTION has_queue(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.has_queue() FROM PUBLIC;


--
-- Name: FUNCTION hear_doorbell(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.hear_doorbell() FROM PUBLIC;


--
-- Name: FUNCTION held_subjects(p_scope text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.held_subjects(p_scope text) FROM PUBLIC;


--
-- Name: TABLE transfer_attempts; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.transfer_attempts TO payout_operator;
GRANT SELECT ON TABLE payout.transfer_attempts TO payout_auditor;


--
-- Name: FUNCTION is_definite(p_attempt payout.transfer_attempts); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.is_definite(p_attempt payout.transfer_attempts) FROM PUBLIC;


--
-- Name: FUNCTION is_explained(p_finding payout.finding); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.is_explained(p_finding payout.finding) FROM PUBLIC;


--
-- Name: FUNCTION is_only_send(p_state payout.transfer_states); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.is_only_send(p_state payout.transfer_states) FROM PUBLIC;


--
-- Name: TABLE engine_settings; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.engine_settings TO payout_operator;
GRANT SELECT ON TABLE payout.engine_settings TO payout_auditor;


--
-- Name: FUNCTION judge_absence(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.judge_absence(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) FROM PUBLIC;


--
-- Name: FUNCTION judge_decline(p_judgement payout.judgement, p_rule payout.stripe_error_rules, p_state payout.transfer_states, p_settings payout.engine_settings); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.judge_decline(p_judgement payout.judgement, p_rule payout.stripe_error_rules, p_state payout.transfer_states, p_settings payout.engine_settings) FROM PUBLIC;


--
-- Name: FUNCTION judge_failure(p_outcome payout.outcome, p_state payout.transfer_states, p_settings payout.engine_settings); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.judge_failure(p_outcome payout.outcome, p_state payout.transfer_states, p_settings payout.engine_settings) FROM PUBLIC;


--
-- Name: FUNCTION judge_lookup(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.judge_lookup(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) FROM PUBLIC;


--
-- Name: FUNCTION judge_outcome(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.judge_outcome(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) FROM PUBLIC;


--
-- Name: FUNCTION judge_success(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.judge_success(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) FROM PUBLIC;


--
-- Name: FUNCTION keep_sightings(p_seen payout.stripe_sightings[]); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.keep_sightings(p_seen payout.stripe_sightings[]) FROM PUBLIC;


--
-- Name: FUNCTION list_problem(p_objects jsonb, p_id_pattern text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.list_problem(p_objects jsonb, p_id_pattern text) FROM PUBLIC;


--
-- Name: FUNCTION lock_due_transfers(p_now timestamp with time zone, p_first_sent_after timestamp with time zone, p_limit integer, p_payout_job_id bigint); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.lock_due_transfers(p_now timestamp with time zone, p_first_sent_after timestamp with time zone, p_limit integer, p_payout_job_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION lookup_outcome(p_lookup payout.transfer_lookups, p_state payout.transfer_states); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.lookup_outcome(p_lookup payout.transfer_lookups, p_state payout.transfer_states) FROM PUBLIC;


--
-- Name: FUNCTION lookup_queries(p_transfer payout.payout_transfers); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.lookup_queries(p_transfer payout.payout_transfers) FROM PUBLIC;


--
-- Name: FUNCTION match_error_rule(p_outcome payout.outcome); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.match_error_rule(p_outcome payout.outcome) FROM PUBLIC;


--
-- Name: FUNCTION match_facts(p_transfer jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.match_facts(p_transfer jsonb) FROM PUBLIC;


--
-- Name: FUNCTION metadata_problem(p_metadata jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.metadata_problem(p_metadata jsonb) FROM PUBLIC;


--
-- Name: FUNCTION name_stripe_account(p_stripe_account_id text, p_is_livemode boolean); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.name_stripe_account(p_stripe_account_id text, p_is_livemode boolean) FROM PUBLIC;


--
-- Name: FUNCTION newest_facts(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.newest_facts() FROM PUBLIC;


--
-- Name: FUNCTION newest_row_id(p_table_name text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.newest_row_id(p_table_name text) FROM PUBLIC;


--
-- Name: FUNCTION note_first_claim(p_payout_transfer_ids bigint[]); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.note_first_claim(p_payout_transfer_ids bigint[]) FROM PUBLIC;


--
-- Name: FUNCTION note_reversals(p_seen payout.stripe_sightings[]); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.note_reversals(p_seen payout.stripe_sightings[]) FROM PUBLIC;


--
-- Name: FUNCTION other_attempts_drain_at(p_state payout.transfer_states); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.other_attempts_drain_at(p_state payout.transfer_states) FROM PUBLIC;


--
-- Name: FUNCTION owed_transfers(p_settlement payout.settlements); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.owed_transfers(p_settlement payout.settlements) FROM PUBLIC;


--
-- Name: FUNCTION page_problem(p_last_id text, p_had_more boolean, p_starting_after text, p_items jsonb, p_has_more boolean); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.page_problem(p_last_id text, p_had_more boolean, p_starting_after text, p_items jsonb, p_has_more boolean) FROM PUBLIC;


--
-- Name: FUNCTION park_expired_keys(p_now timestamp with time zone, p_limit integer); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.park_expired_keys(p_now timestamp with time zone, p_limit integer) FROM PUBLIC;


--
-- Name: FUNCTION park_seen(p_payout_transfer_ids bigint[]); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.park_seen(p_payout_transfer_ids bigint[]) FROM PUBLIC;


--
-- Name: FUNCTION payout_ref(p_settlement_id text, p_payee_id text, p_source_transaction text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.payout_ref(p_settlement_id text, p_payee_id text, p_source_transaction text) FROM PUBLIC;


--
-- Name: FUNCTION place_hold(p_scope text, p_subject text, p_reason text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.place_hold(p_scope text, p_subject text, p_reason text) FROM PUBLIC;


--
-- Name: FUNCTION progress_problem(p_state payout.transfer_states); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.progress_problem(p_state payout.transfer_states) FROM PUBLIC;


--
-- Name: FUNCTION proof_of_absence(p_state payout.transfer_states); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.proof_of_absence(p_state payout.transfer_states) FROM PUBLIC;


--
-- Name: FUNCTION raise_alarm(p_outcome payout.outcome, p_judgement payout.judgement); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.raise_alarm(p_outcome payout.outcome, p_judgement payout.judgement) FROM PUBLIC;


--
-- Name: FUNCTION read_lines(p_settlement_id payout.external_id, p_lines jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.read_lines(p_settlement_id payout.external_id, p_lines jsonb) FROM PUBLIC;


--
-- Name: FUNCTION read_outcomes(p_outcomes jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.read_outcomes(p_outcomes jsonb) FROM PUBLIC;


--
-- Name: FUNCTION read_sightings(p_reconcile_run_id bigint, p_transfers jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.read_sightings(p_reconcile_run_id bigint, p_transfers jsonb) FROM PUBLIC;


--
-- Name: FUNCTION reconcile_page_problem(p_run payout.reconcile_runs, p_starting_after text, p_transfers jsonb, p_has_more boolean); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.reconcile_page_problem(p_run payout.reconcile_runs, p_starting_after text, p_transfers jsonb, p_has_more boolean) FROM PUBLIC;


--
-- Name: FUNCTION reconcile_query(p_run payout.reconcile_runs); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.reconcile_query(p_run payout.reconcile_runs) FROM PUBLIC;


--
-- Name: FUNCTION record_findings(p_findings payout.finding[], p_reconcile_run_id bigint); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.record_findings(p_findings payout.finding[], p_reconcile_run_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION record_outcomes(p_outcomes payout.outcome[]); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.record_outcomes(p_outcomes payout.outcome[]) FROM PUBLIC;


--
-- Name: FUNCTION record_unknown_transfers(p_outcomes payout.outcome[]); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.record_unknown_transfers(p_outcomes payout.outcome[]) FROM PUBLIC;


--
-- Name: FUNCTION refuse_bad_amounts(p_settlement_id text, p_currency text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_bad_amounts(p_settlement_id text, p_currency text) FROM PUBLIC;


--
-- Name: FUNCTION refuse_bad_header(p_settlement payout.settlements); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_bad_header(p_settlement payout.settlements) FROM PUBLIC;


--
-- Name: FUNCTION refuse_bad_lines(p_lines jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_bad_lines(p_lines jsonb) FROM PUBLIC;


--
-- Name: FUNCTION refuse_bad_payees(p_settlement_id text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_bad_payees(p_settlement_id text) FROM PUBLIC;


--
-- Name: FUNCTION refuse_bad_row(p_table text, p_rule text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_bad_row(p_table text, p_rule text) FROM PUBLIC;


--
-- Name: FUNCTION refuse_bad_settlement(p_settlement payout.settlements, p_made_minor bigint); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_bad_settlement(p_settlement payout.settlements, p_made_minor bigint) FROM PUBLIC;


--
-- Name: FUNCTION refuse_bad_total(p_settlement payout.settlements); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_bad_total(p_settlement payout.settlements) FROM PUBLIC;


--
-- Name: FUNCTION refuse_closed_gate(p_stripe_account_id text, p_is_livemode boolean); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_closed_gate(p_stripe_account_id text, p_is_livemode boolean) FROM PUBLIC;


--
-- Name: FUNCTION refuse_late_lines(p_settlement_id text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_late_lines(p_settlement_id text) FROM PUBLIC;


--
-- Name: FUNCTION refuse_list(p_what text, p_problem text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_list(p_what text, p_problem text) FROM PUBLIC;


--
-- Name: FUNCTION refuse_lookup_page(p_lookup_id bigint, p_problem text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_lookup_page(p_lookup_id bigint, p_problem text) FROM PUBLIC;


--
-- Name: FUNCTION refuse_other_query(p_what text, p_query jsonb, p_asked jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_other_query(p_what text, p_query jsonb, p_asked jsonb) FROM PUBLIC;


--
-- Name: FUNCTION refuse_other_stripe_account(p_stripe_account_id text, p_is_livemode boolean); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_other_stripe_account(p_stripe_account_id text, p_is_livemode boolean) FROM PUBLIC;


--
-- Name: FUNCTION refuse_unsafe_account_change(p_old payout.engine_settings, p_is_livemode boolean); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_unsafe_account_change(p_old payout.engine_settings, p_is_livemode boolean) FROM PUBLIC;


--
-- Name: FUNCTION refuse_unsafe_server(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.refuse_unsafe_server() FROM PUBLIC;


--
-- Name: FUNCTION remaining_facts(p_outcome payout.outcome); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.remaining_facts(p_outcome payout.outcome) FROM PUBLIC;


--
-- Name: FUNCTION reopen_failed(p_now timestamp with time zone, p_limit integer); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.reopen_failed(p_now timestamp with time zone, p_limit integer) FROM PUBLIC;


--
-- Name: FUNCTION request_sha256(p_request jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.request_sha256(p_request jsonb) FROM PUBLIC;


--
-- Name: FUNCTION resolve_adopted(p_stripe_transfer_ids text[]); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.resolve_adopted(p_stripe_transfer_ids text[]) FROM PUBLIC;


--
-- Name: FUNCTION resolve_findings(p_reconcile_run_id bigint); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.resolve_findings(p_reconcile_run_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION reversal_list_problem(p_stripe_transfer_id text, p_reversals jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.reversal_list_problem(p_stripe_transfer_id text, p_reversals jsonb) FROM PUBLIC;


--
-- Name: FUNCTION reversals_finding(p_transfer payout.payout_transfers, p_stripe_transfer_id text, p_problem text, p_reversals jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.reversals_finding(p_transfer payout.payout_transfers, p_stripe_transfer_id text, p_problem text, p_reversals jsonb) FROM PUBLIC;


--
-- Name: FUNCTION reversals_problem(p_transfer payout.payout_transfers, p_reversals jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.reversals_problem(p_transfer payout.payout_transfers, p_reversals jsonb) FROM PUBLIC;


--
-- Name: FUNCTION ring_doorbells(p_now timestamp with time zone, p_limit integer); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.ring_doorbells(p_now timestamp with time zone, p_limit integer) FROM PUBLIC;


--
-- Name: FUNCTION ring_for_job(p_payout_job_id bigint, p_transfers integer, p_pay_after timestamp with time zone); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.ring_for_job(p_payout_job_id bigint, p_transfers integer, p_pay_after timestamp with time zone) FROM PUBLIC;


--
-- Name: FUNCTION row_sha256(p_columns jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.row_sha256(p_columns jsonb) FROM PUBLIC;


--
-- Name: FUNCTION runs_of_this_place(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.runs_of_this_place() FROM PUBLIC;


--
-- Name: FUNCTION saved_decline(p_state payout.transfer_states); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.saved_decline(p_state payout.transfer_states) FROM PUBLIC;


--
-- Name: FUNCTION schedule_payout_job(p_settlement_id text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.schedule_payout_job(p_settlement_id text) FROM PUBLIC;


--
-- Name: FUNCTION seal_sha256(p_seal payout.seals); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.seal_sha256(p_seal payout.seals) FROM PUBLIC;


--
-- Name: TABLE seal_marks; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.seal_marks TO payout_operator;
GRANT SELECT ON TABLE payout.seal_marks TO payout_auditor;


--
-- Name: FUNCTION seal_up_to_mark(p_mark payout.seal_marks, p_now timestamp with time zone, p_limit integer); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.seal_up_to_mark(p_mark payout.seal_marks, p_now timestamp with time zone, p_limit integer) FROM PUBLIC;


--
-- Name: FUNCTION sealed_rows_v1(p_table_name text, p_first_id bigint, p_last_id bigint, p_limit integer); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.sealed_rows_v1(p_table_name text, p_first_id bigint, p_last_id bigint, p_limit integer) FROM PUBLIC;


--
-- Name: FUNCTION see_doorbell(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.see_doorbell() FROM PUBLIC;


--
-- Name: FUNCTION settlement_difference(p_settlement payout.settlements, p_currency text, p_lines jsonb, p_pay_after timestamp with time zone, p_metadata jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.settlement_difference(p_settlement payout.settlements, p_currency text, p_lines jsonb, p_pay_after timestamp with time zone, p_metadata jsonb) FROM PUBLIC;


--
-- Name: FUNCTION sighting_outcome(p_sighting payout.stripe_sightings, p_state payout.transfer_states); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.sighting_outcome(p_sighting payout.stripe_sightings, p_state payout.transfer_states) FROM PUBLIC;


--
-- Name: FUNCTION start_run(p_worker text); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.start_run(p_worker text) FROM PUBLIC;


--
-- Name: FUNCTION subtotals_at(p_seal_id bigint); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.subtotals_at(p_seal_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION subtotals_of(p_seal payout.seals); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.subtotals_of(p_seal payout.seals) FROM PUBLIC;


--
-- Name: FUNCTION take_events(p_events jsonb); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.take_events(p_events jsonb) FROM PUBLIC;


--
-- Name: FUNCTION take_sightings(p_seen payout.stripe_sightings[], p_reconcile_run_id bigint); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.take_sightings(p_seen payout.stripe_sightings[], p_reconcile_run_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION tg__refuse_change(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.tg__refuse_change() FROM PUBLIC;


--
-- Name: FUNCTION tg_holds__release_once(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.tg_holds__release_once() FROM PUBLIC;


--
-- Name: FUNCTION tg_ledger_entries__check_movement(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.tg_ledger_entries__check_movement() FROM PUBLIC;


--
-- Name: FUNCTION tg_lines_ahead__check_settlement(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.tg_lines_ahead__check_settlement() FROM PUBLIC;


--
-- Name: FUNCTION tg_payout_transfers__derive(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.tg_payout_transfers__derive() FROM PUBLIC;


--
-- Name: FUNCTION tg_settlement_lines__refuse_frozen(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.tg_settlement_lines__refuse_frozen() FROM PUBLIC;


--
-- Name: FUNCTION tg_settlements__refuse_frozen(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.tg_settlements__refuse_frozen() FROM PUBLIC;


--
-- Name: FUNCTION tg_settlements__schedule_payout_job(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.tg_settlements__schedule_payout_job() FROM PUBLIC;


--
-- Name: FUNCTION tg_transfer_states__check_progress(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.tg_transfer_states__check_progress() FROM PUBLIC;


--
-- Name: FUNCTION tg_transfer_states__check_start(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.tg_transfer_states__check_start() FROM PUBLIC;


--
-- Name: FUNCTION tg_transfer_states__check_transition(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.tg_transfer_states__check_transition() FROM PUBLIC;


--
-- Name: FUNCTION tg_transfer_states__plan_lookup(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.tg_transfer_states__plan_lookup() FROM PUBLIC;


--
-- Name: FUNCTION transfer_facts(p_transfer payout.payout_transfers, p_is_livemode boolean); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.transfer_facts(p_transfer payout.payout_transfers, p_is_livemode boolean) FROM PUBLIC;


--
-- Name: FUNCTION unjudged_sightings(); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.unjudged_sightings() FROM PUBLIC;


--
-- Name: FUNCTION was_seen_at_stripe(p_payout_transfer_id bigint); Type: ACL; Schema: payout; Owner: -
--

REVOKE ALL ON FUNCTION payout.was_seen_at_stripe(p_payout_transfer_id bigint) FROM PUBLIC;


--
-- Name: FUNCTION approve_absence(p_payout_transfer_id bigint, p_reason text); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.approve_absence(p_payout_transfer_id bigint, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.approve_absence(p_payout_transfer_id bigint, p_reason text) TO payout_operator;


--
-- Name: FUNCTION balances_as_of(p_at timestamp with time zone); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.balances_as_of(p_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.balances_as_of(p_at timestamp with time zone) TO payout_operator;
GRANT ALL ON FUNCTION payout_api.balances_as_of(p_at timestamp with time zone) TO payout_auditor;


--
-- Name: FUNCTION begin_reconcile(p_worker text, p_stripe_account_id text, p_is_livemode boolean); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.begin_reconcile(p_worker text, p_stripe_account_id text, p_is_livemode boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.begin_reconcile(p_worker text, p_stripe_account_id text, p_is_livemode boolean) TO payout_worker;


--
-- Name: FUNCTION change_stripe_account(p_stripe_account_id text, p_is_livemode boolean, p_reason text); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.change_stripe_account(p_stripe_account_id text, p_is_livemode boolean, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.change_stripe_account(p_stripe_account_id text, p_is_livemode boolean, p_reason text) TO payout_operator;


--
-- Name: FUNCTION claim_lookups(p_worker text, p_limit integer, p_stripe_account_id text, p_is_livemode boolean); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.claim_lookups(p_worker text, p_limit integer, p_stripe_account_id text, p_is_livemode boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.claim_lookups(p_worker text, p_limit integer, p_stripe_account_id text, p_is_livemode boolean) TO payout_worker;


--
-- Name: FUNCTION claim_reversal_lookups(p_worker text, p_limit integer, p_stripe_account_id text, p_is_livemode boolean); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.claim_reversal_lookups(p_worker text, p_limit integer, p_stripe_account_id text, p_is_livemode boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.claim_reversal_lookups(p_worker text, p_limit integer, p_stripe_account_id text, p_is_livemode boolean) TO payout_worker;


--
-- Name: FUNCTION claim_transfers(p_worker text, p_limit integer, p_payout_job_id bigint, p_stripe_account_id text, p_is_livemode boolean); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.claim_transfers(p_worker text, p_limit integer, p_payout_job_id bigint, p_stripe_account_id text, p_is_livemode boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.claim_transfers(p_worker text, p_limit integer, p_payout_job_id bigint, p_stripe_account_id text, p_is_livemode boolean) TO payout_worker;


--
-- Name: FUNCTION complete_settlement(p_settlement_id text, p_currency text, p_lines jsonb, p_pay_after timestamp with time zone, p_metadata jsonb); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.complete_settlement(p_settlement_id text, p_currency text, p_lines jsonb, p_pay_after timestamp with time zone, p_metadata jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.complete_settlement(p_settlement_id text, p_currency text, p_lines jsonb, p_pay_after timestamp with time zone, p_metadata jsonb) TO payout_app;


--
-- Name: FUNCTION doctor(p_stripe_account_id text, p_is_livemode boolean); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.doctor(p_stripe_account_id text, p_is_livemode boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.doctor(p_stripe_account_id text, p_is_livemode boolean) TO payout_worker;
GRANT ALL ON FUNCTION payout_api.doctor(p_stripe_account_id text, p_is_livemode boolean) TO payout_operator;
GRANT ALL ON FUNCTION payout_api.doctor(p_stripe_account_id text, p_is_livemode boolean) TO payout_auditor;


--
-- Name: FUNCTION hold(p_scope text, p_reason text, p_subject text); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.hold(p_scope text, p_reason text, p_subject text) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.hold(p_scope text, p_reason text, p_subject text) TO payout_operator;


--
-- Name: FUNCTION next_events_query(p_stripe_account_id text, p_is_livemode boolean); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.next_events_query(p_stripe_account_id text, p_is_livemode boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.next_events_query(p_stripe_account_id text, p_is_livemode boolean) TO payout_worker;


--
-- Name: FUNCTION open_discrepancies(); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.open_discrepancies() FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.open_discrepancies() TO payout_worker;
GRANT ALL ON FUNCTION payout_api.open_discrepancies() TO payout_operator;
GRANT ALL ON FUNCTION payout_api.open_discrepancies() TO payout_auditor;


--
-- Name: TABLE epochs; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.epochs TO payout_operator;
GRANT SELECT ON TABLE payout.epochs TO payout_auditor;


--
-- Name: FUNCTION open_gate(p_reason text, p_without_reconcile boolean); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.open_gate(p_reason text, p_without_reconcile boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.open_gate(p_reason text, p_without_reconcile boolean) TO payout_operator;


--
-- Name: FUNCTION register_payee(p_payee_id text, p_stripe_account_id text); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.register_payee(p_payee_id text, p_stripe_account_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.register_payee(p_payee_id text, p_stripe_account_id text) TO payout_app;
GRANT ALL ON FUNCTION payout_api.register_payee(p_payee_id text, p_stripe_account_id text) TO payout_operator;


--
-- Name: TABLE holds; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.holds TO payout_operator;
GRANT SELECT ON TABLE payout.holds TO payout_auditor;


--
-- Name: FUNCTION release_hold(p_hold_id bigint, p_reason text); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.release_hold(p_hold_id bigint, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.release_hold(p_hold_id bigint, p_reason text) TO payout_operator;


--
-- Name: FUNCTION report_events_page(p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.report_events_page(p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.report_events_page(p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean) TO payout_worker;


--
-- Name: FUNCTION report_lookup_page(p_lookup_id bigint, p_query_number integer, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.report_lookup_page(p_lookup_id bigint, p_query_number integer, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.report_lookup_page(p_lookup_id bigint, p_query_number integer, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean) TO payout_worker;


--
-- Name: FUNCTION report_outcomes(p_outcomes jsonb); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.report_outcomes(p_outcomes jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.report_outcomes(p_outcomes jsonb) TO payout_worker;


--
-- Name: FUNCTION report_reconcile_page(p_reconcile_run_id bigint, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.report_reconcile_page(p_reconcile_run_id bigint, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.report_reconcile_page(p_reconcile_run_id bigint, p_query jsonb, p_starting_after text, p_transfers jsonb, p_has_more boolean) TO payout_worker;


--
-- Name: FUNCTION report_reversals(p_stripe_transfer_id text, p_reversals jsonb); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.report_reversals(p_stripe_transfer_id text, p_reversals jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.report_reversals(p_stripe_transfer_id text, p_reversals jsonb) TO payout_worker;


--
-- Name: TABLE discrepancies; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.discrepancies TO payout_operator;
GRANT SELECT ON TABLE payout.discrepancies TO payout_auditor;


--
-- Name: FUNCTION resolve_discrepancy(p_discrepancy_id bigint, p_reason text); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.resolve_discrepancy(p_discrepancy_id bigint, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.resolve_discrepancy(p_discrepancy_id bigint, p_reason text) TO payout_operator;


--
-- Name: FUNCTION seal(p_limit integer); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.seal(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.seal(p_limit integer) TO payout_worker;
GRANT ALL ON FUNCTION payout_api.seal(p_limit integer) TO payout_operator;


--
-- Name: FUNCTION seal_head(); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.seal_head() FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.seal_head() TO payout_operator;
GRANT ALL ON FUNCTION payout_api.seal_head() TO payout_auditor;


--
-- Name: FUNCTION sweep(p_limit integer); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.sweep(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.sweep(p_limit integer) TO payout_worker;
GRANT ALL ON FUNCTION payout_api.sweep(p_limit integer) TO payout_operator;


--
-- Name: FUNCTION verify_projection(); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.verify_projection() FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.verify_projection() TO payout_operator;
GRANT ALL ON FUNCTION payout_api.verify_projection() TO payout_auditor;


--
-- Name: FUNCTION verify_seals(p_from bigint, p_head text); Type: ACL; Schema: payout_api; Owner: -
--

REVOKE ALL ON FUNCTION payout_api.verify_seals(p_from bigint, p_head text) FROM PUBLIC;
GRANT ALL ON FUNCTION payout_api.verify_seals(p_from bigint, p_head text) TO payout_operator;
GRANT ALL ON FUNCTION payout_api.verify_seals(p_from bigint, p_head text) TO payout_auditor;


--
-- Name: TABLE currencies; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.currencies TO payout_operator;
GRANT SELECT ON TABLE payout.currencies TO payout_auditor;


--
-- Name: TABLE event_pages; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.event_pages TO payout_operator;
GRANT SELECT ON TABLE payout.event_pages TO payout_auditor;


--
-- Name: TABLE key_generations; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.key_generations TO payout_operator;
GRANT SELECT ON TABLE payout.key_generations TO payout_auditor;


--
-- Name: TABLE ledger_accounts; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.ledger_accounts TO payout_operator;
GRANT SELECT ON TABLE payout.ledger_accounts TO payout_auditor;


--
-- Name: TABLE ledger_entries; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.ledger_entries TO payout_operator;
GRANT SELECT ON TABLE payout.ledger_entries TO payout_auditor;


--
-- Name: TABLE lines_ahead; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.lines_ahead TO payout_operator;
GRANT SELECT ON TABLE payout.lines_ahead TO payout_auditor;


--
-- Name: TABLE operator_actions; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.operator_actions TO payout_operator;
GRANT SELECT ON TABLE payout.operator_actions TO payout_auditor;


--
-- Name: TABLE payee_accounts; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.payee_accounts TO payout_operator;
GRANT SELECT ON TABLE payout.payee_accounts TO payout_auditor;


--
-- Name: TABLE payees; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.payees TO payout_operator;
GRANT SELECT ON TABLE payout.payees TO payout_auditor;


--
-- Name: TABLE payout_jobs; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.payout_jobs TO payout_operator;
GRANT SELECT ON TABLE payout.payout_jobs TO payout_auditor;


--
-- Name: TABLE reconcile_pages; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.reconcile_pages TO payout_operator;
GRANT SELECT ON TABLE payout.reconcile_pages TO payout_auditor;


--
-- Name: TABLE reversed_transfers; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.reversed_transfers TO payout_operator;
GRANT SELECT ON TABLE payout.reversed_transfers TO payout_auditor;


--
-- Name: TABLE seal_subtotals; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.seal_subtotals TO payout_operator;
GRANT SELECT ON TABLE payout.seal_subtotals TO payout_auditor;


--
-- Name: TABLE state_edges; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.state_edges TO payout_operator;
GRANT SELECT ON TABLE payout.state_edges TO payout_auditor;


--
-- Name: TABLE states; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.states TO payout_operator;
GRANT SELECT ON TABLE payout.states TO payout_auditor;


--
-- Name: TABLE transfer_lookup_pages; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.transfer_lookup_pages TO payout_operator;
GRANT SELECT ON TABLE payout.transfer_lookup_pages TO payout_auditor;


--
-- Name: TABLE transfer_observations; Type: ACL; Schema: payout; Owner: -
--

GRANT SELECT ON TABLE payout.transfer_observations TO payout_operator;
GRANT SELECT ON TABLE payout.transfer_observations TO payout_auditor;


--
-- Name: TABLE discrepancies; Type: ACL; Schema: payout_api; Owner: -
--

GRANT SELECT ON TABLE payout_api.discrepancies TO payout_operator;
GRANT SELECT ON TABLE payout_api.discrepancies TO payout_auditor;


--
-- Name: TABLE error_codes; Type: ACL; Schema: payout_api; Owner: -
--

GRANT SELECT ON TABLE payout_api.error_codes TO payout_app;
GRANT SELECT ON TABLE payout_api.error_codes TO payout_worker;
GRANT SELECT ON TABLE payout_api.error_codes TO payout_operator;
GRANT SELECT ON TABLE payout_api.error_codes TO payout_auditor;


--
-- Name: TABLE ledger_balances; Type: ACL; Schema: payout_api; Owner: -
--

GRANT SELECT ON TABLE payout_api.ledger_balances TO payout_operator;
GRANT SELECT ON TABLE payout_api.ledger_balances TO payout_auditor;


--
-- Name: TABLE overview; Type: ACL; Schema: payout_api; Owner: -
--

GRANT SELECT ON TABLE payout_api.overview TO payout_operator;
GRANT SELECT ON TABLE payout_api.overview TO payout_auditor;


--
-- Name: TABLE reconcile_progress; Type: ACL; Schema: payout_api; Owner: -
--

GRANT SELECT ON TABLE payout_api.reconcile_progress TO payout_operator;
GRANT SELECT ON TABLE payout_api.reconcile_progress TO payout_auditor;


--
-- Name: TABLE trial_balance; Type: ACL; Schema: payout_api; Owner: -
--

GRANT SELECT ON TABLE payout_api.trial_balance TO payout_operator;
GRANT SELECT ON TABLE payout_api.trial_balance TO payout_auditor;


--
-- Name: TABLE unpaid; Type: ACL; Schema: payout_api; Owner: -
--

GRANT SELECT ON TABLE payout_api.unpaid TO payout_operator;
GRANT SELECT ON TABLE payout_api.unpaid TO payout_auditor;


--
-- PostgreSQL database dump complete
--

