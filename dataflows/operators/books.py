"""The operator of order books: updates in; summaries, minutes and snapshot requests out."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, TypeAlias

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream, StatefulBatchLogic
from typing_extensions import override

from connectors.process import clock, metrics
from dataflows.domain.books.book import Book
from dataflows.domain.books.publisher import BookOutput, BookPublisher, BookPublisherState
from dataflows.domain.books.reader import BookBatch
from dataflows.operators.keys import split_key
from schemas.errors import SequenceGapError
from schemas.numbers import exact
from schemas.settings import OrderbookSettings
from schemas.times import NS_PER_MS

log: Final = logging.getLogger("marketflow.books")

KeyedBookState: TypeAlias = tuple[str, BookPublisherState | None]


class BookLogic(StatefulBatchLogic[BookBatch, BookOutput, KeyedBookState]):
    """One order book: a summary of each change, minutes that became final, snapshot requests."""

    def __init__(self, settings: OrderbookSettings, state: KeyedBookState | None) -> None:
        self._conflation_ns = settings.conflation_ms * NS_PER_MS
        self._key, self._state = state or ("", None)
        self._publisher: BookPublisher | None = None
        self._was_valid: bool | None = None
        self._release_at_ns: int | None = None
        if state is not None:
            with exact():
                self._open()

    @override
    def on_batch(self, values: list[BookBatch]) -> tuple[Iterable[BookOutput], bool]:
        if self._publisher is None:
            self._key = values[0].key
        outputs = []
        with exact():
            for batch in values:
                publisher = self._publisher or self._open()
                output = publisher.fold(batch)
                if any(output):
                    _report(publisher, output)
                    outputs.append(output)
                _count(publisher.book)
                if batch.retired:
                    self._publisher = None
        self._note_validity(self._publisher.book.is_valid if self._publisher else None)
        if self._conflation_ns:
            self._set_release()
        return outputs, values[-1].retired

    @override
    def on_notify(self) -> tuple[Iterable[BookOutput], bool]:
        self._release_at_ns = None
        return self._released(), False

    @override
    def on_eof(self) -> tuple[Iterable[BookOutput], bool]:
        return self._released(), False

    @override
    def notify_at(self) -> datetime | None:
        if self._release_at_ns is None:
            return None
        return datetime.fromtimestamp(self._release_at_ns / 1_000_000_000, UTC)

    @override
    def snapshot(self) -> KeyedBookState:
        with exact():
            return self._key, self._publisher.state() if self._publisher else self._state

    def _open(self) -> BookPublisher:
        self._publisher = BookPublisher(*split_key(self._key), self._conflation_ns, self._state)
        self._state = None
        self._note_validity(self._publisher.book.is_valid)
        return self._publisher

    def _released(self) -> list[BookOutput]:
        summaries = self._publisher.release() if self._publisher else []
        return [BookOutput(summaries, [], [], [])] if summaries else []

    def _set_release(self) -> None:
        """Publish a held summary after `conflation_ms` even if the book stays quiet."""
        if self._publisher is None or not self._publisher.holds_summary:
            self._release_at_ns = None
        elif self._release_at_ns is None:
            self._release_at_ns = clock.now_ns() + self._conflation_ns

    def _note_validity(self, is_valid: bool | None) -> None:  # noqa: FBT001  # it is the value
        if is_valid == self._was_valid:
            return
        exchange = split_key(self._key)[0]
        for state, change in ((self._was_valid, -1), (is_valid, 1)):
            if state is not None:
                metrics.BOOKS.labels(exchange, str(state).lower()).inc(change)
        self._was_valid = is_valid


def _count(book: Book) -> None:
    if book.verified:
        metrics.CHECKSUMS.labels(book.exchange).inc(book.verified)
        book.verified = 0
    if book.sequence.stale:
        metrics.BOOKS_STALE.labels(book.exchange).inc(book.sequence.stale)
        book.sequence.stale = 0


def _report(publisher: BookPublisher, output: BookOutput) -> None:
    exchange = publisher.book.exchange
    for problem in output.problems:
        why = "gap" if isinstance(problem, SequenceGapError) else "checksum"
        metrics.BOOKS_LOST.labels(exchange, why).inc()
        log.warning("book lost: %s", problem)
    if output.requests:
        metrics.SNAPSHOT_REQUESTS.labels(exchange).inc(len(output.requests))


@operator
def books(
    step_id: str,  # noqa: ARG001  # taken by the decorator
    up: KeyedStream[BookBatch],
    settings: OrderbookSettings,
) -> KeyedStream[BookOutput]:
    """Keep the order book of each symbol.

    Args:
        step_id: Unique within the dataflow; part of the recovery state's key.
        up: Batches by `<exchange>:<symbol>`, as
            :class:`~dataflows.domain.books.reader.BookReader` makes them.
        settings: How much of a book is published.

    Returns:
        What each batch made of a book, by the same key, in the order of the log.
    """

    def builder(state: KeyedBookState | None) -> BookLogic:
        return BookLogic(settings, state)

    return op.stateful_batch("keep", up, builder)
