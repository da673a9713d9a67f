"""The engine with one rule broken, once for each rule, and the probe that has to notice.

A mutant is a piece of a function replaced by another, or a statement that undoes something of the
schema. The text it replaces must be there exactly once: a mutant that has become void is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.conftest import ROOT, Connection
from tests.engine import Engine
from tests.identity.identities import PARTS
from tests.mutants import probes


class Edit(NamedTuple):
    """A piece of a file under `procedures/`, and what stands there instead."""

    file: str
    old: str
    new: str


def edited(*edits: Edit) -> str:
    """Return what the files of the edits say once these are made."""
    sources: dict[str, str] = {}
    for file, old, new in edits:
        source = sources.get(file) or (ROOT / "procedures" / file).read_text(encoding="utf-8")
        found = source.count(old)
        assert found == 1, f"{file} has {old!r} {found} times"
        sources[file] = source.replace(old, new)
    return "\n".join(sources.values())


class Mutant(NamedTuple):
    """A broken rule: how it is broken, and by which probe that is seen."""

    name: str
    changes: tuple[Edit | str, ...]
    probe: probes.Probe

    def apply(self, connection: Connection) -> None:
        """Break the rule in the connection's database."""
        connection.execute(edited(*(edit for edit in self.changes if isinstance(edit, Edit))))
        for statement in self.changes:
            if isinstance(statement, str):
                connection.execute(statement)


class ConcurrentMutant(NamedTuple):
    """A broken rule that only shows between connections."""

    name: str
    edit: Edit
    probe: Callable[[Engine, Callable[..., Connection]], None]


DERIVE = "scheduling/tg_payout_transfers__derive.sql"
CLAIM = "api/worker/claim_transfers.sql"
TOLD_TWICE = "select count(o.stripe_transfer_id) > count(distinct o.stripe_transfer_id)"
DUE = "execution/lock_due_transfers.sql"
OUTCOME = "execution/judge_outcome.sql"
SUCCESS = "execution/judge_success.sql"
FAILURE = "execution/judge_failure.sql"
DECLINE = "execution/judge_decline.sql"
RECORD = "execution/record_outcomes.sql"
REOPEN = "execution/reopen_failed.sql"
EXPIRE = "execution/expire_leases.sql"
PARK = "execution/park_expired_keys.sql"
ANSWERS = "execution/answers_request.sql"
SAVED = "execution/saved_decline.sql"
COUNTS = "execution/absence_counts_from.sql"
SEEN = "execution/was_seen_at_stripe.sql"
RUNS = "reconcile/runs_of_this_database.sql"
KEEP = "reconcile/keep_listed_transfers.sql"
REVERSALS = "reconcile/reversals_problem.sql"
GATE = "adoption/identity_problem.sql"
ACCOUNT = "adoption/bind_stripe_account.sql"
OPEN = "api/operator/adopt_database.sql"
CHANGE = "api/operator/change_stripe_account.sql"
UNSAFE = "adoption/refuse_unsafe_account_change.sql"
PROGRESS = "guards/tg_transfer_states__check_progress.sql"
FOLD = "ledger/fold_facts.sql"
BALANCES = "api/auditor/balances_as_of.sql"
MARK = "seals/seal_up_to_mark.sql"
ROWS = "seals/sealed_rows_v1.sql"
NAMED = "p_stripe_account_id, p_is_livemode"
KEY = "t.payout_ref || ':' || c.generation"

