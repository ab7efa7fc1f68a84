"""The minutes of one order book: what it was like, by the time that each state of it lasted.

The book is applied through this class, because the end of a minute has to be looked at before the
first update after it. Times only move forward: an update that is stamped before the one ahead of
it counts from that one's time, since the state it made existed from there on. So the rows depend
on the sequence of updates alone, not on how it was cut into batches; when they are written is
decided by the exchange's watermark, as for trades (:mod:`dataflows.domain.trades.reader`).
"""

import decimal
from collections.abc import Iterable, Sequence
from decimal import Decimal, getcontext, setcontext
from operator import add, mul, sub
from types import NoneType
from typing import Any, Final, NamedTuple, TypeAlias, cast

import msgspec

from dataflows.domain.books.book import Book, BookState
from dataflows.domain.books.whole import WholeBook
from schemas.errors import FeedError
from schemas.numbers import SUM, quotient
from schemas.records import BookMinute, BookSummary, BookUpdate

STATE_VERSION: Final = 1
MINUTE_NS: Final = 60_000_000_000
MS_NS: Final = 1_000_000
BANDS_BPS: Final = (5, 10, 25, 50, 100)
ZERO: Final = Decimal(0)

# More states together cost no less, and as many as this are kept of each book.
STATES_AT_ONCE: Final = 32

