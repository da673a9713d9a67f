"""Fills the tables with a history of settled transfers set-wise, as a year of work leaves them.

Guards, triggers and foreign keys are off while it writes. The rows agree with each other, so that
the verify functions find nothing, save the digests of old seals, which are made up.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg

from bench.stand import COMPARE_NEWEST

# Ten transfers of a settlement, thousand settlements of a batch.
LINES = 10
BATCH = 1000
REVERSED_OF = 1000
# As many reversed transfers are still open.
OPEN_REVERSALS = 100

GUARDS_OFF = """
select string_agg(format('alter table %s disable trigger %I', g.tgrelid::regclass, g.tgname), ';'),
    string_agg(format('alter table %s enable %s trigger %I', g.tgrelid::regclass,
        case g.tgenabled when 'A' then 'always' else '' end, g.tgname), ';')
from pg_trigger as g
join pg_class as c on c.oid = g.tgrelid
where not g.tgisinternal and c.relnamespace = 'payout'::regnamespace
"""
# Also no foreign keys, and no waiting for the disk.
QUICKLY = """
set session_replication_role = replica; set synchronous_commit = off; set jit = off;
set work_mem = '256MB'; set maintenance_work_mem = '512MB'
"""
PAYEES = """
insert into payout.payees (payee_id, created_at)
select 'seller_' || n, now() - interval '366 days' from generate_series(1, %(payees)s) as n
on conflict do nothing;
insert into payout.payee_accounts (payee_id, stripe_account_id, recorded_at)
select p.payee_id, replace(p.payee_id, 'seller', 'acct'), now() - interval '366 days'
from payout.payees as p
where not exists (select from payout.payee_accounts as a where a.payee_id = p.payee_id)
"""
BATCH_ROWS = """
create temp table batch as
select x.*, payout.payout_ref(x.installation_id, x.settlement_id, x.payee_id, null) as payout_ref
from (
    select s.number as payout_job_id, 10 * (s.number - 1) + k.line as id, k.line,
        'order_' || lpad(s.number::text, 9, '0') as settlement_id,
        'seller_' || 1 + (10 * (s.number - 1) + k.line) * 7919 %% %(payees)s as payee_id,
        'acct_' || 1 + (10 * (s.number - 1) + k.line) * 7919 %% %(payees)s as destination,
        1000 + (10 * (s.number - 1) + k.line) * 37 %% 9000 as amount_minor,
        case s.number %% 10 when 0 then 'eur' else 'usd' end as currency,
        date_trunc('day', now()) - interval '365 days'
            + (s.number / %(settlements)s::double precision) * interval '364 days' as settled_at,
        date_trunc('day', now()) - interval '365 days' + interval '2 seconds'
            + (s.number / %(settlements)s::double precision) * interval '364 days' as paid_at,
        e.installation_id
    from generate_series(%(first)s::bigint, %(last)s::bigint) as s (number)
    cross join generate_series(1, 10) as k (line)
    cross join payout.engine_settings as e
) as x
"""
BATCH_INSERTS = """
insert into payout.settlements (settlement_id, currency, total_minor, state, created_at)
select settlement_id, currency, sum(amount_minor), 'complete', settled_at
from batch group by settlement_id, currency, settled_at order by settlement_id;
insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor)
select settlement_id, line::text, payee_id, amount_minor from batch order by id;
insert into payout.payout_jobs (payout_job_id, settlement_id, created_at)
overriding system value
select payout_job_id, settlement_id, settled_at from batch where line = 1 order by 1;
insert into payout.payout_transfers (payout_transfer_id, payout_job_id, settlement_id, payee_id,
    amount_minor, currency, payout_ref, created_at)
overriding system value
select id, payout_job_id, settlement_id, payee_id, amount_minor, currency, payout_ref, settled_at
from batch order by id;
insert into payout.transfer_states (payout_transfer_id, state, attempt, stripe_transfer_id,
    window_begins_at, changed_at)
select id, 'paid', 1, 'tr_' || id, settled_at, paid_at from batch order by id;
insert into payout.transfer_requests (payout_transfer_id, generation, destination, request,
    frozen_at, transfer_request_id)
