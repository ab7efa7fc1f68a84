"""Limits that processes share."""

import fcntl
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from connectors.process.budgets import Budgets

ROOT = Path(__file__).parents[3]
HOUR_S = 3_600


def test_no_more_acts_than_allowed(tmp_path: Path) -> None:
    budgets = Budgets(tmp_path)
    assert [budgets.take("kraken", 3, HOUR_S) for _ in range(3)] == [0.0] * 3
    assert 0 < budgets.take("kraken", 3, HOUR_S) <= HOUR_S
    assert budgets.take("okx", 3, HOUR_S) == 0.0


def test_acts_that_others_counted_while_waiting_still_count(tmp_path: Path) -> None:
    budgets = Budgets(tmp_path)
    with (tmp_path / "x.acts").open("a+b") as file, ThreadPoolExecutor(1) as pool:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = pool.submit(budgets.take, "x", 1, HOUR_S)
        time.sleep(0.2)
        file.write(struct.pack("<q", time.time_ns()))
        file.flush()
        fcntl.flock(file, fcntl.LOCK_UN)
        assert waiting.result() > 0


def test_a_clock_that_was_set_back_forgets_no_act(tmp_path: Path) -> None:
    budgets = Budgets(tmp_path)
    (tmp_path / "x.acts").write_bytes(struct.pack("<q", time.time_ns() + 5 * HOUR_S * 10**9))
    assert 0 < budgets.take("x", 1, HOUR_S) <= HOUR_S
    # It is over an hour from now, not when the clock shows that time again.
    assert 0 < budgets.take("x", 1, HOUR_S) <= HOUR_S
    assert budgets.take("x", 2, HOUR_S) == 0


def test_threads_and_processes_share_a_budget(tmp_path: Path) -> None:
    # The span is longer than any machine takes for this.
    code = (
        "import sys; from pathlib import Path; from connectors.process.budgets import Budgets; "
        "b = Budgets(Path(sys.argv[1])); print(sum(b.take('x', 50, 3600) == 0 for _ in range(40)))"
    )

    def run(_: int) -> int:
        command = [sys.executable, "-c", code, str(tmp_path)]
        return int(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(run, range(3))) == 50


def test_a_ban_keeps_everybody_away(tmp_path: Path) -> None:
    assert Budgets(tmp_path).banned_seconds("binance") == 0
    Budgets(tmp_path).ban("binance", 120)
    Budgets(tmp_path).ban("binance", 5)  # a shorter one does not lift it
    assert 100 < Budgets(tmp_path).banned_seconds("binance") <= 120


def test_places_are_free_again_once_closed(tmp_path: Path) -> None:
    budgets = Budgets(tmp_path)
    first, second = budgets.occupy("coinone", 2), budgets.occupy("coinone", 2)
    assert first
    assert second
    assert budgets.occupy("coinone", 2) is None
    first.close()
    third = budgets.occupy("coinone", 2)
    assert third
    third.close()
    second.close()
