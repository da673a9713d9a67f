"""Names given outside of the engine have one spelling, no traps, and any other characters."""

from __future__ import annotations

import psycopg
import pytest

from tests.conftest import Connection
from tests.schema import rows
from tests.schema.refusals import domain_refusal, refusal


@pytest.mark.parametrize(
    ("constraint", "texts"),
    [
        ("id_is_1_to_200_characters", ["", 201 * "a", 201 * "é"]),
        (
            "id_has_no_control_characters",
            ["a\x01b", "a\tb", "a\nb", "a\rb", "a\x1fb", "a\x7fb", "a\x80b", "a\x85b", "a\x9fb"],
        ),
        (
            "id_has_no_blank_at_its_ends",
            [" a", "a ", " ", "a\u00a0", "\u3000a", "\u2003a", "a\u2028"],
        ),
        (
            "id_has_no_invisible_characters",
            ["\ufeffa", "a\u200b", "a\u00adb", "a\u2060b", "\u200ea", "a\u202eb", "a\u2066b"],
        ),
        ("id_is_in_unicode_normal_form_c", ["e\u0301", "\u212b", "A\u030a", "\u1112\u1161\u11ab"]),
    ],
)
def test_an_id_is_refused_by_the_check_that(
    db: Connection, constraint: str, texts: list[str]
) -> None:
    expected = domain_refusal("external_id", constraint)
    refusals = {
        text: refusal(db, "insert into payout.payees (payee_id) values (%s)", [text])
        for text in texts
    }
    assert refusals == dict.fromkeys(texts, expected)


def test_the_error_shows_which_id_it_is_about(db: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as raised:
        db.execute("insert into payout.payees (payee_id) values ('it''s\t' || repeat('a', 99))")
    assert raised.value.diag.message_detail == "The id is 'it''s\t" + 55 * "a" + "'."


def test_an_id_may_be_anything_else_and_comes_back_unchanged(db: Connection) -> None:
    texts = [
        "a",
        200 * "a",
        200 * "💶",
        "a b",
        "O'Brien & Söhne",
        '"quoted"',
        "'; drop table payout.payees; --",
        "$$ %s {} \\ \\x41 %(name)s",
        "null",
        "\u00e9",
        "\ud55c",
        "売り手",
        "бутик",
        "бутик".upper(),
    ]
    for text in texts:
        rows.add_transfer(db, text)

    for table in ("settlements", "settlement_lines", "payout_jobs", "payout_transfers"):
        found = db.execute(f"select settlement_id from payout.{table}").fetchall()
        assert sorted(text for (text,) in found) == sorted(texts)
    refs = db.execute("select count(distinct payout_ref) from payout.payout_transfers")
    assert refs.fetchone() == (len(texts),)


def test_ids_that_look_alike_are_different_ids(db: Connection) -> None:
    for payee_id in ("seller", "Seller", "s\u0435ller", "s\u200deller"):
        rows.insert(db, "payees", {"payee_id": payee_id})

    assert db.execute("select count(*) from payout.payees").fetchone() == (4,)


def test_an_id_with_nul_does_not_reach_the_database(db: Connection) -> None:
    with pytest.raises(psycopg.DataError, match="cannot contain NUL"):
        db.execute("insert into payout.payees (payee_id) values (%s)", ["a\x00b"])


def test_every_name_from_outside_is_held_to_the_rules_of_ids(db: Connection) -> None:
    found = db.execute(
        """
        select c.relname || '.' || a.attname
        from pg_class as c
        join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0
        where c.relnamespace = 'payout'::regnamespace and c.relkind in ('r', 'p')
            and a.attname in ('settlement_id', 'payee_id', 'line_id')
            and a.atttypid <> 'payout.external_id'::regtype
        """
    )
    assert found.fetchall() == []


def test_a_currency_is_three_lower_case_letters(db: Connection) -> None:
    expected = domain_refusal("currency_code", "currency_is_three_lower_case_letters")
    for text in ("", "us", "usdd", "USD", "Usd", "u5d", "us ", "usd\n", "üsd"):
        statement = (
            "insert into payout.settlements (settlement_id, currency, total_minor) "
            "values ('set_1', %s, 1)"
        )
        assert refusal(db, statement, [text]) == expected
    found = db.execute(
        """
        select c.relname || '.' || a.attname
        from pg_class as c
        join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0
        where c.relnamespace = 'payout'::regnamespace and c.relkind in ('r', 'p')
            and a.attname = 'currency' and a.atttypid <> 'payout.currency_code'::regtype
        """
    )
    assert found.fetchall() == []
