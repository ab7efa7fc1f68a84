"""The messages of Bybit, v5 and the retired v2, as far as they are read.

Documents: https://bybit-exchange.github.io/docs/v5/ws/connect and its pages on public topics. The
frames were recorded, v5 in 2023 to 2026, v2 in April 2021; (D) marks one from the documents.
"""

from decimal import Decimal
from typing import Final, Literal

import msgspec
from msgspec import Raw, field

from schemas.records import Level

Side = Literal["Buy", "Sell"]


class Probe(msgspec.Struct, gc=False, rename="camel"):
    """The fields that tell the messages apart.

    `{"success":true,"ret_msg":"subscribe","conn_id":"d9avt8shteepr00gfc1g-4zd1x","op":"subscribe"}`
    """

    topic: str | None = None
    op: str | None = None
    success: bool | None = None
    ret_code: int | None = None
    v2_ret_code: int | None = field(default=None, name="ret_code")
    result: Raw = Raw()
    ts: Raw = Raw()
    last_price: Raw = Raw()


class Trade(msgspec.Struct, gc=False):
    """A trade of v5; ids of contracts are UUIDs, those of the spot market are digits.

    `{"T":1680688979983,"s":"LTCUSDT","S":"Buy","v":"0.4","p":"94.53","L":"ZeroMinusTick",
    "i":"4c7b6bdc-b4a3-5716-9c7b-bbe01dc7072f","BT":false}`
    """

    symbol: str = field(name="s")
    side: Side = field(name="S")
    price: Decimal = field(name="p")
    size: Decimal = field(name="v")
    time_ms: int = field(name="T")
    trade_id: str = field(name="i")


class TradeFrame(msgspec.Struct, gc=False):
    """Trades of v5.

    `{"topic":"publicTrade.LTCUSDT","type":"snapshot","ts":1680688979985,"data":[…]}`
    """

    topic: str
    data: list[Trade]


class RestTrade(msgspec.Struct, gc=False):
    """A trade in the body of `/v5/market/recent-trade`.

    `{"execId":"2100000000007764263","symbol":"BTCUSDT","price":"16618.49","size":"0.00012",
    "side":"Buy","time":"1672052955758","isBlockTrade":false,"isRPITrade":true,"seq":"123456"}` (D)
    """

    symbol: str
    side: Side
    price: Decimal
    size: Decimal
    time_ms: int = field(name="time")
    trade_id: str = field(name="execId")


class RestResult(msgspec.Struct, gc=False):
    """The result of a REST body, its rows to be decoded one by one.

    `{"category":"spot","list":[…]}` (D)
    """

    category: str = ""
    rows: list[Raw] = field(default_factory=list, name="list")


class V2Trade(msgspec.Struct, gc=False):
    """A trade of v2; the sizes of an inverse contract are dollars.

    `{"trade_time_ms":1618677787811,"timestamp":"2021-04-17T16:43:07.000Z","symbol":"BTCUSD",
    "side":"Buy","size":204,"price":60622,"tick_direction":"PlusTick",
    "trade_id":"ecd3210b-82a0-5ab2-ad17-ef708059923f","cross_seq":5938955688}`
    """

    symbol: str
    side: Side
    price: Decimal
    size: Decimal
    time_ms: int = field(name="trade_time_ms")
    trade_id: str


class V2RestTrade(msgspec.Struct, gc=False):
    """A trade in the body of `/v2/public/trading-records`.

    `{"id":7724919,"symbol":"BTCUSD","price":9499.5,"qty":9500,"side":"Buy",
    "time":"2019-11-19T08:03:04.077Z"}` (D)
    """

    symbol: str
    side: Side
    price: Decimal
    size: Decimal = field(name="qty")
    time: str
    trade_id: int | str = field(name="id")
    time_ms: int | None = field(default=None, name="trade_time_ms")


class Rows(msgspec.Struct, gc=False):
    """The rows of a frame of trades, each to be decoded by itself."""

    data: list[Raw]


class Ticker(msgspec.Struct, gc=False, rename="camel"):
    """A ticker, or what changed of it; a collector's flattened one has no symbol.

    `{"symbol":"BTCUSDT","tickDirection":"ZeroPlusTick","price24hPcnt":"-0.009772",
    "lastPrice":"61874.00","prevPrice24h":"62484.60","highPrice24h":"62752.90",
    "lowPrice24h":"61000.10","prevPrice1h":"61901.80","markPrice":"61875.25",
    "turnover24h":"6073739017.8331","volume24h":"98430.1050",…}`
    """

    symbol: str | None = None
    last_price: Raw = Raw()
    high_price24h: Raw = field(default=Raw(), name="highPrice24h")
    low_price24h: Raw = field(default=Raw(), name="lowPrice24h")
    prev_price24h: Raw = field(default=Raw(), name="prevPrice24h")
    volume24h: Raw = field(default=Raw(), name="volume24h")
    price24h_pcnt: Raw = field(default=Raw(), name="price24hPcnt")
    ts: Raw = Raw()


