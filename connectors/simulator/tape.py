"""What was really traded in one market: its trades, its minutes, its day."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from connectors.simulator.instruments import Instrument
from connectors.simulator.market import Fill

MINUTE_MS: Final = 60_000
# A day of minutes, and some: no exchange gives more at once.
MAX_MINUTES: Final = 1_600
_DAY_MINUTES: Final = 1_440


class Candle:
    """The sums of a span of time, in ticks and lots."""

    __slots__ = (
        "base",
        "buy_base",
        "buy_count",
        "buy_lots",
        "buy_value",
        "close",
        "count",
        "first_id",
        "high",
        "last_id",
        "last_ms",
        "lots",
        "low",
        "open",
        "value",
    )

    def __init__(self, tick: int) -> None:
        self.open = self.high = self.low = self.close = tick
        self.lots = self.buy_lots = 0
        self.value = self.buy_value = 0
        """Ticks times lots, which is the turnover in the quote currency but for its scale."""
        self.base = self.buy_base = 0
        """Base units of inverse contracts, in the decimals of `Instrument.base_units`."""
        self.count = self.buy_count = 0
        self.first_id = self.last_id = -1
        self.last_ms = 0

    def add(self, fill: Fill, base: int) -> None:
        """Count one trade in."""
        trade_id, time_ms, buys, tick, lots = fill
        if tick > self.high:
            self.high = tick
        elif tick < self.low:
            self.low = tick
        self.close = tick
        value = tick * lots
        self.lots += lots
        self.value += value
        self.base += base
        self.count += 1
        if buys:
            self.buy_lots += lots
            self.buy_value += value
            self.buy_base += base
            self.buy_count += 1
        if self.first_id < 0:
            self.first_id = trade_id
        self.last_id = trade_id
        self.last_ms = time_ms


class Tape:
    """The trades of one market, oldest first.

    Args:
        instrument: The market.
        tick: Its price before the first trade.
        day_lots: What it traded in the day before the simulation began.
        max_trades: How many are kept; older ones are only in the truth's file.
    """

    def __init__(self, instrument: Instrument, tick: int, day_lots: int, max_trades: int) -> None:
        self._instrument = instrument
        self._is_inverse = instrument.product == "inverse"
        self._max_trades = max_trades
        self._ids = array("q")
        self._times_ms = array("q")
        self._ticks = array("q")  # negative: the taker sold
        self._lots = array("q")
        self._aggregates = array("q")
        self.minutes: dict[int, Candle] = {}
        """By the start of the minute, in milliseconds."""
        self.day = Candle(tick)
        self.day.lots, self.day.value = day_lots, day_lots * tick
        self.day.buy_lots, self.day.buy_value = day_lots // 2, day_lots // 2 * tick
        if self._is_inverse:
            self.day.base = instrument.base_units(tick, day_lots)[0]
        self.day.count = max(1, day_lots // 1_000)
        self.day.high, self.day.low = tick + tick // 50, tick - tick // 60
        self.day.open = tick - tick // 125

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, fills: Sequence[Fill]) -> None:
        """Write down what was traded."""
        for fill in fills:
            trade_id, time_ms, buys, tick, lots = fill
            base = self._instrument.base_units(tick, lots)[0] if self._is_inverse else 0
            start_ms = time_ms - time_ms % MINUTE_MS
            minute = self.minutes.get(start_ms)
            if minute is None:
                minute = self.minutes[start_ms] = Candle(tick)
                if len(self.minutes) > MAX_MINUTES:
                    del self.minutes[min(self.minutes)]
            minute.add(fill, base)
            self.day.add(fill, base)
            signed = tick if buys else -tick
            self._aggregates.append(self._aggregate_of(time_ms, signed))
            self._ids.append(trade_id)
            self._times_ms.append(time_ms)
            self._ticks.append(signed)
            self._lots.append(lots)
        if len(self._ids) > 2 * self._max_trades:
            for column in (self._ids, self._times_ms, self._ticks, self._lots, self._aggregates):
                del column[: -self._max_trades]

    def _aggregate_of(self, time_ms: int, signed_tick: int) -> int:
        """Return the number of the order's part at one price, which trades may share."""
        if not self._aggregates:
            return 1_000_000
        last = self._aggregates[-1]
        is_same = self._times_ms[-1] == time_ms and self._ticks[-1] == signed_tick
        return last if is_same else last + 1

    def restart(self) -> None:
        """Forget the trades: the exchange counts its ids anew, and has no older ones."""
        for column in (self._ids, self._times_ms, self._ticks, self._lots, self._aggregates):
            del column[:]

    def drop(self, trade_id: int) -> None:
        """Forget one trade, so that no history has it; the sums keep it."""
        at = bisect_left(self._ids, trade_id)
        if at < len(self._ids) and self._ids[at] == trade_id:
            for column in (self._ids, self._times_ms, self._ticks, self._lots, self._aggregates):
                del column[at]

    def _fill(self, at: int) -> Fill:
        tick = self._ticks[at]
        return self._ids[at], self._times_ms[at], tick > 0, abs(tick), self._lots[at]

    def slice(self, start: int, end: int) -> list[Fill]:
        """Return the trades at these positions, oldest first."""
        return [self._fill(at) for at in range(max(0, start), min(end, len(self._ids)))]

    def last(self, count: int) -> list[Fill]:
        """Return the latest trades, oldest first."""
        return self.slice(len(self._ids) - count, len(self._ids))

    def at_time(self, time_ms: int) -> int:
        """Return the position of the first trade that is not before a time."""
        return bisect_left(self._times_ms, time_ms)

    def after_time(self, time_ms: int) -> int:
        """Return the position of the first trade after a time."""
        return bisect_right(self._times_ms, time_ms)

    def at_id(self, trade_id: int) -> int:
        """Return the position of the first trade whose id is not below this one."""
        return bisect_left(self._ids, trade_id)

    def at_aggregate(self, aggregate_id: int) -> int:
        """Return the position of the first trade of this aggregate, or of the next one."""
        return bisect_left(self._aggregates, aggregate_id)

    def aggregates(self, start: int, end: int, limit: int) -> list[tuple[int, list[Fill]]]:
        """Return the trades of these positions, those of one order and price together."""
        found: list[tuple[int, list[Fill]]] = []
        for at in range(max(0, start), min(end, len(self._ids))):
            aggregate_id = self._aggregates[at]
            if found and found[-1][0] == aggregate_id:
                found[-1][1].append(self._fill(at))
            elif len(found) == limit:
                break
            else:
                found.append((aggregate_id, [self._fill(at)]))
        return found

    def aggregate_of_id(self, trade_id: int) -> int:
        """Return the number of the aggregate that a trade belongs to."""
        at = bisect_left(self._ids, trade_id)
        if at < len(self._ids) and self._ids[at] == trade_id:
            return self._aggregates[at]
        return 10**12 + trade_id  # of a trade that never was

    def candles(self, start_ms: int, end_ms: int) -> list[tuple[int, Candle]]:
        """Return the minutes of `[start, end)`, oldest first; one without trades stands still."""
        starts = sorted(self.minutes)
        if not starts:
            return []
        found: list[tuple[int, Candle]] = []
        close = self.minutes[starts[0]].open
        first = max(start_ms - start_ms % MINUTE_MS, starts[0])
        for minute_ms in range(starts[0], min(end_ms, starts[-1] + MINUTE_MS), MINUTE_MS):
            candle = self.minutes.get(minute_ms) or Candle(close)
            close = candle.close
            if minute_ms >= first and len(found) < _DAY_MINUTES:
                found.append((minute_ms, candle))
        return found
