"""Exact times: what exchanges write into nanoseconds since the Unix epoch, UTC.

Nothing here passes through a float or through the local time zone. Digits below a nanosecond
are cut off, never rounded up, so that a trade cannot slip into the next minute.
"""

import decimal
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

from schemas.errors import DecodeError

NS_PER_US: Final = 1_000
NS_PER_MS: Final = 1_000_000
NS_PER_SECOND: Final = 1_000_000_000
NS_PER_MINUTE: Final = 60 * NS_PER_SECOND
NS_PER_HOUR: Final = 60 * NS_PER_MINUTE
NS_PER_DAY: Final = 24 * NS_PER_HOUR

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
# No exchange is older than Bitcoin; a later time than this is a wrong unit, not a trade.
EARLIEST_NS: Final = (date(2009, 1, 1).toordinal() - _EPOCH_DAY) * NS_PER_DAY
LATEST_NS: Final = (date(2101, 1, 1).toordinal() - _EPOCH_DAY) * NS_PER_DAY

# Of Unix nanoseconds since 2001, and of those in a second and in a millisecond.
_NS_DIGITS: Final = 19
_SECOND_DIGITS: Final = 9
_MS_DIGITS: Final = 6
_EARLIEST_MS: Final = EARLIEST_NS // NS_PER_MS
_LATEST_MS: Final = LATEST_NS // NS_PER_MS

_KST_AHEAD_NS: Final = 9 * NS_PER_HOUR
# 20 digits hold nanoseconds until 2262, 40 of a fraction any float that Python prints.
_NUMBER: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{0,40})?")
_CLOCK: Final = r"([01][0-9]|2[0-3]):?([0-5][0-9]):?([0-5][0-9])(?:\.([0-9]{1,40}))?"
_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]"
    + _CLOCK
    + r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_LOCAL: Final = re.compile(r"([0-9]{4}-?[0-9]{2}-?[0-9]{2})[Tt ]?" + _CLOCK)
_CUT: Final = decimal.Context(prec=64, rounding=decimal.ROUND_DOWN, traps=[])


def ns_of_seconds(value: int | str | Decimal) -> int:
    """Return the nanoseconds of Unix seconds: an integer, or text or a number with a fraction.

    Raises:
        DecodeError: It is not a number, or not of the years 2009 to 2100.
    """
    if type(value) is str:
        time_ns = _ns_of_text_fast(value, _SECOND_DIGITS)
        if time_ns is not None:
            return time_ns
    return _scaled(value, NS_PER_SECOND, "seconds")


def ns_of_ms(value: int | str | Decimal) -> int:
    """Return the nanoseconds of Unix milliseconds: an integer, or text or a number with a fraction.

    Raises:
        DecodeError: It is not a number, or not of the years 2009 to 2100.
    """
    if type(value) is int and _EARLIEST_MS <= value < _LATEST_MS:
        return value * NS_PER_MS
    if type(value) is str:
        time_ns = _ns_of_text_fast(value, _MS_DIGITS)
        if time_ns is not None:
            return time_ns
    return _scaled(value, NS_PER_MS, "milliseconds")


def ns_of_all_ms(times_ms: Sequence[int]) -> list[int]:
    """Return the nanoseconds of one or more times in Unix milliseconds.

    Raises:
        DecodeError: One is not of the years 2009 to 2100.
    """
    if min(times_ms) < _EARLIEST_MS or max(times_ms) >= _LATEST_MS:
        raise DecodeError("times: expected milliseconds of the years 2009 to 2100")
    return [time_ms * NS_PER_MS for time_ms in times_ms]


def ns_of_us(value: int | str | Decimal) -> int:
    """Return the nanoseconds of Unix microseconds: an integer, or text or a number with a fraction.

    Raises:
        DecodeError: It is not a number, or not of the years 2009 to 2100.
    """
    return _scaled(value, NS_PER_US, "microseconds")


def ns_of_ms_or_us(value: int | str | Decimal) -> int:
    """Return the nanoseconds of a time in milliseconds or microseconds: its size tells which.

    The two cannot be confused: milliseconds of 2100 are microseconds of February 1970.

    Raises:
        DecodeError: It is not a number, or in neither unit of the years 2009 to 2100.
    """
    if type(value) is int and value >= _LATEST_MS:
        return ns_of_us(value)
    if type(value) is not int:
        try:
            return ns_of_ms(value)
        except DecodeError:
            return ns_of_us(value)
    return ns_of_ms(value)


