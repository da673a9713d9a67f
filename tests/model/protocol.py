"""The protocol of one transfer: row, workers, network and Stripe, as moves between states.

A function of the database mirrors the one in procedures/ that its docstring names; the rest is the
world. The moves of the world are assumed; the rules are held equal to the SQL by tests.

Time is a few ages. An attempt is FRESH while its worker may send, LATE once its lease is over,
DRAINED 15 minutes later (its request has arrived or never will) and SETTLED 24 hours later (nothing
that Stripe began is still to come). A key is young, WALLED 20 hours after its first send,
FORGOTTEN after 24. No step says how much time went by, so every order that the inequalities of
`engine_settings` allow is explored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Final, NamedTuple

FRESH, LATE, DRAINED, SETTLED = range(4)
AGES: Final = ("fresh", "its lease is over", "it is drained", "a day has passed")
YOUNG, WALLED, FORGOTTEN = range(3)
# The transfer at Stripe: lists may hide it for an hour; it may have been there at the first scan.
ABSENT, HIDDEN, HIDDEN_AT_FIRST_SCAN, LISTED = range(4)

CLAIMABLE: Final = frozenset({"scheduled", "retry_wait", "unknown"})
# Ended by an operator: not owed after all, or paid in another way.
ENDED: Final = frozenset({"cancelled", "settled_outside"})
FINAL: Final = ENDED | {"paid"}
# The acts of operators, with the states in which each may be done (tested); holds are left out.
ACTS: Final = {
    "retry": frozenset({"failed"}),
    "park": frozenset({"retry_wait", "unknown"}),
    "give_up": frozenset({"parked"}),
    "cancel": frozenset({"scheduled", "failed"}),
    "settle_outside": frozenset({"scheduled", "failed"}),
}
ENDS: Final = frozenset({"cancel", "settle_outside"})
# Giving one up takes two people, who may be wrong.
SAFE_ACTS: Final = frozenset(ACTS) - {"give_up"}

# The results of a send that a worker can see, with the reaction of `stripe_error_rules` (tested).
REACTIONS: Final = {
    "not_sent": "retry",
    "no_response": "unknown",
    "rate_limited": "retry",
    "unauthorized": "pause",
    "key_in_use": "retry",
    "forbidden": "decline",
    "refused": "decline",
    "unfunded": "decline",
    "declined": "decline",
    "failed_500": "unknown",
    "replayed_500": "park",
    "may_execute_later": "park",
    "foreign": "unknown",
}
# Declines after which a new key is opened by itself, with what they wait for (tested).
AWAITS: Final = {
    "unfunded": "funds",
    "declined": "account",
    "refused": "account",
    "forbidden": "account",
}
# Surely without effect: `is_only_send` does not count them.
CLEAN: Final = frozenset({"not_sent", "rate_limited", "unauthorized", "forbidden", "refused"})
# Known not to have begun, or ended for good: nothing of it can come later.
DEFINITE: Final = frozenset(
    {"not_sent", "refused", "key_in_use", "unfunded", "declined", "success"}
)
# Stripe repeats them under the same key: they are final as soon as they name it.
SAVED: Final = frozenset({"unfunded", "declined"})
# Given before Stripe looks at the key: they name none, and come whatever was sent under it.
KEYLESS: Final = frozenset({"rate_limited", "unauthorized", "forbidden"})
# Answers that Stripe repeats under the same key.
REPLAYS: Final = {
    "success": "success",
    "unfunded": "unfunded",
    "declined": "declined",
    "500": "replayed_500",
    "pending": "may_execute_later",
}

# Answers of Stripe to a new request, besides making the transfer.
ANSWERS: Final = frozenset(
    KEYLESS | {"refused", "unfunded", "declined", "failed_500", "may_execute_later"}
)
EDGES: Final = frozenset(
    {
        ("scheduled", "in_flight"),
        ("scheduled", "parked"),
        ("scheduled", "paid"),
        ("retry_wait", "in_flight"),
        ("retry_wait", "paid"),
        ("retry_wait", "parked"),
        ("unknown", "in_flight"),
        ("unknown", "paid"),
        ("unknown", "parked"),
        ("unknown", "failed"),
        ("in_flight", "paid"),
        ("in_flight", "failed"),
        ("in_flight", "retry_wait"),
        ("in_flight", "unknown"),
        ("in_flight", "parked"),
        ("parked", "paid"),
        ("parked", "failed"),
        ("failed", "scheduled"),
        ("scheduled", "cancelled"),
        ("scheduled", "settled_outside"),
        ("failed", "cancelled"),
        ("failed", "settled_outside"),
    }
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rules:
    """The rules and bounds of one exploration; `unsafe` names rules left out or changed.

    In place of each answer in `copied` a copy of another transfer's 403 may come, which names no
    key. With `forgets` the database may once go back to before all attempts; with
    `forgets_what_is_over` only while none of them can have an effect any more.
    """

    unsafe: frozenset[str] = frozenset()
    attempts: int = 3
    workers: int = 2
    max_tries: int = 3
    max_generations: int = 2
    sends_to_believe: int = 2  # a 403; three in the database, more than two attempts can show
    answers: frozenset[str] = ANSWERS
    copied: frozenset[str] = frozenset()
    acts: frozenset[str] = frozenset({"retry"})
    forgets: bool = False
    forgets_what_is_over: bool = False
    reactions: dict[str, str] = field(default_factory=lambda: dict(REACTIONS))
    awaits: dict[str, str] = field(default_factory=lambda: dict(AWAITS))
    edges: frozenset[tuple[str, str]] = EDGES

    def lacks(self, variant: str) -> bool:
        """Return whether an unsafe variant is on."""
        return variant in self.unsafe


class Attempt(NamedTuple):
    """One claim, the worker that has it, its request and the knowledge of its outcome."""

    generation: int
    age: int = FRESH
    worker: str = "holds"  # holds (the order), waits (for an answer), knows (the outcome), gone
    request: str = ""  # on_its_way, executing; after a 500: unfinished; unapproved
    outcome: str = ""  # the knowledge of the worker; it may report it at any time, again and again
    verdict: str = ""  # of its first report: ok, stale
    is_dirty: bool = False  # reported something that may have had an effect
    is_definite: bool = False  # reported something after which nothing can come


class Key(NamedTuple):
    """One idempotency key, from its first claim on."""

    age: int = YOUNG
    record: str = ""  # the answer saved at Stripe: "", busy, or a key of REPLAYS


class State(NamedTuple):
    """Everything: the row, the attempts, Stripe."""

    state: str = "scheduled"
    generation: int = 1
    tries: int = 0
    has_unknown_send: bool = False
    forbidden: int = 0  # 403s under this key
    unfunded: int = 0  # keys that were declined for lack of funds, which are not counted
    is_due: bool = False  # failed, and the next key will be opened
    is_saved: bool = False  # failed by a decline that Stripe saved
    is_looked_up: bool = False  # nothing of ours is at Stripe: the next send may be a first one
    may_execute_later: bool = False
    attempts: tuple[Attempt, ...] = ()
    keys: tuple[Key, ...] = ()
    effect: int = ABSENT
    scans: int = 0  # complete and without match: 0, 1; 2 is one that is an hour old
    scan: str = ""  # under way, with its result: hit, counts (against there being one)
    forgotten: int = 0  # so many attempts, the first ones, a restored database does not know
    is_compared: bool = True  # Stripe's newest transfers, since the database went back


ATTEMPTS: Final = State._fields.index("attempts")


class Move(NamedTuple):
    """One step: its name, whether it is a fault, the next state, the property it breaks."""

    label: str
    is_fault: bool
    to: State
    broken: str | None = None


class Part(NamedTuple):
    """One step as seen from the attempt that takes it, and from its key: all that it changes.

    There are few of them, and they recur in every state: they are worked out once.
    """

    label: str
    is_fault: bool
    attempt: Attempt
    key: Key
    has_effect: bool = False
    broken: str | None = None


TWO_EFFECTS: Final = "two transfers at Stripe"
FALSE_FAILURE: Final = "failed, or its key closed, while Stripe pays"
FALSE_END: Final = "cancelled or settled outside, while Stripe pays"
FALSE_SUCCESS: Final = "paid without a transfer at Stripe"
FORGOTTEN_KEY: Final = "a key sent that Stripe may have forgotten"
ILLEGAL_MOVE: Final = "a move that state_edges does not have"
STUCK: Final = "no next step"


def key_index(state: State, number: int, rules: Rules) -> int:
    """Return which key an attempt is sent under: that of its generation."""
    return number if rules.lacks("a key per attempt") else state.attempts[number].generation - 1


def current_key(state: State, rules: Rules) -> Key:
    """Return the key that the next claim would send, as old as it is."""
    index = len(state.attempts) if rules.lacks("a key per attempt") else state.generation - 1
    return state.keys[index] if index < len(state.keys) else Key()


def with_attempts(
    state: State, attempts: tuple[Attempt, ...], keys: tuple[Key, ...] | None = None
) -> State:
    """Return the state with other attempts, and with other keys if there are any."""
    # The same as `_replace`, in half the time: this is most of an exploration.
    rest = state[ATTEMPTS + 1 :] if keys is None else (keys, *state[ATTEMPTS + 2 :])
    return tuple.__new__(State, (*state[:ATTEMPTS], attempts, *rest))


def with_part(state: State, number: int, attempt: Attempt, index: int, key: Key) -> State:
    """Return the state with one attempt and its key replaced."""
    attempts, keys = state.attempts, state.keys
    attempts = (*attempts[:number], attempt, *attempts[number + 1 :])
    if key is keys[index]:
        return with_attempts(state, attempts)
    return with_attempts(state, attempts, (*keys[:index], key, *keys[index + 1 :]))


# The database


def known_attempts(state: State) -> Iterator[tuple[int, Attempt]]:
    """Return the attempts that the database has rows of, with their numbers."""
    return enumerate(state.attempts[state.forgotten :], start=state.forgotten)


def others_are_open(state: State, number: int) -> bool:
    """other_attempts_drain_at: an earlier attempt without a report has not drained."""
    return any(
        a.generation == state.generation and n != number and not a.verdict and a.age < DRAINED
        for n, a in known_attempts(state)
    )


def is_only_send(state: State, number: int) -> bool:
    """is_only_send: no attempt but this can have had an effect under the current key."""
    return not state.has_unknown_send and not any(
        a.generation == state.generation and n != number and a.is_dirty
        for n, a in known_attempts(state)
    )


def judge_decline(state: State, number: int, outcome: str, rules: Rules) -> State:
    """judge_decline: failed, with or without a later key; unknown or parked in doubt."""
    if others_are_open(state, number) and not rules.lacks("decline while another attempt is open"):
        return state._replace(state="unknown")
    is_final_400 = rules.lacks("a non-saved 4xx is final") or rules.lacks("a new key after a 4xx")
    is_saved = outcome in SAVED or outcome == "foreign"
    if not is_saved and not is_only_send(state, number) and not is_final_400:
        return state._replace(state="parked")
    awaits = "funds" if outcome == "foreign" else rules.awaits.get(outcome)
    has_next_key = awaits == "funds" or (awaits is not None and has_keys_left(state, rules))
    return state._replace(
        state="failed",
        is_due=has_next_key,
        is_saved=is_saved,
        unfunded=state.unfunded + (awaits == "funds"),
    )


def has_keys_left(state: State, rules: Rules) -> bool:
    """counted_keys: keys that were declined for lack of funds do not count."""
    return state.generation - state.unfunded < rules.max_generations


def reaction_to(outcome: str, rules: Rules) -> str:
    """match_error_rule: the reaction to an outcome that is no success."""
    if outcome == "foreign" and rules.lacks("an untied decline is final"):
        return "decline"
    return rules.reactions[outcome]


def is_believed(state: State, outcome: str, rules: Rules) -> bool:
    """sends_to_believe: a decline counts that Stripe saves, or that enough sends have got."""
    return outcome != "forbidden" or (
        state.forbidden >= rules.sends_to_believe or rules.lacks("a 403 is believed at once")
    )


def judge_failure(state: State, number: int, outcome: str, rules: Rules) -> State:
    """judge_failure: the newest attempt came back without a success."""
    reaction = reaction_to(outcome, rules)
    had_unknown_send = state.has_unknown_send
    tries = state.tries + (reaction != "pause")
    leaves_unknown = reaction in ("unknown", "park") and not rules.lacks("unknown is forgotten")
    forbidden = min(state.forbidden + (outcome == "forbidden"), rules.sends_to_believe)
    state = state._replace(
        tries=tries,
        has_unknown_send=had_unknown_send or leaves_unknown,
        forbidden=forbidden,
    )
    if outcome == "failed_500" and rules.lacks("a new key after a 500"):
        return state._replace(state="failed", is_due=has_keys_left(state, rules), is_saved=True)
    if reaction == "decline" and is_believed(state, outcome, rules):
        return judge_decline(state, number, outcome, rules)
    if reaction == "park":
        return state._replace(state="parked", may_execute_later=outcome == "may_execute_later")
    if reaction != "pause" and tries >= rules.max_tries:
        return state._replace(state="parked")
    if leaves_unknown or had_unknown_send:
        return state._replace(state="unknown")
    return state._replace(state="retry_wait")


def judge_success(state: State, number: int) -> tuple[str, State]:
    """judge_success: a fact for the current key; for any other it parks and notifies operators."""
    if state.state == "paid":
        return "already", state
    if (
        state.attempts[number].generation != state.generation
        or state.state in ("scheduled", "failed")
        or state.state in ENDED
    ):
        is_open = state.state in ("scheduled", "in_flight", "retry_wait", "unknown")
        return "alarm", state._replace(state="parked") if is_open else state
    return "ok", state._replace(state="paid")


def report(state: State, number: int, rules: Rules) -> tuple[str, State]:
    """report_outcomes, judge_outcome: verdict and state after one report."""
    attempt = state.attempts[number]
    if number < state.forgotten:
        reported = reporting(attempt, "stale")
        attempts = (*state.attempts[:number], reported, *state.attempts[number + 1 :])
        return "alarm", with_attempts(state, attempts)
    is_newest = (
        state.state == "in_flight"
        and attempt.generation == state.generation
        and number == len(state.attempts) - 1
    )
    after = state
    if attempt.outcome == "success" and (
        is_newest or not rules.lacks("a stale success is dropped")
    ):
        verdict, after = judge_success(state, number)
    elif is_newest or (
        rules.lacks("no fence") and state.state not in FINAL and (attempt.outcome != "success")
    ):
        verdict, after = "ok", judge_failure(state, number, attempt.outcome, rules)
    else:
        verdict = "already" if attempt.verdict == "ok" else "stale"
    reported = reporting(attempt, verdict)
    attempts = (*state.attempts[:number], reported, *state.attempts[number + 1 :])
    return verdict, with_attempts(after, attempts)


def forged(state: State, number: int, rules: Rules) -> State:
    """judge_outcome: a decline that somebody makes up, without the token, moves nothing."""
    if not rules.lacks("no token") or state.state != "in_flight":
        return state
    attempt = state.attempts[number]
    told = attempt._replace(outcome="declined")
    attempts = (*state.attempts[:number], told, *state.attempts[number + 1 :])
    _, after = report(with_attempts(state, attempts), number, rules)
    believed = after.attempts[number]._replace(outcome=attempt.outcome)
    attempts = (*after.attempts[:number], believed, *after.attempts[number + 1 :])
    return with_attempts(after, attempts)


@cache
def reporting(attempt: Attempt, verdict: str) -> Attempt:
    """Return the knowledge of an attempt after one more report."""
    return attempt._replace(
        verdict=attempt.verdict if attempt.verdict == "ok" else verdict,
        is_dirty=attempt.is_dirty or attempt.outcome not in CLEAN,
        is_definite=attempt.is_definite or attempt.outcome in DEFINITE,
    )


def has_room(state: State, rules: Rules) -> bool:
    """Whether the exploration has an attempt and a worker left."""
    return len(state.attempts) < rules.attempts and rules.workers > sum(
        a.worker != "gone" for a in state.attempts
    )


def can_claim(state: State, rules: Rules) -> bool:
    """claim_transfers: claimable states, a key young enough, a database that is compared."""
    if not state.is_compared and not rules.lacks("claims without a comparison of the newest"):
        return False
    if state.state not in CLAIMABLE and not (
        state.state == "parked" and rules.lacks("parked can be claimed")
    ):
        return False
    if not has_room(state, rules):
        return False
    ignores_age = rules.lacks("no 24-hour limit") or rules.lacks("parked can be claimed")
    return ignores_age or is_within_window(state, rules)


def is_within_window(state: State, rules: Rules) -> bool:
    """open_attempts: the next send would still meet the key at Stripe, as far as is known.

    The window begins when the transfer was due: a restored database does not know when it was
    sent, and a due time is not lost.
    """
    known = [a for _, a in known_attempts(state) if a.generation == state.generation]
    if state.forgotten and known and rules.lacks("the window begins at the first known send"):
        return known[0].age < SETTLED  # a little longer than the window
    if state.forgotten and not known and state.generation > 1:
        return True  # opened just now, whatever was sent before
    return (
        current_key(state, rules).age == YOUNG
        or state.is_looked_up
        or (not known and rules.lacks("no look before a late first send"))
    )


def claim(state: State, rules: Rules) -> State:
    """claim_transfers: the next attempt, committed before anything is sent."""
    per_attempt = rules.lacks("a key per attempt")
    further = 1 if per_attempt else max(0, state.generation - len(state.keys))
    keys = state.keys + further * (Key(),)
    index = state.generation - 1
    if state.is_looked_up and not further and keys[index].age == FORGOTTEN:
        keys = (*keys[:index], Key(), *keys[index + 1 :])  # as if used for the first time
    return state._replace(
        state="in_flight",
        attempts=(*state.attempts, Attempt(state.generation)),
        keys=keys,
        is_looked_up=False,
        scans=0,
    )


def go_back(state: State) -> State:
    """An older copy of the database, from before the first claim, goes on."""
    return State(
        attempts=state.attempts,
        keys=state.keys,
        effect=state.effect,
        forgotten=len(state.attempts),
        is_compared=False,
    )


def is_over(state: State) -> bool:
    """Whether nothing that was claimed so far can have an effect any more."""
    return not any(a.request or (a.worker == "holds" and a.age == FRESH) for a in state.attempts)


def compare(state: State) -> State:
    """record_listed_transfers: one of Stripe's newest transfers that is ours is taken for ours."""
    is_shown = state.effect != ABSENT and state.state != "failed"
    return state._replace(is_compared=True, state="paid" if is_shown else state.state)


