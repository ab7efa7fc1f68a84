"""Dead letters as Kafka records and back: the original untouched, why it failed in headers.

A raw topic's dead letters lie in `<topic>.dlq`, in the partition they came from. One that is too
large for that topic, or of a partition that it does not have, is cut or put elsewhere: no record
ends a flow. Nothing here talks to a broker; `connectors.commands.dlq` does.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from connectors.kafka.sink import Headers, OutRecord
from connectors.process import metrics
from schemas.errors import DecodeError
from schemas.records import DeadLetter

SUFFIX: Final = ".dlq"

# Kafka bounds a record as a whole: a long reason must not make a letter undeliverable.
MAX_HEADER_BYTES: Final = 1_024
# No producer's queue and no broker's request takes much more than this at once.
MAX_LETTER_BYTES: Final = 32_000_000
# What is left of a value that does not fit: enough to see what it was.
MAX_POINTER_VALUE_BYTES: Final = 1_024
MAX_POINTER_KEY_BYTES: Final = 256

_PREFIX: Final = "dlq."
_QUOTED_OR_NUMBER: Final = re.compile(r"'[^']*'|\"[^\"]*\"|[+-]?\d[\d.,:eE+-]*")
# Those of trades out of time: what follows names one trade, and no two are alike.
_NAMED_REASON: Final = re.compile(r"(late|future): ")
_RANGES: Final = re.compile(r"[0-9]{1,18}-[0-9]{1,18}(?:,[0-9]{1,18}-[0-9]{1,18})*")
_REASON_LENGTH: Final = 100

_Range: TypeAlias = tuple[int, int]


def topic_of_dead_letters(topic: str) -> str:
    """Return the topic that a raw topic's dead letters go to."""
    return topic + SUFFIX


def to_record(letter: DeadLetter) -> OutRecord:
    """Return the record to write; reasons of an earlier failure give way to the newest.

    Where its topic refuses it, a short one is written instead, which points at the original.
    """
    pointer = _pointer(letter)
    if len(letter.value or b"") > MAX_LETTER_BYTES:
        return pointer
    return OutRecord(
        topic=topic_of_dead_letters(letter.topic),
        partition=letter.partition,
        key=letter.key,
        value=letter.value,
        headers=[*_own(letter.headers), *_reasons(letter)],
        instead=pointer,
    )


def dead_letter_records(letter: DeadLetter) -> list[OutRecord]:
    """Count a letter and return its record in a list, which is what the Kafka sink takes."""
    named = _NAMED_REASON.match(letter.error)
    metrics.DEAD_LETTERS.labels(letter.exchange, named[1] if named else "decode").inc()
    return [to_record(letter)]


def from_record(record: OutRecord) -> DeadLetter:
    """Return the letter that a record of a dead-letter topic holds.

    Raises:
        DecodeError: The record is not in a dead-letter topic.
    """
    headers = record.headers or []
    why = {
        name.removeprefix(_PREFIX): (value or b"").decode("utf-8", "replace")
        for name, value in headers
        if name.startswith(_PREFIX)
    }
    # A record that another tool put there does not say; it can be replayed all the same.
    return DeadLetter(
        topic=_topic_of_originals(record.topic),
        partition=_number(why.get("partition"), record.partition),
        offset=_number(why.get("offset"), -1),
        key=record.key,
        value=record.value,
        headers=_own(headers),
        error=why.get("error", "no reason given"),
        step=why.get("step", "unknown"),
        original_sha256=why.get("sha256"),
        original_bytes=_number(why["size"], 0) if "size" in why else None,
    )


def original_of(letter: DeadLetter) -> OutRecord:
    """Return the record as it was in its raw topic, to be put there again.

    Not of a letter that only points at it: see `original_sha256`.
    """
    return OutRecord(
        topic=letter.topic,
        partition=letter.partition,
        key=letter.key,
        value=letter.value,
        headers=letter.headers or None,
    )


def hash_of(value: bytes | None) -> str:
    """Return what a pointer knows its original by."""
    return hashlib.sha256(value or b"").hexdigest()


def reason_of(letter: DeadLetter) -> str:
    """Return the error without its particulars, so that errors of one kind count as one."""
    named = _NAMED_REASON.match(letter.error)
    if named is not None:
        return named[1]
    return _QUOTED_OR_NUMBER.sub("…", letter.error)[:_REASON_LENGTH]


def _pointer(letter: DeadLetter) -> OutRecord:
    """Return the letter with the beginning of its value, and what the original is found by."""
    size = str(len(letter.value or b"")).encode()
    place = f"{letter.topic}/{letter.partition}/{letter.offset}"
    # A compacted topic refuses a record without a key.
    return OutRecord(
        topic=topic_of_dead_letters(letter.topic),
        partition=letter.partition,
        key=(letter.key or place.encode())[:MAX_POINTER_KEY_BYTES],
        value=(letter.value or b"")[:MAX_POINTER_VALUE_BYTES],
        headers=[
            *_reasons(letter),
            (_PREFIX + "size", size),
            (_PREFIX + "sha256", hash_of(letter.value).encode()),
        ],
    )


def _reasons(letter: DeadLetter) -> Headers:
    why = {
        "error": letter.error,
        "topic": letter.topic,
        "partition": str(letter.partition),
        "offset": str(letter.offset),
        "step": letter.step,
    }
    return [(_PREFIX + name, _bounded(text)) for name, text in why.items()]


def _number(text: str | None, otherwise: int) -> int:
    """Return the number that a header names, if it does."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else otherwise


def _own(headers: Headers) -> Headers:
    return [(name, value) for name, value in headers if not name.startswith(_PREFIX)]


def _bounded(text: str) -> bytes:
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= MAX_HEADER_BYTES:
        return encoded
    # Cutting may split a character: what is left of it is dropped.
    return encoded[:MAX_HEADER_BYTES].decode("utf-8", "ignore").encode()


def _topic_of_originals(topic: str) -> str:
    if not topic.endswith(SUFFIX):
        raise DecodeError(
            f"topic {topic}: expected a dead-letter topic, its name ending in {SUFFIX}"
        )
    return topic.removesuffix(SUFFIX)


class Replayed(msgspec.Struct, frozen=True):
    """The offsets of one dead-letter partition that were replayed: all below one, a few ranges.

    The ranges come from replays of one reason only. Kafka keeps all of it as a consumer group's
    offset and the text beside it.
    """

    below: int
    """Every offset below this one was replayed, or is gone from the log."""
    ranges: tuple[_Range, ...] = ()
    """Ascending, `[start, end)`, all above `below`."""

    @classmethod
    def parse(cls, below: int, text: str) -> "Replayed":
        """Read a committed offset and its metadata; text that is not ours counts as none."""
        if not _RANGES.fullmatch(text):
            return cls(below)
        parts = [part.split("-") for part in text.split(",")]
        return cls(below).plus([(int(start), int(end)) for start, end in parts])

    def __contains__(self, offset: int) -> bool:
        return offset < self.below or any(start <= offset < end for start, end in self.ranges)

    def plus(self, ranges: Sequence[_Range]) -> "Replayed":
        """Return what was replayed once these ranges are, too."""
        below = self.below
        merged: list[_Range] = []
        for start, end in sorted([*self.ranges, *ranges]):
            if start <= below:
                below = max(below, end)
            elif merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return Replayed(below, tuple(merged))

    @property
    def text(self) -> str:
        """The ranges, to be stored beside `below`."""
        return ",".join(f"{start}-{end}" for start, end in self.ranges)
