"""Completeness of minutes on real services: what the collector said marks what the rows hold."""

import signal
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from schemas.feed_status import REGIONS
from tests.dataflows.harness import Pipeline, wait
from tests.dataflows.market import START_MS, MarketTrade, make_market
from tests.dataflows.oracle import feed
from tests.dataflows.test_taker_volume import counted_trades, wait_for

MakePipeline = Callable[..., Pipeline]


def status(event: str, second: float, **fields: Any) -> bytes:
    """Encode a record seen at a second of the market; times of data are seconds as well."""
    record = {
        "time_ms": START_MS + round(second * 1000), "exchange": "binance", "product": "spot",
        "kind": "trade", "event": event, "symbols": fields.pop("symbols", None),
        "reason": fields.pop("reason", ""),
    }  # fmt: skip
    record |= {name: START_MS + round(value * 1000) for name, value in fields.items()}
    return msgspec.json.encode(record)


def tell(pipeline: Pipeline, values: Iterable[bytes]) -> None:
    place = REGIONS.index("NE")
    pipeline.produce(pipeline.settings.feed_status, place, [(b"binance", v) for v in values])


def verdicts(pipeline: Pipeline, symbol: str) -> dict[int, bool | None]:
    return {
        int(row["minute"].timestamp()) // 60 - START_MS // 60_000: row["is_complete"]
        for row in pipeline.rows()
        if row["symbol"] == symbol
    }


CONNECTED = status("connected", 1, first_good_ms=0, symbols=["C0-USDT", "NEW-USDT"])
LOST = status("disconnected", 200, last_good_ms=190, symbols=["C0-USDT", "NEW-USDT"])
AGAIN = status("connected", 260, first_good_ms=250, symbols=["C0-USDT", "NEW-USDT"])
FILLED = status("filled", 400, last_good_ms=190, first_good_ms=250, symbols=["C0-USDT"])


def one_symbol(minutes: Iterable[int]) -> list[MarketTrade]:
    market = make_market(count=400, symbols=1, minutes=8)
    kept = set(minutes)
    return [t for t in market if (t.time_ms - START_MS) // 60_000 in kept]


def test_minutes_are_marked_by_what_the_collector_said(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    feed(pipeline, one_symbol([0, 1, 2, 3, 4, 7]))
    bad = [b"{", msgspec.json.encode({"exchange": "binance"}), CONNECTED.replace(b"bin", b"no")]
    tell(pipeline, [CONNECTED, *bad, LOST, AGAIN])

    pipeline.run("taker_volume")

    # In minutes 5 and 6 nobody traded, and the stream was whole.
    whole = {0: True, 1: True, 2: True, 3: False, 4: False, 5: True, 6: True, 7: True}
    assert verdicts(pipeline, "C0-USDT") == whole
    # A symbol that never traded has rows where its stream was whole, at least in part.
    assert verdicts(pipeline, "NEW-USDT") == whole
    rows = pipeline.rows()
    assert {row["revision"] for row in rows} == {1}
    quiet = [row for row in rows if row["symbol"] == "NEW-USDT"]
    assert all(row["buy_count"] == row["sell_count"] == 0 for row in quiet)
    letters = pipeline.records(pipeline.settings.feed_status + ".dlq", REGIONS.index("NE"))
    assert [letter.value() for letter in letters] == bad
    stored = pipeline.rows("feed_status", "kafka_partition, kafka_offset")
    assert [(r["kafka_partition"], r["kafka_offset"], r["event"]) for r in stored] == [
        (2, 0, "connected"), (2, 4, "disconnected"), (2, 5, "connected"),
    ]  # fmt: skip
    assert stored[1]["symbols"] == ["C0-USDT", "NEW-USDT"]
    assert int(stored[1]["last_good"].timestamp() * 1000) == START_MS + 190_000


def test_late_knowledge_revises_rows_and_kills_do_not_show(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    store = pipeline.recovery_store()
    market = one_symbol(range(8))
    tell(pipeline, [CONNECTED])
    feed(pipeline, market)
    process = pipeline.start("taker_volume", *store)
    wait_for(lambda: counted_trades(pipeline) == len(market))

    tell(pipeline, [LOST, AGAIN])
    wait_for(lambda: verdicts(pipeline, "C0-USDT").get(3) is False)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    tell(pipeline, [FILLED])
    process = pipeline.start("taker_volume", *store)
    wait_for(lambda: verdicts(pipeline, "C0-USDT").get(3) is True)
    process.send_signal(signal.SIGTERM)
    wait(process)
    pipeline.run("taker_volume", *store)
    rows = pipeline.rows()

    again = make_pipeline(raw_of=pipeline)
    assert [row["revision"] for row in rows if row["symbol"] == "C0-USDT"] == [
        1, 1, 1, 2, 2, 1, 1, 1,
    ]  # fmt: skip
    again.execute("TRUNCATE taker_volume")
    again.run("taker_volume")
    assert again.rows() == rows


def test_without_a_status_topic_nothing_is_known(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    pipeline.delete_topic(pipeline.settings.feed_status)
    feed(pipeline, one_symbol([0, 1]))

    pipeline.run("taker_volume")

    assert verdicts(pipeline, "C0-USDT") == {0: None, 1: None}