def expire_lease(state: State, rules: Rules) -> State:
    """expire_leases: the worker did not come back."""
    tries = state.tries + 1
    return state._replace(
        state="parked" if tries >= rules.max_tries else "unknown",
        tries=tries,
        has_unknown_send=not rules.lacks("unknown is forgotten") or state.has_unknown_send,
    )


def reopen(state: State) -> State:
    """reopen_failed: the next key, where the evidence allows it."""
    return state._replace(
        state="scheduled",
        generation=state.generation + 1,
        tries=0,
        has_unknown_send=False,
        forbidden=0,
        is_due=False,
        is_saved=False,
        is_looked_up=False,
    )


def scan_counts(state: State, rules: Rules) -> bool:
    """absence_counts_from: whether a scan that begins now can prove absence."""
    if rules.lacks("absence at once") or rules.lacks("absence before the attempts drained"):
        return True
    if state.may_execute_later:
        return False
    for _, attempt in known_attempts(state):
        waits_a_day = not attempt.is_definite
        if rules.lacks("an answer that names no key is definite"):
            waits_a_day = waits_a_day and attempt.outcome not in KEYLESS
        if rules.lacks("absence 15 minutes after a 500"):
            waits_a_day = False
        if rules.lacks("absence a day after a reported answer only"):
            waits_a_day = waits_a_day and attempt.verdict != ""
        if attempt.age < (SETTLED if waits_a_day else DRAINED):
            return False
    return True


