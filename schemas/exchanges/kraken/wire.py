"""The frames of Kraken, each shape with a real one.

Version 2 sends objects, version 1 arrays: https://docs.kraken.com/api/docs/websocket-v2/book and
https://docs.kraken.com/api/docs/websocket-v1/book, other channels beside them. REST answers
`/0/public/Trades` and `/0/public/Ticker`.
"""

from decimal import Decimal
from typing import Final, Literal

import msgspec
from msgspec import Raw, field


class V2Trade(msgspec.Struct, gc=False):
    """A row of `trade`.

    ::

        {"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,"ord_type":"market",
         "trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}
    """

    symbol: str
    side: Literal["buy", "sell"]
    price: Decimal
    qty: Decimal
    trade_id: int
    timestamp: str


class V2Trades(msgspec.Struct, gc=False):
    """A frame of `trade`: `{"channel":"trade","type":"update","data":[…]}`."""

    channel: Literal["trade"]
    data: list[V2Trade]


class V2Rows(msgspec.Struct, gc=False):
    """A frame of any channel, its rows left for later."""

    data: list[Raw]
    type: Raw = Raw()


class V1Trade(msgspec.Struct, array_like=True, gc=False):
    """A row of a version 1 trade: `["354.11000000","0.89594024","1618678142.557535","s","l",""]`.

    An id is missing, so one is made of the content.
    """

    price: Decimal
    volume: Decimal
    time: str
    side: Literal["b", "s"]


class V1Trades(msgspec.Struct, array_like=True, gc=False):
    """A version 1 trade.

    ::

        [993,[["354.11000000","0.89594024","1618678142.557535","s","l",""]],"trade","XMR/USD"]
    """

    channel_id: int
    rows: list[V1Trade]
    name: Literal["trade"]
    pair: str


class RestTrade(msgspec.Struct, array_like=True, gc=False):
    """A row of `/0/public/Trades`; before 2022 without the id at its end.

    ::

        ["105433.60000","0.00027625",1762795433.9717445,"b","l","",10218208]
    """

    price: Decimal
    volume: Decimal
    time: Decimal
    side: Literal["b", "s"]
    order_type: str = ""
    misc: str = ""
    trade_id: int | None = None


class V2Ticker(msgspec.Struct, gc=False):
    """A row of `ticker`, or one that a collector flattened, without the symbol.

    ::

        {"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10035,"ask_qty":740.0,
         "last":0.10035,"volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,
         "change":-0.00017,"change_pct":-0.17,"timestamp":"2023-09-25T09:04:31.742648Z"}
    """

    symbol: str = ""
    last: Raw = Raw()
    high: Raw = Raw()
    low: Raw = Raw()
    volume: Raw = Raw()
    change: Raw = Raw()
    change_pct: Raw = Raw()
    timestamp: str | None = None


class V2WholeTicker(msgspec.Struct, gc=False):
    """A row of `ticker` of which nothing is missing, as nearly all are."""

    symbol: str
    last: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal
    change: Decimal
    change_pct: Decimal
    timestamp: str


class V2WholeTickers(msgspec.Struct, gc=False):
    """A frame of `ticker`: `{"channel":"ticker","type":"update","data":[…]}`."""

    channel: Literal["ticker"]
    data: list[V2WholeTicker]


class V1Ticker(msgspec.Struct, gc=False):
    """The payload of a version 1 or REST ticker: pairs of today and of 24 hours.

    ::

        {"a":["13.253900",35,"35.72892241"],"b":["13.232900",185,"185.18432037"],
         "c":["13.253900","3.71672000"],"v":["26560.85364463","72035.05488104"],
         "p":["13.529003","13.734728"],"t":[640,1353],"l":["13.021800","13.021800"],
         "h":["13.942000","14.211200"],"o":["13.804000","13.428300"]}
    """

    last: list[Raw] = field(name="c")
    """Price and volume."""
    volume: list[Raw] = field(name="v")
    low: list[Raw] = field(name="l")
    high: list[Raw] = field(name="h")
    opening: Raw = field(name="o")
    """In REST one number, of today."""


