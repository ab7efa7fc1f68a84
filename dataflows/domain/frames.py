"""From the raw records of one partition to decoded frames by exchange, and dead letters.

Every dataflow of raw data begins with this; what it decodes, and what it makes of it, differs.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from dataflows.domain.event_time import future_problem
from schemas.errors import DecodeError
from schemas.exchanges import ExchangeDecoder
from schemas.feeds import Feed
from schemas.raw import RawMessage, RawRecords, logged_at_ns, received_at_ns
from schemas.records import DeadLetter, Salvaged
from schemas.settings import Settings

# The step of the dataflow that refuses records, as dead letters name it.
STEP: Final = "read"

# How many problems of one record its dead letter names.
PROBLEMS_NAMED: Final = 5

# Below this, decoding frames together costs as much as it saves.
SHORTEST_RUN: Final = 8

T = TypeVar("T")
S = TypeVar("S", bound="Stamped")
Decode: TypeAlias = Callable[[bytes, Feed], list[T]]
DecodeRun: TypeAlias = Callable[[Sequence[bytes], Feed], tuple[list[T], list[int] | None] | None]
"""Decodes many frames of one product at once, much faster than one by one: the records, and how
many each frame holds, `None` for one each. `None` in all if it cannot: :data:`Decode` decides."""


class Run(NamedTuple, Generic[T]):
    """Frames of one exchange that were decoded together."""

    exchange: str
    messages: Sequence[RawMessage]
    records: list[T]
    """In the order of the log but for products, which follow each other."""
    counts: list[int] | None
    """How many records each frame holds; `None` for one each."""
    places: list[int] | None
    """The places of the frames in `messages`, if their order is another one."""

    def frames(self) -> Iterable[tuple[RawMessage, Sequence[T]]]:
        """Return the messages with their records, in the order of the log."""
        parts: Iterable[Sequence[T]] = zip(self.records)
        if self.counts is not None:
            records = iter(self.records)
            parts = [list(islice(records, count)) for count in self.counts]
        if self.places is not None:
            parts = [part for _, part in sorted(zip(self.places, parts, strict=True), key=_place)]
        return zip(self.messages, parts, strict=True)


def _place(placed: tuple[int, object]) -> int:
    return placed[0]


class Batch(Generic[T]):
    """The frames of a batch by exchange, in the order of the log, and the records refused."""

    def __init__(self, run: Run[T] | None = None) -> None:
        self.run = run
        """All of the batch, if it is one."""
        self.frames: defaultdict[str, list[tuple[RawMessage, list[T]]]] = defaultdict(list)
        self.refused: dict[int | None, tuple[RawMessage, list[str]]] = {}

    def refuse(self, message: RawMessage, problem: str) -> None:
        """Note a problem; those of one record make one dead letter."""
        self.refused.setdefault(message.offset(), (message, []))[1].append(problem)


class Stamped(Protocol):
    """A record with the exchange's own time, if the exchange sends one."""

    @property
    def symbol(self) -> str:
        """The canonical symbol."""
        ...

    @property
    def time_ns(self) -> int | None:
        """The exchange's time."""
        ...


def with_times(
    batch: Batch[S], exchange: str, what: str, first_ns: int, now_ns: int, future_ns: int
) -> Iterator[tuple[RawMessage, S, int]]:
    """Yield the records of an exchange with the time that counts; refuse those from the future.

    Args:
        batch: Gets what is refused.
        exchange: Whose records.
        what: Names them in dead letters.
        first_ns: When the first record of the batch to be logged was logged.
        now_ns: The wall clock, for records that Kafka has not stamped.
        future_ns: How far a stamp may be ahead of its record.
    """
    latest_ns = first_ns + future_ns
    for message, records in batch.frames[exchange]:
        for record in records:
            time_ns = record.time_ns or received_at_ns(message) or now_ns
            if time_ns > latest_ns:
                logged_ns = logged_at_ns(message, now_ns)
                if time_ns > logged_ns + future_ns:
                    name = f"{what} of {record.symbol}"
                    batch.refuse(message, future_problem(name, time_ns, logged_ns, future_ns))
                    continue
            yield message, record, time_ns


def _without_run(decoder: ExchangeDecoder) -> None:
    del decoder


