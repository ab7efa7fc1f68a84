"""The minutes of one symbol: trades are folded in, live, final and revised rows come out.

A minute is *open* until the exchange's watermark has passed its end by the lateness; then it is
*final*, and each trade that is late for it makes a *revision*, until the correction horizon.
What is late is decided by the reader of the partition (:mod:`dataflows.domain.trade_reader`),
for each trade at its place in the log: the rows do not depend on how it was cut into batches.
"""

import decimal
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from dataflows.domain.seen import SeenIds, SeenState
from schemas.numbers import SUM, quotient
from schemas.records import TakerVolume, Trade, TradeId

MINUTE_NS: Final = 60_000_000_000
ZERO: Final = Decimal(0)
NEVER_NS: Final = 1 << 63
STATE_VERSION: Final = 1


class TradeBatch(msgspec.Struct, frozen=True, gc=False):
    """What one batch of a partition means for one symbol."""

    key: str
    """`<exchange>:<symbol>`"""
    trades: list[Trade]
    """Those in time."""
    late: list[Trade]
    """Those whose minute was final when they came, and within the correction horizon."""
    final_before: int
    """Minutes before this one are final now; minutes count from the Unix epoch."""
    active: tuple[int, ...] = ()
    """Which of the minutes that have just become final had a trade of any symbol of the exchange:
    in those, silence is a row of zeros, in others it may be an outage."""
    retired: bool = False
    """The symbol was silent for so long that its state is given up."""


MinuteState: TypeAlias = tuple[
    Decimal, Decimal, Decimal, Decimal, int, int,
    Decimal | None, Decimal | None, Decimal | None, Decimal | None,
    int, int, TradeId, TradeId, int, int, SeenState,
]  # fmt: skip
SymbolState: TypeAlias = tuple[int, int | None, int, dict[int, MinuteState]]


