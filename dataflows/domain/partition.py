"""What every reader of a partition can be told beside its records; most need none of it."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from schemas.raw import RawMessage

X = TypeVar("X")


class PartitionReader(Generic[X]):
    """Base of the readers that :mod:`connectors.kafka.source` drives.

    Attributes:
        is_live: Whether the end of the log is near: what only matters now is worth its cost.
    """

    is_live = True

    def lose(self) -> None:
        """Note that records before the next one are gone unread."""

    def note(
        self, topic: str, partition: int, messages: Sequence[RawMessage], now_ns: int
    ) -> list[X]:
        """Take in records of a log that is read along; return the items that they make.

        Args:
            topic: The log's topic.
            partition: The log's partition.
            messages: In the order of the log.
            now_ns: The wall clock.
        """
        del topic, partition, messages, now_ns
        return []
