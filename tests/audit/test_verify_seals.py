"""A change of a sealed row is found, that of a superuser with every trigger off included."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import psycopg
import pytest

from tests.audit.sealing import (
    INSTALLED,
    SEALED,
    Alteration,
    forge,
    forget_waits,
    head,
    let_a_minute_pass,
    let_transactions_end,
    seal,
    seal_everything,
    seal_installation,
    seals,
    value,
    verify,
)
from tests.conftest import PASSWORD, Connection, Server, connect_to_clone, login_name
from tests.engine import Engine, no_answer, success, unfunded, unguarded
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal

VERIFY: Final = "select * from payout_api.verify_seals()"
LEDGER: Final = "payout.ledger_entries"
OBSERVATIONS: Final = "payout.transfer_observations"
KEYS: Final = "payout.transfer_requests"
TRANSFERS: Final = "payout.payout_transfers"
LINES: Final = "payout.settlement_lines"
SETTLEMENTS: Final = "payout.settlements"
ACCOUNTS: Final = "payout.payee_accounts"
SEALS: Final = "payout.seals"
SUBTOTALS: Final = "payout.seal_subtotals"
SLIP_IN: Final = """
    insert into payout.ledger_entries (ledger_entry_id, payout_transfer_id, kind, generation,
        debit_account, credit_account, amount_minor, currency)
    overriding system value
    select {id}, payout_transfer_id, 'reserve', 9, 'payable:' || payee_id, 'in_flight',
        amount_minor, currency
    from payout.payout_transfers where payout_transfer_id = 1
    """


def seal_two_rounds(engine: Engine) -> Connection:
    """Make books of two rounds, each sealed: seals 5 to 9, and 10 to 14."""
    assert seal_installation(engine.db) == INSTALLED
    for round_ in (1, 2):
        engine.settle("seller_1", "seller_2", "seller_3", settlement_id=f"set_{round_}")
        paid, unknown, poor = engine.claim()
        engine.report(
            success(paid, stripe_transfer_id=f"tr_{round_}"), no_answer(unknown), unfunded(poor)
        )
        engine.db.execute(
            "update payout.transfer_states set next_attempt_at = '2100-01-01' "
            "where state = 'unknown'"
        )
        engine.make_due()
        engine.db.execute(
            "update payout.transfer_states set next_attempt_at = '2100-01-01' "
            "where state = 'unknown'"
        )
        engine.sweep()
        engine.report(success(engine.claim_one(), stripe_transfer_id=f"tr_p{round_}"))
        forget_waits(engine.db)
        seal_everything(engine.db)
    assert [each.table_name for each in seals(engine.db)][4:] == [*SEALED, *SEALED]
    return engine.db


@pytest.fixture(scope="module")
def sealed_books(server: Server, maintenance: Connection) -> Iterator[Connection]:
    """The books that the tests of this module attack in turn."""
    with connect_to_clone(server, maintenance) as connection:
        connection.execute("update payout.seal_marks set marked_at = clock_timestamp()")
        yield seal_two_rounds(Engine(connection))


@pytest.fixture
def sealed(sealed_books: Connection) -> Iterator[Connection]:
    """A superuser's connection to sealed books; what a test does to them is undone."""
    with sealed_books.transaction(force_rollback=True):
        yield sealed_books


@pytest.fixture
def auditor(server: Server, sealed_books: Connection) -> Iterator[Connection]:
    """An auditor's own session in the database of the sealed books."""
    database = sealed_books.info.dbname
    uri = server.uri(database, user=login_name("payout_auditor"), password=PASSWORD)
    with psycopg.connect(uri, autocommit=True) as connection:
        yield connection


def after(db: Connection, *attack: str, table: str = LEDGER, **options: Any) -> list[Alteration]:
    """Attack with every trigger of a table off, return what is found, and undo the attack."""
    with db.transaction(force_rollback=True):
        with unguarded(db, table):
            db.execute(f"alter table {table} disable trigger all")
            for statement in attack:
                db.execute(statement)
        return verify(db, **options)


def test_untouched_books_are_as_they_were_sealed(sealed: Connection) -> None:
    assert verify(sealed) == []
    assert verify(sealed, start=10) == []
    assert verify(sealed, head=head(sealed)) == []


def test_books_without_seals_have_nothing_to_find(engine: Engine) -> None:
    engine.settle()
    assert verify(engine.db) == []
    assert value(engine.db, "select payout_api.seal_head()") is None


