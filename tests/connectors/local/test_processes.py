from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from connectors.local.processes import (
    Process,
    ServiceError,
    choose_ports,
    locked,
    spawn,
    stop,
    wait_until,
)

if TYPE_CHECKING:
    from pathlib import Path


def _ignore(_: object) -> None:
    pass


def _run(folder: Path, script: str) -> Process:
    log = folder / "log"
    return spawn([sys.executable, "-u", "-c", script], log=log, record=_ignore)


def _wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, f"no {text!r} in {path}"
        time.sleep(0.02)


def test_nothing_runs_before_it_is_written_down(tmp_path: Path) -> None:
    seen: list[bool] = []

    def record(process: Process) -> None:
        time.sleep(0.3)
        seen.extend([process.is_running, (tmp_path / "ran").exists()])

    process = spawn(["/bin/sh", "-c", f"touch {tmp_path}/ran"], log=tmp_path / "log", record=record)

    assert seen == [True, False]
    psutil.Process(process.pid).wait(10)
    assert (tmp_path / "ran").exists()


def test_caller_killed_before_it_wrote_the_process_down_starts_nothing(tmp_path: Path) -> None:
    caller = f"""
import os, pathlib, signal
from connectors.local.processes import spawn
folder = pathlib.Path({str(tmp_path)!r})
def record(process):
    (folder / "pid").write_text(str(process.pid))
    os.kill(os.getpid(), signal.SIGKILL)
spawn(["/bin/sh", "-c", f"touch {{folder}}/ran"], log=folder / "log", record=record)
"""

    subprocess.run([sys.executable, "-c", caller], check=False, timeout=30)

    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not psutil.pid_exists(pid)
    assert not (tmp_path / "ran").exists()


def test_process_lives_on_in_its_own_session(tmp_path: Path) -> None:
    process = _run(tmp_path, "import time; print('ready'); time.sleep(60)")
    _wait_for(tmp_path / "log", "ready")

    assert os.getsid(process.pid) == process.pid != os.getsid(0)

    stop(process, with_signal=signal.SIGTERM, timeout_seconds=5)
    assert not process.is_running


def test_process_that_got_a_recycled_pid_is_not_ours(tmp_path: Path) -> None:
    stranger = _run(tmp_path, "import time; print('ready'); time.sleep(60)")
    _wait_for(tmp_path / "log", "ready")
    earlier = Process(stranger.pid, stranger.started_at - 60)

    assert not earlier.is_running
    assert not stop(earlier, with_signal=signal.SIGKILL, timeout_seconds=5)
    assert stranger.is_running

    stop(stranger, with_signal=signal.SIGKILL, timeout_seconds=5)


def test_process_that_ignores_the_signal_is_killed_with_its_children(tmp_path: Path) -> None:
    process = _run(
        tmp_path,
        "import signal, subprocess, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('child', subprocess.Popen(['sleep', '60']).pid); time.sleep(60)",
    )
    _wait_for(tmp_path / "log", "\n")
    child = psutil.Process(int((tmp_path / "log").read_text().split()[1]))

    assert stop(process, with_signal=signal.SIGTERM, timeout_seconds=0.2)

    assert not process.is_running
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_server_that_ends_while_it_starts_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    process = _run(tmp_path, "raise SystemExit('no such option')")

    with pytest.raises(ServiceError, match=r"Thing ended while it started.*\n +no such option"):
        wait_until(
            lambda: False,
            process=process,
            name="Thing",
            log=tmp_path / "log",
            timeout_seconds=20,
        )


def test_server_that_does_not_answer_in_time_is_named(tmp_path: Path) -> None:
    process = _run(tmp_path, "import time; time.sleep(60)")

    with pytest.raises(ServiceError, match=r"Thing \(pid \d+\) did not answer within 0 s"):
        wait_until(
            lambda: False,
            process=process,
            name="Thing",
            log=tmp_path / "log",
            timeout_seconds=0.1,
        )

    stop(process, with_signal=signal.SIGKILL, timeout_seconds=5)


def test_ports_stay_while_they_are_free() -> None:
    first = choose_ports({"a": None, "b": None})
    with socket.socket() as other:
        other.bind(("127.0.0.1", first["a"]))
        other.listen()

        second = choose_ports(first)

    assert len(set(first.values())) == 2
    assert second["a"] != first["a"]
    assert second["b"] == first["b"]


def test_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    waiting = threading.Event()
    order: list[str] = []

    def second() -> None:
        with locked(tmp_path / "lock", waiting=waiting.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with locked(tmp_path / "lock", waiting=lambda: pytest.fail("nobody else holds it")):
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)

    assert order == ["first", "second"]
