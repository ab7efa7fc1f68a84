"""The exchange's own times and ids inside a frame, moved by changing their text alone.

Replay needs this to make a recording happen now, and again: times move by whole seconds, so that
a field of any unit moves exactly and keeps its digits below the second. Ids of a later pass are
others, so that it is no duplicate of the one before. Prices, sizes and levels stay byte for byte.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID, uuid5

from schemas.exchanges import EXCHANGES
from schemas.records import Kind

# Ids a second at most: a pass that is a second later has ids beyond those of the one before.
ID_STEP: Final = 1_000_000


class Move(NamedTuple):
    """How far a frame is moved."""

    seconds: int
    """Added to each time."""
    generation: int
    """Times `ID_STEP`, added to each numeric id; other ids are derived from it."""


_SECONDS_DIGITS: Final = 10
_UNIX: Final = r"[0-9]{10}(?:[0-9]{3}){0,3}(?![0-9])"
_DAY: Final = r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}"
_TIME: Final = r"[0-9]{2}:?[0-9]{2}:?[0-9]{2}"
_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class _Number(NamedTuple):
    value: int
    units_a_second: int
    """0 for an id."""
    units_a_generation: int
    """0 for a time."""

    def moved(self, move: Move) -> int:
        seconds, generation = move
        return self.value + seconds * self.units_a_second + generation * self.units_a_generation


class _Clock(NamedTuple):
    seconds: int
    """Since the epoch, as if it were UTC: a wall clock moves the same in any zone without DST."""
    style: str

    def moved(self, move: Move) -> bytes:
        return _formatted(self.seconds + move.seconds, self.style)


class _Uuid(NamedTuple):
    value: UUID

    def moved(self, move: Move) -> bytes:
        if not move.generation:
            return str(self.value).encode()
        return str(uuid5(self.value, str(move.generation))).encode()


_Field: TypeAlias = _Number | _Clock | _Uuid


class Template:
    """A frame taken apart at what moves: made once, moved for each pass."""

    __slots__ = ("_fields", "_form", "_numbers_only", "frame")

    def __init__(self, exchange: str, kind: Kind, frame: bytes) -> None:
        self.frame = frame
        parts: list[bytes] = []
        self._fields: list[_Field] = []
        end = 0
        for start, stop, field in _find(exchange, kind, frame):
            parts.append(frame[end:start].replace(b"%", b"%%"))
            parts.append(b"%d" if isinstance(field, _Number) else b"%b")
            self._fields.append(field)
            end = stop
        parts.append(frame[end:].replace(b"%", b"%%"))
        # One formatting operation is the fastest way to put a frame together.
        self._form = b"".join(parts) if self._fields else b""
        self._numbers_only = all(isinstance(field, _Number) for field in self._fields)

    def moved(self, move: Move) -> bytes:
        """Return the frame with its times and ids moved."""
        if not self._fields or move == (0, 0):
            return self.frame
        if self._numbers_only:
            seconds, generation = move
            values = [a + seconds * b + generation * c for a, b, c in self._fields]  # type: ignore[misc]
            return self._form % tuple(values)
        return self._form % tuple([field.moved(move) for field in self._fields])


def _find(exchange: str, kind: Kind, frame: bytes) -> Iterator[tuple[int, int, _Field]]:
    for match in _pattern(exchange, kind).finditer(frame):
        group = match.lastgroup or ""
        if group.startswith("day"):
            yield from _clocks(match, group.removesuffix("_time"), group)
            continue
        start, stop = match.span(group)
        text = match[group].decode()
        field: _Field
        if group == "id":
            field = _Uuid(UUID(text)) if "-" in text else _Number(int(text), 0, ID_STEP)
        elif "-" in text:
            field = _clock(text)
        else:
            field = _Number(int(text), 10 ** (len(text) - _SECONDS_DIGITS), 0)
        yield start, stop, field


def _clocks(
    match: re.Match[bytes], day_group: str, time_group: str
) -> Iterator[tuple[int, int, _Field]]:
    day, time = match[day_group].decode(), match[time_group].decode()
    day_style = "%Y-%m-%d" if "-" in day else "%Y%m%d"
    time_style = "%H:%M:%S" if ":" in time else "%H%M%S"
    moment = datetime.strptime(day + time, day_style + time_style).replace(tzinfo=UTC)
    seconds = int(moment.timestamp())
    yield *match.span(day_group), _Clock(seconds, day_style)
    yield *match.span(time_group), _Clock(seconds, time_style)


def _clock(text: str) -> _Clock:
    seconds = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    return _Clock(seconds, f"%Y-%m-%d{'T' if 'T' in text else ' '}%H:%M:%S")


@lru_cache(maxsize=4_096)
def _formatted(seconds: int, style: str) -> bytes:
    return datetime.fromtimestamp(seconds, UTC).strftime(style).encode()


@lru_cache
def _pattern(exchange: str, kind: Kind) -> re.Pattern[bytes]:
    """Return one expression for all that moves in a kind of frame, so that it is searched once."""
    fields = EXCHANGES[exchange].moved
    clock = rf"{_DAY}[T ]{_TIME}"
    keyed = r'"(?:{keys})"\s?:\s?"?'
    parts = [keyed.format(keys=fields.times.replace(" ", "|")) + rf"(?P<time>{_UNIX}|{clock})"]
    parts += [
        rf'"{day}"\s?:\s?"(?P<day{number}>{_DAY})",\s?"{time}"\s?:\s?"(?P<day{number}_time>{_TIME})"'
        for number, (day, time) in enumerate(fields.days_and_times)
    ]
    ids = fields.trade_ids if kind == "trade" else fields.book_ids if kind == "orderbook" else ""
    if ids:
        before = keyed.format(keys=ids.replace(" ", "|"))
        before += f"|{fields.row_id}" if fields.row_id else ""
        parts.append(rf"(?:{before})(?P<id>{_UUID}|[0-9]+(?![0-9.]))")
    if fields.row_time:
        parts.append(rf"{fields.row_time}(?P<row>[0-9]{{10}})(?=\.)")
    return re.compile("|".join(parts).encode())