@pytest.mark.parametrize(
    ("table", "change", "row_id"),
    [
        (LEDGER, "amount_minor = amount_minor + 1 where ledger_entry_id = 3", 3),
        (LEDGER, "credit_account = 'payable:seller_9' where ledger_entry_id = 1", 1),
        (LEDGER, "created_at = created_at - interval '1 us' where ledger_entry_id = 20", 20),
        (LEDGER, "generation = 2 where ledger_entry_id = 2", 2),
        (OBSERVATIONS, "verdict = 'stale' where observation_id = 1", 1),
        (OBSERVATIONS, "facts = facts || '{\"amount_minor\": 1}' where observation_id = 2", 2),
        (OBSERVATIONS, "http_status = 201 where observation_id = 1", 1),
        (OBSERVATIONS, "is_counted_try = not is_counted_try where observation_id = 3", 3),
        (KEYS, "reason = 'because' where generation = 2", 4),
        (TRANSFERS, "payee_id = 'seller_9' where payout_transfer_id = 4", 4),
        (TRANSFERS, "payout_ref = 'payout_1' where payout_transfer_id = 5", 5),
        (TRANSFERS, "created_at = created_at + '1 day' where payout_transfer_id = 6", 6),
        (LINES, "line_id = 'x' || line_id where settlement_id = 'set_2'", 2),
        (LINES, "source_transaction = 'ch_1' where settlement_id = 'set_1'", 1),
        (SETTLEMENTS, "pay_after = '2100-01-01' where settlement_id = 'set_2'", 2),
        (ACCOUNTS, "stripe_account_id = 'acct_9' where payee_id = 'seller_2'", 2),
        (ACCOUNTS, "recorded_by = 'somebody' where payee_id = 'seller_3'", 3),
        ("payout.adoptions", "reason = 'because' where adoption_id = 1", 1),
        ("payout.catalogues", "objects = objects - 'type payout.external_id'", 1),
    ],
)
def test_the_first_altered_row_is_named(
    sealed: Connection, table: str, change: str, row_id: int
) -> None:
    # A settlement and its lines are sealed with the job that froze them.
    name = "payout_jobs" if table in (LINES, SETTLEMENTS) else table.removeprefix("payout.")
    (found,) = after(sealed, f"update {table} set {change}", table=table)
    assert (found.table_name, found.row_id, found.what) == (name, row_id, "altered")
    assert found.seal_id == next(
        each.seal_id for each in seals(sealed, name) if each.last_id >= row_id
    )


def test_every_column_of_a_sealed_table_is_covered(sealed: Connection) -> None:
    """One that is added later is appended where it is not null, so that former digests stand."""
    columns = sealed.execute(
        """
        select c.oid::regclass::text, a.attname::text, case
            when a.attidentity <> '' then 'default'
            when a.attname = 'moved_to' then quote_literal('cancelled')
            when a.attname = 'currency' then quote_literal('xxx')
            when t.typname in ('int4', 'int8') then format('coalesce(%%I, 0) + 1000', a.attname)
            when t.typname = 'bool' then format('not coalesce(%%I, false)', a.attname)
            when t.typname = 'bytea' then format('sha256(%%I)', a.attname)
            when t.typname = 'jsonb' then format('%%I || jsonb_build_object(''x'', 1)', a.attname)
            when t.typname = 'timestamptz' then
                format('coalesce(%%I, now()) + interval ''1 us''', a.attname)
            else format('concat(%%I, ''x'')', a.attname)
        end
        from pg_class as c
        join pg_attribute as a on a.attrelid = c.oid
        join pg_type as t on t.oid = a.atttypid
        where c.oid = any (%s::regclass[]) and a.attnum > 0 and a.attgenerated = ''
        """,
        [[LEDGER, OBSERVATIONS, KEYS, TRANSFERS]],
    ).fetchall()
    assert len(columns) == 11 + 20 + 9 + 9
    for table in (LEDGER, OBSERVATIONS, KEYS, TRANSFERS):
        drop_constraints(sealed, table)
    for table, column, changed in columns:
        first = f"(select min(ctid) from {table})"
        attack = f"update {table} set {column} = {changed} where ctid = {first}"
        found = after(sealed, attack, table=table)
        assert [each.table_name for each in found] == [table.removeprefix("payout.")], column


def drop_constraints(db: Connection, table: str) -> None:
    found = db.execute(
        "select conname::text from pg_constraint "
        "where contype in ('c', 'f', 'u') and conrelid = %s::regclass",
        [table],
    )
    for (name,) in found.fetchall():
        db.execute(f"alter table {table} drop constraint {name} cascade")


