"""The Kafka output of every dataflow: an epoch is durable only when the broker has all of it.

Bytewax's own ``KafkaSink`` drops delivery failures and ignores the partition; this one flushes
in ``snapshot()`` and raises, so that an epoch with an undelivered record is replayed.
"""

import logging
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.process.metrics import FLUSH_SECONDS, PRODUCED
from schemas.errors import UndeliveredError

KafkaConfig: TypeAlias = Mapping[str, str | int | float | bool]
"""Options of librdkafka, `bootstrap.servers` among them."""

Headers: TypeAlias = list[tuple[str, bytes | None]]

LANES: Final = ("0", "1", "2", "3")

# Set first, so that `KAFKA_*` of the environment may change them.
_PREFERENCES: Final = {
    # Halves the CPU time of sending JSON, our own included.
    "compression.type": "lz4",
    "linger.ms": 20,
    # The most that waits for a broker; beyond it, writing waits too.
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 131_072,
    # Size is the broker's decision: a limit here would refuse what a topic accepts.
    "message.max.bytes": 16_777_216,
}
# Set last: without these the promise of the sink is void.
_GUARANTEES: Final = {
    "acks": "all",
    "enable.idempotence": True,
    # With more under way, records are lost: where a partition is not ready yet for the first
    # request but for the second, the broker has no sequence to compare that one with and takes
    # it, and librdkafka then counts the first as taken, too.
    "max.in.flight.requests.per.connection": 1,
    # One Python call for each failure, none for a success: those cost a microsecond each.
    "delivery.report.only.error": True,
}

# A purge is how waiting ends at the deadline.
_TOO_LATE: Final = (
    KafkaError._MSG_TIMED_OUT,  # noqa: SLF001  # the client's own name for its codes
    KafkaError._PURGE_QUEUE,  # noqa: SLF001
    KafkaError._PURGE_INFLIGHT,  # noqa: SLF001
)

_FULL_QUEUE_WAIT_SECONDS: Final = 0.05
_PURGE_SECONDS: Final = 1.0

_log: Final = logging.getLogger(__name__)


