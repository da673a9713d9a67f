"""The peer: procrastinate as its documentation shows it, one transfer a job, no ledger, no fence.

A job reads its row, calls Stripe through the official SDK on aiohttp, and writes the answer down.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import aiohttp
import stripe
from procrastinate import App, PsycopgConnector
from psycopg_pool import AsyncConnectionPool

SCHEMA = """
create schema plain;
create table plain.transfers (
    transfer_id bigint primary key,
    destination text not null,
    amount_minor bigint not null,
    stripe_transfer_id text,
    paid_at timestamptz
);
grant usage on schema plain to payout_worker;
grant select, update on plain.transfers to payout_worker;
"""
CONCURRENCY = 100

stripe.enable_telemetry = False
app = App(
    connector=PsycopgConnector(conninfo=os.environ.get("DATABASE_URL", ""), max_size=20),
)


class _Parts:
    pool: AsyncConnectionPool[Any]
    client: stripe.StripeClient


@app.task(name="plain.pay", queue="plain")
async def pay(transfer_id: int) -> None:
    """Pay one transfer."""
    async with _Parts.pool.connection() as connection:
        cursor = await connection.execute(
            "select destination, amount_minor from plain.transfers where transfer_id = %s",
            [transfer_id],
        )
        row = await cursor.fetchone()
    assert row is not None
    transfer = await _Parts.client.v1.transfers.create_async(
        {"amount": row[1], "currency": "usd", "destination": row[0]},
        {"idempotency_key": f"plain:{transfer_id}"},
    )
    async with _Parts.pool.connection() as connection:
        await connection.execute(
            "update plain.transfers set stripe_transfer_id = %s, paid_at = clock_timestamp() "
            "where transfer_id = %s",
            [transfer.id, transfer_id],
        )


async def main() -> None:
    """Work until the queue is empty."""
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY))
    _Parts.client = stripe.StripeClient(
        "sk_test_bench",
        base_addresses={"api": os.environ["STRIPE_API_BASE"]},
        max_network_retries=0,
        http_client=stripe.AIOHTTPClient(session=session),
    )
    _Parts.pool = AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=4, max_size=20)
    async with session, _Parts.pool, app.open_async():
        await app.run_worker_async(queues=["plain"], concurrency=CONCURRENCY, wait=False)


if __name__ == "__main__":
    asyncio.run(main())
