"""The trades of one exchange in one partition, sorted by symbol, minute, and what is late.

Every decision falls for each trade at its place in the log and is stored with the offset, so that
it falls the same way again after a restart.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, TypeVar

from dataflows.domain.coverage import Coverage, concerns
from dataflows.domain.event_time import EventTime, Limits, future_problem
from dataflows.domain.trades.minutes import SymbolCoverage, TradeBatch
from schemas.feed_status import FeedStatus
from schemas.records import Trade
from schemas.times import NS_PER_MINUTE, NS_PER_MS, utc_text

Origin = TypeVar("Origin")
ByMinuteAndSymbol: TypeAlias = defaultdict[int, defaultdict[str, list[Trade]]]

_NONE: Final[list[Trade]] = []


def _by_minute_and_symbol() -> ByMinuteAndSymbol:
    return defaultdict(lambda: defaultdict(list))


class TradeSorter:
    """Sorts the trades of one exchange.

    Args:
        exchange: The exchange id, for the keys of its symbols.
        partition: The partition that is read.
        limits: How late is late, too late, and from the future.
        time: How far the exchange has come.
        coverage: What the collector said of its trade feeds.
        adopts: Whether symbols that the collector named, and that have not traded yet, are this
            partition's.
    """

    def __init__(
        self,
        exchange: str,
        partition: int,
        limits: Limits,
        time: EventTime,
        coverage: Coverage,
        *,
        adopts: bool = True,
    ) -> None:
        self.time = time
        self._exchange = exchange
        self._partition = partition
        self._limits = limits
        self._coverage = coverage
        self._adopts = adopts
        self._in_time = _by_minute_and_symbol()
        self._late: defaultdict[str, list[Trade]] = defaultdict(list)
        self._to_tell: set[str] = set()
        self._active_late: set[int] = set()

    def take_run(self, trades: list[Trade], logged_ns: int) -> bool:
        """Take trades in if all are of one minute and in time, and none moves the final minutes.

        That is so for all but two or three batches a minute; the others are for
        :meth:`take_frames`, which decides for each trade.

        Args:
            trades: In the order of the log.
            logged_ns: When the first of their records to be logged was logged.
        """
        time = self.time
        times_ns = [trade.time_ns for trade in trades]
        oldest_ns, newest_ns = min(times_ns), max(times_ns)
        minute_index = newest_ns // NS_PER_MINUTE
        if (
            oldest_ns < max(minute_index * NS_PER_MINUTE, time.final_from_ns)
            or newest_ns >= time.next_final_ns
            or newest_ns > logged_ns + self._limits.future_ns
        ):
            return False
        time.newest_ns = max(time.newest_ns, newest_ns)
        time.began = time.began or minute_index
        time.active.add(minute_index)
        minute = self._in_time[minute_index]
        for trade in trades:
            minute[trade.symbol].append(trade)
        return True

    def take_frames(
        self, frames: Iterable[tuple[Origin, Iterable[Trade]]], logged_at: Callable[[Origin], int]
    ) -> list[tuple[Origin, str]]:
        """Take the trades of frames in, in the order of the log; return what is refused, and why.

        The innermost loop of the reader works on locals, which its rare ways out set anew.

        Args:
            frames: Each with whatever its caller knows it by.
            logged_at: When a frame's record was logged, against trades stamped in the future.
        """
        refused: list[tuple[Origin, str]] = []
        time, future_ns = self.time, self._limits.future_ns
        newest_ns, final_from_ns = time.newest_ns, time.final_from_ns
        next_final_ns = time.next_final_ns
        minute_start_ns = minute_end_ns = 0
        for origin, trades in frames:
            latest_ns = 0
            for trade in trades:
                time_ns = trade.time_ns
                if time_ns < final_from_ns:
                    if time_ns < time.oldest_ns:
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
                    if time_ns >= next_final_ns:
                        self._advance(time_ns)
                        final_from_ns, next_final_ns = time.final_from_ns, time.next_final_ns
                    newest_ns = time_ns
                if not minute_start_ns <= time_ns < minute_end_ns:
                    minute_index = time_ns // NS_PER_MINUTE
                    minute_start_ns = minute_index * NS_PER_MINUTE
                    minute_end_ns = minute_start_ns + NS_PER_MINUTE
                    minute = self._in_time[minute_index]
                    time.began = time.began or minute_index
                    time.active.add(minute_index)
                minute[trade.symbol].append(trade)
        time.newest_ns = newest_ns
        return refused

    def note(self, status: FeedStatus) -> None:
        """Note a record of `feed-status` that the coverage knows already: symbols are told."""
        if self._adopts:
            since = max(self.time.final_before, status.time_ms * NS_PER_MS // NS_PER_MINUTE)
            for symbol in status.symbols or ():
                if self._coverage.is_expected(symbol):
                    self.time.last_minutes.setdefault(symbol, since)
        self._to_tell |= {s for s in self.time.last_minutes if concerns(status, s)}

    def note_active(self, minutes: set[int]) -> None:
        """Note minutes in which the exchange traded in another partition."""
        time = self.time
        time.active |= {at for at in minutes if at >= time.final_before}
        self._active_late |= {at for at in minutes if time.known_from <= at < time.final_before}

    def finish_until(self, end_ns: int) -> None:
        """Make every minute before a time final, whatever trades there were."""
        self.time.advance(end_ns + self._limits.lateness_ns)

    def collect(self, *, is_live: bool = True) -> list[TradeBatch]:
        """Return a batch for each symbol that has news: trades, closed minutes, coverage.

        Args:
            is_live: The reader has caught up: estimates are worth their cost.
        """
        time = self.time
        self._note_last_minutes()
        in_time, late, to_tell = self._in_time, self._late, self._to_tell
        self._in_time, self._late = _by_minute_and_symbol(), defaultdict(list)
        if time.began:
            self._to_tell = set()
        else:  # what is known of symbols counts from where the log begins
            to_tell = set()
        active = time.report()
        if self._active_late:
            active = tuple(sorted({*(active or ()), *self._active_late}))
            self._active_late = set()
        symbols: Iterable[str] = time.last_minutes
        if active is None:
            symbols = {
                **dict.fromkeys(symbol for minute in in_time.values() for symbol in minute),
                **dict.fromkeys(late),
                **dict.fromkeys(to_tell),
            }
        elif self._adopts:
            self._keep_expected()
        return [
            TradeBatch(
                f"{self._exchange}:{symbol}",
                [
                    (minute_index, trades[symbol])
                    for minute_index, trades in in_time.items()
                    if symbol in trades
                ],
                late.get(symbol, _NONE),
                time.final_before,
                time.closed_before,
                self._partition,
                active or (),
                self._coverage_of(symbol) if symbol in to_tell else None,
                is_live,
                time.retire(symbol),
            )
            for symbol in list(symbols)
        ]

    def _keep_expected(self) -> None:
        """Keep symbols alive that the collector says it would hear of."""
        last_minutes = self.time.last_minutes
        for symbol in self._coverage.expected():
            if symbol in last_minutes:
                last_minutes[symbol] = max(last_minutes[symbol], self.time.final_before)

    def _coverage_of(self, symbol: str) -> SymbolCoverage:
        timeline = self._coverage.timeline(symbol)
        timeline.forget(self.time.known_from)
        return timeline.state(), self.time.began if self._coverage.names(symbol) else 0

    def _advance(self, time_ns: int) -> None:
        """Move event time on; after a loss, mark the minutes of which records may be gone."""
        if not self.time.has_loss:
            self.time.advance(time_ns)
            return
        lost_from_ns, lost_until_ns = self.time.resume(time_ns)
        self._coverage.lose(lost_from_ns // NS_PER_MS - 1, lost_until_ns // NS_PER_MS + 1)
        self._to_tell |= self.time.last_minutes.keys()
        self.time.advance(time_ns)

    def _note_last_minutes(self) -> None:
        last_minutes, is_known = self.time.last_minutes, self._coverage.is_known
        # A symbol that is only late lives on as well: more may come for the minutes it revised.
        news = [(self.time.final_before, symbol) for symbol in self._late]
        news += [(at, symbol) for at, minute in self._in_time.items() for symbol in minute]
        for minute_index, symbol in news:
            last = last_minutes.get(symbol)
            if last is None:
                last_minutes[symbol] = minute_index
                if is_known:
                    self._to_tell.add(symbol)
            elif minute_index > last:
                last_minutes[symbol] = minute_index

    def _future(self, trade: Trade, logged_ns: int) -> str:
        what = f"trade {trade.trade_id} of {trade.symbol}"
        return future_problem(what, trade.time_ns, logged_ns, self._limits.future_ns)

    def _too_late(self, trade: Trade) -> str:
        if self.time.oldest_ns > self.time.final_from_ns - self._limits.horizon_ns:
            bound = "expected none of a minute that is not known any more, those before"
        else:
            bound = "expected none before the correction horizon,"
        return (
            f"late: trade {trade.trade_id} of {trade.symbol} at {utc_text(trade.time_ns)}, "
            f"{bound} {utc_text(self.time.oldest_ns)}"
        )