class TickerFrame(msgspec.Struct, gc=False):
    """A ticker, of contracts a snapshot and then deltas.

    `{"topic":"tickers.BTCUSDT","type":"snapshot","data":{…},"cs":176530003895,"ts":1715748762463}`
    """

    type: Literal["snapshot", "delta"]
    data: Ticker
    ts: Raw = Raw()


class TickerNumbers(msgspec.Struct, gc=False, rename="camel"):
    """A ticker whose figures are numbers, as nearly all are."""

    symbol: str
    last_price: Decimal | None = None
    high_price24h: Decimal | None = field(default=None, name="highPrice24h")
    low_price24h: Decimal | None = field(default=None, name="lowPrice24h")
    prev_price24h: Decimal | None = field(default=None, name="prevPrice24h")
    volume24h: Decimal | None = field(default=None, name="volume24h")
    price24h_pcnt: Decimal | None = field(default=None, name="price24hPcnt")


class TickerNumbersFrame(msgspec.Struct, gc=False):
    """A ticker whose figures are numbers."""

    topic: str
    type: Literal["snapshot", "delta"]
    data: TickerNumbers
    ts: int


class Book(msgspec.Struct, gc=False):
    """A book of v5, or what changed of it.

    `{"s":"BTCUSDT","b":[["28552.00","0.047"]],"a":[["28552.10","25.433"]],"u":7003305,
    "seq":50193540681}`
    """

    symbol: str = field(name="s")
    bids: list[Level] = field(name="b")
    asks: list[Level] = field(name="a")
    update_id: int = field(name="u")


class BookFrame(msgspec.Struct, gc=False):
    """A book of v5.

    `{"topic":"orderbook.1.BTCUSDT","type":"snapshot","ts":1680673820717,"data":{…}}`
    """

    topic: str
    type: Literal["snapshot", "delta"]
    ts: int
    data: Book


class V2DeletedLevel(msgspec.Struct, gc=False):
    """A level of v2 that is gone.

    `{"price":"35.377","symbol":"UNIUSDT","id":"353770","side":"Buy"}`
    """

    price: Decimal
    symbol: str
    side: Side


class V2Level(V2DeletedLevel, gc=False):
    """A level of v2.

    `{"price":"60616.50","symbol":"BTCUSD","id":606165000,"side":"Buy","size":8163986}`
    """

    size: Decimal


class V2LinearBook(msgspec.Struct, gc=False):
    """A whole book of a linear contract of v2.

    `{"order_book":[…]}`
    """

    order_book: list[V2Level]


class V2Delta(msgspec.Struct, gc=False):
    """What changed of a book of v2.

    `{"delete":[],"update":[…],"insert":[],"transactTimeE6":0}`
    """

    delete: list[V2DeletedLevel]
    update: list[V2Level]
    insert: list[V2Level]


class V2BookFrame(msgspec.Struct, gc=False, tag_field="type"):
    """What the two messages of a book of v2 have in common.

    `{"topic":"orderBookL2_25.BTCUSD","type":"delta","data":{…},"cross_seq":5938954547,
    "timestamp_e6":1618677785397906}`
    """

    topic: str
    cross_seq: int
    timestamp_e6: int


class V2SnapshotFrame(V2BookFrame, gc=False, tag="snapshot"):
    """A whole book of v2: the levels as they are, of linear contracts in an object."""

    data: list[V2Level] | V2LinearBook


class V2DeltaFrame(V2BookFrame, gc=False, tag="delta"):
    """A change of a book of v2."""

    data: V2Delta


# Not strict about types, because integers may come as text: times of v2 and REST, `ts` of v5.
trade_frame: Final = msgspec.json.Decoder(TradeFrame, strict=False)
trade_frames: Final = msgspec.json.Decoder(list[TradeFrame], strict=False)
trade: Final = msgspec.json.Decoder(Trade, strict=False)
v2_trade: Final = msgspec.json.Decoder(V2Trade, strict=False)
rest_trade: Final = msgspec.json.Decoder(RestTrade, strict=False)
v2_rest_trade: Final = msgspec.json.Decoder(V2RestTrade, strict=False)
rows: Final = msgspec.json.Decoder(Rows)
rest_result: Final = msgspec.json.Decoder(RestResult)
raw_rows: Final = msgspec.json.Decoder(list[Raw])
ticker_frame: Final = msgspec.json.Decoder(TickerFrame)
ticker_numbers_frame: Final = msgspec.json.Decoder(TickerNumbersFrame, strict=False)
ticker: Final = msgspec.json.Decoder(Ticker)
book_frame: Final = msgspec.json.Decoder(BookFrame, strict=False)
v2_book_frame: Final[msgspec.json.Decoder[V2SnapshotFrame | V2DeltaFrame]] = msgspec.json.Decoder(
    V2SnapshotFrame | V2DeltaFrame, strict=False
)
probe: Final = msgspec.json.Decoder(Probe)