@mutant(
    "a digest without the amount",
    "sealed_rows_v1",
    "(r.content)",
    "(r.content - 'amount_minor')",
    at="amount",
)
@mutant(
    "a digest without its time",
    "sealed_rows_v1",
    "(r.content)",
    "(r.content - 'created_at')",
    at="time",
)
@pytest.mark.parametrize(
    "change",
    ["amount_minor = 1", "created_at = created_at - interval '1 us'"],
    ids=["amount", "time"],
)
def test_a_change_of_the_amount_or_the_time_is_noticed(shared_engine: Engine, change: str) -> None:
    shared_engine.settle()
    seal_everything(shared_engine.db)
    found = after(shared_engine.db, f"update {LEDGER} set {change}")
    assert [each.table_name for each in found] == ["ledger_entries"]


@mutant(
    "a first range that begins at one",
    "seal_up_to_mark",
    "coalesce(v_seal.last_id + 1, -9223372036854775808)",
    "coalesce(v_seal.last_id + 1, 1)",
)
def test_a_row_below_the_first_sealed_one_is_noticed(shared_engine: Engine) -> None:
    shared_engine.settle()
    seal_everything(shared_engine.db)
    found = after(shared_engine.db, SLIP_IN.format(id=0))
    assert [each.row_id for each in found] == [0]


@mutant(
    "a chain that is not linked",
    "seal_sha256",
    "where b.seal_id = p_seal.seal_id - 1",
    "where false",
)
def test_a_seal_forged_below_the_newest_one_breaks_the_chain(shared_engine: Engine) -> None:
    db = shared_engine.db
    shared_engine.settle()
    seal_everything(db)
    (sealed,) = seals(db, "ledger_entries")
    assert sealed.seal_id < len(seals(db))
    with unguarded(db, LEDGER, SEALS):
        db.execute(f"update {LEDGER} set created_at = '2020-01-01'")
        forge(db, sealed.seal_id, sealed.seal_id)
    assert verify(db) != []


def test_an_added_column_does_not_break_old_seals(sealed: Connection) -> None:
    for table in (LEDGER, OBSERVATIONS, KEYS, TRANSFERS):
        sealed.execute(f"alter table {table} add column note text")
        sealed.execute(f"alter table {table} alter column note set default 'later'")
    assert verify(sealed) == []


def test_a_removed_row_is_named(sealed: Connection) -> None:
    assert after(sealed, "delete from payout.ledger_entries where ledger_entry_id in (5, 7)") == [
        Alteration("ledger_entries", 5, 5, "removed")
    ]


def test_removing_the_last_row_of_a_range_or_all_of_them_is_noticed(sealed: Connection) -> None:
    last = seals(sealed, "ledger_entries")[0].last_id
    assert after(sealed, f"delete from payout.ledger_entries where ledger_entry_id = {last}") == [
        Alteration("ledger_entries", last, 5, "removed")
    ]
    assert after(sealed, "delete from payout.ledger_entries") == [
        Alteration("ledger_entries", 1, 5, "removed")
    ]


@pytest.mark.parametrize("row_id", [0, -7, -(2**63)])
def test_a_row_that_was_slipped_in_under_a_low_id_is_named(sealed: Connection, row_id: int) -> None:
    assert after(sealed, SLIP_IN.format(id=row_id)) == [
        Alteration("ledger_entries", row_id, 5, "slipped in")
    ]


def test_a_row_that_was_slipped_into_a_gap_is_named(shared_engine: Engine) -> None:
    db = shared_engine.db
    shared_engine.settle()
    for settlement_id in ("set_2", "set_3"):
        with db.transaction(force_rollback=True):
            Engine(db).settle("seller_1", settlement_id="set_gone")
        shared_engine.settle(settlement_id=settlement_id)
        seal_everything(db)
    for gap in (3, 4, 7, 8):
        (found,) = after(db, SLIP_IN.format(id=gap))
        assert (found.row_id, found.what) == (gap, "slipped in")


def test_rows_that_were_swapped_are_named(sealed: Connection) -> None:
    swap = """
        with a as (delete from payout.ledger_entries where ledger_entry_id in (1, 3) returning *)
        select * into temporary swapped from a
        """
    put = """
        insert into payout.ledger_entries (ledger_entry_id, payout_transfer_id, kind, generation,
            debit_account, credit_account, amount_minor, currency, created_at)
        overriding system value
        select 4 - ledger_entry_id, payout_transfer_id, kind, generation, debit_account,
            credit_account, amount_minor, currency, created_at from swapped
        """
    assert after(sealed, swap, put) == [Alteration("ledger_entries", 1, 5, "altered")]


