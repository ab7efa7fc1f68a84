"""Offsets of a partition: what the log has, and what a consumer group is shown of the reading.

The group is for lag tools alone: where a dataflow goes on is in its recovery store.
"""

import atexit
import logging
import sys
import time
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.errors import UnavailableError

log: Final = logging.getLogger("marketflow.kafka")

METADATA_TIMEOUT_SECONDS: Final = 15.0
RETRY_PAUSE_SECONDS: Final = 0.2
# No reason to hold up the end of a process for long.
EXIT_COMMIT_SECONDS: Final = 4.0
_EXIT_PAUSE_SECONDS: Final = 0.02

_at_exit: Final[list[tuple[Consumer, TopicPartition]]] = []
"""What :func:`_commit_at_exit` will commit, and close."""


class GroupOffset:
    """The offset of one partition that its consumer group is shown, once it is durable.

    Args:
        consumer: Of the group.
        topic: The topic.
        partition: The partition.
    """

    def __init__(self, consumer: Consumer, topic: str, partition: int) -> None:
        self._consumer = consumer
        self._topic, self._partition = topic, partition
        self._stored: int | None = None
        self._shown: int | None = None

    def store(self, offset: int) -> None:
        """Note the offset of a snapshot; it is not durable yet."""
        self._stored = offset

    def show(self) -> None:
        """Show what is durable: the first call after a snapshot means that it is."""
        if self._stored is None or self._stored == self._shown:
            return
        self._consumer.commit(offsets=[self._position(self._stored)], asynchronous=True)
        self._shown = self._stored

    def close(self) -> None:
        """Close the consumer, at the end of the process if it has something to show then.

        The engine closes a partition before the last epoch is durable. Only a process that ends
        well has made it so.
        """
        if self._stored is None or self._stored == self._shown:
            self._consumer.close()
            return
        if not _at_exit:
            atexit.register(_commit_at_exit)
        _at_exit.append((self._consumer, self._position(self._stored)))

    def _position(self, offset: int) -> TopicPartition:
        return TopicPartition(self._topic, self._partition, offset)


def watermarks(consumer: Consumer, where: TopicPartition) -> tuple[int, int]:
    """Return the oldest offset and the next one; a partition just made has no leader yet.

    Raises:
        UnavailableError: No broker says it in time.
    """
    deadline = time.monotonic() + METADATA_TIMEOUT_SECONDS
    while True:
        try:
            offsets = consumer.get_watermark_offsets(where, METADATA_TIMEOUT_SECONDS)
        except KafkaException as error:
            if time.monotonic() >= deadline:
                raise UnavailableError(f"{where.topic}/{where.partition}: {error}") from error
            time.sleep(RETRY_PAUSE_SECONDS)
            continue
        if offsets is None:
            raise UnavailableError(f"{where.topic}/{where.partition}: no answer in time")
        return offsets


def offset_of(message: Message) -> int:
    """Return the offset of a record.

    Raises:
        UnavailableError: It has none, which only a record that was never delivered has not.
    """
    offset = message.offset()
    if offset is None:
        raise UnavailableError(f"{message.topic()}: the client gave a record without an offset")
    return offset


def _commit_at_exit() -> None:
    """Show the groups the last offsets of a process that ends well; the broker may be gone."""
    deadline = time.monotonic() + EXIT_COMMIT_SECONDS
    ended_well = not hasattr(sys, "last_value")  # set where an exception ends the interpreter
    if ended_well:
        for consumer, position in _at_exit:
            consumer.unassign()
            consumer.commit(offsets=[position], asynchronous=True)
    for consumer, position in _at_exit:
        while ended_well and time.monotonic() < deadline:
            if _committed(consumer, position) == position.offset:
                break
            time.sleep(_EXIT_PAUSE_SECONDS)
        consumer.close()


def _committed(consumer: Consumer, position: TopicPartition) -> int | None:
    try:
        (found,) = consumer.committed([position], timeout=EXIT_COMMIT_SECONDS / 2)
    except KafkaException as error:
        log.warning("%s/%s: offset not shown: %s", position.topic, position.partition, error)
        return None
    return found.offset
