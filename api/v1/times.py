"""Times as users write them, and the intervals that minutes are summed into."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TIME_FORMS: Final = (
    "unix seconds (1729678800), unix milliseconds (1729678800000), RFC 3339 "
    "(2024-10-23T10:20:00Z), or a time before now (-1h, -7d, now)"
)
INTERVALS: Final = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
}

_SECONDS_DIGITS: Final = 10
_INTEGER: Final = re.compile(r"[0-9]{1,13}", re.ASCII)
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+ -]\d\d:\d\d)", re.ASCII
)
_BEFORE_NOW: Final = re.compile(r"-([0-9]{1,6})([smhd])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_OFFSET: Final = re.compile(r"([+ -])(0\d|1[0-4]):00", re.ASCII)


def parse_time(text: str, now: datetime) -> datetime:
    """Return the time that a parameter says.

    Raises:
        ValueError: The text has none of :data:`TIME_FORMS`, or is not of the years 1970 to 2100.
    """
    if text == "now":
        return now
    if _INTEGER.fullmatch(text):
        is_seconds = len(text) <= _SECONDS_DIGITS
        microseconds = int(text) * (1_000_000 if is_seconds else 1_000)
        return _bounded(EPOCH + timedelta(microseconds=microseconds))
    if before := _BEFORE_NOW.fullmatch(text):
        return _bounded(now - timedelta(**{_UNITS[before[2]]: int(before[1])}))
    if _RFC3339.fullmatch(text):
        # A `+` that was not percent-encoded arrives as a space.
        text = f"{text[:10]}T{text[11:].upper().replace(' ', '+')}"
        return _bounded(datetime.fromisoformat(text).astimezone(UTC))
    raise ValueError(text)


def is_relative(text: str) -> bool:
    """Tell whether the same text means another time later."""
    return text == "now" or text.startswith("-")


def parse_utc_offset(text: str) -> timedelta:
    """Return how far an offset of whole hours, such as `+09:00`, is ahead of UTC.

    Raises:
        ValueError: It is not one of `-14:00` to `+14:00`.
    """
    found = _OFFSET.fullmatch(text)
    if found is None:
        raise ValueError(text)
    hours = int(found[2])
    return timedelta(hours=-hours if found[1] == "-" else hours)


def utc_text(time: datetime) -> str:
    """Return a time as RFC 3339, UTC, with the fraction that it has."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def first_start(time: datetime, interval: timedelta, offset: timedelta) -> datetime:
    """Return the start of the first interval that begins at a time or after it."""
    since = time - EPOCH + offset
    whole = -(-since // interval)
    return EPOCH + whole * interval - offset


def _bounded(time: datetime) -> datetime:
    if EPOCH <= time <= LATEST:
        return time
    raise ValueError(time)
