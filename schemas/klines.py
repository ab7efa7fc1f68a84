"""Klines: what an exchange itself says of a minute, and how it counts."""

from decimal import Decimal

import msgspec


class Kline(msgspec.Struct, frozen=True, gc=False):
    """One minute of one symbol, as its exchange sums it up. `None`: the exchange does not say."""

    symbol: str
    """Canonical."""
    minute_s: int
    """Start of the minute, seconds since the Unix epoch."""
    is_closed: bool
    """The minute is over, and the exchange will not change these figures."""
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
    """When the exchange computed it: of a running kline, up to where it counts."""


class KlineConventions(msgspec.Struct, frozen=True):
    """How an exchange counts, where that differs from a plain sum of a minute's trades."""

    opens_at_last_close: bool = False
    """The open is the close of the minute before, not the first trade (Bybit)."""
    skips_quiet_minutes: bool = False
    """There is no kline of a minute without trades (Upbit, Bithumb, Korbit)."""
    counts_fills: bool = True
    """The count is of the trades that the feed sends; otherwise it is not compared."""
    rounds_volume: bool = False
    """Volume or notional is a converted or rounded figure (inverse contracts)."""
    note: str = ""
    """What counts: block, RPI, liquidation trades; the source of the facts."""