class OutRecord(msgspec.Struct, frozen=True, gc=False):
    """One record on its way to a topic; the partition is the writer's decision."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None


class CheckedProducer:
    """A producer that knows whether everything given to it was delivered.

    Threads may share it. It does not come back from an error: make a new one.
    """

    def __init__(self, config: KafkaConfig, delivery_timeout_ms: int) -> None:
        self._timeout_seconds = delivery_timeout_ms / 1_000
        self._failure: str | None = None
        self._connection_error: str | None = None
        self._producer = Producer(
            {
                **_PREFERENCES,
                **config,
                **_GUARANTEES,
                "delivery.timeout.ms": delivery_timeout_ms,
                "on_delivery": self._on_failed_delivery,
                "error_cb": self._on_error,
            },
            logger=_log,
        )

    @property
    def has_failed(self) -> bool:
        """Something was not delivered, or never will be."""
        return self._failure is not None

    def send(self, records: list[OutRecord]) -> None:
        """Hands records to the sending thread; waits while too much is under way.

        Raises:
            UndeliveredError: Something was refused, or did not get out in time.
        """
        produce: Callable[..., None] = self._producer.produce
        for record in records:
            deadline = None
            while True:
                try:
                    if record.headers is None:  # then a call without keywords, at half the price
                        produce(record.topic, record.value, record.key, record.partition)
                    else:
                        produce(
                            record.topic,
                            record.value,
                            record.key,
                            record.partition,
                            headers=record.headers,
                        )
                    break
                except BufferError:
                    deadline = self._wait_for_room(record, deadline)
                except KafkaException as error:
                    raise self._refused(record, error) from error

    def poll(self) -> None:
        """Lets failures be heard, without waiting for any.

        Raises:
            UndeliveredError: Something given to `send` was not delivered.
        """
        self._producer.poll(0)
        self._check()

    def flush(self) -> None:
        """Waits until the broker has all that was sent.

        Raises:
            UndeliveredError: It has not, at the end of the delivery timeout.
        """
        undelivered = self._producer.flush(self._timeout_seconds)
        if undelivered:
            self.abandon()
            self._fail(f"{undelivered} records not acknowledged")
        self._check()

    def abandon(self) -> None:
        """Drops what was not sent yet, so that nothing is written after a failure."""
        self._producer.purge()
        self._producer.flush(_PURGE_SECONDS)

    def _wait_for_room(self, record: OutRecord, deadline: float | None) -> float:
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            self._fail(f"{_place(record)}: the queue stayed full")
        self._producer.poll(_FULL_QUEUE_WAIT_SECONDS)
        self._check()
        return deadline if deadline is not None else now + self._timeout_seconds

    def _refused(self, record: OutRecord, error: KafkaException) -> UndeliveredError:
        inner = error.args[0]
        cause = inner.str() if isinstance(inner, KafkaError) else str(inner)
        self._fail(f"{_place(record)}: a record of {len(record.value or b'')} bytes: {cause}")
        return self._error()

    def _on_failed_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        cause = "not acknowledged in time" if error.code() in _TOO_LATE else error.str()
        self._fail(f"{message.topic()} [{message.partition()}]: {cause}")

    def _on_error(self, error: KafkaError) -> None:
        self._connection_error = error.str()
        if error.fatal():
            self._fail(f"the producer gave up: {error.str()}")

    def _fail(self, failure: str) -> None:
        # The first failure is the cause; what follows is its consequence.
        if self._failure is None:
            self._failure = failure

    def _check(self) -> None:
        if self._failure is not None:
            raise self._error()

    def _error(self) -> UndeliveredError:
        seen = (
            f" (last connection error: {self._connection_error})" if self._connection_error else ""
        )
        return UndeliveredError(
            f"Kafka: {self._failure}{seen}; expected delivery within {self._timeout_seconds:g} s"
        )


class KafkaSink(FixedPartitionedSink[list[OutRecord], None]):
    """Writes `(key, [OutRecord, …])`; records of one key keep their order in each partition.

    The lanes are only there because Bytewax makes a partitioned sink part of the epoch; those of
    a process share one producer, made when the first of them is built.
    """

    def __init__(self, config: KafkaConfig, delivery_timeout_ms: int) -> None:
        self._config = config
        self._delivery_timeout_ms = delivery_timeout_ms
        self._lock = threading.Lock()
        self._producer: CheckedProducer | None = None

    def list_parts(self) -> list[str]:
        """The same lanes on every worker: Bytewax shares them out."""
        return list(LANES)

    def part_fn(self, item_key: str) -> int:
        """A hash that is the same in every process, unlike `hash`."""
        return zlib.crc32(item_key.encode())

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_Lane":
        """See the base class; after a failure, the lanes get a new producer."""
        del step_id, for_part, resume_state
        with self._lock:
            if self._producer is None or self._producer.has_failed:
                self._producer = CheckedProducer(self._config, self._delivery_timeout_ms)
            return _Lane(self._producer)


class _Lane(StatefulSinkPartition[list[OutRecord], None]):
    def __init__(self, producer: CheckedProducer) -> None:
        self._producer = producer
        self._sent: Counter[str] = Counter()

    def write_batch(self, values: list[list[OutRecord]]) -> None:
        for records in values:
            self._producer.send(records)
            self._sent.update([record.topic for record in records])
        self._producer.poll()

    def snapshot(self) -> None:
        with FLUSH_SECONDS.labels("kafka").time():
            self._producer.flush()
        for topic, count in self._sent.items():
            PRODUCED.labels(topic).inc(count)
        self._sent.clear()

    def close(self) -> None:
        # After a snapshot there is nothing left; without one, the epoch will be replayed.
        if self._producer.has_failed:
            self._producer.abandon()


def _place(record: OutRecord) -> str:
    return f"{record.topic} [{record.partition}]"
