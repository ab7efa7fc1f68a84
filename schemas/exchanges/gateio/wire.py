"""The messages of Gate v4, as far as they are read.

Documents: https://www.gate.com/docs/developers/apiv4/ws/en/ and
https://www.gate.com/docs/developers/futures/ws/en/. The frames were recorded in 2021 to 2026; (D)
marks those from the documents. Prices and amounts are text.
"""

from decimal import Decimal
from typing import Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Raw, field

from schemas.records import Level

AnyLevel = TypeVar("AnyLevel")


class Probe(msgspec.Struct, gc=False):
    """The fields that tell the messages apart.

    `{"time":1619093532,"channel":"spot.trades","event":"subscribe","result":{"status":"success"}}`
    """

    channel: str | None = None
    event: str | None = None
    type: str | None = None
    label: str | None = None
    asks: Raw = Raw()
    last: Raw = Raw()


class SpotTrade(msgspec.Struct, gc=False):
    """A trade of the spot market, in a frame and in a body of REST.

    `{"id":816995772,"create_time":1619093543,"create_time_ms":"1619093543708.2642",
    "side":"sell","currency_pair":"DIS_USDT","amount":"0.2010000000","price":"121.5800000000"}`
    """

    id: int
    create_time_ms: Decimal
    side: Literal["buy", "sell"]
    currency_pair: str
    amount: Decimal
    price: Decimal


class TextTimedTrade(msgspec.Struct, gc=False):
    """A trade of the spot market whose time is text, as it has always been in frames."""

    id: int
    create_time_ms: str
    side: Literal["buy", "sell"]
    currency_pair: str
    amount: Decimal
    price: Decimal


class FuturesTrade(msgspec.Struct, gc=False):
    """A trade of a contract, in a frame and in a body of REST: a negative size is a taker who sold.

    `{"size":50,"id":15366793,"create_time":1616327563,"create_time_ms":1616327563918,
    "price":"56233.3","contract":"BTC_USDT"}`. Before 2021 there were no milliseconds; REST has
    seconds with decimals in their field.
    """

    id: int
    contract: str
    size: Decimal
    price: Decimal
    create_time: Decimal
    create_time_ms: Decimal | None = None
    is_internal: bool = False


class SpotTradeFrame(msgspec.Struct, gc=False):
    """One trade of the spot market.

    `{"time":1619093543,"channel":"spot.trades","event":"update","result":{…}}`
    """

    channel: Literal["spot.trades", "spot.trades_v2"]
    event: Literal["update"]
    result: SpotTrade


class TextTimedTradeFrame(msgspec.Struct, gc=False):
    """One trade of the spot market whose time is text."""

    channel: Literal["spot.trades", "spot.trades_v2"]
    event: Literal["update"]
    result: TextTimedTrade


class Rows(msgspec.Struct, gc=False):
    """The rows of a futures frame, each to be decoded by itself.

    `{"time":1616327563,"channel":"futures.trades","event":"update","error":null,"result":[…]}`
    """

    result: list[Raw]
    time_ms: Raw = Raw()
    time: Raw = Raw()


class FuturesTradeFrame(msgspec.Struct, gc=False):
    """Trades of contracts."""

    channel: Literal["futures.trades"]
    event: Literal["update"]
    result: list[FuturesTrade]


class SpotTicker(msgspec.Struct, gc=False):
    """A ticker of the spot market; a collector's flattened one has no pair.

    `{"currency_pair":"BTC_USDT","last":"15743.4","lowest_ask":"15744.4","highest_bid":"15743.5",
    "change_percentage":"-1.8254","base_volume":"9110.473081735",
    "quote_volume":"145082083.2535","high_24h":"16280.9","low_24h":"15468.5"}`
    """

    currency_pair: str | None = None
    last: Raw = Raw()
    high_24h: Raw = Raw()
    low_24h: Raw = Raw()
    base_volume: Raw = Raw()
    change_percentage: Raw = Raw()
    time_ms: Raw = Raw()


class FuturesTicker(msgspec.Struct, gc=False):
    """A ticker of a contract, as far as it differs in its keys.

    `{"contract":"BTC_USDT","last":"118.4","change_percentage":"0.77","volume_24h":"100",
    "volume_24h_base":"50","low_24h":"99.2","high_24h":"132.5",…}` (D)
    """

    contract: str
    last: Raw = Raw()
    high_24h: Raw = Raw()
    low_24h: Raw = Raw()
    volume_24h_base: Raw = Raw()
    change_percentage: Raw = Raw()


class SpotTickerFrame(msgspec.Struct, gc=False):
    """One ticker of the spot market.

    `{"time":1669107766,"time_ms":1669107766406,"channel":"spot.tickers","event":"update",
    "result":{…}}`
    """

    result: SpotTicker
    time_ms: Raw = Raw()
    time: Raw = Raw()


class TickerNumbers(msgspec.Struct, gc=False):
    """A ticker of the spot market of which nothing is missing, as nearly all are."""

    currency_pair: str
    last: Decimal
    high_24h: Decimal
    low_24h: Decimal
    base_volume: Decimal
    change_percentage: Decimal


class TickerNumbersFrame(msgspec.Struct, gc=False):
    """One ticker of the spot market of which nothing is missing."""

    channel: Literal["spot.tickers"]
    event: Literal["update"]
    result: TickerNumbers
    time_ms: int


