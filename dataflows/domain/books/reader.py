"""From the raw records of one partition to book updates by symbol, each with the time it counts.

It keeps what belongs to the partition and not to a book: the event time of its exchanges, and what
the collector said of their feeds. As for trades, each update is judged at its own place in the
log, and what was decided is stored with the offset, so that it does not depend on how the log was
cut into batches.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from dataflows.domain.books.minutes import KEPT_MINUTES
from dataflows.domain.books.whole import WholeBook, decode_of
from dataflows.domain.coverage import Coverage, CoverageState, Span, concerns
from dataflows.domain.event_time import QUIET_MINUTES, EventTime, Limits, OneMarkState
from dataflows.domain.frames import FrameReader, with_times
from dataflows.domain.partition import PartitionReader
from dataflows.domain.states import checked
from schemas.envelope import is_envelope
from schemas.errors import DecodeError
from schemas.feed_status import FeedStatus, decode_feed_status
from schemas.numbers import exact
from schemas.raw import RawMessage, first_logged_ns
from schemas.records import BookUpdate, DeadLetter
from schemas.settings import Settings
from schemas.times import NS_PER_MINUTE, NS_PER_MS

STATE_VERSION: Final = 2
KIND: Final = "orderbook"


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
    coverage: list[Span] | None = None
    """What the collector said of the book's stream, where that is news."""


Item: TypeAlias = tuple[str, BookBatch] | tuple[str, DeadLetter]
"""Updates by `<exchange>:<symbol>`, and dead letters by `<topic>/<partition>`."""
ReaderState: TypeAlias = tuple[
    int, dict[str, OneMarkState], dict[str, CoverageState], dict[int, Any]
]
"""Version, the clocks and the coverage of the exchanges, the readers of their other partitions."""