overriding system value
select q.id, 1, q.destination, q.request, q.settled_at, q.id
from (
    select b.*, jsonb_build_object('amount', b.amount_minor, 'currency', b.currency,
        'destination', b.destination, 'transfer_group', b.payout_ref,
        'metadata', jsonb_build_object('payee_id', b.payee_id, 'payout_ref', b.payout_ref,
            'payout_engine', b.installation_id, 'settlement_id', b.settlement_id)) as request
    from batch as b
) as q order by q.id;
insert into payout.transfer_attempts (payout_transfer_id, generation, attempt, worker,
    window_begins_at, claimed_at, lease_until, claim_token_sha256)
select id, 1, 1, 'bench', settled_at, settled_at + interval '1 second',
    settled_at + interval '31 seconds', sha256(payout_ref::bytea)
from batch order by id;
insert into payout.transfer_observations (observation_id, payout_transfer_id, generation, attempt,
    signal, verdict, moved_to, http_status, stripe_transfer_id, facts, observed_at)
overriding system value
select id, id, 1, 1, 'response', 'ok', 'paid', 200, 'tr_' || id,
    jsonb_build_object('object', 'transfer', 'currency', currency, 'payout_ref', payout_ref,
        'destination', destination, 'is_livemode', false, 'amount_minor', amount_minor,
        'amount_reversed_minor', 0), paid_at
from batch order by id;
insert into payout.ledger_entries (ledger_entry_id, payout_transfer_id, kind, generation,
    debit_account, credit_account, amount_minor, currency, created_at)
overriding system value
select 30 * (payout_job_id - 1) + m.place, id, m.kind, 1, m.debit_account, m.credit_account,
    amount_minor, currency, m.at
from batch as b
cross join lateral (values
    (2 * line - 1, 'obligation', 'settlement_funds', 'payable:' || payee_id, settled_at),
    (2 * line, 'reserve', 'payable:' || payee_id, 'in_flight', settled_at),
    (20 + line, 'paid', 'in_flight', 'stripe_balance', paid_at)
) as m (place, kind, debit_account, credit_account, at)
order by 1;
insert into payout.outcomes (outcome_id, payout_transfer_id, status, stripe_transfer_id, changed_at)
overriding system value
select 20 * (payout_job_id - 1) + m.place, id, m.status, m.stripe_transfer_id, m.at
from batch as b
cross join lateral (values
    (line, 'sending', null, settled_at), (10 + line, 'paid', 'tr_' || id, paid_at)
) as m (place, status, stripe_transfer_id, at)
order by 1;
drop table batch
"""
SEQUENCES = """
select setval(pg_get_serial_sequence('payout.' || x.name, x.id), x.value)
from (values
    ('payout_jobs', 'payout_job_id', %(settlements)s),
    ('payout_transfers', 'payout_transfer_id', %(transfers)s),
    ('transfer_requests', 'transfer_request_id', %(transfers)s),
    ('transfer_observations', 'observation_id', %(transfers)s),
    ('ledger_entries', 'ledger_entry_id', 3 * %(transfers)s),
    ('outcomes', 'outcome_id', 2 * %(transfers)s)
) as x (name, id, value)
"""
# A year beside the payments: reversals, nearly all written off; waits, alarms and acts of
# operators, all over; comparisons of each day, and of the newest transfers every ten minutes.
REVERSALS = """
create temp table reversed as
select t.payout_transfer_id as id, t.payee_id, t.amount_minor, t.currency,
    s.changed_at + interval '1 day' as at,
    t.payout_transfer_id > %(transfers)s - %(open_reversals)s * %(reversed_of)s as is_open
from payout.payout_transfers as t
join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
where t.payout_transfer_id %% %(reversed_of)s = 0;
insert into payout.operator_actions (operator_action_id, action, subject, reason, details, acted_at)
overriding system value
select id / %(reversed_of)s, 'write_off', payee_id, 'their loss', jsonb_build_object(
    'payout_transfer_id', id), at
from reversed where not is_open order by id;
select setval(pg_get_serial_sequence('payout.operator_actions', 'operator_action_id'),
    greatest(1, %(transfers)s / %(reversed_of)s));