MUTANTS = [
    # The key
    Mutant(
        "a key for each attempt",
        (Edit(CLAIM, KEY, "t.payout_ref || ':' || c.attempt"),),
        probes.every_attempt_has_the_same_key_and_request,
    ),
    Mutant(
        "a key out of a serial",
        (Edit(CLAIM, KEY, "'transfer_' || c.payout_transfer_id || ':' || c.generation"),),
        probes.the_key_is_the_identity_of_the_business,
    ),
    Mutant(
        "a random key",
        (Edit(CLAIM, KEY, "gen_random_uuid()::text"),),
        probes.every_attempt_has_the_same_key_and_request,
    ),
    Mutant(
        "a key without its generation",
        (Edit(CLAIM, KEY, "t.payout_ref"),),
        probes.the_key_is_the_identity_of_the_business,
    ),
    Mutant(
        "an identity without the settlement",
        (
            Edit(
                "scheduling/payout_ref.sql",
                "octet_length(p_settlement_id), p_settlement_id",
                "'', ''",
            ),
        ),
        probes.no_two_transfers_share_a_key,
    ),
    Mutant(
        "an identity without the payee",
        (
            Edit(
                "scheduling/payout_ref.sql",
                "octet_length(p_payee_id), p_payee_id",
                "'', ''",
            ),
        ),
        probes.no_two_transfers_share_a_key,
    ),
    Mutant(
        "no payout_ref in the metadata",
        (Edit(DERIVE, "'payout_ref', v_payout_ref,", ""),),
        probes.the_request_names_the_transfer_to_stripe,
    ),
    Mutant(
        "something volatile in the request",
        (
            Edit(
                DERIVE,
                "'payout_ref', v_payout_ref,",
                "'payout_ref', v_payout_ref, 'at', clock_timestamp()::text,",
            ),
        ),
        probes.the_request_names_the_transfer_to_stripe,
    ),
    # The fence
    Mutant(
        "no fence by attempt",
        (Edit(OUTCOME, "and p_state.attempt = p_outcome.attempt then", "then"),),
        probes.a_zombie_of_an_earlier_attempt_changes_nothing,
    ),
    Mutant(
        "no fence by generation",
        (Edit(OUTCOME, "and p_state.generation = p_outcome.generation\n", "\n"),),
        probes.attempt_and_key_must_both_be_current,
    ),
    Mutant(
        "no fence",
        (
            Edit(
                OUTCOME,
                "and p_state.generation = p_outcome.generation\n"
                "        and p_state.attempt = p_outcome.attempt then",
                "then",
            ),
        ),
        probes.a_zombie_of_a_closed_key_never_touches_the_next_one,
    ),
    Mutant(
        "no fence by lease",
        (Edit(OUTCOME, "if p_state.state = 'in_flight'\n", "if true\n"),),
        probes.a_failure_that_comes_after_its_lease_changes_nothing,
    ),
    Mutant(
        "no fence by key",
        (Edit(OUTCOME, "if p_outcome.idempotency_key <>", "if null::text <>"),),
        probes.a_report_of_another_claim_changes_nothing,
    ),
    Mutant(
        "a late success dropped as stale",
        (
            Edit(
                OUTCOME,
                "between 200 and 299 then",
                "between 200 and 299 and p_state.attempt = p_outcome.attempt then",
            ),
        ),
        probes.a_late_success_is_not_lost,
    ),
    Mutant(
        "a report that may not be repeated",
        (
            Edit(
                SUCCESS,
                "when p_state.stripe_transfer_id = p_outcome.stripe_transfer_id then 'known'",
                "",
            ),
        ),
        probes.a_report_may_be_repeated,
    ),
    Mutant(
        "an alarm that may not be repeated",
        (Edit(SUCCESS, "and o.verdict = 'alarm'", "and false"),),
        probes.an_alarm_may_be_repeated,
    ),
    Mutant(
        "outcomes of one transfer judged at once",
        (
            Edit(
                "api/worker/report_outcomes.sql",
                "partition by o.payout_transfer_id order by",
                "partition by o.ordinality order by",
            ),
            Edit("api/worker/report_outcomes.sql", TOLD_TWICE, "select count(*) < 0"),
        ),
        probes.outcomes_of_one_transfer_are_judged_in_turn,
    ),
    Mutant(
        "two outcomes that name one transfer at Stripe judged at once",
        (Edit("api/worker/report_outcomes.sql", TOLD_TWICE, "select count(*) < 0"),),
        probes.one_transfer_at_stripe_pays_one_transfer,
    ),
    # What may be sent
    Mutant(
        "no age limit",
        (Edit(DUE, "s.first_sent_at > p_first_sent_after and ", ""),),
        probes.an_old_key_is_not_sent,
    ),
    Mutant(
        "an age that counts from the last send",
        (
            Edit(CLAIM, "coalesce(s.first_sent_at, v_now)", "v_now"),
            Edit(
                PROGRESS,
                "and new.first_sent_at is distinct from old.first_sent_at then",
                "and false then",
            ),
        ),
        probes.the_age_of_a_key_counts_from_its_first_send,
    ),
    Mutant(
        "a clock that was set back goes unnoticed",
        (Edit(DUE, " and s.first_sent_at <= p_now", ""),),
        probes.a_key_from_the_future_is_not_sent,
    ),
    Mutant(
        "a parked transfer claimed",
        (
            Edit(DUE, "s.next_attempt_at <= p_now", "coalesce(s.next_attempt_at, p_now) <= p_now"),
            Edit(
                DUE,
                "('scheduled', 'retry_wait', 'unknown')",
                "('scheduled', 'retry_wait', 'unknown', 'parked')",
            ),
        ),
        probes.what_is_parked_is_not_sent,
    ),
    Mutant(
        "an edge from parked to in flight",
        ("insert into payout.state_edges values ('parked', 'in_flight', 'why not')",),
        probes.no_hand_sends_what_is_parked_or_paid,
    ),
    Mutant(
        "an edge out of paid",
        (
            "insert into payout.state_edges values ('paid', 'in_flight', 'why not')",
            Edit(PROGRESS, "elsif old.state = 'paid' then", "elsif false then"),
        ),
        probes.no_hand_sends_what_is_parked_or_paid,
    ),
    Mutant(
        "a pay_after ignored",
        (Edit(DUE, "where s.next_attempt_at <= p_now", "where true"),),
        probes.nothing_is_sent_before_its_time,
    ),
    Mutant(
        "a hold of the engine ignored",
        (
            Edit(CLAIM, "where h.scope = 'engine' and", "where h.scope = 'nothing' and"),
            Edit(DUE, "where h.scope = 'engine' and", "where h.scope = 'nothing' and"),
        ),
        probes.nothing_on_hold_is_sent,
    ),
    *(
        Mutant(
            f"a hold of a {scope} ignored",
            (Edit(DUE, f"payout.held_subjects('{scope}')", "payout.held_subjects('nothing')"),),
            probes.nothing_on_hold_is_sent,
        )
        for scope in ("currency", "payee", "settlement")
    ),
    *(
        Mutant(
            f"synchronous_commit {level} accepted",
            (Edit("execution/refuse_unsafe_server.sql", "in ('off', 'local')", f"in ('{other}')"),),
            probes.nothing_is_sent_that_a_crash_could_undo,
        )
        for level, other in (("off", "local"), ("local", "off"))
    ),
    Mutant(
        "a server that is never asked",
        (Edit(CLAIM, "perform payout.refuse_unsafe_server();", ""),),
        probes.nothing_is_sent_that_a_crash_could_undo,
    ),
    Mutant(
        "a claim that leaves no attempt",
        (
            Edit(
                CLAIM,
                "c.lease_until\n        from claimed as c",
                "c.lease_until\n        from claimed as c where false",
            ),
        ),
        probes.a_claim_is_written_down,
    ),
    Mutant(
        "a lease told longer than it is",
        (Edit(CLAIM, "extract(epoch from v_settings.lease_for)", "60"),),
        probes.the_order_leaves_the_worker_less_time_than_its_lease,
    ),
    Mutant(
        "a deadline beyond the lease",
        (Edit(CLAIM, "extract(epoch from v_settings.http_deadline_for)", "40"),),
        probes.the_order_leaves_the_worker_less_time_than_its_lease,
    ),
    Mutant(
        "a lease that may be set shorter than the deadline",
        ("alter table payout.engine_settings drop constraint lease_outlasts_the_http_deadline",),
        probes.no_setting_makes_the_lease_shorter_than_the_deadline,
    ),
    Mutant(
        "a send window beyond Stripe's memory",
        (
            "alter table payout.engine_settings "
            "drop constraint send_window_ends_before_stripe_forgets_the_key",
        ),
        probes.no_setting_lets_a_key_be_sent_after_23_hours,
    ),
    Mutant(
        "a clock that a session can move",
        (
            Edit(
                "scheduling/clock.sql",
                "clock_timestamp()",
                "coalesce(nullif(current_setting('payout.now', true), '')::timestamptz, "
                "clock_timestamp())",
            ),
        ),
        probes.no_session_moves_the_clock,
    ),
    # Where, and for whom
    *(
        Mutant(
            f"a gate that does not look at the {part}",
            (Edit(GATE, f"v_current.{part} <> v_adoption.{part}", "false"),),
            probes.nothing_is_sent_where_the_database_was_not_adopted,
        )
        for part in PARTS
    ),
    Mutant(
        "a gate that is never asked",
        (Edit(CLAIM, f"perform payout.refuse_unadopted_database({NAMED});", ""),),
        probes.nothing_is_sent_where_the_database_was_not_adopted,
    ),
    Mutant(
        "a gate that the first adoption opens for ever",
        (Edit(GATE, "order by e.adoption_id desc", "order by e.adoption_id"),),
        probes.nothing_is_sent_where_the_database_was_not_adopted,
    ),
    Mutant(
        "a gate that nobody can close",
        (Edit(GATE, "if v_adoption.system_identifier is null then", "if false then"),),
        probes.nothing_is_sent_once_the_stripe_account_was_changed,
    ),
    Mutant(
        "a change of the Stripe account that closes no gate",
        (Edit(CHANGE, "if v_old.stripe_account_id is not null then", "if false then"),),
        probes.nothing_is_sent_once_the_stripe_account_was_changed,
    ),
    Mutant(
        "a change of the Stripe account in the midst of sends",
        (Edit(UNSAFE, "and s.attempt > 0", "and false"),),
        probes.what_the_old_account_may_have_executed_is_not_left_behind,
    ),
    Mutant(
        "a gate that is open to what was loaded",
        (Edit(GATE, "if v_adoption.is_installation and v_adoption", "if false and v_adoption"),),
        probes.nothing_is_sent_that_was_loaded_into_a_new_installation,
    ),
    Mutant(
        "a gate that is open to what was loaded into an older installation",
        (Edit(GATE, "if v_adoption.is_installation and exists", "if false and exists"),),
        probes.nothing_is_sent_that_was_loaded_into_an_older_installation,
    ),
    Mutant(
        "a gate that is open where nobody ever adopted anything",
        (
            Edit(
                GATE,
                "'It was never adopted, and it had transfers when it was installed.'",
                "null",
            ),
        ),
        probes.nothing_is_sent_where_nobody_ever_adopted_the_database,
    ),
    Mutant(
        "a settlement whose payee came between two looks",
        (
            Edit(
                "scheduling/refuse_bad_settlement.sql",
                "if p_made_minor is distinct from p_settlement.total_minor then",
                "if false then",
            ),
        ),
        probes.nobody_is_left_out_who_comes_while_the_reason_is_looked_for,
    ),
    Mutant(
        "a single line that is not the total",
        (
            Edit(
                "scheduling/create_single_payout.sql",
                "or p_line.amount_minor <> p_settlement.total_minor",
                "",
            ),
        ),
        probes.a_line_that_is_not_the_total_is_refused,
    ),
    Mutant(
        "lines left out that make the total fit",
        (
            Edit(
                "scheduling/create_transfers.sql",
                "having sum(t.amount_minor) =",
                "having true or sum(t.amount_minor) =",
            ),
        ),
        probes.no_line_is_left_out_to_make_the_total_fit,
    ),
    Mutant(
        "a doctor who compares no lines",
        (
            Edit(
                "doctor/check_settlements.sql",
                "from (table owed except table made) as o",
                "from owed as o where false",
            ),
            Edit(
                "doctor/check_settlements.sql",
                "from (table made except table owed) as m",
                "from made as m where false",
            ),
        ),
        probes.the_doctor_sees_a_line_that_is_in_no_transfer,
    ),
    Mutant(
        "a doctor who compares no requests",
        (Edit("doctor/check_rules.sql", "where s.state not in", "where false and s.state in"),),
        probes.the_doctor_sees_a_request_that_pays_another_amount,
    ),
    Mutant(
        "a gate opened without a reason",
        (Edit(OPEN, "coalesce(btrim(p_reason), '') = ''", "false"),),
        probes.the_gate_is_opened_for_a_reason_and_after_a_run_in_this_place,
    ),
    *(
        Mutant(
            f"a gate opened {name}",
            (Edit(OPEN, old, new),),
            probes.the_gate_is_opened_for_a_reason_and_after_a_run_in_this_place,
        )
        for name, old, new in (
            ("without a run", "v_run_id is null and p_without_reconcile is not true", "false"),
            ("by an unfinished run", "r.finished_at is not null", "true"),
            ("by an old run", "r.adoption_id >= v_adoption.adoption_id", "true"),
            (
                "by a run that was old when the clock was ahead",
                "r.adoption_id >= v_adoption.adoption_id",
                "r.started_at > v_adoption.recorded_at",
            ),
            ("by a run begun long ago", "payout.clock() - interval '1 hour'", "'-infinity'"),
            ("by a run begun with a clock ahead", "and payout.clock()", "and 'infinity'"),
            (
                "by a run in another place",
                "= (v_identity.system_identifier, v_identity.timeline_id, "
                "v_identity.database_oid,\n                v_identity.table_oid)",
                "= (r.system_identifier, r.timeline_id, r.database_oid, r.table_oid)",
            ),
        )
    ),
    Mutant(
        "live mode again after test mode",
        (Edit(UNSAFE, "if p_is_livemode and exists (", "if false and exists ("),),
        probes.what_was_used_in_test_mode_stays_there,
    ),
    Mutant(
        "a Stripe account that is never asked for",
        (
            Edit(
                "adoption/refuse_unadopted_database.sql",
                f"perform payout.bind_stripe_account({NAMED});",
                "",
            ),
        ),
        probes.nothing_is_sent_with_a_key_of_another_account_or_mode,
    ),
    *(
        Mutant(name, (Edit(ACCOUNT, old, new),), probe)
        for name, old, new, probe in (
            (
                "a key of another account",
                "if v_settings.stripe_account_id is distinct from p_stripe_account_id",
                "if false",
                probes.nothing_is_sent_with_a_key_of_another_account_or_mode,
            ),
            (
                "a key of no account",
                "if v_settings.stripe_account_id is distinct from p_stripe_account_id",
                "if v_settings.stripe_account_id <> p_stripe_account_id",
                probes.nothing_is_sent_with_a_key_of_another_account_or_mode,
            ),
            (
                "a key of the other mode",
                "and v_settings.is_livemode is distinct from p_is_livemode",
                "and false",
                probes.nothing_is_sent_with_a_key_of_another_account_or_mode,
            ),
            (
                "an account that every claim fixes anew",
                "if v_settings.stripe_account_id is null and p_stripe_account_id is not null",
                "update payout.engine_settings set stripe_account_id = null; if true",
                probes.nothing_is_sent_with_a_key_of_another_account_or_mode,
            ),
        )
    ),
    # What an answer means
    *(
        Mutant(
            f"no check of the {part}",
            (Edit(ANSWERS, check, "true"),),
            probes.a_success_must_be_the_transfer_that_was_asked_for,
        )
        for part, check in {
            "amount": "p_outcome.amount_minor = p_transfer.amount_minor",
            "currency": "p_outcome.currency = p_transfer.currency",
            "destination": "p_outcome.destination = p_transfer.destination",
            "payout_ref": "p_outcome.payout_ref = p_transfer.payout_ref",
            "object": "p_outcome.object = 'transfer'",
            "id": "p_outcome.stripe_transfer_id ~ '^tr_[A-Za-z0-9_]+$'",
            "presence of the mode": "p_outcome.is_livemode is not null",
        }.items()
    ),
    Mutant(
        "no check of the mode",
        (Edit(SUCCESS, "p_outcome.is_livemode <> p_settings.is_livemode", "false"),),
        probes.a_success_must_be_the_transfer_that_was_asked_for,
    ),
    Mutant(
        "a cut answer taken for a success",
        (Edit(OUTCOME, "p_outcome.signal = 'response' and ", ""),),
        probes.an_answer_that_is_not_whole_is_no_success,
    ),
    Mutant(
        "unknown forgotten at the next answer",
        (Edit(FAILURE, " and not p_state.has_unknown_send", ""),),
        probes.unknown_stays_unknown,
    ),
    Mutant(
        "unknown not remembered",
        (Edit(RECORD, "or coalesce(j.leaves_unknown, false)", ""),),
        probes.unknown_stays_unknown,
    ),
    Mutant(
        "unknown not remembered of a vanished worker",
        (Edit(EXPIRE, "has_unknown_send = true", "has_unknown_send = false"),),
        probes.a_vanished_worker_leaves_an_unknown_send,
    ),
    Mutant(
        "a 4xx that is not saved is final",
        (Edit(DECLINE, "and not payout.is_only_send(p_state) then", "and false then"),),
        probes.a_refusal_that_is_not_saved_settles_nothing_unknown,
    ),
    Mutant(
        "a conflict taken for no other send",
        (
            Edit(
                "execution/is_only_send.sql",
                "not in (401, 403, 429)",
                "not in (401, 403, 409, 429)",
            ),
        ),
        probes.a_refusal_settles_nothing_while_another_send_was_executing,
    ),
    Mutant(
        "a decline believed while another attempt is open",
        (Edit(DECLINE, "if v_others_drain_at > payout.clock() then", "if false then"),),
        probes.a_decline_waits_for_attempts_that_are_still_open,
    ),
    Mutant(
        "a lease that ran out taken for a report",
        (
            Edit(
                "execution/other_attempts_drain_at.sql",
                "and o.signal not in ('lease_expired', 'key_expired', 'looked_up')",
                "",
            ),
        ),
        probes.a_decline_waits_for_attempts_that_are_still_open,
    ),
    Mutant(
        "an unmapped answer taken for a refusal",
        (
            "update payout.stripe_error_rules set reaction = 'refuse' "
            "where reason = 'unmapped_answer'",
        ),
        probes.an_answer_that_no_rule_knows_is_no_failure,
    ),
    Mutant(
        "an answer without a rule taken for not executed",
        (
            "delete from payout.stripe_error_rules where reason = 'unmapped_answer'",
            Edit(FAILURE, "elsif v_rule.reaction in ('retry', 'pause') and", "elsif"),
        ),
        probes.an_answer_that_no_rule_knows_is_no_failure,
    ),
    Mutant(
        "a new key after a 500",
        (
            "update payout.stripe_error_rules set reaction = 'decline_until_funded', "
            "is_saved = true where http_status_from = 500",
        ),
        probes.a_500_is_neither_a_failure_nor_a_ground_for_another_key,
    ),
    Mutant(
        "a 500 taken for not executed",
        ("update payout.stripe_error_rules set reaction = 'retry' where http_status_from = 500",),
        probes.a_500_is_neither_a_failure_nor_a_ground_for_another_key,
    ),
    Mutant(
        "an idempotency error tried again",
        (
            "update payout.stripe_error_rules set reaction = 'unknown' "
            "where error_type = 'idempotency_error'",
        ),
        probes.a_request_that_differs_is_left_to_a_person,
    ),
    Mutant(
        "a refused key that stops nothing",
        (
            Edit(
                FAILURE,
                "v_judgement.pauses_engine := v_rule.reaction = 'pause';",
                "v_judgement.pauses_engine := false;",
            ),
        ),
        probes.a_refused_key_stops_the_engine_and_costs_no_try,
    ),
    Mutant(
        "a refused key that costs tries",
        (Edit(FAILURE, "v_rule.reaction is distinct from 'pause'", "true"),),
        probes.a_refused_key_stops_the_engine_and_costs_no_try,
    ),
    Mutant(
        "tries without bound",
        (Edit(FAILURE, "p_state.tries + 1 >= p_settings.max_tries", "false"),),
        probes.tries_are_bounded,
    ),
    Mutant(
        "a wait without jitter",
        (Edit("execution/backoff.sql", "random() * ", "1.0 * "),),
        probes.waits_differ_and_are_capped,
    ),
    Mutant(
        "a wait without cap",
        (Edit("execution/backoff.sql", "least(p_rule.wait_cap, ", "greatest(p_rule.wait_cap, "),),
        probes.waits_differ_and_are_capped,
    ),
    # A new key
    Mutant(
        "a new key on a refusal that is not saved",
        (Edit(SAVED, "and r.is_saved", ""),),
        probes.a_new_key_needs_a_decline_that_is_saved,
    ),
    Mutant(
        "a new key without evidence",
        (
            Edit(REOPEN, "and (payout.saved_decline(s) is not null", "and (true"),
            "alter table payout.key_generations alter column evidence_observation_id drop not null",
        ),
        probes.a_new_key_needs_a_decline_that_is_saved,
    ),
    Mutant(
        "a new key on the evidence of a former one",
        (Edit(SAVED, "and o.generation = p_state.generation", ""),),
        probes.a_new_key_needs_the_decline_of_the_last_one,
    ),
    Mutant(
        "a new key although a success was seen",
        (Edit(REOPEN, "not payout.was_seen_at_stripe(s.payout_transfer_id)", "true"),),
        probes.no_new_key_is_opened_once_a_success_was_seen,
    ),
    Mutant(
        "a declined transfer that goes on behind an alarm",
        (Edit(RECORD, "and j.former_state = 'failed'", "and false"),),
        probes.no_new_key_is_opened_once_a_success_was_seen,
    ),
    Mutant(
        "an open key that goes on behind an alarm",
        (
            Edit(
                SUCCESS,
                "if p_state.state in ('scheduled', ",
                "if p_outcome.generation = p_state.generation and p_state.state in ('scheduled', ",
            ),
        ),
        probes.a_success_under_a_closed_key_stops_the_open_one,
    ),
    Mutant(
        "a second transfer that nobody hears of",
        (Edit(SUCCESS, "v_judgement.is_alarm := true;", "v_judgement.is_alarm := false;"),),
        probes.a_second_transfer_at_stripe_calls_a_person,
    ),
    Mutant(
        "keys without bound",
        (Edit(REOPEN, "and s.generation < e.max_generations", ""),),
        probes.keys_are_bounded,
    ),
    Mutant(
        "a last key that waits for ever",
        (Edit(DECLINE, "and p_state.generation < p_settings.max_generations", ""),),
        probes.keys_are_bounded,
    ),
    Mutant(
        "a new key without its row",
        (Edit(PROGRESS, "elsif old.state = 'failed' and new.state", "elsif false and new.state"),),
        probes.a_new_key_is_no_hand_made_one,
    ),
    # Nobody is forgotten
    Mutant(
        "leases that never end",
        (Edit(EXPIRE, "where s.lease_until < p_now\n", "where false\n"),),
        probes.a_worker_that_vanished_is_noticed,
    ),
    Mutant(
        "keys that are never parked",
        (Edit(PARK, "s.first_sent_at <= p_now - e.send_window_for", "false"),),
        probes.what_is_too_old_to_send_is_parked_and_never_failed,
    ),
    Mutant(
        "unknown becomes failed because time passed",
        (
            Edit(PARK, "'key_expired', 'ok', 'parked'", "'key_expired', 'ok', 'failed'"),
            Edit(PARK, "set state = 'parked'", "set state = 'failed'"),
        ),
        probes.what_is_too_old_to_send_is_parked_and_never_failed,
    ),
    Mutant(
        "no key after a decline for want of funds",
        (Edit(REOPEN, "and s.state = 'failed'", "and false"),),
        probes.what_waits_for_funds_goes_on,
    ),
    # The books and the facts
    *(
        Mutant(f"no ledger entry for {leg}", (edit,), probes.the_books_follow_the_money)
        for leg, edit in {
            "paid": Edit(RECORD, "j.to_state in ('paid', 'failed')", "j.to_state = 'failed'"),
            "a release": Edit(RECORD, "j.to_state in ('paid', 'failed')", "j.to_state = 'paid'"),
            "a new reserve": Edit(
                REOPEN,
                "t.payout_transfer_id = r.payout_transfer_id;",
                "t.payout_transfer_id = r.payout_transfer_id where false;",
            ),
            "the first reserve": Edit(
                "scheduling/create_single_payout.sql",
                "'in_flight',\n            p_line.amount_minor, p_settlement.currency);",
                "'in_flight',\n            1, p_settlement.currency);",
            ),
            "the first reserve of many": Edit(
                "scheduling/create_transfers.sql",
                "t.payee_id),\n            ('reserve', 'payable:' || t.payee_id, 'in_flight')",
                "t.payee_id)",
            ),
        }.items()
    ),
    Mutant(
        "a commit that does not look for the job",
        (
            Edit(
                "scheduling/tg_settlements__schedule_payout_job.sql",
                "where j.settlement_id = new.settlement_id",
                "where false",
            ),
        ),
        probes.a_settlement_scheduled_before_its_commit_keeps_its_job,
    ),
    Mutant(
        "a settlement scheduled again",
        (
            Edit(
                "scheduling/create_payout_job.sql",
                "    if not found then\n",
                "    if false then\n",
            ),
        ),
        probes.a_settlement_is_scheduled_once,
    ),
    *(
        Mutant(
            f"no {constraint}",
            (f"alter table payout.{table} drop constraint {constraint} cascade",),
            probes.nothing_is_there_twice,
        )
        for table, constraint in (
            ("payout_jobs", "payout_jobs_settlement_id_key"),
            ("ledger_entries", "ledger_entries_payout_transfer_id_kind_generation_reversal_key"),
            ("transfer_states", "transfer_states_stripe_transfer_id_key"),
            ("transfer_attempts", "transfer_attempts_pkey"),
        )
    ),
    Mutant(
        "neither identity of a transfer unique",
        (
            "alter table payout.payout_transfers drop constraint payout_transfers_payout_ref_key, "
            "drop constraint payout_transfers_settlement_id_payee_id_source_transaction_key",
        ),
        probes.nothing_is_there_twice,
    ),
    *(
        Mutant(
            f"{state} trigger {trigger} on {table}",
            (f"alter table payout.{table} {state} trigger {trigger}",),
            probe,
        )
        for table, trigger, probe in (
            *(
                (
                    table,
                    "_500_refuse_change",
                    probes.facts_stay_even_for_those_who_may_do_everything,
                )
                for table in probes.FACTS
            ),
            (
                "ledger_entries",
                "_500_refuse_truncate",
                probes.facts_stay_even_for_those_who_may_do_everything,
            ),
            (
                "transfer_states",
                "_500_refuse_delete",
                probes.facts_stay_even_for_those_who_may_do_everything,
            ),
            ("transfer_states", "_500_check_transition", probes.progress_only_goes_forward),
            ("transfer_states", "_511_check_progress", probes.progress_only_goes_forward),
        )
        for state in ("enable", "disable")
    ),
    *(
        Mutant(f"progress that may go back: {rule}", (edit,), probes.progress_only_goes_forward)
        for rule, edit in {
            "attempt": Edit(
                PROGRESS, "elsif new.attempt <> old.attempt\n", "elsif false and old.attempt = 0\n"
            ),
            "generation": Edit(
                PROGRESS, "elsif new.generation <> old.generation\n", "elsif false\n"
            ),
            "first send": Edit(
                PROGRESS,
                "and new.first_sent_at is distinct from old.first_sent_at then",
                "and false then",
            ),
            "unknown": Edit(
                PROGRESS,
                "and old.has_unknown_send and not new.has_unknown_send then",
                "and false then",
            ),
            "paid": Edit(PROGRESS, "elsif old.state = 'paid' then", "elsif false then"),
        }.items()
    ),
    Mutant(
        "a restore that schedules",
        ("alter table payout.settlements enable always trigger _900_schedule_payout_job",),
        probes.a_restore_or_a_replica_schedules_nothing,
    ),
    *(
        Mutant(
            f"search_path {path or 'unset'}",
            (f"alter function payout_api.sweep(integer) {path or 'reset search_path'}",),
            probes.nobody_can_slip_a_name_in_front_of_ours,
        )
        for path in ("", "set search_path = ''", "set search_path = pg_catalog")
    ),
    *(
        Mutant(
            f"execute granted to {role}",
            (f"grant execute on function payout_api.report_outcomes(jsonb) to {role}",),
            probes.only_those_who_need_it_may_call,
        )
        for role in ("public", "payout_app")
    ),
    Mutant(
        "a gate that a worker may open",
        ("grant execute on function payout_api.adopt_database(text, boolean) to payout_worker",),
        probes.only_those_who_need_it_may_call,
    ),
    Mutant(
        "a private function left to public",
        ("grant execute on function payout.reopen_failed(timestamptz, integer) to public",),
        probes.only_those_who_need_it_may_call,
    ),
    # The books
    *(
        Mutant(
            f"an observation without {name}", (edit,), probes.the_progress_is_the_fold_of_its_facts
        )
        for name, edit in {
            "its try": Edit(
                RECORD, "coalesce(j.counts_as_try, false), coalesce", "false, coalesce"
            ),
            "its unknown send": Edit(RECORD, "coalesce(j.leaves_unknown, false), j", "false, j"),
            "the try of a lost lease": Edit(
                EXPIRE, "r.error_rule_id, true, true,", "r.error_rule_id, false, true,"
            ),
        }.items()
    ),
    *(
        Mutant(f"a fold that {name}", (edit,), probes.the_progress_is_the_fold_of_its_facts)
        for name, edit in {
            "forgets claims": Edit(FOLD, "when n.claim_generation = n.generation", "when false"),
            "forgets new keys": Edit(FOLD, "n.moved_generation < n.generation as", "false as"),
            "counts the tries of all keys": Edit(
                "ledger/newest_facts.sql", "where o.observation_id > k.opened_after", ""
            ),
        }.items()
    ),
    # What Stripe has
    Mutant(
        "a claim that does not ask what was seen at Stripe",
        (Edit(CLAIM, "v_due_ids := payout.skip_listed_transfers(v_due_ids);", ""),),
        probes.what_was_seen_at_stripe_is_paid_and_not_sent,
    ),
    Mutant(
        "a sighting that is not kept",
        (Edit(KEEP, "where l.payout_ref is not null\n", "where false\n"),),
        probes.what_was_seen_at_stripe_is_paid_and_not_sent,
    ),
    Mutant(
        "a sighting known by what people may edit",
        (
            Edit(
                "reconcile/read_listed_transfers.sql",
                "then t ->> 'transfer_group'\n",
                "then t #>> '{metadata,payout_ref}'\n",
            ),
        ),
        probes.what_was_seen_at_stripe_without_metadata_is_not_sent,
    ),
    Mutant(
        "a failed transfer that is sent although it was seen",
        (
            Edit(
                "reconcile/skip_listed_transfers.sql",
                "t.payout_transfer_id <> all (v_seen_ids)",
                "true",
            ),
        ),
        probes.a_next_key_is_not_used_for_what_was_seen_at_stripe,
    ),
    Mutant(
        "a claim that sends of what it has put on hold itself",
        (
            Edit(
                "reconcile/skip_listed_transfers.sql",
                "t.settlement_id <> all (payout.held_subjects('settlement'))",
                "true",
            ),
        ),
        probes.a_claim_sends_nothing_of_what_it_has_put_on_hold,
    ),
    Mutant(
        "what is missing at Stripe passes",
        (Edit("reconcile/find_missing.sql", "s.state = 'paid'\n", "s.state = 'parked'\n"),),
        probes.a_transfer_that_stripe_does_not_have_is_found,
    ),
    Mutant(
        "a run that leaves out a page",
        (
            Edit(
                "reconcile/reconcile_page_problem.sql",
                "p_run.next_cursor, true",
                "p_starting_after, true",
            ),
        ),
        probes.a_run_takes_every_page,
    ),
    Mutant(
        "a window that counts in another place",
        (
            Edit(
                RUNS,
                "and (r.system_identifier, r.timeline_id, r.database_oid, r.table_oid)\n"
                "            = (w.system_identifier, w.timeline_id, w.database_oid, w.table_oid)\n",
                "",
            ),
        ),
        probes.a_copy_is_compared_from_its_first_transfer_on,
    ),
    Mutant(
        "a window that counts after the gate was closed",
        (Edit(RUNS, "and (a.adoption_id is null or", "and (true or"),),
        probes.a_copy_is_compared_from_its_first_transfer_on,
    ),
    Mutant(
        "a window that counts by its time",
        (
            Edit(RUNS, "select a.adoption_id, a.", "select a.recorded_at, a.adoption_id, a."),
            Edit(RUNS, "r.adoption_id >= a.adoption_id", "r.started_at > a.recorded_at"),
        ),
        probes.a_copy_is_compared_from_its_first_transfer_on,
    ),
    *(
        Mutant(name, (Edit(file, old, new),), probes.a_page_answers_the_query_that_was_given_out)
        for name, file, old, new in (
            (
                "a page that answers any query",
                "reconcile/refuse_other_query.sql",
                "if p_query is distinct from p_asked then",
                "if false then",
            ),
            (
                "a page without its query",
                "reconcile/refuse_other_query.sql",
                "p_query is distinct from p_asked",
                "p_query <> p_asked",
            ),
            (
                "a run that takes pages of another one",
                "api/worker/report_reconcile_page.sql",
                "p_query,\n            payout.reconcile_query(v_run)",
                "p_query,\n            p_query",
            ),
            (
                "a look-up that takes pages of another one",
                "lookups/add_lookup_page.sql",
                "p_query, p_lookup.queries -> p_query_number",
                "p_query, p_query",
            ),
        )
    ),
    Mutant(
        "windows without an overlap",
        (
            Edit(
                "reconcile/start_run.sql",
                "max(r.created_until) - interval '1 day'",
                "max(r.created_until)",
            ),
            Edit("reconcile/start_run.sql", "least(v_from, v_now - interval '1 day')", "v_from"),
        ),
        probes.windows_overlap,
    ),
    Mutant(
        "a reversal booked under a name of its own each time",
        (
            Edit(
                "reconcile/book_reversals.sql",
                "r.reversal ->> 'id'\n",
                "gen_random_uuid()::text\n",
            ),
        ),
        probes.a_reversal_is_booked_once,
    ),
    Mutant(
        "more taken back than was paid",
        (Edit(REVERSALS, ") > p_transfer.amount_minor then", ") > 10000000 then"),),
        probes.no_more_is_booked_back_than_was_paid_in_its_currency,
    ),
    Mutant(
        "a reversal in any currency",
        (Edit(REVERSALS, "is distinct from p_transfer.currency::text", "is null"),),
        probes.no_more_is_booked_back_than_was_paid_in_its_currency,
    ),
    Mutant(
        "a watermark that moves before the last page",
        (Edit("reconcile/events_read_until.sql", "where not p.has_more", "where true"),),
        probes.events_are_read_to_the_end,
    ),
    Mutant(
        "a watermark ahead of the clock",
        (
            Edit(
                "reconcile/events_read_until.sql",
                "p.created_until < payout.clock() + interval '10 minutes'",
                "true",
            ),
        ),
        probes.events_are_read_again_once_a_clock_was_set_back,
    ),
    Mutant(
        "a contradiction that a person has resolved, whatever else comes",
        (
            Edit(
                "reconcile/is_explained.sql",
                """
            and d.theirs - array['amount_reversed_minor', 'created_at']
                = p_discrepancy.theirs - array['amount_reversed_minor', 'created_at']""",
                "",
            ),
        ),
        probes.what_a_person_has_not_seen_calls_one,
    ),
    # Rule Q
    Mutant(
        "absence proved before the attempts have drained",
        (Edit(COUNTS, "max(a.lease_until + e.attempt_drain_for", "max(a.claimed_at"),),
        probes.absence_is_proved_only_once_the_attempts_have_drained,
    ),
    Mutant(
        "absence proved 15 minutes after what may have been a 500",
        (Edit(COUNTS, "else e.indeterminate_for end", "else interval '0' end"),),
        probes.absence_is_proved_only_long_after_the_last_send,
    ),
    Mutant(
        "any attempt taken for definite",
        (Edit("execution/is_definite.sql", "select exists (", "select true or exists ("),),
        probes.absence_is_proved_only_long_after_the_last_send,
    ),
    Mutant(
        "a lost answer taken for definite",
        (
            Edit(
                "execution/is_definite.sql",
                "'retry', 'pause'",
                "'retry', 'unknown', 'park', 'pause'",
            ),
        ),
        probes.absence_is_proved_only_long_after_the_last_send,
    ),
    Mutant(
        "one scan is enough",
        (
            Edit(
                "execution/judge_absence.sql",
                "or p_outcome.first_absence_id is null then",
                "or payout.absence_counts_from(p_state.payout_transfer_id) > payout.clock() then",
            ),
        ),
        probes.absence_is_proved_by_two_scans_an_hour_apart,
    ),
    Mutant(
        "no hour between the scans",
        (Edit("lookups/first_absence.sql", "p_lookup.begun_at - e.scans_apart_for", "'infinity'"),),
        probes.absence_is_proved_by_two_scans_an_hour_apart,
    ),
    Mutant(
        "a first scan from any time",
        (
            Edit(
                "lookups/first_absence.sql",
                "l.begun_at >= payout.absence_counts_from(p_lookup.payout_transfer_id)",
                "true",
            ),
        ),
        probes.absence_is_proved_only_long_after_the_last_send,
    ),
    Mutant(
        "absent although Stripe may execute it later",
        (Edit(COUNTS, "r.reason = 'stripe_may_execute_later'", "false"),),
        probes.what_may_be_executed_later_or_was_seen_is_never_absent,
    ),
    Mutant(
        "absent although Stripe has shown it",
        (Edit(COUNTS, "not payout.was_seen_at_stripe(p_payout_transfer_id)", "true"),),
        probes.what_may_be_executed_later_or_was_seen_is_never_absent,
    ),
    Mutant(
        "absent although its charge paid it without metadata",
        (Edit("lookups/add_lookup_page.sql", "m.is_ours or m.is_by_charge", "m.is_ours"),),
        probes.what_a_charge_has_paid_without_metadata_is_not_absent,
    ),
    Mutant(
        "absent although several were found",
        (Edit(SEEN, " or (o.facts ->> 'found')::integer > 0", ""),),
        probes.what_was_found_several_times_is_never_absent,
    ),
    Mutant(
        "no new key for what another transfer was reported as",
        (Edit(SEEN, "o.reason is distinct from 'report_of_another_claim'\n", "true\n"),),
        probes.a_report_of_another_claim_keeps_nobody_from_a_new_key,
    ),
    *(
        Mutant(
            f"what is found {name}",
            (Edit("lookups/finish_lookup.sql", old, ""),),
            probes.what_is_found_late_explains_nothing_else,
        )
        for name, old in (
            (
                "explains any other",
                "and (d.stripe_transfer_id is null or d.stripe_transfer_id = s.stripe_transfer_id)",
            ),
            ("explains several", "and d.kind <> 'several_transfers_at_stripe'"),
        )
    ),
    Mutant(
        "a large amount given up without a person",
        (
            Edit(
                "execution/judge_absence.sql",
                "p_transfer.amount_minor <= p_settings.absence_limit_minor or exists (",
                "true or exists (",
            ),
        ),
        probes.a_large_absence_waits_for_a_person,
    ),
    Mutant(
        "several matches, the first one taken",
        (
            Edit("lookups/lookup_outcome.sql", "cardinality(v_matches) = 1", "v_matches <> '{}'"),
            Edit(
                "lookups/lookup_outcome.sql",
                "v_outcome.found := cardinality(v_matches)",
                "v_outcome.found := least(cardinality(v_matches), 1)",
            ),
        ),
        probes.what_is_found_is_paid_only_if_it_is_the_one_and_the_very_one,
    ),
    Mutant(
        "a match that is not compared",
        (Edit(ANSWERS, "and p_outcome.amount_minor = p_transfer.amount_minor", ""),),
        probes.what_is_found_is_paid_only_if_it_is_the_one_and_the_very_one,
    ),
    Mutant(
        "a look-up judged after its first query",
        (
            Edit(
                "api/worker/report_lookup_page.sql",
                "jsonb_array_length(v_lookup.queries) then",
                "1 then",
            ),
        ),
        probes.a_look_up_reads_every_page_of_every_query,
    ),
    Mutant(
        "a look-up judged before its last page",
        (Edit("api/worker/report_lookup_page.sql", "and not p.has_more", ""),),
        probes.a_look_up_reads_every_page_of_every_query,
    ),
    Mutant(
        "a page that is taken out of order",
        (
            Edit(
                "lookups/page_problem.sql",
                "p_starting_after is distinct from p_last_id then",
                "false then",
            ),
        ),
        probes.a_page_comes_after_the_one_before,
    ),
    Mutant(
        "a proof whose second scan is not named",
        (
            Edit(
                REOPEN,
                "payout.saved_decline(s), p.scans[1]), p.scans[2]",
                "payout.saved_decline(s), p.scans[1]), null",
            ),
        ),
        probes.a_key_after_a_proof_names_both_scans,
    ),
    Mutant(
        "no new key after a proof",
        (Edit(REOPEN, "or payout.proof_of_absence(s) is not null", ""),),
        probes.a_key_after_a_proof_names_both_scans,
    ),
    Mutant(
        "what is parked is not looked for",
        (
            Edit(
                "guards/tg_transfer_states__plan_lookup.sql",
                "case new.state when 'parked' then payout.clock() end",
                "null",
            ),
        ),
        probes.what_is_parked_is_looked_for,
    ),
]

