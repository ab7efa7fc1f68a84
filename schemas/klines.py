"""Klines: what an exchange itself says of a minute, how it counts, and how it is asked."""

from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

from schemas.histories import Market
from schemas.records import Product


class Kline(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One minute of one symbol, as its exchange sums it up. `None`: the exchange does not say."""

    symbol: str
    """Canonical."""
    minute_s: int
    """Start of the minute, seconds since the Unix epoch."""
    is_closed: bool = True
    """The exchange says that the minute is over, or sends nothing but minutes that are."""
    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    close: Decimal | None = None
    volume: Decimal | None = None
    """In base units."""
    notional: Decimal | None = None
    """In quote units."""
    taker_buy_volume: Decimal | None = None
    taker_buy_notional: Decimal | None = None
    trade_count: int | None = None
    time_ns: int | None = None
    """Up to where a running kline counts."""


class KlineConventions(msgspec.Struct, frozen=True):
    """How an exchange counts, where that differs from a plain sum of a minute's trades."""

    opens_at_last_close: bool = False
    """The open is the close of the minute before, not the first trade."""
    skips_quiet_minutes: bool = False
    """There is no kline of a minute without trades."""
    counts_fills: bool = True
    """The count is of the trades that the feed sends; otherwise it is not compared."""
    rounds_volume: bool = False
    """Volume or notional is a converted or rounded figure."""
    note: str = ""
    """What counts, and where the exchange says so."""


class KlineSource(msgspec.Struct, frozen=True):
    """The klines of an exchange."""

    request: Callable[[Market, int, int], tuple[str, dict[str, str | int]]]
    """Return path and parameters of the closed minutes in `[start_s, end_s)`."""
    max_minutes: int
    """The most minutes that one request answers."""
    conventions: Mapping[Product, KlineConventions]
    channel: str = ""
    """The WebSocket channel of one minute; empty: there is none, REST is polled."""