insert into payout.ledger_entries (payout_transfer_id, kind, generation, debit_account,
    credit_account, amount_minor, currency, stripe_reversal_id, operator_action_id, created_at)
select r.id, m.kind, 1, m.debit_account, m.credit_account, r.amount_minor, r.currency,
    m.stripe_reversal_id, m.operator_action_id, r.at
from reversed as r
cross join lateral (values
    ('reversal', 'stripe_balance', 'payable:' || r.payee_id, 'trr_' || r.id, null::bigint),
    ('write_off', 'payable:' || r.payee_id, 'settlement_funds', null, r.id / %(reversed_of)s)
) as m (kind, debit_account, credit_account, stripe_reversal_id, operator_action_id)
where m.kind = 'reversal' or not r.is_open
order by r.id;
insert into payout.outcomes (
    payout_transfer_id, status, stripe_transfer_id, reversed_minor, changed_at)
select id, 'paid', 'tr_' || id, amount_minor, at from reversed order by id;
insert into payout.reversed_transfers (stripe_transfer_id, amount_reversed_minor)
select 'tr_' || id, amount_minor from reversed;
insert into payout.open_reversals (payout_transfer_id, ledger_entry_id)
select e.payout_transfer_id, e.ledger_entry_id
from payout.ledger_entries as e
join reversed as r on r.is_open and e.stripe_reversal_id = 'trr_' || r.id;
drop table reversed
"""
BESIDE = """
select payout.adopt('filled', true);
insert into payout.holds (scope, subject, reason, placed_by, placed_at, released_by, released_at,
    release_reason, awaits)
select 'payee', 'seller_' || n, 'its account cannot receive', 'engine',
    now() - n * interval '50 minutes', 'engine', now() - n * interval '49 minutes',
    'it waits no longer', 'account'
from generate_series(10000, 1, -1) as n;
insert into payout.operator_actions (action, subject, reason, details, acted_at)
select 'release', h.subject, h.release_reason, jsonb_build_object('hold_id', h.hold_id),
    h.released_at
from payout.holds as h where h.released_at is not null order by h.hold_id;
insert into payout.discrepancies (kind, stripe_transfer_id, payout_transfer_id, advice, found_at,
    resolved_at, resolved_by, resolution)
select 'paid_differs_at_stripe', 'tr_' || n, n, 'Look.', now() - n * interval '100 minutes',
    now() - n * interval '99 minutes', 'ann', 'looked'
from generate_series(5000, 1, -1) as n where n <= %(transfers)s;
insert into payout.operator_actions (action, subject, reason, details, acted_at)
select 'resolve_discrepancy', n::text, 'looked', jsonb_build_object('discrepancy_id', n),
    now() - n * interval '99 minutes'
from generate_series(5000, 1, -1) as n;
insert into payout.stripe_reads (kind, path, queries, worker, begun_at, books_from,
    system_identifier, timeline_id, database_oid, table_oid, adoption_id, objects_seen,
    objects_expected, result, finished_at)
select r.kind, '/v1/transfers', '[{}]', 'bench', r.at, r.at - interval '2 days',
    i.system_identifier, i.timeline_id, i.database_oid, i.table_oid, a.adoption_id,
    %(transfers)s / 365, %(transfers)s / 365, 'compared', r.at + interval '2 minutes'
from (
    select 'newest' as kind, now() - n * interval '10 minutes' as at
    from generate_series(52560, 1, -1) as n
    union all
    select 'comparison', now() - n * interval '1 day' + interval '12 hours'
    from generate_series(365, 1, -1) as n
) as r
cross join payout.database_identity() as i
cross join (select max(n.adoption_id) as adoption_id from payout.adoptions as n) as a
order by r.at;
insert into payout.stripe_read_pages (read_id, page_number, parameters, has_more,
    stripe_transfer_ids, received_at)
select r.read_id, p.number, jsonb_build_object('page', p.number), true,
    array(select 'tr_' || 100 * p.number + i from generate_series(1, 100) as i), r.begun_at
from payout.stripe_reads as r
cross join lateral generate_series(1, case r.kind
    when 'comparison' then 1 + %(transfers)s / 36500 else 1 end) as p (number)
