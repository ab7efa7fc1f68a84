"""What each simulated exchange lists: its markets, their ticks, lots and contract sizes."""

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from schemas import symbols
from schemas.records import Product

# Coins by turnover, and what one is worth in US dollars when the simulation starts.
COINS: Final[dict[str, float]] = {
    "BTC": 88_000.0,
    "ETH": 3_050.0,
    "XRP": 2.21,
    "SOL": 137.4,
    "DOGE": 0.1512,
    "ADA": 0.4321,
    "TRX": 0.2791,
    "LINK": 13.12,
    "SUI": 1.58,
    "AVAX": 14.63,
    "BCH": 541.5,
    "LTC": 84.2,
    "XLM": 0.2514,
    "DOT": 2.31,
    "UNI": 6.14,
    "NEAR": 1.93,
    "ETC": 14.02,
    "APT": 2.51,
    "FIL": 1.62,
    "ATOM": 2.52,
}
KRW_PER_USDT: Final = 1_452.0
# The coins that have contracts margined in themselves.
_INVERSE: Final = ("BTC", "ETH")
# Units of the base currency a linear contract, where it is not one coin.
_OKX_UNITS: Final = {"BTC": "0.01", "ETH": "0.1", "XRP": "100", "DOGE": "1000", "ADA": "100"}
_GATE_UNITS: Final = {"BTC": "0.0001", "ETH": "0.01", "XRP": "10", "DOGE": "10", "ADA": "10"}
# US dollars an inverse contract.
_USD_UNITS: Final = {"BTC": "100", "ETH": "10"}
# Decimals of a coin that one BitMEX contract is.
_BITMEX_DECIMALS: Final = {"BTC": 6, "ETH": 5, "SOL": 4}
_OLD_NAMES: Final = {"BTC": "XBT", "DOGE": "XDG"}


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One market of one exchange."""

    exchange: str
    product: Product
    base: str
    quote: str
    native: str
    """The exchange's own symbol."""
    price_decimals: int
    tick: int
    """The step between two prices, in the last of the decimals."""
    size_decimals: int
    """Of base units, or of contracts where the market trades in those."""
    lot: int = 1
    """The step between two sizes, in the last of the decimals."""
    contract: Decimal | None = None
    """Base units a linear contract, US dollars an inverse one; `None` where there are none."""

    @property
    def symbol(self) -> str:
        """The canonical symbol."""
        name = symbols.spot if self.product == "spot" else symbols.perpetual
        return name(self.base, self.quote)

    @property
    def key(self) -> str:
        """What tells it from every other market."""
        return f"{self.exchange}.{self.product}.{self.native}"

    def base_units(self, tick: int, lots: int) -> tuple[int, int]:
        """Return a size in base units, as an integer and its number of decimals.

        An inverse contract needs a division by the price, which is rounded half-even to 12
        decimals; BitMEX rounds to whole satoshis by itself, for each contract.
        """
        size = lots * self.lot
        if self.contract is None:
            return size, self.size_decimals
        sign, digits, exponent = self.contract.as_tuple()
        unit = int("".join(map(str, digits)))
        if not isinstance(exponent, int) or sign:
            raise ValueError(f"contract of {self.contract}: expected a positive number")
        if self.product == "linear":
            return size * unit, self.size_decimals - exponent
        price = tick * self.tick
        if self.exchange == "bitmex":
            satoshis = half_even(100_000_000 * 10**self.price_decimals, price)
            return size * satoshis, 8
        dividend = size * unit * 10 ** (12 + self.price_decimals + max(exponent, 0))
        return half_even(dividend, price * 10 ** (self.size_decimals + max(-exponent, 0))), 12


def half_even(dividend: int, divisor: int) -> int:
    """Return the quotient rounded to the nearest integer, ties to the even one."""
    quotient, rest = divmod(dividend, divisor)
    if 2 * rest > divisor or (2 * rest == divisor and quotient % 2):
        quotient += 1
    return quotient


class Listing(NamedTuple):
    """One product of one exchange, and how it names and divides its markets."""

    exchange: str
    product: Product
    quote: str
    name: str
    """The native symbol, with `{base}` and `{quote}` in it."""
    ticks_per_price: int
    """About how many ticks a price has: the tick is the power of ten below it."""
    size_decimals: int
    """The most that a size has, of a coin of more than 1,000 dollars."""
    share: float
    """Its part of all trades, against the others."""


