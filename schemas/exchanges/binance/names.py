"""What the markets of Binance are called here."""

from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase
from typing import Final, get_args

from schemas import symbols
from schemas.errors import DecodeError
from schemas.feeds import Feed
from schemas.records import Product

# No symbol has a separator, so that the quote currencies are named. USD is not among them: only
# coin-margined contracts are quoted in it, and those are told by their product.
_QUOTES: Final = frozenset(
    (
        *("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD1", "RLUSD", "USDE", "USDP", "USDS"),
        *("USDSB", "PAX", "DAI", "UST", "VAI", "U"),
        *("BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "DOT", "SOL"),
        *("EUR", "EURI", "GBP", "AUD", "TRY", "BRL", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON"),
        *("ARS", "COP", "MXN", "CZK", "JPY", "BIDR", "IDRT", "BKRW", "BVND", "GYEN"),
    )
)
_QUOTE_LENGTHS: Final = sorted({len(quote) for quote in _QUOTES}, reverse=True)
# ADAEUR is quoted in EUR, but BTCAEUR in the stablecoin AEUR, which had these markets only.
_AEUR_BASES: Final = frozenset({"BTC", "ETH", "EUR"})
# Streams are named in small letters.
_CAPITALS: Final = str.maketrans(ascii_lowercase, ascii_uppercase)


def symbol_of(native: str, feed: Feed) -> str:
    """Return the canonical symbol of a message, whose own may be empty.

    Raises:
        DecodeError: Neither the message nor the feed names a market of the product.
    """
    if native or feed.native_symbol:
        return canonical(native or feed.native_symbol or "", feed.product)
    if feed.coin is None:
        raise DecodeError(
            "expected a symbol in the frame, in its stream, in the record's key "
            "(binance.linear.BTCUSDT) or in its envelope"
        )
    if feed.product == "spot":
        return symbols.spot(feed.coin, feed.quote)
    return symbols.perpetual(feed.coin, feed.quote)


def capitals(native: str) -> str:
    """Return a symbol as Binance lists it."""
    return native.translate(_CAPITALS)


@lru_cache(maxsize=symbols.CACHED)
def canonical(native: str, product: Product) -> str:
    """Return the canonical symbol of a native one, in small letters or capitals.

    Raises:
        DecodeError: No market of the product is called like that.
    """
    pair, separator, expiry = capitals(native).partition("_")
    if product == "inverse":
        base, quote = pair.removesuffix("USD"), "USD"
        if base == pair or not separator:
            raise _unknown(native, "inverse contract like BTCUSD_PERP or BTCUSD_220624")
        if expiry == "PERP":
            return symbols.perpetual(base, quote)
        return symbols.dated(base, quote, expiry)
    base, quote = _split(pair)
    if product == "spot" and not separator:
        return symbols.spot(base, quote)
    if product == "spot":
        raise _unknown(native, "spot market like BTCUSDT")
    return symbols.dated(base, quote, expiry) if separator else symbols.perpetual(base, quote)


def _split(pair: str) -> tuple[str, str]:
    if pair.endswith("AEUR") and pair[:-4] in _AEUR_BASES:
        return pair[:-4], "AEUR"
    for length in _QUOTE_LENGTHS:
        if len(pair) > length and pair[-length:] in _QUOTES:
            return pair[:-length], pair[-length:]
    raise _unknown(pair, "pair that ends in a known quote currency")


def _unknown(native: str, expected: str) -> DecodeError:
    return DecodeError(f"symbol {native[:40]!r}: expected a {expected}")


class _Symbols(dict[str, str]):
    """The canonical symbols of one product by native ones; a dict is faster than a cached call."""

    def __init__(self, product: Product) -> None:
        self._product: Product = product

    def __missing__(self, native: str) -> str:
        if len(self) >= symbols.CACHED:
            self.clear()
        symbol = self[native] = canonical(native, self._product)
        return symbol


SYMBOLS: Final = {product: _Symbols(product) for product in get_args(Product)}
"""Canonical symbols by product and native symbol."""
