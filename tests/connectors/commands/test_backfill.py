"""`marketflow backfill` as a user runs it, against what Binance's documents say it answers."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dataflows.harness import ROOT, Pipeline
from tests.dataflows.market import START_MS, MarketTrade, make_market, truth
from tests.dataflows.oracle import assert_true, feed
from tests.histories import Past, PastTrade, Server

MakePipeline = Callable[..., Pipeline]

START, END = "2024-10-23T10:20", "2024-10-23T10:40"
GAP_MS = (START_MS + 390_000, START_MS + 800_000)
GAP_ROWS = 3 * 8
REVISION = frozenset({"revision"})


@pytest.fixture(scope="module")
def market() -> list[MarketTrade]:
    return make_market(count=5_000, symbols=3, minutes=20)


def past_of(market: list[MarketTrade]) -> Past:
    trades: dict[str, list[PastTrade]] = {}
    for t in market:
        found = PastTrade(t.trade_id, t.time_ms, t.price, t.size, t.taker_buys)
        trades.setdefault(t.symbol, []).append(found)
    return Past("binance", trades)


@pytest.fixture
def exchange(market: list[MarketTrade]) -> Iterator[Server]:
    """Binance, which is busy at first."""
    moods = [
        (429, {"Retry-After": "1"}, b'{"code":-1003,"msg":"Too many requests."}'),
        (503, {}, b"busy"),
        (200, {}, b""),
        (502, {}, b"<html>"),
    ]
    with Server(past_of(market), moods).running() as server:
        yield server


def exchanges(url: str, **changes: Any) -> dict[str, Any]:
    config = yaml.safe_load((ROOT / "pipeline.yaml").read_text())["exchanges"]["binance"]
    return {"exchanges": {"binance": {**config, "urls": {"rest": {"spot": url}}, **changes}}}


def backfill(
    pipeline: Pipeline, *options: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("marketflow")
    return subprocess.run(
        [program, "backfill", "--exchange", "binance", *options],
        env={"PATH": os.environ["PATH"], **pipeline.variables, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_gap_closes_and_nothing_is_counted_twice(
    make_pipeline: MakePipeline, exchange: Server, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline(changes=exchanges(exchange.url))
    feed(pipeline, [t for t in market if not GAP_MS[0] <= t.time_ms < GAP_MS[1]])
    pipeline.run("taker_volume")
    topic = pipeline.settings.regions["NE"].processed.taker_volume
    before = pipeline.values(topic)
    right = len(truth(market)) - GAP_ROWS

    first = backfill(pipeline, "--from", START, "--to", END, BINANCE_API_KEY="a key")
    again = backfill(pipeline, "--from", START, "--to", END)

    assert first.returncode == 0, first.stderr
    assert first.stdout.split("\n")[0] == "     5,000  trades in 17 pages"
    assert f"{right:>10,}  minutes were right already" in first.stdout
    assert "        24  minutes written, as revisions from 1,000,000 on" in first.stdout
    assert "429" in first.stderr
    assert "a key" not in first.stderr + first.stdout
    assert exchange.headers[0]["X-MBX-APIKEY"] == "a key"
    assert_true(pipeline.rows(), market, besides=REVISION)
    records = pipeline.values(topic)[len(before) :]
    assert len(records) == GAP_ROWS
    assert all(r["is_final"] and r["revision"] == 1_000_001 for r in records)
    assert f"{len(truth(market)):>10,}  minutes were right already" in again.stdout
    assert "         0  minutes written" in again.stdout
    assert len(pipeline.values(topic)) == len(before) + GAP_ROWS


def test_trades_that_still_come_late_do_not_undo_it(
    make_pipeline: MakePipeline, exchange: Server, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline(changes=exchanges(exchange.url))
    store = pipeline.recovery_store()
    late = [t for t in market if GAP_MS[0] <= t.time_ms < GAP_MS[1]]
    feed(pipeline, [t for t in market if not GAP_MS[0] <= t.time_ms < GAP_MS[1]])
    process = pipeline.start("taker_volume", *store, STOP_AT_END="1")
    process.communicate(timeout=60)
    assert backfill(pipeline, "--from", START, "--to", END).returncode == 0

    feed(pipeline, late[::3])
    pipeline.run("taker_volume", *store)

    assert_true(pipeline.rows(), market, besides=REVISION)


def test_a_minute_of_which_the_exchange_has_less_is_kept(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    lost = {t for t in market if t.symbol == "C0USDT" and t.time_ms // 60_000 % 5 == 0}
    with Server(past_of([t for t in market if t not in lost])).running() as exchange:
        pipeline = make_pipeline(changes=exchanges(exchange.url))
        feed(pipeline, market)
        pipeline.run("taker_volume")

        done = backfill(pipeline, "--from", START, "--to", END)

    assert done.returncode == 0, done.stderr
    assert "         3  minutes left as they are: the table has more" in done.stdout
    assert_true(pipeline.rows(), market, besides=REVISION)


def test_symbols_can_be_named_and_minutes_chosen(
    make_pipeline: MakePipeline, exchange: Server, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline(changes=exchanges(exchange.url))

    done = backfill(
        pipeline, "--symbol", "C1-USDT", "--from", "2024-10-23T10:25", "--to", "2024-10-23T10:32"
    )

    assert done.returncode == 0, done.stderr
    rows = pipeline.rows()
    assert {row["symbol"] for row in rows} == {"C1-USDT"}
    minutes = sorted(int(row["minute"].timestamp()) * 1_000 for row in rows)
    assert minutes == [START_MS + 60_000 * at for at in range(5, 12)]
    expected = truth(market)
    for row in rows:
        key = ("C1USDT", int(row["minute"].timestamp()) // 60)
        assert row["taker_buy_volume"] == expected[key]["taker_buy_volume"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--from", START, "--to", START], "expected a minute after --from"),
        (["--from", START, "--to", "2090-01-01T00:00"], "expected a minute that is over"),
        (["--from", START, "--to", END, "--symbol", "C0"], "expected BASE-QUOTE"),
        (["--from", START, "--to", END, "--symbol", "C0-USDT-PERP"], "urls.rest.linear"),
        (["--from", START, "--to", END], "--symbol: expected one"),
        (["--from", "10:20", "--to", END], "does not match the format"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_a_sentence(
    make_pipeline: MakePipeline, exchange: Server, options: list[str], said: str
) -> None:
    pipeline = make_pipeline(changes=exchanges(exchange.url))
    config = Path(pipeline.variables["PIPELINE_CONFIG"])
    config.write_text(config.read_text().replace("linear: https://fapi.binance.com", ""))

    done = backfill(pipeline, *options)

    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert exchange.requests == 0


def test_aggregated_trades_are_asked_for_where_they_count(
    make_pipeline: MakePipeline, exchange: Server
) -> None:
    pipeline = make_pipeline(changes=exchanges(exchange.url, trade_ids={"spot": "aggTrade"}))

    done = backfill(pipeline, "--from", START, "--to", END, "--symbol", "C0-USDT")

    assert done.returncode == 0, done.stderr
    rows = pipeline.rows()
    assert {row["symbol"] for row in rows} == {"C0-USDT"}
    assert sum(row["buy_count"] + row["sell_count"] for row in rows) > 0


def test_what_the_exchange_refuses_is_said_in_its_words(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    moods = [(400, dict[str, str](), b'{"code":-1121,"msg":"Invalid symbol."}')]
    with Server(past_of(market), moods).running() as exchange:
        pipeline = make_pipeline(changes=exchanges(exchange.url))

        done = backfill(pipeline, "--from", START, "--to", END, "--symbol", "X-USDT")

    assert done.returncode == 1
    assert "Invalid symbol." in done.stderr
    assert "symbol=XUSDT" in done.stderr
    assert pipeline.rows() == []


def test_rows_without_a_trade_do_not_cost_their_neighbours(make_pipeline: MakePipeline) -> None:
    trades = [
        MarketTrade("C0USDT", 10 + at, START_MS + 1_000 * at, Decimal(5), size, taker_buys=True)
        for at, size in enumerate((Decimal("0.1"), Decimal(0), Decimal(-1), Decimal("0.3")))
    ]
    with Server(past_of(trades)).running() as exchange:
        pipeline = make_pipeline(changes=exchanges(exchange.url))

        done = backfill(pipeline, "--from", START, "--to", END, "--symbol", "C0-USDT")

    assert done.returncode == 1
    assert "row left out: price 5 and size -1" in done.stderr
    assert [float(row["taker_buy_volume"]) for row in pipeline.rows() if row["buy_count"]] == [0.4]