def end_scan(state: State, rules: Rules) -> State:
    """judge_lookup: a complete scan is in; match, or one of the two that prove absence."""
    found, state = state.scan, state._replace(scan="")
    if state.state != "parked":
        return state
    if found == "hit":
        return state._replace(state="paid")
    is_enough = (
        state.scans == 2 or rules.lacks("one scan is enough") or rules.lacks("absence at once")
    )
    if not is_enough:
        return state._replace(scans=1)
    return state._replace(
        state="failed",
        scans=0,
        is_due=has_keys_left(state, rules),
        is_looked_up=True,
    )


def look_moves(state: State, rules: Rules) -> Iterator[Move]:
    """The looks at Stripe's list that come before a new key, and before a late first send.

    Once Stripe has made a transfer, its list shows it: two scans are for those that come late.
    A refused act has one that failed looked for, too (act).
    """
    if (
        state.state == "failed"
        and not state.is_looked_up
        and (state.is_due or (not state.is_saved and ENDS & rules.acts))
    ):
        if state.effect != ABSENT:
            yield Move("a look finds it: alarm", False, state._replace(is_due=False))
        elif look_counts(state, rules):
            yield Move("a look finds nothing", False, state._replace(is_looked_up=True))
    if is_late_first_send(state, rules) and not state.is_looked_up:
        if state.effect != ABSENT:
            yield Move("a look finds it: parked", False, state._replace(state="parked"))
        elif is_all_over(state, rules):
            yield Move("a look finds nothing", False, state._replace(is_looked_up=True))


