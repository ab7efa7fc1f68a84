"""From the raw records of one partition to book updates by symbol, each with the time it counts.

It keeps what belongs to the partition and not to a book: the event time of its exchanges. As for
trades, every decision falls for each update at its place in the log, and is stored with the
offset, so that it does not depend on how the log was cut into batches.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from dataflows.domain.books.whole import WholeBook, summarize, summarize_fast
from dataflows.domain.event_time import QUIET_MINUTES
from dataflows.domain.frames import Decode, FrameReader
from dataflows.domain.partition import PartitionReader
from schemas.envelope import is_envelope
from schemas.exchanges import ExchangeDecoder
from schemas.feeds import Feed
from schemas.numbers import exact
from schemas.raw import RawMessage, first_logged_ns, logged_at_ns, received_at_ns
from schemas.records import BookUpdate, DeadLetter, Salvaged
from schemas.settings import Settings
from schemas.times import NS_PER_MINUTE, NS_PER_MS, utc_text

STATE_VERSION: Final = 1

BookClockState: TypeAlias = tuple[int, int, list[int], dict[str, int]]


class StampedBookUpdate(msgspec.Struct, frozen=True, gc=False):
    """An update with the time that counts for it."""

    time_ns: int
    update: BookUpdate | WholeBook
    verify: bool
    """Whether its checksum can be compared; a collector's envelope has lost what it covers."""


class BookBatch(NamedTuple):
    """What one batch of a partition means for one book."""

    key: str
    """`<exchange>:<symbol>`"""
    updates: list[StampedBookUpdate]
    """In the order of the log."""
    final_before: int
    """Minutes before this one are final now; minutes count from the Unix epoch."""
    active: tuple[int, ...] = ()
    """Which of the minutes that have just become final had an update of any book of the exchange:
    in those, a quiet book is a row, in others its silence may be an outage."""
    retired: bool = False
    """The book was silent for so long that its state is given up."""


Item: TypeAlias = tuple[str, BookBatch] | tuple[str, DeadLetter]
"""Updates by `<exchange>:<symbol>`, and dead letters by `<topic>/<partition>`."""
ReaderState: TypeAlias = tuple[int, dict[str, BookClockState]]


