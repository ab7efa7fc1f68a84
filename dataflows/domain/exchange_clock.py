"""Event time of one exchange in one partition: which trades are in time, which minutes are final.

Every decision falls for each trade at its place in the log, so it does not depend on how the log
was cut into batches; and the state is stored with the partition's offset, so it falls the same
way again after a restart.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeAlias, TypeVar

from dataflows.domain.minutes import MINUTE_NS, TradeBatch
from schemas.records import Trade
from schemas.times import NS_PER_MS, NS_PER_SECOND

# A symbol without a trade for a day gets no more rows of zeros, and its state is given up.
RETIRED_AFTER_MINUTES: Final = 24 * 60

ClockState: TypeAlias = tuple[int, int, list[int], dict[str, int]]

Origin = TypeVar("Origin")
NONE: Final[list[Trade]] = []


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
        self._newest_ns, self._told_final_before, active, last_minutes = state or (0, 0, [], {})
        self._active = set(active)
        self._last_minutes = dict(last_minutes)
        self._in_time: defaultdict[str, list[Trade]] = defaultdict(list)
        self._late: defaultdict[str, list[Trade]] = defaultdict(list)
        self._told: list[TradeBatch] = []
        self._set_final_before(self._told_final_before)

    def state(self) -> ClockState:
        """A copy to store, plain values only; to be taken when everything was collected."""
        return self._newest_ns, self._final_before, sorted(self._active), dict(self._last_minutes)

    def take(
        self, frames: Iterable[tuple[Origin, list[Trade]]], now_ns: int
    ) -> list[tuple[Origin, str]]:
        """Takes the trades of frames in, in the order of the log; what it refuses, and why.

        The innermost loop of the reader: locals, which the rare ways out of it set anew.

        Args:
            frames: Each with whatever its caller knows it by.
            now_ns: The wall clock, against trades stamped in the future.
        """
        refused: list[tuple[Origin, str]] = []
        latest_ns = now_ns + self._limits.future_ns
        newest_ns, in_time = self._newest_ns, self._in_time
        final_from_ns, next_final_ns = self._final_from_ns, self._next_final_ns
        minute_start_ns = minute_end_ns = 0
        for origin, trades in frames:
            for trade in trades:
                time_ns = trade.time_ns
                if time_ns > newest_ns:
                    if time_ns > latest_ns:
                        refused.append((origin, self._future(trade, now_ns)))
                        continue
                    newest_ns = time_ns
                    if time_ns >= next_final_ns:
                        self._advance(time_ns)
                        in_time = self._in_time
                        final_from_ns, next_final_ns = self._final_from_ns, self._next_final_ns
                elif time_ns < final_from_ns:
                    if time_ns < final_from_ns - self._limits.horizon_ns:
                        refused.append((origin, self._too_late(trade)))
                    else:
                        self._late[trade.symbol].append(trade)
                    continue
                if not minute_start_ns <= time_ns < minute_end_ns:
                    at = time_ns // MINUTE_NS
                    minute_start_ns, minute_end_ns = at * MINUTE_NS, (at + 1) * MINUTE_NS
                    self._active.add(at)
                in_time[trade.symbol].append(trade)
        self._newest_ns = newest_ns
        return refused

    def pass_time(self, silent_ns: int) -> None:
        """Moves event time on without a trade: the exchange has been silent for this long."""
        self._advance(self._newest_ns + silent_ns)

    def finish(self) -> None:
        """Makes every minute final that has a trade: there will be no more."""
        self._advance(self._newest_ns + MINUTE_NS + self._limits.lateness_ns)

    def collect(self) -> list[TradeBatch]:
        """What has come since the last call, by symbol."""
        self._tell()
        told, self._told = self._told, []
        return told

    def _advance(self, watermark_ns: int) -> None:
        final_before = (watermark_ns - self._limits.lateness_ns) // MINUTE_NS
        if final_before <= self._final_before:
            return
        self._set_final_before(final_before)
        oldest = final_before - RETIRED_AFTER_MINUTES
        if any(self._last_minute(symbol) < oldest for symbol in self._last_minutes):
            self._tell()  # now, so that no trade of a later life of the symbol is among it

    def _set_final_before(self, final_before: int) -> None:
        self._final_before = final_before
        self._final_from_ns = final_before * MINUTE_NS
        self._next_final_ns = self._final_from_ns + MINUTE_NS + self._limits.lateness_ns

    def _last_minute(self, symbol: str) -> int:
        trades = self._in_time.get(symbol)
        return trades[-1].time_ns // MINUTE_NS if trades else self._last_minutes[symbol]

    def _tell(self) -> None:
        """Makes a batch of each symbol that has news: trades, or minutes that became final."""
        in_time, late = self._in_time, self._late
        for symbol in late:
            self._last_minutes.setdefault(symbol, self._final_before)
        for symbol, trades in in_time.items():
            self._last_minutes[symbol] = trades[-1].time_ns // MINUTE_NS
        active = self._newly_final()
        symbols = [*in_time, *(symbol for symbol in late if symbol not in in_time)]
        if active is not None:
            symbols = list(self._last_minutes)
        oldest = self._final_before - RETIRED_AFTER_MINUTES
        for symbol in symbols:
            retired = self._last_minutes[symbol] < oldest
            if retired:
                del self._last_minutes[symbol]
            self._told.append(
                TradeBatch(
                    f"{self._exchange}:{symbol}",
                    in_time.get(symbol, NONE),
                    late.get(symbol, NONE),
                    self._final_before,
                    active or (),
                    retired,
                )
            )
        self._in_time, self._late = defaultdict(list), defaultdict(list)

    def _newly_final(self) -> tuple[int, ...] | None:
        """Which of the minutes that became final were active; `None` where none became final."""
        if self._final_before <= self._told_final_before:
            return None
        active = tuple(sorted(at for at in self._active if at < self._final_before))
        self._active.difference_update(active)
        self._told_final_before = self._final_before
        return active

    def _future(self, trade: Trade, now_ns: int) -> str:
        return (
            f"future: trade {trade.trade_id} of {trade.symbol} at {_utc(trade.time_ns)}, expected "
            f"at most {self._limits.future_ns // NS_PER_MS} ms after now, {_utc(now_ns)}"
        )

    def _too_late(self, trade: Trade) -> str:
        oldest_ns = self._final_from_ns - self._limits.horizon_ns
        return (
            f"late: trade {trade.trade_id} of {trade.symbol} at {_utc(trade.time_ns)}, expected "
            f"none before the correction horizon, {_utc(oldest_ns)}"
        )


def _utc(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // NS_PER_SECOND, UTC).isoformat()
