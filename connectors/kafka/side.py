"""Logs that are read along with a partition: small, and always ahead of it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

log: Final = logging.getLogger("marketflow.kafka")

BATCH_MESSAGES: Final = 5_000
TIMEOUT_SECONDS: Final = 15.0


class SideLogs:
    """The logs that one partition's reader reads along, by one client of its own.

    Args:
        config: librdkafka options.
        places: Topics and partitions; those that the broker does not have are left out.
        offsets: Where to go on, by `<topic>/<partition>`; else from the beginning.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        places: Sequence[tuple[str, int]],
        offsets: Mapping[str, int],
    ) -> None:
        # These logs keep little: a lost beginning is read over, and told by nobody else.
        self._consumer = Consumer({**config, "auto.offset.reset": "earliest"})
        self.offsets = dict(offsets)
        """The next offset of each log that was read."""
        self._ends: dict[str, int] = {}
        assigned = []
        for topic, partition in places:
            where = TopicPartition(topic, partition)
            end = self._end(where)
            if end is None:
                log.warning("%s/%s: not there, going on without it", topic, partition)
                continue
            name = _name(topic, partition)
            low, high = end
            offset = self.offsets.get(name, low)
            if not low <= offset <= high:
                offset = low
            self.offsets[name] = offset
            self._ends[name] = high
            assigned.append(TopicPartition(topic, partition, offset))
        self._consumer.assign(assigned)

    @property
    def is_caught_up(self) -> bool:
        """Whether everything that was there at the start was read."""
        if self._ends:
            done = [name for name, end in self._ends.items() if self.offsets[name] >= end]
            for name in done:
                del self._ends[name]
        return not self._ends

    def read(self) -> Iterator[tuple[str, int, list[Message]]]:
        """Yield the new records of each log, without waiting for any."""
        found: dict[tuple[str, int], list[Message]] = {}
        for message in self._consumer.consume(BATCH_MESSAGES, 0):
            topic, partition = message.topic() or "", message.partition() or 0
            error = message.error()
            offset = message.offset() or 0
            if error is None:
                found.setdefault((topic, partition), []).append(message)
                offset += 1
            elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  # it has no other name
                log.warning("%s/%s: %s", topic, partition, error.str())
                continue
            name = _name(topic, partition)
            self.offsets[name] = max(self.offsets.get(name, 0), offset)
        for (topic, partition), messages in found.items():
            yield topic, partition, messages

    def close(self) -> None:
        """End the client."""
        self._consumer.close()

    def _end(self, where: TopicPartition) -> tuple[int, int] | None:
        try:
            return self._consumer.get_watermark_offsets(where, TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() in (
                KafkaError.UNKNOWN_TOPIC_OR_PART,
                KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001  # it has no other name
                KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001  # it has no other name
            ):
                return None
            raise


def _name(topic: str, partition: int) -> str:
    return f"{topic}/{partition}"
