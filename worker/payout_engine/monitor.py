"""Serves `/healthz`, `/readyz` and `/metrics` over HTTP, from within the worker's event loop.

An answer proves that the loop is alive. There is no secret in any of them, and no password for
them: the address is of the loopback unless another one is given.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from payout_engine import metrics
from payout_engine.errors import UserError


@asynccontextmanager
async def serve(address: tuple[str, int] | None) -> AsyncIterator[None]:
    """Answer on an address, if there is one. Raises UserError if it cannot be had."""
    if address is None:
        yield
        return
    application = web.Application()
    application.add_routes(
        [
            web.get("/healthz", _healthz),
            web.get("/readyz", _readyz),
            web.get("/metrics", _metrics),
        ]
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, *address).start()
        except OSError as error:
            raise UserError(
                f"--http {address[0]}:{address[1]} cannot be had: {error.strerror or error}; "
                "give an address of this machine and a port that is free"
            ) from None
        yield
    finally:
        await runner.cleanup()


async def _healthz(request: web.Request) -> web.Response:
    return web.Response(text="alive\n")


async def _readyz(request: web.Request) -> web.Response:
    problems = metrics.problems()
    text = "\n".join(problems or ["ready"])
    return web.Response(text=f"{text}\n", status=503 if problems else 200)


async def _metrics(request: web.Request) -> web.Response:
    body = generate_latest(metrics.registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
