"""What of an answer may be kept, by whom and how long; and the bytes that are kept here."""

import asyncio
import gzip
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import msgspec

from api.v1.plans import Plan
from api.v1.times import EPOCH, parse_time

IMMUTABLE: Final = "public, max-age=31536000, immutable"
# An estimate changes each second: it may be kept, but is asked for again each time.
CHANGING: Final = "no-cache"
MAX_CACHE_BYTES: Final = 64 * 1024 * 1024
# A correction of a minute that counts as settled is seen after this at the latest.
MAX_CACHE_S: Final = 5.0

_COMPRESSED_BYTES: Final = 8_192
_IN_A_THREAD_BYTES: Final = 65_536
# Level 5 costs more than the query does; level 1 half of that for a few percent more bytes.
_GZIP_LEVEL: Final = 1
_RECENT: Final = timedelta(minutes=2)


class Kept(msgspec.Struct, frozen=True):
    """One answer in one content coding."""

    body: bytes
    headers: dict[str, str]


class AnswerCache:
    """The bytes of answers that will hardly change, the most recently used within a bound."""

    def __init__(self) -> None:
        self._kept: OrderedDict[object, tuple[float, Kept]] = OrderedDict()
        self._bytes = 0

    def get(self, key: object) -> Kept | None:
        """Return an answer that is young enough."""
        found = self._kept.get(key)
        if found is None:
            return None
        if time.monotonic() - found[0] > MAX_CACHE_S:
            self._remove(key)
            return None
        self._kept.move_to_end(key)
        return found[1]

    def put(self, key: object, kept: Kept) -> None:
        """Keep an answer, and let the least used ones go."""
        if len(kept.body) > MAX_CACHE_BYTES // 8:
            return
        self._remove(key)
        self._kept[key] = (time.monotonic(), kept)
        self._bytes += len(kept.body)
        while self._bytes > MAX_CACHE_BYTES:
            self._remove(next(iter(self._kept)))

    def _remove(self, key: object) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._bytes -= len(found[1].body)


def cache_control(
    plan: Plan, rows: Sequence[Any], now: datetime, horizon: timedelta, *, has_more: bool
) -> str:
    """Return how long an answer holds: for ever where every interval is there, final and whole.

    Args:
        plan: Of the question.
        rows: Of the page.
        now: The time.
        horizon: How long after its end a minute can still be corrected.
        has_more: There is a further page.
    """
    question = plan.question
    if question.as_of is not None and question.is_fixed:
        return IMMUTABLE
    if question.last > now - _RECENT:
        return CHANGING
    if (
        question.is_fixed
        and question.last + horizon < now
        and _is_whole(plan, rows, has_more=has_more or question.cursor is not None)
    ):
        return IMMUTABLE
    return "public, max-age=60, stale-while-revalidate=60"


def _is_whole(plan: Plan, rows: Sequence[Any], *, has_more: bool) -> bool:
    """Tell whether no interval is missing, an estimate or touched by an outage."""
    if not rows or not hasattr(rows[0], "is_final"):
        return False
    if any(not row.is_final or row.is_complete is False for row in rows):
        return False
    # What differs from the exchange's own minute is likely to be mended.
    if any(getattr(row, "audited", None) == "different" for row in rows):
        return False
    question = plan.question
    times = {row.time for row in rows}
    markets = {(getattr(row, "exchange", ""), getattr(row, "symbol", "")) for row in rows}
    first, last = (parse_time(edge(times), EPOCH) for edge in (min, max))
    covered = (last - first) // question.step + 1
    if has_more:
        # The first and the last time of a page may be shared with other pages.
        return len(times) == covered and len(rows) >= len(markets) * (covered - 2)
    expected = (question.last - question.first) // question.step
    return covered == expected and len(rows) == expected * len(markets)


async def encoded(body: bytes, accept_encoding: str) -> tuple[bytes, dict[str, str]]:
    """Return a body in a content coding that is accepted, with its headers and strong tag.

    A strong tag names exact bytes, so that each coding has its own.
    """
    tag = sha256(body).hexdigest()[:32]
    if len(body) < _COMPRESSED_BYTES or not _accepts_gzip(accept_encoding):
        return body, {"etag": f'"{tag}"'}
    if len(body) > _IN_A_THREAD_BYTES:
        body = await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL, mtime=0)
    else:
        body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
    return body, {"etag": f'"{tag}-gzip"', "content-encoding": "gzip"}


def matches(if_none_match: str, tag: str) -> bool:
    """Tell whether a client has the bytes of a tag already (RFC 9110, 13.1.2)."""
    if if_none_match.strip() == "*":
        return True
    known = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return tag in known


def _accepts_gzip(accept_encoding: str) -> bool:
    for part in accept_encoding.split(","):
        name, _, quality = part.strip().partition(";")
        if name.strip().lower() in {"gzip", "*"}:
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