def test_the_first_of_several_is_named_for_each_table(sealed: Connection) -> None:
    with sealed.transaction(force_rollback=True):
        with unguarded(sealed, LEDGER, OBSERVATIONS):
            sealed.execute("update payout.ledger_entries set amount_minor = 1 where kind = 'paid'")
            sealed.execute("delete from payout.transfer_observations where signal = 'no_response'")
        found = verify(sealed)
        # From the second round on only what belongs to it.
        later = verify(sealed, start=10)
    assert [(each.table_name, each.seal_id, each.what) for each in found] == [
        ("ledger_entries", 5, "altered"),
        ("transfer_observations", 8, "removed"),
    ]
    assert [(each.table_name, each.seal_id) for each in later] == [
        ("ledger_entries", 10),
        ("transfer_observations", 13),
    ]


def test_what_is_not_sealed_yet_is_not_judged(sealed: Connection) -> None:
    Engine(sealed).settle(settlement_id="set_3")
    found = after(
        sealed,
        "update payout.ledger_entries set amount_minor = 1 where ledger_entry_id = "
        "(select max(ledger_entry_id) from payout.ledger_entries)",
    )
    assert found == []


@pytest.mark.parametrize(
    "change",
    [
        "sealed_at = sealed_at - interval '1 us'",
        "row_digests = ''",
        "row_ids = '{}'",
        "rows_sha256 = sha256('')",
        "rows_from = null",
        "rows_until = rows_until + interval '1 us'",
        "last_id = last_id + 1",
        "first_id = first_id + 1",
        "table_name = 'another_table'",
        "seal_sha256 = sha256('')",
    ],
)
def test_a_changed_seal_is_named(sealed: Connection, change: str) -> None:
    found = after(sealed, f"update payout.seals set {change} where seal_id = 5", table=SEALS)
    assert Alteration("seals", 5, 5, "it was altered, or the seal before it was") in found


def test_a_seal_that_was_forged_with_its_hash_breaks_the_next_one(sealed: Connection) -> None:
    with sealed.transaction(force_rollback=True):
        with unguarded(sealed, LEDGER, SEALS):
            sealed.execute(
                "update payout.ledger_entries set generation = 7 where ledger_entry_id = 2"
            )
            forge(sealed, 5, 5)
        assert verify(sealed) == [
            Alteration("seals", 6, 6, "it was altered, or the seal before it was")
        ]


def test_a_chain_that_was_forged_to_its_end_is_only_known_by_a_head_kept_elsewhere(
    sealed: Connection,
) -> None:
    kept = head(sealed)
    with sealed.transaction(force_rollback=True):
        with unguarded(sealed, LEDGER, SEALS):
            sealed.execute(
                "update payout.ledger_entries set generation = 7 where ledger_entry_id = 2"
            )
            forge(sealed, 5, 14)
        assert verify(sealed) == []
        assert verify(sealed, head=kept) == [
            Alteration("seals", 14, 14, "it is not the seal that the kept head names")
        ]


def test_a_removed_seal_is_noticed_by_the_next_one(sealed: Connection) -> None:
    assert after(sealed, "delete from payout.seals where seal_id = 9", table=SEALS)[
        0
    ] == Alteration("seals", 10, 10, "the seal before it is missing")


def test_a_range_that_was_cut_out_of_the_chain_is_noticed(sealed: Connection) -> None:
    """The first seal of the transfers is removed, the later ones are renumbered and forged."""
    with sealed.transaction(force_rollback=True):
        sealed.execute(
            "alter table payout.seal_subtotals drop constraint seal_subtotals_seal_id_fkey"
        )
        with unguarded(sealed, SEALS, SUBTOTALS):
            sealed.execute("delete from payout.seals where seal_id = 8")
            for seal_id in range(9, 15):
                for table in (SEALS, SUBTOTALS):
                    sealed.execute(
                        f"update {table} set seal_id = seal_id - 1 where seal_id = {seal_id}"
                    )
            forge(sealed, 8, 13)
        assert verify(sealed) == [
            Alteration("seals", 12, 12, "it does not begin where the one before it ended")
        ]