LISTINGS: Final = (
    Listing("upbit", "spot", "KRW", "{quote}-{base}", 100_000, 8, 3.0),
    Listing("bithumb", "spot", "KRW", "{quote}-{base}", 100_000, 4, 1.5),
    Listing("korbit", "spot", "KRW", "{base}_{quote}", 100_000, 8, 0.3),
    Listing("coinone", "spot", "KRW", "{base}", 10_000, 8, 0.5),
    Listing("okx", "spot", "USDT", "{base}-{quote}", 100_000, 8, 1.5),
    Listing("okx", "linear", "USDT", "{base}-{quote}-SWAP", 100_000, 2, 2.5),
    Listing("okx", "inverse", "USD", "{base}-{quote}-SWAP", 100_000, 0, 0.3),
    Listing("bybit", "spot", "USDT", "{base}{quote}", 100_000, 6, 1.0),
    Listing("bybit", "linear", "USDT", "{base}{quote}", 100_000, 3, 3.0),
    Listing("bybit", "inverse", "USD", "{base}{quote}", 100_000, 0, 0.3),
    Listing("gateio", "spot", "USDT", "{base}_{quote}", 100_000, 6, 1.0),
    Listing("gateio", "linear", "USDT", "{base}_{quote}", 100_000, 0, 1.2),
    Listing("binance", "spot", "USDT", "{base}{quote}", 1_000_000, 5, 4.0),
    Listing("binance", "linear", "USDT", "{base}{quote}", 100_000, 3, 6.0),
    Listing("binance", "inverse", "USD", "{base}{quote}_PERP", 100_000, 0, 0.5),
    Listing("kraken", "spot", "USD", "{base}/{quote}", 100_000, 8, 0.8),
    Listing("bitmex", "inverse", "USD", "{base}{quote}", 100_000, 0, 0.4),
    Listing("bitmex", "linear", "USDT", "{base}{quote}", 100_000, 0, 0.3),
)


def coins(count: int) -> dict[str, float]:
    """Return the names and prices of the first coins; beyond the known ones they are made up."""
    found = dict(list(COINS.items())[:count])
    for number in range(len(found) + 1, count + 1):
        found[f"SIM{number:03}"] = 1_000.0 / number
    return found


def instruments(coin_count: int) -> Iterator[tuple[Instrument, float]]:
    """Yield every market of every exchange, with its share of all trades."""
    for listing in LISTINGS:
        for rank, (coin, dollars) in enumerate(coins(coin_count).items(), 1):
            if _lists(listing, coin):
                yield _instrument(listing, coin, dollars), listing.share / rank
        if listing.quote in ("KRW", "USD") and listing.product == "spot":
            yield _instrument(listing, "USDT", 1.0), listing.share / 4


def new_instrument(exchange: str, product: str, coin: str) -> Instrument:
    """Return a market that the exchange did not list before.

    Raises:
        KeyError: It has no such product.
    """
    for listing in LISTINGS:
        if (listing.exchange, listing.product) == (exchange, product):
            return _instrument(listing, coin, COINS.get(coin, 1.0))
    raise KeyError(f"{exchange}.{product}")


def _lists(listing: Listing, coin: str) -> bool:
    if listing.exchange == "bitmex":
        return coin == "BTC" if listing.product == "inverse" else coin in _BITMEX_DECIMALS
    return listing.product != "inverse" or coin in _INVERSE


def _instrument(listing: Listing, coin: str, dollars: float) -> Instrument:
    price = dollars * KRW_PER_USDT if listing.quote == "KRW" else dollars
    magnitude = math.floor(math.log10(price / listing.ticks_per_price))
    price_decimals = max(0, -magnitude)
    base = coin.lower() if listing.exchange == "korbit" else coin
    if listing.exchange == "bitmex":
        base = _OLD_NAMES.get(coin, coin)
    quote = listing.quote.lower() if listing.exchange == "korbit" else listing.quote
    size_decimals, lot = _size_step(listing, dollars)
    return Instrument(
        exchange=listing.exchange,
        product=listing.product,
        base=coin,
        quote=listing.quote,
        native=listing.name.format(base=base, quote=quote),
        price_decimals=price_decimals,
        tick=10 ** max(0, magnitude),
        size_decimals=size_decimals,
        lot=lot,
        contract=_contract(listing, coin),
    )


def _size_step(listing: Listing, dollars: float) -> tuple[int, int]:
    """Return decimals and lot: one decimal less for each factor of ten that the coin is cheaper."""
    if listing.exchange == "bitmex":
        return 0, 100
    if listing.size_decimals in (0, 2) or listing.exchange in ("upbit", "kraken", "korbit"):
        return listing.size_decimals, 1
    cheaper = max(0, round(3.5 - math.log10(dollars)))
    return max(0, listing.size_decimals - cheaper), 1


def _contract(listing: Listing, coin: str) -> Decimal | None:  # noqa: PLR0911  # one an exchange
    match listing.exchange, listing.product:
        case "okx", "linear":
            return Decimal(_OKX_UNITS.get(coin, "1"))
        case "gateio", "linear":
            return Decimal(_GATE_UNITS.get(coin, "1"))
        case (("okx" | "binance"), "inverse"):
            return Decimal(_USD_UNITS[coin])
        case "bybit", "inverse":
            return Decimal(1)
        case "bitmex", "inverse":
            return Decimal(1)
        case "bitmex", "linear":
            return Decimal(1).scaleb(-_BITMEX_DECIMALS[coin])
    return None
