from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tools.frozen import Block, MigrationError

from tools import frozen

BODY = "-- a: one.\nselect 1;\n"
BLOCK = Block(kind="frozen", path="sql/views/a.sql", body=BODY).text


def write(root: Path, text: str, name: str = "0001-first") -> Path:
    (root / "migrations/revert").mkdir(parents=True, exist_ok=True)
    (root / f"migrations/revert/{name}.sql").write_text("-- generated: none\n", encoding="utf-8")
    path = root / f"migrations/{name}.sql"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_script_is_read_as_it_was_written(tmp_path: Path) -> None:
    text = f"-- before\n\n{BLOCK}\n-- dropped: b.sql\ndrop it;\n-- end dropped: b.sql\n\n-- after\n"

    script = frozen.read_script(write(tmp_path, text))

    assert (script.before, script.after) == ("-- before\n", "-- after\n")
    assert [(block.kind, block.path) for block in script.blocks] == [
        ("frozen", "sql/views/a.sql"),
        ("dropped", "b.sql"),
    ]
    assert script.text == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select 1;\n", "has neither a generated block nor the line '-- generated: none'"),
        (f"{BLOCK}\nselect 2;\n\n{BLOCK}", "text stands between two generated blocks"),
        (BLOCK.replace("select 1", "select 2"), "the frozen copy of sql/views/a.sql was edited"),
        (BLOCK.replace("-- end", "-- END"), ":1: the block 'frozen: sql/views/a.sql' has no end"),
    ],
)
def test_a_script_with_wrong_markers_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)

    with pytest.raises(MigrationError) as refusal:
        frozen.read_script(path)

    assert str(refusal.value).startswith("0001-first.sql:")
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select 1;", "sql/views/a.sql: the last line has no line end"),
        ("-- end frozen: x\n", "sql/views/a.sql: holds a line that looks like a marker"),
    ],
)
def test_a_file_that_cannot_be_frozen_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "sql/views").mkdir(parents=True)
    (tmp_path / "sql/views/a.sql").write_text(text, encoding="utf-8")

    with pytest.raises(MigrationError) as refusal:
        frozen.source_files(tmp_path)

    assert str(refusal.value).startswith(message)


def test_the_newest_copy_counts_until_the_file_is_dropped(tmp_path: Path) -> None:
    later = Block(kind="frozen", path="sql/views/a.sql", body="-- a: two.\n").text
    gone = Block(kind="dropped", path="sql/views/a.sql", body="").text
    write(tmp_path, BLOCK)
    write(tmp_path, later, "0002-second")
    write(tmp_path, gone, "0003-third")

    assert frozen.newest_frozen(tmp_path, before="0002-second") == {"sql/views/a.sql": BODY}
    assert frozen.newest_frozen(tmp_path, before="0003-third") == {
        "sql/views/a.sql": "-- a: two.\n"
    }
    assert frozen.newest_frozen(tmp_path) == {}


def test_freezing_lists_deploy_and_revert_file_once(tmp_path: Path) -> None:
    write(tmp_path, BLOCK)

    assert frozen.freeze(tmp_path) == ["0001-first"]
    assert frozen.freeze(tmp_path) == []
    assert [*frozen.released(tmp_path)] == ["0001-first.sql", "revert/0001-first.sql"]
    assert frozen.is_released(tmp_path, "0001-first")
    assert not frozen.is_released(tmp_path, "0002-second")


def test_sha256sum_accepts_the_listing_until_a_file_changes(tmp_path: Path) -> None:
    path = write(tmp_path, BLOCK)
    frozen.freeze(tmp_path)
    command = ["sha256sum", "--check", "--quiet", "FROZEN"]

    assert subprocess.run(command, cwd=tmp_path / "migrations").returncode == 0
    path.write_text(BLOCK + "\n", encoding="utf-8")
    changed = subprocess.run(command, cwd=tmp_path / "migrations", capture_output=True, text=True)
    assert changed.stdout == "0001-first.sql: FAILED\n"


def test_the_command_says_what_it_froze(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, BLOCK)
    monkeypatch.setattr("sys.argv", ["frozen", "--root", str(tmp_path)])

    assert frozen.main() == 0
    assert frozen.main() == 0
    assert capsys.readouterr().out == "frozen: 0001-first\nnothing new to freeze\n"