def allows(act: str, state: State, rules: Rules) -> bool:
    """act_problem, previewed_acts: whether an operator may do this with the transfer now."""
    if act == "retry" and state.state == "failed":
        return has_keys_left(state, rules)
    if act == "cancel" and rules.lacks("a cancel does not wait for a claim"):
        return state.state == "in_flight"
    if act == "settle_outside" and rules.lacks("settled outside while unknown"):
        return state.state == "unknown"
    if act == "settle_outside" and rules.lacks("settled outside while parked"):
        return state.state == "parked"
    if act in ENDS and not (
        state.is_compared or rules.lacks("ended without a comparison of the newest")
    ):
        return False
    if act in ENDS and state.state == "failed" and not rules.lacks("ended without a look"):
        return state.is_saved or state.is_looked_up
    return state.state in ACTS[act]


def act_moves(state: State, rules: Rules) -> Iterator[Move]:
    """The acts that operators may do with the transfer, as it stands."""
    for act in ACTS:
        if act in rules.acts and allows(act, state, rules):
            after = acted(act, state, rules)
            if after is not state:
                yield Move(f"an operator: {act}", True, after)


def acted(act: str, state: State, rules: Rules) -> State:
    """judge_act: the state that an act makes of a transfer with which it can be done."""
    if act == "retry":
        # One with a date goes on by itself.
        return state if state.is_due else state._replace(is_due=True, is_looked_up=False)
    if act == "park":
        return state._replace(state="parked")
    if act == "give_up":
        return give_up(state, rules)
    return state._replace(state="cancelled" if act == "cancel" else "settled_outside", is_due=False)


