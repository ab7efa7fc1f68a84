"""A shard's recovery store: made once, and another one for another division."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.commands.store import make_store
from connectors.process.environment import Environment
from schemas.errors import SettingsError


def shard(text: str) -> Environment:
    return Environment.read({"SHARD": text})


def test_a_store_is_made_once_and_found_again(tmp_path: Path) -> None:
    path = make_store(tmp_path, shard("1/3"))
    parts = {part.name: part.stat().st_mtime_ns for part in path.glob("part-*.sqlite3")}

    again = make_store(tmp_path, shard("1/3"))

    assert again == path == tmp_path / "shard-1-of-3"
    assert parts
    assert {p.name: p.stat().st_mtime_ns for p in path.glob("part-*.sqlite3")} == parts
    assert (tmp_path / "current").resolve() == path.resolve()


def test_another_division_has_a_store_of_its_own_and_the_old_one_stays(tmp_path: Path) -> None:
    old = make_store(tmp_path, shard("0/1"))
    new = make_store(tmp_path, shard("0/2"))
    assert (tmp_path / "current").resolve() == new.resolve()
    assert any(old.glob("part-*.sqlite3"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="file/shard-0-of-1"):
        make_store(tmp_path / "file", shard("0/1"))


def test_the_command_prints_the_path(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("marketflow")), "store", str(tmp_path)],
        env={**os.environ, "SHARD": "0/1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{tmp_path / 'shard-0-of-1'}\n"
