"""The processed records as other programs read them: JSON, its fields in the contract's order.

Prices and volumes are the exact decimal as text.
"""

from decimal import Decimal

import msgspec

from schemas.numbers import plain
from schemas.records import TakerVolume, Ticker
from schemas.settings import Settings
from schemas.times import NS_PER_MS


class TakerVolumeRecord(msgspec.Struct, frozen=True, gc=False):
    """One state of a minute; the same figures as the row in PostgreSQL."""

    region: str
    market: str
    coin_symbol: str
    symbol: str
    minute: int
    """Its start, in seconds since the Unix epoch."""
    taker_buy_volume: str
    taker_sell_volume: str
    taker_buy_notional: str
    taker_sell_notional: str
    buy_count: int
    sell_count: int
    open: str | None
    high: str | None
    low: str | None
    close: str | None
    vwap: str | None
    is_final: bool
    revision: int
    late_trades: int
    duplicate_trades: int


_encoder = msgspec.json.Encoder()


def encode_taker_volume(row: TakerVolume, settings: Settings) -> bytes:
    """The record of a row for `Region.*_TakerVolumePreprocessing`."""
    exchange = settings.exchanges[row.exchange]
    record = TakerVolumeRecord(
        exchange.region,
        exchange.market,
        row.symbol.partition("-")[0],
        row.symbol,
        row.minute,
        plain(row.taker_buy_volume),
        plain(row.taker_sell_volume),
        plain(row.taker_buy_notional),
        plain(row.taker_sell_notional),
        row.buy_count,
        row.sell_count,
        _plain_or_none(row.open),
        _plain_or_none(row.high),
        _plain_or_none(row.low),
        _plain_or_none(row.close),
        _plain_or_none(row.vwap),
        row.is_final,
        row.revision,
        row.late_trades,
        row.duplicate_trades,
    )
    return _encoder.encode(record)


def _plain_or_none(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)


class TickerFigures(msgspec.Struct, frozen=True):
    """What a ticker says, as decimal text; `null` where it says nothing."""

    opening_price: str | None
    trade_price: str | None
    max_price: str | None
    min_price: str | None
    prev_closing_price: str | None
    acc_trade_volume_24h: str | None
    signed_change_price: str | None
    signed_change_rate: str | None


class TickerRecord(msgspec.Struct, frozen=True):
    """The ticker of one market at one time."""

    region: str
    market: str
    coin_symbol: str
    timestamp: msgspec.Raw
    """Milliseconds since the Unix epoch, with a decimal point and every digit that there is."""
    data: tuple[TickerFigures]
    symbol: str


def encode_ticker(ticker: Ticker, settings: Settings) -> bytes:
    """The record of a ticker for `Region.*_TickerPreprocessing`."""
    exchange = settings.exchanges[ticker.exchange]
    figures = TickerFigures(
        _plain_or_none(ticker.opening_price),
        _plain_or_none(ticker.trade_price),
        _plain_or_none(ticker.max_price),
        _plain_or_none(ticker.min_price),
        _plain_or_none(ticker.prev_closing_price),
        _plain_or_none(ticker.acc_trade_volume_24h),
        _plain_or_none(ticker.signed_change_price),
        _plain_or_none(ticker.signed_change_rate),
    )
    record = TickerRecord(
        exchange.region,
        exchange.market,
        ticker.symbol.partition("-")[0],
        msgspec.Raw(_milliseconds(ticker.time_ns)),
        (figures,),
        ticker.symbol,
    )
    return _encoder.encode(record)


def _milliseconds(time_ns: int) -> bytes:
    whole, rest = divmod(time_ns, NS_PER_MS)
    return b"%d.%s" % (whole, (b"%06d" % rest).rstrip(b"0") or b"0")
