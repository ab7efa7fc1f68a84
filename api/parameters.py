"""What a request for minutes may say: the parts of its address as types, or a refusal.

Every part is checked before anything is refused, so that one answer names all that is wrong.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from litestar.exceptions import ValidationException

from schemas.symbols import LONGEST, SYMBOL_PATTERN

ALL_EXCHANGES: Final = "all_exchange"
DEFAULT_LIMIT: Final = 10
LARGEST_LIMIT: Final = 100

# The first second of the year 2100: what lies beyond is a mistake, most often milliseconds.
LATEST_SECONDS: Final = 4_102_444_800

_SHOWN_CHARACTERS: Final = 40
_SECONDS: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_INTEGER: Final = re.compile(r"-?[0-9]+", re.ASCII)
_SYMBOL: Final = re.compile(SYMBOL_PATTERN)


class MinutesRequest(msgspec.Struct, frozen=True):
    """A request for minutes that nothing is wrong with."""

    symbols: Mapping[str, str]
    """By exchange id: whose minutes, and which symbol of each."""
    from_seconds: int
    to_seconds: int
    limit: int


def parse_minutes_request(
    primary_symbols: Mapping[str, str],
    *,
    exchange: str,
    from_segment: str,
    to_segment: str,
    limit: str | None,
    query: Iterable[tuple[str, str]],
) -> MinutesRequest:
    """Read the segments of the path and the query string.

    Args:
        primary_symbols: The symbol that an exchange shows unless asked for another, by its id.
        exchange: An exchange id or `all_exchange`.
        from_segment: `from=` and the first second of the range.
        to_segment: `to=` and the last second of the range.
        limit: The most minutes to answer.
        query: Names and values of the query string.

    Raises:
        ValidationException: Names every parameter that is wrong, and what was expected.
    """
    errors: list[tuple[str, str]] = []
    chosen = _exchanges(primary_symbols, exchange, errors)
    symbol = _symbol(query, errors)
    from_seconds = _seconds("from", from_segment, errors)
    to_seconds = _seconds("to", to_segment, errors)
    if not errors and from_seconds > to_seconds:
        errors.append(("from", f"{from_seconds} is after to={to_seconds}: expected from <= to"))
    limit_rows = _limit(limit, errors)
    if errors:
        raise refusal(errors)
    return MinutesRequest(
        symbols={name: symbol or primary_symbols[name] for name in chosen},
        from_seconds=from_seconds,
        to_seconds=to_seconds,
        limit=limit_rows,
    )


def refusal(errors: Iterable[tuple[str, str]]) -> ValidationException:
    """Return the error for parameters and what is wrong with each, as Litestar makes it."""
    extra = [{"key": parameter, "message": message} for parameter, message in errors]
    return ValidationException("invalid parameters", extra=extra)


def _exchanges(
    known: Iterable[str], exchange: str, errors: list[tuple[str, str]]
) -> tuple[str, ...]:
    known = tuple(known)
    if exchange == ALL_EXCHANGES:
        return known
    if exchange not in known:
        expected = ", ".join((*known, ALL_EXCHANGES))
        errors.append(("exchange", f"{shown(exchange)} is unknown: expected one of {expected}"))
    return (exchange,)


def _seconds(name: str, segment: str, errors: list[tuple[str, str]]) -> int:
    prefix, _, text = segment.partition("=")
    if prefix != name:
        expected = f"{name}= and unix seconds, like {name}=1729678800"
        errors.append((name, f"{shown(segment)} stands in its place: expected {expected}"))
        return 0
    # Leading zeros change nothing, and must not make a number too long.
    digits = text.lstrip("0") or text[:1]
    if _SECONDS.fullmatch(digits) is None or int(digits) > LATEST_SECONDS:
        errors.append(
            (
                name,
                f"{shown(text)} is not a time: expected whole unix seconds, 0 to {LATEST_SECONDS}",
            )
        )
        return 0
    return int(digits)


def _limit(text: str | None, errors: list[tuple[str, str]]) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if _INTEGER.fullmatch(text) is None:
        expected = f"a whole number, {DEFAULT_LIMIT} to {LARGEST_LIMIT}"
        errors.append(("limit", f"{shown(text)} is not a number: expected {expected}"))
        return DEFAULT_LIMIT
    digits = text.lstrip("0")
    # A number of thousands of digits is legal and outside the range: no need to compute it.
    limit = int(digits) if digits.isdigit() and len(digits) <= len(str(LARGEST_LIMIT)) else 0
    return limit if DEFAULT_LIMIT <= limit <= LARGEST_LIMIT else DEFAULT_LIMIT


def _symbol(query: Iterable[tuple[str, str]], errors: list[tuple[str, str]]) -> str | None:
    symbol = None
    for name, value in query:
        if name != "symbol":
            # A misspelt one would be answered with the primary symbol: wrong, and silently so.
            errors.append((name[:_SHOWN_CHARACTERS], "is not a query parameter: expected symbol"))
        elif symbol is not None:
            errors.append(("symbol", "is there more than once: expected one"))
        else:
            symbol = value
    if symbol is not None and (len(symbol) > LONGEST or _SYMBOL.fullmatch(symbol) is None):
        expected = "BASE-QUOTE, BASE-QUOTE-PERP or BASE-QUOTE-YYMMDD"
        errors.append(("symbol", f"{shown(symbol)} is not a symbol: expected {expected}"))
    return symbol


def shown(value: str) -> str:
    """Return a value that somebody sent, short and printable."""
    return ascii(value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}…")
