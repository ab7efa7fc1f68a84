"""The frames of Korbit, each shape with a real one.

https://docs.korbit.co.kr, WebSocket v2 and REST v2. The order of keys varies.
"""

from decimal import Decimal
from typing import Final, Literal

import msgspec
from msgspec import Raw, field


class Head(msgspec.Struct, gc=False):
    """The fields that tell messages apart; a collector's flattened ticker has only figures."""

    type: str | None = None
    status: Raw = Raw()
    success: bool | None = None
    data: Raw = Raw()
    close: Raw = Raw()


class Trade(msgspec.Struct, gc=False):
    """A row of `trade`.

    ::

        {"timestamp":1790134317520,"price":"116439000","qty":"0.0067","isBuyerTaker":false,
         "tradeId":25441720}
    """

    timestamp: int
    price: Decimal
    size: Decimal = field(name="qty")
    taker_buys: bool = field(name="isBuyerTaker")
    trade_id: int = field(name="tradeId")


class Trades(msgspec.Struct, gc=False):
    """A frame of `trade`.

    ::

        {"symbol":"btc_krw","timestamp":1790134328085,"type":"trade","snapshot":true,"data":[…]}
    """

    type: Literal["trade"]
    symbol: str
    data: list[Trade]


class RestTrade(msgspec.Struct, gc=False):
    """A row of `/v2/trades`, which was documented without an id in older days."""

    timestamp: int
    price: Decimal
    size: Decimal = field(name="qty")
    taker_buys: bool = field(name="isBuyerTaker")
    trade_id: int | None = field(name="tradeId", default=None)


class Rows(msgspec.Struct, gc=False):
    """A frame of `trade` or the body of `/v2/trades`, its rows left for later."""

    data: list[Raw]
    symbol: str = ""


class RestRow(msgspec.Struct, gc=False):
    """What tells the rows of REST bodies apart."""

    taker_buys: Raw = field(name="isBuyerTaker", default=Raw())
    size: Raw = field(name="qty", default=Raw())


class Figures(msgspec.Struct, gc=False):
    """The figures of a ticker.

    ::

        {"open":"100500000","high":"100651000","low":"100492000","close":"100650000",
         "prevClose":"100497000","priceChange":"153000","priceChangePercent":"0.15",
         "volume":"0.89102242","quoteVolume":"89632429.21566","bestAskPrice":"100651000",
         "bestBidPrice":"100650000","lastTradedAt":1730356819663}
    """

    open: Raw = Raw()
    close: Raw = Raw()
    high: Raw = Raw()
    low: Raw = Raw()
    prev_close: Raw = field(name="prevClose", default=Raw())
    volume: Raw = Raw()
    change: Raw = field(name="priceChange", default=Raw())
    change_percent: Raw = field(name="priceChangePercent", default=Raw())


class Ticker(msgspec.Struct, gc=False):
    """A frame of `ticker`.

    ::

        {"symbol":"btc_krw","timestamp":1730365099072,"type":"ticker","snapshot":true,"data":{…}}
    """

    symbol: str
    data: Figures
    timestamp: int | None = None


class FlatTicker(Figures, gc=False):
    """A ticker that a collector flattened."""

    timestamp: int | None = None


class Level(msgspec.Struct, gc=False):
    """A level: `{"price":"99131000","qty":"0.00456677"}`."""

    price: Decimal
    size: Decimal = field(name="qty")


class Levels(msgspec.Struct, gc=False):
    """The levels of a book and its own time."""

    asks: list[Level]
    bids: list[Level]
    timestamp: int | None = None


class Book(msgspec.Struct, gc=False):
    """A frame of `orderbook`, whole; `snapshot` only marks the first one.

    ::

        {"symbol":"btc_krw","timestamp":1790134242857,"type":"orderbook","snapshot":true,
         "data":{"timestamp":1790134242563,"asks":[{"price":"116506000","qty":"0.27522"},…],
         "bids":[{"price":"116455000","qty":"0.00499"},…]}}
    """

    symbol: str
    data: Levels


head: Final = msgspec.json.Decoder(Head)
trades: Final = msgspec.json.Decoder(Trades)
rows: Final = msgspec.json.Decoder(Rows)
rest_trade: Final = msgspec.json.Decoder(RestTrade)
rest_rows: Final = msgspec.json.Decoder(list[RestRow])
ticker: Final = msgspec.json.Decoder(Ticker)
flat_ticker: Final = msgspec.json.Decoder(FlatTicker)
book: Final = msgspec.json.Decoder(Book)
