"""The Kafka source of every dataflow: whole batches, explicit offsets, nothing lost in silence.

One Bytewax partition is one Kafka partition, read by a client of its own at offsets of our own:
never by the group's. A *reader* (pure, from ``dataflows.domain``) turns each batch into keyed
items; what it knows of the partition is stored together with the offset, in one snapshot.

- An offset that the log no longer has is counted and reported, then reading goes on at the oldest.
- Offsets are committed to the contract's consumer group once they are durable, for lag tools only.
- SIGTERM (:mod:`dataflows.runtime`) ends each partition at a batch boundary, after a last snapshot.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias, TypeVar

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from typing_extensions import override

from connectors.kafka.clients import ConnectionErrors, make_client
from connectors.kafka.offsets import METADATA_TIMEOUT_SECONDS, GroupOffset, offset_of, watermarks
from connectors.kafka.readers import MakeReader, Reader
from connectors.kafka.side import SideLogs
from connectors.kafka.topics import topic_ids
from connectors.process import clock, metrics
from connectors.process.environment import Shard
from connectors.process.lifecycle import HEART, STOP
from schemas.errors import SettingsError, StateTooNewError, UnavailableError
from schemas.settings import KafkaSettings
from schemas.times import NS_PER_MS

log: Final = logging.getLogger("marketflow.kafka")

# How long a partition without news sleeps: it bounds both the latency of a quiet market and the
# cost of a silent one, 50 empty reads a second.
EMPTY_READ_PAUSE: Final = timedelta(milliseconds=20)
SIDE_KBYTES: Final = 4_096
SIDE_PAUSE: Final = timedelta(milliseconds=5)
LAG_INTERVAL_NS: Final = 1_000_000_000
IDLE_INTERVAL_NS: Final = 1_000_000_000
IDLE_ANSWER_SECONDS: Final = 0.5
# Other partitions wait for an answer that does not come.
IDLE_RETRY_NS: Final = 5_000_000_000
# Without an answer for this long, nobody knows whether the exchange was silent.
IDLE_GAP_NS: Final = 3 * IDLE_INTERVAL_NS
# A batch whose records are older than this, with more behind it, is of a backlog.
BACKLOG_NS: Final = 5_000_000_000
SNAPSHOT_VERSION: Final = 3
WHOLE: Final = Shard(0, 1)

X = TypeVar("X")
Snapshot: TypeAlias = tuple[int, int, Any, str | None, dict[str, int]]
"""Version, the next offset, the reader's state, the id of the topic whose offset it is, and the
offsets of the logs that are read along."""
Place: TypeAlias = tuple[str, int]
"""A topic and a partition of it."""


class KafkaSource(FixedPartitionedSource[X, Snapshot]):
    """The source of topics, each partition through a reader.

    Args:
        client_config: librdkafka options; at least ``bootstrap.servers``.
        groups: The consumer group for each topic to read.
        make_reader: Makes the reader of a partition.
        settings: Batch sizes and limits.
        shard: Which partitions are this process's.
        stop_at_end: End each partition where its log ended at the start.
        read_along: Which other logs the reader of a partition must know, and ahead of it.
        is_optional: A topic that is missing has nothing to read, instead of being an error.
    """

    def __init__(
        self,
        client_config: Mapping[str, str],
        groups: Mapping[str, str],
        make_reader: MakeReader[X],
        settings: KafkaSettings,
        *,
        shard: Shard = WHOLE,
        stop_at_end: bool = False,
        read_along: Callable[[str, int], Sequence[Place]] | None = None,
        is_optional: bool = False,
    ) -> None:
        self._client_config = dict(client_config)
        self._groups = dict(groups)
        self._make_reader = make_reader
        self._settings = settings
        self._shard = shard
        self._stop_at_end = stop_at_end
        self._read_along = read_along
        self._is_optional = is_optional
        self._part_count = 1
        self._topic_ids: dict[str, str] = {}

    @override
    def list_parts(self) -> list[str]:
        # What it has to say comes as an exception; its log would repeat it a hundred times.
        errors = ConnectionErrors(self._client_config.get("bootstrap.servers", ""))
        quiet = {"log_level": 0, "error_cb": errors.note, "group.id": self._settings.tools_group}
        client = make_client(Consumer, {**self._client_config, **quiet})
        try:
            parts = [
                f"{topic}/{partition}"
                for topic in self._groups
                for partition in _partitions(client, topic, errors, is_optional=self._is_optional)
                if self._shard.owns(partition)
            ]
        finally:
            client.close()
        self._part_count = max(1, len(parts))
        self._topic_ids = topic_ids(self._client_config, list(self._groups))
        return parts

    @override
    def build_part(
        self, step_id: str, for_part: str, resume_state: Snapshot | None
    ) -> "KafkaPartition[X]":
        topic, _, partition = for_part.rpartition("/")
        # The first version had no topic id, the second no logs that are read along.
        version, offset, reader_state, *named = resume_state or (SNAPSHOT_VERSION, None, None)
        if version > SNAPSHOT_VERSION:
            raise StateTooNewError(
                f"the recovery store holds {for_part} in version {version}, expected up to "
                f"{SNAPSHOT_VERSION}: a newer release wrote it; start that release, or begin with "
                "an empty store"
            )
        side_offsets: Any = named[1] if len(named) > 1 else {}
        topic_id = self._topic_ids.get(topic)
        if named and named[0] and topic_id and named[0] != topic_id:
            log.error(
                "%s/%s: the topic was re-created since offset %s was read of it; "
                "reading it from its start", topic, partition, offset,
            )  # fmt: skip
            offset = None
        reader = self._make_reader(topic, int(partition), reader_state)
        if offset is None and reader_state is not None:
            reader.lose()
        consumer = Consumer(self._consumer_config(self._groups[topic]))
        return KafkaPartition(
            consumer,
            TopicPartition(topic, int(partition)),
            offset,
            reader,
            self._settings.batch_messages,
            topic_id=topic_id,
            stop_at_end=self._stop_at_end,
            side=self._side_logs(topic, int(partition), side_offsets),
        )

    def _side_logs(self, topic: str, partition: int, offsets: Mapping[str, int]) -> SideLogs | None:
        places = self._read_along(topic, partition) if self._read_along else ()
        if not places:
            return None
        config = self._consumer_config(self._groups[topic])
        return SideLogs({**config, "queued.max.messages.kbytes": SIDE_KBYTES}, places, offsets)

    def _consumer_config(self, group: str) -> dict[str, Any]:
        # All partitions of a worker share one budget of prefetched bytes: 64 MB for each of
        # them, librdkafka's default, is what fills a pod's memory after an outage.
        buffer_kbytes = max(1024, self._settings.fetch_buffer_kbytes // self._part_count)
        return {
            # Once its queue is full, librdkafka pauses for a second unless told otherwise.
            "fetch.queue.backoff.ms": 5,
            # More costs 30 MB and brings nothing.
            "queued.min.messages": 100_000,
            "queued.max.messages.kbytes": buffer_kbytes,
            "fetch.message.max.bytes": min(4_000_000, buffer_kbytes * 1024),
            "fetch.wait.max.ms": 100,
            **self._client_config,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "error_cb": _report_error,
        }


class KafkaPartition(StatefulSourcePartition[X, Snapshot]):
    """One partition being read; made by :class:`KafkaSource`."""

    def __init__(
        self,
        consumer: Consumer,
        where: TopicPartition,
        resume_offset: int | None,
        reader: Reader[X],
        batch_messages: int,
        *,
        topic_id: str | None,
        stop_at_end: bool,
        side: SideLogs | None = None,
    ) -> None:
        self._consumer = consumer
        self._side = side
        self._topic_id = topic_id
        self._topic, self._partition = where.topic, where.partition
        self._labels = (self._topic, str(self._partition))
        self._reader = reader
        self._batch_messages = batch_messages
        low, high = watermarks(consumer, where)
        self._offset = self._checked_start(resume_offset, low, high)
        self._end_offset = high if stop_at_end else None
        self._group_offset = GroupOffset(consumer, where.topic, where.partition)
        self._finished = False
        now_ns = time.monotonic_ns()
        self._lag_shown_ns = now_ns
        self._ask_at_ns = now_ns + IDLE_INTERVAL_NS
        self._silent_since_ns = self._answered_ns = now_ns
        self._next_awake: datetime | None = None
        self._consumer.assign([TopicPartition(self._topic, self._partition, self._offset)])

    @override
    def next_batch(self) -> list[X]:
        HEART.beat()
        self._group_offset.show()
        self._next_awake = None
        if STOP.is_set or self._finished:
            raise StopIteration
        noted = self._note_side_logs()
        if self._side is not None and not self._side.is_caught_up:
            self._next_awake = datetime.now(UTC) + SIDE_PAUSE
            return noted
        return [*noted, *self._next_items()] if noted else self._next_items()

    def _next_items(self) -> list[X]:
        if self._end_offset is not None and self._offset >= self._end_offset:
            self._finished = True
            return self._reader.finish()
        messages = self._consume()
        self._show_lag()
        if not messages:
            self._next_awake = datetime.now(UTC) + EMPTY_READ_PAUSE
            return self._idle()
        self._silent_since_ns = self._answered_ns = time.monotonic_ns()
        now_ns = clock.now_ns()
        self._reader.is_live = not self._has_backlog(messages[-1], now_ns)
        items = self._reader.read(messages, now_ns)
        self._offset = max(self._offset, offset_of(messages[-1]) + 1)
        self._count(messages)
        return items

    @override
    def next_awake(self) -> datetime | None:
        return self._next_awake

    @override
    def snapshot(self) -> Snapshot:
        self._group_offset.store(self._offset)
        side_offsets = dict(self._side.offsets) if self._side else {}
        return SNAPSHOT_VERSION, self._offset, self._reader.state(), self._topic_id, side_offsets

    @override
    def close(self) -> None:
        if self._side is not None:
            self._side.close()
        self._group_offset.close()

    def _consume(self) -> list[Message]:
        """Return the next records, none where the log has no more; errors are logged."""
        messages = self._consumer.consume(self._batch_messages, 0)
        if any(map(Message.error, messages)):
            for message in messages:
                self._handle(message.error(), message)
            messages = [message for message in messages if message.error() is None]
        if (
            self._end_offset is not None
            and messages
            and offset_of(messages[-1]) >= self._end_offset
        ):
            messages = [m for m in messages if offset_of(m) < self._end_offset]
            self._offset = self._end_offset
        return messages

    def _handle(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's own name
            # The end of the log may be past the last record: a transaction's marker has an
            # offset, and what was compacted away had one.
            self._offset = max(self._offset, message.offset() or 0)
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):  # noqa: SLF001  # the client's own name
            low, high = watermarks(self._consumer, self._position(self._offset))
            self._offset = self._checked_start(self._offset, low, high)
            self._consumer.assign([self._position(self._offset)])
        elif error.fatal():
            raise UnavailableError(f"{self._topic}/{self._partition}: {error.str()}")
        else:
            log.warning("%s/%s: %s", self._topic, self._partition, error.str())

    def _checked_start(self, resume_offset: int | None, low: int, high: int) -> int:
        """Return where to read on: the wanted offset if the log has it, else the oldest it has."""
        if resume_offset is not None and low <= resume_offset <= high:
            return resume_offset
        if resume_offset is not None or low > 0:
            self._reader.lose()
        if resume_offset is None:
            return low
        if resume_offset < low:
            lost = low - resume_offset
            log.error(
                "%s/%s: lost offsets %d to %d (%d records): the broker deleted them unread",
                self._topic, self._partition, resume_offset, low - 1, lost,
            )  # fmt: skip
            metrics.LOST_OFFSETS.labels(*self._labels).inc(lost)
        else:
            log.error(
                "%s/%s: wanted offset %d, but the log ends at %d: it was re-created or truncated; "
                "reading it from its start at %d",
                self._topic, self._partition, resume_offset, high, low,
            )  # fmt: skip
        return low

    def _idle(self) -> list[X]:
        """Return what a silence means, if the exchange is silent, and not the broker away.

        While no broker answers, nobody knows what is waiting to get into the log: only the time
        over which one has answered, again and again, that nothing came is a silence.
        """
        now_ns = time.monotonic_ns()
        if now_ns < self._ask_at_ns or self._lag() != 0:
            return []
        high = self._high()
        now_ns = time.monotonic_ns()
        self._ask_at_ns = now_ns + (IDLE_RETRY_NS if high is None else IDLE_INTERVAL_NS)
        if high is None or high > self._offset:
            return []
        if now_ns - self._answered_ns > IDLE_GAP_NS:
            self._silent_since_ns = now_ns
        self._answered_ns = now_ns
        return self._reader.idle(now_ns - self._silent_since_ns)

    def _note_side_logs(self) -> list[X]:
        items: list[X] = []
        for topic, partition, messages in self._side.read() if self._side else ():
            items += self._reader.note(topic, partition, messages, clock.now_ns())
        return items

    def _has_backlog(self, message: Message, now_ns: int) -> bool:
        """Return whether old records are followed by more: nobody waits for what they say now."""
        kind, time_ms = message.timestamp()
        if not kind or now_ns - time_ms * NS_PER_MS < BACKLOG_NS:
            return False
        lag = self._lag()
        return lag is not None and lag > offset_of(message) + 1 - self._offset

    def _high(self) -> int | None:
        """Return where the log ends, if its broker answers soon."""
        where = TopicPartition(self._topic, self._partition)
        try:
            offsets = self._consumer.get_watermark_offsets(where, IDLE_ANSWER_SECONDS)
        except KafkaException:
            return None
        return offsets and offsets[1]

    def _lag(self) -> int | None:
        """Return how many records are not read yet, by the broker's last answer."""
        where = TopicPartition(self._topic, self._partition)
        offsets = self._consumer.get_watermark_offsets(where, cached=True)
        if offsets is None or offsets[1] < 0:
            return None
        return max(0, offsets[1] - self._offset)

    def _show_lag(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns - self._lag_shown_ns < LAG_INTERVAL_NS:
            return
        self._lag_shown_ns = now_ns
        lag = self._lag()
        if lag is not None:
            metrics.LAG.labels(*self._labels).set(lag)
        newest_ns = self._reader.newest_ns
        if newest_ns:
            delay_seconds = (clock.now_ns() - newest_ns) / 1_000_000_000
            metrics.EVENT_DELAY.labels(*self._labels).set(delay_seconds)

    def _count(self, messages: list[Message]) -> None:
        metrics.BATCHES.labels(*self._labels).inc()
        metrics.MESSAGES.labels(*self._labels).inc(len(messages))
        metrics.BYTES.labels(*self._labels).inc(sum(map(len, messages)))
        for name, count in self._reader.counts.items():
            metrics.READER.labels(*self._labels, name).inc(count)
        self._reader.counts.clear()

    def _position(self, offset: int) -> TopicPartition:
        return TopicPartition(self._topic, self._partition, offset)


def _partitions(
    client: Consumer, topic: str, errors: ConnectionErrors, *, is_optional: bool
) -> list[int]:
    try:
        found = client.list_topics(topic, timeout=METADATA_TIMEOUT_SECONDS).topics[topic]
    except KafkaException as error:
        client.poll(0)
        raise errors.unavailable(error.args[0]) from error
    if found.error is not None and is_optional:
        log.warning("topic %s: %s; going on without it", topic, found.error.str())
        return []
    if found.error is not None:
        raise SettingsError(
            f"topic {topic}: {found.error.str()}; run `marketflow init` to create it"
        )
    return sorted(found.partitions)


def _report_error(error: KafkaError) -> None:
    """Log what librdkafka says of its connections; it goes on trying by itself."""
    log.warning("kafka: %s", error.str())
