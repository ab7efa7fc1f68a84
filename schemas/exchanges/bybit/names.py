"""What the markets of Bybit are called here."""

import calendar
import re
from functools import lru_cache
from typing import Final

from schemas.errors import DecodeError
from schemas.exchanges._contracts import Market
from schemas.symbols import CACHED, dated, perpetual, spot

# Letters and digits of any script, but for the small ones of ASCII: Bybit writes capitals.
_BASE: Final = r"([^\W_a-z]+?)"
# No separator tells where the base ends, so that the quote currencies are named. There is no spot
# pair in USD.
_SPOT_PAIR: Final = re.compile(
    _BASE + r"(USDT|USDC|USDE|USDQ|USD1|RLUSD|EURQ|EUR|BTC|ETH|SOL|MNT|DAI|BRZ|BRL|TRY|PLN|GBP)"
)
_PERPETUAL: Final = re.compile(_BASE + r"(USDT|USDC|USD|PERP)")
# An inverse contract of a quarter, `BTCUSDU23`, expires on the last Friday of its month.
_QUARTERLY: Final = re.compile(_BASE + r"USD([HMUZ])([0-9]{2})")
_QUARTERS: Final = {"H": 3, "M": 6, "U": 9, "Z": 12}
# `BTC-27DEC24` settles in USDC, `BTCUSDT-02OCT26` in USDT.
_DATED: Final = re.compile(_BASE + r"(USDT|USDC|USD|)-([0-9]{1,2})([A-Z]{3})([0-9]{2})")
# Spelt out, because the names in `calendar` follow the locale.
_MONTHS: Final = (
    *("JAN", "FEB", "MAR", "APR", "MAY", "JUN"),
    *("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)


@lru_cache(maxsize=CACHED)
def market_of(symbol: str, is_spot: bool) -> Market:  # noqa: FBT001  # cached by position
    """Return the market of a symbol.

    A message does not say whether it is of the spot market or of a contract with the same name:
    the feed does. What no spot market can be called is a contract, whatever the feed says.

    Raises:
        DecodeError: No market of Bybit is called like that.
    """
    if is_spot and (match := _SPOT_PAIR.fullmatch(symbol)):
        return Market(spot(match[1], match[2]), "spot")
    if match := _QUARTERLY.fullmatch(symbol):
        day = _last_friday(2000 + int(match[3]), _QUARTERS[match[2]])
        return Market(dated(match[1], "USD", day), "inverse")
    if match := _DATED.fullmatch(symbol):
        base, quote = match[1], match[2] or "USDC"
        canonical = dated(base, quote, _day(*match.group(3, 4, 5)))
    elif match := _PERPETUAL.fullmatch(symbol):
        base, quote = match[1], "USDC" if match[2] == "PERP" else match[2]
        canonical = perpetual(base, quote)
    else:
        raise DecodeError(
            f"symbol {symbol[:40]!r}: expected one of Bybit's, like BTCUSDT, BTCPERP, BTCUSDU23 or "
            "BTC-27DEC24"
        )
    return Market(canonical, "inverse" if quote == "USD" else "linear")


def _last_friday(year: int, month: int) -> str:
    day = max(week[calendar.FRIDAY] for week in calendar.monthcalendar(year, month))
    return f"{year % 100:02}{month:02}{day:02}"


def _day(day: str, month: str, year: str) -> str:
    if month not in _MONTHS:
        raise DecodeError(f"expiry {day}{month}{year}: expected a day like 27DEC24")
    return f"{year}{_MONTHS.index(month) + 1:02}{int(day):02}"
