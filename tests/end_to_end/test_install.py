"""Installed by a login that is no superuser, the engine is complete and pays.

Roles belong to the whole server, so this has a server of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

from payout_engine import cli, migrate
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from payout_engine_sandbox.stripe_double import StripeDouble

LOGINS: Final = """
create role installer login createrole;
create role shop login;
create role till login;
create role upgrader login;
"""
SETTLE: Final = """
select payout_api.register_payee(p_payee_id => 'seller_1', p_stripe_account_id => 'acct_1');
select payout_api.complete_settlement(
    p_settlement_id => 'set_1', p_currency => 'usd',
    p_lines => '[{"line_id": "1", "payee_id": "seller_1", "amount_minor": 1500}]')
"""


@pytest.fixture
def managed() -> Iterator[EmbeddedPostgres]:
    """A server like those that are rented: the owner of a database is not a superuser."""
    with EmbeddedPostgres.start() as server:
        with psycopg.connect(server.uri(), autocommit=True) as connection:
            connection.execute(LOGINS.encode())
            connection.execute("create database shop owner installer")
        yield server


def test_an_owner_of_the_database_who_may_create_roles_installs_all_that_it_takes_to_pay(
    managed: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", managed.uri("shop", user="installer"))
    assert cli.main(["migrate"]) == 0, capsys.readouterr().err
    with psycopg.connect(managed.uri("shop", user="installer")) as connection:
        connection.execute("grant payout_app to shop")
        connection.execute("grant payout_worker to till")
    assert cli.main(["migrate"]) == 0

    with psycopg.connect(managed.uri("shop", user="shop")) as connection:
        connection.execute(SETTLE.encode())
    with StripeDouble.in_thread() as double:
        monkeypatch.setenv("DATABASE_URL", managed.uri("shop", user="till"))
        monkeypatch.setenv("STRIPE_API_KEY", "sk_test_install")
        monkeypatch.setenv("STRIPE_API_BASE", double.url)
        assert cli.main(["doctor"]) == 1
        told = capsys.readouterr().out.splitlines()
        marked = [line for line in told if line[:4] in ("FAIL", "warn")]
        assert [re.sub(" +", " ", line) for line in marked] == [
            "FAIL a worker is alive none has ever run"
        ]
        assert cli.main(["execute", "1"]) == 0
    assert capsys.readouterr().out.endswith("-> ok, paid\n")


def test_a_login_that_may_act_as_the_owner_needs_no_grant_for_an_upgrade(
    managed: EmbeddedPostgres, tmp_path: Path
) -> None:
    with psycopg.connect(managed.uri(), autocommit=True) as connection:
        connection.execute("create role payout_owner")
        connection.execute("grant payout_owner to upgrader with inherit false, set true")
        connection.execute("create database upgraded owner upgrader")
    script = tmp_path / "0002-next.sql"
    script.write_text("-- 0002-next: x\n\nset local role payout_owner;\n", encoding="utf-8")

    uri = managed.uri("upgraded", user="upgrader")
    assert migrate.apply_all(uri, migrations=tmp_path) == ["0002-next"]
