"""`marketflow dlq`: look at dead letters, and put the originals back when the cause is gone."""

from __future__ import annotations

import json
import logging
import time
from base64 import b64encode
from collections import Counter, deque
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Self, cast

import click
import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connectors.kafka.dead_letters import (
    SUFFIX,
    Replayed,
    from_record,
    hash_of,
    original_of,
    reason_of,
    topic_of_dead_letters,
)
from connectors.kafka.sink import CheckedProducer, OutRecord
from connectors.process.environment import Environment, load_settings
from schemas.errors import SettingsError, UnavailableError
from schemas.settings import RAW_TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectors.kafka.sink import Headers, KafkaConfig
    from schemas.records import DeadLetter
    from schemas.settings import KafkaSettings

_log: Final = logging.getLogger("marketflow.kafka")

_TIMEOUT_SECONDS: Final = 15.0
# How long a read may go without a record before it is given up.
_SILENCE_SECONDS: Final = 30.0
_BATCH_RECORDS: Final = 5_000
_VALUE_BYTES_SHOWN: Final = 300
_REASONS_SHOWN: Final = 20
# A broker's default limit for the text beside an offset is 4096.
_METADATA_CHARACTERS: Final = 4_000

_PASSING: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
_RETRY_SECONDS: Final = 0.1

_topic_option = click.option(
    "--topic", help="Only this raw topic (or its dead-letter topic); all of them by default."
)
_reason_option = click.option(
    "--reason", default="", help="Only letters whose error contains this text."
)


class _Partition(NamedTuple):
    topic: str
    number: int


class _Span(NamedTuple):
    low: int
    high: int


class _Letter(NamedTuple):
    partition: _Partition
    offset: int
    """In the dead-letter topic."""
    time_ms: int
    letter: DeadLetter


@click.group()
def dlq() -> None:
    """Dead letters: records that could not be processed, with the reason."""


@dlq.command()
@_topic_option
def count(topic: str | None) -> None:
    """Count dead letters by partition and by reason."""
    partitions: Counter[_Partition] = Counter()
    newest: dict[_Partition, str] = {}
    reasons: Counter[str] = Counter()
    with _Topics.open(topic) as topics:
        for batch in topics.read(topics.spans):
            for found in batch:
                reason = reason_of(found.letter)
                partitions[found.partition] += 1
                newest[found.partition] = reason
                reasons[reason] += 1
    if not partitions:
        click.echo("no dead letters")
        return
    console = Console()
    by_partition = Table("topic", "partition", "records", "newest reason")
    for partition in sorted(partitions):
        by_partition.add_row(
            partition.topic,
            str(partition.number),
            f"{partitions[partition]:,}",
            Text(_plain(newest[partition])),
        )
    console.print(by_partition)
    by_reason = Table("reason", "records")
    for reason, records in reasons.most_common(_REASONS_SHOWN):
        by_reason.add_row(Text(_plain(reason)), f"{records:,}")
    console.print(by_reason)


@dlq.command()
@_topic_option
@_reason_option
@click.option("--limit", type=click.IntRange(1, 100_000), default=10, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="Whole records, one JSON object a line.")
def show(topic: str | None, reason: str, limit: int, *, as_json: bool) -> None:
    """Show the newest dead letters."""
    newest: deque[_Letter] = deque(maxlen=limit)
    with _Topics.open(topic) as topics:
        spans = topics.spans
        if not reason:
            spans = {
                at: span._replace(low=max(span.low, span.high - limit))
                for at, span in spans.items()
            }
        found = [letter for batch in topics.read(spans) for letter in batch if _has(letter, reason)]
        newest.extend(sorted(found, key=lambda letter: letter.time_ms))
    if not newest:
        click.echo(
            "no dead letters" + (f" with {reason!r} in their error" if reason else ""), err=as_json
        )
    for letter in newest:
        click.echo(_json(letter) if as_json else _text(letter))


@dlq.command()
@_topic_option
@_reason_option
@click.option("--dry-run", is_flag=True, help="Only say what would be replayed.")
@click.option("--all", "again", is_flag=True, help="Also what was replayed before.")
def replay(topic: str | None, reason: str, *, dry_run: bool, again: bool) -> None:
    """Put the originals back into their raw topics, each of them once.

    The consumer group <kafka.tools_group>-dlq-replay remembers what was replayed. After a crash in
    the middle the last few may be sent once more, which the flows' dedupe takes care of.
    """
    sent: Counter[_Partition] = Counter()
    gone: list[_Letter] = []
    with _Topics.open(topic) as topics:
        replayed = topics.replayed(again=again)
        for batch in topics.read(topics.spans_after(replayed)):
            chosen = [
                letter
                for letter in batch
                if letter.offset not in replayed[letter.partition] and _has(letter, reason)
            ]
            if not dry_run:
                chosen, lost = topics.with_originals(chosen)
                gone += lost
            if chosen and not dry_run:
                topics.replay(chosen, replayed)
            sent.update(letter.partition for letter in chosen)
    for found in gone:
        place = f"{found.letter.topic} [{found.letter.partition}] offset {found.letter.offset}"
        click.echo(f"not replayed: the letter was cut, and {place} is not there any more", err=True)
    if not sent:
        click.echo("nothing to replay" + (f" with {reason!r} in its error" if reason else ""))
    for partition in sorted(sent):
        verb = "would replay" if dry_run else "replayed"
        target = partition.topic.removesuffix(SUFFIX)
        click.echo(f"{verb} {sent[partition]:,} into {target} [{partition.number}]")


