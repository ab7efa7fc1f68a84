"""The minutes of one symbol: trades are folded in, live, final and revised rows come out.

A minute is *open* until the exchange's watermark has passed its end by the lateness; then it is
*final*, and each trade that is late for it makes a *revision*, until the correction horizon.
What is late is decided by the reader of the partition (:mod:`dataflows.domain.trades.reader`),
for each trade at its place in the log: the rows do not depend on how it was cut into batches.
"""

import decimal
from collections.abc import Iterable
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from dataflows.domain.trades.fills import Fills, FillState
from dataflows.domain.trades.trade_ids import SeenIds, SeenState
from schemas.numbers import SUM, quotient
from schemas.records import TakerVolume, Trade, TradeId

MINUTE_NS: Final = 60_000_000_000
ZERO: Final = Decimal(0)
NEVER_NS: Final = 1 << 63
STATE_VERSION: Final = 2

# So long after its last trade a symbol has rows of zeros, and state; also the longest horizon.
QUIET_MINUTES: Final = 24 * 60


class TradeBatch(msgspec.Struct, frozen=True, gc=False):
    """What one batch of a partition means for one symbol."""

    key: str
    """`<exchange>:<symbol>`"""
    runs: list[tuple[int, list[Trade]]]
    """Those in time, by their minute."""
    late: list[Trade]
    """Those whose minute was final when they came, and within the correction horizon."""
    final_before: int
    """Minutes before this one are final now; minutes count from the Unix epoch."""
    active: tuple[int, ...] = ()
    """Which of the minutes that have just become final had a trade of any symbol of the exchange:
    in those, silence is a row of zeros, in others it may be an outage."""
    retired: bool = False
    """The symbol was silent for so long that its state is given up."""


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
    seen: SeenState
    fills: list[FillState] = []


SymbolState: TypeAlias = tuple[int, int | None, int, dict[int, bytes]]

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
        self.seen = SeenIds()
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

    def packed(self) -> bytes:
        """Return all of it as bytes."""
        state = MinuteState(
            self.buy_volume, self.sell_volume, self.buy_notional, self.sell_notional,
            self.buy_count, self.sell_count, self.open, self.high, self.low, self.close,
            self.first_ns, self.last_ns, self.first_id, self.last_id,
            self.late, self.duplicates, self.seen.state(),
            self.fills.state(self.seen.intervals()),
        )  # fmt: skip
        return _encode(state)

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
        minute.seen = SeenIds(state.seen)
        minute.fills = Fills(state.fills)
        return minute


def _of_time(time_ns: int, trades: list[Trade], times_ns: list[int]) -> list[Trade]:
    """The trades of a time; more than one, since a sweep has one time."""
    if times_ns.count(time_ns) == 1:
        return [trades[times_ns.index(time_ns)]]
    return [trade for trade in trades if trade.time_ns == time_ns]


def _is_after(one: TradeId, other: TradeId) -> bool:
    """Which of two trades of the same time is the later one: by id, numbers before texts."""
    if type(one) is type(other):
        return one > other  # type: ignore[operator]
    return isinstance(one, str)