def give_up(state: State, rules: Rules) -> State:
    """judge_act: two people take a parked one for failed, without a proof."""
    return state._replace(
        state="failed",
        scans=0,
        scan="",
        is_due=has_keys_left(state, rules),
        is_saved=rules.lacks("a look at once after it was given up"),
    )


def look_counts(state: State, rules: Rules) -> bool:
    """evidence_for_new_key: after a decline that is not saved everything sent has to be over."""
    return (
        state.is_saved
        or scan_counts(state, rules)
        or rules.lacks("a look at once after a decline that is not saved")
        or rules.lacks("a new key after a 4xx")
    )


def is_late_first_send(state: State, rules: Rules) -> bool:
    """Whether a transfer that was never sent, as far as is known, is due for too long."""
    return (
        state.state == "scheduled"
        and state.generation == 1
        and current_key(state, rules).age >= WALLED
    )


def is_all_over(state: State, rules: Rules) -> bool:
    """forgotten_sends_last: nothing can come any more of sends that a database has forgotten.

    They were made within the send window after the transfer was due; the database knows when.
    """
    return rules.lacks("a look at once before a late first send") or all(
        a.age == SETTLED for a in state.attempts[: state.forgotten]
    )


# The world


def attempt_moves(state: State, number: int, rules: Rules) -> Iterator[Move]:
    """Return the steps around one attempt: of its worker, on the wire, at Stripe."""
    index = key_index(state, number, rules)
    attempt, key = state.attempts[number], state.keys[index]
    if attempt.worker == "knows":
        verdict, after = report(state, number, rules)
        label = f"worker of attempt {number + 1} reports {attempt.outcome}: "
        yield Move(f"{label}{verdict}, {after.state}", False, after)
    if number + 1 == len(state.attempts):
        after = forged(state, number, rules)
        if after is not state:
            yield Move(f"somebody reports attempt {number + 1} declined", True, after)
    for part in (
        *worker_parts(number, attempt, key, rules),
        *stripe_parts(number, attempt, key, rules),
    ):
        after = with_part(state, number, part.attempt, index, part.key)
        broken = part.broken
        if part.has_effect:
            after = after._replace(effect=HIDDEN)
            if state.effect != ABSENT:
                broken = TWO_EFFECTS
            elif state.state in ENDED:
                broken = FALSE_END
            elif state.state == "failed" or (
                index + 1 < state.generation and not rules.lacks("a key per attempt")
            ):
                broken = FALSE_FAILURE
        yield Move(part.label, part.is_fault, after, broken)


