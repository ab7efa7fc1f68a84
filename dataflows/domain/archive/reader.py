"""The reader of the archive: records of one processed partition, and time that passes."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from dataflows.domain.partition import PartitionReader
from schemas.archive import ArchiveBatch, LogRecord, log_record
from schemas.raw import RawMessage

# How often a quiet partition looks whether the time of its run is over.
TICK_NS = 1_000_000_000


Item: TypeAlias = tuple[str, ArchiveBatch]
"""Batches by `<topic>/<partition>`."""


class ArchiveReader(PartitionReader[Item]):
    """A reader of one partition of a processed topic; the sink remembers what is not stored yet.

    Args:
        topic: The topic.
        partition: The partition.
    """

    def __init__(self, topic: str, partition: int) -> None:
        self._topic = topic
        self._partition = partition
        self._ticked_ns = self._newest_ns = 0
        self.counts: Counter[str] = Counter()
        """Records since this was last cleared."""

    @property
    def newest_ns(self) -> int:
        """The newest time of an exchange that it has read, 0 for none."""
        return self._newest_ns

    def read(self, messages: Sequence[RawMessage], now_ns: int) -> list[Item]:
        """Return the records of a batch."""
        del now_ns
        records = [
            log_record(m.offset() or 0, m.key(), m.value(), m.timestamp()[1]) for m in messages
        ]
        self.counts["archived"] += len(records)
        self._newest_ns = max([self._newest_ns, *(record.time_ns for record in records)])
        self._ticked_ns = 0
        return [self._item(records)]

    def idle(self, silent_ns: int) -> list[Item]:
        """Return a tick now and then, so that a quiet run ends."""
        if silent_ns < self._ticked_ns + TICK_NS:
            return []
        self._ticked_ns = silent_ns
        return [self._item([])]

    def finish(self) -> list[Item]:
        """Return that the input has ended."""
        return [self._item([], ends=True)]

    def state(self) -> None:
        """Return nothing: the offset says where to go on."""

    def _item(self, records: list[LogRecord], *, ends: bool = False) -> Item:
        key = f"{self._topic}/{self._partition}"
        return key, ArchiveBatch(self._topic, self._partition, records, ends)