where r.result = 'compared'
order by r.read_id
"""
SEALS = """
create temp table numbered as
select row_number() over (order by b.rows_until, b.table_name) as seal_id, b.*
from (
    select r.*, max(r.block) over (partition by r.table_name) as last_block
    from (
        select 'payee_accounts' as table_name, (r.payee_account_id - 1) / 1000 as block,
            count(*) as row_count, min(r.recorded_at) as rows_from, max(r.recorded_at) as rows_until
        from payout.payee_accounts as r group by 2
        union all
        select 'payout_jobs', (r.payout_job_id - 1) / 1000, count(*), min(r.created_at),
            max(r.created_at)
        from payout.payout_jobs as r group by 2
        union all
        select n.name, (r.payout_transfer_id - 1) / 1000, count(*), min(r.created_at),
            max(r.created_at)
        from payout.payout_transfers as r
        cross join unnest('{payout_transfers,transfer_requests,transfer_observations}'::text[])
            as n (name)
        group by 1, 2
        union all
        select 'ledger_entries', (r.ledger_entry_id - 1) / 1000, count(*), min(r.created_at),
            max(r.created_at)
        from payout.ledger_entries as r group by 2
        union all
        select 'holds', (r.hold_id - 1) / 1000, count(*), min(r.placed_at), max(r.placed_at)
        from payout.holds as r group by 2
        union all
        select 'discrepancies', (r.discrepancy_id - 1) / 1000, count(*), min(r.found_at),
            max(r.found_at)
        from payout.discrepancies as r group by 2
    ) as r
) as b
-- The last rows are sealed truly.
where b.block < b.last_block;
insert into payout.seals
select n.seal_id, 1, n.table_name,
    case n.block when 0 then -9223372036854775808 else 1000 * n.block + 1 end,
    1000 * (n.block + 1),
    int8multirange(int8range(1000 * n.block + 1, 1000 * (n.block + 1), '[]')),
    (select string_agg(sha256((n.seal_id || ':' || g)::bytea), '')
        from generate_series(1, 250) as g),
    sha256(n.seal_id::text::bytea), n.rows_from,
    max(n.rows_until) over (partition by n.table_name order by n.block), n.rows_until,
    sha256(n.seal_id::text::bytea)
from numbered as n
order by n.seal_id
"""
SUBTOTALS = """
create temp table moved as
select x.account, e.currency, n.seal_id,
    sum(x.debit_minor) as debit_minor, sum(x.credit_minor) as credit_minor,
    sum(x.debits) as debits, sum(x.credits) as credits
from payout.ledger_entries as e
join numbered as n on n.table_name = 'ledger_entries' and n.block = (e.ledger_entry_id - 1) / 1000
cross join lateral (values
    (e.debit_account, e.amount_minor, 0, 1, 0), (e.credit_account, 0, e.amount_minor, 0, 1)
) as x (account, debit_minor, credit_minor, debits, credits)
group by 1, 2, 3;
insert into payout.seal_subtotals (
    account, currency, seal_id, debit_minor, credit_minor, debits, credits)
select m.account, m.currency, m.seal_id, sum(m.debit_minor) over a, sum(m.credit_minor) over a,
    sum(m.debits) over a, sum(m.credits) over a
from (
    table moved
    union all
    select 'payable', currency, seal_id, sum(debit_minor), sum(credit_minor), sum(debits),
        sum(credits)
    from moved where account like 'payable:%%' group by currency, seal_id
) as m
window a as (partition by m.account, m.currency order by m.seal_id)
order by m.account, m.currency, m.seal_id;
drop table moved;
drop table numbered
"""
LET_A_MINUTE_PASS = "update payout.seal_marks set marked_at = marked_at - interval '1 minute'"
SETTLE = """
select payout_api.complete_settlement('open_' || s, 'usd', (
    select jsonb_agg(jsonb_build_object(
        'line_id', n::text, 'payee_id', 'seller_' || 1 + ((s - 1) * %(lines)s + n) %% %(payees)s,
        'amount_minor', 1500))
    from generate_series(1, %(lines)s) as n),
    case s %% 10 when 9 then now() + interval '6 hours' end)
