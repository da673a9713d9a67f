"""One row that contradicts its facts is set aside by itself; every other transfer goes on."""

from __future__ import annotations

from tests.conftest import Connection
from tests.engine import Engine, LookupReport, no_answer, success, unfunded, unguarded
from tests.mutants import mutant
from tests.reconcile.listing import ours, reconcile, with_account

SELLERS = [f"seller_{number}" for number in range(1, 8)]
CONTRADICTION = "row_contradicts_facts"


def write(db: Connection, transfer: int, assignment: str) -> None:
    """Write a progress row past its guards."""
    with unguarded(db, "payout.transfer_states"):
        db.execute(
            f"update payout.transfer_states set {assignment} where payout_transfer_id = {transfer}"
        )


def kinds(engine: Engine) -> list[tuple[str, int | None]]:
    """Return kind and transfer of each discrepancy."""
    return [(kind, transfer) for kind, transfer, _ in engine.discrepancies()]


@mutant(
    "a claim that one row stops",
    "claim_transfers",
    "perform payout.set_aside(v_due.ids[1], sqlerrm);",
    "raise integrity_constraint_violation;",
)
def test_a_claim_sets_aside_the_row_that_is_behind_its_facts(shared_engine: Engine) -> None:
    """Its attempt was claimed before: the number is taken."""
    engine = shared_engine
    drifted, *others = engine.settle(*SELLERS)
    (claim,) = engine.claim(1)
    engine.report(no_answer(claim))
    write(
        engine.db,
        drifted,
        "attempt = 0, state = 'scheduled', window_begins_at = null, next_attempt_at = created.at "
        "from (select now() - interval '1 hour' as at) as created",
    )
    claims = engine.claim()
    assert [claim.payout_transfer_id for claim in claims] == others
    progress = engine.progress(drifted)
    assert (progress.state, progress.reason) == ("parked", CONTRADICTION)
    assert kinds(engine) == [(CONTRADICTION, drifted)]
    assert engine.open_holds() == [("transfer", str(drifted), CONTRADICTION)]
    assert engine.claim() == []
    assert len({claim.claim_token for claim in claims}) == len(others)
    write(
        engine.db,
        drifted,
        "attempt = 1, window_begins_at = (select a.window_begins_at "
        f"from payout.transfer_attempts as a where a.payout_transfer_id = {drifted})",
    )


def test_a_claim_of_one_steps_over_it(shared_engine: Engine) -> None:
    engine = shared_engine
    drifted, other = engine.settle(*SELLERS[:2])
    write(engine.db, drifted, "tries = -1, next_attempt_at = now() - interval '1 hour'")
    assert [claim.payout_transfer_id for claim in engine.claim(1)] == [other]
    assert engine.progress(drifted).state == "scheduled", "it cannot even be parked"
    assert engine.claim() == []
    assert kinds(engine) == [(CONTRADICTION, drifted)]
    write(engine.db, drifted, "tries = 0")


@mutant(
    "a sweep that one row stops",
    "open_keys",
    "perform payout.set_aside(p_payout_transfer_ids[1], sqlerrm);",
    "raise integrity_constraint_violation;",
)
def test_a_sweep_sets_aside_the_transfer_whose_next_key_is_booked(
    shared_engine: Engine,
) -> None:
    engine = shared_engine
    drifted, *others = engine.settle(*SELLERS)
    engine.report(*(unfunded(claim) for claim in engine.claim()))
    engine.let_pass("13 hours")
    engine.end_waits()
    engine.show_nothing()
    engine.db.execute(
        "insert into payout.ledger_entries (payout_transfer_id, kind, generation, debit_account, "
        "credit_account, amount_minor, currency) select payout_transfer_id, 'reserve', 2, "
        "'payable:' || payee_id, 'in_flight', amount_minor, currency "
        "from payout.payout_transfers where payout_transfer_id = %s",
        [drifted],
    )
    assert engine.sweep().transfers_reopened == len(others)
    progress = engine.progress(drifted)
    assert (progress.state, progress.next_attempt_in) == ("failed", None)
    assert kinds(engine) == [(CONTRADICTION, drifted)]
    assert {claim.payout_transfer_id for claim in engine.claim()} == {*others}
    with unguarded(engine.db, "payout.ledger_entries"):
        engine.db.execute(
            "delete from payout.ledger_entries where kind = 'reserve' and generation = 2 "
            "and payout_transfer_id = %s",
            [drifted],
        )


