"""The partitions that every sink of a dataflow has, whatever it writes to."""

import zlib
from typing import Final, TypeVar

from bytewax.outputs import FixedPartitionedSink
from typing_extensions import override

X = TypeVar("X")
S = TypeVar("S")

# Fixed, because a recovery store knows them by name. A fifth worker would own none.
SINK_PARTITIONS: Final = ("0", "1", "2", "3")


class LaneSink(FixedPartitionedSink[X, S]):
    """A sink of fixed partitions, so that Bytewax makes it part of the epoch.

    Bytewax shares the partitions among the workers. A subclass says what one of them does.
    """

    @override
    def list_parts(self) -> list[str]:
        return list(SINK_PARTITIONS)

    @override
    def part_fn(self, item_key: str) -> int:
        # The same in every process, unlike `hash`.
        return zlib.crc32(item_key.encode())
