"""What the archive holds: records of processed topics, in objects named by their offsets."""

from base64 import b64encode
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from schemas.times import EARLIEST_NS, LATEST_NS, NS_PER_MS, NS_PER_SECOND


class LogRecord(NamedTuple):
    """One record of a processed topic."""

    offset: int
    time_ns: int
    """Its own time: of the ticker, the book, the start of the minute."""
    exchange: str
    line: bytes
    """Its value, without a line break."""


class ArchiveObject(NamedTuple):
    """An object to store."""

    key: str
    body: bytes
    metadata: dict[str, str]
    first_offset: int
    last_offset: int


class ArchiveBatch(NamedTuple):
    """Records of one partition; none of them: time has passed."""

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
    """One record of a processed topic; one that nothing can be read of is archived all the same.

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
