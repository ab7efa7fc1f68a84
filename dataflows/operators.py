"""The operators of the project, as Bytewax operators; the windowed one takes trades, gives minutes.

Bytewax's own windows are not used: their ``EventClock`` declares the backlog of a restart late,
opens closed windows again with partial results, and spins while it waits. Here the watermark
comes with the data, from the partition that was read, and state is never given up early.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, TypeVar

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream, StatefulBatchLogic
from typing_extensions import override

from connectors import clock, metrics
from dataflows.domain.book_feed import BookFeed, BookFeedState, BookOutput
from dataflows.domain.book_reader import BookBatch
from dataflows.domain.minutes import SymbolMinutes, SymbolState, TradeBatch
from dataflows.domain.tickers import SymbolTicker, TickerBatch, TickerState
from schemas.errors import SequenceGapError
from schemas.records import TakerVolume, Ticker
from schemas.settings import OrderbookSettings, TakerVolumeSettings

log: Final = logging.getLogger("marketflow.books")

MS_NS = 1_000_000

V = TypeVar("V")
LogicState: TypeAlias = tuple[str, SymbolState]
KeyedBookState: TypeAlias = tuple[str, BookFeedState | None]
KeyedTickerState: TypeAlias = tuple[str, TickerState | None]


class MinutesLogic(StatefulBatchLogic[TradeBatch, list[TakerVolume], LogicState]):
    """One symbol: final and revised minutes at once, estimates at most once an interval."""

    def __init__(self, settings: TakerVolumeSettings, state: LogicState | None) -> None:
        self._horizon_minutes = settings.correction_horizon_ms // 60_000
        self._interval_ns = settings.estimate_interval_ms * MS_NS
        self._estimate_due_ns: int | None = None
        self._estimated_ns = 0
        self._minutes: SymbolMinutes | None = None
        if state is not None:
            self._minutes = self._symbol(state[0], state[1])

    @override
    def on_batch(self, values: list[TradeBatch]) -> tuple[Iterable[list[TakerVolume]], bool]:
        if self._minutes is None:
            self._minutes = self._symbol(values[0].key)
        minutes = self._minutes
        duplicates_before = minutes.duplicates
        rows: list[TakerVolume] = []
        for batch in values:
            rows += minutes.fold(batch)
        if minutes.duplicates > duplicates_before:
            new = minutes.duplicates - duplicates_before
            metrics.DUPLICATES.labels(minutes.exchange).inc(new)
        revisions = sum([row.revision > 1 for row in rows])
        if revisions:
            metrics.REVISIONS.labels(minutes.exchange).inc(revisions)
        rows += self._due_estimates(minutes)
        return ([rows] if rows else []), values[-1].retired

    @override
    def on_notify(self) -> tuple[Iterable[list[TakerVolume]], bool]:
        rows = self._due_estimates(self._minutes) if self._minutes else []
        return ([rows] if rows else []), False

    @override
    def on_eof(self) -> tuple[Iterable[list[TakerVolume]], bool]:
        # The open minutes stay open: a drained flow goes on with them after its restart.
        rows = self._minutes.estimates() if self._minutes else []
        return ([rows] if rows else []), False

    @override
    def notify_at(self) -> datetime | None:
        if self._estimate_due_ns is None:
            return None
        return datetime.fromtimestamp(self._estimate_due_ns / 1_000_000_000, UTC)

    @override
    def snapshot(self) -> LogicState:
        assert self._minutes is not None  # noqa: S101  # a key exists because of a batch
        return f"{self._minutes.exchange}:{self._minutes.symbol}", self._minutes.state()

    def _symbol(self, key: str, state: SymbolState | None = None) -> SymbolMinutes:
        return SymbolMinutes(*split_key(key), self._horizon_minutes, state)

    def _due_estimates(self, minutes: SymbolMinutes) -> list[TakerVolume]:
        if not minutes.has_estimates:
            self._estimate_due_ns = None
            return []
        now_ns = clock.now_ns()
        due_ns = self._estimated_ns + self._interval_ns
        if now_ns < due_ns <= now_ns + self._interval_ns:  # a clock set back must not silence it
            self._estimate_due_ns = due_ns
            return []
        self._estimated_ns, self._estimate_due_ns = now_ns, None
        return minutes.estimates()


def split_key(key: str) -> tuple[str, str]:
    """Exchange and symbol of a key, `<exchange>:<symbol>`."""
    exchange, _, symbol = key.partition(":")
    return exchange, symbol


def only(kind: type[V]) -> Callable[[list[tuple[str, Any]]], list[tuple[str, V]]]:
    """A mapper for ``op.flat_map_batch`` that lets keyed values of one type through."""

    def select(items: list[tuple[str, Any]]) -> list[tuple[str, V]]:
        return [item for item in items if isinstance(item[1], kind)]

    return select


@operator
def minutes(
    step_id: str,  # noqa: ARG001  # taken by the decorator
    up: KeyedStream[TradeBatch],
    settings: TakerVolumeSettings,
) -> KeyedStream[list[TakerVolume]]:
    """Folds the trades of each symbol into minutes.

    Args:
        step_id: Unique within the dataflow; part of the recovery state's key.
        up: Batches by `<exchange>:<symbol>`, as
            :class:`~dataflows.domain.trade_reader.TradeReader` makes them.
        settings: How long a minute can be corrected, how often it is estimated.

    Returns:
        The rows of each batch by the same key: live estimates, final figures, revisions.
    """

    def builder(state: LogicState | None) -> MinutesLogic:
        return MinutesLogic(settings, state)

    return op.stateful_batch("fold", up, builder)


class TickersLogic(StatefulBatchLogic[TickerBatch, list[Ticker], KeyedTickerState]):
    """One symbol: each update that says something new is a ticker."""

    def __init__(self, state: KeyedTickerState | None) -> None:
        self._key, self._state = state or ("", None)
        self._ticker: SymbolTicker | None = None

    @override
    def on_batch(self, values: list[TickerBatch]) -> tuple[Iterable[list[Ticker]], bool]:
        ticker = self._ticker
        if ticker is None:
            self._key = values[0].key
            ticker = self._ticker = SymbolTicker(*split_key(self._key), self._state)
        found = [
            ticker.apply(stamped.time_ns, stamped.update)
            for batch in values
            for stamped in batch.updates
        ]
        tickers = [made for made in found if made is not None]
        if len(tickers) < len(found):
            _count_dropped(ticker)
        return ([tickers] if tickers else []), False

    @override
    def snapshot(self) -> KeyedTickerState:
        return self._key, self._ticker.state() if self._ticker else self._state


def _count_dropped(ticker: SymbolTicker) -> None:
    for reason in ("late", "duplicates", "waiting"):
        count = getattr(ticker, reason)
        if count:
            metrics.TICKERS_LEFT_OUT.labels(ticker.exchange, reason).inc(count)
            setattr(ticker, reason, 0)


@operator
def tickers(
    step_id: str,  # noqa: ARG001  # taken by the decorator
    up: KeyedStream[TickerBatch],
) -> KeyedStream[list[Ticker]]:
    """Merges the updates of each symbol into tickers.

    Args:
        step_id: Unique within the dataflow; part of the recovery state's key.
        up: Batches by `<exchange>:<symbol>`, as
            :class:`~dataflows.domain.ticker_reader.TickerReader` makes them.

    Returns:
        The tickers of each batch by the same key, in the order of the log.
    """
    return op.stateful_batch("merge", up, TickersLogic)


class BookLogic(StatefulBatchLogic[BookBatch, BookOutput, KeyedBookState]):
    """One order book: a summary of each change, minutes that became final, snapshot requests."""

    def __init__(self, settings: OrderbookSettings, state: KeyedBookState | None) -> None:
        self._conflation_ns = settings.conflation_ms * MS_NS
        self._key, self._state = state or ("", None)
        self._feed: BookFeed | None = None
        self._was_valid: bool | None = None
        self._release_at_ns: int | None = None
        if state is not None:
            self._open()

    @override
    def on_batch(self, values: list[BookBatch]) -> tuple[Iterable[BookOutput], bool]:
        if self._feed is None:
            self._key = values[0].key
        outputs = []
        for batch in values:
            feed = self._feed or self._open()
            output = feed.fold(batch)
            if any(output):
                _report(feed, output)
                outputs.append(output)
            if batch.retired:
                self._feed = None
        self._note_validity(self._feed.book.is_valid if self._feed else None)
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
        return self._key, self._feed.state() if self._feed else self._state

    def _open(self) -> BookFeed:
        self._feed = BookFeed(*split_key(self._key), self._conflation_ns, self._state)
        self._state = None
        self._note_validity(self._feed.book.is_valid)
        return self._feed

    def _released(self) -> list[BookOutput]:
        summaries = self._feed.release() if self._feed else []
        return [BookOutput(summaries, [], [], [])] if summaries else []

    def _set_release(self) -> None:
        """A quiet book must not keep its last state to itself: the wall clock ends its time."""
        if self._feed is None or not self._feed.holds_summary:
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


def _report(feed: BookFeed, output: BookOutput) -> None:
    exchange = feed.book.exchange
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
    """Keeps the order book of each symbol.

    Args:
        step_id: Unique within the dataflow; part of the recovery state's key.
        up: Batches by `<exchange>:<symbol>`, as
            :class:`~dataflows.domain.book_reader.BookReader` makes them.
        settings: How much of a book is published.

    Returns:
        What each batch made of a book, by the same key, in the order of the log.
    """

    def builder(state: KeyedBookState | None) -> BookLogic:
        return BookLogic(settings, state)

    return op.stateful_batch("keep", up, builder)
