"""The frames of Bithumb's legacy API, each shape with a real one.

https://apidocs.bithumb.com/v1.2.0/reference. A message keeps all it says under `content`, as
strings; markets are `BTC_KRW`, times Korean. The current API has Upbit's frames (`_upbit_wire`).
"""

from decimal import Decimal
from typing import Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Raw, field

from schemas.records import Level


class LegacyHead(msgspec.Struct, gc=False):
    """The fields that tell messages apart."""

    type: str | None = None
    content: Raw = Raw()


class LegacyTrade(msgspec.Struct, gc=False):
    """A row of `transaction`; an id is missing, so one is made of the content.

    ::

        {"buySellGb":"2","contPrice":"3.908","contQty":"12365.191","contAmt":"48323.166",
         "contDtm":"2021-06-02 08:43:34.555058","updn":"dn","symbol":"CON_KRW"}
    """

    symbol: str
    side: Literal["1", "2"] = field(name="buySellGb")
    price: Decimal = field(name="contPrice")
    size: Decimal = field(name="contQty")
    time: str = field(name="contDtm")


class LegacyTrades(msgspec.Struct, gc=False):
    """The content of `transaction`."""

    rows: list[LegacyTrade] = field(name="list")


class LegacyTicker(msgspec.Struct, gc=False):
    """The content of `ticker`.

    ::

        {"tickType":"24H","date":"20210811","time":"132017","openPrice":"33400",
         "closePrice":"34010","lowPrice":"32660","highPrice":"34510",
         "value":"45741663716.89916828275244531","volume":"1359398.496892086826189907",
         "sellVolume":"198021.237915860451480504","buyVolume":"1161377.258976226374709403",
         "prevClosePrice":"33530","chgRate":"1.83","chgAmt":"610","volumePower":"500",
         "symbol":"UNI_KRW"}
    """

    symbol: str
    tick_type: str = field(name="tickType")
    date: str
    time: str
    opening_price: Raw = field(name="openPrice", default=Raw())
    closing_price: Raw = field(name="closePrice", default=Raw())
    high_price: Raw = field(name="highPrice", default=Raw())
    low_price: Raw = field(name="lowPrice", default=Raw())
    prev_closing_price: Raw = field(name="prevClosePrice", default=Raw())
    volume: Raw = Raw()
    change_percent: Raw = field(name="chgRate", default=Raw())


class LegacyLevel(msgspec.Struct, gc=False):
    """A row of `orderbookdepth`; quantity zero removes the level.

    ::

        {"symbol":"XLM_KRW","orderType":"ask","price":"401.6","quantity":"21277.735","total":"1"}
    """

    symbol: str
    side: Literal["ask", "bid"] = field(name="orderType")
    price: Decimal
    size: Decimal = field(name="quantity")


class LegacyRow(msgspec.Struct, gc=False):
    """The market of a row."""

    symbol: str = ""


class LegacyRows(msgspec.Struct, gc=False):
    """The content of `transaction` or `orderbookdepth`, its rows left for later."""

    rows: list[Raw] = field(name="list")
    time_us: str | None = field(name="datetime", default=None)


class LegacySnapshot(msgspec.Struct, gc=False):
    """The content of `orderbooksnapshot`.

    ::

        {"symbol":"BTC_KRW","datetime":"1790133914965948","asks":[["116501000","0.0163"],…],
         "bids":[["116500000","0.7074"],["116475000","0.0258"]]}
    """

    symbol: str
    asks: list[Level]
    bids: list[Level]
    time_us: str | None = field(name="datetime", default=None)


Content = TypeVar("Content")


class LegacyMessage(msgspec.Struct, Generic[Content], gc=False):
    """A message: `{"type":"transaction","content":{…}}`."""

    content: Content


legacy_head: Final = msgspec.json.Decoder(LegacyHead)
legacy_trades: Final = msgspec.json.Decoder(LegacyMessage[LegacyTrades])
legacy_ticker: Final = msgspec.json.Decoder(LegacyMessage[LegacyTicker])
legacy_trade: Final = msgspec.json.Decoder(LegacyTrade)
legacy_rows: Final = msgspec.json.Decoder(LegacyMessage[LegacyRows])
legacy_row: Final = msgspec.json.Decoder(LegacyRow)
legacy_level: Final = msgspec.json.Decoder(LegacyLevel)
legacy_snapshot: Final = msgspec.json.Decoder(LegacyMessage[LegacySnapshot])