class Minute:
    """Sums of one minute, exact, and the same whatever the order of the trades."""

    __slots__ = (
        "buy_count", "buy_notional", "buy_volume", "close", "duplicates", "first_id", "first_ns",
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

    def add(self, trades: Iterable[Trade]) -> int:
        """Folds trades of this minute in, under the :data:`SUM` context; how many were new.

        The innermost loop of the dataflow: locals, and no call for a trade that is the next one.
        """
        is_new, added = self.seen.add, 0
        buy_volume, buy_notional, buy_count = self.buy_volume, self.buy_notional, 0
        sell_volume, sell_notional = self.sell_volume, self.sell_notional
        first_ns, last_ns, high, low = self.first_ns, self.last_ns, self.high, self.low
        for trade in trades:
            if not is_new(trade.trade_id):
                self.duplicates += 1
                continue
            added += 1
            if trade.taker_buys:
                buy_volume += trade.size
                buy_notional += trade.notional
                buy_count += 1
            else:
                sell_volume += trade.size
                sell_notional += trade.notional
            price = trade.price
            if high is None or price > high:
                high = price
            if low is None or price < low:
                low = price
            time_ns = trade.time_ns
            if time_ns >= last_ns and (
                time_ns > last_ns or _is_after(trade.trade_id, self.last_id)
            ):
                last_ns, self.last_id, self.close = time_ns, trade.trade_id, price
            if time_ns <= first_ns and (
                time_ns < first_ns or _is_after(self.first_id, trade.trade_id)
            ):
                first_ns, self.first_id, self.open = time_ns, trade.trade_id, price
        self.buy_volume, self.buy_notional = buy_volume, buy_notional
        self.sell_volume, self.sell_notional = sell_volume, sell_notional
        self.buy_count += buy_count
        self.sell_count += added - buy_count
        self.first_ns, self.last_ns, self.high, self.low = first_ns, last_ns, high, low
        return added

    def state(self) -> MinuteState:
        """A copy to store, plain values only."""
        return (
            self.buy_volume, self.sell_volume, self.buy_notional, self.sell_notional,
            self.buy_count, self.sell_count, self.open, self.high, self.low, self.close,
            self.first_ns, self.last_ns, self.first_id, self.last_id, self.late, self.duplicates, self.seen.state(),
        )  # fmt: skip

    @classmethod
    def of_state(cls, state: MinuteState) -> "Minute":
        """The minute that a state was taken of."""
        minute = cls()
        (
            minute.buy_volume, minute.sell_volume, minute.buy_notional, minute.sell_notional,
            minute.buy_count, minute.sell_count, minute.open, minute.high, minute.low, minute.close,
            minute.first_ns, minute.last_ns, minute.first_id, minute.last_id, minute.late, minute.duplicates, seen,
        ) = state  # fmt: skip
        minute.seen = SeenIds(seen)
        return minute


def _is_after(one: TradeId, other: TradeId) -> bool:
    """Which of two trades of the same time is the later one: by id, numbers before texts."""
    if type(one) is type(other):
        return one > other  # type: ignore[operator]
    return isinstance(one, str)


def _by_minute(trades: list[Trade]) -> Iterator[tuple[int, list[Trade]]]:
    """Runs of trades of the same minute; nearly always there is one."""
    start = 0
    while start < len(trades):
        at = trades[start].time_ns // MINUTE_NS
        start_ns, end_ns = at * MINUTE_NS, (at + 1) * MINUTE_NS
        end = start + 1
        while end < len(trades) and start_ns <= trades[end].time_ns < end_ns:
            end += 1
        yield at, trades[start:end] if end - start < len(trades) else trades
        start = end


class SymbolMinutes:
    """All minutes of one symbol that may still change.

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
        self._first_minute: int | None = None
        self._final_before = 0
        self._minutes: dict[int, Minute] = {}
        self._changed: set[int] = set()
        if state is not None:
            _, self._first_minute, self._final_before, minutes = state
            self._minutes = {at: Minute.of_state(minute) for at, minute in minutes.items()}

    def fold(self, batch: TradeBatch) -> list[TakerVolume]:
        """Takes a batch in; the rows of the minutes that became final or were revised."""
        with decimal.localcontext(SUM):
            self._add(batch.trades)
            finished = self._finish(batch.final_before, batch.active)
            finished |= self._add_late(batch.late)
        rows = [self._row(minute) for minute in sorted(finished)]
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
        minutes = {at: minute.state() for at, minute in self._minutes.items()}
        return STATE_VERSION, self._first_minute, self._final_before, minutes

    def _add(self, trades: list[Trade]) -> None:
        for at, run in _by_minute(trades):
            self._changed.add(at)
            if self._first_minute is None or at < self._first_minute:
                self._first_minute = at
            self.duplicates += len(run) - self._minute(at).add(run)

    def _add_late(self, trades: list[Trade]) -> set[int]:
        touched = set()
        for at, run in _by_minute(trades):
            minute = self._minute(at)
            added = minute.add(run)
            minute.late += added
            self.duplicates += len(run) - added
            touched.add(at)
        return touched

    def _minute(self, at: int) -> Minute:
        minute = self._minutes.get(at)
        if minute is None:
            minute = self._minutes[at] = Minute()
        return minute

    def _finish(self, final_before: int, active: Iterable[int]) -> set[int]:
        """Makes minutes final; also quiet ones, in which the exchange was alive."""
        if final_before <= self._final_before:
            return set()
        finished = {at for at in self._minutes if self._final_before <= at < final_before}
        for at in active:
            if self._first_minute is not None and self._first_minute < at < final_before:
                self._minute(at)
                finished.add(at)
        self._final_before = final_before
        return finished

    def _forget(self, final_before: int) -> None:
        """Drops what no trade can revise any more; the reader refuses those."""
        oldest = final_before - self._horizon_minutes
        if self._minutes and next(iter(self._minutes)) < oldest:
            self._minutes = {at: m for at, m in self._minutes.items() if at >= oldest}

    def _row(self, at: int) -> TakerVolume:
        minute = self._minutes[at]
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
