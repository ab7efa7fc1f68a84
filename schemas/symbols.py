"""Canonical symbols: the one spelling of a market that every step after the decoders sees.

`BTC-USDT` is spot, `BTC-USDT-PERP` a perpetual swap, `BTC-USD-220527` a contract that
expires on that day (YYMMDD). Currencies that an exchange names otherwise get their common
name: Kraken and BitMEX write XBT for Bitcoin, Kraken XDG for Dogecoin.
"""

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase
from types import MappingProxyType
from typing import Final

from schemas.errors import DecodeError

ALIASES: Final[Mapping[str, str]] = MappingProxyType({"XBT": "BTC", "XDG": "DOGE"})

# With room for `-PERP` or a date: the longest names listed anywhere (`1000000BABYDOGE`, Korean
# test markets) have 15 letters.
LONGEST: Final = 40

# Every market of ten exchanges, twice over; beyond it a broken feed only pays for the parsing.
CACHED: Final = 16_384

# Letters and digits of any script: several exchanges list currencies named in Chinese.
_PART: Final = re.compile(r"[^\W_]{1,20}")
# Only of ASCII: other scripts fold several names into one (ß and SS).
_CAPITALS: Final = str.maketrans(ascii_lowercase, ascii_uppercase)
_DAY: Final = re.compile(r"[0-9]{6}", re.ASCII)


def currency(name: str) -> str:
    """The common name of a currency: upper case, aliases resolved.

    Raises:
        DecodeError: It is not 1 to 20 letters and digits.
    """
    if _PART.fullmatch(name) is None:
        raise DecodeError(f"currency {name[:40]!r}: expected 1 to 20 letters and digits")
    upper = name.translate(_CAPITALS)
    return ALIASES.get(upper, upper)


@lru_cache(maxsize=CACHED)
def spot(base: str, quote: str) -> str:
    """`BASE-QUOTE`, the symbol of a spot market.

    Raises:
        DecodeError: A part is not a currency, or the whole is longer than a symbol can be.
    """
    return _bounded(f"{currency(base)}-{currency(quote)}")


@lru_cache(maxsize=CACHED)
def perpetual(base: str, quote: str) -> str:
    """`BASE-QUOTE-PERP`, the symbol of a perpetual swap, linear or inverse.

    Raises:
        DecodeError: As for :func:`spot`.
    """
    return _bounded(f"{currency(base)}-{currency(quote)}-PERP")


@lru_cache(maxsize=CACHED)
def dated(base: str, quote: str, yymmdd: str) -> str:
    """`BASE-QUOTE-YYMMDD`, the symbol of a contract that expires on a day of this century.

    Raises:
        DecodeError: As for :func:`spot`, or there is no such day.
    """
    if _DAY.fullmatch(yymmdd) is None or not _in_calendar(yymmdd):
        raise DecodeError(f"expiry {yymmdd[:40]!r}: expected a day as YYMMDD")
    return _bounded(f"{currency(base)}-{currency(quote)}-{yymmdd}")


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
