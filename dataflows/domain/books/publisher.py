"""One order book as it is published: what to say of each update, and when to ask for a snapshot."""

from typing import Final, NamedTuple, TypeAlias

import msgspec

from dataflows.domain.books.book import Book
from dataflows.domain.books.minutes import BookMinutes, BookMinutesState
from dataflows.domain.books.reader import BookBatch, StampedBookUpdate
from dataflows.domain.books.whole import WholeBook
from schemas.errors import FeedError
from schemas.records import BookMinute, BookSummary, BookUpdate, SnapshotRequest
from schemas.times import NS_PER_SECOND, utc_text

# A request is repeated: the collector may have been down.
REQUEST_INTERVAL_NS: Final = 30 * NS_PER_SECOND

NO_SNAPSHOT: Final = "changes of a book that no snapshot came for"

BookPublisherState: TypeAlias = tuple[BookMinutesState, int, bytes]

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(BookSummary | None).decode


class BookOutput(NamedTuple):
    """What a batch has made of a book."""

    summaries: list[BookSummary]
    minutes: list[BookMinute]
    requests: list[SnapshotRequest]
    problems: list[FeedError]


class BookPublisher:
    """The book of one symbol with its minutes, and what is published of both.

    Args:
        exchange: The exchange id.
        symbol: The canonical symbol.
        conflation_ns: 0 for a summary of each update; otherwise at most one in such a time, the
            last one, by the times of the updates.
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(
        self,
        exchange: str,
        symbol: str,
        conflation_ns: int,
        state: BookPublisherState | None = None,
    ) -> None:
        minutes, self._request_due_ns, held = state or (None, 0, b"\xc0")
        self._minutes = BookMinutes(exchange, symbol, minutes)
        self._conflation_ns = conflation_ns
        self._held: BookSummary | None = _decode(held)

    @property
    def book(self) -> Book:
        """The book as it is now."""
        return self._minutes.book

    @property
    def holds_summary(self) -> bool:
        """Whether a summary waits for the end of its time."""
        return self._held is not None

    def fold(self, batch: BookBatch) -> BookOutput:
        """Apply a batch; return what it made of the book."""
        output = BookOutput([], [], [], [])
        for stamped in batch.updates:
            self._apply(stamped, output)
        if batch.coverage is not None:
            output.minutes.extend(self._minutes.review(batch.coverage))
        output.minutes.extend(self._minutes.finish(batch.final_before, batch.active))
        if batch.retired:
            output.summaries.extend(self.release())
        return output

    def release(self) -> list[BookSummary]:
        """Return the summary that was held back, if there is one."""
        held, self._held = self._held, None
        return [] if held is None else [held]

    def state(self) -> BookPublisherState:
        """Return a copy to store, of plain values only."""
        return self._minutes.state(), self._request_due_ns, _encode(self._held)

    def _apply(self, stamped: StampedBookUpdate, output: BookOutput) -> None:
        minutes = self._minutes
        try:
            state = minutes.apply(stamped.update, stamped.time_ns, verify=stamped.verify)
        except FeedError as error:
            output.problems.append(error)
            output.summaries.extend(self.release())
            self._request(str(error), output)
            return
        if state is not None:
            self._request_due_ns = 0
            if self._conflation_ns:
                self._conflate(state, output)
            else:
                output.summaries.append(state)
        elif minutes.book.is_valid:
            self._request_due_ns = 0
        elif not _is_subscription(stamped.update):
            self._request(NO_SNAPSHOT, output)

    def _conflate(self, summary: BookSummary, output: BookOutput) -> None:
        held = self._held
        if held and held.time_ns // self._conflation_ns < summary.time_ns // self._conflation_ns:
            output.summaries.append(held)
        self._held = summary

    def _request(self, reason: str, output: BookOutput) -> None:
        now_ns = self._minutes.time_ns
        if now_ns < self._request_due_ns:
            return
        self._request_due_ns = now_ns + REQUEST_INTERVAL_NS
        book = self._minutes.book
        output.requests.append(
            SnapshotRequest(book.exchange, book.symbol, reason, utc_text(now_ns))
        )


def _is_subscription(update: BookUpdate | WholeBook) -> bool:
    """Return whether this only says how deep the book will be: its snapshot follows."""
    return isinstance(update, BookUpdate) and update.is_subscription
