"""The messages of Binance, spot and futures, as far as they are read.

Documents: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams and its
pages on futures. The frames were recorded in 2019 to 2026; (D) marks one from the documents. Keys
that differ only by case, like `e` and `E`, mean different things.
"""

from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Raw, UnsetType, field

from schemas.feeds import TradeIds
from schemas.records import Level

MARKET: Final = "MARKET"
"""The kind of execution of a trade; the others are transfers inside the exchange."""


class Wrapper(msgspec.Struct, gc=False):
    """A message of a combined stream: `{"stream":"bnbbtc@trade","data":{…}}`."""

    stream: Raw = Raw()
    data: Raw = Raw()


class Head(msgspec.Struct, gc=False):
    """The fields that tell the messages apart.

    `{"result":null,"id":1}` is the answer to a subscription, and the `bookTicker` of the spot
    market names no event: `{"u":400900217,"s":"BNBUSDT","b":"25.35190000",…}` (D)
    """

    event: str = field(name="e", default="")
    buyer_is_maker: Raw = field(name="isBuyerMaker", default=Raw())
    first_trade_id: Raw = field(name="f", default=Raw())
    aggregate_id: Raw = field(name="a", default=Raw())
    update_id: Raw = field(name="lastUpdateId", default=Raw())
    opening: Raw = field(name="o", default=Raw())
    last: Raw = field(name="c", default=Raw())
    quote_id: Raw = field(name="u", default=Raw())
    request_id: Raw = field(name="id", default=Raw())
    result: Raw = Raw()
    code: Raw = Raw()
    error: Raw = Raw()


class TradeEvent(msgspec.Struct, gc=False):
    """A single trade; `m` says that the buyer was the maker, so that the taker sold.

    `{"e":"trade","E":1789893896920,"T":1789893896920,"s":"BTCUSDT","t":8097313955,
    "p":"80227.00","q":"0.010","X":"MARKET","m":true,"st":1}`
    """

    event: Literal["trade"] = field(name="e")
    symbol: str = field(name="s")
    trade_id: int = field(name="t")
    price: Decimal = field(name="p")
    size: Decimal = field(name="q")
    time: int = field(name="T")
    buyer_is_maker: bool = field(name="m")
    execution: str = field(name="X", default=MARKET)


class MarketTradeEvent(TradeEvent, gc=False):
    """A single trade that is no transfer inside the exchange."""

    execution: Literal["MARKET"] = field(name="X", default=MARKET)


class AggTradeEvent(msgspec.Struct, gc=False):
    """The trades of one taker order at one price, numbered on their own.

    `{"e":"aggTrade","E":1626992741575,"a":16599292,"s":"CTKUSDT","p":"1.01100","q":"10",
    "f":23961322,"l":23961322,"T":1626992741421,"m":false}`
    """

    event: Literal["aggTrade"] = field(name="e")
    symbol: str = field(name="s")
    trade_id: int = field(name="a")
    price: Decimal = field(name="p")
    size: Decimal = field(name="q")
    time: int = field(name="T")
    buyer_is_maker: bool = field(name="m")
    execution: str = field(name="X", default=MARKET)


class MarketAggTradeEvent(AggTradeEvent, gc=False):
    """An aggregated trade that is no transfer inside the exchange."""

    execution: Literal["MARKET"] = field(name="X", default=MARKET)


class RestTrade(msgspec.Struct, gc=False):
    """A row of `trades` and `historicalTrades`.

    `{"id":445560530,"price":"13260.72000000","qty":"0.01810400","quoteQty":"240.07207488",
    "time":1603947130084,"isBuyerMaker":true,"isBestMatch":true}`
    """

    trade_id: int = field(name="id")
    price: Decimal
    size: Decimal = field(name="qty")
    time: int
    buyer_is_maker: bool = field(name="isBuyerMaker")
    symbol: str = ""
    execution: str = MARKET


class RestAggTrade(msgspec.Struct, gc=False):
    """A row of `aggTrades`.

    `{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true,
    "M":true}` (D)
    """

    trade_id: int = field(name="a")
    price: Decimal = field(name="p")
    size: Decimal = field(name="q")
    time: int = field(name="T")
    buyer_is_maker: bool = field(name="m")
    symbol: str = ""
    execution: str = MARKET


class WrappedTrade(msgspec.Struct, gc=False):
    """A single trade of a combined stream."""

    data: TradeEvent


class WrappedAggTrade(msgspec.Struct, gc=False):
    """An aggregated trade of a combined stream."""

    data: AggTradeEvent


class WrappedMarketTrade(msgspec.Struct, gc=False):
    """A single trade of a combined stream that is no transfer."""

    data: MarketTradeEvent


class WrappedMarketAggTrade(msgspec.Struct, gc=False):
    """An aggregated trade of a combined stream that is no transfer."""

    data: MarketAggTradeEvent