class FuturesLevel(msgspec.Struct, gc=False):
    """A level in contracts: `{"p":"0.7717","s":677}`."""

    price: Decimal = field(name="p")
    size: Decimal = field(name="s")


class LimitedBook(msgspec.Struct, gc=False):
    """The best levels.

    `{"t":1790134390437,"lastUpdateId":48123154,"s":"SOL_USD","bids":[["118.91","13.548"]],
    "asks":[["118.99","43.704"]]}`
    """

    pair: str = field(name="s")
    time_ms: int = field(name="t")
    last_update_id: int = field(name="lastUpdateId")
    bids: list[Level]
    asks: list[Level]


class Changes(msgspec.Struct, Generic[AnyLevel], gc=False):
    """What changed of a book, or the whole of one.

    `{"t":1619093533023,"e":"depthUpdate","E":1619093533,"s":"OMG_USDT","U":59231869,
    "u":59231869,"b":[["7.898","65.888"]],"a":[]}`; of a stream `s` is its name, and a side without
    changes is left out: `{"t":1747054612673,"full":true,"s":"ob.BTC_USDT.50","u":73777715168,
    "b":[["104027.1","509392"]],"a":[["104027.2","44617"]]}` (D)
    """

    name: str = field(name="s")
    time_ms: int = field(name="t")
    last_id: int = field(name="u")
    first_id: int | None = field(default=None, name="U")
    bids: list[AnyLevel] | None = field(default=None, name="b")
    asks: list[AnyLevel] | None = field(default=None, name="a")
    full: bool = False
    depth: int | None = field(default=None, name="l")


class LimitedBookFrame(msgspec.Struct, gc=False, tag_field="channel", tag="spot.order_book"):
    """The best levels, whole in each frame."""

    event: Literal["update"]
    result: LimitedBook


class ChangesFrame(msgspec.Struct, gc=False, tag_field="channel", tag="spot.order_book_update"):
    """Changes of a book whose snapshot comes by REST.

    `{"time":1619093533,"channel":"spot.order_book_update","event":"update","result":{…}}`
    """

    event: Literal["update"]
    result: Changes[Level]


class FuturesChangesFrame(
    msgspec.Struct, gc=False, tag_field="channel", tag="futures.order_book_update"
):
    """Changes of the book of a contract, whose snapshot comes by REST.

    `{"time":1684930165,"time_ms":1684930165959,"channel":"futures.order_book_update",
    "event":"update","result":{"U":3132789250,"a":[{"p":"0.7717","s":677}],"b":[],
    "s":"OMG_USDT","t":1684930165911,"u":3132789252}}`
    """

    event: Literal["update"]
    result: Changes[FuturesLevel]


class StreamFrame(msgspec.Struct, gc=False, tag_field="channel", tag="spot.obu"):
    """A frame of a stream that sends its own whole book first.

    `{"channel":"spot.obu","result":{…},"time_ms":1747054612848}` (D)
    """

    result: Changes[Level]
    event: Literal["update"] | None = None


class FuturesStreamFrame(StreamFrame, gc=False, tag="futures.obu"):
    """A frame of a stream of a contract."""


AnyBookFrame = (
    LimitedBookFrame | ChangesFrame | FuturesChangesFrame | StreamFrame | FuturesStreamFrame
)


class RestBook(msgspec.Struct, gc=False):
    """A whole book over REST: of a contract the levels are objects, and the times are seconds.

    `{"id":59231869,"asks":[["7.927","316.6"]],"bids":[["7.925","94.3"]]}`;
    `{"current":1684930166.668,"update":1684930166.609,"asks":[{"s":129,"p":"0.7711"}],
    "bids":[{"s":50,"p":"0.7696"}],"id":3132789259}`
    """

    id: int
    asks: list[Level | FuturesLevel]
    bids: list[Level | FuturesLevel]
    update: Decimal | None = None


# Not strict about types, because integers may come as text, in REST above all.
spot_trade_frame: Final = msgspec.json.Decoder(SpotTradeFrame, strict=False)
text_timed_trade_frames: Final = msgspec.json.Decoder(list[TextTimedTradeFrame], strict=False)
text_timed_trade_frame: Final = msgspec.json.Decoder(TextTimedTradeFrame, strict=False)
spot_trade: Final = msgspec.json.Decoder(SpotTrade, strict=False)
futures_trade_frame: Final = msgspec.json.Decoder(FuturesTradeFrame, strict=False)
futures_trade: Final = msgspec.json.Decoder(FuturesTrade, strict=False)
rows: Final = msgspec.json.Decoder(Rows)
raw_rows: Final = msgspec.json.Decoder(list[Raw])
ticker_numbers_frame: Final = msgspec.json.Decoder(TickerNumbersFrame)
spot_ticker_frame: Final = msgspec.json.Decoder(SpotTickerFrame)
spot_ticker: Final = msgspec.json.Decoder(SpotTicker)
futures_ticker: Final = msgspec.json.Decoder(FuturesTicker)
book_frame: Final[msgspec.json.Decoder[AnyBookFrame]] = msgspec.json.Decoder(
    AnyBookFrame, strict=False
)
rest_book: Final = msgspec.json.Decoder(RestBook)
probe: Final = msgspec.json.Decoder(Probe)
