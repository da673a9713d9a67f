"""Runs all benchmarks in interleaved rounds and prints medians, ranges, and ratios to the peers."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bench import drain, settle
from bench.measure import probe, spread
from bench.stand import database, listening, stripe

# A job wakes the workers that listen: two, as in an installation at work, or none.
LISTENING = (2, 0)
# Each way to settle has a peer of its shape: one statement by itself, or several between begin and
# commit, which is two or three more round trips.
CALL = "settle by call"
INSERTS = "settle by inserts"
PEERS = {
    CALL: "defer one job by itself (peer)",
    INSERTS: "begin, defer one job, commit (peer)",
}
SETTLING = {
    PEERS[CALL]: (settle.DEFER, "bench_worker"),
    CALL: (settle.CALL, "bench_app"),
    PEERS[INSERTS]: (settle.DEFER_IN_TRANSACTION, "bench_worker"),
    INSERTS: (settle.INSERTS, "bench_app"),
}


class Figures:
    """The figures of all rounds, by name."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {}

    def add(self, name: str, value: float) -> None:
        """Take one figure of one round."""
        self.values.setdefault(name, []).append(value)

    def ratio(self, name: str, peer: str) -> str:
        """Return how a figure stands to its peer's of the same round, for reading."""
        pairs = zip(self.values[name], self.values[peer], strict=True)
        return spread([value / beside for value, beside in pairs], 2)

    def line(self, name: str, unit: str, digits: int = 0) -> str:
        """Return a figure as a line for reading."""
        return f"  {name:54} {spread(self.values[name], digits)} {unit}"


def measure_settling(figures: Figures, *, rounds: int, seconds: int, payees: int) -> None:
    """Settle with eight clients and in one large settlement, in turns with the peers."""
    with database() as server:
        for script, user in SETTLING.values():  # the first transactions fill the caches
            settle.rate(server, script, user=user, seconds=min(seconds, 2))
        for number in range(rounds):
            _tell(f"settling, round {number + 1} of {rounds}")
            _add_noise(figures)
            for workers in LISTENING:
                with listening(server, workers=workers):
                    for name, (script, user) in SETTLING.items():
                        found = settle.rate(server, script, user=user, seconds=seconds)
                        figures.add(f"{name}, {workers} listen", found.per_second)
                        figures.add(f"{name}, {workers} listen, server CPU", found.cpu_ms)
            settled, bare = settle.large(server, payees=payees, number=number)
            figures.add("one large settlement", settled)
            figures.add("bare inserts of its rows (peer)", bare)


def measure_draining(figures: Figures, *, rounds: int, transfers: int, latency_ms: int) -> None:
    """Pay due transfers with one worker process, in turns with plain procrastinate."""
    for number in range(rounds):
        _tell(f"draining at {latency_ms} ms, round {number + 1} of {rounds}")
        _add_noise(figures)
        with database() as server, stripe(latency_ms) as url:
            for name, found in (
                (
                    "plain procrastinate (peer)",
                    drain.peer(server, stripe_url=url, transfers=transfers),
                ),
                (
                    "engine",
                    drain.engine(
                        server, stripe_url=url, transfers=transfers, round_=f"{latency_ms}_{number}"
                    ),
                ),
            ):
                figures.add(f"{name}, {latency_ms} ms", found.per_second)
                figures.add(f"{name}, {latency_ms} ms, worker CPU", found.worker_cpu_ms)
                figures.add(f"{name}, {latency_ms} ms, server CPU", found.server_cpu_ms)


def report(figures: Figures, *, payees: int, latencies: list[int]) -> None:
    """Print every figure and the ratios that are asked for."""
    print("\nNoise: a fixed piece of CPU work, and a flush to disk, before each round")
    print(figures.line("CPU probe", "ms", 1))
    print(figures.line("flush probe", "ms", 2))
    for workers in LISTENING:
        print(f"\nSettlement commits, 8 clients, one payee each, {workers} workers listening")
        for name in SETTLING:
            print(figures.line(f"{name}, {workers} listen", "a second"))
            print(figures.line(f"{name}, {workers} listen, server CPU", "ms", 2))
        for way, own in PEERS.items():
            for peer in PEERS.values():
                ratio = figures.ratio(f"{way}, {workers} listen", f"{peer}, {workers} listen")
                asked = " (asked for: at least 0.8)" if peer == own else ""
                print(f"  ratio, {way} to {peer}: {ratio}{asked}")
    print(f"\nOne settlement of {payees:,} payees")
    print(figures.line("one large settlement", "s", 2))
    print(figures.line("bare inserts of its rows (peer)", "s", 2))
    ratio = figures.ratio("one large settlement", "bare inserts of its rows (peer)")
    print(f"  ratio: {ratio} times the peer (asked for: at most 3)")
    for latency in latencies:
        print(f"\nOne worker process, Stripe at {latency} ms")
        for name in ("plain procrastinate (peer)", "engine"):
            print(figures.line(f"{name}, {latency} ms", "transfers a second"))
            print(figures.line(f"{name}, {latency} ms, worker CPU", "ms a transfer", 2))
            print(figures.line(f"{name}, {latency} ms, server CPU", "ms a transfer", 2))
        ratio = figures.ratio(f"engine, {latency} ms", f"plain procrastinate (peer), {latency} ms")
        print(f"  ratio: {ratio} times the peer (asked for at 0 ms: at least 2)")


def _add_noise(figures: Figures) -> None:
    cpu, flush = probe()
    figures.add("CPU probe", cpu)
    figures.add("flush probe", flush)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Run everything with the sizes that the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="for each settling rate")
    parser.add_argument("--transfers", type=int, default=3000, help="to drain")
    parser.add_argument("--payees", type=int, default=10_000, help="of the large settlement")
    parser.add_argument("--latencies", type=int, nargs="*", default=[0, 100], help="of Stripe, ms")
    parser.add_argument("--json", type=Path, help="write all figures of all rounds there")
    options = parser.parse_args()
    figures = Figures()
    measure_settling(figures, rounds=options.rounds, seconds=options.seconds, payees=options.payees)
    for latency in options.latencies:
        measure_draining(
            figures, rounds=options.rounds, transfers=options.transfers, latency_ms=latency
        )
    report(figures, payees=options.payees, latencies=options.latencies)
    if options.json:
        options.json.write_text(json.dumps(figures.values, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
