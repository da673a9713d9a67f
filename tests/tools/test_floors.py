from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import ROOT
from tools import floors, schema_files

FUNCTION: Final = """\
-- {name}: a function.

create or replace function payout.{name}()
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    -- A comment calls nothing: payout.later().
    select {body}
$$;
"""


def files(**bodies: str) -> dict[str, str]:
    """Return the files of functions, each on the floor that its name begins with."""
    return {
        f"procedures/{name.partition('_')[0]}/{name}.sql": FUNCTION.format(name=name, body=body)
        for name, body in bodies.items()
    }


def test_a_call_to_a_later_floor_is_found() -> None:
    tree = files(claim_a="payout.sweep_b()", sweep_b="payout.claim_c()", claim_c="1")

    assert [str(each) for each in floors.check(tree)] == [
        "procedures/claim/claim_a.sql:10: claim calls sweep_b of the later floor sweep"
    ]


def test_an_expression_calls_as_a_body_does() -> None:
    text = "create function payout.claim_a() returns int language sql return payout.sweep_b();"
    tree = files(sweep_b="1") | {"procedures/claim/claim_a.sql": text}

    assert [str(each) for each in floors.check(tree)] == [
        "procedures/claim/claim_a.sql:1: claim calls sweep_b of the later floor sweep"
    ]


@pytest.mark.parametrize("body", ["'payout.sweep_b()'", "1 -- payout.sweep_b()", "payout.sweep_b"])
def test_a_name_that_is_not_called_does_not_count(body: str) -> None:
    tree = files(claim_a=body, sweep_b="1")

    assert floors.calls(tree) == []


def test_a_folder_that_is_not_a_floor_is_found() -> None:
    assert [str(each) for each in floors.check(files(cellar_a="1"))] == [
        "procedures/cellar/cellar_a.sql:1: procedures/cellar/ is not one of the floors"
    ]


def test_the_map_counts_functions_and_calls() -> None:
    tree = files(claim_a="payout.common_b(), payout.claim_c()", claim_c="1", common_b="1")

    lines = floors.drawn(tree).splitlines()

    assert "common             1  -" in lines
    assert "claim              2  itself 1, common 1" in lines
    assert lines[-1] == "1 call between floors, none to a later one"


def test_an_import_of_a_package_that_is_not_below_is_found(tmp_path: Path) -> None:
    for folder, text in {
        "worker": "import payout_engine.errors\nfrom tools import migration\n",
        "sandbox": "import payout_engine, payout_engine_sandbox.demo\nimport bench\n",
        "tools": "from tools import snapshot\nimport toolshed\n",
    }.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "module.py").write_text(text, encoding="utf-8")

    assert [str(each) for each in floors.check_imports(tmp_path)] == [
        "worker/module.py:2: imports tools",
        "sandbox/module.py:2: imports bench",
    ]


def test_the_architecture_shows_the_map_of_today() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")

    shown = re.search(r"<!-- floors -->\n```\n(.*?)\n```\n<!-- end of floors -->", text, re.DOTALL)
    assert shown is not None
    assert shown[1] == floors.drawn(schema_files.source_files(ROOT)), (
        "ARCHITECTURE.md: put there what python -m tools.house_check prints"
    )
