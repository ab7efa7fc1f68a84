"""Canonical symbols: the one spelling of a market that every step after the decoders sees.

`BTC-USDT` is spot, `BTC-USDT-PERP` a perpetual swap, `BTC-USD-220527` a contract that
expires on that day (YYMMDD). Currencies are of letters and digits of any script, `币安人生` as well
as `BTC`. Their case stays as it is: an exchange that writes another one folds it itself, and one
that has its own name for a currency translates it.
"""

import re
from datetime import date
from functools import lru_cache
from typing import Final

from schemas.errors import DecodeError
from schemas.records import Product

# With room for `-PERP` or a date: the longest names listed anywhere (`1000000BABYDOGE`, Korean
# test markets) have 15 letters.
LONGEST: Final = 40

# Every market of ten exchanges, twice over; beyond it a broken feed only pays for the parsing.
CACHED: Final = 16_384

CURRENCY_PATTERN: Final = r"[^\W_]{1,20}"
"""A currency: letters and digits, no separator and no control character."""
SYMBOL_PATTERN: Final = rf"{CURRENCY_PATTERN}-{CURRENCY_PATTERN}(-(PERP|[0-9]{{6}}))?"
"""A canonical symbol."""

_CURRENCY: Final = re.compile(CURRENCY_PATTERN)
_DAY: Final = re.compile(r"[0-9]{6}", re.ASCII)


def currency(name: str) -> str:
    """Return the name of a currency after a check.

    Raises:
        DecodeError: It is not 1 to 20 letters and digits.
    """
    if _CURRENCY.fullmatch(name) is None:
        raise DecodeError(f"currency {name[:40]!r}: expected 1 to 20 letters and digits")
    return name


@lru_cache(maxsize=CACHED)
def spot(base: str, quote: str) -> str:
    """Return `BASE-QUOTE`, the symbol of a spot market.

    Raises:
        DecodeError: A part is not a currency, or the whole is longer than a symbol can be.
    """
    return _bounded(f"{currency(base)}-{currency(quote)}")


@lru_cache(maxsize=CACHED)
def perpetual(base: str, quote: str) -> str:
    """Return `BASE-QUOTE-PERP`, the symbol of a perpetual swap, linear or inverse.

    Raises:
        DecodeError: As for :func:`spot`.
    """
    return _bounded(f"{currency(base)}-{currency(quote)}-PERP")


@lru_cache(maxsize=CACHED)
def dated(base: str, quote: str, yymmdd: str) -> str:
    """Return `BASE-QUOTE-YYMMDD`, the symbol of a contract that expires on a day of this century.

    Raises:
        DecodeError: As for :func:`spot`, or there is no such day.
    """
    if _DAY.fullmatch(yymmdd) is None or not _in_calendar(yymmdd):
        raise DecodeError(f"expiry {yymmdd[:40]!r}: expected a day as YYMMDD")
    return _bounded(f"{currency(base)}-{currency(quote)}-{yymmdd}")


def product_of(symbol: str) -> Product:
    """Return the product of a canonical symbol: contracts quoted in US dollars are inverse."""
    _, _, rest = symbol.partition("-")
    quote, _, contract = rest.partition("-")
    if not contract:
        return "spot"
    return "inverse" if quote == "USD" else "linear"


def _in_calendar(yymmdd: str) -> bool:
    try:
        date(2000 + int(yymmdd[:2]), int(yymmdd[2:4]), int(yymmdd[4:]))
    except ValueError:
        return False
    return True


def _bounded(symbol: str) -> str:
    if len(symbol) > LONGEST:
        raise DecodeError(f"symbol {symbol!r}: expected at most {LONGEST} characters")
    return symbol