class BookClock:
    """Event time of one exchange in one partition.

    Args:
        exchange: The exchange id, for the keys of its symbols.
        lateness_ns: How far past its end a minute becomes final.
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(
        self, exchange: str, lateness_ns: int, state: BookClockState | None = None
    ) -> None:
        self._exchange = exchange
        self._lateness_ns = lateness_ns
        self.newest_ns, final_before, active, last_minutes = state or (0, 0, [], {})
        self._set_final_before(final_before)
        self._told_final_before = self._final_before
        self._active = set(active)
        self._last_minutes = dict(last_minutes)
        self._updates: defaultdict[str, list[StampedBookUpdate]] = defaultdict(list)
        self._batches: list[BookBatch] = []

    def state(self) -> BookClockState:
        """A copy to store, plain values only; to be taken when everything was collected."""
        return self.newest_ns, self._final_before, sorted(self._active), dict(self._last_minutes)

    def take(self, time_ns: int, update: BookUpdate | WholeBook, *, verify: bool) -> None:
        """Takes an update in; one that is too late for its minute counts in the first open one.

        The state that it made exists from then on, whatever its stamp says.
        """
        if time_ns > self.newest_ns:
            self.newest_ns = time_ns
            if time_ns >= self._closes_ns and self._advance(time_ns) and self._any_retires():
                # A book is given up here in the log, not where this batch happens to end.
                self._close_batch()
        time_ns = max(time_ns, self._open_since_ns)
        self._active.add(time_ns // NS_PER_MINUTE)
        self._updates[update.symbol].append(StampedBookUpdate(time_ns, update, verify))

    def pass_time(self, silent_ns: int) -> None:
        """Moves event time on without an update: the exchange has been silent for this long."""
        self._advance(self.newest_ns + silent_ns)

    def finish(self) -> None:
        """Makes every minute final that has an update: there will be no more."""
        self._advance(self.newest_ns + NS_PER_MINUTE + self._lateness_ns)

    def collect(self) -> list[BookBatch]:
        """A batch of each book that has news: updates, or minutes that became final."""
        self._close_batch()
        batches, self._batches = self._batches, []
        return batches

    def _close_batch(self) -> None:
        updates, self._updates = self._updates, defaultdict(list)
        self._note_last_minutes(updates)
        active = self._newly_final()
        symbols = list(updates if active is None else self._last_minutes)
        self._batches += [
            BookBatch(
                f"{self._exchange}:{symbol}",
                updates.get(symbol, []),
                self._final_before,
                active or (),
                self._retires(symbol),
            )
            for symbol in symbols
        ]

    def _note_last_minutes(self, updates: Mapping[str, list[StampedBookUpdate]]) -> None:
        for symbol, found in updates.items():
            self._last_minutes[symbol] = found[-1].time_ns // NS_PER_MINUTE

    def _any_retires(self) -> bool:
        self._note_last_minutes(self._updates)
        oldest = self._final_before - QUIET_MINUTES
        return any(minute < oldest for minute in self._last_minutes.values())

    def _advance(self, newest_ns: int) -> bool:
        """Moves event time on; whether minutes became final."""
        final_before = (newest_ns - self._lateness_ns) // NS_PER_MINUTE
        if final_before <= self._final_before:
            return False
        self._set_final_before(final_before)
        return True

    def _set_final_before(self, minute: int) -> None:
        self._final_before = minute
        self._open_since_ns = minute * NS_PER_MINUTE
        self._closes_ns = self._open_since_ns + NS_PER_MINUTE + self._lateness_ns
        """When the first minute that is open becomes final."""

    def _newly_final(self) -> tuple[int, ...] | None:
        """Which of the minutes that became final were active; `None` where none became final."""
        if self._final_before <= self._told_final_before:
            return None
        active = tuple(sorted(at for at in self._active if at < self._final_before))
        self._active.difference_update(active)
        self._told_final_before = self._final_before
        return active

    def _retires(self, symbol: str) -> bool:
        if self._last_minutes[symbol] >= self._final_before - QUIET_MINUTES:
            return False
        del self._last_minutes[symbol]
        return True


class BookReader(PartitionReader[Item]):
    """Reads one partition of an order book topic.

    Args:
        settings: Lateness, exchanges, owners.
        region: The region of the topic.
        topic: For dead letters.
        partition: For dead letters, and for the owner of records that name none.
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(
        self,
        settings: Settings,
        region: str,
        topic: str,
        partition: int,
        state: ReaderState | None = None,
    ) -> None:
        times = settings.taker_volume
        self._lateness_ns = times.lateness_ms * NS_PER_MS
        self._future_ns = times.future_limit_ms * NS_PER_MS
        self._idle_close_ns = times.idle_close_ms * NS_PER_MS
        self._frames: FrameReader[BookUpdate | WholeBook] = FrameReader(
            settings, region, topic, partition, _decode_books
        )
        self._clocks = {
            exchange: BookClock(exchange, self._lateness_ns, clock)
            for exchange, clock in (state[1] if state else {}).items()
        }

    @property
    def counts(self) -> Counter[str]:
        """Updates, skipped frames and dead letters since it was last cleared."""
        return self._frames.counts

    @property
    def newest_ns(self) -> int:
        """The newest time of an exchange that it has read, 0 for none."""
        return max((clock.newest_ns for clock in self._clocks.values()), default=0)

    def read(self, messages: Sequence[RawMessage], now_ns: int) -> list[Item]:
        """What a batch of records means for each book, and the records that mean nothing.

        Args:
            messages: In the order of the log.
            now_ns: The wall clock, for records that Kafka has not stamped.
        """
        with exact():
            batch = self._frames.read(messages)
        latest_ns = first_logged_ns(messages, now_ns) + self._future_ns
        for exchange, frames in batch.frames.items():
            clock = self._clock(exchange)
            for message, updates in frames:
                for update in updates:
                    time_ns = update.time_ns or received_at_ns(message) or now_ns
                    if time_ns > latest_ns:
                        logged_ns = logged_at_ns(message, now_ns)
                        if time_ns > logged_ns + self._future_ns:
                            batch.refuse(message, self._future(update.symbol, time_ns, logged_ns))
                            continue
                    clock.take(time_ns, update, verify=_is_verifiable(update, message))
        return [*self._collect(), *self._frames.dead_letters(batch)]

    def idle(self, silent_ns: int) -> list[Item]:
        """Moves event time on by the wall clock while a caught-up partition is silent."""
        if silent_ns < self._idle_close_ns:
            return []
        for clock in self._clocks.values():
            clock.pass_time(silent_ns)
        return self._collect()

    def finish(self) -> list[Item]:
        """Makes every minute final: the input has an end, and this is it."""
        for clock in self._clocks.values():
            clock.finish()
        return self._collect()

    def state(self) -> ReaderState:
        """A copy to store, plain values only."""
        return STATE_VERSION, {name: clock.state() for name, clock in self._clocks.items()}

    def _clock(self, exchange: str) -> BookClock:
        clock = self._clocks.get(exchange)
        if clock is None:
            clock = self._clocks[exchange] = BookClock(exchange, self._lateness_ns)
        return clock

    def _collect(self) -> list[Item]:
        batches = [batch for clock in self._clocks.values() for batch in clock.collect()]
        self.counts["book_updates"] += sum([len(batch.updates) for batch in batches])
        return [(batch.key, batch) for batch in batches]

    def _future(self, symbol: str, time_ns: int, logged_ns: int) -> str:
        return (
            f"future: book of {symbol} at {utc_text(time_ns)}, expected at most "
            f"{self._future_ns // NS_PER_MS} ms after its record, {utc_text(logged_ns)}"
        )


def _is_verifiable(update: BookUpdate | WholeBook, message: RawMessage) -> bool:
    if isinstance(update, WholeBook) or update.checksum is None:
        return False
    return not is_envelope(message.value() or b"")


def _no_columns(frame: bytes) -> None:
    del frame


def _decode_books(decoder: ExchangeDecoder) -> Decode[BookUpdate | WholeBook]:
    decode_books = decoder.decode_books
    decode_columns = decoder.decode_book_columns or _no_columns

    def decode(frame: bytes, feed: Feed) -> list[BookUpdate | WholeBook]:
        columns = decode_columns(frame)
        book = None if columns is None else summarize_fast(columns, frame, feed, decode_books)
        if book is not None:
            return [book]
        updates = decode_books(frame, feed)
        if not (updates and updates[0].is_snapshot):
            return updates  # type: ignore[return-value]  # nobody will put a whole one into it
        wholes = [
            summarize(update, frame, feed, decode_books, index)
            for index, update in enumerate(updates)
        ]
        if isinstance(updates, Salvaged):
            return Salvaged(wholes, updates.problems, updates.skipped)
        return wholes

    return decode