@pytest.mark.parametrize(
    "attack",
    [
        "update payout.seal_subtotals set credit_minor = credit_minor + 1 "
        "where seal_id = 5 and account = 'in_flight'",
        "update payout.seal_subtotals set credits = credits + 1 "
        "where seal_id = 5 and account = 'in_flight'",
        "delete from payout.seal_subtotals where seal_id = 5 and account = 'in_flight'",
    ],
)
def test_a_changed_subtotal_is_named(sealed: Connection, attack: str) -> None:
    assert after(sealed, attack, table=SUBTOTALS) == [
        Alteration("seal_subtotals", None, 5, "in_flight usd is altered")
    ]


def test_a_range_of_seals_is_verified_alone(sealed: Connection) -> None:
    ranges = "select seal_id from payout_api.verify_seals(p_from => %s, p_to => %s)"
    with sealed.transaction(force_rollback=True):
        with unguarded(sealed, SUBTOTALS):
            sealed.execute(
                "update payout.seal_subtotals set credits = credits + 1 "
                "where seal_id = 5 and account = 'in_flight'"
            )
        found = [sealed.execute(ranges, of).fetchall() for of in ([1, 4], [5, 5], [2, 9], [6, 9])]
    assert found == [[], [(5,)], [(5,)], []]


def test_a_subtotal_that_was_slipped_in_is_named(sealed: Connection) -> None:
    for seal_id, currency in ((11, "eur"), (13, "usd")):
        slip_in = (
            "insert into payout.seal_subtotals (seal_id, account, currency, debit_minor, "
            "credit_minor, debits, credits) "
            f"values ({seal_id}, 'in_flight', '{currency}', 0, 5, 0, 1)"
        )
        assert after(sealed, slip_in, table=SUBTOTALS) == [
            Alteration("seal_subtotals", None, seal_id, f"in_flight {currency} is altered")
        ]


def test_newest_seals_that_were_removed_are_only_missed_by_a_head_kept_elsewhere(
    sealed: Connection,
) -> None:
    kept = head(sealed)
    with sealed.transaction(force_rollback=True):
        with unguarded(sealed, SEALS):
            sealed.execute("delete from payout.seals where seal_id >= 13")
        assert verify(sealed) == []
        assert verify(sealed, head=kept) == [
            Alteration("seals", 14, 14, "it is not the seal that the kept head names")
        ]


def test_a_head_that_was_kept_stays_good_while_the_chain_grows(sealed: Connection) -> None:
    kept = head(sealed)
    Engine(sealed).settle(settlement_id="set_3")
    assert seal_everything(sealed) > 0
    assert head(sealed) != kept
    assert verify(sealed, head=kept) == []


@pytest.mark.parametrize(
    "setting",
    [
        "timezone = 'Asia/Kathmandu'",
        "datestyle = 'German, DMY'",
        "intervalstyle = 'iso_8601'",
        "bytea_output = 'escape'",
        "extra_float_digits = -15",
        "standard_conforming_strings = off",
        "lc_numeric = 'C'",
        "search_path = payout, payout_api, pg_catalog",
        "client_encoding = 'SQL_ASCII'",
    ],
)
def test_no_setting_of_a_session_shows_in_a_seal(auditor: Connection, setting: str) -> None:
    auditor.execute(f"set {setting}")
    assert auditor.execute(VERIFY).fetchall() == []


def test_a_seal_that_was_made_under_odd_settings_is_the_same(shared_engine: Engine) -> None:
    db = shared_engine.db
    shared_engine.settle()
    let_a_minute_pass(db)
    seal(db)
    let_a_minute_pass(db)
    let_transactions_end(db)
    for setting in (
        "timezone = 'Asia/Kathmandu'",
        "datestyle = 'German'",
        "bytea_output = 'escape'",
    ):
        shared_engine.worker.execute(f"set {setting}")
    assert seal(shared_engine.worker) > 3
    assert verify(db) == []


