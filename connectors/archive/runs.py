"""How a processed partition is cut into objects: runs of offsets, each with a key and its bytes.

A run ends when it has its count of records, when a record of another exchange or hour comes, or
after a time. The first three follow from the log alone. The last does not, so that a run may be
cut otherwise after a crash: then the object that is in the store already stands, and only what it
does not hold is stored (:meth:`PartitionRuns.stored`).
"""

import gzip
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

from schemas.archive import FIRST_GENERATION, ArchiveObject, Hour, LogRecord, ObjectKey
from schemas.times import NS_PER_HOUR, NS_PER_SECOND

# Fast, and within a few percent of the best: a line is much like the one before it.
COMPRESSION_LEVEL: Final = 6

STATE_VERSION: Final = 2
RunState: TypeAlias = tuple[int, int, int, int, list[tuple[int, int, str, bytes]], dict[int, bytes]]
"""Version, generation, next offset, start of the run, its records, what is stored already."""


class PartitionRuns:
    """The records of one partition that are in no object yet.

    Args:
        topic: For the keys of objects.
        partition: Likewise.
        max_records: How many one object holds.
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(
        self, topic: str, partition: int, max_records: int, state: RunState | None = None
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._max_records = max_records
        _, self.generation, self._next_offset, self.since_ns, records, stored = state or (
            STATE_VERSION,
            FIRST_GENERATION,
            0,
            0,
            [],
            {},
        )
        self._records = [LogRecord(*record) for record in records]
        self._stored = dict(stored)
        """Lines by offset that an object holds, and that the log has not shown again yet."""

    def goes_back(self, records: Sequence[LogRecord]) -> bool:
        """Return whether the log begins anew with these: it was re-created or truncated."""
        return bool(records) and records[0].offset < self._next_offset

    def begin_again(self, generation: int) -> None:
        """Expect the log from its start; all that was added is stored."""
        self.generation = max(self.generation, generation)
        self._next_offset = 0
        self._stored.clear()

    def add(self, records: Sequence[LogRecord], now_ns: int) -> None:
        """Add records, in the order of the log."""
        if not self._records:
            self.since_ns = now_ns
        if records:
            self._next_offset = records[-1].offset + 1
        if self._stored:
            pop = self._stored.pop
            records = [record for record in records if pop(record.offset, None) != record.line]
        self._records += records

    def next(self, *, ends: bool = False) -> ArchiveObject | None:
        """Return the oldest run that is complete, or the oldest at all if it `ends` here.

        It stays until :meth:`stored` says what became of it.
        """
        if not self._records:
            return None
        first = self._records[0]
        hour = first.time_ns // NS_PER_HOUR
        run = self._records[: self._max_records]
        for place, record in enumerate(run):
            if (
                record.exchange != first.exchange
                or record.time_ns // NS_PER_HOUR != hour
                or record.offset != first.offset + place  # lost, or of another object
            ):
                return self._object(run[:place])
        return self._object(run) if ends or len(run) == self._max_records else None

    def stored(self, lines: Sequence[bytes], generation: int, now_ns: int) -> None:
        """Take note that an object holds these lines, from the first record of the run on.

        Args:
            lines: More than the run, or fewer.
            generation: In which they are.
            now_ns: When the next run begins.
        """
        first_offset = self._records[0].offset
        count = 0
        for record, line in zip(self._records, lines, strict=False):
            if record.line != line:
                break
            count += 1
        del self._records[:count]
        self._stored.update(enumerate(lines[count:], first_offset + count))
        self.generation = generation
        self.since_ns = now_ns

    def state(self) -> RunState:
        """Return a copy to store, of plain values only."""
        records = [(r.offset, r.time_ns, r.exchange, r.line) for r in self._records]
        return (
            STATE_VERSION,
            self.generation,
            self._next_offset,
            self.since_ns,
            records,
            dict(self._stored),
        )

    def _object(self, run: Sequence[LogRecord]) -> ArchiveObject:
        first, last = run[0], run[-1]
        lines = [record.line for record in run]
        body = gzip.compress(b"".join([line + b"\n" for line in lines]), COMPRESSION_LEVEL, mtime=0)
        times_ns = [record.time_ns for record in run]
        moment = _utc(first.time_ns)
        hour = Hour(self._topic, first.exchange, f"{moment:%Y-%m-%d}", f"{moment:%H}")
        return ArchiveObject(
            ObjectKey(hour, self._partition, first.offset, self.generation),
            lines,
            body,
            {
                "count": str(len(run)),
                "first-offset": str(first.offset),
                "last-offset": str(last.offset),
                "first-time": _utc(min(times_ns)).isoformat(),
                "last-time": _utc(max(times_ns)).isoformat(),
                "sha256": hashlib.sha256(body).hexdigest(),
            },
        )


def restored(state: tuple[int, int, list[tuple[int, int, str, bytes]]] | RunState) -> RunState:
    """Return a stored state as of today; the first version had three fields."""
    if len(state) == len(RunState.__args__):  # type: ignore[attr-defined]
        return state  # type: ignore[return-value]
    next_offset, since_ns, records = state  # type: ignore[misc]
    if records:
        next_offset = max(next_offset, records[-1][0] + 1)
    return STATE_VERSION, FIRST_GENERATION, next_offset, since_ns, records, {}


def _utc(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns // NS_PER_SECOND, UTC)
