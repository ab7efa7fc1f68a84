"""Recovery stores: made whole or not at all, checked before the engine reads them, held by one.

A store is a folder of SQLite files, `part-<index>.sqlite3`, that Bytewax makes and writes.
"""

import argparse
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Final

from schemas.errors import SettingsError

# More workers than this in one process will not share a store.
RECOVERY_PARTITIONS: Final = 4
# A look at every page of a larger file would hold up the start for seconds.
MAX_CHECKED_BYTES: Final = 256_000_000

_REMEDY: Final = (
    "delete it and make a new one with `marketflow store`; the dataflow then reads its topics from "
    "their beginning, which gives the same rows"
)
_held: Final[list[IO[str]]] = []
"""Locks of this process, which end with it."""


def make_store(path: Path) -> None:
    """Make a recovery store, unless it is there; one that was not made whole is made anew.

    Raises:
        SettingsError: The folder cannot be written, or holds a store that is damaged.
    """
    try:
        if path.exists():
            if not _is_half_made(path):
                return
            shutil.rmtree(path)
        half = path.with_name(f".{path.name}.{os.getpid()}")
        half.mkdir(parents=True)
        command = [sys.executable, "-m", "bytewax.recovery", str(half), str(RECOVERY_PARTITIONS)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  # our own words
        if done.returncode:
            shutil.rmtree(half)
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise SettingsError(f"recovery store {path}: not made: {reason}")
        half.rename(path)
    except OSError as error:
        raise SettingsError(f"recovery store {path}: {error.strerror}") from error


def hold_store(arguments: Sequence[str], variables: Mapping[str, str]) -> None:
    """Check the recovery store that the engine is told to use, and hold it for this process.

    Args:
        arguments: Of `bytewax.run`.
        variables: The environment, which may name them instead.

    Raises:
        SettingsError: It is missing, damaged, or another process holds it.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "-r", "--recovery-directory", default=variables.get("BYTEWAX_RECOVERY_DIRECTORY")
    )
    parser.add_argument("-i", "--process-id", default=variables.get("BYTEWAX_PROCESS_ID", "0"))
    parser.add_argument("-a", "--addresses", default=variables.get("BYTEWAX_ADDRESSES"))
    found, _ = parser.parse_known_args(list(arguments))
    if not found.recovery_directory:
        return
    folder = Path(found.recovery_directory)
    # The processes of one cluster share a store, each as itself.
    _lock(folder, found.process_id)
    _check(folder, is_shared=found.addresses is not None)


def _lock(folder: Path, process_id: str) -> None:
    try:
        lock = (folder / f"process-{process_id}.lock").open("a+")
    except FileNotFoundError as error:
        raise SettingsError(
            f"recovery store {folder}: there is none; make it with `marketflow store`"
        ) from error
    except OSError as error:
        raise SettingsError(f"recovery store {folder}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise SettingsError(
            f"recovery store {folder}: process {holder} uses it, and two would ruin it; stop that "
            "one, or give this one a store of its own"
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    _held.append(lock)


def _check(folder: Path, *, is_shared: bool) -> None:
    parts = sorted(folder.glob("part-*.sqlite3"))
    if not parts:
        raise SettingsError(
            f"recovery store {folder}: there is none; make it with `marketflow store`"
        )
    counts = [_part_count(part) for part in parts]
    if not is_shared and len(parts) < max(counts):
        raise SettingsError(
            f"recovery store {folder}: it has {len(parts)} of {max(counts)} parts; {_REMEDY}"
        )


def _part_count(part: Path) -> int:
    """Return of how many parts a sound file says that it is one."""
    try:
        with closing(sqlite3.connect(f"file:{part}?mode=rw", uri=True)) as connection:
            (count,) = connection.execute("SELECT part_count FROM parts").fetchone() or (0,)
            verdict = "ok"
            if part.stat().st_size <= MAX_CHECKED_BYTES:
                (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise SettingsError(f"recovery store {part}: {error}; {_REMEDY}") from error
    if verdict != "ok" or not count:
        raise SettingsError(f"recovery store {part}: damaged: {verdict}; {_REMEDY}")
    return int(count)


def _is_half_made(path: Path) -> bool:
    """Return whether making the store was cut short: no dataflow can have used it.

    Raises:
        SettingsError: It was used, and is damaged now.
    """
    parts = sorted(path.glob("part-*.sqlite3"))
    try:
        _check(path, is_shared=False)
    except SettingsError:
        if any(map(_was_used, parts)):
            raise
        return True
    return False


def _was_used(part: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"file:{part}?mode=rw", uri=True)) as connection:
            return connection.execute("SELECT 1 FROM exs LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError:
        return False  # it has no tables yet
    except sqlite3.Error:
        return True  # it is no database any more
