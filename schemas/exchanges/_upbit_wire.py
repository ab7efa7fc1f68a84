"""The frames that Upbit designed and Bithumb took over, each shape with a real one.

https://docs.upbit.com/kr/reference/websocket-guide and
https://apidocs.bithumb.com/reference/websocket. Keys are long (DEFAULT) or short (SIMPLE).
"""

from decimal import Decimal
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, field


class Head(msgspec.Struct, gc=False):
    """The fields that tell messages apart; a collector's flattened ticker has none of the names."""

    type: str | None = None
    ty: str | None = None
    market: str | None = None
    status: Raw = Raw()
    error: Raw = Raw()
    ask_bid: Raw = Raw()
    sequential_id: Raw = Raw()
    opening_price: Raw = Raw()
    orderbook_units: Raw = Raw()


class Trade(msgspec.Struct, gc=False):
    """A trade.

    ::

        {"type":"trade","code":"KRW-BTC","trade_price":116208000,"trade_volume":0.0009,
         "ask_bid":"BID","trade_date":"2026-09-23","trade_time":"12:18:33",
         "trade_timestamp":1790133513739,"sequential_id":1079953210371761700,
         "timestamp":1790133514039,"stream_type":"REALTIME"}
    """

    type: Literal["trade"]
    code: str
    trade_price: Decimal
    trade_volume: Decimal
    ask_bid: Literal["ASK", "BID"]
    trade_timestamp: int
    sequential_id: int | str


class SimpleTrade(msgspec.Struct, gc=False):
    """A trade with short keys.

    ::

        {"ty":"trade","cd":"KRW-LAMB","tms":1618678262712,"td":"2021-04-17","ttm":"16:51:02",
         "ttms":1618678262000,"tp":127.0,"tv":46.48838371,"ab":"BID","pcp":123.00000000,
         "c":"RISE","cp":4.00000000,"sid":1618678262000003,"st":"REALTIME"}
    """

    type: Literal["trade"] = field(name="ty")
    code: str = field(name="cd")
    trade_price: Decimal = field(name="tp")
    trade_volume: Decimal = field(name="tv")
    ask_bid: Literal["ASK", "BID"] = field(name="ab")
    trade_timestamp: int = field(name="ttms")
    sequential_id: int | str = field(name="sid")


class RestTrade(msgspec.Struct, gc=False):
    """A row of `/v1/trades/ticks`.

    ::

        {"market":"KRW-BTC","trade_date_utc":"2026-03-11","trade_time_utc":"14:40:59",
         "timestamp":1773240059095,"trade_price":103460000.0,"trade_volume":0.004,
         "prev_closing_price":102417000.0,"change_price":1043000.0,"ask_bid":"ASK",
         "sequential_id":17732400590950000}
    """

    code: str = field(name="market")
    trade_price: Decimal
    trade_volume: Decimal
    ask_bid: Literal["ASK", "BID"]
    trade_timestamp: int = field(name="timestamp")
    sequential_id: int | str


class Ticker(msgspec.Struct, gc=False):
    """A ticker; REST says `market` instead of `code`, a collector neither.

    ::

        {"type":"ticker","code":"KRW-ETH","opening_price":2178000.0000,"high_price":2179000.0000,
         "low_price":2175000.0000,"trade_price":2176000.0000,
         "prev_closing_price":2179000.00000000,"acc_trade_price":200367990.140180000000,
         "change":"FALL","change_price":3000.00000000,"signed_change_price":-3000.00000000,
         "change_rate":0.0013767783,"signed_change_rate":-0.0013767783,"ask_bid":"BID",
         "trade_volume":0.04595588,"acc_trade_volume":92.05596395,"timestamp":1686874050030,…}
    """

    code: str | None = None
    market: str | None = None
    timestamp: int | None = None
    opening_price: Raw = Raw()
    trade_price: Raw = Raw()
    high_price: Raw = Raw()
    low_price: Raw = Raw()
    prev_closing_price: Raw = Raw()
    acc_trade_volume_24h: Raw = Raw()
    signed_change_price: Raw = Raw()
    signed_change_rate: Raw = Raw()


