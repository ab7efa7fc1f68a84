"""What the contracts of Gate are called here; spot pairs are `BTC_USDT`."""

from functools import lru_cache

from schemas.errors import DecodeError
from schemas.exchanges._contracts import Market
from schemas.symbols import CACHED, dated, perpetual


@lru_cache(maxsize=CACHED)
def contract_of(name: str) -> Market:
    """Return the market of a contract: `BTC_USDT`, `BTC_USD` or `BTC_USDT_20210326`.

    Raises:
        DecodeError: It is none of these.
    """
    match name.split("_"):
        case [base, quote]:
            symbol = perpetual(base, quote)
        case [base, quote, day] if day.startswith("20"):
            symbol = dated(base, quote, day[2:])
        case _:
            raise DecodeError(f"contract {name[:40]!r}: expected BASE_QUOTE or BASE_QUOTE_YYYYMMDD")
    return Market(symbol, "inverse" if quote == "USD" else "linear")
