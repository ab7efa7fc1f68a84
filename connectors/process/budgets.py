"""Limits for one address, which all processes of a host share through small locked files."""

import fcntl
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from connectors.process import clock
from schemas.times import NS_PER_SECOND

_TIME: Final = struct.Struct("<q")


class Budgets:
    """What was done lately, by name.

    Args:
        folder: Where the files are; by default one for each user of the host.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is None:
            folder = Path(tempfile.gettempdir()) / f"marketflow-budgets-{os.getuid()}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder

    def take(self, name: str, most: int, seconds: float) -> float:
        """Count one more act, if no more than `most` were in the last `seconds`.

        Returns:
            0.0 if it was counted, else the seconds to wait before the next try.
        """
        span_ns = int(seconds * NS_PER_SECOND)
        with self._locked(f"{name}.acts") as file:
            # Read under the lock: no act that others have counted is later than this.
            now_ns = clock.now_ns()
            found = _read(file)
            # An act of the future was counted before the clock was set back: at the latest now.
            acts = [min(at, now_ns) for at in found if now_ns - span_ns < at]
            if len(acts) < most:
                _write(file, [*acts, now_ns])
                return 0.0
            if acts != found:
                _write(file, acts)
            return (acts[-most] + span_ns - now_ns) / NS_PER_SECOND

    def ban(self, name: str, seconds: float) -> None:
        """Keep everybody away for a time."""
        until_ns = clock.now_ns() + int(seconds * NS_PER_SECOND)
        with self._locked(f"{name}.ban") as file:
            _write(file, [max([until_ns, *_read(file)])])

    def banned_seconds(self, name: str) -> float:
        """Return how long everybody has to stay away."""
        if not self._path(f"{name}.ban").exists():
            return 0.0
        with self._locked(f"{name}.ban") as file:
            until_ns = max(_read(file), default=0)
        return max(0.0, (until_ns - clock.now_ns()) / NS_PER_SECOND)

    def occupy(self, name: str, places: int) -> IO[bytes] | None:
        """Take one of a number of places; it is free again when the file is closed."""
        for place in range(places):
            file = self._path(f"{name}.place-{place}").open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                continue
            return file
        return None

    def _path(self, name: str) -> Path:
        return self._folder / name.replace("/", "_")

    @contextmanager
    def _locked(self, name: str) -> Iterator[IO[bytes]]:
        with self._path(name).open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def _read(file: IO[bytes]) -> list[int]:
    file.seek(0)
    content = file.read()
    whole = len(content) - len(content) % _TIME.size
    return [at for (at,) in _TIME.iter_unpack(content[:whole])]


def _write(file: IO[bytes], times: list[int]) -> None:
    file.seek(0)
    file.truncate()
    file.write(b"".join(map(_TIME.pack, times)))
    file.flush()