def test_a_sweep_closes_the_other_leases_and_keys_beside_a_broken_row(
    shared_engine: Engine,
) -> None:
    engine = shared_engine
    broken, waiting, *others = engine.settle(*SELLERS)
    claims = engine.claim()
    engine.report(no_answer(claims[1]))
    engine.let_pass("21 hours")
    write(engine.db, broken, "tries = -5")
    swept = engine.sweep()
    assert (swept.leases_expired, swept.transfers_parked) == (len(others), 1 + len(others))
    assert engine.progress(waiting).reason == "key_too_old_to_send"
    assert kinds(engine) == [(CONTRADICTION, broken)]
    again = engine.sweep()
    assert (again.leases_expired, again.transfers_parked) == (0, 0)
    assert kinds(engine) == [(CONTRADICTION, broken)]
    write(engine.db, broken, "tries = 0")
    assert engine.sweep().leases_expired == 1


@mutant(
    "a sweep of listed transfers that one row stops",
    "record_listed_transfers",
    "payout.record_outcomes_apart(v_outcomes)",
    "payout.record_outcomes(v_outcomes)",
)
def test_a_sweep_judges_the_other_listed_transfers_beside_a_broken_row(
    shared_engine: Engine,
) -> None:
    engine = with_account(shared_engine)
    there = [ours(engine.db, s.replace("seller", "tr"), payee_id=s) for s in SELLERS[:2]]
    reconcile(engine.worker, *there)
    engine.adopt()
    broken, other, *rest = engine.settle(*SELLERS)
    write(engine.db, broken, "tries = -5")
    engine.sweep()
    assert engine.progress(other).state == "paid"
    assert kinds(engine)[-1] == (CONTRADICTION, broken)
    assert [claim.payout_transfer_id for claim in engine.claim()] == rest
    write(engine.db, broken, "tries = 0")


def test_a_claim_of_single_transfers_steps_over_one_that_is_listed(shared_engine: Engine) -> None:
    engine = with_account(shared_engine)
    reconcile(engine.worker, ours(engine.db, payee_id=SELLERS[0]))
    engine.adopt()
    listed, drifted, other = engine.settle(*SELLERS[:3])
    write(engine.db, listed, "next_attempt_at = now() - interval '1 hour'")
    write(engine.db, drifted, "tries = -1")
    assert [claim.payout_transfer_id for claim in engine.claim()] == [other]
    engine.sweep()
    assert engine.progress(listed).state == "paid"
    write(engine.db, drifted, "tries = 0")


@mutant(
    "an outcome lost with its row",
    "record_outcomes_apart",
    "jsonb_strip_nulls(to_jsonb(v_outcome) - 'claim_token')",
    "'{}'",
)
@mutant(
    "a report that one row stops",
    "record_outcomes_apart",
    "when integrity_constraint_violation or data_exception\n"
    "            or sqlstate 'SP103' or sqlstate 'SP201' then",
    "when division_by_zero then",
)
def test_a_report_keeps_the_outcome_that_cannot_be_stored_and_takes_the_others(
    shared_engine: Engine,
) -> None:
    engine = shared_engine
    broken, *others = engine.settle(*SELLERS)
    claims = engine.claim()
    write(engine.db, broken, "tries = -1")
    outcomes = [success(c, stripe_transfer_id=f"tr_{c.payout_transfer_id}") for c in claims]
    reports = engine.report(*reversed(outcomes))
    assert {(r.payout_transfer_id, r.verdict, r.state) for r in reports} == {
        (broken, "alarm", "in_flight"),
        *((other, "ok", "paid") for other in others),
    }
    assert kinds(engine) == [(CONTRADICTION, broken), ("outcome_not_stored", broken)]
    ((kept, token),) = engine.db.execute(
        "select theirs ->> 'stripe_transfer_id', theirs ->> 'claim_token' "
        "from payout.discrepancies where kind = 'outcome_not_stored'"
    ).fetchall()
    assert (kept, token) == (f"tr_{broken}", None)
    # Once the row is corrected the same report pays.
    write(engine.db, broken, "tries = 0")
    assert engine.report(outcomes[0])[0].state == "paid"


@mutant(
    "an act that is taken for an answer of Stripe's",
    "record_outcomes_apart",
    "v_outcome.operator_action_id is null\n            and ",
    "",
)
def test_an_act_on_a_broken_row_is_no_answer_that_was_lost(shared_engine: Engine) -> None:
    engine = shared_engine
    (broken,) = engine.settle("seller_1")
    write(engine.db, broken, "tries = -1")
    acted = engine.operator.execute(
        "select result from payout_api.cancel('not owed', p_payout_transfer_id => %s)", [broken]
    )
    assert acted.fetchall() == [("refused",)]
    assert kinds(engine) == [(CONTRADICTION, broken)]
    write(engine.db, broken, "tries = 0")


