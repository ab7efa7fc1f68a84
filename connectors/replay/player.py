"""Sends recorded frames to the topics, partitions and keys that a collector would use."""

import heapq
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Final

import msgspec

from connectors.kafka.sink import CheckedProducer, OutRecord
from connectors.replay.recording import Frame, Recording
from connectors.replay.shift import Template
from connectors.replay.timeline import Placed, Prepared, Target, Timeline
from schemas.errors import DecodeError, SettingsError
from schemas.exchanges import decoder_of
from schemas.raw import RECEIVED_AT
from schemas.records import Kind
from schemas.settings import RawKind, Settings
from schemas.times import NS_PER_SECOND

_BATCH_FRAMES: Final = 1_000
_LONGEST_WAIT_SECONDS: Final = 0.2


class Progress(msgspec.Struct):
    """What was sent so far."""

    frames: int = 0
    played_ns: int = 0
    """Of the recording."""
    by_topic: Counter[str] = msgspec.field(default_factory=Counter)


class Stop:
    """Whether to end early. Signal handlers set it, so it must not have a lock to wait for."""

    def __init__(self) -> None:
        self.asked = False


class Router:
    """Decides where frames go: by their kind, and by who owns which partitions."""

    def __init__(self, settings: Settings, kinds: Collection[RawKind]) -> None:
        self._settings = settings
        self._kinds = kinds
        self._targets: dict[tuple[str, Kind], Target | None] = {}
        self.left_out: Counter[str] = Counter()
        """Frames read that no dataflow has a use for, by why."""

    def prepare(self, recording: Recording, frame: Frame) -> Prepared | None:
        """Return the frame with its target, or count it and return `None`."""
        exchange = recording.exchange
        try:
            kind = decoder_of(exchange).kind(frame.content)
        except DecodeError:
            self.left_out["not understood"] += 1
            return None
        try:
            target = self._targets[recording.feed, kind]
        except KeyError:
            target = self._targets[recording.feed, kind] = self._target(recording.feed, kind)
        if target is None:
            self.left_out["of another kind" if kind == "other" else f"{kind}, not wanted"] += 1
            return None
        template = Template(exchange, kind, frame.content)
        return Prepared(frame.time_ns, target, template, recording.samples)

    def _target(self, feed: str, kind: Kind) -> Target | None:
        if kind == "other":
            return None
        # Acks and heartbeats come with every feed; the flow of trades counts them.
        wanted: RawKind = "trade" if kind == "control" else kind
        name = feed.partition(".")[0]
        exchange = self._settings.exchanges[name]
        if wanted not in self._kinds or wanted not in exchange.kinds:
            return None
        key = feed.encode()
        partition = exchange.partitions[zlib.crc32(key) % len(exchange.partitions)]
        topic: str = getattr(self._settings.region_of(name).topics, wanted)
        return Target(topic, partition, key)


def timelines(
    recordings: Sequence[Recording], router: Router, start_ns: int | None
) -> list[Timeline]:
    """Return what is played side by side: sessions from a start on, else each exchange."""
    groups: defaultdict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        session = recording.session or recording.file
        groups[recording.exchange if start_ns is None else session].append(recording)
    return [Timeline(group, router.prepare, start_ns) for group in groups.values()]


def play(
    lines: Iterable[Timeline],
    producer: CheckedProducer,
    *,
    speed: float | None,
    again: bool,
    limit: int | None,
    stop: Stop,
    report: Callable[[Progress], None],
) -> Progress:
    """Plays until the end, the limit or the stop, and until all that was sent has arrived.

    Args:
        lines: What is played side by side.
        producer: Where it goes.
        speed: Recorded time by real time; `None` is as fast as it goes.
        again: Whether to begin anew at the end.
        limit: The most frames.
        stop: Set from outside to end early.
        report: Told of the progress after each batch.

    Raises:
        UndeliveredError: Something did not arrive.
    """
    placed = heapq.merge(*(line.play(again=again) for line in lines), key=attrgetter("slot_ns"))
    progress = Progress()
    for batch in _paced(islice(placed, limit), speed, stop):
        producer.send([_record(each) for each in batch])
        producer.poll()
        progress.frames += len(batch)
        progress.by_topic.update(each.prepared.target.topic for each in batch)
        progress.played_ns = batch[-1].slot_ns
        report(progress)
    producer.flush()
    return progress


def check_feed(settings: Settings, feed: str) -> None:
    """Refuse a feed that the settings do not know.

    Raises:
        SettingsError: Names the exchanges that there are.
    """
    exchange = feed.partition(".")[0]
    if exchange not in settings.exchanges:
        known = ", ".join(settings.exchanges)
        raise SettingsError(
            f"feed {feed}: expected <exchange>[.<product>[.<native symbol>]], "
            f"an exchange of {known}"
        )


def _paced(placed: Iterator[Placed], speed: float | None, stop: Stop) -> Iterator[list[Placed]]:
    """Batches of frames, each when it is due; none after the stop."""
    started = time.monotonic()
    batch: list[Placed] = []
    for each in placed:
        due = 0.0 if speed is None else each.slot_ns / NS_PER_SECOND / speed
        if batch and (len(batch) >= _BATCH_FRAMES or due > time.monotonic() - started):
            yield batch
            batch = []
        while (wait := started + due - time.monotonic()) > 0 and not stop.asked:
            time.sleep(min(wait, _LONGEST_WAIT_SECONDS))
        if stop.asked:
            return
        batch.append(each)
    if batch:
        yield batch


def _record(placed: Placed) -> OutRecord:
    prepared, move = placed.prepared, placed.move
    topic, partition, key = prepared.target
    headers: list[tuple[str, bytes | None]] | None = None
    # When a sample was received is not known, unless it is now.
    if not prepared.is_sample or move.seconds:
        received_ns = prepared.time_ns + move.seconds * NS_PER_SECOND
        headers = [(RECEIVED_AT, b"%d" % received_ns)]
    return OutRecord(topic, partition, key, prepared.template.moved(move), headers)