class V2Level(msgspec.Struct, gc=False):
    """A level: `{"price":62622.3,"qty":0.00923841}`; quantity zero removes it."""

    price: Decimal
    qty: Decimal


class V2Book(msgspec.Struct, gc=False):
    """A row of `book`.

    ::

        {"symbol":"BTC/USD","bids":[],"asks":[{"price":62623.4,"qty":0.07892262},
         {"price":62626.4,"qty":0.00176636}],"checksum":643939250,
         "timestamp":"2026-07-05T10:37:39.090964Z"}
    """

    symbol: str
    bids: list[V2Level]
    asks: list[V2Level]
    checksum: int
    timestamp: str | None = None


class V2Books(msgspec.Struct, gc=False):
    """A frame of `book`: `{"channel":"book","type":"update","data":[…]}`."""

    channel: Literal["book"]
    type: Literal["snapshot", "update"]
    data: list[V2Book]


class Subscribed(msgspec.Struct, gc=False):
    """What a subscription to books got."""

    channel: Literal["book"]
    depth: int
    symbol: str


class Subscription(msgspec.Struct, gc=False):
    """The answer to a subscription, the only place that says how deep a book is.

    ::

        {"method":"subscribe","result":{"channel":"book","depth":10,"snapshot":true,
         "symbol":"ALGO/USD"},"success":true,"time_in":"2023-10-06T17:35:55.219022Z",
         "time_out":"2023-10-06T17:35:55.219067Z"}
    """

    method: Literal["subscribe"]
    result: Subscribed


class V1Level(msgspec.Struct, array_like=True, gc=False):
    """A level: `["0.000836100","1035.63462897","1618678138.004670"]`, at times with an `"r"`."""

    price: Decimal
    volume: Decimal
    time: str


class V1Book(msgspec.Struct, gc=False):
    """A payload of a version 1 book: all levels, or changed ones.

    ::

        [4528,{"a":[["0.000836100","1035.63462897","1618678138.004670"]],"c":"2922705373"},
         "book-1000","GRT/ETH"]
    """

    all_asks: list[V1Level] | None = field(name="as", default=None)
    all_bids: list[V1Level] | None = field(name="bs", default=None)
    asks: list[V1Level] = field(name="a", default_factory=list)
    bids: list[V1Level] = field(name="b", default_factory=list)
    checksum: str = field(name="c", default="")


class Head(msgspec.Struct, gc=False):
    """The fields that tell one object from another."""

    channel: str = ""
    method: Raw = Raw()
    event: Raw = Raw()
    error: Raw = Raw()
    result: Raw = Raw()
    last: Raw = Raw()
    change_pct: Raw = Raw()


class Rest(msgspec.Struct, gc=False):
    """The body of a REST answer: `{"error":[],"result":{"XBTUSDT":[…],"last":"17628200…"}}`."""

    error: list[str]
    result: dict[str, Raw] = {}


v2_trades: Final = msgspec.json.Decoder(V2Trades)
v2_rows: Final = msgspec.json.Decoder(V2Rows)
v2_trade: Final = msgspec.json.Decoder(V2Trade)
v1_trades: Final = msgspec.json.Decoder(V1Trades)
v1_trade: Final = msgspec.json.Decoder(V1Trade)
rest_trade: Final = msgspec.json.Decoder(RestTrade)
v2_whole_tickers: Final = msgspec.json.Decoder(V2WholeTickers)
v2_ticker: Final = msgspec.json.Decoder(V2Ticker)
v1_ticker: Final = msgspec.json.Decoder(V1Ticker)
v2_books: Final = msgspec.json.Decoder(V2Books)
v2_book: Final = msgspec.json.Decoder(V2Book)
v1_book: Final = msgspec.json.Decoder(V1Book)
subscription: Final = msgspec.json.Decoder(Subscription)
rest: Final = msgspec.json.Decoder(Rest)
head: Final = msgspec.json.Decoder(Head)
array: Final = msgspec.json.Decoder(list[Raw])
text: Final = msgspec.json.Decoder(str)
