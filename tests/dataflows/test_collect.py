"""The collector against the simulated exchanges, into real Kafka."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.dataflows.exchanges import (
    Exchanges,
    check_trades,
    simulated,
    statuses,
    wait_until,
)
from tests.dataflows.harness import Pipeline

REGIONS = ("Korea", "Asia", "NE")
MakePipeline = Callable[..., Pipeline]


@pytest.fixture(scope="module")
def exchanges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchanges]:
    with simulated(tmp_path_factory.mktemp("exchanges")) as found:
        yield found


def start(pipeline: Pipeline, name: str = "collect.log") -> subprocess.Popen[str]:
    # The recovery store only makes epochs short: it has nothing to keep.
    store = pipeline.recovery_store(f"recovery-{name}")
    with (pipeline.folder / name).open("w") as log:
        return pipeline.start_into(log.fileno(), "collect", *store)


def log_of(pipeline: Pipeline, name: str = "collect.log") -> str:
    return (pipeline.folder / name).read_text()


def end(process: subprocess.Popen[str], pipeline: Pipeline) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, log_of(pipeline)


def good(pipeline: Pipeline) -> set[tuple[str, str, str, str]]:
    """Return the feeds that are connected: exchange, product, kind, symbol."""
    found: set[tuple[str, str, str, str]] = set()
    for status in statuses(pipeline):
        names = {(status.exchange, status.product, status.kind, s) for s in status.symbols or ()}
        if status.event == "connected":
            found |= names
        elif status.event == "disconnected":
            found -= names
    return found


def wanted(pipeline: Pipeline) -> set[tuple[str, str, str, str]]:
    return {
        (name, product, kind, symbol)
        for name, exchange in pipeline.settings.exchanges.items()
        for product, symbols in exchange.symbols.items()
        for kind in exchange.kinds
        for symbol in symbols  # type: ignore[union-attr]  # lists, in tests
    }


def test_ten_exchanges_are_collected_whole_through_a_kill(
    exchanges: Exchanges, make_pipeline: MakePipeline
) -> None:
    names = tuple(exchanges.settings["exchanges"])
    pipeline = make_pipeline(regions=REGIONS, changes={"exchanges": exchanges.of(*names)})
    process = start(pipeline)
    try:
        # A ticker of some exchanges comes with the first trade only.
        expected = {
            feed
            for feed in wanted(pipeline)
            if feed[2] != "ticker" or feed[0] not in ("gateio", "binance")
        }
        wait_until(lambda: expected <= good(pipeline))
        time.sleep(3)
    finally:
        process.kill()
        process.wait()
    process = start(pipeline, "second.log")
    trades = {feed for feed in wanted(pipeline) if feed[2] == "trade"}
    fillable = {
        (name, product, symbol)
        for name, product, _, symbol in trades
        # The others give no more than their latest trades, or want a key; what is traded rarely
        # may have no trade before the gap.
        if name in ("upbit", "bithumb", "okx", "kraken", "gateio", "bitmex") and "BTC-" in symbol
    }

    def filled() -> set[tuple[str, str, str]]:
        return {
            (status.exchange, status.product, symbol)
            for status in statuses(pipeline)
            if status.event == "filled"
            for symbol in status.symbols or ()
        }

    wait_until(lambda: fillable <= filled(), 90)
    end(process, pipeline)

    said = statuses(pipeline)
    silent = [s for s in said if s.reason == "the collector ended without a word"]
    assert {(s.exchange, s.product) for s in silent} == {(f[0], f[1]) for f in wanted(pipeline)}
    whole, broken = check_trades(pipeline, exchanges.trades())
    assert whole > 500
    assert broken < whole