def test_anybody_can_recompute_a_seal_without_this_database(sealed: Connection) -> None:
    """The chain, of sealed rows and seals that were exported, with nothing but SHA-256 and JSON."""

    def seconds(moment: datetime | None) -> str | None:
        if moment is None:
            return None
        since = moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
        return f"{Decimal(since // timedelta(microseconds=1)) / 1_000_000:.6f}"

    def known(content: Any) -> Any:
        """Leave out nulls; the keys in the order of jsonb: shorter ones first."""
        if isinstance(content, list):
            return [known(each) for each in content]
        if not isinstance(content, dict):
            return content
        keys = sorted(content, key=lambda key: (len(key.encode()), key))
        return {key: known(content[key]) for key in keys if content[key] is not None}

    def digest(content: Any) -> bytes:
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).digest()

    sealed.execute("set timezone = 'UTC'")
    rows = sealed.execute("select table_name, row_id, content from payout_api.sealed_rows")
    digests = {(table, row_id): digest(known(content)) for table, row_id, content in rows}
    former = b""
    for row in sealed.execute(
        "select seal_id, seal_version, table_name, first_id, last_id, row_ids::text, "
        "encode(row_digests, 'hex'), encode(rows_sha256, 'hex'), rows_from, rows_until, sealed_at, "
        "seal_sha256 from payout.seals order by seal_id"
    ).fetchall():
        content = [*row[:8], seconds(row[8]), seconds(row[9]), seconds(row[10])]
        former = hashlib.sha256(former + json.dumps(content).encode()).digest()
        assert former == row[11]
        covered = [
            digests[table, row_id]
            for table, row_id in sorted(digests)
            if table == row[2] and row[3] <= row_id <= row[4]
        ]
        assert row[6] == b"".join(digest[:8] for digest in covered).hex()
        assert row[7] == hashlib.sha256(b"".join(covered)).hexdigest()


@pytest.mark.parametrize("start", ["null", "0", "-1", "99"])
def test_a_start_that_is_no_seal_is_refused(sealed: Connection, start: str) -> None:
    assert refusal(sealed, f"select * from payout_api.verify_seals(p_from => {start})") == Refusal(
        "SP330", f"there is no seal {start}"
    )


@pytest.mark.parametrize("kept", ["", "8", "8:ab", "0:" + 64 * "a", "8:" + 64 * "g"])
def test_a_head_that_is_none_is_refused(sealed: Connection, kept: str) -> None:
    assert refusal(
        sealed, "select * from payout_api.verify_seals(p_head => %s)", [kept]
    ) == Refusal("SP330", f"head {kept} is malformed")


def test_a_seal_is_a_fact(sealed: Connection) -> None:
    assert refusal(sealed, "update payout.seals set seal_sha256 = seal_sha256") == Refusal(
        "SP101", "update on payout.seals is refused"
    )
    assert refusal(sealed, "delete from payout.seals") == Refusal(
        "SP101", "delete on payout.seals is refused"
    )


@pytest.mark.parametrize("call", [VERIFY, "select payout_api.seal_head()"])
def test_operators_and_auditors_may_verify_and_nobody_else(
    visit: Callable[..., Connection], call: str
) -> None:
    for role in ("payout_operator", "payout_auditor"):
        assert refusal(visit(role), call) is None
    for role in ("payout_app", "payout_worker"):
        refused = refusal(visit(role), call)
        assert refused is not None
        assert refused.sqlstate == "42501"


@pytest.mark.parametrize(
    ("table", "attack"),
    [
        ("payee_accounts", "delete from {} where payee_id = 'seller_1'"),
        ("operator_actions", "delete from {} where action = 'hold'"),
        ("operator_actions", "update {} set acted_by = 'somebody' where action = 'hold'"),
        ("holds", "delete from {}"),
        ("holds", "update {} set subject = 'set_9'"),
        ("discrepancies", "delete from {}"),
        ("discrepancies", "update {} set theirs = '{{}}'"),
        ("adoptions", "delete from {} where not is_installation"),
        ("catalogues", "delete from {}"),
    ],
)
def test_an_act_a_hold_or_an_account_cannot_be_taken_out_of_history(
    shared_engine: Engine, table: str, attack: str
) -> None:
    shared_engine.settle()
    shared_engine.report_one(success(shared_engine.claim_one(), amount_minor=1))
    seal_everything(shared_engine.db)
    assert verify(shared_engine.db) == []
    name = f"payout.{table}"
    (found,) = after(shared_engine.db, attack.format(name), table=name)
    assert found.table_name == table
    assert found.what == ("removed" if attack.startswith("delete") else "altered")


def test_an_account_that_is_slipped_into_the_history_is_named(shared_engine: Engine) -> None:
    shared_engine.settle("seller_1")
    seal_everything(shared_engine.db)
    (found,) = after(
        shared_engine.db,
        "insert into payout.payee_accounts (payee_account_id, payee_id, stripe_account_id) "
        "overriding system value values (-1, 'seller_1', 'acct_9')",
        table=ACCOUNTS,
    )
    assert (found.table_name, found.row_id, found.what) == ("payee_accounts", -1, "slipped in")
