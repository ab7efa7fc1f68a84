"""The minutes of one order book: what it was like, by the time that each state of it lasted.

The book is applied through this class, because the end of a minute has to be looked at before the
first update after it. Times only move forward: an update that is stamped before the one ahead of
it counts from that one's time, since the state it made existed from there on. So the rows depend
on the sequence of updates alone, not on how it was cut into batches; when they are written is
decided by the exchange's watermark, as for trades (:mod:`dataflows.domain.trades.reader`).
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from dataflows.domain.books.book import Book, BookState
from dataflows.domain.books.minute import NOTHING, BookMinuteInProgress, MinuteState
from dataflows.domain.books.whole import WholeBook
from dataflows.domain.coverage import Span, Timeline
from dataflows.domain.states import checked
from schemas.errors import FeedError
from schemas.records import BookMinute, BookSummary, BookUpdate
from schemas.times import NS_PER_MINUTE

STATE_VERSION: Final = 2

# How many final minutes of a book can still be found to be incomplete: a collector may take a
# minute or two to notice that a feed is dead.
KEPT_MINUTES: Final = 5

BookMinutesState: TypeAlias = tuple[
    int, BookState, int, int, int, MinuteState | None, bytes, list[Span], bytes
]


class Closed(NamedTuple):
    """The row of a minute that has ended, or of a run of quiet ones that are all alike."""

    first: int
    before: int
    """First minute after the run."""
    row: BookMinute


def _rows(run: Closed, final_before: int, alive: Iterable[int]) -> list[BookMinute]:
    """Return the rows of a run that are final and in whose minutes the exchange was alive."""
    if run.row.updates or run.row.gaps:  # then it is one minute
        return [run.row] if run.first < final_before else []
    before = min(run.before, final_before)
    return [
        msgspec.structs.replace(run.row, minute=minute_index * 60)
        for minute_index in alive
        if run.first <= minute_index < before
    ]


_encode: Final = msgspec.msgpack.Encoder().encode
_closed: Final = msgspec.msgpack.Decoder(list[Closed])
_written: Final = msgspec.msgpack.Decoder(list[BookMinute])


class BookMinutes:
    """A book and the minutes of it that are not written yet.

    Args:
        exchange: The exchange id.
        symbol: The canonical symbol.
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(self, exchange: str, symbol: str, state: BookMinutesState | None = None) -> None:
        self.book = Book(exchange, symbol, state[1] if state else None)
        self._now_ns = 0
        self._final_before = 0
        self._minute_index = 0
        self._ends_ns = 0
        """The end of the minute that is now, once an update was of it."""
        self._minute: BookMinuteInProgress | None = None
        self._closed: list[Closed] = []
        self._timeline = Timeline()
        self._written: list[BookMinute] = []
        """The newest final rows: they may still be found to be incomplete."""
        if state is not None:
            self._restore(state)

    @property
    def time_ns(self) -> int:
        """The time of the last update, as it counts."""
        return self._now_ns

    def apply(
        self, update: BookUpdate | WholeBook, time_ns: int, *, verify: bool = True
    ) -> BookSummary | None:
        """Apply an update; return the state that it made of the book, if it changed it.

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
        try:
            if isinstance(update, WholeBook):
                is_change = book.replace_lazily(update)
            else:
                is_change = book.apply(update, verify=verify)
        except FeedError:
            minute.gaps += was_valid  # a snapshot that does not help loses nothing more
            minute.lose(self._now_ns)
            raise
        if not is_change:
            return None
        state = book.summary(self._now_ns)
        minute.count(state)
        return state

    def review(self, coverage: list[Span]) -> list[BookMinute]:
        """Take in what the collector says of the book's stream; return the rows that it changes."""
        self._timeline = Timeline(coverage)
        judged = [self._judged(row) for row in self._written]
        changed = [new for new, old in zip(judged, self._written, strict=True) if new != old]
        self._written = judged
        return changed

    def finish(self, final_before: int, active: Iterable[int]) -> list[BookMinute]:
        """Return the rows of the minutes that have become final.

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
        found = [row for run in self._closed for row in _rows(run, final_before, alive)]
        rows = [self._judged(row) for row in found] if self._timeline.is_known else found
        self._closed = [
            run._replace(first=max(run.first, final_before))
            for run in self._closed
            if run.before > final_before
        ]
        self._written = [*self._written, *rows][-KEPT_MINUTES:]
        return rows

    def state(self) -> BookMinutesState:
        """Return a copy to store, of plain values only."""
        return (
            STATE_VERSION, self.book.state(), self._now_ns, self._final_before,
            self._minute_index, self._state_of_minute(), _encode(self._closed),
            self._timeline.state(), _encode(self._written),
        )  # fmt: skip

    def _restore(self, state: Any) -> None:
        if checked("minutes of an order book", state, STATE_VERSION) == 1:
            state = (*state, [], _encode([]))
        (
            _, _, self._now_ns, self._final_before, self._minute_index, minute, closed, coverage,
            written,
        ) = state  # fmt: skip
        self._minute = None if minute is None else BookMinuteInProgress.of_state(minute)
        self._closed = _closed.decode(closed)
        self._timeline = Timeline(coverage)
        self._written = _written.decode(written)

    def _judged(self, row: BookMinute) -> BookMinute:
        """Return the row with what is known of its completeness; a gap is missing."""
        is_complete = self._timeline.judge(row.minute // 60, 0).is_complete
        if row.gaps:
            is_complete = False
        return msgspec.structs.replace(row, is_complete=is_complete)

    def _state_of_minute(self) -> MinuteState | None:
        return None if self._minute is None else self._minute.state()

    def _advance(self, time_ns: int) -> BookMinuteInProgress:
        """Move time on and close what has ended; return the minute that is now."""
        if self._minute is not None and self._now_ns <= time_ns < self._ends_ns:
            self._now_ns = time_ns
            return self._minute
        self._now_ns = max(time_ns, self._now_ns, self._final_before * NS_PER_MINUTE)
        minute_index = self._now_ns // NS_PER_MINUTE
        if self._minute is None:
            self._minute_index = minute_index
            self._minute = BookMinuteInProgress(self._now_ns, NOTHING, is_valid=False)
        elif minute_index > self._minute_index:
            self._roll(minute_index)
        self._ends_ns = (self._minute_index + 1) * NS_PER_MINUTE
        return self._minute

    def _roll(self, minute_index: int) -> None:
        """Close the minute and the quiet ones after it, and open this one."""
        ended = self._minute_index
        if minute_index <= ended or self._minute is None:
            return
        self._ends_ns = 0
        self._minute.settle()
        self._close(self._minute, ended, ended + 1)
        if minute_index > ended + 1:
            self._close(self._opened(ended + 1), ended + 1, minute_index)
        self._minute, self._minute_index = self._opened(minute_index), minute_index

    def _opened(self, minute_index: int) -> BookMinuteInProgress:
        last = NOTHING if self._minute is None else self._minute.last
        start_ns = minute_index * NS_PER_MINUTE
        return BookMinuteInProgress(start_ns, last, is_valid=self.book.is_valid)

    def _close(self, minute: BookMinuteInProgress, first: int, before: int) -> None:
        if minute.is_known or minute.gaps:
            self._closed.append(Closed(first, before, minute.row(self.book, first)))
