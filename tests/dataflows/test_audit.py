"""The audit as a user runs it: real topics in, verdicts in PostgreSQL and Kafka."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.dataflows.harness import Pipeline

MINUTE_S = 1_786_310_760
KEY = b"bybit.linear"


def trade(number: int, second: int, size: str, *, side: str = "Buy", price: str = "100") -> bytes:
    stamp_ms = (MINUTE_S + second) * 1_000
    row = {
        "T": stamp_ms, "s": "BTCUSDT", "S": side, "v": size, "p": price, "L": "PlusTick",
        "i": f"00000000-0000-0000-0000-{number:012d}", "BT": False,
    }  # fmt: skip
    frame = {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": stamp_ms, "data": [row]}
    return json.dumps(frame).encode()


def kline(minute: int, volume: str, notional: str, *, close: str = "100") -> bytes:
    start_ms = (MINUTE_S + 60 * minute) * 1_000
    bar = {
        "start": start_ms, "end": start_ms + 59_999, "interval": "1", "open": close,
        "close": close, "high": close, "low": close, "volume": volume, "turnover": notional,
        "confirm": True, "timestamp": start_ms + 60_000,
    }  # fmt: skip
    return json.dumps({"topic": "kline.1.BTCUSDT", "data": [bar], "type": "snapshot"}).encode()


@pytest.fixture
def pipeline(make_pipeline: Callable[..., Pipeline]) -> Pipeline:
    return make_pipeline(regions=("Asia",))


def play(pipeline: Pipeline, trades: list[bytes], klines: list[bytes]) -> None:
    region = pipeline.settings.regions["Asia"]
    partition = pipeline.settings.exchanges["bybit"].partitions[0]
    pipeline.produce(region.topics.trade, partition, [(KEY, frame) for frame in trades])
    pipeline.run("taker_volume")
    pipeline.produce(region.topics.kline, partition, [(KEY, frame) for frame in klines])
    pipeline.run("audit")


def verdicts(pipeline: Pipeline) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pipeline.rows("audit_minute", "minute")
    return rows


def test_equal_minutes_are_equal_and_a_lost_trade_is_different(pipeline: Pipeline) -> None:
    play(
        pipeline,
        [
            trade(1, 1, "0.5"),
            trade(2, 59, "0.25", side="Sell"),
            trade(3, 61, "1"),
            trade(4, 125, "1"),
        ],
        [kline(0, "0.75", "75"), kline(1, "3", "300"), kline(2, "1", "100")],
    )

    first, second, third = verdicts(pipeline)
    assert (first["verdict"], first["volume_difference"]) == ("equal", Decimal(0))
    assert (second["verdict"], second["volume_difference"]) == ("different", Decimal(-2))
    assert "volume -2" in second["reason"]
    assert second["kline_notional"] == Decimal(300)
    assert third["verdict"] == "equal"


def test_a_later_revision_is_judged_again(pipeline: Pipeline) -> None:
    play(
        pipeline,
        [trade(1, 1, "1"), trade(3, 200, "1")],
        [kline(0, "3", "300"), kline(3, "1", "100")],
    )
    assert verdicts(pipeline)[0]["verdict"] == "different"

    play(pipeline, [trade(2, 2, "2")], [])

    assert verdicts(pipeline)[0]["verdict"] == "equal"
    assert verdicts(pipeline)[0]["revision"] > 1


def test_a_broken_kline_is_a_dead_letter_and_its_neighbours_count(pipeline: Pipeline) -> None:
    play(
        pipeline,
        [trade(1, 1, "1")],
        [b'{"topic":"kline.1.BTCUSDT","data":[{}]}', kline(0, "1", "100")],
    )

    assert [row["verdict"] for row in verdicts(pipeline)] == ["equal"]
