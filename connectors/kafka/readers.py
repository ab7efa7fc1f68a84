"""What :mod:`connectors.kafka.source` drives: the readers of partitions, which are pure."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from confluent_kafka import Message

X = TypeVar("X")


class Reader(Protocol[X]):
    """What turns the records of one partition into items, with a state to store.

    The source calls it from one thread. `state` is called between the other calls, when every
    item that they made is on its way; the offset that is stored with it is that of the next
    record.

    Attributes:
        is_live: Set before each batch: whether the end of the log is near.
    """

    is_live: bool

    @property
    def counts(self) -> Counter[str]:
        """What it has counted since this was last cleared."""
        ...

    @property
    def newest_ns(self) -> int:
        """The newest time of an exchange that it has read, 0 for none."""
        ...

    def read(self, messages: Sequence[Message], now_ns: int, /) -> list[X]:
        """Return the items of a batch, in the order of the log."""
        ...

    def note(
        self, topic: str, partition: int, messages: Sequence[Message], now_ns: int, /
    ) -> list[X]:
        """Return the items that records make of a log which is read along."""
        ...

    def lose(self) -> None:
        """Note that records before the next one are gone unread."""
        ...

    def idle(self, silent_ns: int, /) -> list[X]:
        """Return the items that a silence makes, once everything in the log was read."""
        ...

    def finish(self) -> list[X]:
        """Return the items that the end of a bounded input makes."""
        ...

    def state(self) -> Any:
        """Return a copy of what it knows, of plain values."""
        ...


MakeReader: TypeAlias = Callable[[str, int, Any], Reader[X]]
"""Makes the reader of a topic and partition, from nothing (`None`) or from its stored state."""
