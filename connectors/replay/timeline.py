"""When each recorded frame is played, and how far its own times move."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Final, NamedTuple, TypeAlias

from connectors.replay.recording import Frame, Recording, read_frames
from connectors.replay.shift import Move, Template
from schemas.times import NS_PER_MS, NS_PER_SECOND

# Samples have no rhythm of their own.
SAMPLE_INTERVAL_NS: Final = 100 * NS_PER_MS
# Between recordings of different days nothing is waited for.
LONGEST_GAP_NS: Final = NS_PER_SECOND

# A recording of this many frames is kept in memory for its next pass, a longer one is read again.
KEPT_FRAMES: Final = 200_000


class Target(NamedTuple):
    """Where the frames of one kind of one feed go."""

    topic: str
    partition: int
    key: bytes


class Prepared(NamedTuple):
    """A frame that is known where to send, and what to move in."""

    time_ns: int
    target: Target
    template: Template
    is_sample: bool


class Placed(NamedTuple):
    """A frame with its place in one pass of its timeline."""

    slot_ns: int
    """Since the beginning of the replay, at recorded speed."""
    prepared: Prepared
    move: Move


Prepare: TypeAlias = Callable[[Recording, Frame], Prepared | None]
"""Decides on a frame of a recording; `None` leaves it out."""


class Timeline:
    """Recordings that share a clock: played side by side, repeated together.

    With a start, they happen from then on: their times move by as many whole seconds as lie
    between the two, samples each by its own. Without one, times stay as they are, the order is
    that of the times, and only long gaps are cut short; further passes follow on in time.

    Args:
        recordings: Of one session, or all of one exchange when times stay as they are.
        prepare: What to do with each frame.
        start_ns: What the first frame's time becomes, or `None`.
    """

    def __init__(
        self, recordings: Sequence[Recording], prepare: Prepare, start_ns: int | None
    ) -> None:
        self._recordings = recordings
        self._prepare = prepare
        self._start_ns = start_ns
        self._kept: list[Prepared] | None = None

    def play(self, *, again: bool) -> Iterator[Placed]:
        """Yield the frames with their places; with `again`, pass after pass without end."""
        begin_ns = passed_seconds = 0
        while True:
            slot_ns, first_ns, last_ns = begin_ns, -1, -1
            for prepared in self._frames(keep=again):
                if first_ns < 0:
                    first_ns = last_ns = prepared.time_ns
                    move = self._move(first_ns, passed_seconds)
                elif prepared.is_sample and self._start_ns is not None:
                    slot_ns += SAMPLE_INTERVAL_NS
                else:
                    slot_ns += self._gap_ns(prepared.time_ns - last_ns)
                last_ns = prepared.time_ns
                own = self._sample_move(prepared, slot_ns, move) if prepared.is_sample else move
                yield Placed(slot_ns, prepared, own)
            if first_ns < 0 or not again:
                return
            # Whole seconds again, and beyond the last frame: the next pass follows on.
            seconds = (slot_ns - begin_ns) // NS_PER_SECOND + 1
            begin_ns += seconds * NS_PER_SECOND
            if self._start_ns is None:
                seconds = (last_ns - first_ns) // NS_PER_SECOND + 1
            passed_seconds += seconds

    def _gap_ns(self, gap_ns: int) -> int:
        gap_ns = max(gap_ns, 0)
        return min(gap_ns, LONGEST_GAP_NS) if self._start_ns is None else gap_ns

    def _move(self, first_ns: int, passed_seconds: int) -> Move:
        if self._start_ns is None:
            return Move(passed_seconds, passed_seconds)
        distance_seconds = (self._start_ns - first_ns) // NS_PER_SECOND
        generation = self._start_ns // NS_PER_SECOND + passed_seconds
        return Move(distance_seconds + passed_seconds, generation)

    def _sample_move(self, prepared: Prepared, slot_ns: int, move: Move) -> Move:
        if self._start_ns is None:
            return move
        distance_ns = self._start_ns + slot_ns - prepared.time_ns
        return Move(distance_ns // NS_PER_SECOND, move.generation)

    def _frames(self, *, keep: bool) -> Iterator[Prepared]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Prepared] | None = [] if keep else None
        readings = [self._read(recording) for recording in self._recordings]
        for prepared in heapq.merge(*readings, key=attrgetter("time_ns")):
            if kept is not None:
                kept.append(prepared)
                if len(kept) > KEPT_FRAMES:
                    kept = None
            yield prepared
        self._kept = kept

    def _read(self, recording: Recording) -> Iterator[Prepared]:
        for frame in read_frames(recording.path):
            prepared = self._prepare(recording, frame)
            if prepared is not None:
                yield prepared
