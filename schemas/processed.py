"""The processed records as other programs read them: JSON, its fields in the contract's order.

Prices and volumes are the exact decimal as text.
"""

from decimal import Decimal

import msgspec

from schemas.numbers import plain
from schemas.records import TakerVolume
from schemas.settings import Settings


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
