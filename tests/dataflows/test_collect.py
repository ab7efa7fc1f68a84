"""The collector against the simulated exchanges, into real Kafka."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from connectors.local.stack import Stack
from schemas.processed import encode_snapshot_request
from schemas.records import SnapshotRequest
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

# Ten exchanges on a busy machine: what is waited for comes late.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def exchanges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchanges]:
    with simulated(tmp_path_factory.mktemp("exchanges")) as found:
        yield found


def start(pipeline: Pipeline, name: str = "collect.log", **variables: str) -> subprocess.Popen[str]:
    # The recovery store only makes epochs short: it has nothing to keep.
    store = pipeline.recovery_store(f"recovery-{name}")
    with (pipeline.folder / name).open("w") as log:
        return pipeline.start_into(log.fileno(), "collect", *store, **variables)


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


def has_said(pipeline: Pipeline, exchange: str, event: str, reason: str) -> bool:
    return any(
        status.exchange == exchange and status.event == event and reason in status.reason
        for status in statuses(pipeline)
    )


def test_each_fault_is_recorded_and_mended(
    exchanges: Exchanges, make_pipeline: MakePipeline
) -> None:
    names = ("kraken", "okx", "upbit", "bitmex", "bybit")
    some = exchanges.of(*names)
    pipeline = make_pipeline(regions=REGIONS, changes={"exchanges": some})
    process = start(pipeline)
    feeds = {feed for feed in wanted(pipeline) if feed[0] in names}
    wait_until(lambda: feeds <= good(pipeline))
    exchanges.make("drop", exchange="kraken")
    exchanges.make("abort", exchange="okx")
    exchanges.make("half_open", exchange="bitmex")
    exchanges.make("stall", exchange="upbit", symbol="BTC-KRW", kind="trade", ms=25_000)
    exchanges.make("garbage", exchange="bybit", kind="orderbook")

    wait_until(lambda: has_said(pipeline, "kraken", "disconnected", "closed with"))
    wait_until(lambda: has_said(pipeline, "okx", "disconnected", ""))
    wait_until(lambda: has_said(pipeline, "bitmex", "disconnected", "nothing was heard for 10 s"))
    wait_until(lambda: has_said(pipeline, "upbit", "disconnected", "trade_stream_silent"), 90)
    wait_until(lambda: feeds <= good(pipeline), 90)
    wait_until(lambda: has_said(pipeline, "upbit", "filled", ""), 90)
    end(process, pipeline)

    whole, broken = check_trades(pipeline, exchanges.trades())
    assert whole > 100
    del broken


def test_a_planned_end_is_no_gap(exchanges: Exchanges, make_pipeline: MakePipeline) -> None:
    some = exchanges.of("okx", regions=("Asia",), kinds=["trade", "orderbook"])
    pipeline = make_pipeline(regions=("Asia",), changes={"exchanges": some})
    process = start(pipeline)
    feeds = {feed for feed in wanted(pipeline) if feed[0] == "okx"}
    wait_until(lambda: feeds <= good(pipeline))
    exchanges.make("notice", exchange="okx")
    wait_until(lambda: has_said(pipeline, "okx", "other", "a new connection has taken over"))
    time.sleep(2)
    broken = [s for s in statuses(pipeline) if s.exchange == "okx" and s.event == "disconnected"]
    end(process, pipeline)
    assert broken == []
    check_trades(pipeline, exchanges.trades())


def test_snapshots_are_given_on_request(exchanges: Exchanges, make_pipeline: MakePipeline) -> None:
    some = exchanges.of("binance", "kraken", regions=("NE",), kinds=["orderbook"])
    pipeline = make_pipeline(regions=("NE",), changes={"exchanges": some})
    process = start(pipeline)
    feeds = {feed for feed in wanted(pipeline) if feed[0] in ("binance", "kraken")}
    wait_until(lambda: feeds <= good(pipeline))
    topics = pipeline.settings.regions["NE"].topics
    requests = [
        encode_snapshot_request(SnapshotRequest(name, symbol, "a test", "2026-11-27T00:00:00Z"))
        for name, symbol in (("binance", "BTC-USDT"), ("kraken", "BTC-USD"))
        for _ in range(20)
    ]

    def snapshots() -> int:
        keys = [message.key() for message in pipeline.records(topics.orderbook, 0)]
        return keys.count(b"binance.spot.BTCUSDT")

    before = snapshots()
    pipeline.produce(topics.snapshot_requests, 0, [(None, request) for request in requests])
    wait_until(lambda: snapshots() > before)
    wait_until(lambda: has_said(pipeline, "kraken", "resubscribed", "a test"))
    end(process, pipeline)
    assert snapshots() == before + 1
    said = [s for s in statuses(pipeline) if s.event == "resubscribed"]
    assert len(said) == 1


def test_trades_are_polled_over_rest(exchanges: Exchanges, make_pipeline: MakePipeline) -> None:
    urls = exchanges.settings["exchanges"]["binance"]["urls"]
    some = exchanges.of("binance", regions=("NE",), collect="rest", urls={"rest": urls["rest"]})
    pipeline = make_pipeline(regions=("NE",), changes={"exchanges": some})
    process = start(pipeline)
    feeds = {f for f in wanted(pipeline) if f[0] == "binance" and f[2] == "trade"}
    wait_until(lambda: feeds <= good(pipeline))
    time.sleep(6)
    end(process, pipeline)
    whole, _ = check_trades(pipeline, exchanges.trades())
    assert whole > 20


def test_a_slow_broker_holds_reading_back(
    exchanges: Exchanges, make_pipeline: MakePipeline, stack: Stack
) -> None:
    some = exchanges.of("okx", regions=("Asia",))
    changes = {"exchanges": some, "collect": {"queue_kbytes": 1_024}}
    pipeline = make_pipeline(regions=("Asia",), changes=changes)
    process = start(pipeline, KAFKA_QUEUE_BUFFERING_MAX_KBYTES="64")
    feeds = {feed for feed in wanted(pipeline) if feed[0] == "okx"}
    wait_until(lambda: feeds <= good(pipeline))
    kafka = psutil.Process(stack.state().processes["kafka"].pid)
    family = [kafka, *kafka.children(recursive=True)]
    for member in family:
        member.suspend()
    try:
        wait_until(lambda: "reading is held back" in log_of(pipeline), 50)
    finally:
        for member in family:
            member.resume()
    wait_until(lambda: has_said(pipeline, "okx", "other", "reading on after"))
    time.sleep(3)
    end(process, pipeline)
    assert has_said(pipeline, "okx", "paused", "the broker is slow")
    whole, _ = check_trades(pipeline, exchanges.trades())
    assert whole > 50


def test_listings_and_delistings_are_followed(
    exchanges: Exchanges, make_pipeline: MakePipeline
) -> None:
    symbols = {"spot": "all", "linear": {"top": 1}}
    given = exchanges.settings["exchanges"]["bybit"]["urls"]
    urls = {scheme: {p: given[scheme][p] for p in symbols} for scheme in ("ws", "rest")}
    some = exchanges.of("bybit", regions=("Asia",), kinds=["trade"], symbols=symbols, urls=urls)
    changes = {"exchanges": some, "collect": {"instruments_interval_ms": 1_000}}
    pipeline = make_pipeline(regions=("Asia",), changes=changes)
    process = start(pipeline)
    wait_until(lambda: {("bybit", "spot", "trade", "BTC-USDT")} <= good(pipeline))
    wait_until(lambda: ("bybit", "linear") in {feed[:2] for feed in good(pipeline)})
    assert len([feed for feed in good(pipeline) if feed[1] == "linear"]) == 1

    exchanges.make("delist", exchange="bybit", product="spot", symbol="ETH-USDT")
    wait_until(lambda: has_said(pipeline, "bybit", "disconnected", "not listed any more"))
    assert ("bybit", "spot", "trade", "ETH-USDT") not in good(pipeline)
    exchanges.make("list", exchange="bybit", product="spot", symbol="ETH-USDT")
    wait_until(lambda: ("bybit", "spot", "trade", "ETH-USDT") in good(pipeline))
    end(process, pipeline)
    check_trades(pipeline, exchanges.trades())