# Ratios of single states are rounded far beyond the 12 decimals of their averages, and only by
# so much that a division at each update stays cheap.
_RATIO: Final = decimal.Context(
    prec=40,
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
_TWICE_BPS: Final = Decimal(20_000)

AverageState: TypeAlias = tuple[Decimal | None, int, Decimal, int, Decimal | None, Decimal | None]
MinuteState: TypeAlias = tuple[
    tuple[Decimal | None, ...], tuple[AverageState, ...],
    bool, bool, bool, int, int, int, int, int, int,
]  # fmt: skip
BookMinutesState: TypeAlias = tuple[int, BookState, int, int, int, MinuteState | None, bytes]


Value: TypeAlias = Decimal | None


class Average:
    """Lowest, highest and mean by time of one value in one minute. Needs :data:`SUM`."""

    __slots__ = ("_since_ns", "_sum", "_value", "_weight_ns", "highest", "lowest")

    def __init__(self, value: Decimal | None, since_ns: int) -> None:
        self._value = value
        self._since_ns = since_ns
        self._sum = ZERO
        self._weight_ns = 0
        self.lowest: Decimal | None = None
        self.highest: Decimal | None = None

    def set(self, value: Value, now_ns: int) -> None:
        """The value is this from now on; `None`: there is none."""
        self.spend(now_ns)
        self._value = value
        self._extend(value)

    def follow(self, values: Sequence[Value], times_ns: Sequence[int]) -> None:
        """:meth:`set` with one value after the other, in a few passes over all of them."""
        if NoneType in map(type, values):
            for value, now_ns in zip(values, times_ns, strict=True):
                self.set(value, now_ns)
        else:
            self._follow(cast("Sequence[Decimal]", values), times_ns)

    def _follow(self, values: Sequence[Decimal], times_ns: Sequence[int]) -> None:
        self.spend(times_ns[0])
        self._sum += sum(map(mul, values, map(sub, times_ns[1:], times_ns)), ZERO)
        self._weight_ns += times_ns[-1] - times_ns[0]
        self._since_ns, self._value = times_ns[-1], values[-1]
        self._extend(min(values))
        self._extend(max(values))

    def spend(self, until_ns: int) -> None:
        """Weighs the value by the time that it has lasted."""
        lasted_ns = until_ns - self._since_ns
        self._since_ns = until_ns
        if self._value is None or not lasted_ns:
            return
        if not self._weight_ns:
            self._extend(self._value)  # one that was carried over counts once it has lasted
        self._sum += self._value * lasted_ns
        self._weight_ns += lasted_ns

    def mean(self) -> Decimal | None:
        """The mean of the time spent, rounded half-even to 12 decimals."""
        return quotient(self._sum, Decimal(self._weight_ns)) if self._weight_ns else None

    def state(self) -> AverageState:
        """A copy to store, plain values only."""
        return (
            self._value, self._since_ns, self._sum, self._weight_ns, self.lowest, self.highest,
        )  # fmt: skip

    @classmethod
    def of_state(cls, state: AverageState) -> "Average":
        """The average that a state was taken of."""
        average = cls(state[0], state[1])
        _, _, average._sum, average._weight_ns, average.lowest, average.highest = state
        return average

    def _extend(self, value: Decimal | None) -> None:
        if value is None:
            return
        if self.lowest is None or value < self.lowest:
            self.lowest = value
        if self.highest is None or value > self.highest:
            self.highest = value


class Sample(NamedTuple):
    """The figures of one state of a book; all `None` before there is one."""

    highest_bid: Decimal | None = None
    lowest_ask: Decimal | None = None
    spread: Decimal | None = None
    spread_bps: Decimal | None = None
    total_bid_volume: Decimal | None = None
    total_ask_volume: Decimal | None = None
    imbalance: Decimal | None = None


NOTHING: Final = Sample()


def _spreads(states: Sequence[BookSummary]) -> tuple[list[int], list[Value], list[Value]]:
    """When the best prices became others, and the spreads since then, as such and by the middle."""
    times_ns: list[int] = []
    spreads: list[Value] = []
    spreads_bps: list[Value] = []
    bid = ask = None
    for state in states:
        if state.highest_bid is bid and state.lowest_ask is ask and times_ns:
            continue
        bid, ask, spread = state.highest_bid, state.lowest_ask, state.spread
        times_ns.append(state.time_ns)
        spreads.append(spread)
        if bid is None or ask is None or spread is None:
            spreads_bps.append(None)
        else:
            spreads_bps.append(_RATIO.divide(spread * _TWICE_BPS, bid + ask))
    return times_ns, spreads, spreads_bps


def _imbalances(bids: Sequence[Decimal], asks: Sequence[Decimal]) -> list[Value]:
    volumes = list(map(add, bids, asks))
    if all(volumes):
        return list(map(_RATIO.divide, map(sub, bids, asks), volumes))
    pairs = zip(map(sub, bids, asks), volumes, strict=True)
    return [_RATIO.divide(*pair) if pair[1] else None for pair in pairs]


class Minute:
    """One minute while it lasts: the last valid state, the averages, the counts.

    Args:
        start_ns: When it began.
        last: The state that the book was in by then.
        is_valid: Whether it was known to be.
    """

    __slots__ = (
        "_averages", "_is_crossed", "_is_valid", "_since_ns", "_states", "crossed",
        "crossed_ns", "gaps", "is_known", "last", "updates", "valid_ns",
    )  # fmt: skip

    def __init__(self, start_ns: int, last: Sample, *, is_valid: bool) -> None:
        self._states: list[BookSummary] = []
        """Those that are not in the averages yet: together they cost a fraction."""
        self.last = last if is_valid else NOTHING
        """The last valid state that is in the averages."""
        self._averages = tuple(Average(value, start_ns) for value in self.last[2:])
        self._is_valid = is_valid
        self._is_crossed = self.last.spread is not None and self.last.spread < 0
        self._since_ns = start_ns
        self.is_known = is_valid
        """Whether the book was valid at some time in it."""
        self.updates = self.crossed = self.gaps = 0
        self.crossed_ns = self.valid_ns = 0

    def count(self, state: BookSummary) -> None:
        """An update has changed the book to this."""
        self._states.append(state)
        if len(self._states) >= STATES_AT_ONCE:
            self.settle()

    def lose(self, now_ns: int) -> None:
        """The book is not known from now on."""
        self.settle()
        self._spend(now_ns)
        self._is_valid = self._is_crossed = False
        for average in self._averages:
            average.set(None, now_ns)

    def settle(self) -> None:
        """Takes all states into the averages."""
        states, self._states = self._states, []
        if not states:
            return
        times_ns = [state.time_ns for state in states]
        bids = [state.total_bid_volume for state in states]
        asks = [state.total_ask_volume for state in states]
        imbalances = _imbalances(bids, asks)
        spread_times_ns, spreads, spreads_bps = _spreads(states)
        columns: tuple[tuple[Sequence[Value], list[int]], ...] = (
            (spreads, spread_times_ns),
            (spreads_bps, spread_times_ns),
            (bids, times_ns),
            (asks, times_ns),
            (imbalances, times_ns),
        )
        for average, (values, since_ns) in zip(self._averages, columns, strict=True):
            average.follow(values, since_ns)
        last = states[-1]
        self.last = Sample(
            last.highest_bid,
            last.lowest_ask,
            last.spread,
            spreads_bps[-1],
            bids[-1],
            asks[-1],
            imbalances[-1],
        )
        self._pass_through(states)
        self.is_known = True
        self.updates += len(states)

    def _pass_through(self, states: Sequence[BookSummary]) -> None:
        """Counts what time was spent valid and crossed, up to the last of these states."""
        self._spend(states[0].time_ns)
        self._is_valid = True
        crossed = sum([state.is_crossed for state in states])
        self.crossed += crossed
        if crossed or self._is_crossed:
            for state in states:
                self._spend(state.time_ns)
                self._is_crossed = state.is_crossed
        self._spend(states[-1].time_ns)

    def _spend(self, until_ns: int) -> None:
        """Counts the time that the state has lasted."""
        lasted_ns = until_ns - self._since_ns
        self._since_ns = until_ns
        self.valid_ns += lasted_ns * self._is_valid
        self.crossed_ns += lasted_ns * self._is_crossed

    def row(self, book: Book, at: int) -> BookMinute:
        """The row of the settled minute, which ends with the book as it is."""
        for average in self._averages:
            average.spend((at + 1) * MINUTE_NS)
        self._spend((at + 1) * MINUTE_NS)
        spread, spread_bps, bid_volume, ask_volume, imbalance = self._averages
        # A state that was lost as the minute began was not in it.
        last = self.last if self.valid_ns or self.updates else NOTHING
        return BookMinute(
            exchange=book.exchange,
            symbol=book.symbol,
            minute=at * 60,
            highest_bid=_normal(last.highest_bid),
            lowest_ask=_normal(last.lowest_ask),
            spread=_normal(last.spread),
            spread_min=_normal(spread.lowest),
            spread_max=_normal(spread.highest),
            spread_twa=spread.mean(),
            spread_bps_twa=spread_bps.mean(),
            total_bid_volume=_normal(last.total_bid_volume),
            total_bid_volume_min=_normal(bid_volume.lowest),
            total_bid_volume_max=_normal(bid_volume.highest),
            total_bid_volume_twa=bid_volume.mean(),
            total_ask_volume=_normal(last.total_ask_volume),
            total_ask_volume_min=_normal(ask_volume.lowest),
            total_ask_volume_max=_normal(ask_volume.highest),
            total_ask_volume_twa=ask_volume.mean(),
            imbalance=None if last.imbalance is None else quotient(last.imbalance, Decimal(1)),
            imbalance_twa=imbalance.mean(),
            updates=self.updates,
            crossed=self.crossed,
            crossed_ms=self.crossed_ns // MS_NS,
            gaps=self.gaps,
            valid_ms=self.valid_ns // MS_NS,
            **_depths(book),
        )

    def state(self) -> MinuteState:
        """A copy to store, plain values only."""
        self.settle()
        return (
            tuple(self.last), tuple(average.state() for average in self._averages),
            self.is_known, self._is_valid, self._is_crossed, self._since_ns, self.updates,
            self.crossed, self.gaps, self.crossed_ns, self.valid_ns,
        )  # fmt: skip

    @classmethod
    def of_state(cls, state: MinuteState) -> "Minute":
        """The minute that a state was taken of."""
        minute = cls(0, NOTHING, is_valid=False)
        (
            last, averages, minute.is_known, minute._is_valid, minute._is_crossed,
            minute._since_ns, minute.updates, minute.crossed, minute.gaps, minute.crossed_ns,
            minute.valid_ns,
        ) = state  # fmt: skip
        minute.last = Sample(*last)
        minute._averages = tuple(Average.of_state(average) for average in averages)
        return minute


def _normal(number: Decimal | None) -> Decimal | None:
    """Without trailing zeros: a sum has as many as its past, which must not show."""
    return None if number is None else number.normalize(SUM)


def _depths(book: Book) -> dict[str, Any]:
    depths = book.depths(BANDS_BPS) if book.is_valid else None
    fields: dict[str, Any] = {}
    if depths is None:
        return fields
    for bps, depth in zip(BANDS_BPS, depths, strict=True):
        fields[f"depth_{bps}bps_bid"] = depth.bid_volume
        fields[f"depth_{bps}bps_ask"] = depth.ask_volume
        fields[f"depth_{bps}bps_truncated"] = depth.is_truncated
    return fields


class Closed(NamedTuple):
    """The row of a minute that has ended, or of a run of quiet ones that are all alike."""

    first: int
    before: int
    """The first minute that is not of the run."""
    row: BookMinute


def _rows(run: Closed, final_before: int, alive: Iterable[int]) -> list[BookMinute]:
    """The rows of those minutes of a run that are final and in which the exchange was alive."""
    if run.row.updates or run.row.gaps:  # then it is one minute
        return [run.row] if run.first < final_before else []
    before = min(run.before, final_before)
    quiet = (at for at in alive if run.first <= at < before)
    return [msgspec.structs.replace(run.row, minute=at * 60) for at in quiet]


_encode: Final = msgspec.msgpack.Encoder().encode
_closed: Final = msgspec.msgpack.Decoder(list[Closed])


class BookMinutes:
    """A book and the minutes of it that are not written yet.

    Args:
        exchange: The exchange id.
        symbol: The canonical symbol.
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(self, exchange: str, symbol: str, state: BookMinutesState | None = None) -> None:
        self.book = Book(exchange, symbol, state[1] if state else None)
        self.clamped = 0
        """Updates stamped before the one ahead of them, since this object was made."""
        self._now_ns = 0
        self._final_before = 0
        self._at = 0
        self._ends_ns = 0
        """The end of the minute that is now, once an update was of it."""
        self._minute: Minute | None = None
        self._closed: list[Closed] = []
        if state is not None:
            _, _, self._now_ns, self._final_before, self._at, minute, closed = state
            self._minute = None if minute is None else Minute.of_state(minute)
            self._closed = _closed.decode(closed)

    @property
    def time_ns(self) -> int:
        """The time of the last update, as it counts."""
        return self._now_ns

    def apply(
        self, update: BookUpdate | WholeBook, time_ns: int, *, verify: bool = True
    ) -> BookSummary | None:
        """Takes an update in; the state that it made of the book, if it changed it.

        Args:
            update: In the order of the feed.
            time_ns: Its own time, or when it was received. The reader clamps it to the minutes
                that are open at its place in the log, and refuses what is stamped in the future:
                time does not go back here.
            verify: See :meth:`Book.apply`.

        Raises:
            FeedError: The book is lost; see :meth:`Book.apply`. The minute has counted it.
        """
        minute = self._advance(time_ns)
        book = self.book
        was_valid = book.is_valid
        context_of_caller = getcontext()
        if context_of_caller is not SUM:
            setcontext(SUM)
        try:
            if not book.apply(update, verify=verify):
                return None
            state = book.summary(self._now_ns)
            minute.count(state)
        except FeedError:
            minute.gaps += was_valid  # a snapshot that does not help loses nothing more
            minute.lose(self._now_ns)
            raise
        else:
            return state
        finally:
            if context_of_caller is not SUM:
                setcontext(context_of_caller)

    def finish(self, final_before: int, active: Iterable[int]) -> list[BookMinute]:
        """The rows of the minutes that have become final.

        Args:
            final_before: Minutes before this one are final; they count from the Unix epoch.
            active: Which of those that have just become final had an update of any symbol of the
                exchange. In those a quiet book is a row, in others its silence may be an outage.
        """
        if final_before <= self._final_before:
            return []
        self._final_before = final_before
        if self._minute is not None:
            self._roll(final_before)
        alive = sorted(active)
        rows = [row for run in self._closed for row in _rows(run, final_before, alive)]
        self._closed = [
            run._replace(first=max(run.first, final_before))
            for run in self._closed
            if run.before > final_before
        ]
        return rows

    def state(self) -> BookMinutesState:
        """A copy to store, plain values only."""
        return (
            STATE_VERSION, self.book.state(), self._now_ns, self._final_before, self._at,
            self._state_of_minute(), _encode(self._closed),
        )  # fmt: skip

    def _state_of_minute(self) -> MinuteState | None:
        if self._minute is None:
            return None
        with decimal.localcontext(SUM):
            return self._minute.state()

    def _advance(self, time_ns: int) -> Minute:
        """Moves time on; the minute that is now, after closing those that ended before it."""
        if self._minute is not None and self._now_ns <= time_ns < self._ends_ns:
            self._now_ns = time_ns
            return self._minute
        earliest_ns = max(self._now_ns, self._final_before * MINUTE_NS)
        self.clamped += time_ns < earliest_ns
        self._now_ns = max(time_ns, earliest_ns)
        at = self._now_ns // MINUTE_NS
        if self._minute is None:
            self._at = at
            self._minute = Minute(self._now_ns, NOTHING, is_valid=False)
        elif at > self._at:
            self._roll(at)
        self._ends_ns = (self._at + 1) * MINUTE_NS
        return self._minute

    def _roll(self, at: int) -> None:
        """Closes the minute and the quiet ones after it, and opens this one."""
        if at <= self._at or self._minute is None:
            return
        self._ends_ns = 0
        with decimal.localcontext(SUM):
            self._minute.settle()
            self._close(self._minute, self._at, self._at + 1)
            if at > self._at + 1:
                self._close(self._opened(self._at + 1), self._at + 1, at)
            self._minute, self._at = self._opened(at), at

    def _opened(self, at: int) -> Minute:
        last = NOTHING if self._minute is None else self._minute.last
        return Minute(at * MINUTE_NS, last, is_valid=self.book.is_valid)

    def _close(self, minute: Minute, first: int, before: int) -> None:
        if minute.is_known or minute.gaps:
            self._closed.append(Closed(first, before, minute.row(self.book, first)))
