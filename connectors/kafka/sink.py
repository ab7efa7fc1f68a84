"""The Kafka output of every dataflow: an epoch is durable only when the broker has all of it.

Bytewax's own ``KafkaSink`` drops delivery failures and ignores the partition; this one flushes
in ``snapshot()`` and raises, so that an epoch with an undelivered record is replayed.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Self, TypeAlias

import msgspec
from bytewax.outputs import StatefulSinkPartition
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from typing_extensions import override

from connectors.kafka.clients import make_client
from connectors.process.metrics import FLUSH_SECONDS, PRODUCED, REFUSED
from connectors.sinks import LaneSink
from schemas.errors import UndeliveredError

KafkaConfig: TypeAlias = Mapping[str, str | int | float | bool]
"""Options of librdkafka, `bootstrap.servers` among them."""

Headers: TypeAlias = list[tuple[str, bytes | None]]

ANY_PARTITION: Final = -1
"""The partition of a record that may go to any."""

# Set first, so that `KAFKA_*` of the environment may change them.
_PREFERENCES: Final = {
    # Halves the CPU time of sending JSON, our own included.
    "compression.type": "lz4",
    "linger.ms": 20,
    # The most that waits for a broker; beyond it, writing waits too.
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 131_072,
    # Size is the broker's decision: a limit here would refuse what a topic accepts.
    "message.max.bytes": 1_000_000_000,
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
    KafkaError._PURGE_QUEUE,  # noqa: SLF001  # the client's own name
    KafkaError._PURGE_INFLIGHT,  # noqa: SLF001  # the client's own name
)
# What a topic has against one record, and would have again.
_REFUSED_RECORD: Final = (
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_RECORD,
)
_UNKNOWN_PARTITION: Final = KafkaError._UNKNOWN_PARTITION  # noqa: SLF001  # the client's own name

# No topic's limit is below it: what is shorter needs no look.
_LONG_BYTES: Final = 100_000
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
    instead: "OutRecord | None" = None
    """What to write where the topic does not take this record; `None`: that is a failure."""

    def anywhere(self) -> Self:
        """Return the record for any partition."""
        return msgspec.structs.replace(self, partition=ANY_PARTITION)


class CheckedProducer:
    """A producer that knows whether everything given to it was delivered.

    Threads may share it. A failed producer stays failed: create a new one.
    """

    def __init__(self, config: KafkaConfig, delivery_timeout_ms: int) -> None:
        self._timeout_seconds = delivery_timeout_ms / 1_000
        self._failure: str | None = None
        self._connection_error: str | None = None
        self._lock = threading.Lock()
        self._replacements: deque[OutRecord] = deque()
        """What goes out instead of records that their topic has refused."""
        self._producer = make_client(
            Producer,
            {
                **_PREFERENCES,
                **config,
                **_GUARANTEES,
                "delivery.timeout.ms": delivery_timeout_ms,
                "on_delivery": self._on_failed_delivery,
                "error_cb": self._on_error,
                "logger": _log,
            },
        )

    @property
    def has_failed(self) -> bool:
        """Whether something was not delivered, or never will be."""
        return self._failure is not None

    def send(self, records: Sequence[OutRecord]) -> None:
        """Hand records to the sending thread; wait while too much is under way.

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
                        self._produce(record)
                    break
                except BufferError:
                    deadline = self._wait_for_room(record, deadline)
                except KafkaException as error:
                    raise self._refused(record, error) from error

    def send_stamped(
        self, topic: str, partition: int, key: bytes, records: Sequence[tuple[int, bytes]]
    ) -> None:
        """Do the same with values of one key, each with its time in milliseconds.

        A value that the topic does not take for its length is lost, logged and counted: it would
        be refused again after a restart, too.
        """
        produce: Callable[..., None] = self._producer.produce
        for time_ms, value in records:
            on_delivery = self._on_lost if len(value) > _LONG_BYTES else None
            deadline = None
            while True:
                try:
                    produce(topic, value, key, partition, on_delivery, time_ms)
                    break
                except BufferError:
                    record = OutRecord(topic, partition, key, value)
                    deadline = self._wait_for_room(record, deadline)
                except KafkaException as error:
                    record = OutRecord(topic, partition, key, value)
                    raise self._refused(record, error) from error

    def poll(self) -> None:
        """Hear of failures, without waiting for any.

        Raises:
            UndeliveredError: Something given to `send` was not delivered.
        """
        self._producer.poll(0)
        self._check()

    def flush(self) -> None:
        """Wait until the broker has all that was sent.

        Raises:
            UndeliveredError: It has not, at the end of the delivery timeout.
        """
        while True:
            undelivered = self._producer.flush(self._timeout_seconds)
            if undelivered:
                self.abandon()
                self._fail(f"{undelivered} records not acknowledged")
            self._check()
            with self._lock:  # another lane may be about to send what this one has to wait for
                while self._replacements:
                    self.send([self._replacements.popleft()])
                if not len(self._producer):
                    return

    def abandon(self) -> None:
        """Drop what was not sent yet, so that nothing is written after a failure."""
        self._producer.purge()
        self._producer.flush(_PURGE_SECONDS)

    def _produce(self, record: OutRecord) -> None:
        on_delivery = self._on_failed_delivery
        if record.instead is not None:
            on_delivery = partial(self._replace, record)
        try:
            self._producer.produce(
                record.topic,
                record.value,
                record.key,
                record.partition,
                on_delivery,
                headers=[*(record.headers or ())],
            )
        except KafkaException as error:
            replacement = _replacement(record, error.args[0])
            if replacement is None:
                raise
            self._produce(replacement)

    def _replace(self, record: OutRecord, error: KafkaError | None, message: Message) -> None:
        replacement = None if error is None else _replacement(record, error)
        if replacement is None:
            self._on_failed_delivery(error, message)
        else:
            self._replacements.append(replacement)

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

    def _on_lost(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and error.code() in _REFUSED_RECORD:
            _log.error("%s [%s]: lost: %s", message.topic(), message.partition(), error.str())
            REFUSED.labels(message.topic() or "").inc()
        else:
            self._on_failed_delivery(error, message)

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


class KafkaSink(LaneSink[list[OutRecord], None]):
    """Topics that take `(key, [OutRecord, …])`; records of one key keep their order in each.

    The lanes of a process share one producer, made when the first of them is built.
    """

    def __init__(self, config: KafkaConfig, delivery_timeout_ms: int) -> None:
        self._config = config
        self._delivery_timeout_ms = delivery_timeout_ms
        self._lock = threading.Lock()
        self._producer: CheckedProducer | None = None

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_Lane":
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


def _replacement(record: OutRecord, error: KafkaError) -> OutRecord | None:
    """Return what to write where a topic refuses a record for what it is."""
    if record.instead is None:
        return None
    if error.code() == _UNKNOWN_PARTITION and record.partition != ANY_PARTITION:
        return record.anywhere()
    if error.code() not in _REFUSED_RECORD:
        return None
    if record.partition == ANY_PARTITION:
        return record.instead.anywhere()
    return record.instead


def _place(record: OutRecord) -> str:
    return f"{record.topic} [{record.partition}]"
