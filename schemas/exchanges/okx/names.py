"""What the instruments of OKX are called here."""

from functools import lru_cache
from typing import Final

from schemas.errors import DecodeError
from schemas.exchanges._contracts import Market
from schemas.symbols import CACHED, dated, perpetual, spot

# What follows a quote currency if a contract is margined in USD stablecoins, and what that is in a
# canonical symbol. An X-Perp is a perpetual in everything but its far expiry, which it keeps.
_MARGINS: Final = {"": "", "UM": "UM", "UM_XPERP": "UMX"}


@lru_cache(maxsize=CACHED)
def market_of(inst_id: str) -> Market:
    """Return the market of an instrument.

    | instrument | symbol | |
    |---|---|---|
    | `BTC-USDT` | `BTC-USDT` | spot |
    | `BTC-USDT-SWAP` | `BTC-USDT-PERP` | linear |
    | `BTC-USD-SWAP` | `BTC-USD-PERP` | inverse |
    | `BTC-USD-220527` | `BTC-USD-220527` | inverse |
    | `BTC-USD_UM-SWAP` | `BTC-USDUM-PERP` | linear, margined in USD stablecoins |
    | `TRX-USD_UM_XPERP-310523` | `TRX-USDUMX-310523` | the same |

    Raises:
        DecodeError: The instrument is none of these.
    """
    match inst_id.split("-"):
        case [base, quote]:
            return Market(spot(base, quote), "spot")
        case [base, quote, expiry]:
            currency, _, margin = quote.partition("_")
            if margin not in _MARGINS:
                raise DecodeError(
                    f"instId {inst_id[:40]!r}: expected a quote currency like USD, or USD_UM for "
                    "a contract margined in USD stablecoins"
                )
            quote = currency + _MARGINS[margin]
            symbol = perpetual(base, quote) if expiry == "SWAP" else dated(base, quote, expiry)
            return Market(symbol, "inverse" if quote == "USD" else "linear")
        case _:
            raise DecodeError(
                f"instId {inst_id[:40]!r}: expected BASE-QUOTE, BASE-QUOTE-SWAP or "
                "BASE-QUOTE-YYMMDD"
            )
