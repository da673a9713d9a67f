"""The invariants of the machine, and the end: faults off, and every transfer comes to rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from tests.conftest import Connection, Server
from tests.machine.world import HOUR, MINUTE, OTHER_INSTALLATION, PAYEES, World

# Each row of these is a fact from its first moment on.
FACTS: Final = {
    "payout_transfers": "payout_transfer_id",
    "transfer_attempts": "payout_transfer_id || ':' || f.attempt",
    "transfer_observations": "observation_id",
    "transfer_requests": "transfer_request_id",
    "ledger_entries": "ledger_entry_id",
    "payee_accounts": "payee_account_id",
    "operator_actions": "operator_action_id",
}
DIGESTS: Final = " union all ".join(
    f"select '{table}', ({key})::text, md5(to_jsonb(f)::text) from payout.{table} as f"
    for table, key in FACTS.items()
)
FORGOTTEN: Final = """
select s.payout_transfer_id, s.state, s.reason
from payout.transfer_states as s
cross join payout.engine_settings as e
where case
    -- A settlement beside the registration of an account sees nothing of it, and looks for it.
    when s.state = 'scheduled' then s.next_attempt_at is null and not exists (
        select from payout.account_waits as w
        where w.payout_transfer_id = s.payout_transfer_id and w.next_look_at is not null)
    when s.state in ('retry_wait', 'unknown') then s.next_attempt_at is null
    when s.state = 'in_flight' then s.lease_until is null
    when s.state = 'parked' then s.next_lookup_at is null
    when s.state = 'failed' and s.next_attempt_at is not null then
        payout.was_seen_at_stripe(s.payout_transfer_id)
        or s.hold_id is null and (payout.counted_keys(s) >= e.max_generations
            or (s.next_lookup_at is null and payout.evidence_for_new_key(s) is null))
    else false
end or s.hold_id is not null and not exists (
    select from payout.holds as h where h.hold_id = s.hold_id and h.released_at is null)
