"""One minute of an order book while it lasts, and the row that it becomes."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from dataflows.domain.books.averages import (
    Average,
    AverageState,
    Sample,
    Value,
    imbalances_of,
    spreads_of,
)
from dataflows.domain.books.book import Book
from schemas.numbers import SUM, quotient
from schemas.records import BANDS_BPS, BookMinute, BookSummary
from schemas.times import NS_PER_MINUTE, NS_PER_MS

# More states together cost no less, and as many as this are kept of each book.
MAX_STATES_AT_ONCE: Final = 32

NOTHING: Final = Sample()

MinuteState: TypeAlias = tuple[
    tuple[Value, ...], tuple[AverageState, ...],
    bool, bool, bool, int, int, int, int, int, int,
]  # fmt: skip


class BookMinuteInProgress:
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
        """States that are not in the averages yet: together they cost a fraction."""
        self.last = last if is_valid else NOTHING
        """The last valid state that is in the averages."""
        self._averages = tuple(Average(value, start_ns) for value in self.last[2:])
        self._is_valid = is_valid
        self._is_crossed = self.last.spread is not None and self.last.spread < 0
        self._since_ns = start_ns
        self.is_known = is_valid
        """Whether the book was valid at some time in the minute."""
        self.updates = self.crossed = self.gaps = 0
        self.crossed_ns = self.valid_ns = 0

    def count(self, state: BookSummary) -> None:
        """Count an update that has changed the book to this state."""
        self._states.append(state)
        if len(self._states) >= MAX_STATES_AT_ONCE:
            self.settle()

    def lose(self, now_ns: int) -> None:
        """Count that the book is not known from now on."""
        self.settle()
        self._accrue(now_ns)
        self._is_valid = self._is_crossed = False
        for average in self._averages:
            average.set(None, now_ns)

    def settle(self) -> None:
        """Take all states into the averages."""
        states, self._states = self._states, []
        if not states:
            return
        times_ns = [state.time_ns for state in states]
        bids = [state.total_bid_volume for state in states]
        asks = [state.total_ask_volume for state in states]
        imbalances = imbalances_of(bids, asks)
        spread_times_ns, spreads, spreads_bps = spreads_of(states)
        columns: tuple[tuple[Sequence[Value], list[int]], ...] = (
            (spreads, spread_times_ns),
            (spreads_bps, spread_times_ns),
            (bids, times_ns),
            (asks, times_ns),
            (imbalances, times_ns),
        )
        for average, (values, since_ns) in zip(self._averages, columns, strict=True):
            average.set_all(values, since_ns)
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
        """Count the time that was valid and crossed, up to the last of these states."""
        self._accrue(states[0].time_ns)
        self._is_valid = True
        crossed = sum([state.is_crossed for state in states])
        self.crossed += crossed
        if crossed or self._is_crossed:
            for state in states:
                self._accrue(state.time_ns)
                self._is_crossed = state.is_crossed
        self._accrue(states[-1].time_ns)

    def _accrue(self, until_ns: int) -> None:
        """Count the time that the state has lasted."""
        lasted_ns = until_ns - self._since_ns
        self._since_ns = until_ns
        if self._is_valid:
            self.valid_ns += lasted_ns
        if self._is_crossed:
            self.crossed_ns += lasted_ns

    def row(self, book: Book, minute_index: int) -> BookMinute:
        """Return the row of the settled minute, which ends with the book as it is."""
        for average in self._averages:
            average.accrue((minute_index + 1) * NS_PER_MINUTE)
        self._accrue((minute_index + 1) * NS_PER_MINUTE)
        spread, spread_bps, bid_volume, ask_volume, imbalance = self._averages
        # A state that was lost as the minute began was not in it.
        last = self.last if self.valid_ns or self.updates else NOTHING
        return BookMinute(
            exchange=book.exchange,
            symbol=book.symbol,
            minute=minute_index * 60,
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
            crossed_ms=self.crossed_ns // NS_PER_MS,
            gaps=self.gaps,
            valid_ms=self.valid_ns // NS_PER_MS,
            **_depths(book),
        )

    def state(self) -> MinuteState:
        """Return a copy to store, of plain values only."""
        self.settle()
        return (
            tuple(self.last), tuple(average.state() for average in self._averages),
            self.is_known, self._is_valid, self._is_crossed, self._since_ns, self.updates,
            self.crossed, self.gaps, self.crossed_ns, self.valid_ns,
        )  # fmt: skip

    @classmethod
    def of_state(cls, state: MinuteState) -> "BookMinuteInProgress":
        """Return the minute that a state was taken of."""
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
    """Return the number without trailing zeros, of which a sum has as many as its past."""
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
