"""What was really traded in one market: its trades, its minutes, its day."""

import copy
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from connectors.simulator.instruments import Instrument
from connectors.simulator.market import Fill

MINUTE_MS: Final = 60_000
# A day of minutes, and some: no exchange gives more at once.
MAX_MINUTES: Final = 1_600
MAX_WAITING: Final = 1_000
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

    def add(self, fills: Sequence[Fill], bases: Sequence[int]) -> None:
        """Count trades in; `bases` are their sizes in base units, of inverse contracts alone."""
        ticks = [fill[3] for fill in fills]
        self.high, self.low = max(self.high, *ticks), min(self.low, *ticks)
        self.close = ticks[-1]
        self.lots += sum([fill[4] for fill in fills])
        self.value += sum([fill[3] * fill[4] for fill in fills])
        bought = [fill for fill in fills if fill[2]]
        self.buy_lots += sum([fill[4] for fill in bought])
        self.buy_value += sum([fill[3] * fill[4] for fill in bought])
        self.count += len(fills)
        self.buy_count += len(bought)
        if bases:
            self.base += sum(bases)
            self.buy_base += sum([b for b, fill in zip(bases, fills, strict=True) if fill[2]])
        if self.first_id < 0:
            self.first_id = fills[0][0]
        self.last_id, self.last_ms = fills[-1][:2]

    def absorb(self, later: "Candle") -> None:
        """Count the trades of a later span in."""
        self.high, self.low = max(self.high, later.high), min(self.low, later.low)
        self.close = later.close
        self.lots += later.lots
        self.value += later.value
        self.base += later.base
        self.count += later.count
        self.buy_lots += later.buy_lots
        self.buy_value += later.buy_value
        self.buy_base += later.buy_base
        self.buy_count += later.buy_count
        self.last_id, self.last_ms = later.last_id, later.last_ms


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
        self._has_aggregates = instrument.exchange == "binance"
        self._aggregates = array("q")
        self._last_aggregate = 1_000_000, (0, 0)
        self._minutes: dict[int, Candle] = {}
        self._waiting: list[Fill] = []
        self._earlier = day = Candle(tick)
        day.lots, day.value = day_lots, day_lots * tick
        day.buy_lots, day.buy_value = day_lots // 2, day_lots // 2 * tick
        if self._is_inverse:
            day.base = instrument.base_units(tick, day_lots)[0]
        day.count = max(1, day_lots // 1_000)
        day.high, day.low = tick + tick // 50, tick - tick // 60
        day.open = tick - tick // 125
        self._running: Candle | None = None
        """The last minute with trades, not in `_earlier` yet."""
        self._day = day

    @property
    def minutes(self) -> dict[int, Candle]:
        """The minutes that had trades, by their start in milliseconds."""
        self._settle()
        return self._minutes

    @property
    def opening(self) -> int:
        """The price with which the day began."""
        return self._earlier.open

    @property
    def day(self) -> Candle:
        """The sums of the day before and of everything since."""
        self._settle()
        if self._running is None:
            return self._earlier
        if self._day.count != self._earlier.count + self._running.count:
            self._day = copy.copy(self._earlier)
            self._day.absorb(self._running)
        return self._day

    def __len__(self) -> int:
        self._settle()
        return len(self._ids)

    def add(self, fills: Sequence[Fill]) -> None:
        """Write down what was traded; it is summed up when somebody asks, many trades at once."""
        self._waiting += fills
        if len(self._waiting) >= MAX_WAITING:
            self._settle()

    def _settle(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._write(waiting)

    def _write(self, fills: Sequence[Fill]) -> None:
        first_ms, last_ms = fills[0][1], fills[-1][1]
        if first_ms // MINUTE_MS != last_ms // MINUTE_MS:
            edge_ms = first_ms - first_ms % MINUTE_MS + MINUTE_MS
            self._write([fill for fill in fills if fill[1] < edge_ms])
            self._write([fill for fill in fills if fill[1] >= edge_ms])
            return
        bases: list[int] = []
        if self._is_inverse:
            units = self._instrument.base_units
            bases = [units(fill[3], fill[4])[0] for fill in fills]
        self._minute(first_ms - first_ms % MINUTE_MS, fills[0][3]).add(fills, bases)
        signed = [fill[3] if fill[2] else -fill[3] for fill in fills]
        if self._has_aggregates:
            self._number(fills, signed)
        self._ids.extend([fill[0] for fill in fills])
        self._times_ms.extend([fill[1] for fill in fills])
        self._ticks.extend(signed)
        self._lots.extend([fill[4] for fill in fills])
        if len(self._ids) > 2 * self._max_trades:
            for column in self._columns():
                del column[: -self._max_trades]

    def _columns(self) -> list["array[int]"]:
        columns = [self._ids, self._times_ms, self._ticks, self._lots]
        return [*columns, self._aggregates] if self._has_aggregates else columns

    def _minute(self, start_ms: int, tick: int) -> Candle:
        minute = self._minutes.get(start_ms)
        if minute is None:
            minute = self._minutes[start_ms] = Candle(tick)
            if self._running is not None:
                self._earlier.absorb(self._running)
            self._running = minute
            if len(self._minutes) > MAX_MINUTES:
                del self._minutes[min(self._minutes)]
        return minute

    def _number(self, fills: Sequence[Fill], signed: Sequence[int]) -> None:
        """Give the parts of one order at one price one number."""
        number, before = self._last_aggregate
        for fill, tick in zip(fills, signed, strict=True):
            if before != (fill[1], tick):
                number, before = number + 1, (fill[1], tick)
            self._aggregates.append(number)
        self._last_aggregate = number, before

    def restart(self) -> None:
        """Forget the trades: the exchange counts its ids anew, and has no older ones."""
        self._settle()
        for column in self._columns():
            del column[:]

    def drop(self, trade_id: int) -> None:
        """Forget one trade, so that no history has it; the sums keep it."""
        self._settle()
        at = bisect_left(self._ids, trade_id)
        if at < len(self._ids) and self._ids[at] == trade_id:
            for column in self._columns():
                del column[at]

    def _fill(self, at: int) -> Fill:
        tick = self._ticks[at]
        return self._ids[at], self._times_ms[at], tick > 0, abs(tick), self._lots[at]

    def slice(self, start: int, end: int) -> list[Fill]:
        """Return the trades at these positions, oldest first."""
        self._settle()
        return [self._fill(at) for at in range(max(0, start), min(end, len(self._ids)))]

    def last(self, count: int) -> list[Fill]:
        """Return the latest trades, oldest first."""
        self._settle()
        return self.slice(len(self._ids) - count, len(self._ids))

    def at_time(self, time_ms: int) -> int:
        """Return the position of the first trade that is not before a time."""
        self._settle()
        return bisect_left(self._times_ms, time_ms)

    def after_time(self, time_ms: int) -> int:
        """Return the position of the first trade after a time."""
        self._settle()
        return bisect_right(self._times_ms, time_ms)

    def at_id(self, trade_id: int) -> int:
        """Return the position of the first trade whose id is not below this one."""
        self._settle()
        return bisect_left(self._ids, trade_id)

    def at_aggregate(self, aggregate_id: int) -> int:
        """Return the position of the first trade of this aggregate, or of the next one."""
        self._settle()
        return bisect_left(self._aggregates, aggregate_id)

    def aggregates(self, start: int, end: int, limit: int) -> list[tuple[int, list[Fill]]]:
        """Return the trades of these positions, those of one order and price together."""
        self._settle()
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
        self._settle()
        at = bisect_left(self._ids, trade_id)
        if at < len(self._ids) and self._ids[at] == trade_id:
            return self._aggregates[at]
        return 10**12 + trade_id  # of a trade that never was

    def candles(self, start_ms: int, end_ms: int) -> list[tuple[int, Candle]]:
        """Return the minutes of `[start, end)`, oldest first; one without trades stands still."""
        self._settle()
        starts = sorted(self._minutes)
        if not starts:
            return []
        found: list[tuple[int, Candle]] = []
        close = self._minutes[starts[0]].open
        first = max(start_ms - start_ms % MINUTE_MS, starts[0])
        for minute_ms in range(starts[0], min(end_ms, starts[-1] + MINUTE_MS), MINUTE_MS):
            candle = self._minutes.get(minute_ms) or Candle(close)
            close = candle.close
            if minute_ms >= first and len(found) < _DAY_MINUTES:
                found.append((minute_ms, candle))
        return found
