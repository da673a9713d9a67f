"""Transfers of other software on the account are counted; no rule hides one of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.conftest import Connection
from tests.engine import Engine, no_answer, unguarded
from tests.mutants import mutant
from tests.operate.checks import complaints
from tests.reconcile.listing import (
    Listed,
    Taken,
    begin,
    carry,
    claim,
    listed,
    ours,
    pay,
    reconcile,
    with_account,
)
from tests.schema.refusals import Refusal, check_refusal, refusal, refusal_of
from tests.settle.marketplace import complete, line

ADD: Final = (
    "select payout_api.add_not_ours_rule(p_reason => %(reason)s, "
    "p_created_before => %(created_before)s, p_metadata_key => %(metadata_key)s, "
    "p_destination => %(destination)s, p_everything => %(everything)s)"
)
END: Final = "select payout_api.end_not_ours_rule(%s, %s)"
NOTHING: Final[dict[str, Any]] = dict.fromkeys(
    ("created_before", "metadata_key", "destination", "everything")
)
EVERYTHING: Final = {"everything": True}
ACTS: Final = "every release and resolution has its act"
# Metadata of other software.
SHOP: Final = {"shop": "1042"}
ANOTHER_INSTALLATION: Final = "0" * 32


@pytest.fixture
def db(engine: Engine) -> Connection:
    with_account(engine)
    return engine.db


def add(engine: Engine, reason: str | None = "the old shop pays too", **conditions: Any) -> int:
    """Add a rule as an operator; return its id."""
    values = {**NOTHING, "reason": reason, **conditions}
    ((rule,),) = engine.operator.execute(ADD, values).fetchall()
    return int(rule)


def install_in_2020(db: Connection) -> None:
    """Let the installation be old, so that older transfers are its matter."""
    with unguarded(db, "payout.adoptions"):
        db.execute("update payout.adoptions set recorded_at = '2020-01-01'")


def others(number: int, **changes: Any) -> list[Listed]:
    return [listed(f"tr_other_{n}", metadata=SHOP, **changes) for n in range(number)]


def open_discrepancies(db: Connection) -> list[tuple[str, str]]:
    return db.execute(
        "select kind, stripe_transfer_id from payout.discrepancies where resolved_at is null "
        "order by stripe_transfer_id"
    ).fetchall()


def counts(db: Connection) -> list[tuple[int, int | None, int]]:
    """Return rule, transfers in the last comparison that met some, discrepancies resolved."""
    return db.execute(
        "select rule_id, transfers_in_last_read, discrepancies_resolved "
        "from payout_api.not_ours order by rule_id"
    ).fetchall()


@pytest.mark.parametrize(
    "conditions",
    [
        EVERYTHING,
        {"metadata_key": "shop"},
        {"destination": "acct_9"},
        {"created_before": "2026-01-01"},
        {"created_before": "2026-01-01", "metadata_key": "shop", "destination": "acct_9"},
    ],
    ids=["everything", "a key", "an account", "a date", "all three"],
)
def test_three_hundred_transfers_of_other_software_are_counted(
    conditions: dict[str, Any], engine: Engine, db: Connection
) -> None:
    install_in_2020(db)
    rule = add(engine, **conditions)
    pay(engine, "seller_1")

    taken = reconcile(
        db, ours(db), *others(300, destination="acct_9", created=1_760_000_000), per_page=100
    )

    assert taken == Taken(301, 0, True)
    assert open_discrepancies(db) == []
    assert counts(db) == [(rule, 300, 0)]
    assert db.execute(
        "select r.result, p.transfers_not_ours from payout.stripe_reads as r "
        "join payout_api.reconcile_progress as p using (read_id)"
    ).fetchall() == [("compared 301 transfers of Stripe's: 0 discrepancies, 300 not ours", 300)]


@mutant(
    "a rule that fits another account",
    "not_ours_rule",
    "coalesce(l.destination = r.destination, r.destination is null)",
    "true",
    at="another account",
)
@mutant(
    "a rule that fits other metadata",
    "not_ours_rule",
    "coalesce(p_theirs -> 'metadata_keys' ? r.metadata_key, false)",
    "true",
    at="another key",
)
@mutant(
    "a rule that fits later transfers",
    "not_ours_rule",
    "coalesce(l.created_at < r.created_before, r.created_before is null)",
    "true",
    at="later",
)
@pytest.mark.parametrize(
    "change",
    [
        {"destination": "acct_8"},
        {"metadata": {"market": "1"}},
        {"metadata": {}},
        {"created": 1_770_000_000},
        {"created": None},
    ],
    ids=["another account", "another key", "no metadata", "later", "no time"],
)
def test_what_a_rule_does_not_fit_in_full_is_a_discrepancy(
    change: dict[str, Any], engine: Engine, db: Connection
) -> None:
    install_in_2020(db)
    add(engine, created_before="2026-01-01", metadata_key="shop", destination="acct_9")
    fits = {"destination": "acct_9", "metadata": SHOP, "created": 1_760_000_000}

    reconcile(db, listed("tr_1", **fits), listed("tr_2", **(fits | change)))

    assert open_discrepancies(db) == [("transfer_without_payout_ref", "tr_2")]


def test_a_new_rule_resolves_the_open_discrepancies_that_it_explains(
    engine: Engine, db: Connection
) -> None:
    reconcile(db, *others(3), listed("tr_9"))
    assert len(open_discrepancies(db)) == 4

    rule = add(engine, metadata_key="shop")

    assert open_discrepancies(db) == [("transfer_without_payout_ref", "tr_9")]
    assert counts(db) == [(rule, None, 3)]
    assert db.execute(
        "select distinct resolved_by, resolution from payout.discrepancies "
        "where resolved_at is not null"
    ).fetchall() == [("engine", f"not ours by rule {rule}")]
    assert ACTS not in complaints(db)
    # A discrepancy that came beside the rule is resolved by its repetition.
    reconcile(db, *others(3), listed("tr_9"))
    assert add(engine, metadata_key="shop") == rule
    assert counts(db) == [(rule, 3, 3)]


# Each carries one sign that it may be ours, and otherwise only what others write.
def carries_our_installation(db: Connection) -> dict[str, Any]:
    ((installation,),) = db.execute("select installation_id from payout.engine_settings").fetchall()
    return {"metadata": SHOP | {"payout_engine": installation}}


def carries_a_payout_ref_of_ours(db: Connection) -> dict[str, Any]:
    """As of another installation, and in another group: both were edited, or copied."""
    metadata = {"payout_ref": payout_ref(db), "payout_engine": ANOTHER_INSTALLATION}
    return {"metadata": SHOP | metadata, "transfer_group": "payout_" + 40 * "0"}


def carries_our_settlement_and_payee(db: Connection) -> dict[str, Any]:
    metadata = {"settlement_id": "set_1", "payee_id": "seller_1"}
    return {"metadata": SHOP | metadata | {"payout_engine": ANOTHER_INSTALLATION}}


def carries_a_payout_ref_that_a_restore_forgot(db: Connection) -> dict[str, Any]:
    metadata = {"settlement_id": "set_9", "payee_id": "seller_9"}
    ((forgotten,),) = db.execute(
        "select payout.payout_ref(installation_id, 'set_9', 'seller_9', null) "
        "from payout.engine_settings"
    ).fetchall()
    metadata |= {"payout_ref": forgotten, "payout_engine": ANOTHER_INSTALLATION}
    return {"metadata": SHOP | metadata}


def carries_a_payout_ref_of_unknown_origin(db: Connection) -> dict[str, Any]:
    return {"metadata": SHOP | {"payout_ref": "payout_" + 40 * "a"}}


def is_in_a_group_of_unknown_origin(db: Connection) -> dict[str, Any]:
    return {"metadata": SHOP, "transfer_group": "payout_" + 40 * "a"}


def payout_ref(db: Connection) -> str:
    ((found,),) = db.execute(
        "select payout_ref from payout.payout_transfers where settlement_id = 'set_1'"
    ).fetchall()
    return str(found)


ATTACKS: Final[dict[str, Callable[[Connection], dict[str, Any]]]] = {
    "our installation": carries_our_installation,
    "a payout_ref of ours": carries_a_payout_ref_of_ours,
    "our settlement and payee": carries_our_settlement_and_payee,
    "a forgotten payout_ref": carries_a_payout_ref_that_a_restore_forgot,
    "a payout_ref of nobody": carries_a_payout_ref_of_unknown_origin,
    "a group of nobody": is_in_a_group_of_unknown_origin,
}


@mutant(
    "a rule that hides our installation",
    "may_be_ours",
    "coalesce(p_listed.payout_engine = e.installation_id, false)",
    "false",
    at="our installation",
)
@mutant(
    "a rule that hides a payout_ref of ours",
    "may_be_ours",
    "p_listed.payout_ref, p_listed.transfer_group, p_listed.belongs_to)",
    "null)",
    at="a payout_ref of ours",
)
@mutant(
    "a rule that hides our settlement and payee",
    "may_be_ours",
    "where s.settlement_id = p_listed.settlement_id and",
    "where false and",
    at="our settlement and payee",
)
@mutant(
    "a rule that hides a forgotten payout_ref",
    "may_be_ours",
    "in (p_listed.payout_ref, p_listed.transfer_group), false)",
    "in (null), false)",
    at="a forgotten payout_ref",
)
@mutant(
    "a rule that hides a payout_ref of nobody",
    "may_be_ours",
    "concat_ws(' ', p_listed.payout_ref, p_listed.transfer_group)",
    "concat_ws(' ', p_listed.transfer_group)",
    at="a payout_ref of nobody",
)
@mutant(
    "a rule that hides a group of nobody",
    "may_be_ours",
    "concat_ws(' ', p_listed.payout_ref, p_listed.transfer_group)",
    "concat_ws(' ', p_listed.payout_ref)",
    at="a group of nobody",
)
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_rule_hides_a_transfer_that_may_be_ours(
    attack: str, engine: Engine, db: Connection
) -> None:
    engine.settle(pay_after="2100-01-01")
    found = listed("tr_attack", destination="acct_9", **ATTACKS[attack](db))
    add(engine, everything=True)
    add(engine, metadata_key="shop")
    add(engine, destination="acct_9")

    reconcile(db, found, *others(1))

    assert [transfer for _, transfer in open_discrepancies(db)] == ["tr_attack"]
    # Nor does a rule that comes later resolve it.
    add(engine, metadata_key="shop", destination="acct_9")
    assert [transfer for _, transfer in open_discrepancies(db)] == ["tr_attack"]


@mutant(
    "a rule that hides a difference to ours",
    "not_ours_rule",
    "p_kind in ('transfer_without_payout_ref', 'unknown_transfer_at_stripe')",
    "true",
)
def test_no_rule_hides_a_difference_or_something_missing(engine: Engine, db: Connection) -> None:
    add(engine, everything=True)
    add(engine, metadata_key="shop")
    pay(engine, "seller_1", "seller_2")

    # All that it carried was taken from it: only its id is left.
    reconcile(db, listed("tr_1", metadata=SHOP, transfer_group=None))

    assert open_discrepancies(db) == [
        ("differs_at_stripe", "tr_1"),
        ("missing_at_stripe", "tr_2"),
    ]


def test_a_transfer_that_a_rule_hides_still_stops_its_like(engine: Engine, db: Connection) -> None:
    """It named a settlement that came later: a claim never sends a listed transfer."""
    add(engine, everything=True)
    metadata = SHOP | {"settlement_id": "set_1", "payee_id": "seller_1"}
    assert reconcile(db, listed("tr_by_hand", metadata=metadata)) == Taken(1, 0, True)

    engine.settle()

    assert engine.claim() == []


@pytest.mark.parametrize("rules", [[], [EVERYTHING, {"destination": "acct_1"}]])
def test_a_look_up_asks_no_rule(rules: list[dict[str, Any]], engine: Engine) -> None:
    """Its metadata were taken from it; charge, account and amount are those of ours."""
    engine.app.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    complete(engine.app, "set_1", [line("1", "seller_1", 1500, source_transaction="ch_1")])
    engine.report(no_answer(engine.claim_one()))
    engine.let_pass("21 hours")
    engine.sweep()
    for conditions in rules:
        add(engine, **conditions)

    found = listed("tr_1", destination="acct_1", amount=1500, source_transaction="ch_1")
    assert engine.look_up(found) == (True, "alarm", "parked")


def test_another_installation_on_the_account_can_be_explained(
    engine: Engine, db: Connection
) -> None:
    metadata = {
        "payout_engine": ANOTHER_INSTALLATION,
        "payout_ref": "payout_" + 40 * "b",
        "settlement_id": "theirs_1",
        "payee_id": "theirs_1",
    }
    add(engine, metadata_key="payout_engine")

    assert reconcile(db, listed("tr_1", metadata=metadata)) == Taken(1, 0, True)
    assert open_discrepancies(db) == []


def test_events_about_transfers_of_others_are_no_discrepancies(
    engine: Engine, db: Connection
) -> None:
    add(engine, metadata_key="shop")
    (read,) = claim(db, "events")
    reversed_ = listed("tr_other", metadata=SHOP, amount_reversed=5)

    carry(db, read, {"id": "evt_1", "data": {"object": reversed_}})

    assert open_discrepancies(db) == []


@mutant(
    "an ended rule whose transfers are not read again",
    "begin_list",
    "p_kind = 'comparison' and r.ended_at > v_last.begun_at",
    "false",
)
@mutant(
    "an ended rule that explains for ever",
    "record_discrepancies",
    "and d.resolved_by_rule_id is null\n",
    "",
)
def test_what_an_ended_rule_hid_is_found_by_the_next_comparison(
    engine: Engine, db: Connection
) -> None:
    install_in_2020(db)
    created = 1_790_000_000
    reconcile(db, *others(1, created=created))
    rule = add(engine, metadata_key="shop")
    reconcile(db, *others(2, created=created))
    assert begin(db).gte == created - 86_400
    reconcile(db, *others(2, created=created))

    engine.operator.execute(END, [rule, "it was too wide"])

    assert begin(db).gte is None
    reconcile(db, *others(2, created=created))
    assert open_discrepancies(db) == [
        ("transfer_without_payout_ref", "tr_other_0"),
        ("transfer_without_payout_ref", "tr_other_1"),
    ]
    # Once is enough.
    assert begin(db).gte == created - 86_400


def test_each_act_is_on_record_and_a_rule_without_one_is_named(
    engine: Engine, db: Connection
) -> None:
    rule = add(engine, metadata_key="shop")
    assert add(engine, "again", metadata_key="shop") == rule
    for reason, result in (("over", "done"), ("again", "already")):
        assert engine.operator.execute(END, [rule, reason]).fetchall() == [(result,)]

    assert db.execute(
        "select action, subject, reason from payout.operator_actions "
        "where action like '%_not_ours_rule' order by operator_action_id"
    ).fetchall() == [
        ("add_not_ours_rule", str(rule), "the old shop pays too"),
        ("end_not_ours_rule", str(rule), "over"),
    ]
    assert complaints(db) == {}

    db.execute("insert into payout.not_ours_rules (metadata_key, reason) values ('x', 'by hand')")
    assert list(complaints(db)) == [ACTS]


def test_a_discrepancy_about_ours_that_was_closed_by_a_rule_is_named(
    engine: Engine, db: Connection
) -> None:
    engine.settle(pay_after="2100-01-01")
    rule = add(engine, metadata_key="shop")
    reconcile(db, listed("tr_1", **carries_our_installation(db)))
    db.execute(
        "update payout.discrepancies set resolved_at = now(), resolved_by = 'engine', "
        "resolution = 'not ours by rule 1', resolved_by_rule_id = %s",
        [rule],
    )

    assert list(complaints(db)) == [ACTS]


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ({}, "why"),
        ({"everything": True, "metadata_key": "shop"}, "why"),
        ({"created_before": "2100-01-01"}, "why"),
        ({"metadata_key": "shop"}, " "),
        ({"metadata_key": "shop"}, None),
    ],
)
def test_a_rule_needs_conditions_and_a_reason(
    conditions: dict[str, Any], reason: str | None, engine: Engine, db: Connection
) -> None:
    quoted = f"'{reason}'" if reason is not None else "null"
    assert refusal_of(db, lambda: add(engine, reason, **conditions)) == Refusal(
        "SP313", f"cannot add such a rule, for reason {quoted}"
    )


def test_a_destination_is_a_stripe_account(engine: Engine, db: Connection) -> None:
    assert refusal_of(db, lambda: add(engine, destination="seller_1")) == check_refusal(
        "not_ours_rules", "destination_is_a_stripe_account"
    )


def test_a_rule_is_ended_with_a_reason(engine: Engine, db: Connection) -> None:
    rule = add(engine, everything=True)
    for reason in (" ", None):
        refused = refusal(engine.operator, END, [rule, reason])
        assert refused == Refusal("SP313", f"cannot end rule {rule} without a reason")
    assert refusal(engine.operator, END, [rule + 1, "why"]) == Refusal(
        "SP310", f"rule {rule + 1} does not exist"
    )


@pytest.mark.parametrize("role", ["payout_app", "payout_worker", "payout_auditor"])
def test_only_an_operator_may_write_rules(visit: Callable[..., Connection], role: str) -> None:
    for call in ("add_not_ours_rule('x', p_everything => true)", "end_not_ours_rule(1, 'x')"):
        assert refusal(visit(role), f"select payout_api.{call}") == Refusal(
            "42501", f"permission denied for function {call.partition('(')[0]}"
        )
