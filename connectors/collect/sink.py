"""The output of the collector: runs of frames, each stamped with its receive time."""

import threading
from collections import Counter

import msgspec
from bytewax.outputs import StatefulSinkPartition
from typing_extensions import override

from connectors.kafka.sink import CheckedProducer, KafkaConfig
from connectors.process import metrics
from connectors.sinks import LaneSink


class Run(msgspec.Struct, frozen=True, gc=False):
    """Records of one key on their way to one partition, in order."""

    topic: str
    partition: int
    key: bytes
    records: list[tuple[int, bytes]]
    """The receive time in milliseconds, and the value."""


class RunSink(LaneSink[list[Run], None]):
    """Writes `(key, [Run, …])`; an epoch is durable only when the broker has all of it.

    The lanes of a process share one producer, as those of :class:`~connectors.kafka.sink.KafkaSink`
    do and for the same reason.
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


class _Lane(StatefulSinkPartition[list[Run], None]):
    def __init__(self, producer: CheckedProducer) -> None:
        self._producer = producer
        self._sent: Counter[str] = Counter()

    @override
    def write_batch(self, values: list[list[Run]]) -> None:
        for runs in values:
            for run in runs:
                self._producer.send_stamped(run.topic, run.partition, run.key, run.records)
                self._sent[run.topic] += len(run.records)
        self._producer.poll()

    @override
    def snapshot(self) -> None:
        with metrics.FLUSH_SECONDS.labels("kafka").time():
            self._producer.flush()
        for topic, count in self._sent.items():
            metrics.PRODUCED.labels(topic).inc(count)
        self._sent.clear()

    @override
    def close(self) -> None:
        if self._producer.has_failed:
            self._producer.abandon()
