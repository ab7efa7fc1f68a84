"""What takes long to download or build, once for a user: the folders below the user's cache."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from connectors.local.processes import locked

if TYPE_CHECKING:
    from collections.abc import Callable


def cache_folder() -> Path:
    """Give the folder below which everything is kept, whether it exists or not."""
    return platformdirs.user_cache_path("marketflow")


def cached(name: str) -> Path | None:
    """Give a finished folder of the cache; None when nobody has built it yet."""
    folder = cache_folder() / name
    return folder if folder.is_dir() else None


def build_once(name: str, build: Callable[[Path], None], *, report: Callable[[str], None]) -> Path:
    """Give the cached folder, which ``build`` fills first when it is missing.

    The folder appears complete or not at all, and only one process of the user builds it.

    Args:
        name: Folder name, with everything in it that makes the content another one.
        build: Fills the empty folder that it is given.
        report: Told when another process is building.
    """
    cache = cache_folder()
    target = cache / name
    if target.is_dir():
        return target
    with locked(
        cache / f"{name}.lock", waiting=lambda: report("waiting for another process to build it")
    ):
        # Whoever held the lock before may have built it, or have been killed halfway.
        for leftover in cache.glob(f".{name}.*"):
            remove(leftover)
        if not target.is_dir():
            work = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=cache))
            work.chmod(0o755)
            try:
                build(work)
                work.rename(target)
            finally:
                remove(work)
    return target


def remove(folder: Path) -> None:
    """Delete a folder if it exists, read-only folders in it included."""
    if not folder.exists():
        return
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):
                path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