class _Topics:
    """The dead-letter topics that exist, with the span of each partition as it is now."""

    def __init__(self, config: KafkaConfig, names: list[str], settings: KafkaSettings) -> None:
        self._config = config
        self._group = settings.replay_group
        self._producer = CheckedProducer(config, settings.delivery_timeout_ms)
        self._consumer = Consumer(
            {
                **config,
                "group.id": self._group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            },
            logger=_log,
        )
        try:
            self.spans = self._find(names)
        except KafkaException as error:
            self._consumer.close()
            raise UnavailableError(f"Kafka: dead-letter topics not listed: {error}") from error

    @classmethod
    def open(cls, only: str | None) -> _Topics:
        environment = Environment.read()
        settings = load_settings(environment)
        known = sorted(
            topic_of_dead_letters(getattr(region.topics, kind))
            for region in settings.regions.values()
            for kind in RAW_TOPICS
        )
        names = known
        if only is not None:
            names = [only if only.endswith(SUFFIX) else topic_of_dead_letters(only)]
        if names[0] not in known:
            raw = ", ".join(topic.removesuffix(SUFFIX) for topic in known)
            raise SettingsError(f"--topic {only}: expected one of the raw topics {raw}")
        return cls(environment.require_kafka(), names, settings.kafka)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def read(self, spans: Mapping[_Partition, _Span]) -> Iterator[list[_Letter]]:
        """Yield the letters of each partition's span in order, batch by batch."""
        left = {at: span for at, span in spans.items() if span.low < span.high}
        if not left:
            return
        self._consumer.assign([TopicPartition(*at, span.low) for at, span in left.items()])
        deadline = time.monotonic() + _SILENCE_SECONDS
        while left:
            batch: list[_Letter] = []
            for message in self._consumer.consume(_BATCH_RECORDS, timeout=0.5):
                found = _letter_of(message)
                span = left.get(found.partition)
                if span is None:
                    continue
                if found.offset < span.high:
                    batch.append(found)
                if found.offset >= span.high - 1:
                    del left[found.partition]
            if batch:
                deadline = time.monotonic() + _SILENCE_SECONDS
                yield batch
            elif time.monotonic() > deadline:
                places = ", ".join(f"{at.topic} [{at.number}]" for at in left)
                raise UnavailableError(
                    f"Kafka: {places}: no record within {_SILENCE_SECONDS:g} s, expected more"
                )

    def replayed(self, *, again: bool) -> dict[_Partition, Replayed]:
        """Return what earlier replays sent, as the group remembers it."""
        if again or not self.spans:
            return {at: Replayed(span.low) for at, span in self.spans.items()}
        try:
            committed = self._consumer.committed(
                [TopicPartition(*at) for at in self.spans], timeout=_TIMEOUT_SECONDS
            )
        except KafkaException as error:
            raise UnavailableError(f"Kafka: group {self._group} not read: {error}") from error
        return {
            (at := _Partition(place.topic, place.partition)): self._remembered(at, place)
            for place in committed
        }

    def spans_after(self, replayed: Mapping[_Partition, Replayed]) -> dict[_Partition, _Span]:
        """Return the spans without what was replayed at their beginning."""
        return {
            at: span._replace(low=max(span.low, replayed[at].below))
            for at, span in self.spans.items()
        }

    def replay(self, letters: list[_Letter], replayed: dict[_Partition, Replayed]) -> None:
        """Send the originals, and remember it once the broker has them all."""
        sent: dict[_Partition, list[tuple[int, int]]] = {}
        for letter in letters:
            sent.setdefault(letter.partition, []).append((letter.offset, letter.offset + 1))
        planned = {at: replayed[at].plus(ranges) for at, ranges in sent.items()}
        for at, done in planned.items():
            if len(done.text) > _METADATA_CHARACTERS:
                raise SettingsError(
                    f"{at.topic} [{at.number}]: too scattered to remember what was replayed, "
                    "expected fewer gaps: replay the rest without --reason"
                )
        self._producer.send([original_of(letter.letter) for letter in letters])
        self._producer.flush()
        replayed.update(planned)
        offsets = [TopicPartition(*at, done.below, done.text) for at, done in planned.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise UnavailableError(f"Kafka: replayed, but not remembered: {error}") from error

    def with_originals(self, letters: list[_Letter]) -> tuple[list[_Letter], list[_Letter]]:
        """Return letters with whole values, and those whose original is gone.

        A letter that was cut gets its value, key and headers from the raw topic.
        """
        whole: list[_Letter] = []
        gone: list[_Letter] = []
        for found in letters:
            if found.letter.original_sha256 is None:
                whole.append(found)
                continue
            original = self._original(found.letter)
            if original is None:
                gone.append(found)
            else:
                whole.append(found._replace(letter=original))
        return whole, gone

    def _original(self, letter: DeadLetter) -> DeadLetter | None:
        with closing(Consumer({**self._config, "group.id": self._group}, logger=_log)) as consumer:
            try:
                low, high = consumer.get_watermark_offsets(
                    TopicPartition(letter.topic, letter.partition), timeout=_TIMEOUT_SECONDS
                )
            except KafkaException:
                return None
            if not low <= letter.offset < high:
                return None
            consumer.assign([TopicPartition(letter.topic, letter.partition, letter.offset)])
            messages = consumer.consume(1, timeout=_TIMEOUT_SECONDS)
        for message in messages:
            value = message.value()
            if (
                message.error() is None
                and message.offset() == letter.offset
                and hash_of(value) == letter.original_sha256
            ):
                return msgspec.structs.replace(
                    letter,
                    key=message.key(),
                    value=value,
                    headers=cast("Headers", message.headers() or []),
                    original_sha256=None,
                    original_bytes=None,
                )
        return None

    def _remembered(self, at: _Partition, place: TopicPartition) -> Replayed:
        span = self.spans[at]
        # Beyond the end is the memory of a topic that was deleted since.
        if not 0 <= place.offset <= span.high:
            return Replayed(span.low)
        return Replayed.parse(max(place.offset, span.low), place.metadata or "")

    def _find(self, names: list[str]) -> dict[_Partition, _Span]:
        found = self._consumer.list_topics(timeout=_TIMEOUT_SECONDS).topics
        partitions = [
            _Partition(name, number)
            for name in names
            if name in found
            for number in sorted(found[name].partitions)
        ]
        return {at: self._span(at) for at in partitions}

    def _span(self, at: _Partition) -> _Span:
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while True:
            try:
                span = self._consumer.get_watermark_offsets(
                    TopicPartition(*at), timeout=_TIMEOUT_SECONDS
                )
            except KafkaException as error:
                # A topic was just made, or its leader just moved.
                if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
                continue
            if span is None:
                raise UnavailableError(f"Kafka: {at.topic} [{at.number}]: its end is not known")
            low, high = span
            return _Span(low, high)


def _letter_of(message: Message) -> _Letter:
    error = message.error()
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if error is not None or topic is None or partition is None or offset is None:
        reason = error.str() if isinstance(error, KafkaError) else "a message without a place"
        raise UnavailableError(f"Kafka: dead letters not read: {reason}")
    key, value = message.key(), message.value()
    record = OutRecord(topic, partition, key, value, cast("Headers", message.headers() or []))
    return _Letter(
        _Partition(topic, partition), offset, message.timestamp()[1], from_record(record)
    )


def _has(letter: _Letter, reason: str) -> bool:
    return reason.lower() in letter.letter.error.lower()


def _when(letter: _Letter) -> str:
    return datetime.fromtimestamp(letter.time_ms / 1_000, UTC).isoformat(" ", "milliseconds")


def _text(letter: _Letter) -> str:
    inner = letter.letter
    value = inner.value or b""
    size = "none" if inner.value is None else f"{len(value):,} bytes"
    if inner.original_bytes is not None:
        size = f"cut, {inner.original_bytes:,} bytes in its topic"
    more = "…" if len(value) > _VALUE_BYTES_SHOWN else ""
    place = f"{inner.topic} [{inner.partition}] offset {inner.offset}"
    lines = [
        f"{_when(letter)}  {place}  (dead letter {letter.offset})",
        f"  why    {_plain(inner.error)} (step {_plain(inner.step)})",
        f"  key    {'none' if inner.key is None else _readable(inner.key)}",
        f"  value  {_readable(value[:_VALUE_BYTES_SHOWN])}{more} ({size})",
    ]
    return "\n".join(lines)


def _readable(content: bytes) -> str:
    return _plain(content.decode("utf-8", "backslashreplace"))


def _plain(text: str) -> str:
    """Return the text without anything that a terminal would obey."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _json(letter: _Letter) -> str:
    inner = letter.letter
    return json.dumps(
        {
            "time": _when(letter),
            "topic": inner.topic,
            "partition": inner.partition,
            "offset": inner.offset,
            "dead_letter_offset": letter.offset,
            "error": inner.error,
            "step": inner.step,
            **({"original_bytes": inner.original_bytes} if inner.original_sha256 else {}),
            **_json_bytes("key", inner.key),
            **_json_bytes("value", inner.value),
            "headers": [
                {"name": name, **_json_bytes("value", value)} for name, value in inner.headers
            ],
        }
    )


def _json_bytes(name: str, value: bytes | None) -> dict[str, str | None]:
    """Text as it is; bytes that are no text as `<name>_base64`."""
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": b64encode(value).decode()}