"""
# The engine's own reasons to leave a transfer parked for good.
FOR_A_PERSON: Final = ["absence_awaits_approval"]
# All seals are verified after so many moves, new ones at once.
SEALS_EVERY: Final = 25
ROUNDS_TO_REST: Final = 120
ROUNDS_OF_AN_HOUR: Final = 80


class Watched(World):
    """A world that is looked at after each move."""

    def __init__(self, server: Server, maintenance: Connection, template: str) -> None:
        super().__init__(server, maintenance, template)
        self.facts: dict[tuple[str, str], str] = {}
        self.moves_made = 0
        self.seals_verified = 0

    def end(self) -> None:
        self.stack.close()

    def go_back(self, dump: str) -> None:
        super().go_back(dump)
        self.facts = {}
        self.seals_verified = 0

    def all_is_well(self) -> None:
        self.moves_made += 1
        self.no_transfer_is_paid_twice()
        self.paid_transfers_exist_at_stripe_and_failed_ones_do_not()
        self.the_books_agree_with_the_states_and_the_states_with_the_facts()
        self.no_rule_of_the_rows_is_broken()
        self.every_open_transfer_has_a_next_step()
        self.every_key_was_known_before_it_was_used_and_none_after_stripe_forgot_it()
        self.every_request_went_to_the_account_that_its_claim_named()
        self.operators_are_notified_of_contradictions_only()
        self.no_more_reversals_are_booked_than_were_made()
        self.every_settlement_is_known_and_owes_the_sum_of_its_lines()
        self.attempts_count_up_and_only_the_newest_is_open()
        self.no_fact_has_changed()
        self.the_seals_hold(are_all=self.moves_made % SEALS_EVERY == 0)

    def no_transfer_is_paid_twice(self) -> None:
        for payout_ref, effects in self.double.effects_by_payout_ref().items():
            assert len(effects) <= 1, payout_ref

    def paid_transfers_exist_at_stripe_and_failed_ones_do_not(self) -> None:
        """A restored database has forgotten the account that it asked for: any of the payee's."""
        made = self.double.effects_by_payout_ref()
        for state, payout_ref, destinations, *owed in self.engine.db.execute(
            "select s.state, t.payout_ref, payout.destinations(t, s.generation), "
            "s.stripe_transfer_id, t.amount_minor, t.currency from payout.transfer_states as s "
            "join payout.payout_transfers as t using (payout_transfer_id)"
        ):
            effects = made.get(payout_ref, [])
            if state == "paid":
                assert [[each["id"], each["amount"], each["currency"]] for each in effects] == [
                    owed
                ]
                assert effects[0]["destination"] in destinations
            elif state in ("failed", "cancelled") and not self.is_restored:
                assert effects == []

    def the_books_agree_with_the_states_and_the_states_with_the_facts(self) -> None:
        assert self.engine.differences_in_the_books() == []

    def no_rule_of_the_rows_is_broken(self) -> None:
        broken = self.engine.db.execute(
            "select * from payout_api.verify_settlements() "
            "union all select * from payout_api.verify_books()"
        )
        assert broken.fetchall() == []

    def every_open_transfer_has_a_next_step(self) -> None:
        assert self.engine.db.execute(FORGOTTEN).fetchall() == []

    def every_key_was_known_before_it_was_used_and_none_after_stripe_forgot_it(self) -> None:
        known = {
            key
            for (key,) in self.engine.db.execute(
                "select distinct t.payout_ref || ':' || a.generation "
                "from payout.transfer_attempts as a "
                "join payout.payout_transfers as t using (payout_transfer_id)"
            )
        }
        used: dict[str | None, list[Any]] = defaultdict(list)
        for request in self.double.sends:
            used[request.key].append(request)
        assert self.is_restored or used.keys() <= known
        for key, requests in used.items():
            bodies = {frozenset(request.params.items()) for request in requests}
            assert self.is_restored or len(bodies) == 1, key
            lasted = requests[-1].received_at - requests[0].received_at
            assert self.is_restored or lasted < 24 * HOUR, key

    def every_request_went_to_the_account_that_its_claim_named(self) -> None:
        """The claims are remembered here, where no restore makes them forgotten."""
        named = defaultdict(set)
        for claim in self.claims:
            named[claim.idempotency_key].add(claim.request["destination"])
        for request in self.double.sends:
            assert request.params["destination"] in named[request.key or ""], request.key

    def operators_are_notified_of_contradictions_only(self) -> None:
        """The double tells the truth, and a forged report is no observation."""
        alarms = self.engine.db.execute(
            "select reason from payout.transfer_observations where verdict = 'alarm'"
        )
        assert self.is_restored or alarms.fetchall() == []

    def every_settlement_is_known_and_owes_the_sum_of_its_lines(self) -> None:
        known = self.engine.db.execute(
            "select s.settlement_id, 1 = (select count(*) from payout.payout_jobs as j "
            "where j.settlement_id = s.settlement_id) and s.total_minor = all (array["
            "(select sum(l.amount_minor) from payout.settlement_lines as l "
            "where l.settlement_id = s.settlement_id), "
            "(select sum(t.amount_minor) from payout.payout_transfers as t "
            "where t.settlement_id = s.settlement_id)]) from payout.settlements as s"
        ).fetchall()
        assert self.committed <= {settlement_id for settlement_id, _ in known}
        assert [settlement_id for settlement_id, is_whole in known if not is_whole] == []

    def attempts_count_up_and_only_the_newest_is_open(self) -> None:
        """A worker that outlives a restore may report an attempt which the database forgot."""
        wrong = self.engine.db.execute(
            "select s.payout_transfer_id from payout.transfer_states as s "
            "where s.attempt <> (select count(*) from payout.transfer_attempts as a "
            "where a.payout_transfer_id = s.payout_transfer_id) "
            "or not %s and exists (select from payout.transfer_observations as o "
            "where o.payout_transfer_id = s.payout_transfer_id and o.attempt > s.attempt)",
            [self.is_restored],
        )
        assert wrong.fetchall() == []

    def no_fact_has_changed(self) -> None:
        rows = self.engine.db.execute(DIGESTS.encode())
        facts = {(table, number): digest for table, number, digest in rows}
        assert self.facts.items() <= facts.items()
        self.facts = facts

    def the_seals_hold(self, *, are_all: bool) -> None:
        newest = self.engine.db.execute("select coalesce(max(seal_id), 0) from payout.seals")
        ((newest_id,),) = newest.fetchall()
        first_id = 1 if are_all else self.seals_verified + 1
        if first_id <= newest_id:
            broken = self.engine.db.execute("select * from payout_api.verify_seals(%s)", [first_id])
            assert broken.fetchall() == []
        self.seals_verified = newest_id

    def no_more_reversals_are_booked_than_were_made(self) -> None:
        taken = {each["id"]: each["amount_reversed"] for each in self.double.transfers()}
        for transfer_id, booked in self.booked_reversals().items():
            assert booked <= taken[transfer_id]

    # The end.

    def come_to_rest(self) -> None:
        self.unlock()
        self.end_snapshot()
        self.set_right()
        self.double.clear_faults()
        self.double.set_list_lag(seconds=0)
        self.double.set_balance(currency="usd", available_minor=10**12)
        for payee in PAYEES:
            self.double.set_account(account_id=self.accounts[payee], state="open")
        self.on_the_way.clear()
        self.is_onboarded = True
        self.register()
        for settlement in self.settled:
            self.enter(settlement)
        for number in range(ROUNDS_TO_REST):
            if not self.open_transfers():
                break
            self.take_a_round()
            # An account that took no transfers is tried more and more rarely.
            self.wait((1 if number < ROUNDS_OF_AN_HOUR else 24) * 61 * MINUTE)
        else:
            raise AssertionError(f"does not come to rest: {self.open_transfers()}")
        self.read("comparison")
        self.wait(61 * MINUTE)
        self.read("comparison")
        self.read("events")
        self.read("reversals")
        self.all_is_well()
        self.the_seals_hold(are_all=True)
        self.each_transfer_at_stripe_is_paid_or_an_open_discrepancy()
        taken = {each["id"]: each["amount_reversed"] for each in self.double.transfers()}
        assert self.booked_reversals() == {
            transfer_id: amount
            for transfer_id, amount in taken.items()
            if amount and transfer_id in self.paid()
        }
        self.count_results()

    def take_a_round(self) -> None:
        """Do everything that is due: a look counts for what is sent soon after it."""
        self.engine.release_holds()
        for told in self.outcomes:
            self.engine.report(told)
        self.outcomes.clear()
        self.approve_absences()
        self.engine.sweep()
        for look in self.look():
            self.report_look(look)
        self.take_orders(100)
        for order in self.orders:
            self.send(order, None)
        self.orders.clear()

    def approve_absences(self) -> None:
        rows = self.engine.db.execute(
            "select payout_transfer_id from payout.transfer_states "
            "where state = 'parked' and reason = any (%s)",
            [FOR_A_PERSON],
        )
        for (transfer,) in rows.fetchall():
            self.engine.operator.execute(
                "select payout_api.retry('looked at Stripe', p_payout_transfer_id => %s)",
                [transfer],
            )
        self.engine.approve()

    def each_transfer_at_stripe_is_paid_or_an_open_discrepancy(self) -> None:
        open_ = self.engine.db.execute(
            "select stripe_transfer_id from payout.discrepancies where resolved_at is null"
        )
        in_discrepancies = {transfer_id for (transfer_id,) in open_}
        ours = {
            each["id"]
            for each in self.double.transfers()
            if each["metadata"]["payout_engine"] != OTHER_INSTALLATION
        }
        assert ours <= self.paid() | in_discrepancies

    def paid(self) -> set[str]:
        rows = self.engine.db.execute(
            "select stripe_transfer_id from payout.transfer_states where state = 'paid'"
        )
        return {transfer_id for (transfer_id,) in rows}

    def states(self) -> list[tuple[Any, ...]]:
        rows = self.engine.db.execute(
            "select payout_transfer_id, state, generation, attempt from payout.transfer_states "
            "order by payout_transfer_id"
        )
        return rows.fetchall()

    def booked_reversals(self) -> Mapping[str, int]:
        rows = self.engine.db.execute(
            "select s.stripe_transfer_id, sum(e.amount_minor)::bigint "
            "from payout.ledger_entries as e "
            "join payout.transfer_states as s using (payout_transfer_id) "
            "where e.kind = 'reversal' group by s.stripe_transfer_id"
        )
        return dict(rows.fetchall())

    def open_transfers(self) -> list[tuple[Any, ...]]:
        """Return those that are the engine's.

        A restored database has forgotten accounts and requests: a transfer at Stripe that
        contradicts the ones it knows is for a person.
        """
        rows = self.engine.db.execute(
            "select s.payout_transfer_id, s.state, s.reason from payout.transfer_states as s "
            "where s.state not in ('paid', 'cancelled') "
            "and not (s.state = 'failed' and s.next_attempt_at is null) "
            "and not (%s and s.state = 'parked' and exists (select from payout.discrepancies as d "
            "where d.payout_transfer_id = s.payout_transfer_id and d.resolved_at is null "
            "and d.kind = 'answer_contradicts_request'))",
            [self.is_restored],
        )
        return rows.fetchall()

    def count_results(self) -> None:
        """Count the ends of the transfers, and the ways to them."""
        rows = self.engine.db.execute(
            "select 'transfers ' || state, count(*) from payout.transfer_states group by state "
            "union all select 'further keys', sum(generation - 1) from payout.transfer_states "
            "union all select 'seals', count(*) from payout.seals "
            "union all select 'reports of ' || coalesce(reason, verdict), count(*) "
            "from payout.transfer_observations where verdict <> 'ok' "
            "group by coalesce(reason, verdict)"
        )
        for name, count in rows:
            self.counts[f"({name})"] += int(count or 0)
        self.counts["(requests at Stripe)"] += len(self.double.sends)