def ns_of_rfc3339(text: str) -> int:
    """Return the nanoseconds of `2021-04-17T16:51:02.123456Z` or the same with `+09:00` at its end.

    Raises:
        DecodeError: It has another form, or is not of the years 2009 to 2100.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise DecodeError(f"time {text[:80]!r}: expected RFC 3339, like 2021-04-17T16:51:02.123Z")
    day, hour, minute, second, fraction, sign, ahead_hours, ahead_minutes = match.groups()
    time_ns = _day_ns(day) + _clock_ns(hour, minute, second, fraction)
    if sign is not None:
        ahead_ns = int(ahead_hours) * NS_PER_HOUR + int(ahead_minutes) * NS_PER_MINUTE
        time_ns += ahead_ns if sign == "-" else -ahead_ns
    return _in_bounds(time_ns, text)


def ns_of_kst(text: str) -> int:
    """Return the nanoseconds of a Korean wall clock, `2021-06-02 08:43:34.5` or `20210602 084334`.

    Korea is nine hours ahead of UTC and has had no daylight saving since 1988.

    Raises:
        DecodeError: It has another form, or is not of the years 2009 to 2100.
    """
    match = _LOCAL.fullmatch(text)
    if match is None:
        raise DecodeError(f"time {text[:80]!r}: expected Korean time, like 2021-06-02 08:43:34.555")
    day, hour, minute, second, fraction = match.groups()
    time_ns = _day_ns(day) + _clock_ns(hour, minute, second, fraction) - _KST_AHEAD_NS
    return _in_bounds(time_ns, text)


def _ns_of_text_fast(text: str, decimals: int) -> int | None:
    """Return the time of text without digits below a nanosecond, read as one integer.

    A tenth of the time that a `Decimal` takes: Kraken and Gate send each trade's time like that.

    Args:
        text: Seconds, or a thousandth of them.
        decimals: The digits of a nanosecond behind the point.
    """
    whole, _, fraction = text.partition(".")
    digits = whole + fraction.ljust(decimals, "0")
    if len(digits) != _NS_DIGITS or len(fraction) > decimals:
        return None
    if not (digits.isascii() and digits.isdigit()):
        return None
    time_ns = int(digits)
    return time_ns if EARLIEST_NS <= time_ns < LATEST_NS else None


def _scaled(value: int | str | Decimal, unit_ns: int, unit: str) -> int:
    if isinstance(value, str):
        if _NUMBER.fullmatch(value) is None:
            raise DecodeError(f"time {value[:80]!r}: expected a number of {unit}")
        value = int(value) if "." not in value else Decimal(value)
    if isinstance(value, int):
        time_ns = value * unit_ns
    else:
        # NaN and infinity compare as false here without an exception, unlike with `<`.
        exact_ns = _CUT.multiply(value, Decimal(unit_ns))
        if not exact_ns.is_finite() or exact_ns.adjusted() > _CUT.prec:
            raise DecodeError(f"time {value!s:.80}: expected a finite number of {unit}")
        time_ns = int(exact_ns)
    if EARLIEST_NS <= time_ns < LATEST_NS:
        return time_ns
    raise DecodeError(f"time {_short(value)}: expected {unit} of the years 2009 to 2100")


def _short(value: int | Decimal) -> str:
    if isinstance(value, int) and value.bit_length() > 256:  # noqa: PLR2004  # unprintably long
        return f"of {value.bit_length()} bits"
    return f"{value!s:.80}"


def _clock_ns(hour: str, minute: str, second: str, fraction: str | None) -> int:
    whole_ns = ((int(hour) * 60 + int(minute)) * 60 + int(second)) * NS_PER_SECOND
    return whole_ns if fraction is None else whole_ns + int(fraction[:9].ljust(9, "0"))


@lru_cache(maxsize=64)
def _day_ns(text: str) -> int:
    try:
        return (date.fromisoformat(text).toordinal() - _EPOCH_DAY) * NS_PER_DAY
    except ValueError as error:
        raise DecodeError(f"time {text!r}: expected a date of the calendar") from error


def _in_bounds(time_ns: int, text: str) -> int:
    if EARLIEST_NS <= time_ns < LATEST_NS:
        return time_ns
    raise DecodeError(f"time {text[:80]!r}: expected a time of the years 2009 to 2100")


def utc_text(time_ns: int) -> str:
    """Return a time for a person to read, to the second."""
    return datetime.fromtimestamp(time_ns // NS_PER_SECOND, UTC).isoformat()