class SymbolMinutes:
    """All minutes of one symbol that may still change.

    Those that are final rest as bytes: nearly all of them are never touched again, and each
    snapshot would otherwise have to write out an hour of live objects anew.

    Args:
        exchange: The exchange id, for the rows.
        symbol: The canonical symbol, for the rows.
        horizon_minutes: How many minutes back from the first open one a late trade revises.
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(
        self, exchange: str, symbol: str, horizon_minutes: int, state: SymbolState | None = None
    ) -> None:
        self.exchange = exchange
        self.symbol = symbol
        self.duplicates = 0
        """Trades seen before, since this object was made."""
        self._horizon_minutes = horizon_minutes
        self._last_minute: int | None = None
        """The newest final minute with a trade that was in time."""
        self._final_before = 0
        self._open: dict[int, Minute] = {}
        self._final: dict[int, bytes] = {}
        self._changed: set[int] = set()
        if state is not None:
            version, self._last_minute, self._final_before, minutes = state
            if version == 1:  # which had them as tuples
                minutes = {at: _encode(minute) for at, minute in minutes.items()}
            for at, packed in minutes.items():
                if at < self._final_before:
                    self._final[at] = packed
                else:
                    self._open[at] = Minute.unpacked(packed)

    def fold(self, batch: TradeBatch) -> list[TakerVolume]:
        """Takes a batch in; the rows of the minutes that became final or were revised."""
        with decimal.localcontext(SUM):
            self._add(batch.runs)
            finished = self._finish(batch.final_before, batch.active)
            finished |= self._add_late(batch.late)
        rows = []
        for at in sorted(finished):
            rows.append(self._row(at))
            self._final[at] = self._open.pop(at).packed()
        self._changed -= finished
        self._forget(batch.final_before)
        return rows

    @property
    def has_estimates(self) -> bool:
        """Whether open minutes have changed since they were last written."""
        return bool(self._changed)

    def estimates(self) -> list[TakerVolume]:
        """The rows of the open minutes that have changed since they were last written."""
        rows = [self._row(minute) for minute in sorted(self._changed)]
        self._changed.clear()
        return rows

    def state(self) -> SymbolState:
        """A copy to store, plain values only."""
        still_open = {at: minute.packed() for at, minute in self._open.items()}
        return STATE_VERSION, self._last_minute, self._final_before, self._final | still_open

    def _add(self, runs: list[tuple[int, list[Trade]]]) -> None:
        for at, trades in runs:
            self._changed.add(at)
            self.duplicates += len(trades) - self._minute(at).add(trades)

    def _add_late(self, trades: list[Trade]) -> set[int]:
        touched = set()
        for trade in trades:
            at = trade.time_ns // MINUTE_NS
            minute = self._minute(at)
            added = minute.add([trade])
            minute.late += added
            self.duplicates += 1 - added
            touched.add(at)
        return touched

    def _minute(self, at: int) -> Minute:
        minute = self._open.get(at)
        if minute is None:
            packed = self._final.get(at)
            minute = self._open[at] = Minute.unpacked(packed) if packed else Minute()
        return minute

    def _finish(self, final_before: int, active: Iterable[int]) -> set[int]:
        """Makes minutes final; also quiet ones, in which the exchange was alive."""
        if final_before <= self._final_before:
            return set()
        finished = {at for at in self._open if at < final_before}
        last = self._last_minute
        for at in sorted(finished.union(active)):
            if at in finished:
                last = at
            elif last is not None and at - last <= QUIET_MINUTES:
                self._minute(at)
                finished.add(at)
        self._last_minute, self._final_before = last, final_before
        return finished

    def _forget(self, final_before: int) -> None:
        """Drops what no trade can revise any more; the reader refuses those."""
        oldest = final_before - self._horizon_minutes
        if self._final and next(iter(self._final)) < oldest:
            self._final = {at: packed for at, packed in self._final.items() if at >= oldest}

    def _row(self, at: int) -> TakerVolume:
        minute = self._open[at]
        is_final = at < self._final_before
        with decimal.localcontext(SUM):
            volume = minute.buy_volume + minute.sell_volume
            notional = minute.buy_notional + minute.sell_notional
            # The same price may come as 1.0 and as 1.00: which of them was first must not show.
            prices = minute.open, minute.high, minute.low, minute.close
            open_, high, low, close = (price and price.normalize() for price in prices)
        return TakerVolume(
            self.exchange,
            self.symbol,
            at * 60,
            minute.buy_volume,
            minute.sell_volume,
            minute.buy_notional,
            minute.sell_notional,
            minute.buy_count,
            minute.sell_count,
            open_,
            high,
            low,
            close,
            quotient(notional, volume) if volume else None,
            is_final,
            1 + minute.late if is_final else 0,
            minute.late,
            minute.duplicates,
        )
