"""Event time of one exchange in one partition: which trades are in time, which minutes are final.

Every decision falls for each trade at its place in the log, so it does not depend on how the log
was cut into batches; and the state is stored with the partition's offset, so it falls the same
way again after a restart.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeAlias, TypeVar

from dataflows.domain.trades.minutes import MINUTE_NS, QUIET_MINUTES, TradeBatch
from schemas.records import Trade
from schemas.times import NS_PER_MS, utc_text

ClockState: TypeAlias = tuple[int, int, list[int], dict[str, int]]

Origin = TypeVar("Origin")
NONE: Final[list[Trade]] = []


ByMinuteAndSymbol: TypeAlias = defaultdict[int, defaultdict[str, list[Trade]]]


def _by_minute_and_symbol() -> ByMinuteAndSymbol:
    return defaultdict(lambda: defaultdict(list))


class Limits(NamedTuple):
    """The times of ``pipeline.yaml`` in nanoseconds."""

    lateness_ns: int
    horizon_ns: int
    future_ns: int


class ExchangeClock:
    """Sorts the trades of one exchange by symbol and by whether they are in time.

    `final_before` counts minutes from the Unix epoch: those before it are final.

    Args:
        exchange: The exchange id, for the keys of its symbols.
        limits: How late is late, too late, and from the future.
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(self, exchange: str, limits: Limits, state: ClockState | None = None) -> None:
        self._exchange = exchange
        self._limits = limits
        self.newest_ns, self._told_final_before, active, last_minutes = state or (0, 0, [], {})
        self._active = set(active)
        self._last_minutes = dict(last_minutes)
        self._in_time = _by_minute_and_symbol()
        self._late: defaultdict[str, list[Trade]] = defaultdict(list)
        self._set_final_before(self._told_final_before)

    def state(self) -> ClockState:
        """A copy to store, plain values only; to be taken when everything was collected."""
        return self.newest_ns, self._final_before, sorted(self._active), dict(self._last_minutes)

    def take_all(self, trades: list[Trade], logged_ns: int) -> bool:
        """Takes trades in if all are of one minute and in time, and none moves the final minutes.

        So it is for all but two or three batches a minute; the others are for :meth:`take`.

        Args:
            trades: In the order of the log.
            logged_ns: When the first of their records to be logged was logged.
        """
        times_ns = [trade.time_ns for trade in trades]
        oldest_ns, newest_ns = min(times_ns), max(times_ns)
        at = newest_ns // MINUTE_NS
        if (
            oldest_ns < max(at * MINUTE_NS, self._final_from_ns)
            or newest_ns >= self._next_final_ns
            or newest_ns > logged_ns + self._limits.future_ns
        ):
            return False
        self.newest_ns = max(self.newest_ns, newest_ns)
        self._active.add(at)
        minute = self._in_time[at]
        for trade in trades:
            minute[trade.symbol].append(trade)
        return True

    def take(
        self, frames: Iterable[tuple[Origin, Iterable[Trade]]], logged_at: Callable[[Origin], int]
    ) -> list[tuple[Origin, str]]:
        """Takes the trades of frames in, in the order of the log; what it refuses, and why.

        The innermost loop of the reader: locals, which the rare ways out of it set anew.

        Args:
            frames: Each with whatever its caller knows it by.
            logged_at: When a frame's record was logged, against trades stamped in the future.
        """
        refused: list[tuple[Origin, str]] = []
        future_ns = self._limits.future_ns
        newest_ns, final_from_ns = self.newest_ns, self._final_from_ns
        next_final_ns = self._next_final_ns
        minute_start_ns = minute_end_ns = 0
        for origin, trades in frames:
            latest_ns = 0
            for trade in trades:
                time_ns = trade.time_ns
                if time_ns < final_from_ns:
                    if time_ns < final_from_ns - self._limits.horizon_ns:
                        refused.append((origin, self._too_late(trade)))
                    else:
                        self._late[trade.symbol].append(trade)
                    continue
                if time_ns > newest_ns:
                    if time_ns > latest_ns:
                        latest_ns = logged_at(origin) + future_ns
                        if time_ns > latest_ns:
                            refused.append((origin, self._future(trade, latest_ns - future_ns)))
                            continue
                    newest_ns = time_ns
                    if time_ns >= next_final_ns:
                        self._advance(time_ns)
                        final_from_ns, next_final_ns = self._final_from_ns, self._next_final_ns
                if not minute_start_ns <= time_ns < minute_end_ns:
                    at = time_ns // MINUTE_NS
                    minute_start_ns, minute_end_ns = at * MINUTE_NS, (at + 1) * MINUTE_NS
                    minute = self._in_time[at]
                    self._active.add(at)
                minute[trade.symbol].append(trade)
        self.newest_ns = newest_ns
        return refused

    def pass_time(self, silent_ns: int) -> None:
        """Moves event time on without a trade: the exchange has been silent for this long."""
        self._advance(self.newest_ns + silent_ns)

    def finish_until(self, end_ns: int) -> None:
        """Makes every minute before a time final, whatever trades there were."""
        self._advance(end_ns + self._limits.lateness_ns)

    def finish(self) -> None:
        """Makes every minute final that has a trade: there will be no more."""
        self._advance(self.newest_ns + MINUTE_NS + self._limits.lateness_ns)

    def collect(self) -> list[TradeBatch]:
        """A batch of each symbol that has news: trades, or minutes that became final."""
        self._note_last_minutes()
        in_time, late = self._in_time, self._late
        self._in_time, self._late = _by_minute_and_symbol(), defaultdict(list)
        active = self._newly_final()
        symbols = dict.fromkeys(symbol for minute in in_time.values() for symbol in minute)
        if late:
            symbols.update(dict.fromkeys(late))
        if active is not None:
            symbols = dict.fromkeys(self._last_minutes)
        return [
            TradeBatch(
                f"{self._exchange}:{symbol}",
                [(at, trades[symbol]) for at, trades in in_time.items() if symbol in trades],
                late.get(symbol, NONE),
                self._final_before,
                active or (),
                self._retires(symbol),
            )
            for symbol in symbols
        ]

    def _advance(self, watermark_ns: int) -> None:
        final_before = (watermark_ns - self._limits.lateness_ns) // MINUTE_NS
        if final_before > self._final_before:
            self._set_final_before(final_before)

    def _set_final_before(self, final_before: int) -> None:
        self._final_before = final_before
        self._final_from_ns = final_before * MINUTE_NS
        self._next_final_ns = self._final_from_ns + MINUTE_NS + self._limits.lateness_ns

    def _note_last_minutes(self) -> None:
        # A symbol that is only late lives on as well: more may come for the minutes it revised.
        for symbol in self._late:
            self._last_minutes[symbol] = max(self._final_before, self._last_minutes.get(symbol, 0))
        for at, minute in self._in_time.items():
            for symbol in minute:
                self._last_minutes[symbol] = max(at, self._last_minutes.get(symbol, 0))

    def _retires(self, symbol: str) -> bool:
        """Forgets a symbol that has been quiet for so long that nothing of it can show any more."""
        if self._last_minutes[symbol] >= self._final_before - QUIET_MINUTES:
            return False
        del self._last_minutes[symbol]
        return True

    def _newly_final(self) -> tuple[int, ...] | None:
        """Which of the minutes that became final were active; `None` where none became final."""
        if self._final_before <= self._told_final_before:
            return None
        active = tuple(sorted(at for at in self._active if at < self._final_before))
        self._active.difference_update(active)
        self._told_final_before = self._final_before
        return active

    def _future(self, trade: Trade, logged_ns: int) -> str:
        ahead_ms = self._limits.future_ns // NS_PER_MS
        return (
            f"future: trade {trade.trade_id} of {trade.symbol} at {utc_text(trade.time_ns)}, "
            f"expected at most {ahead_ms} ms after its record, {utc_text(logged_ns)}"
        )

    def _too_late(self, trade: Trade) -> str:
        oldest_ns = self._final_from_ns - self._limits.horizon_ns
        return (
            f"late: trade {trade.trade_id} of {trade.symbol} at {utc_text(trade.time_ns)}, "
            f"expected none before the correction horizon, {utc_text(oldest_ns)}"
        )