class FrameReader(Generic[T]):
    """The decoder of one partition's records.

    Args:
        settings: Exchanges, markets and owners.
        region: The region of the topic.
        topic: For dead letters.
        partition: For dead letters, and for the owner of records that name none.
        decode_of: Which of a decoder's functions to use.
        decode_run_of: The one for many frames, for decoders that have one.
    """

    def __init__(
        self,
        settings: Settings,
        region: str,
        topic: str,
        partition: int,
        decode_of: Callable[[ExchangeDecoder], Decode[T]],
        decode_run_of: Callable[[ExchangeDecoder], DecodeRun[T] | None] = _without_run,
    ) -> None:
        self._records = RawRecords(settings, region, partition)
        self._topic = topic
        self._partition = partition
        self._decode_of = decode_of
        self._decode_run_of = decode_run_of
        self.counts: Counter[str] = Counter()
        """Skipped frames and dead letters since it was last cleared."""

    def read(self, messages: Sequence[RawMessage]) -> Batch[T]:
        """Decode records; nothing in them makes it raise."""
        run = self._read_run(messages)
        if run is not None:
            return Batch(run)
        batch: Batch[T] = Batch()
        routes: dict[bytes | None, tuple[Feed, Decode[T], list[tuple[RawMessage, list[T]]]]] = {}
        for message in messages:
            key, value = message.key(), message.value()
            if value is None:  # a tombstone, which is legal and says nothing
                self.counts["skipped"] += 1
                continue
            try:
                route = routes.get(key)
                if route is None:
                    feed, decoder = self._records.feed(key)
                    route = feed, self._decode_of(decoder), batch.frames[feed.exchange]
                    routes[key] = route
                feed, decode, frames = route
                records = decode(value, feed)
            except DecodeError as error:
                self._read_envelope(message, batch, error)
                continue
            if isinstance(records, Salvaged):
                self._note_left_out(message, records, batch, f"{feed.exchange}: ")
            if records:
                frames.append((message, records))
            elif not isinstance(records, Salvaged):
                self._read_envelope(message, batch)
        return batch

    def dead_letters(self, batch: Batch[T]) -> list[tuple[str, DeadLetter]]:
        """Return the dead letters of a batch, by `<topic>/<partition>`."""
        self.counts["dead_letters"] += len(batch.refused)
        key = f"{self._topic}/{self._partition}"
        return [(key, self._dead_letter(*refused)) for refused in batch.refused.values()]

    def _read_run(self, messages: Sequence[RawMessage]) -> Run[T] | None:
        """Return the batch as one run: a busy partition sends little but trades of one exchange.

        Keys with a symbol share a decode, because the frames name their markets: it takes two
        thirds of the time of one frame after the other.
        """
        if len(messages) < SHORTEST_RUN:
            return None
        keys = [message.key() for message in messages]
        try:
            routes = {key: self._records.feed(key) for key in set(keys)}
        except DecodeError:
            return None
        feeds = {feed.product: (feed, decoder) for feed, decoder in routes.values()}
        exchanges = {feed.exchange for feed, _ in routes.values()}
        if len(exchanges) > 1:
            return None
        if len(feeds) == 1:
            return self._decode_group(messages, *feeds.popitem()[1])
        products = [routes[key][0].product for key in keys]
        records: list[T] = []
        counts: list[int] = []
        places: list[int] = []
        for product, route in feeds.items():
            places_of = [at for at, each in enumerate(products) if each == product]
            part = self._decode_group([messages[at] for at in places_of], *route)
            if part is None:
                return None
            records += part.records
            counts += part.counts or [1] * len(places_of)
            places += places_of
        return Run(exchanges.pop(), messages, records, counts, places)

    def _decode_group(
        self, messages: Sequence[RawMessage], feed: Feed, decoder: ExchangeDecoder
    ) -> Run[T] | None:
        """Return messages of one product as a run."""
        decode_run = self._decode_run_of(decoder)
        if decode_run is None:
            return None
        found = decode_run([message.value() or b"" for message in messages], feed)
        return None if found is None else Run(feed.exchange, messages, *found, None)

    def _read_envelope(
        self, message: RawMessage, batch: Batch[T], error: DecodeError | None = None
    ) -> None:
        """Read the record as an envelope, after no exchange had a use for it as a frame."""
        try:
            envelope = self._records.unwrap(message.key(), message.value() or b"")
        except DecodeError as broken:
            batch.refuse(message, str(broken))
            return
        if envelope is None:
            if error is None:
                self.counts["skipped"] += 1
            else:
                batch.refuse(message, str(error))
            return
        self.counts["skipped"] += envelope.skipped
        decode = self._decode_of(envelope.decoder)
        for index, frame in enumerate(envelope.frames):
            try:
                records = decode(frame, envelope.feed)
            except DecodeError as inner:
                batch.refuse(message, f"data[{index}]: {inner}")
                continue
            if isinstance(records, Salvaged):
                where = f"data[{index}]: {envelope.feed.exchange}: "
                self._note_left_out(message, records, batch, where)
            if records:
                batch.frames[envelope.feed.exchange].append((message, records))
            elif not isinstance(records, Salvaged):
                self.counts["skipped"] += 1

    def _note_left_out(
        self, message: RawMessage, records: Salvaged[T], batch: Batch[T], where: str
    ) -> None:
        self.counts["skipped"] += records.skipped
        for problem in records.problems:
            batch.refuse(message, f"{where}{problem}")

    def _dead_letter(self, message: RawMessage, problems: list[str]) -> DeadLetter:
        named = "; ".join(problems[:PROBLEMS_NAMED])
        more = len(problems) - PROBLEMS_NAMED
        return DeadLetter(
            topic=self._topic,
            partition=self._partition,
            offset=message.offset() or 0,
            key=message.key(),
            value=message.value(),
            headers=[*(message.headers() or ())],
            error=f"{named}; and {more} more" if more > 0 else named,
            step=STEP,
            exchange=self._exchange_of(message.key()),
        )

    def _exchange_of(self, key: bytes | None) -> str:
        try:
            return self._records.feed(key)[0].exchange
        except DecodeError:
            return "unknown"
