from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from connectors.local.cache import build_once, cache_folder, cached

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def _ignore(_: str) -> None:
    pass


def test_finished_folder_is_built_once() -> None:
    def build(work: Path) -> None:
        (work / "content").write_text("built")

    folder = build_once("thing", build, report=_ignore)
    again = build_once("thing", lambda _: pytest.fail("built twice"), report=_ignore)

    assert folder == again == cached("thing")
    assert (folder / "content").read_text() == "built"


def test_failed_build_leaves_nothing_that_counts_as_built() -> None:
    def fail(work: Path) -> None:
        (work / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        build_once("thing", fail, report=_ignore)

    assert cached("thing") is None
    assert [path.name for path in cache_folder().iterdir()] == ["thing.lock"]


def test_leftovers_of_a_killed_build_are_deleted_even_when_read_only() -> None:
    leftover = cache_folder() / ".thing.killed"
    (leftover / "modules").mkdir(parents=True)
    (leftover / "modules" / "file").touch()
    (leftover / "modules").chmod(0o555)

    build_once("thing", lambda _: None, report=_ignore)

    assert not leftover.exists()


def test_two_at_once_build_once() -> None:
    started = threading.Barrier(2, timeout=10)
    builds: list[Path] = []
    reports: list[str] = []

    def build(work: Path) -> None:
        builds.append(work)
        threading.Event().wait(0.2)

    def ask(_: int) -> Path:
        started.wait()
        return build_once("thing", build, report=reports.append)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(ask, range(2))

    assert first == second
    assert len(builds) == 1
    assert reports == ["waiting for another process to build it"]