class BookClock:
    """What one exchange said of its books in one partition, and when.

    Silence makes minutes of books final by itself: a late update counts in the first open one,
    since the state that it made exists from then on.

    Args:
        exchange: The exchange id, for the keys of its symbols.
        limits: How far past its end a minute becomes final.
        coverage: What the collector said of its books' feeds.
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(
        self,
        exchange: str,
        limits: Limits,
        coverage: Coverage,
        state: OneMarkState | None = None,
    ) -> None:
        self.time = EventTime.with_one_mark(limits, state or (0, 0, [], {}))
        self._exchange = exchange
        self._lateness_ns = limits.lateness_ns
        self._coverage = coverage
        self._to_tell: set[str] = set()
        """Symbols whose coverage is news."""
        self._updates: defaultdict[str, list[StampedBookUpdate]] = defaultdict(list)
        self._batches: list[BookBatch] = []

    def state(self) -> OneMarkState:
        """Return a copy to store, of plain values only; call it when everything was collected."""
        return self.time.one_mark_state()

    def take(self, time_ns: int, update: BookUpdate | WholeBook, *, verify: bool) -> None:
        """Take an update in; one that is too late for its minute counts in the first open one."""
        time = self.time
        if time_ns > time.newest_ns:
            time.newest_ns = time_ns
            if time_ns >= time.next_final_ns and time.advance(time_ns) and self._any_retires():
                # A book is given up here in the log, not where this batch happens to end.
                self._close_batch()
        time_ns = max(time_ns, time.final_from_ns)
        time.active.add(time_ns // NS_PER_MINUTE)
        self._updates[update.symbol].append(StampedBookUpdate(time_ns, update, verify))

    def pass_time(self, silent_ns: int) -> None:
        """Move event time on without an update: the exchange has been silent for this long."""
        self.time.advance(self.time.newest_ns + silent_ns)

    def follow(self, newest_ns: int) -> None:
        """Make minutes final that are so in another partition, while nothing waits in this one."""
        self.time.advance(newest_ns)

    def note_active(self, minutes: Iterable[int]) -> None:
        """Note minutes in which the exchange had updates in another partition."""
        self.time.active.update(at for at in minutes if at >= self.time.final_before)

    def note(self, status: FeedStatus) -> None:
        """Note a record of `feed-status` that the coverage knows already."""
        self._to_tell |= {symbol for symbol in self.time.last_minutes if concerns(status, symbol)}

    def finish(self, newest_ns: int = 0) -> None:
        """Make every minute final that has an update: there will be no more.

        Args:
            newest_ns: Newest time of the exchange in its other partitions.
        """
        end_ns = max(self.time.newest_ns, newest_ns) + NS_PER_MINUTE
        self.time.advance(end_ns + self._lateness_ns)

    def collect(self) -> list[BookBatch]:
        """Return a batch of each book that has news: updates, final minutes, coverage."""
        self._close_batch()
        batches, self._batches = self._batches, []
        return batches

    def _close_batch(self) -> None:
        updates, self._updates = self._updates, defaultdict(list)
        self._note_last_minutes(updates)
        active = self.time.report()
        to_tell, self._to_tell = self._to_tell, set()
        symbols = list({**updates, **dict.fromkeys(sorted(to_tell))})
        if active is not None:
            symbols = list(self.time.last_minutes)
        self._batches += [
            BookBatch(
                f"{self._exchange}:{symbol}",
                updates.get(symbol, []),
                self.time.final_before,
                active or (),
                self.time.retire(symbol),
                self._coverage_of(symbol) if symbol in to_tell else None,
            )
            for symbol in symbols
        ]

    def _coverage_of(self, symbol: str) -> list[Span]:
        timeline = self._coverage.timeline(symbol)
        timeline.forget(self.time.final_before - KEPT_MINUTES)
        return timeline.state()

    def _note_last_minutes(self, updates: Mapping[str, list[StampedBookUpdate]]) -> None:
        last_minutes = self.time.last_minutes
        for symbol, found in updates.items():
            if self._coverage.is_known and symbol not in last_minutes:
                self._to_tell.add(symbol)
            last_minutes[symbol] = found[-1].time_ns // NS_PER_MINUTE

    def _any_retires(self) -> bool:
        self._note_last_minutes(self._updates)
        oldest = self.time.final_before - QUIET_MINUTES
        return any(minute < oldest for minute in self.time.last_minutes.values())


class BookReader(PartitionReader[Item]):
    """The reader of one partition of an order book topic.

    Args:
        settings: Lateness, exchanges, owners.
        region: The region of the topic.
        topic: For dead letters.
        partition: For dead letters, and for the owner of records that name none.
        state: What :meth:`state` gave, to go on from there.
        reads_along: Only for the times of its exchange, which another partition has as well.
    """

    def __init__(
        self,
        settings: Settings,
        region: str,
        topic: str,
        partition: int,
        state: Any = None,
        *,
        reads_along: bool = False,
    ) -> None:
        times = settings.taker_volume
        self._topic = topic
        self._limits = Limits(
            lateness_ns=times.lateness_ms * NS_PER_MS,
            horizon_ns=KEPT_MINUTES * NS_PER_MINUTE,
            future_ns=times.future_limit_ms * NS_PER_MS,
        )
        self._idle_close_ns = times.idle_close_ms * NS_PER_MS
        self._frames: FrameReader[BookUpdate | WholeBook] = FrameReader(
            settings, region, topic, partition, decode_of
        )
        clocks, coverages, others = _upgraded(state)
        self._coverages = {
            exchange: Coverage(coverages.get(exchange, ({}, {})))
            for exchange, known in settings.exchanges.items()
            if known.region == region
        }
        siblings = [] if reads_along else settings.other_partitions(region, partition)
        self._others = {
            other: (
                exchange,
                BookReader(settings, region, topic, other, others.get(other), reads_along=True),
            )
            for exchange, other in siblings
        }
        self._clocks: dict[str, BookClock] = {}
        for exchange, clock in clocks.items():
            self._add_clock(exchange, clock)

    @property
    def counts(self) -> Counter[str]:
        """Updates, skipped frames and dead letters since it was last cleared."""
        return self._frames.counts

    @property
    def newest_ns(self) -> int:
        """The newest time of an exchange that it has read, 0 for none."""
        return max((clock.time.newest_ns for clock in self._clocks.values()), default=0)

    def read(self, messages: Sequence[RawMessage], now_ns: int) -> list[Item]:
        """Return what records mean for each book, and the records that mean nothing.

        Args:
            messages: In the order of the log.
            now_ns: The wall clock, for records that Kafka has not stamped.
        """
        with exact():
            batch = self._frames.read(messages)
        first_ns = first_logged_ns(messages, now_ns)
        for exchange in batch.frames:
            clock = self._clock(exchange)
            timed = with_times(batch, exchange, "book", first_ns, now_ns, self._limits.future_ns)
            for message, update, time_ns in timed:
                clock.take(time_ns, update, verify=_is_verifiable(update, message))
        return [*self._collect(), *self._frames.dead_letters(batch)]

    def note(
        self, topic: str, partition: int, messages: Sequence[RawMessage], now_ns: int
    ) -> list[Item]:
        """Note records of `feed-status`, or of another partition of the same exchange."""
        if topic == self._topic and partition in self._others:
            exchange, reader = self._others[partition]
            minutes = {
                stamped.time_ns // NS_PER_MINUTE
                for _, item in reader.read(messages, now_ns)
                if isinstance(item, BookBatch)
                for stamped in item.updates
            }
            self._clock(exchange).note_active(minutes)
            return []
        for message in messages:
            try:
                status = decode_feed_status(message.value())
            except DecodeError:
                # The dataflow that stores these records makes the dead letter.
                self.counts["statuses_not_understood"] += 1
                continue
            coverage = self._coverages.get(status.exchange)
            if coverage is not None and status.kind == KIND:
                coverage.apply(status)
                if status.exchange in self._clocks:
                    self._clocks[status.exchange].note(status)
        return self._collect()

    def idle(self, silent_ns: int) -> list[Item]:
        """Move event time on by the wall clock while a caught-up partition is silent."""
        for exchange, reader in self._others.values():
            self._clock(exchange).follow(reader.newest_ns)
        if silent_ns >= self._idle_close_ns:
            for clock in self._clocks.values():
                clock.pass_time(silent_ns)
        return self._collect()

    def finish(self) -> list[Item]:
        """Make every minute final: the input has an end, and this is it."""
        for exchange, clock in self._clocks.items():
            others = [known.newest_ns for name, known in self._others.values() if name == exchange]
            clock.finish(max(others, default=0))
        return self._collect()

    def state(self) -> ReaderState:
        """Return a copy to store, of plain values only."""
        return (
            STATE_VERSION,
            {name: clock.state() for name, clock in self._clocks.items()},
            {name: known.state() for name, known in self._coverages.items() if known.is_known},
            {partition: reader.state() for partition, (_, reader) in self._others.items()},
        )

    def _clock(self, exchange: str) -> BookClock:
        return self._clocks.get(exchange) or self._add_clock(exchange)

    def _add_clock(self, exchange: str, state: OneMarkState | None = None) -> BookClock:
        # A key may name an exchange of another region.
        coverage = self._coverages.setdefault(exchange, Coverage())
        clock = BookClock(exchange, self._limits, coverage, state)
        self._clocks[exchange] = clock
        return clock

    def _collect(self) -> list[Item]:
        batches = [batch for clock in self._clocks.values() for batch in clock.collect()]
        self.counts["book_updates"] += sum([len(batch.updates) for batch in batches])
        return [(batch.key, batch) for batch in batches]


def _upgraded(
    state: Any,
) -> tuple[dict[str, OneMarkState], dict[str, CoverageState], dict[int, Any]]:
    if state is None:
        return {}, {}, {}
    if checked("a reader of order books", state, STATE_VERSION) == 1:
        return state[1], {}, {}
    return state[1], state[2], state[3]


def _is_verifiable(update: BookUpdate | WholeBook, message: RawMessage) -> bool:
    if isinstance(update, WholeBook) or update.checksum is None:
        return False
    return not is_envelope(message.value() or b"")
