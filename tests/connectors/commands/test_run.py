"""`marketflow run` as a user runs it: rows over HTTP, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from connectors.local.processes import choose_ports
from connectors.local.stack import Stack

# Ten processes start; on a busy machine that takes its time, and only a hang is a failure.
pytestmark = pytest.mark.timeout(480)

MARKETFLOW = Path(sys.executable).with_name("marketflow")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state"
    yield folder
    Stack(folder, environment={}).stop()


def start(folder: Path, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [MARKETFLOW, "run", "--state", str(folder)],
        env={**os.environ, "API_PORT": str(port), "RUST_BACKTRACE": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def rows(port: int, exchange: str) -> list[dict[str, Any]]:
    now = int(time.time())
    url = f"http://127.0.0.1:{port}/taker_volume/{exchange}/from={now - 600}/to={now + 60}/100"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found
    except OSError:
        return []


def wait_for(condition: Callable[[], bool], timeout_seconds: float = 150) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Whatever runs with the folder on its command line, but for the test itself."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or ())
    ]


def flow(folder: Path) -> psutil.Process:
    (found,) = (p for p in processes_of(folder) if "dataflows.taker_volume" in p.cmdline())
    return found


def test_rows_come_a_killed_flow_comes_back_and_ctrl_c_leaves_nothing(folder: Path) -> None:
    port = choose_ports({"api": None})["api"]
    run = start(folder, port)
    wait_for(lambda: {r["exchange_name"] for r in rows(port, "all_exchange")} >= {"BitMEX", "OKX"})
    wait_for(lambda: bool(rows(port, "binance")))

    killed = flow(folder)
    killed.kill()
    wait_for(lambda: any(p.pid != killed.pid and _is_flow(p) for p in processes_of(folder)))

    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 0, output
    assert "Traceback" not in output
    assert f"http://127.0.0.1:{port}/docs" in output
    assert processes_of(folder) == []


def test_a_killed_run_does_not_stand_in_the_way_of_the_next(folder: Path) -> None:
    port = choose_ports({"api": None})["api"]
    first = start(folder, port)
    wait_for(lambda: bool(rows(port, "all_exchange")))
    left = flow(folder)
    first.kill()
    first.communicate()

    second = start(folder, port)
    wait_for(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE)
    wait_for(lambda: bool(rows(port, "all_exchange")))

    second.send_signal(signal.SIGTERM)
    output, _ = second.communicate(timeout=120)
    assert second.returncode == 0, output


def test_down_stops_flows_and_services_of_a_killed_run(folder: Path) -> None:
    killed = start(folder, choose_ports({"api": None})["api"])
    wait_for(lambda: any(_is_flow(process) for process in processes_of(folder)))
    killed.kill()
    killed.communicate()

    down = subprocess.run(
        [MARKETFLOW, "down", "--state", str(folder)], capture_output=True, text=True, check=True
    )

    assert "processes of `run`" in down.stderr
    assert processes_of(folder) == []


def test_ctrl_c_during_the_start_ends_it_within_seconds(folder: Path) -> None:
    run = start(folder, choose_ports({"api": None})["api"])
    wait_for((folder / "services.json").exists)

    run.send_signal(signal.SIGINT)

    output, _ = run.communicate(timeout=30)
    assert run.returncode == 130, output
    assert "Traceback" not in output
    wait_for(lambda: processes_of(folder) == [])


def _is_flow(process: psutil.Process) -> bool:
    try:
        return "dataflows.taker_volume" in process.cmdline()
    except psutil.NoSuchProcess:
        return False
