"""The lists that come with the schema: currencies, accounts, settings."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tests.conftest import Connection

# docs.stripe.com/currencies, restated.
WITHOUT_DECIMALS: Final = {
    *("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga"),
    *("pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"),
}
WITH_THREE_DECIMALS: Final = {"bhd", "jod", "kwd", "omr", "tnd"}
WITH_TWO_DECIMALS: Final = {
    *("aed", "afn", "all", "amd", "ang", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd", "bdt"),
    *("bgn", "bmd", "bnd", "bob", "brl", "bsd", "bwp", "byn", "bzd", "cad", "cdf", "chf", "cny"),
    *("cop", "crc", "cve", "czk", "dkk", "dop", "dzd", "egp", "etb", "eur", "fjd", "fkp", "gbp"),
    *("gel", "gip", "gmd", "gtq", "gyd", "hkd", "hnl", "htg", "huf", "idr", "ils", "inr", "isk"),
    *("jmd", "kes", "kgs", "khr", "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "mad", "mdl"),
    *("mkd", "mmk", "mnt", "mop", "mur", "mvr", "mwk", "mxn", "myr", "mzn", "nad", "ngn", "nio"),
    *("nok", "npr", "nzd", "pab", "pen", "pgk", "php", "pkr", "pln", "qar", "ron", "rsd", "rub"),
    *("sar", "sbd", "scr", "sek", "sgd", "shp", "sle", "sos", "srd", "std", "szl", "thb", "tjs"),
    *("top", "try", "ttd", "twd", "tzs", "uah", "ugx", "usd", "uyu", "uzs", "wst", "xcd", "xcg"),
    *("yer", "zar", "zmw"),
}


def test_currencies_are_counted_as_stripe_counts_them(db: Connection) -> None:
    found = db.execute(
        "select currency, minor_digits, amount_step, minor_unit from payout.currencies"
    ).fetchall()
    digits = {currency: minor_digits for currency, minor_digits, _, _ in found}
    steps = {currency: step for currency, _, step, _ in found}
    units = {minor_digits: str(unit) for _, minor_digits, _, unit in found}

    assert {currency for currency in digits if digits[currency] == 0} == WITHOUT_DECIMALS
    assert {currency for currency in digits if digits[currency] == 3} == WITH_THREE_DECIMALS
    assert {currency for currency in steps if steps[currency] == 10} == WITH_THREE_DECIMALS
    # Two decimals for the sake of old programs, but only whole units.
    assert {currency for currency in steps if steps[currency] == 100} == {"isk", "ugx"}
    assert units == {0: "1", 2: "0.01", 3: "0.001"}
    assert {currency for currency in digits if digits[currency] == 2} == WITH_TWO_DECIMALS


def test_the_accounts_of_the_ledger_are_those_that_its_entries_use(db: Connection) -> None:
    found = db.execute("select account from payout.ledger_accounts").fetchall()

    assert {account for (account,) in found} == {
        "settlement_funds",
        "payable",
        "in_flight",
        "stripe_balance",
        "paid_outside",
    }


def test_the_settings_start_as_the_design_fixes_them(db: Connection) -> None:
    found = db.execute(
        "select lease_for, http_deadline_for, send_window_for, attempt_drain_for, is_livemode "
        "from payout.engine_settings"
    )
    assert found.fetchall() == [
        (
            timedelta(seconds=30),
            timedelta(seconds=20),
            timedelta(hours=20),
            timedelta(minutes=15),
            None,
        )
    ]
