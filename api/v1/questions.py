"""What a request for rows asks: its query string as types, or every reason to refuse it."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from api.parameters import ALL_EXCHANGES, refusal, shown
from api.v1.cursors import Cursor, decode_cursor, fingerprint
from api.v1.times import (
    EPOCH,
    INTERVALS,
    TIME_FORMS,
    first_start,
    is_relative,
    parse_time,
    parse_utc_offset,
    utc_text,
)
from schemas.symbols import LONGEST

DEFAULT_LIMIT: Final = 1_000
MAX_LIMIT: Final = 10_000
MAX_SYMBOLS: Final = 20
DEFAULT_INTERVALS: Final = 60
"""How many intervals before `to` an answer reaches back when `from` is not given."""
SYMBOL_PATTERN: Final = r"^[\p{L}\p{N}_]{1,20}-[\p{L}\p{N}_]{1,20}(-(PERP|[0-9]{6}))?$"

Sort: TypeAlias = Literal["asc", "desc"]
Format: TypeAlias = Literal["json", "csv", "ndjson", "parquet", "arrow"]
Numbers: TypeAlias = Literal["text", "float"]
FORMATS: Final[Mapping[Format, str]] = {
    "json": "application/json",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}

Result = TypeVar("Result")
_SYMBOL: Final = re.compile(r"\w{1,20}-\w{1,20}(-(PERP|[0-9]{6}))?")
_BASE: Final = re.compile(r"\w{1,20}")
_LIMIT: Final = re.compile(r"[0-9]{1,6}", re.ASCII)


class Question(msgspec.Struct, frozen=True):
    """A request for rows that nothing is wrong with."""

    exchanges: tuple[str, ...]
    symbols: tuple[str, ...]
    """Empty: those of `bases`, or each exchange's primary market."""
    bases: tuple[str, ...]
    start: datetime
    """The first interval begins here or later."""
    end: datetime
    """The last interval begins before it."""
    interval: str
    utc_offset: str
    aggregate: bool
    as_of: datetime | None
    anchor: datetime
    """Where the running sum of `cvd` begins."""
    sort: Sort
    limit: int
    """Of the rows of a page."""
    most_rows: int | None
    """Of an answer in another format than JSON, which has no pages; None: all there are."""
    cursor: Cursor | None
    format: Format
    numbers: Numbers
    is_fixed: bool
    """The range does not depend on when it is asked for."""
    notional: str | None = None
    """Size of the order whose slippage is asked for, in quote units."""

    @property
    def step(self) -> timedelta:
        """The length of an interval."""
        return INTERVALS[self.interval]

    @property
    def offset(self) -> timedelta:
        """How far local midnight is ahead of midnight UTC."""
        return parse_utc_offset(self.utc_offset)

    @property
    def origin(self) -> datetime:
        """A time at which an interval of every length begins."""
        return EPOCH - self.offset

    @property
    def first(self) -> datetime:
        """The start of the first interval of the range."""
        return first_start(self.start, self.step, self.offset)

    @property
    def last(self) -> datetime:
        """The end of the last interval of the range."""
        return max(self.first, first_start(self.end, self.step, self.offset))

    @property
    def most(self) -> int | None:
        """The most rows that one answer has; None: all there are."""
        return self.limit if self.format == "json" else self.most_rows

    def identity(self, route: str) -> str:
        """Return a hash of what decides on the rows and their order."""
        return fingerprint(
            route,
            self.exchanges,
            self.symbols,
            self.bases,
            self.start,
            self.end,
            self.interval,
            self.utc_offset,
            self.aggregate,
            self.as_of,
            self.anchor,
            self.sort,
            self.notional,
        )

    def understood(self, names: Collection[str]) -> dict[str, Any]:
        """Return the parameters as they were understood, defaults among them."""
        values: dict[str, Any] = {
            "exchange": list(self.exchanges),
            "symbol": list(self.symbols) or None,
            "base": list(self.bases) or None,
            "from": utc_text(self.start),
            "to": utc_text(self.end),
            "interval": self.interval,
            "utc_offset": self.utc_offset,
            "aggregate": self.aggregate,
            "as_of": None if self.as_of is None else utc_text(self.as_of),
            "anchor": utc_text(self.anchor),
            "notional": self.notional,
            "sort": self.sort,
            "limit": self.limit,
            "numbers": self.numbers,
        }
        return {name: value for name, value in values.items() if name in names}


class Asked:
    """The parameters of one request, each read once, with everything that is wrong."""

    def __init__(self, query: Iterable[tuple[str, str]], accepted: Sequence[str]) -> None:
        self.errors: list[tuple[str, str]] = []
        self._values: dict[str, list[str]] = {}
        for name, value in query:
            if name in accepted:
                self._values.setdefault(name, []).append(value)
            else:
                expected = ", ".join(accepted)
                self.errors.append(
                    (name[:40], f"is not a parameter of this route: expected one of {expected}")
                )

    def list_of(self, name: str) -> list[str]:
        """Return the values of a parameter that may be repeated or comma separated."""
        return [part for value in self._values.get(name, ()) for part in value.split(",")]

    def one(
        self, name: str, default: Result, parse: Callable[[str], Result], expected: str
    ) -> Result:
        """Return the value of a parameter that may be there once, or its default."""
        values = self._values.get(name, [])
        if not values:
            return default
        if len(values) > 1:
            self.errors.append((name, "is there more than once: expected one"))
            return default
        try:
            return parse(values[0])
        except (ValueError, KeyError, OverflowError):
            self.errors.append((name, f"{shown(values[0])}: expected {expected}"))
            return default

    def choice(self, name: str, default: str, choices: Collection[str]) -> Any:
        """Return a value that is one of a few."""
        return self.one(
            name, default, lambda text: {each: each for each in choices}[text],
            f"one of {', '.join(choices)}",
        )  # fmt: skip

    def text(self, name: str) -> str | None:
        """Return the first value as it was sent."""
        return next(iter(self._values.get(name, ())), None)

    def fail(self, name: str, message: str) -> None:
        """Note that a parameter is wrong."""
        self.errors.append((name, message))

    def refuse(self) -> None:
        """Raise when anything was wrong.

        Raises:
            ValidationException: Names every parameter that is wrong, and what was expected.
        """
        if self.errors:
            raise refusal(self.errors)


