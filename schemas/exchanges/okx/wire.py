"""The messages of OKX v5, as far as they are read.

Documents: https://www.okx.com/docs-v5/en/#order-book-trading-market-data. Frames marked (R) were
recorded in May 2022 and February 2025, others are printed in the documents.
"""

from decimal import Decimal
from typing import Final, Literal

import msgspec
from msgspec import Raw, field

TradeChannel = Literal["trades", "trades-all"]
BookChannel = Literal[
    "books", "books-l2-tbt", "books50-l2-tbt", "books5", "bbo-tbt", "books-rpi"
]  # fmt: skip


class Arg(msgspec.Struct, gc=False):
    """The subscription that a frame answers."""

    channel: str


class Probe(msgspec.Struct, gc=False):
    """The fields that tell the messages apart.

    `{"event":"subscribe","arg":{"channel":"tickers","instId":"BTC-USDT"}}` (R)
    """

    arg: Arg | None = None
    event: str | None = None
    code: str | None = None
    last: Raw = Raw()


class Rows(msgspec.Struct, gc=False):
    """The rows of any message, each to be decoded by itself."""

    data: list[Raw]


class TradeRow(msgspec.Struct, gc=False, rename="camel"):
    """A trade: all fills of one taker order at one price, or a single fill.

    `{"instId":"BTC-USDT","tradeId":"674510826","px":"95634.9","sz":"0.00011186","side":"buy",
    "ts":"1740394561685","count":"1"}` (R)
    """

    inst_id: str
    trade_id: int
    px: Decimal
    sz: Decimal
    side: Literal["buy", "sell"]
    ts: int
    count: int = 0


class TradeArg(msgspec.Struct, gc=False):
    """The subscription of trades."""

    channel: TradeChannel


class TradeFrame(msgspec.Struct, gc=False):
    """Trades.

    `{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[…]}` (R)
    """

    arg: TradeArg
    data: list[TradeRow]


class Ticker(msgspec.Struct, gc=False, rename="camel"):
    """A ticker of which anything may be missing, null or empty.

    `{"instType":"SPOT","instId":"BTC-USDT","last":"30236","lastSz":"0.0002","askPx":"30228.7",
    "askSz":"1.55896972","bidPx":"30228.6","bidSz":"0.23393","open24h":"29700.4",
    "high24h":"31073","low24h":"28020.3","sodUtc0":"29028.8","sodUtc8":"30337.7",
    "volCcy24h":"525802090.62716611","vol24h":"17602.13085371","ts":"1652459224956"}` (R)
    """

    inst_id: str | None = None
    last: Raw = Raw()
    open24h: Raw = field(default=Raw(), name="open24h")
    high24h: Raw = field(default=Raw(), name="high24h")
    low24h: Raw = field(default=Raw(), name="low24h")
    vol24h: Raw = field(default=Raw(), name="vol24h")
    vol_ccy24h: Raw = field(default=Raw(), name="volCcy24h")
    ts: Raw = Raw()


class WholeTicker(msgspec.Struct, gc=False, rename="camel"):
    """A ticker of which nothing is missing, as nearly all are."""

    inst_id: str
    last: Decimal
    ts: int
    open24h: Decimal = field(name="open24h")
    high24h: Decimal = field(name="high24h")
    low24h: Decimal = field(name="low24h")
    vol24h: Decimal = field(name="vol24h")
    vol_ccy24h: Decimal = field(name="volCcy24h")


class TickerArg(msgspec.Struct, gc=False):
    """The subscription of tickers."""

    channel: Literal["tickers"]


class WholeTickerFrame(msgspec.Struct, gc=False):
    """Tickers of which nothing is missing."""

    arg: TickerArg
    data: list[WholeTicker]


class BookLevel(msgspec.Struct, gc=False, array_like=True):
    """A level, which is longer on the wire.

    `["30243.5","1.44679","0","6"]` (R): price, size, a number without meaning, orders. Of
    `books-rpi` it is price, total, the size that is not for retail orders alone, orders.
    """

    price: Decimal
    size: Decimal


class Book(msgspec.Struct, gc=False, rename="camel"):
    """A book, or what changed of it.

    `{"asks":[["8476.98","415","0","13"]],"bids":[["8476.97","256","0","12"]],
    "ts":"1597026383085","checksum":0,"prevSeqId":123456,"seqId":123457}`
    """

    asks: list[BookLevel]
    bids: list[BookLevel]
    ts: int
    checksum: int = 0
    seq_id: int | None = None
    prev_seq_id: int | None = None


class BookArg(msgspec.Struct, gc=False, rename="camel"):
    """The subscription of a book."""

    channel: BookChannel
    inst_id: str


class BookHead(msgspec.Struct, gc=False):
    """A message of books without the books."""

    arg: BookArg
    action: Literal["snapshot", "update"] | None = None


class BookFrame(BookHead, gc=False, kw_only=True):
    """Books of one instrument.

    `{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[…]}` (R)
    """

    data: list[Book]


# Not strict about types, because OKX sends integers as text.
trade_frame: Final = msgspec.json.Decoder(TradeFrame, strict=False)
trade_frames: Final = msgspec.json.Decoder(list[TradeFrame], strict=False)
trade_row: Final = msgspec.json.Decoder(TradeRow, strict=False)
book_frame: Final = msgspec.json.Decoder(BookFrame, strict=False)
book_head: Final = msgspec.json.Decoder(BookHead)
book: Final = msgspec.json.Decoder(Book, strict=False)
whole_ticker_frame: Final = msgspec.json.Decoder(WholeTickerFrame, strict=False)
ticker: Final = msgspec.json.Decoder(Ticker)
rows: Final = msgspec.json.Decoder(Rows)
probe: Final = msgspec.json.Decoder(Probe)