class Ticker(msgspec.Struct, gc=False):
    """The ticker of 24 hours; `st` is 1 for USD-M, 2 for COIN-M, and missing elsewhere.

    `{"e":"24hrTicker","E":1653812650349,"s":"ETHUSDT","p":"28.23000000","P":"1.600",
    "w":"1781.16275609","x":"1764.61000000","c":"1792.84000000",…,"o":"1764.61000000",
    "h":"1808.98000000","l":"1748.94000000","v":"471703.53110000",…}`; futures send no `x`
    """

    symbol: str = field(name="s", default="")
    time: Raw = field(name="E", default=Raw())
    opening: Raw = field(name="o", default=Raw())
    last: Raw = field(name="c", default=Raw())
    high: Raw = field(name="h", default=Raw())
    low: Raw = field(name="l", default=Raw())
    previous: Raw = field(name="x", default=Raw())
    volume: Raw = field(name="v", default=Raw())
    change: Raw = field(name="p", default=Raw())
    change_percent: Raw = field(name="P", default=Raw())
    family: int | None = field(name="st", default=None)


class TickerNumbers(msgspec.Struct, gc=False):
    """A ticker of 24 hours whose figures are numbers, as nearly all are."""

    event: Literal["24hrTicker"] = field(name="e")
    symbol: str = field(name="s")
    time: int = field(name="E")
    opening: Decimal = field(name="o")
    last: Decimal = field(name="c")
    high: Decimal = field(name="h")
    low: Decimal = field(name="l")
    volume: Decimal = field(name="v")
    change: Decimal = field(name="p")
    change_percent: Decimal = field(name="P")
    previous: Decimal | None = field(name="x", default=None)
    family: int | None = field(name="st", default=None)


class WrappedTickerNumbers(msgspec.Struct, gc=False):
    """Tickers of a combined stream: one, or all that have changed."""

    data: TickerNumbers | list[TickerNumbers]


class DepthEvent(msgspec.Struct, gc=False):
    """What changed of a book, or the best levels of one of the futures.

    `{"e":"depthUpdate","E":1626992741252,"T":1626992741145,"s":"KEEPUSDT","U":600859603268,
    "u":600859603268,"pu":600859602316,"b":[],"a":[["0.2465","812"]]}`; spot has no `T` and `pu`
    """

    event: Literal["depthUpdate"] = field(name="e")
    time: int = field(name="E")
    symbol: str = field(name="s")
    first_id: int = field(name="U")
    last_id: int = field(name="u")
    bids: list[Level] = field(name="b")
    asks: list[Level] = field(name="a")
    prev_id: int | UnsetType = field(name="pu", default=UNSET)


class WrappedDepth(msgspec.Struct, gc=False):
    """What changed of a book, of a combined stream."""

    stream: str
    data: DepthEvent


class Depth(msgspec.Struct, gc=False):
    """A whole book over REST, or the best levels of one of the spot market.

    `{"lastUpdateId":499869752,"bids":[["0.35210000","672.00000000"]],"asks":[…]}`
    """

    last_id: int = field(name="lastUpdateId")
    bids: list[Level]
    asks: list[Level]
    time: int | None = field(name="E", default=None)


AnyTrade: TypeAlias = TradeEvent | AggTradeEvent | RestTrade | RestAggTrade

raw_trade: Final[dict[TradeIds, msgspec.json.Decoder[TradeEvent | AggTradeEvent]]] = {
    "trade": msgspec.json.Decoder(TradeEvent),
    "aggTrade": msgspec.json.Decoder(AggTradeEvent),
}
wrapped_trade: Final[dict[TradeIds, msgspec.json.Decoder[WrappedTrade | WrappedAggTrade]]] = {
    "trade": msgspec.json.Decoder(WrappedTrade),
    "aggTrade": msgspec.json.Decoder(WrappedAggTrade),
}
raw_trades: Final[dict[TradeIds, msgspec.json.Decoder[list[Any]]]] = {
    "trade": msgspec.json.Decoder(list[MarketTradeEvent]),
    "aggTrade": msgspec.json.Decoder(list[MarketAggTradeEvent]),
}
wrapped_trades: Final[dict[TradeIds, msgspec.json.Decoder[list[Any]]]] = {
    "trade": msgspec.json.Decoder(list[WrappedMarketTrade]),
    "aggTrade": msgspec.json.Decoder(list[WrappedMarketAggTrade]),
}
rest_trade: Final[dict[TradeIds, msgspec.json.Decoder[RestTrade | RestAggTrade]]] = {
    "trade": msgspec.json.Decoder(RestTrade),
    "aggTrade": msgspec.json.Decoder(RestAggTrade),
}
ticker: Final = msgspec.json.Decoder(Ticker)
ticker_numbers: Final[msgspec.json.Decoder[TickerNumbers | list[TickerNumbers]]] = (
    msgspec.json.Decoder(TickerNumbers | list[TickerNumbers])
)
wrapped_ticker_numbers: Final = msgspec.json.Decoder(WrappedTickerNumbers)
depth_event: Final = msgspec.json.Decoder(DepthEvent)
wrapped_depth: Final = msgspec.json.Decoder(WrappedDepth)
depth: Final = msgspec.json.Decoder(Depth)
wrapper: Final = msgspec.json.Decoder(Wrapper)
stream: Final = msgspec.json.Decoder(str)
head: Final = msgspec.json.Decoder(Head)