def parse_question(
    asked: Asked,
    known: Collection[str],
    now: datetime,
    *,
    route: str,
    format_: Format = "json",
    interval: str = "1m",
) -> Question:
    """Read the parameters of a route that answers intervals of markets.

    Args:
        asked: The parameters.
        known: All exchange ids.
        now: The time that relative times are before.
        route: The path, which a cursor belongs to.
        format_: What the request accepts, unless it names a format.
        interval: Unless the request names one.

    Raises:
        ValidationException: Names every parameter that is wrong, and what was expected.
    """
    interval = asked.choice("interval", interval, INTERVALS)
    end = parse_range_time(asked, "to", now, now)
    start = parse_range_time(asked, "from", end - DEFAULT_INTERVALS * INTERVALS[interval], now)
    if start > end and not asked.errors:
        asked.fail("from", f"{utc_text(start)} is after to={utc_text(end)}: expected from <= to")
    texts = [asked.text("from"), asked.text("to")]
    question = Question(
        exchanges=parse_exchanges(asked, known),
        symbols=parse_symbols(asked),
        bases=parse_bases(asked),
        start=start,
        end=end,
        interval=interval,
        utc_offset=asked.one(
            "utc_offset", "+00:00", _offset_text, "whole hours, -14:00 to +14:00, such as +09:00"
        ),
        aggregate=asked.choice("aggregate", "false", ("true", "false")) == "true",
        as_of=parse_range_time(asked, "as_of", None, now),
        anchor=parse_range_time(asked, "anchor", start, now),
        sort=asked.choice("sort", "desc", ("asc", "desc")),
        limit=parse_limit(asked),
        most_rows=None if asked.text("limit") is None else parse_limit(asked),
        cursor=asked.one("cursor", None, decode_cursor, "`next` of an answer"),
        format=asked.choice("format", format_, FORMATS),
        numbers=asked.choice("numbers", "text", ("text", "float")),
        is_fixed=all(text is not None and not is_relative(text) for text in texts),
        notional=asked.one("notional", None, _positive, "a positive number of quote units"),
    )
    if question.anchor > question.start:
        asked.fail("anchor", f"{utc_text(question.anchor)} is after from: expected a time before")
    if question.symbols and question.bases:
        asked.fail("base", "stands beside symbol: expected one of the two")
    cursor = question.cursor
    if cursor is not None and cursor.question != question.identity(route):
        asked.fail("cursor", "belongs to another question: pass it with the same parameters")
    asked.refuse()
    return question


def parse_exchanges(asked: Asked, known: Collection[str]) -> tuple[str, ...]:
    """Return the exchanges that are asked for; all where none is named."""
    named = asked.list_of("exchange")
    if not named or ALL_EXCHANGES in named:
        return tuple(known)
    for name in named:
        if name not in known:
            expected = ", ".join((*known, ALL_EXCHANGES))
            asked.fail("exchange", f"{shown(name)} is unknown: expected one of {expected}")
    return tuple(name for name in known if name in named)


def parse_symbols(asked: Asked) -> tuple[str, ...]:
    """Return the canonical symbols that are asked for."""
    symbols = asked.list_of("symbol")
    for symbol in symbols:
        if len(symbol) > LONGEST or _SYMBOL.fullmatch(symbol) is None:
            asked.fail(
                "symbol",
                f"{shown(symbol)}: expected BASE-QUOTE, BASE-QUOTE-PERP or BASE-QUOTE-YYMMDD",
            )
    if len(symbols) > MAX_SYMBOLS:
        asked.fail("symbol", f"{len(symbols)} symbols: expected at most {MAX_SYMBOLS}")
    return tuple(dict.fromkeys(symbols))


def parse_bases(asked: Asked) -> tuple[str, ...]:
    """Return the coins whose markets are asked for."""
    bases = asked.list_of("base")
    for base in bases:
        if _BASE.fullmatch(base) is None:
            asked.fail("base", f"{shown(base)}: expected a coin such as BTC")
    if len(bases) > MAX_SYMBOLS:
        asked.fail("base", f"{len(bases)} coins: expected at most {MAX_SYMBOLS}")
    return tuple(dict.fromkeys(bases))


def parse_limit(asked: Asked) -> int:
    """Return the most rows of a page."""
    return asked.one("limit", DEFAULT_LIMIT, _limit, f"a whole number, 1 to {MAX_LIMIT}")


def parse_range_time(asked: Asked, name: str, default: Result, now: datetime) -> Result | datetime:
    """Return the time of a parameter, or its default."""
    return asked.one(name, default, lambda text: parse_time(text, now), TIME_FORMS)  # type: ignore[arg-type, return-value]


def _limit(text: str) -> int:
    if _LIMIT.fullmatch(text) is None or not 1 <= int(text) <= MAX_LIMIT:
        raise ValueError(text)
    return int(text)


def _positive(text: str) -> str:
    if re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,12})?", text, re.ASCII) is None or not float(text):
        raise ValueError(text)
    return text


def _offset_text(text: str) -> str:
    parse_utc_offset(text)
    return text
