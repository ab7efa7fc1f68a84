"""The frames of Tinyex: `{"deals":[{"market":"BTC:EUR","no":7,"at":1790000000123,…}]}`."""

from decimal import Decimal
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Raw

from schemas.exchanges._common import decoding, numbered, salvage
from schemas.feeds import Feed
from schemas.numbers import exact_product
from schemas.records import Kind, Trade
from schemas.symbols import CACHED, spot
from schemas.times import ns_of_ms


class Deal(msgspec.Struct):
    """A trade.

    ::

        {"market":"BTC:EUR","no":7,"at":1790000000123,"taker":"buys","price":"50000","size":"0.5"}
    """

    market: str
    no: int
    at: int
    taker: str
    price: Decimal
    size: Decimal


class Frame(msgspec.Struct):
    """A frame, its rows left for later; a heartbeat has none."""

    deals: list[Raw] = []


_frame: Final = msgspec.json.Decoder(Frame)
_deal: Final = msgspec.json.Decoder(Deal)


def kind(frame: bytes) -> Kind:
    """Return what the frame carries."""
    with decoding("tinyex"):
        return "trade" if _frame.decode(frame).deals else "control"


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:
    """Return the trades of the frame, in its order."""
    del feed
    with decoding("tinyex"):
        return salvage(numbered(_frame.decode(frame).deals, "$.deals"), _trade)


def _trade(raw: Raw) -> Trade | None:
    deal = _deal.decode(raw)
    if not deal.size:
        return None
    return Trade(
        symbol=_symbol(deal.market),
        trade_id=deal.no,
        time_ns=ns_of_ms(deal.at),
        taker_buys=deal.taker == "buys",
        price=deal.price,
        size=deal.size,
        notional=exact_product(deal.price, deal.size),
    )


@lru_cache(maxsize=CACHED)
def _symbol(market: str) -> str:
    base, _, quote = market.partition(":")
    return spot(base, quote)
