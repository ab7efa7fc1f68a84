"""Moves the exchange's own times and ids inside a frame, by changing their text and nothing else.

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

from schemas.records import Kind

# Ids a second at most: a pass that is a second later has ids beyond those of the one before.
ID_STEP: Final = 1_000_000


class Move(NamedTuple):
    """How far a frame is moved; both zero is not at all."""

    seconds: int
    """Added to each time."""
    generation: int
    """Times `ID_STEP`, added to each numeric id; other ids are derived from it."""


class _Fields(NamedTuple):
    """The keys of one exchange whose values are moved, over all generations of its format."""

    times: str
    """Unix times, whose number of digits tells the unit, or dates with a clock time."""
    days_and_times: tuple[tuple[str, str], ...] = ()
    """A key with a date, and the one with its clock time that follows."""
    trade_ids: str = ""
    book_ids: str = ""
    """Only where a book would drop the next pass as older than this one."""
    row_time: str = ""
    """What stands before a time that has a place in a row instead of a key."""
    row_id: str = ""
    """The same of a trade id."""


_UPBIT_LIKE: Final = (
    ("trade_date", "trade_time"),
    ("trade_date_utc", "trade_time_utc"),
    ("trade_date_kst", "trade_time_kst"),
    ("td", "ttm"),
    ("tdt", "ttm"),
)

FIELDS: Final[dict[str, _Fields]] = {
    "upbit": _Fields(
        times="timestamp trade_timestamp tms ttms",
        days_and_times=_UPBIT_LIKE,
        trade_ids="sequential_id sid",
    ),
    "bithumb": _Fields(
        times="timestamp trade_timestamp tms ttms contDtm datetime",
        days_and_times=(*_UPBIT_LIKE, ("date", "time")),
        trade_ids="sequential_id sid",
    ),
    "korbit": _Fields(times="timestamp lastTradedAt", trade_ids="tradeId"),
    "coinone": _Fields(times="timestamp t", trade_ids="id i", book_ids="id i"),
    "okx": _Fields(times="ts", trade_ids="tradeId"),
    "bybit": _Fields(
        times="ts cts T time trade_time_ms timestamp timestamp_e6 transactTimeE6 time_now",
        trade_ids="i trade_id execId id",
    ),
    "gateio": _Fields(
        times="time time_ms create_time create_time_ms t E current update",
        trade_ids="id",
        book_ids="id lastUpdateId U u",
    ),
    "binance": _Fields(
        times="E T O C time",
        trade_ids="t a f l id",
        book_ids="lastUpdateId U u pu",
    ),
    "kraken": _Fields(
        times="timestamp",
        trade_ids="trade_id",
        # [price, volume, time, …], in trades and in the levels of a book alike.
        row_time=r'\["[0-9.]+","[0-9.]+","?',
        # […, side, order type, "", id], by REST.
        row_id='"[lm]","",',
    ),
    "bitmex": _Fields(times="timestamp", trade_ids="trdMatchID"),
}

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
    """A frame, taken apart at what moves; made once, moved for each pass."""

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
        """The frame with its times and ids moved."""
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
    """One expression for all that moves in frames of a kind: a frame is searched once."""
    fields = FIELDS[exchange]
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
