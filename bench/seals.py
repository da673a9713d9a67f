"""The cost of sealing and verifying, and of balances once history is sealed.

python -m bench.seals [--transfers 25000]: so many transfers are settled and marked as paid in SQL,
then everything is sealed, verified and read.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from bench.stand import PAYEES, database

PAY = """
    with claimed as (select * from payout_api.claim_transfers('bench', 1000))
    select count(*) from (
        select payout_api.report_outcomes(jsonb_agg(jsonb_build_object(
            'payout_transfer_id', c.payout_transfer_id, 'generation', c.generation,
            'attempt', c.attempt, 'idempotency_key', c.idempotency_key,
            'claim_token', c.claim_token, 'signal', 'response',
            'http_status', 200,
            'body', c.request || jsonb_build_object(
                'object', 'transfer', 'id', 'tr_' || c.payout_transfer_id, 'livemode', false,
                'amount_reversed', 0))))
        from claimed as c having count(*) > 0
    ) as r
    """
BALANCES = "select * from payout_api.balances_as_of('infinity')"
LET_A_MINUTE_PASS = """
    update payout.seal_marks set marked_at = marked_at - interval '1 minute'
    """


@contextmanager
def timed(name: str, rows: int) -> Iterator[None]:
    """Print how long something took, and how long for 100,000 rows."""
    began = time.perf_counter()
    yield
    seconds = time.perf_counter() - began
    print(f"{name:<44} {seconds:8.2f} s {seconds * 100_000 / rows:8.2f} s for 100,000 rows")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.seals", description=__doc__)
    parser.add_argument("--transfers", type=int, default=25_000)
    transfers: int = parser.parse_args().transfers
    with database() as server, psycopg.connect(server.uri(), autocommit=True) as connection:
        for number in range(transfers // PAYEES):
            connection.execute(
                "select payout_api.complete_settlement('seals_' || %s, 'usd', (select jsonb_agg("
                "jsonb_build_object('line_id', n::text, 'payee_id', 'seller_' || n, "
                "'amount_minor', 1500)) from generate_series(1, %s) as n))",
                [number, PAYEES],
            )
        while connection.execute(PAY).fetchone() != (0,):
            pass
        rows = 5 * transfers  # three entries, one observation, the transfer
        with timed("balances before sealing", 3 * transfers):
            before = connection.execute(BALANCES).fetchall()
        connection.execute(LET_A_MINUTE_PASS)
        connection.execute("select payout_api.seal()")
        connection.execute(LET_A_MINUTE_PASS)
        with timed("seal everything", rows):
            while connection.execute("select payout_api.seal()").fetchone() != (0,):
                pass
        for call, read in (("verify_seals()", rows), ("verify_projection()", transfers)):
            with timed(call, read):
                found = connection.execute("select * from payout_api." + call).fetchall()
            assert found == []
        with timed("balances after sealing", 3 * transfers):
            after = connection.execute(BALANCES).fetchall()
        assert sorted(before) == sorted(after)
        with timed("a call to seal() with nothing to seal", rows):
            connection.execute("select payout_api.seal()")
        size = connection.execute(
            "select (pg_total_relation_size('payout.seals') "
            "+ pg_total_relation_size('payout.seal_subtotals')) / %s::numeric",
            [rows],
        ).fetchone()
        assert size is not None
        print(f"{size[0]:.0f} bytes of seals and sub-totals for each row")


if __name__ == "__main__":
    main()
