"""One bad row: its neighbours count, its frame is one dead letter, a replay doubles nothing."""

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from connectors.commands.cli import main
from connectors.process.clock import now_ns
from dataflows.domain.trades.reader import TradeReader
from schemas.records import DeadLetter
from tests.dataflows.harness import Pipeline
from tests.dataflows.test_exchange_checklist import SETTINGS
from tests.raw_record import RawRecord

KEY = b"kraken.spot.BTC/USD"
MINUTE = "2026-09-21T14:13"


def frame(*rows: tuple[int, object]) -> bytes:
    """A frame of trades: their ids and sizes."""
    return json.dumps(
        {
            "channel": "trade",
            "type": "update",
            "data": [
                {"symbol": "BTC/USD", "side": "buy", "price": 64000.1, "qty": size,
                 "ord_type": "market", "trade_id": number,
                 "timestamp": f"{MINUTE}:20.{number:06}Z"}
                for number, size in rows
            ],
        }
    ).encode()  # fmt: skip


def read(*records: RawRecord) -> tuple[TradeReader, list[DeadLetter], int]:
    """The reader, its dead letters, and how many trades it passed on."""
    reader = TradeReader(SETTINGS, "NE", "raw", 1)
    items = [item for _, item in reader.read(records, now_ns())]
    letters = [item for item in items if isinstance(item, DeadLetter)]
    return reader, letters, reader.counts["trades"]


def test_good_rows_count_and_the_frame_is_one_letter_that_names_the_bad_ones() -> None:
    bad = frame((1, 0.1), (2, "x"), (3, 0.3), (4, -1), (5, 0))

    reader, (letter,), trades = read(RawRecord(7, KEY, bad), RawRecord(8, KEY, frame((6, 0.5))))

    assert trades == 3
    assert (letter.offset, letter.value, letter.exchange) == (7, bad, "kraken")
    first, second = letter.error.split("; ")
    assert first.startswith("kraken: ")
    assert first.endswith("at `$.data[1].qty`")
    assert "size -1" in second
    assert second.endswith("at `$.data[3]`")
    assert reader.counts["skipped"] == 1


def test_rows_of_an_envelope_are_named_by_item_and_row() -> None:
    items = [frame((1, 0.1)).decode(), frame((2, 0.2), (3, "x")).decode(), frame((4, 0)).decode()]
    envelope = {"region": "ne", "market": "KRAKEN", "symbol": "BTC", "data": items}

    reader, (letter,), trades = read(RawRecord(0, None, json.dumps(envelope).encode()))

    assert trades == 2
    assert letter.error.startswith("data[1]: kraken: ")
    assert letter.error.endswith("at `$.data[1].qty`")
    assert reader.counts["skipped"] == 1


def test_a_tombstone_is_skipped_and_counted() -> None:
    reader, letters, trades = read(RawRecord(0, KEY, None), RawRecord(1, KEY, frame((1, 0.1))))
    assert (letters, trades, reader.counts["skipped"]) == ([], 1, 1)


def test_replay_of_a_frame_with_a_bad_row_doubles_nothing(
    make_pipeline: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = make_pipeline()
    topic = pipeline.settings.regions["NE"].topics.trade
    store = pipeline.recovery_store()
    pipeline.produce(topic, 1, [(KEY, frame((1, 0.1), (2, "x"), (3, 0.3)))])
    pipeline.run("taker_volume", *store)
    before = pipeline.rows()

    for name, value in pipeline.variables.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(main, ["dlq", "replay", "--topic", topic])
    assert result.exit_code == 0, result.output
    pipeline.run("taker_volume", *store)

    (row,) = before
    assert float(row["taker_buy_volume"]) == 0.4
    (after,) = pipeline.rows()
    volatile = {"revision", "late_trades"}
    assert {k: v for k, v in after.items() if k not in volatile} == {
        k: v for k, v in row.items() if k not in volatile
    }
    assert len(pipeline.records(f"{topic}.dlq", 1)) == 2
