"""How exchanges write times."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

KST_MS: Final = 9 * 3_600_000
_REMEMBERED: Final = 4_096


class Parts(NamedTuple):
    """The texts of one second."""

    date: bytes
    """`2026-11-27`."""
    time: bytes
    """`20:37:49`."""

    @property
    def short_date(self) -> bytes:
        """The date without separators."""
        return self.date.replace(b"-", b"")

    @property
    def short_time(self) -> bytes:
        """The time without separators."""
        return self.time.replace(b":", b"")


@lru_cache(maxsize=_REMEMBERED)
def parts(second: int) -> Parts:
    """Return the texts of a second of UTC."""
    at = datetime.fromtimestamp(second, UTC)
    return Parts(at.strftime("%Y-%m-%d").encode(), at.strftime("%H:%M:%S").encode())


def utc(time_ms: int) -> Parts:
    """Return the texts of a time in UTC."""
    return parts(time_ms // 1_000)


def kst(time_ms: int) -> Parts:
    """Return the texts of a time in Korea."""
    return parts((time_ms + KST_MS) // 1_000)


def iso(time_ms: int, decimals: int = 3) -> bytes:
    """Return `2026-11-27T20:37:49.123Z`, with so many decimals."""
    second = utc(time_ms)
    return b"%bT%b.%bZ" % (
        second.date,
        second.time,
        (b"%03d" % (time_ms % 1_000)).ljust(decimals, b"0"),
    )


def ms_of(text: str) -> int | None:
    """Return the milliseconds of an ISO time, taken for UTC if it does not say; else `None`."""
    try:
        at = datetime.fromisoformat(text.replace(" ", "T"))
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1_000)
