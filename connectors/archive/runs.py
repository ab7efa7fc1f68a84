"""How a processed partition is cut into objects: runs of offsets, each with a key and its bytes.

A run ends when it has its count of records, when a record of another exchange or hour comes, or
after a time. The first three follow from the log alone. The last does not, so that a run may be
cut otherwise after a crash: then the object that is in the store already stands, and the next run
begins behind it (:meth:`PartitionRuns.skip_to`).
"""

import gzip
import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Final, TypeAlias

from schemas.archive import ArchiveObject, LogRecord
from schemas.times import NS_PER_HOUR, NS_PER_SECOND

# Fast, and within a few percent of the best: a line is much like the one before it.
COMPRESSION_LEVEL: Final = 6

RunState: TypeAlias = tuple[int, int, list[tuple[int, int, str, bytes]]]


class PartitionRuns:
    """The records of one partition that are in no object yet.

    Args:
        topic: For the keys of objects.
        partition: Likewise.
        most_records: How many one object holds.
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(
        self, topic: str, partition: int, most_records: int, state: RunState | None = None
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._most_records = most_records
        self._done_before, self.since_ns, records = state or (0, 0, [])
        self._records = [LogRecord(*record) for record in records]

    def add(self, records: Sequence[LogRecord], now_ns: int) -> None:
        """Takes records in, in the order of the log."""
        if not self._records:
            self.since_ns = now_ns
        self._records += [record for record in records if record.offset >= self._done_before]

    def next(self, *, ends: bool = False) -> ArchiveObject | None:
        """The oldest run that is complete, or the oldest at all if it `ends` here.

        It stays until :meth:`skip_to` says that it is stored.
        """
        if not self._records:
            return None
        first = self._records[0]
        hour = first.time_ns // NS_PER_HOUR
        run = self._records[: self._most_records]
        for place, record in enumerate(run):
            if record.exchange != first.exchange or record.time_ns // NS_PER_HOUR != hour:
                return self._object(run[:place])
        return self._object(run) if ends or len(run) == self._most_records else None

    def skip_to(self, offset: int, now_ns: int) -> None:
        """Everything before this offset is stored."""
        self._done_before = max(self._done_before, offset)
        del self._records[: bisect_left(self._records, offset, key=attrgetter("offset"))]
        self.since_ns = now_ns

    def state(self) -> RunState:
        """A copy to store, plain values only."""
        return (
            self._done_before,
            self.since_ns,
            [(r.offset, r.time_ns, r.exchange, r.line) for r in self._records],
        )

    def _object(self, run: Sequence[LogRecord]) -> ArchiveObject:
        first, last = run[0], run[-1]
        body = gzip.compress(
            b"".join([record.line + b"\n" for record in run]), COMPRESSION_LEVEL, mtime=0
        )
        times_ns = [record.time_ns for record in run]
        hour = _utc(first.time_ns)
        return ArchiveObject(
            f"topics/{self._topic}/exchange={first.exchange}/date={hour:%Y-%m-%d}/hour={hour:%H}/"
            f"{self._topic}+{self._partition}+{first.offset:020d}.jsonl.gz",
            body,
            {
                "count": str(len(run)),
                "first-offset": str(first.offset),
                "last-offset": str(last.offset),
                "first-time": _utc(min(times_ns)).isoformat(),
                "last-time": _utc(max(times_ns)).isoformat(),
                "sha256": hashlib.sha256(body).hexdigest(),
            },
            first.offset,
            last.offset,
        )


def _utc(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns // NS_PER_SECOND, UTC)
