"""The sums of one minute of one symbol, and their stored form."""

from decimal import Decimal
from typing import Final

import msgspec

from dataflows.domain.trades.fills import Fills, FillState
from dataflows.domain.trades.trade_ids import TradeIdSet, TradeIdSetState
from schemas.records import Trade, TradeId

ZERO: Final = Decimal(0)
NEVER_NS: Final = 1 << 63


class MinuteState(msgspec.Struct, array_like=True, gc=False):
    """The stored form of a minute; fields are only ever added at the end, with a default."""

    buy_volume: Decimal
    sell_volume: Decimal
    buy_notional: Decimal
    sell_notional: Decimal
    buy_count: int
    sell_count: int
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal | None
    first_ns: int
    last_ns: int
    first_id: TradeId
    last_id: TradeId
    late: int
    duplicates: int
    seen: TradeIdSetState
    fills: list[FillState] = []


# Not MessagePack: an id may have more than 64 bits.
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(MinuteState).decode


class Minute:
    """Sums of one minute, exact, and the same whatever the order of the trades."""

    __slots__ = (
        "buy_count", "buy_notional", "buy_volume", "close", "duplicates", "fills", "first_id",
        "first_ns",
        "high", "last_id", "last_ns", "late", "low", "open", "seen", "sell_count", "sell_notional",
        "sell_volume",
    )  # fmt: skip

    def __init__(self) -> None:
        self.buy_volume = self.sell_volume = ZERO
        self.buy_notional = self.sell_notional = ZERO
        self.buy_count = self.sell_count = 0
        self.open: Decimal | None = None
        self.high: Decimal | None = None
        self.low: Decimal | None = None
        self.close: Decimal | None = None
        self.first_ns, self.last_ns = NEVER_NS, -1
        self.first_id: TradeId = 0
        self.last_id: TradeId = 0
        self.late = self.duplicates = 0
        self.seen = TradeIdSet()
        self.fills = Fills()

    def add(self, trades: list[Trade]) -> int:
        """Fold trades of this minute in, under the :data:`SUM` context; return how many were new.

        The innermost loop of the dataflow works by columns, because a comprehension is faster
        than a loop with a branch for each trade.
        """
        ids = [trade.trade_id for trade in trades]
        if [trade.first_id for trade in trades].count(None) < len(trades):
            trades = list(filter(None, map(self._uncounted, trades)))
        elif not self.seen.extend(ids):
            trades = [trade for trade in trades if self.seen.add(trade.trade_id)]
        if len(trades) < len(ids):
            self.duplicates += len(ids) - len(trades)
            if not trades:
                return 0
        buys = [trade for trade in trades if trade.taker_buys]
        self.buy_volume = sum([trade.size for trade in buys], self.buy_volume)
        self.buy_notional = sum([trade.notional for trade in buys], self.buy_notional)
        self.buy_count += len(buys)
        if len(buys) < len(trades):
            sells = [trade for trade in trades if not trade.taker_buys]
            self.sell_volume = sum([trade.size for trade in sells], self.sell_volume)
            self.sell_notional = sum([trade.notional for trade in sells], self.sell_notional)
            self.sell_count += len(sells)
        self._add_prices(trades)
        return len(trades)

    def _uncounted(self, trade: Trade) -> Trade | None:
        """Return what of the trade has not been counted yet, or `None`.

        The counts are of fills, so that a row counts the same aggregated and one by one.
        """
        first_id, last_id = trade.first_id, trade.trade_id
        if first_id is None or isinstance(last_id, str):
            return trade if self.seen.add(last_id) else None
        new = self.seen.add_range(first_id, last_id)
        if first_id == last_id:
            if new:
                self.fills.add(trade)
            return trade if new else None
        if not new:
            return None
        if trade.taker_buys:
            self.buy_count += new - 1
        else:
            self.sell_count += new - 1
        return trade if new == last_id - first_id + 1 else self.fills.remainder(trade)

    def _add_prices(self, trades: list[Trade]) -> None:
        prices = [trade.price for trade in trades]
        high, low = max(prices), min(prices)
        if self.high is None or high > self.high:
            self.high = high
        if self.low is None or low < self.low:
            self.low = low
        times_ns = [trade.time_ns for trade in trades]
        self._open_with(trades, min(times_ns), times_ns)
        self._close_with(trades, max(times_ns), times_ns)

    def _open_with(self, trades: list[Trade], time_ns: int, times_ns: list[int]) -> None:
        if time_ns > self.first_ns:
            return
        for trade in _of_time(time_ns, trades, times_ns):
            if time_ns < self.first_ns or _is_after(self.first_id, trade.trade_id):
                self.first_ns, self.first_id, self.open = time_ns, trade.trade_id, trade.price

    def _close_with(self, trades: list[Trade], time_ns: int, times_ns: list[int]) -> None:
        if time_ns < self.last_ns:
            return
        for trade in _of_time(time_ns, trades, times_ns):
            if time_ns > self.last_ns or _is_after(trade.trade_id, self.last_id):
                self.last_ns, self.last_id, self.close = time_ns, trade.trade_id, trade.price

    def state(self) -> MinuteState:
        """Return all of it, to store."""
        return MinuteState(
            self.buy_volume, self.sell_volume, self.buy_notional, self.sell_notional,
            self.buy_count, self.sell_count, self.open, self.high, self.low, self.close,
            self.first_ns, self.last_ns, self.first_id, self.last_id,
            self.late, self.duplicates, self.seen.state(),
            self.fills.state(self.seen.intervals()),
        )  # fmt: skip

    @classmethod
    def unpacked(cls, packed: bytes) -> "Minute":
        """Return the minute that was packed."""
        minute, state = cls(), _decode(packed)
        minute.buy_volume, minute.sell_volume = state.buy_volume, state.sell_volume
        minute.buy_notional, minute.sell_notional = state.buy_notional, state.sell_notional
        minute.buy_count, minute.sell_count = state.buy_count, state.sell_count
        minute.open, minute.high, minute.low, minute.close = (
            state.open, state.high, state.low, state.close,
        )  # fmt: skip
        minute.first_ns, minute.last_ns = state.first_ns, state.last_ns
        minute.first_id, minute.last_id = state.first_id, state.last_id
        minute.late, minute.duplicates = state.late, state.duplicates
        minute.seen = TradeIdSet(state.seen)
        minute.fills = Fills(state.fills)
        return minute


def pack(minute: Minute | MinuteState) -> bytes:
    """Return a minute as bytes."""
    return _encode(minute.state() if isinstance(minute, Minute) else minute)


def _of_time(time_ns: int, trades: list[Trade], times_ns: list[int]) -> list[Trade]:
    """Return the trades stamped `time_ns`: a sweep prints several."""
    if times_ns.count(time_ns) == 1:
        return [trades[times_ns.index(time_ns)]]
    return [trade for trade in trades if trade.time_ns == time_ns]


def _is_after(one: TradeId, other: TradeId) -> bool:
    """Return whether one trade is later than another one of its time: by id, numbers first."""
    if type(one) is type(other):
        return one > other  # type: ignore[operator]
    return isinstance(one, str)