from generate_series(1, %(count)s) as s
"""
# A third each is declined, without an answer, and unreadable.
REPORT = """
select count(*) from (
    select payout_api.report_outcomes(jsonb_agg(jsonb_build_object(
        'payout_transfer_id', c.payout_transfer_id, 'generation', c.generation,
        'attempt', c.attempt, 'idempotency_key', c.idempotency_key,
        'claim_token', c.claim_token) || case c.payout_transfer_id %% 3
        when 0 then '{"signal": "response", "is_tied": true, "http_status": 400, "body": {"error": {
            "type": "invalid_request_error", "code": "account_invalid", "message": "No."}}}'
        when 1 then '{"signal": "no_response"}'
        else '{"signal": "unreadable", "http_status": 502}' end::jsonb))
    from payout_api.claim_transfers('bench', %s) as c
) as r
"""


@contextmanager
def unguarded(connection: psycopg.Connection) -> Iterator[None]:
    """Turn all triggers off, and then on again as they were."""
    row = connection.execute(GUARDS_OFF).fetchone()
    assert row is not None
    connection.execute(row[0])
    yield
    connection.execute(row[1])


def tell(line: str) -> None:
    """Show how far it has come."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def fill(uri: str, *, settled: int, open_: int, payees: int) -> None:
    """Write a year of settled transfers, seal it, and settle what is open."""
    settlements = settled // LINES
    numbers = {
        "payees": payees,
        "settlements": settlements,
        "transfers": settlements * LINES,
        "reversed_of": REVERSED_OF,
        "open_reversals": OPEN_REVERSALS,
    }
    with psycopg.connect(uri, autocommit=True) as connection:
        with unguarded(connection):
            _run(connection, QUICKLY, PAYEES, numbers=numbers)
            _fill_batches(uri, numbers=numbers)
            for name, script in (
                ("reversals", SEQUENCES + ";" + REVERSALS),
                ("reads, holds and discrepancies", BESIDE),
                ("seals", SEALS),
                ("sub-totals", SUBTOTALS),
            ):
                tell(name)
                _run(connection, script, numbers=numbers)
            connection.execute("reset all")
        tell("vacuum analyze")
        connection.execute("vacuum (analyze)")
        connection.execute("checkpoint")
        tell("the open ones, and the last seals")
        connection.execute(COMPARE_NEWEST)
        _settle_open(connection, open_=open_, payees=payees)
        _seal(connection)
        connection.execute("vacuum (analyze) payout.transfer_states, payout.payout_transfers")


def _fill_batches(uri: str, *, numbers: dict[str, int]) -> None:
    done = 0

    def write(first: int) -> None:
        nonlocal done
        last = min(first + BATCH - 1, numbers["settlements"])
        with psycopg.connect(uri, autocommit=True) as connection:
            batch = numbers | {"first": first, "last": last}
            _run(connection, QUICKLY, BATCH_ROWS, BATCH_INSERTS, numbers=batch)
        done += last - first + 1
        if done % (20 * BATCH) == 0:
            tell(f"{done * LINES:,} of {numbers['transfers']:,} transfers")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(1, numbers["settlements"] + 1, BATCH)))


def _settle_open(connection: psycopg.Connection, *, open_: int, payees: int) -> None:
    numbers = {"lines": min(open_, 1000), "count": max(1, open_ // 1000), "payees": payees}
    _run(connection, SETTLE, numbers=numbers)
    connection.execute(REPORT, [max(1, open_ // 10)])


def _seal(connection: psycopg.Connection) -> None:
    connection.execute(LET_A_MINUTE_PASS)
    connection.execute("select payout_api.seal()")
    connection.execute(LET_A_MINUTE_PASS)
    while connection.execute("select payout_api.seal()").fetchone() != (0,):
        pass


def _run(connection: psycopg.Connection, *scripts: str, numbers: dict[str, int]) -> None:
    """Run each statement of the scripts; none has a semicolon within."""
    for script in scripts:
        for statement in script.split(";"):
            connection.execute((statement % numbers).encode())
