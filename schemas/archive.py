"""What the archive holds: records of processed topics, in objects named by their offsets.

The key and the metadata of an object are written and read through this module alone.
"""

import re
from base64 import b64encode
from datetime import datetime
from typing import Final, NamedTuple, Self

import msgspec

from schemas.times import EARLIEST_NS, LATEST_NS, NS_PER_MS, NS_PER_SECOND

FIRST_GENERATION: Final = 1
SMALL: Final = ".jsonl.gz"
PARQUET: Final = ".parquet"

_HOUR: Final = (
    r"topics/(?P<topic>[^/]+)/exchange=(?P<exchange>[^/]+)/"
    r"date=(?P<date>\d{4}-\d\d-\d\d)/hour=(?P<hour>\d\d)/"
)
_KEY_OF_HOUR: Final = re.compile(_HOUR + r"[^/]+\.(?:jsonl\.gz|parquet)")
_KEY: Final = re.compile(
    _HOUR + r"(?P=topic)\+(?P<partition>\d+)\+(?P<offset>\d{20})"
    r"(?:\+g(?P<generation>\d+))?\.jsonl\.gz"
)


class Hour(NamedTuple):
    """One exchange's records of one topic in one hour."""

    topic: str
    exchange: str
    date: str
    hour: str

    @classmethod
    def of_key(cls, key: str) -> Self | None:
        """Return the hour that an object is of; `None` for what is no object of the archive."""
        found = _KEY_OF_HOUR.fullmatch(key)
        if found is None:
            return None
        return cls(found["topic"], found["exchange"], found["date"], found["hour"])

    @property
    def folder(self) -> str:
        """Where its objects are."""
        return f"topics/{self.topic}/exchange={self.exchange}/date={self.date}/hour={self.hour}/"

    @property
    def parquet_key(self) -> str:
        """Where `compact` puts all of its records."""
        return f"{self.folder}{self.topic}+{self.date}T{self.hour}{PARQUET}"

    @property
    def start(self) -> str:
        """Its beginning: UTC, ISO 8601 to the hour, which sorts."""
        return f"{self.date}T{self.hour}"


class ObjectKey(NamedTuple):
    """The name of an object: where its first record was in the log."""

    hour: Hour
    partition: int
    first_offset: int
    generation: int = FIRST_GENERATION
    """Grows each time the topic begins anew, with other records at the same offsets."""

    @property
    def text(self) -> str:
        """The key in the bucket."""
        suffix = "" if self.generation == FIRST_GENERATION else f"+g{self.generation}"
        name = f"{self.hour.topic}+{self.partition}+{self.first_offset:020d}{suffix}"
        return f"{self.hour.folder}{name}{SMALL}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return what a key says; `None` for what is no small object of the archive."""
        found = _KEY.fullmatch(text)
        if found is None:
            return None
        hour = Hour(found["topic"], found["exchange"], found["date"], found["hour"])
        generation = int(found["generation"] or FIRST_GENERATION)
        return cls(hour, int(found["partition"]), int(found["offset"]), generation)


class LogRecord(NamedTuple):
    """One record of a processed topic."""

    offset: int
    time_ns: int
    """Its own time: of the ticker, the book, the start of the minute."""
    exchange: str
    line: bytes
    """Its value, without a line break."""


class ArchivedRecord(NamedTuple):
    """One record as the archive knows it; sorts in the order of its log."""

    generation: int
    partition: int
    offset: int
    line: bytes


class ArchiveObject(NamedTuple):
    """An object to store."""

    key: ObjectKey
    lines: list[bytes]
    body: bytes
    metadata: dict[str, str]

    @property
    def last_offset(self) -> int:
        """Of its last record."""
        return int(self.metadata["last-offset"])


class ArchiveBatch(NamedTuple):
    """Records of one partition, in the order of its log; none: a tick, so that old runs end."""

    topic: str
    partition: int
    records: list[LogRecord]
    ends: bool = False
    """The input has an end, and this is it."""


class _Times(msgspec.Struct, gc=False):
    timestamp: float | str | None = None
    minute: int | None = None


_times: Final = msgspec.json.Decoder(_Times)


def log_record(offset: int, key: bytes | None, value: bytes | None, logged_ms: int) -> LogRecord:
    """Return one record of a processed topic, also of one that cannot be read.

    Args:
        offset: In its partition.
        key: `<exchange>:<symbol>`.
        value: JSON.
        logged_ms: When the broker got it, for what has no time of its own.
    """
    line = b"null" if value is None else value
    if b"\n" in line or b"\r" in line:
        line = msgspec.json.encode({"base64": b64encode(line).decode()})
    exchange = (key or b"").partition(b":")[0].decode("ascii", "replace")
    if not exchange.isalnum():
        exchange = "unknown"
    return LogRecord(offset, _time_ns(line) or logged_ms * NS_PER_MS, exchange, line)


def _time_ns(line: bytes) -> int | None:
    try:
        times = _times.decode(line)
        if times.minute is not None:
            time_ns = times.minute * NS_PER_SECOND
        elif isinstance(times.timestamp, str):
            moment = datetime.fromisoformat(times.timestamp)
            time_ns = int(moment.timestamp() * 1_000_000) * 1_000
        elif times.timestamp is not None:
            time_ns = int(times.timestamp * NS_PER_MS)
        else:
            return None
    except (msgspec.MsgspecError, UnicodeError, ValueError, OverflowError):
        return None
    return time_ns if EARLIEST_NS <= time_ns < LATEST_NS else None