class WholeTicker(msgspec.Struct, gc=False):
    """A ticker of which nothing is missing, as nearly all are."""

    type: Literal["ticker"]
    code: str
    timestamp: int
    opening_price: Decimal
    trade_price: Decimal
    high_price: Decimal
    low_price: Decimal
    prev_closing_price: Decimal
    acc_trade_volume_24h: Decimal
    signed_change_price: Decimal
    signed_change_rate: Decimal


class SimpleTicker(msgspec.Struct, gc=False):
    """A ticker with short keys."""

    code: str | None = field(name="cd", default=None)
    market: str | None = None
    timestamp: int | None = field(name="tms", default=None)
    opening_price: Raw = field(name="op", default=Raw())
    trade_price: Raw = field(name="tp", default=Raw())
    high_price: Raw = field(name="hp", default=Raw())
    low_price: Raw = field(name="lp", default=Raw())
    prev_closing_price: Raw = field(name="pcp", default=Raw())
    acc_trade_volume_24h: Raw = field(name="atv24h", default=Raw())
    signed_change_price: Raw = field(name="scp", default=Raw())
    signed_change_rate: Raw = field(name="scr", default=Raw())


class Unit(msgspec.Struct, gc=False):
    """An ask and a bid of one rank: `{"ask_price":3715000,"bid_price":3714000,…}`."""

    ask_price: Decimal
    bid_price: Decimal
    ask_size: Decimal
    bid_size: Decimal


class SimpleUnit(msgspec.Struct, gc=False):
    """The same with short keys: `{"ap":127.0,"bp":126.0,"as":280460.37885666,"bs":688682.44}`."""

    ask_price: Decimal = field(name="ap")
    bid_price: Decimal = field(name="bp")
    ask_size: Decimal = field(name="as")
    bid_size: Decimal = field(name="bs")


class Book(msgspec.Struct, gc=False):
    """A whole book; Bithumb stamps it in microseconds, Upbit in milliseconds.

    ::

        {"type":"orderbook","code":"KRW-ETH","total_ask_size":369.9832,
         "total_bid_size":287.0216,"orderbook_units":[{"ask_price":3715000,"bid_price":3714000,
         "ask_size":8.4592,"bid_size":3.012},…],"level":1,"timestamp":1790133505546514,
         "stream_type":"SNAPSHOT"}
    """

    orderbook_units: list[Unit]
    code: str | None = None
    market: str | None = None
    timestamp: int | None = None


class SimpleBook(msgspec.Struct, gc=False):
    """A whole book with short keys.

    ::

        {"ty":"orderbook","cd":"KRW-LAMB","tms":1618678262640,"tas":25752275.55420627,
         "tbs":14407925.20098682,"obu":[{"ap":127.0,"bp":126.0,"as":280460.37885666,
         "bs":688682.44561413},…]}
    """

    orderbook_units: list[SimpleUnit] = field(name="obu")
    code: str | None = field(name="cd", default=None)
    market: str | None = None
    timestamp: int | None = field(name="tms", default=None)


TradeRow: TypeAlias = Trade | SimpleTrade | RestTrade


head: Final = msgspec.json.Decoder(Head)
trade: Final = msgspec.json.Decoder(Trade)
simple_trade: Final = msgspec.json.Decoder(SimpleTrade)
rest_trade: Final = msgspec.json.Decoder(RestTrade)
ticker: Final = msgspec.json.Decoder(Ticker)
whole_ticker: Final = msgspec.json.Decoder(WholeTicker)
simple_ticker: Final = msgspec.json.Decoder(SimpleTicker)
book: Final = msgspec.json.Decoder(Book)
simple_book: Final = msgspec.json.Decoder(SimpleBook)
