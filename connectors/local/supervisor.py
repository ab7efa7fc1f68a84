"""The processes of `marketflow run`: started in order, started again when they die, all stopped.

What runs is written down before it runs, so that `marketflow down`, or the next `run`, finds the
processes of one that was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from connectors.local import processes
from connectors.local.processes import Process, ServiceError

STOP_SECONDS: Final = 20.0
MAX_PAUSE_SECONDS: Final = 30.0


class Part:
    """One process of the pipeline: how to start it, and what became of it."""

    def __init__(self, name: str, command: list[str], variables: dict[str, str], log: Path) -> None:
        self.name = name
        self.command = command
        self.variables = variables
        self.log = log
        self.process: Process | None = None
        self.restarts = 0
        self.due_at = 0.0

    @property
    def is_running(self) -> bool:
        """Whether the process runs now."""
        return self.process is not None and self.process.is_running

    @property
    def metrics_url(self) -> str | None:
        """The address of the process's metrics, if it serves any."""
        port = self.variables.get("METRICS_PORT")
        return port and f"http://127.0.0.1:{port}/metrics"


class Supervisor:
    """All processes of one checkout's pipeline.

    Args:
        folder: Where the list of running processes is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts: list[Part] = []

    def add(self, part: Part) -> Part:
        """Add a process and start it."""
        self.parts.append(part)
        self._launch(part)
        return part

    def keep_running(self) -> None:
        """Start again what has died, after a pause that grows with each death."""
        now = time.monotonic()
        for part in self.parts:
            if part.is_running:
                continue
            if part.due_at == 0.0:
                part.due_at = now + min(2.0**part.restarts, MAX_PAUSE_SECONDS)
            elif now >= part.due_at:
                part.restarts, part.due_at = part.restarts + 1, 0.0
                self._launch(part)

    def stop(self, stopping: Callable[[str], None] = lambda _: None) -> None:
        """Stop all of it, the last one first, so that each flow drains what came before.

        Args:
            stopping: Told the name of each process before it is stopped.
        """
        for part in reversed(self.parts):
            if part.process is not None:
                stopping(part.name)
                _stop(part.process)
        self._write([])

    def _launch(self, part: Part) -> None:
        def record(process: Process) -> None:
            part.process = process
            self._write([each.process for each in self.parts if each.process])

        processes.spawn(part.command, log=part.log, record=record, environment=part.variables)

    def _write(self, running: list[Process]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        _state_file(self.folder).write_bytes(msgspec.json.encode(running))


def stop_leftovers(folder: Path) -> int:
    """Stop the processes of a `run` that was killed, and return how many there were."""
    try:
        left = msgspec.json.decode(_state_file(folder).read_bytes(), type=list[Process])
    except (OSError, msgspec.MsgspecError):
        return 0
    stopped = sum([_stop(process) for process in left])
    _state_file(folder).unlink(missing_ok=True)
    return stopped


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the place of the one `run` of a checkout; the kernel frees it however this ends.

    Raises:
        ServiceError: Another process holds it; names its pid.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceError(f"`marketflow run` runs here already: {_holder(folder)}") from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def _holder(folder: Path) -> str:
    pid = (folder / "lock").read_text().strip()
    return f"pid {pid}; Ctrl-C there or `kill {pid}` stops it" if pid else "it is starting"


def _state_file(folder: Path) -> Path:
    return folder / "processes.json"


def _stop(process: Process) -> bool:
    return processes.stop(process, with_signal=signal.SIGTERM, timeout_seconds=STOP_SECONDS)
