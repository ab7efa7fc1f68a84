"""Server processes that outlive the command which started them; nothing here knows which server."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import secrets
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import msgspec
import psutil

from schemas.errors import MarketflowError

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

# The shell waits for a line before it becomes the server: by then the parent has written down its
# pid. A parent that is killed before leaves an end of file, and nothing was started unrecorded.
_WAIT_THEN_BECOME = 'read -r _ && exec "$@" </dev/null'

# The kernel counts in ticks, and the wall clock behind a start time may be stepped.
_START_TIME_TOLERANCE_SECONDS = 2.0

_KILL_TIMEOUT_SECONDS = 5.0

# Below what kernels give to outgoing connections, which could take a port while we are down.
_PORTS = range(20_000, 30_000)


class ServiceError(MarketflowError):
    """A local service could not be built, started or stopped: says which, and what to do."""


class Process(msgspec.Struct, frozen=True):
    """One process that this checkout started, told apart from a later owner of its pid."""

    pid: int
    started_at: float

    def find(self) -> psutil.Process | None:
        """Give the running process; None when it ended, whoever has its pid now."""
        try:
            process = psutil.Process(self.pid)
            drift_seconds = abs(process.create_time() - self.started_at)
            if drift_seconds > _START_TIME_TOLERANCE_SECONDS:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None

    @property
    def is_running(self) -> bool:
        """Whether it is still the same process and has not ended."""
        return self.find() is not None


class Launch(msgspec.Struct, frozen=True):
    """What every service gets to start with.

    Attributes:
        folder: What the service keeps; made on its first start.
        log: File for what it prints.
        ports: Which ports to listen on, by name.
        record: Writes its process down before it runs.
        report: Told what takes long.
        note: Told what the user should know afterwards.
    """

    folder: Path
    log: Path
    ports: Mapping[str, int]
    record: Callable[[Process], None]
    report: Callable[[str], None]
    note: Callable[[str], None]


def spawn(
    command: list[str],
    *,
    log: Path,
    record: Callable[[Process], None],
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Process:
    """Start a server in a session of its own; it runs only once ``record`` has returned.

    Args:
        command: The program, by its full path, and its arguments.
        log: File that gets what it prints, appended.
        record: Writes the process down, so that a killed caller leaves nothing unknown.
        environment: Variables added to this process's own.
        user: System user to run as, when this process is root.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603  # our own program
            ["/bin/sh", "-c", _WAIT_THEN_BECOME, "marketflow", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd="/",
            start_new_session=True,
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
        )
    # It outlives this process, so nobody waits for it; Popen would warn about that.
    child.returncode = 0
    process = Process(child.pid, psutil.Process(child.pid).create_time())
    assert child.stdin is not None  # noqa: S101  # it was asked for as a pipe
    with child.stdin as gate:
        record(process)
        gate.write(b"\n")
    return process


def stop(process: Process, *, with_signal: signal.Signals, timeout_seconds: float) -> bool:
    """Ask it to end, kill it and what it started after the deadline.

    Returns:
        Whether there was anything to stop.
    """
    running = process.find()
    if running is None:
        return False
    family = [running]
    with contextlib.suppress(psutil.NoSuchProcess):
        family += running.children(recursive=True)
        running.send_signal(with_signal)
    with contextlib.suppress(psutil.TimeoutExpired):
        running.wait(timeout_seconds)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family, timeout=_KILL_TIMEOUT_SECONDS)
    return True


def wait_until(
    ready: Callable[[], bool],
    *,
    process: Process,
    name: str,
    log: Path,
    timeout_seconds: float,
) -> None:
    """Return when ``ready`` says so.

    Raises:
        ServiceError: When the process ended, or was not ready in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        if not process.is_running:
            raise ServiceError(f"{name} ended while it started; its log {log} ends:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise ServiceError(
                f"{name} (pid {process.pid}) did not answer within {timeout_seconds:.0f} s; "
                f"its log {log} ends:\n{tail(log)}"
            )
        time.sleep(0.05)


def tail(log: Path, lines: int = 12) -> str:
    """Give the last lines of a log, indented; a word instead when there are none."""
    try:
        text = log.read_text(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        text = []
    return "\n".join(f"    {line}" for line in text) or "    (empty)"


def choose_ports(preferred: Mapping[str, int | None]) -> dict[str, int]:
    """Give a port of 127.0.0.1 for each name, the preferred one while it is free."""
    ports: dict[str, int] = {}
    for name, port in preferred.items():
        candidate = port
        while candidate is None or candidate in ports.values() or not port_is_free(candidate):
            candidate = secrets.choice(_PORTS)
        ports[name] = candidate
    return ports


def port_is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        # As the servers do: connections of an earlier server that still linger are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def accepts_connections(port: int) -> bool:
    """Tell whether something listens on this port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def locked(path: Path, *, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a file lock; the kernel lets go of it however this process ends.

    Args:
        path: The lock file, which is made when missing and stays.
        waiting: Called once when somebody else holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
