"""The minutes of one symbol: trades are folded in, live, final and revised rows come out.

A minute is *open* until the exchange's watermark has passed its end by the lateness; then it is
*final*, and each trade that is late for it makes a *revision*, until the correction horizon.
What is late is decided by the reader of the partition (:mod:`dataflows.domain.trades.reader`),
for each trade at its place in the log: neither batches nor kills nor silences show in the rows.

A silence of the exchange *closes* a minute early, by the wall clock: its row is published as
final. Trades that come for it later and are in time by the log change the row, not `late_trades`.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import msgspec

from dataflows.domain.coverage import Span, Timeline
from dataflows.domain.event_time import QUIET_MINUTES
from dataflows.domain.states import checked
from dataflows.domain.trades.minute import ZERO, Minute, MinuteState, pack
from schemas.numbers import exact, quotient
from schemas.records import TakerVolume, Trade
from schemas.times import NS_PER_MINUTE

STATE_VERSION: Final = 3
SECONDS_PER_MINUTE: Final = 60

SymbolCoverage: TypeAlias = tuple[list[Span], int]
"""What the collector said of a symbol's stream, and the minute from which on a symbol that it
named has rows; 0 for one that it did not name."""


class TradeBatch(msgspec.Struct, frozen=True, gc=False):
    """What one batch of a partition means for one symbol; minutes count from the Unix epoch."""

    key: str
    """`<exchange>:<symbol>`"""
    runs: list[tuple[int, list[Trade]]]
    """Those in time, by their minute."""
    late: list[Trade]
    """Those whose minute was final when they came, and within the correction horizon."""
    final_before: int
    """Minutes before this one are final by the log."""
    closed_before: int = 0
    """Minutes before this one are published as final; never before `final_before`."""
    partition: int = 0
    """The partition that was read."""
    active: tuple[int, ...] = ()
    """Minutes that have just closed in which any symbol of the exchange traded: in those, silence
    is a row of zeros, in others it may be an outage."""
    coverage: SymbolCoverage | None = None
    """All that is known of the stream, where that is news."""
    is_live: bool = True
    """The reader has caught up: estimates are worth their cost."""
    retired: bool = False
    """The symbol was silent in this partition for so long that its state can be given up."""


SymbolState: TypeAlias = tuple[
    int, int | None, int, dict[int, bytes], int, int, list[int], list[int], list[Span], int,
    int | None,
]  # fmt: skip


NOTHING: Final[SymbolState] = (STATE_VERSION, None, 0, {}, 0, 0, [], [], [], 0, None)


class SymbolMinutes:
    """All minutes of one symbol that may still change.

    Those that are closed rest as bytes: nearly all of them are never touched again, and each
    snapshot would otherwise have to write out an hour of live objects anew. Minutes without
    trades rest as the spans that they make.

    Args:
        exchange: The exchange id, for the rows.
        symbol: The canonical symbol, for the rows.
        horizon_minutes: How many minutes back from the first open one a late trade revises.
        lateness_ms: How long after its end a minute is final.
        state: What :meth:`state` gave, to go on from there.
    """

    __slots__ = (
        "_changed",
        "_closed",
        "_closed_before",
        "_final_before",
        "_heard",
        "_home",
        "_horizon_minutes",
        "_last_minute",
        "_lateness_ms",
        "_named_from",
        "_open",
        "_quiet",
        "_timeline",
        "_traded",
        "duplicates",
        "exchange",
        "symbol",
    )  # fmt: skip

    def __init__(
        self,
        exchange: str,
        symbol: str,
        horizon_minutes: int,
        lateness_ms: int = 0,
        state: tuple[Any, ...] | None = None,
    ) -> None:
        self.exchange = exchange
        self.symbol = symbol
        self.duplicates = 0
        """Trades seen before, since this object was made."""
        self._horizon_minutes = horizon_minutes
        self._lateness_ms = lateness_ms
        self._open: dict[int, Minute] = {}
        self._closed: dict[int, bytes] = {}
        self._changed: set[int] | tuple[()] = ()
        (
            _, self._last_minute, self._final_before, minutes, self._closed_before, self._heard,
            traded, quiet, spans, self._named_from, self._home,
        ) = _upgraded(state or NOTHING)  # fmt: skip
        # Minutes in time with a trade that are not final by the log: two of them, or three.
        self._traded = list(traded)
        # Closed minutes without a trade, as first and last of each span.
        self._quiet = list(quiet)
        self._timeline = Timeline(spans) if spans else None
        for minute_index, packed in minutes.items():
            if minute_index < self._closed_before:
                self._closed[minute_index] = packed
            else:
                self._open[minute_index] = Minute.unpacked(packed)

    @classmethod
    def known_since(
        cls, exchange: str, symbol: str, last_minute: int, final_before: int
    ) -> "SymbolMinutes":
        """Return a symbol that traded before the minutes that will be counted."""
        minutes = cls(exchange, symbol, 0)
        minutes._last_minute = minutes._heard = last_minute
        minutes._final_before = minutes._closed_before = final_before
        return minutes

    def fold(self, batch: TradeBatch) -> list[TakerVolume]:
        """Fold a batch in; return the rows of minutes that were closed or revised."""
        rows = self._fold_quiet_fast(batch)
        return self._fold(batch) if rows is None else rows

    def _fold_quiet_fast(self, batch: TradeBatch) -> list[TakerVolume] | None:
        """Fold a batch in that only closes minutes of a quiet symbol; `None`: :meth:`_fold` must.

        Most symbols are quiet most of the time, and each minute comes to all of them: this takes
        a third of the time.
        """
        active = batch.active
        if (
            self._open
            or self._traded
            or batch.runs
            or batch.late
            or batch.coverage is not None
            or batch.partition != self._home
            or batch.final_before < self._final_before
            or (active and active[0] < self._final_before)
        ):
            return None
        closed_before = max(self._closed_before, batch.closed_before, batch.final_before)
        rows = []
        for minute_index in self._alive(active, [], closed_before):
            if self._is_known(minute_index, self._last_minute) and not self._has(minute_index):
                rows.append(self._zeros(minute_index))
                self._add_quiet(minute_index)
        if batch.final_before > self._final_before:
            self._forget(self._final_before - self._horizon_minutes)
            self._final_before = batch.final_before
        self._closed_before = closed_before
        return rows

    def _fold(self, batch: TradeBatch) -> list[TakerVolume]:
        with exact():
            touched = self._add(batch.runs)
            touched |= self._add_late(batch.late)
            if touched or self._home is None:
                self._home = batch.partition
            if batch.coverage is not None:
                touched |= self._review(batch.coverage)
            # Another partition's time says nothing of a symbol that has moved away from it.
            if batch.partition == self._home:
                touched |= self._close(batch)
            rows = []
            for minute_index in sorted(touched):
                if minute_index < self._closed_before:
                    rows.append(self._row(minute_index))
                    self._rest(minute_index)
        return rows

    @property
    def has_estimates(self) -> bool:
        """Whether open minutes have changed since they were last written."""
        return bool(self._changed)

    def estimates(self) -> list[TakerVolume]:
        """Return the rows of the open minutes that have changed since they were last written."""
        with exact():
            rows = [self._row(minute_index) for minute_index in sorted(self._changed)]
        self._changed = ()
        return rows

    def is_over(self, batch: TradeBatch) -> bool:
        """Return whether nothing of the symbol can show any more, by its own last trade."""
        return (
            batch.retired
            and batch.partition == self._home
            and self._heard < batch.final_before - QUIET_MINUTES
        )

    def state(self) -> SymbolState:
        """Return a copy to store, plain values only."""
        still_open = {at: pack(minute) for at, minute in self._open.items()}
        return (
            STATE_VERSION, self._last_minute, self._final_before, self._closed | still_open,
            self._closed_before, self._heard, list(self._traded), list(self._quiet),
            self._timeline.state() if self._timeline else [], self._named_from, self._home,
        )  # fmt: skip

    def _add(self, runs: list[tuple[int, list[Trade]]]) -> set[int]:
        for minute_index, trades in runs:
            self.duplicates += len(trades) - self._minute(minute_index).add(trades)
            if minute_index not in self._traded:
                self._traded.append(minute_index)
            self._heard = max(self._heard, minute_index)
            if minute_index >= self._closed_before:
                self._changed = {*self._changed, minute_index}
        return {minute_index for minute_index, _ in runs}

    def _add_late(self, trades: list[Trade]) -> set[int]:
        touched = set()
        for trade in trades:
            minute_index = trade.time_ns // NS_PER_MINUTE
            minute = self._minute(minute_index)
            added = minute.add([trade])
            minute.late += added
            self.duplicates += 1 - added
            self._heard = max(self._heard, self._final_before)
            touched.add(minute_index)
        return touched

    def _minute(self, minute_index: int) -> Minute:
        minute = self._open.get(minute_index)
        if minute is None:
            packed = self._closed.get(minute_index)
            minute = self._open[minute_index] = Minute.unpacked(packed) if packed else Minute()
        return minute

    def _close(self, batch: TradeBatch) -> set[int]:
        """Close minutes, also quiet ones in which the exchange was alive or the stream whole."""
        final_before = max(batch.final_before, self._final_before)
        closed_before = max(batch.closed_before, final_before, self._closed_before)
        late = {at for at in batch.active if at < self._final_before and self._was_known(at)}
        has_moved = final_before > self._final_before or closed_before > self._closed_before
        if not has_moved and not batch.active:
            return late
        finished = {at for at in self._open if at < closed_before} | late
        last = self._last_minute
        traded = sorted(at for at in self._traded if at < closed_before)
        quiet = self._alive(batch.active, traded, closed_before)
        for minute_index in sorted({*traded, *quiet}) if traded else quiet:
            if minute_index in traded:
                last = max(minute_index, last or 0)
            elif self._is_known(minute_index, last) and not self._has(minute_index):
                finished.add(minute_index)
        if final_before > self._final_before:
            ended = [at for at in traded if at < final_before]
            if ended:
                self._last_minute = max(ended[-1], self._last_minute or 0)
                self._traded = [at for at in self._traded if at >= final_before]
            # An outage may have been long, and news of it may come with its end.
            self._forget(self._final_before - self._horizon_minutes)
        self._final_before, self._closed_before = final_before, closed_before
        if self._changed:
            self._changed = {at for at in self._changed if at >= closed_before}
        return finished

    def _alive(
        self, active: tuple[int, ...], traded: list[int], closed_before: int
    ) -> Iterable[int]:
        """Return in order the closing minutes in which a silence is known to be one."""
        if self._timeline is None:
            return active
        if self._named_from:
            begin = max(self._final_before, self._named_from, self._timeline.first_minute)
        elif traded or self._last_minute is not None:
            first = traded[0] if self._last_minute is None else self._last_minute
            begin = max(self._final_before, first + 1, closed_before - QUIET_MINUTES)
        else:
            return active
        whole = [
            at for at in range(begin, closed_before) if not self._has(at) and self._is_connected(at)
        ]
        return sorted({*active, *whole}) if active else whole

    def _was_known(self, minute_index: int) -> bool:
        """Return whether a minute that closed some time ago lacks a row of zeros."""
        if self._has(minute_index):
            return False
        earlier = [self._last_minute] if self._last_minute is not None else []
        return min([*earlier, *self._closed, *self._quiet[:1]], default=minute_index) < minute_index

    def _is_known(self, minute_index: int, last: int | None) -> bool:
        if last is not None and 0 <= minute_index - last <= QUIET_MINUTES:
            return True
        return bool(self._named_from) and self._is_connected(minute_index)

    def _is_connected(self, minute_index: int) -> bool:
        """Return whether a silent minute is a row of zeros by what the collector said.

        One that was whole until it became known too late that it was not has such a row as well.
        """
        if self._timeline is None:
            return False
        is_complete, revisions, is_connected = self._timeline.judge(minute_index, self._lateness_ms)
        return is_connected or (is_complete is False and revisions > 0)

    def _review(self, coverage: SymbolCoverage) -> set[int]:
        """Take over what is known of the stream; return the closed minutes that it changes."""
        spans, self._named_from = coverage
        before, after = self._timeline or Timeline(), Timeline(spans)
        self._timeline = after
        oldest = self._final_before - self._horizon_minutes
        quiet = [
            at
            for first, last in zip(self._quiet[::2], self._quiet[1::2], strict=True)
            for at in range(max(first, oldest), last + 1)
        ]
        changed = {
            at
            for at in (*self._closed, *quiet)
            if before.judge(at, self._lateness_ms) != after.judge(at, self._lateness_ms)
        }
        first = min((*self._closed, *quiet), default=self._closed_before)
        changed |= {
            at
            for at in range(max(oldest, first + 1), self._closed_before)
            if not self._has(at) and self._is_connected(at)
        }
        return changed

    def _has(self, minute_index: int) -> bool:
        if minute_index in self._closed or minute_index in self._open:
            return True
        quiet = self._quiet
        return any(
            quiet[at] <= minute_index <= quiet[at + 1] for at in range(len(quiet) - 2, -1, -2)
        )

    def _rest(self, minute_index: int) -> None:
        """Put a closed minute away: as bytes, or as part of a span without trades."""
        minute = self._open.pop(minute_index, None)
        if minute is not None and (minute.buy_count or minute.sell_count):
            self._closed[minute_index] = pack(minute)
        elif not self._has(minute_index):
            self._add_quiet(minute_index)

    def _add_quiet(self, minute_index: int) -> None:
        quiet = self._quiet
        if quiet and quiet[-1] == minute_index - 1:
            quiet[-1] = minute_index
        else:
            quiet += (minute_index, minute_index)

    def _forget(self, oldest: int) -> None:
        """Drop what no trade can revise any more; the reader refuses those."""
        if self._closed and next(iter(self._closed)) < oldest:
            self._closed = {at: packed for at, packed in self._closed.items() if at >= oldest}
        if self._quiet and self._quiet[1] < oldest:
            spans = zip(self._quiet[::2], self._quiet[1::2], strict=True)
            self._quiet = [at for span in spans if span[1] >= oldest for at in span]
        if self._timeline is not None:
            self._timeline.forget(oldest)

    def _zeros(self, minute_index: int) -> TakerVolume:
        """Return the row of a closed minute without trades, as :meth:`_row` makes it."""
        is_complete, revisions = None, 0
        if self._timeline is not None:
            is_complete, revisions, _ = self._timeline.judge(minute_index, self._lateness_ms)
        return TakerVolume(
            self.exchange, self.symbol, minute_index * SECONDS_PER_MINUTE, ZERO, ZERO, ZERO, ZERO,
            0, 0, None, None, None, None, None, True, 1 + revisions, 0, 0, is_complete,  # noqa: FBT003  # in the order of the columns: it is made by the thousand
        )  # fmt: skip

    def _row(self, minute_index: int) -> TakerVolume:
        """Return the row of a minute, under :func:`exact`."""
        minute = self._open.get(minute_index)
        if minute is None:
            packed = self._closed.get(minute_index)
            minute = Minute.unpacked(packed) if packed else EMPTY
        is_final = minute_index < self._closed_before
        is_complete, revisions = None, 0
        if self._timeline is not None:
            is_complete, revisions, _ = self._timeline.judge(minute_index, self._lateness_ms)
        volume = minute.buy_volume + minute.sell_volume
        notional = minute.buy_notional + minute.sell_notional
        # The same price may come as 1.0 and as 1.00: which of them was first must not show.
        prices = minute.open, minute.high, minute.low, minute.close
        open_, high, low, close = (price and price.normalize() for price in prices)
        return TakerVolume(
            exchange=self.exchange,
            symbol=self.symbol,
            minute=minute_index * SECONDS_PER_MINUTE,
            taker_buy_volume=minute.buy_volume,
            taker_sell_volume=minute.sell_volume,
            taker_buy_notional=minute.buy_notional,
            taker_sell_notional=minute.sell_notional,
            buy_count=minute.buy_count,
            sell_count=minute.sell_count,
            open=open_,
            high=high,
            low=low,
            close=close,
            vwap=quotient(notional, volume) if volume else None,
            is_final=is_final,
            revision=1 + minute.late + revisions if is_final else 0,
            late_trades=minute.late,
            duplicate_trades=minute.duplicates,
            # An open minute can be known to be broken, not yet to be whole.
            is_complete=is_complete if is_final else (is_complete and None),
        )


EMPTY: Final = Minute()


def _upgraded(state: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a state of any version in the form of this one."""
    version = checked("the minutes of a symbol", state, STATE_VERSION)
    if version == STATE_VERSION:
        return state
    _, last_minute, final_before, minutes = state
    if version == 1:  # which had them as tuples
        minutes = {at: pack(MinuteState(*minute)) for at, minute in minutes.items()}
    traded = [at for at in minutes if at >= final_before]
    heard = max(minutes, default=0)
    return (
        STATE_VERSION, last_minute, final_before, minutes, final_before,
        max(heard, last_minute or 0), traded, [], [], 0, None,
    )  # fmt: skip