CONCURRENT_MUTANTS = [
    ConcurrentMutant(
        "a sealer that ignores the horizon",
        Edit(
            MARK,
            "if p_mark.marked_xid > pg_snapshot_xmin(pg_current_snapshot()) then",
            "if false then",
        ),
        probes.a_row_that_commits_late_is_sealed_and_counted,
    ),
    ConcurrentMutant(
        "a horizon without a margin",
        Edit(
            "api/worker/seal.sql",
            "where m.marked_at <= v_now - interval '1 minute' or m.marked_at > v_now",
            "",
        ),
        probes.what_is_marked_is_not_sealed_within_a_minute,
    ),
    ConcurrentMutant(
        "balances that forget rows above what is sealed and below the mark",
        Edit(
            BALANCES,
            "select coalesce(max(s.last_id) + 1, -9223372036854775808), 9223372036854775807",
            "select max(m.marked_id) + 1, 9223372036854775807 from payout.seal_marks as m "
            "where m.table_name = 'ledger_entries' union all select max(s.last_id) + 1, 0",
        ),
        probes.a_row_that_commits_late_is_sealed_and_counted,
    ),
    ConcurrentMutant(
        "subtotals that forget late rows",
        Edit(
            "seals/subtotals_of.sql",
            "between p_seal.first_id and p_seal.last_id",
            "= p_seal.last_id",
        ),
        probes.a_row_that_commits_late_is_sealed_and_counted,
    ),
    ConcurrentMutant(
        "a past that forgets old entries in young seals",
        Edit(BALANCES, "and s.rows_from <= p_at", "and false"),
        probes.a_young_seal_with_an_old_entry_counts_in_the_past,
    ),
    *(
        ConcurrentMutant(
            f"a digest without {column}",
            Edit(ROWS, old, new),
            probes.a_sealed_row_that_was_changed_is_found,
        )
        for column, old, new in (
            (
                "the amount",
                "e.credit_account, e.amount_minor, e.currency",
                "e.credit_account, e.currency",
            ),
            ("its time", "extract(epoch from e.created_at)::text", "null"),
        )
    ),
    ConcurrentMutant(
        "a first range that begins at one",
        Edit(
            "seals/add_seal.sql",
            "coalesce(v_former.last_id + 1, -9223372036854775808)",
            "coalesce(v_former.last_id + 1, 1)",
        ),
        probes.a_sealed_row_that_was_slipped_in_is_found,
    ),
    ConcurrentMutant(
        "a chain that is not linked",
        Edit("seals/seal_sha256.sql", "where b.seal_id = p_seal.seal_id - 1", "where false"),
        probes.a_forged_seal_breaks_the_chain,
    ),
    ConcurrentMutant(
        "a claim that does not lock",
        Edit(DUE, "for update of s skip locked", ""),
        probes.claims_at_once_neither_wait_nor_share,
    ),
    ConcurrentMutant(
        "a claim that waits",
        Edit(DUE, "for update of s skip locked", "for update of s"),
        probes.claims_at_once_neither_wait_nor_share,
    ),
    ConcurrentMutant(
        "a report that does not lock",
        Edit(
            "api/worker/report_outcomes.sql",
            "order by s.payout_transfer_id\n        for update);",
            "order by s.payout_transfer_id);",
        ),
        probes.a_report_is_judged_by_what_stands_when_it_is_written,
    ),
    ConcurrentMutant(
        "a job that is written without asking whether there is one",
        Edit(
            "scheduling/create_payout_job.sql",
            "    on conflict do nothing\n",
            "",
        ),
        probes.a_settlement_is_scheduled_once_however_many_ask,
    ),
    ConcurrentMutant(
        "a change of the Stripe account that waits for no claim",
        Edit(CHANGE, "lock table payout.adoptions in access exclusive mode;", ""),
        probes.a_change_of_the_account_sees_the_claims_before_it,
    ),
    ConcurrentMutant(
        "a gate that is looked at as it was",
        Edit(GATE, "language plpgsql\nvolatile", "language plpgsql\nstable"),
        probes.a_claim_sees_the_change_of_the_account_before_it,
    ),
    ConcurrentMutant(
        "a claim that sees the gate as it was when its transaction began",
        Edit("execution/refuse_unsafe_server.sql", "<> 'read committed'", "= 'chaos'"),
        probes.no_isolation_hides_that_the_gate_was_closed,
    ),
    ConcurrentMutant(
        "a comparison of the account before",
        Edit(
            "api/worker/begin_reconcile.sql",
            "lock table payout.adoptions in access share mode;",
            "",
        ),
        probes.a_comparison_sees_the_change_of_the_account_before_it,
    ),
]