@cache
def worker_parts(number: int, attempt: Attempt, key: Key, rules: Rules) -> tuple[Part, ...]:
    """Return the steps of the worker of one attempt besides reporting."""
    return tuple(_worker_parts(f"worker of attempt {number + 1}", attempt, key, rules))


def _worker_parts(subject: str, attempt: Attempt, key: Key, rules: Rules) -> Iterator[Part]:
    if attempt.worker == "holds":
        if attempt.age == FRESH or rules.lacks("no check before the send"):
            sent = attempt._replace(worker="waits", request="on_its_way")
            broken = FORGOTTEN_KEY if key.age == FORGOTTEN else None
            yield Part(f"{subject} sends", False, sent, key, broken=broken)
        not_sent = attempt._replace(worker="knows", outcome="not_sent")
        yield Part(f"{subject} does not send", attempt.age == FRESH, not_sent, key)
    if attempt.worker == "waits":
        is_fault = bool(attempt.request) and attempt.age == FRESH
        given_up = attempt._replace(worker="knows", outcome="no_response")
        yield Part(f"{subject} gives up waiting", is_fault, given_up, key)
        # One state for both, as long as the database learns as little from both.
        knows_less = reaction_to("foreign", rules) == rules.reactions["no_response"]
        foreign = given_up if knows_less else given_up._replace(outcome="foreign")
        yield Part(f"{subject} is handed a copy of a foreign decline", True, foreign, key)
    if attempt.worker != "gone":
        is_fault = attempt.worker != "knows" or not attempt.verdict
        yield Part(f"{subject} dies", is_fault, attempt._replace(worker="gone", outcome=""), key)


def answered(attempt: Attempt, outcome: str, leaves: str = "") -> Attempt:
    """Stripe answers a request; the worker learns of it if it still waits."""
    if attempt.worker == "waits":
        return attempt._replace(worker="knows", request=leaves, outcome=outcome)
    return attempt._replace(request=leaves)


@cache
def stripe_parts(number: int, attempt: Attempt, key: Key, rules: Rules) -> tuple[Part, ...]:
    """Return the steps of one request, from the wire to the answer."""
    return tuple(_stripe_parts(f"request {number + 1}", attempt, key, rules))


def _stripe_parts(subject: str, attempt: Attempt, key: Key, rules: Rules) -> Iterator[Part]:
    if attempt.request == "on_its_way":
        yield Part(f"{subject} is lost", True, attempt._replace(request=""), key)
        for outcome in sorted(KEYLESS & rules.answers):
            label = f"{subject}: {outcome}, nothing saved"
            yield Part(label, True, answered(attempt, outcome), key)
        if key.record == "busy":
            yield Part(f"{subject}: 409 key in use", False, answered(attempt, "key_in_use"), key)
        elif key.record and key.age != FORGOTTEN:
            replay = REPLAYS[key.record]
            yield Part(f"{subject}: {replay} replayed", False, answered(attempt, replay), key)
        else:
            if "refused" in rules.answers:
                label = f"{subject}: refused, nothing saved"
                yield Part(label, True, answered(attempt, "refused"), key)
            begun = attempt._replace(request="executing")
            broken = FORGOTTEN_KEY if key.age == FORGOTTEN else None
            label = f"{subject} begins to be executed"
            yield Part(label, False, begun, key._replace(record="busy"), broken=broken)
    elif attempt.request == "executing":
        for outcome, record, leaves, has_effect in (
            ("unfunded", "unfunded", "", False),
            ("declined", "declined", "", False),
            ("failed_500", "500", "", False),
            ("failed_500", "500", "unfinished", False),
            ("may_execute_later", "pending", "unapproved", False),
            ("success", "success", "", True),
            ("failed_500", "500", "", True),
        ):
            if outcome != "success" and outcome not in rules.answers:
                continue
            label = f"{subject}: {outcome}"
            label += f", {leaves}" if leaves else ", and the effect" if has_effect else ""
            after = answered(attempt, outcome, leaves)
            yield Part(label, not has_effect, after, key._replace(record=record), has_effect)
            if outcome in rules.copied:
                label += "; a copy of a foreign 403 comes in its place"
                after = answered(attempt, "forbidden", leaves)
                yield Part(label, True, after, key._replace(record=record), has_effect)
    elif attempt.request:
        label = f"{subject} is carried out late"
        yield Part(label, False, attempt._replace(request=""), key, has_effect=True)


