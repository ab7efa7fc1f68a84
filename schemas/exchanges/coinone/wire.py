"""The frames of Coinone, each shape with a real one.

https://docs.coinone.co.kr/reference/public-websocket-1. Keys are long (DEFAULT) or short (SHORT).
"""

from decimal import Decimal
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, field


class Head(msgspec.Struct, gc=False):
    """The fields that tell messages apart; a collector's flattened ticker has only figures."""

    response_type: str | None = None
    short_type: str | None = field(name="r", default=None)
    channel: str | None = None
    short_channel: str | None = field(name="c", default=None)
    result: str | None = None
    transactions: Raw = Raw()
    last: Raw = Raw()


class RestTrade(msgspec.Struct, gc=False):
    """A row of `/public/v2/trades/KRW/BTC`; the body names the market."""

    id: str
    timestamp: int
    price: Decimal
    size: Decimal = field(name="qty")
    seller_is_maker: bool = field(name="is_seller_maker")


class Trade(RestTrade, gc=False):
    """The data of `TRADE`.

    ::

        {"quote_currency":"KRW","target_currency":"XRP","id":"1693560450996001",
         "timestamp":1693560450996,"price":"688.3","qty":"5000","is_seller_maker":true}
    """

    quote: str = field(name="quote_currency")
    base: str = field(name="target_currency")


class ShortTrade(msgspec.Struct, gc=False):
    """The same with short keys.

    ::

        {"qc":"KRW","tc":"XRP","i":"1693560563084003","t":1693560563084,"p":"688.3",
         "q":"290.745","sm":false}
    """

    id: str = field(name="i")
    timestamp: int = field(name="t")
    price: Decimal = field(name="p")
    size: Decimal = field(name="q")
    seller_is_maker: bool = field(name="sm")
    quote: str = field(name="qc")
    base: str = field(name="tc")


class TradeMessage(msgspec.Struct, gc=False):
    """A frame: `{"response_type":"DATA","channel":"TRADE","data":{…}}`."""

    response_type: Literal["DATA"]
    channel: Literal["TRADE"]
    data: Trade


class ShortTradeMessage(msgspec.Struct, gc=False):
    """A frame: `{"r":"DATA","c":"TRADE","d":{…}}`."""

    response_type: Literal["DATA"] = field(name="r")
    channel: Literal["TRADE"] = field(name="c")
    data: ShortTrade = field(name="d")


class RestTrades(msgspec.Struct, gc=False):
    """The body of `/public/v2/trades/KRW/BTC`, its rows left for later."""

    quote: str = field(name="quote_currency")
    base: str = field(name="target_currency")
    transactions: list[Raw]


class Figures(msgspec.Struct, gc=False):
    """The figures of a ticker, all that is left of one that a collector flattened."""

    timestamp: int | None = None
    first: Raw = Raw()
    last: Raw = Raw()
    high: Raw = Raw()
    low: Raw = Raw()
    yesterday_last: Raw = Raw()
    volume: Raw = field(name="target_volume", default=Raw())


class Ticker(Figures, gc=False, kw_only=True):
    """The data of `TICKER`.

    ::

        {"quote_currency":"KRW","target_currency":"BTC","timestamp":1790133796484,
         "quote_volume":"30947007404.5912","target_volume":"267.27610034","high":"116470000",
         "low":"115570000","first":"115650000","last":"116380000","volume_power":"0",
         "ask_best_price":"116400000","ask_best_qty":"0.00562817","bid_best_price":"116370000",
         "bid_best_qty":"8.60554308","id":"1790133796484001","yesterday_last":"115640000",…}
    """

    quote: str = field(name="quote_currency")
    base: str = field(name="target_currency")


class ShortTicker(msgspec.Struct, gc=False):
    """The same with short keys."""

    quote: str = field(name="qc")
    base: str = field(name="tc")
    timestamp: int | None = field(name="t", default=None)
    first: Raw = field(name="fi", default=Raw())
    last: Raw = field(name="la", default=Raw())
    high: Raw = field(name="hi", default=Raw())
    low: Raw = field(name="lo", default=Raw())
    yesterday_last: Raw = field(name="yla", default=Raw())
    volume: Raw = field(name="tv", default=Raw())


class TickerMessage(msgspec.Struct, gc=False):
    """A frame of `TICKER`."""

    data: Ticker


class ShortTickerMessage(msgspec.Struct, gc=False):
    """The same with short keys."""

    data: ShortTicker = field(name="d")


class Level(msgspec.Struct, gc=False):
    """A level: `{"price":"116650000","qty":"0.01198956"}`."""

    price: Decimal
    size: Decimal = field(name="qty")


class ShortLevel(msgspec.Struct, gc=False):
    """The same with short keys."""

    price: Decimal = field(name="p")
    size: Decimal = field(name="q")


class Book(msgspec.Struct, gc=False):
    """The data of `ORDERBOOK`: a whole book, its asks with the best price last.

    ::

        {"quote_currency":"KRW","target_currency":"BTC","timestamp":1705288918649,
         "id":"1705288918649001","asks":[{"price":"58412000","qty":"0.59919807"}],
         "bids":[{"price":"58292000","qty":"0.1045"}]}
    """

    quote: str = field(name="quote_currency")
    base: str = field(name="target_currency")
    id: str
    asks: list[Level]
    bids: list[Level]
    timestamp: int | None = None


class ShortBook(msgspec.Struct, gc=False):
    """The same with short keys."""

    quote: str = field(name="qc")
    base: str = field(name="tc")
    id: str = field(name="i")
    asks: list[ShortLevel] = field(name="a")
    bids: list[ShortLevel] = field(name="b")
    timestamp: int | None = field(name="t", default=None)


class BookMessage(msgspec.Struct, gc=False):
    """A frame of `ORDERBOOK`."""

    data: Book


class ShortBookMessage(msgspec.Struct, gc=False):
    """The same with short keys."""

    data: ShortBook = field(name="d")


AnyTrade: TypeAlias = RestTrade | ShortTrade
AnyFigures: TypeAlias = Figures | ShortTicker


head: Final = msgspec.json.Decoder(Head)
trade: Final = msgspec.json.Decoder(TradeMessage)
short_trade: Final = msgspec.json.Decoder(ShortTradeMessage)
rest_trade: Final = msgspec.json.Decoder(RestTrade)
rest_trades: Final = msgspec.json.Decoder(RestTrades)
ticker: Final = msgspec.json.Decoder(TickerMessage)
short_ticker: Final = msgspec.json.Decoder(ShortTickerMessage)
flat_ticker: Final = msgspec.json.Decoder(Figures)
book: Final = msgspec.json.Decoder(BookMessage)
short_book: Final = msgspec.json.Decoder(ShortBookMessage)