def test_a_broken_row_whose_hold_was_released_is_held_again(shared_engine: Engine) -> None:
    """It cannot be parked: a claim that met it again and again would never end."""
    engine = shared_engine
    broken, *others = engine.settle(*SELLERS)
    write(engine.db, broken, "tries = -1, next_attempt_at = now() - interval '1 hour'")
    assert {claim.payout_transfer_id for claim in engine.claim()} == {*others}
    engine.release_holds()
    engine.worker.execute("set statement_timeout = '10s'")
    assert engine.claim() == []
    assert engine.claim(1) == []
    assert [scope for scope, _, _ in engine.open_holds()] == ["transfer"]
    write(engine.db, broken, "tries = 0")


def test_a_page_of_a_comparison_judges_the_others_beside_a_broken_row(
    shared_engine: Engine,
) -> None:
    engine = with_account(shared_engine)
    broken, other = engine.settle("seller_1", "seller_2")
    there = [ours(engine.db, s.replace("seller", "tr"), payee_id=s) for s in SELLERS[:2]]
    write(engine.db, broken, "tries = -5")
    reconcile(engine.worker, *there)
    assert engine.progress(other).state == "paid"
    assert kinds(engine) == [(CONTRADICTION, broken)]
    write(engine.db, broken, "tries = 0")


def test_a_look_up_of_a_transfer_that_is_booked_already_sets_it_aside(
    shared_engine: Engine,
) -> None:
    """Its read ends all the same, and is not handed out for ever."""
    engine = shared_engine
    (transfer,) = engine.settle()
    engine.report(success(engine.claim_one(), amount_minor=1))
    engine.db.execute(
        "insert into payout.ledger_entries (payout_transfer_id, kind, generation, debit_account, "
        "credit_account, amount_minor, currency) select payout_transfer_id, 'paid', 1, "
        "'in_flight', 'stripe_balance', amount_minor, currency from payout.payout_transfers"
    )
    found = ours(engine.db, "tr_1")
    assert engine.look_up(found) == LookupReport(True, "alarm", "parked")
    assert kinds(engine)[-1] == (CONTRADICTION, transfer)
    with unguarded(engine.db, "payout.ledger_entries"):
        engine.db.execute("delete from payout.ledger_entries where kind = 'paid'")


def test_a_parked_row_that_breaks_a_rule_stops_no_other_look_up(shared_engine: Engine) -> None:
    engine = shared_engine
    broken, other = engine.settle("seller_1", "seller_2")
    engine.report(*(success(claim, amount_minor=1) for claim in engine.claim()))
    write(engine.db, broken, "tries = -1")
    assert [lookup.payout_transfer_id for lookup in engine.claim_lookups()] == [other]
    write(engine.db, broken, "tries = 0")


@mutant(
    "a sweep that the broken row of a round stops",
    "probe_waits",
    "            and payout.progress_problem(s) is null;",
    ";",
)
def test_a_sweep_goes_on_beside_the_broken_row_of_a_round(shared_engine: Engine) -> None:
    engine = shared_engine
    broken, other = engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    engine.report(unfunded(first))
    engine.db.execute("update payout.holds set goes_on_at = payout.clock()")
    engine.sweep()
    write(engine.db, broken, "tries = -1")
    engine.report(no_answer(second))
    engine.let_pass("21 hours")
    assert engine.sweep().transfers_parked == 1
    assert engine.progress(other).reason == "key_too_old_to_send"
    write(engine.db, broken, "tries = 1")


@mutant(
    "a retry that one row stops",
    "act_problem",
    "payout.progress_problem(p_state) is not null",
    "false",
)
def test_a_retry_of_many_goes_on_beside_a_broken_row(shared_engine: Engine) -> None:
    engine = shared_engine
    broken, other = engine.settle("seller_1", "seller_2")
    engine.report(*(success(claim, amount_minor=1) for claim in engine.claim()))
    engine.db.execute("update payout.transfer_states set next_lookup_at = null")
    write(engine.db, broken, "tries = -1")
    retried = engine.operator.execute(
        "select payout_transfer_id, result, detail "
        "from payout_api.retry('the rows were corrected', p_currency => 'usd')"
    )
    assert retried.fetchall() == [
        (broken, "refused", "its row breaks a rule: correct it first (docs/restore.md)"),
        (other, "done", "was parked"),
    ]
    assert [lookup.payout_transfer_id for lookup in engine.claim_lookups()] == [other]
    write(engine.db, broken, "tries = 0")


def test_many_contradictions_stop_the_engine(shared_engine: Engine) -> None:
    """A rule that fires for every row is a fault of the engine's, not of the rows."""
    engine = shared_engine
    engine.set(max_alarms=3)
    engine.settle(*SELLERS)
    with unguarded(engine.db, "payout.transfer_states"):
        engine.db.execute("update payout.transfer_states set generation = 0")
    assert engine.claim() == []
    assert len(kinds(engine)) == 3
    assert engine.open_holds()[-1][0] == "engine"
    with unguarded(engine.db, "payout.transfer_states"):
        engine.db.execute("update payout.transfer_states set generation = 1")