def time_moves(state: State, rules: Rules) -> Iterator[Move]:
    """Time goes by: the oldest thing of each kind comes to its next age."""
    before = SETTLED
    for number, attempt in enumerate(state.attempts):
        age, is_next = attempt.age + 1, attempt.age < before
        before = attempt.age
        if not is_next:
            continue
        index = key_index(state, number, rules)
        key = state.keys[index]
        if age == SETTLED and key.age != FORGOTTEN:
            continue
        part = older(number, attempt, key, state.may_execute_later, rules)
        yield Move(part.label, False, with_part(state, number, part.attempt, index, part.key))
    before = FORGOTTEN
    for index, key in enumerate(state.keys):
        age, is_next = key.age + 1, key.age < before
        before = key.age
        if not is_next:
            continue
        # 20 h + lease + drain < 24 h
        if (
            age == FORGOTTEN
            and not rules.lacks("the window reaches Stripe's memory")
            and any(
                key_index(state, n, rules) == index and a.age < DRAINED
                for n, a in enumerate(state.attempts)
            )
        ):
            continue
        label, after = older_key(index, key)
        keys = (*state.keys[:index], after, *state.keys[index + 1 :])
        yield Move(label, False, with_attempts(state, state.attempts, keys))
    if state.scans == 1:
        # An hour drains every attempt that was there.
        later = state
        for number, attempt in enumerate(state.attempts):
            index = key_index(state, number, rules)
            for _ in range(attempt.age, DRAINED):
                now, key = later.attempts[number], later.keys[index]
                part = older(number, now, key, state.may_execute_later, rules)
                later = with_part(later, number, part.attempt, index, part.key)
        if later.effect == HIDDEN_AT_FIRST_SCAN:
            later = later._replace(effect=LISTED)
        yield Move("an hour since the first scan", False, later._replace(scans=2))


@cache
def older(number: int, attempt: Attempt, key: Key, may_execute_later: bool, rules: Rules) -> Part:
    """An attempt comes to its next age: events that are late by then never happen."""
    age, request = attempt.age + 1, attempt.request
    if age == DRAINED and not rules.lacks("the drain is too short"):
        if request == "executing":
            key = key._replace(record="500")
        if request in ("on_its_way", "executing"):
            request = ""
    if age == SETTLED and not (may_execute_later and request == "unapproved"):
        request = ""
    label = f"attempt {number + 1}: {AGES[age]}"
    return Part(label, False, attempt._replace(age=age, request=request), key)


@cache
def older_key(index: int, key: Key) -> tuple[str, Key]:
    """A key comes to its next age."""
    label = ("", "20 hours since its first send", "Stripe may forget it")[key.age + 1]
    return f"key {index + 1}: {label}", key._replace(age=key.age + 1)


def database_moves(state: State, rules: Rules) -> Iterator[Move]:
    """Claims, sweeps, look-ups."""
    if can_claim(state, rules):
        yield Move("claim", False, claim(state, rules))
    if state.state == "in_flight" and state.attempts[-1].age >= LATE:
        after = expire_lease(state, rules)
        yield Move(f"sweep: the lease ran out, {after.state}", False, after)
    if (
        state.state in ("retry_wait", "unknown")
        and current_key(state, rules).age >= WALLED
        and not rules.lacks("no 24-hour limit")
    ):
        yield Move("sweep: the key is too old, parked", False, state._replace(state="parked"))
    yield from look_moves(state, rules)
    yield from act_moves(state, rules)
    if (
        state.state == "failed"
        and state.is_due
        and (state.is_looked_up or rules.lacks("a new key without a look"))
    ):
        yield Move("sweep: the next key", False, reopen(state))
    if (
        (rules.forgets or (rules.forgets_what_is_over and is_over(state)))
        and state.attempts
        and not state.forgotten
    ):
        yield Move("the database goes back in time", True, go_back(state))
    if not state.is_compared:
        after = compare(state)
        yield Move(f"a worker compares the newest: {after.state}", False, after)
    if state.state == "parked" and not state.scan and not rules.lacks("parked is not looked up"):
        counts = scan_counts(state, rules)
        # Both scans must be an hour apart: the second begins when the first is that old.
        is_in_time = state.scans != 1 or rules.lacks("scans without an hour between")
        begun = state
        if state.effect == HIDDEN and counts and state.scans == 0:
            begun = state._replace(effect=HIDDEN_AT_FIRST_SCAN)
        if state.scans == 1 and is_in_time:
            begun = begun._replace(scans=2)
        # A scan without match that does not count changes nothing.
        if state.effect != LISTED and counts and is_in_time:
            yield Move("a scan begins", False, begun._replace(scan="counts"))
        if state.effect != ABSENT:
            yield Move("a scan begins and will find it", False, state._replace(scan="hit"))
    if state.scan:
        after = end_scan(state, rules)
        yield Move(f"the scan ends: {after.state}", False, after)


