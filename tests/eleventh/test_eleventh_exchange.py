"""An eleventh exchange takes one package and its block in pipeline.yaml: no other file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
import yaml

import schemas.exchanges
from schemas.exchanges import EXCHANGES, decoder_of, discover
from schemas.feeds import Feed
from tests.dataflows.harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.dataflows.harness import Pipeline

HERE = Path(__file__).parent
START = {"PYTHONPATH": str(HERE / "start")}
BLOCK = {
    "market": "Tinyex",
    "region": "NE",
    "partitions": [3],
    "quote": "EUR",
    "primary_symbol": "BTC-EUR",
    "kinds": ["trade"],
}
MINUTE_MS = 1_790_000_040_000


@pytest.fixture(autouse=True)
def _tinyex(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(HERE / "packages")
    paths = [*schemas.exchanges.__path__, folder]
    monkeypatch.setattr(schemas.exchanges, "__path__", paths)
    for code, exchange in discover([folder]).items():
        monkeypatch.setitem(EXCHANGES, code, exchange)


def region() -> dict[str, Any]:
    """The region NE with a fourth partition for trades, its names nobody else's."""
    suffix = uuid4().hex[:8]
    found: dict[str, Any] = yaml.safe_load((ROOT / "pipeline.yaml").read_text())["regions"]["NE"]
    for group in ("topics", "processed", "groups"):
        found[group] = {kind: f"{name}.{suffix}" for kind, name in found[group].items()}
    found["partitions"]["trade"] = 4
    return found


def deals(*rows: tuple[int, str, str, str]) -> bytes:
    """A frame of trades: number, taker, price and size."""
    return json.dumps({"deals": [
        {"market": "BTC:EUR", "no": no, "at": MINUTE_MS + no, "taker": taker, "price": price,
         "size": size}
        for no, taker, price, size in rows
    ]}).encode()  # fmt: skip


def test_its_frames_are_decoded() -> None:
    frame = deals((1, "buys", "50000", "0.5"), (2, "sells", "50010", "0"))
    (trade,) = decoder_of("tinyex").decode_trades(frame, Feed("tinyex"))
    assert (trade.symbol, trade.trade_id, trade.taker_buys) == ("BTC-EUR", 1, True)
    assert decoder_of("tinyex").kind(b"{}") == "control"


def test_its_trades_become_rows(make_pipeline: "Callable[..., Pipeline]") -> None:
    pipeline = make_pipeline(changes={"regions": {"NE": region()}, "exchanges": {"tinyex": BLOCK}})
    topics = pipeline.settings.regions["NE"]
    frames = [
        deals((1, "buys", "50000", "0.5"), (2, "sells", "50010", "0.25")),
        b"{}",
        deals((3, "buys", "50020", "0.125"), (3, "buys", "50020", "0.125")),
    ]
    pipeline.produce(topics.topics.trade, 3, [(b"tinyex.spot.BTC:EUR", frame) for frame in frames])

    pipeline.run("taker_volume", **START)

    with psycopg.connect(pipeline.dsn) as connection:
        row = connection.execute(
            "SELECT exchange_name, symbol, taker_buy_volume::text, taker_sell_volume::text "
            "FROM tinyex_taker_volume"
        ).fetchall()
        ids = connection.execute("SELECT exchange_id FROM dim_exch WHERE code = 'tinyex'")
        assert ids.fetchall() == [(11,)]
    assert row == [("Tinyex", "BTC-EUR", "0.625", "0.25")]
    processed = topics.processed.taker_volume
    values = [v for p in pipeline.partitions(processed) for v in pipeline.values(processed, p)]
    assert {value["market"] for value in values} == {"Tinyex"}
