"""What the klines of several exchanges share: rows of numbers, the minute that a row is of."""

from decimal import Decimal
from typing import Final

from schemas.errors import DecodeError
from schemas.numbers import PRODUCT
from schemas.times import NS_PER_MINUTE, NS_PER_SECOND

SECONDS: Final = 60


def minute_of(time_ns: int, exchange: str) -> int:
    """Return the start of a minute in seconds.

    Raises:
        DecodeError: The time is not the start of a minute.
    """
    if time_ns % NS_PER_MINUTE:
        raise DecodeError(f"{exchange}: a kline at {time_ns} ns: expected the start of a minute")
    return time_ns // NS_PER_SECOND


def native_of(native: str | None, exchange: str) -> str:
    """Return the symbol that a record's key names.

    Raises:
        DecodeError: It names none.
    """
    if native is None:
        raise DecodeError(f"{exchange}: expected the symbol of these klines in the record's key")
    return native


def exact(value: Decimal, unit: Decimal) -> Decimal:
    """Return contracts as units, without rounding."""
    return PRODUCT.multiply(value, unit)