def moves(state: State, rules: Rules) -> Iterator[Move]:
    """Every step from a state, with the property that it breaks."""
    for move in all_moves(state, rules):
        to = move.to
        broken = move.broken
        if broken is None and to.state != state.state:
            if to.state == "failed" and to.effect != ABSENT:
                broken = FALSE_FAILURE
            elif to.state in ENDED and to.effect != ABSENT:
                broken = FALSE_END
            elif to.state == "paid" and to.effect == ABSENT:
                broken = FALSE_SUCCESS
            elif (
                (state.state, to.state) not in rules.edges
                and not rules.unsafe
                and to.forgotten == state.forgotten
            ):
                broken = ILLEGAL_MOVE
        same = normal(to, rules)
        if same is to and broken is move.broken:
            yield move
        else:
            yield Move(move.label, move.is_fault, same, broken)


def all_moves(state: State, rules: Rules) -> Iterator[Move]:
    """Every step of every part."""
    return chain(
        database_moves(state, rules),
        *[attempt_moves(state, number, rules) for number in range(len(state.attempts))],
        time_moves(state, rules),
    )


def still_told(attempt: Attempt) -> str:
    """Return the outcome that a fenced worker may report, where anything comes of that.

    A success counts, and that nothing can come any more; the others are as good as no answer.
    """
    tells = attempt.outcome == "success" or (
        attempt.outcome in DEFINITE and not attempt.is_definite
    )
    return attempt.outcome if tells else attempt.outcome and "no_response"


@cache
def ended(attempt: Attempt) -> Attempt:
    """Return an attempt of a row that is final, without the fields that no step reads."""
    worker = "gone" if attempt.worker == "knows" else attempt.worker
    return closed(attempt)._replace(worker=worker, outcome="", is_definite=False)


@cache
def closed(attempt: Attempt) -> Attempt:
    """Return an attempt whose key is not sent again, without the fields that no step reads."""
    return attempt._replace(outcome=still_told(attempt), verdict="", is_dirty=False)


@cache
def doubted(attempt: Attempt, is_awaited: bool) -> Attempt:
    """Return an attempt under a key with an unknown send, without the fields that no step reads."""
    outcome = attempt.outcome if is_awaited else still_told(attempt)
    return attempt._replace(outcome=outcome, verdict=attempt.verdict and "ok", is_dirty=False)


def normal(state: State, rules: Rules) -> State:
    """One state for all states with the same future.

    Once the row is paid, or ended by an operator, only Stripe can still err. One that is parked or
    failed goes on under another key, if at all. Unsafe variants read more, and keep all.
    """
    if state.state in FINAL:
        name = "paid" if state.state == "paid" else "cancelled"
        attempts = tuple([ended(a) for a in state.attempts])
        return State(
            name, state.generation, 0, attempts=attempts, keys=state.keys, effect=state.effect
        )
    if rules.unsafe:
        return state
    if state.state in ("parked", "failed"):
        attempts = tuple([closed(a) for a in state.attempts])
        if state.tries or state.has_unknown_send or state.forbidden:
            state = state._replace(tries=0, has_unknown_send=False, forbidden=0)
    elif state.generation > 1 or state.has_unknown_send:
        awaited = len(state.attempts) - 1 if state.state == "in_flight" else -1
        attempts = tuple(
            [
                closed(a)
                if a.generation < state.generation
                else doubted(a, n == awaited)
                if state.has_unknown_send
                else a
                for n, a in enumerate(state.attempts)
            ]
        )
    else:
        return state
    return state if attempts == state.attempts else with_attempts(state, attempts)


def is_at_rest(state: State, rules: Rules) -> bool:
    """Final, or left to an operator: failed without a date; Stripe may still carry it out."""
    return (
        state.state in FINAL
        or (state.state == "failed" and not state.is_due)
        or (state.state in ("parked", "failed") and state.may_execute_later)
        # Where the exploration ends: another key, and nothing left to explore it with.
        or (state.state == "scheduled" and not has_room(state, rules))
    )
