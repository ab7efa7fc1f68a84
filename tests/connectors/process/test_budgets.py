"""Limits that processes share."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from connectors.process.budgets import Budgets

ROOT = Path(__file__).parents[3]


def test_no_more_acts_than_allowed(tmp_path: Path) -> None:
    budgets = Budgets(tmp_path)
    assert [budgets.take("kraken", 3, 60) for _ in range(3)] == [0.0] * 3
    assert 0 < budgets.take("kraken", 3, 60) <= 60
    assert budgets.take("okx", 3, 60) == 0.0


def test_threads_and_processes_share_a_budget(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from connectors.process.budgets import Budgets; "
        "b = Budgets(Path(sys.argv[1])); print(sum(b.take('x', 50, 60) == 0 for _ in range(40)))"
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
