"""Whose record a raw Kafka record is: the envelope's market, else the key, else the partition."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, TypeAlias

import msgspec

from schemas.records import Product

TradeIds: TypeAlias = Literal["trade", "aggTrade"]


class Feed(msgspec.Struct, frozen=True):
    """Where a frame comes from, and what of the settings its decoder needs to read it."""

    exchange: str
    product: Product = "spot"
    native_symbol: str | None = None
    """The exchange's own symbol, from the record's key, for frames without one."""
    coin: str | None = None
    """The base coin named by a collector's envelope."""
    quote: str = "USDT"
    """The quote currency of a market of which only the base coin is known."""
    trade_ids: TradeIds = "trade"
    """Which of two id namespaces counts (Binance); trades of the other one are skipped."""
    contract_sizes: Mapping[str, Decimal] = {}
    """Units a contract by native symbol, or by a prefix of it that ends at a separator."""
