"""Frames that are decoded together are what they are one by one."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dataflows.domain.frames import DecodeRun, FrameReader
from schemas.exchanges import ExchangeDecoder
from schemas.records import Trade
from schemas.settings import parse_settings
from tests.raw_record import RawRecord
from tests.schemas.exchanges.frames import lines

SETTINGS = parse_settings(
    (Path(__file__).parents[3] / "pipeline.yaml").read_bytes(), "pipeline.yaml"
)
RECORDS = [
    *((b"bybit.linear.LTCUSDT", frame) for frame in lines("bybit-trade.jsonl")[1:2]),
    *((b"bybit", frame) for frame in lines("bybit-trade.jsonl")[2:4]),
    *((b"bybit.inverse", frame) for frame in lines("bybit-trade.jsonl")[:1]),
]


def reader(*, together: bool) -> FrameReader[Trade]:
    def decode_run(decoder: ExchangeDecoder) -> DecodeRun[Trade] | None:
        return decoder.decode_trade_run if together else None

    return FrameReader(SETTINGS, "Asia", "t", 1, lambda d: d.decode_trades, decode_run)


@given(st.lists(st.sampled_from(RECORDS), min_size=8, max_size=30))
def test_products_decoded_together_keep_the_order_of_the_log(
    drawn: list[tuple[bytes, bytes]],
) -> None:
    messages = [RawRecord(at, key, frame) for at, (key, frame) in enumerate(drawn)]

    run = reader(together=True).read(messages).run
    plain = reader(together=False).read(messages).frames["bybit"]

    assert run is not None
    assert [(m.offset(), [*trades]) for m, trades in run.frames()] == [
        (m.offset(), trades) for m, trades in plain
    ]
    assert sorted(run.records, key=str) == sorted((t for _, ts in plain for t in ts), key=str)
