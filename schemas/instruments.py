"""Instruments: the markets that an exchange lists, and which of them are collected."""

from collections.abc import Callable, Generator, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec

from schemas.errors import DecodeError
from schemas.histories import Request
from schemas.records import Product

TRADING: Final = "trading"
"""The status of a market that trades; any other is the exchange's own word in lower case."""


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One market of one exchange, from its own list."""

    product: Product
    native_symbol: str
    """As streams and keys of raw records have it."""
    symbol: str
    """Canonical."""
    status: str = TRADING
    tick_size: Decimal | None = None
    contract_size: Decimal | None = None
    """Units a contract: of the base currency, or of the quote for inverse contracts."""
    turnover: Decimal | None = None
    """Of the last 24 hours, in quote units."""
    listed_at_ms: int | None = None
    delisted_at_ms: int | None = None

    @property
    def is_trading(self) -> bool:
        """Whether there is something to collect."""
        return self.status == TRADING


Listing: TypeAlias = Generator[Request, bytes, list[Instrument]]
"""Yields requests, is sent the bodies that come back, and returns the instruments."""

List: TypeAlias = Callable[[Product, bool], Listing]
"""Lists a product's instruments; the second argument asks for their turnover as well."""


class Choice(msgspec.Struct, frozen=True):
    """The instruments to collect, and the wanted symbols that are not to be had."""

    instruments: list[Instrument]
    missing: list[str]


def choose(listed: Iterable[Instrument], wanted: Sequence[str] | str | int, quote: str) -> Choice:
    """Return what is wanted of a product's instruments.

    Args:
        listed: All of them.
        wanted: Canonical symbols, `all`, or how many of the highest turnover.
        quote: The currency in which spot markets are compared by turnover.
    """
    trading = {i.symbol: i for i in listed if i.is_trading}
    if isinstance(wanted, str):
        return Choice([trading[symbol] for symbol in sorted(trading)], [])
    if isinstance(wanted, int):
        comparable = [i for i in trading.values() if i.product != "spot" or f"-{quote}" in i.symbol]
        comparable.sort(key=lambda i: (-(i.turnover or Decimal()), i.symbol))
        return Choice(comparable[:wanted], [])
    return Choice(
        [trading[symbol] for symbol in wanted if symbol in trading],
        [symbol for symbol in wanted if symbol not in trading],
    )


class Change(msgspec.Struct, frozen=True):
    """The difference between two lists of a product's instruments."""

    listed: list[Instrument]
    delisted: list[Instrument]
    resized: list[tuple[Instrument, Instrument]]
    """Contracts whose size is another one, before and after: an error, never followed."""


def compare(before: Iterable[Instrument], after: Iterable[Instrument]) -> Change:
    """Return what changed between two lists."""
    old = {i.native_symbol: i for i in before if i.is_trading}
    new = {i.native_symbol: i for i in after if i.is_trading}
    return Change(
        listed=[new[name] for name in new if name not in old],
        delisted=[old[name] for name in old if name not in new],
        resized=[
            (old[name], new[name])
            for name in new
            if name in old and old[name].contract_size != new[name].contract_size
        ],
    )


def decimal_of(value: object) -> Decimal | None:
    """Return the number in a field of a list; `None` for an empty, missing or zero one."""
    if value is None or value == "":
        return None
    try:
        found = Decimal(str(value))
    except ArithmeticError as error:
        raise DecodeError(f"{str(value)[:40]!r}: expected a number") from error
    return found if found.is_finite() and found != 0 else None


def milliseconds_of(value: object) -> int | None:
    """Return the time in a field of a list, in milliseconds; `None` for an empty or zero one."""
    number = decimal_of(value)
    return None if number is None else int(number)


Row: TypeAlias = dict[str, Any]
"""One object of a list, not checked yet."""


def instruments_of(
    rows: Iterable[Row], make: Callable[[Row], Instrument | None]
) -> list[Instrument]:
    """Return the instruments of a list, without those whose names no canonical symbol can have.

    Such a market cannot be decoded either: `ETH2.S` of Kraken, Chinese names of Binance.
    """
    found = []
    for row in rows:
        try:
            instrument = make(row)
        except (DecodeError, KeyError):
            continue
        if instrument is not None:
            found.append(instrument)
    return found


_decode: Final = msgspec.json.Decoder(float_hook=Decimal).decode


def rows_of(body: bytes, *path: str) -> list[Row]:
    """Return the rows at a path of keys in a body.

    Raises:
        DecodeError: They are not there.
    """
    try:
        found = _decode(body)
        for key in path:
            found = found[key]
    except (msgspec.MsgspecError, UnicodeError, KeyError, TypeError) as error:
        raise DecodeError(f"expected rows at {'.'.join(path) or '$'}: {error!s:.200}") from error
    if not isinstance(found, list):
        raise DecodeError(f"expected a list at {'.'.join(path) or '$'}")
    return [row for row in found if isinstance(row, dict)]
