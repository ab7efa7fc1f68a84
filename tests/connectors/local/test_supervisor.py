"""Processes that are kept running, found again after a kill, and held by one `run` alone."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from connectors.local.processes import ServiceError
from connectors.local.supervisor import Part, Supervisor, only_one, stop_leftovers

SLEEP = ["/bin/sleep", "300"]


def part(folder: Path, command: list[str] = SLEEP) -> Part:
    return Part("sleeper", command, {}, folder / "sleeper.log")


def test_a_dead_process_is_started_again(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    kept = supervisor.add(part(tmp_path))
    assert kept.process is not None
    first = kept.process
    found = first.find()
    assert found is not None
    found.kill()
    found.wait(10)

    deadline = time.monotonic() + 30
    while not kept.is_running:
        assert time.monotonic() < deadline
        supervisor.keep_running()
        time.sleep(0.05)

    assert kept.restarts == 1
    supervisor.stop()
    assert not kept.is_running


def test_processes_of_a_killed_run_are_found_and_stopped(tmp_path: Path) -> None:
    killed = Supervisor(tmp_path)
    left = killed.add(part(tmp_path))

    assert stop_leftovers(tmp_path) == 1

    assert not left.is_running
    assert stop_leftovers(tmp_path) == 0


def test_second_run_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys; from connectors.local.supervisor import only_one\n"
        "with only_one(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"

        with pytest.raises(ServiceError, match=f"pid {first.pid}"), only_one(tmp_path):
            pytest.fail("both hold it")

        first.kill()
    with only_one(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
