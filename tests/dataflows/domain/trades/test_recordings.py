"""Recorded trades sum up to the klines that their exchange sent in the same seconds."""

from __future__ import annotations

import decimal
import gzip
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest

from dataflows.domain.trades.minute import Minute
from schemas.exchanges.bybit.decode import decode_trades
from schemas.exchanges.bybit.klines import decode_klines
from schemas.feeds import Feed
from schemas.klines import Kline
from schemas.numbers import SUM
from schemas.records import Product, Trade
from schemas.times import NS_PER_MS, NS_PER_SECOND

RECORDINGS = Path(__file__).parents[3] / "recordings"
# The recording begins with a minute.
FIRST_MINUTE_S = 1_786_310_820
BEHIND_NS = 100 * NS_PER_MS


def trades_and_klines(name: str, product: Product) -> tuple[dict[str, list[Trade]], list[Kline]]:
    feed = Feed("bybit", product)
    trades: defaultdict[str, list[Trade]] = defaultdict(list)
    klines: list[Kline] = []
    for line in gzip.decompress((RECORDINGS / name).read_bytes()).splitlines():
        frame = line.partition(b"\t")[2]
        for trade in decode_trades(frame, feed):
            trades[trade.symbol].append(trade)
        klines += decode_klines(frame, feed)
    return trades, [kline for kline in klines if kline.minute_s >= FIRST_MINUTE_S]


@pytest.mark.parametrize(
    ("name", "product", "compared"),
    [("bybit-v5-linear.tsv.gz", "linear", 28), ("bybit-v5-spot.tsv.gz", "spot", 9)],
)
def test_the_trades_of_a_minute_sum_up_to_its_running_klines(
    name: str, product: Product, compared: int
) -> None:
    trades, klines = trades_and_klines(name, product)
    for kline in klines:
        assert kline.time_ns is not None
        # A running kline may be some milliseconds behind the trades.
        ends_ns = {trade.time_ns - 1 for trade in trades[kline.symbol]} | {kline.time_ns}
        behind = [end for end in ends_ns if 0 <= kline.time_ns - end <= BEHIND_NS]
        assert (kline.volume, kline.notional) in [
            sums_until(trades[kline.symbol], kline, end_ns) for end_ns in behind
        ]
    for kline in {kline.symbol: kline for kline in klines}.values():
        assert kline.time_ns is not None
        last = sums_until(trades[kline.symbol], kline, kline.time_ns)
        assert last == (kline.volume, kline.notional)
    assert len(klines) == compared


def sums_until(trades: list[Trade], kline: Kline, end_ns: int) -> tuple[Decimal, Decimal]:
    """Return volume and notional of a kline's minute, of its trades up to a time."""
    minute = Minute()
    start_ns = kline.minute_s * NS_PER_SECOND
    so_far = [trade for trade in trades if start_ns <= trade.time_ns <= end_ns]
    with decimal.localcontext(SUM):
        if so_far:
            minute.add(so_far)
        return (
            minute.buy_volume + minute.sell_volume,
            minute.buy_notional + minute.sell_notional,
        )
