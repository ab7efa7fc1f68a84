"""OKX v5: spot, swaps and dated futures, WebSocket channels and bodies of `/api/v5/market/trades`.

Facts: https://www.okx.com/docs-v5/en/#order-book-trading-market-data. Every value is a string.
An instrument names its product, `BTC-USDT`, `BTC-USDT-SWAP`, `BTC-USD-220527`, so that nothing
depends on the feed's. Sizes of derivatives are contracts: of trades they are converted, of books
they are left as sent, because the checksum covers them.
"""

from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

import msgspec
from msgspec import Raw, field

from schemas.errors import DecodeError
from schemas.exchanges._common import (
    FAILURES,
    changed_levels,
    decoding,
    figure,
    full_levels,
)
from schemas.exchanges._contracts import (
    IDLE,
    Market,
    collected_symbol,
    contract_amounts,
    contract_size,
)
from schemas.feeds import Feed
from schemas.numbers import are_amounts, exact_product
from schemas.records import BookUpdate, Kind, TickerUpdate, Trade
from schemas.symbols import CACHED, dated, perpetual, spot
from schemas.times import ns_of_ms

_NAME: Final = "okx"


class _ProbedArg(msgspec.Struct, gc=False):
    channel: str


class _ProbedRow(msgspec.Struct, gc=False, rename="camel"):
    trade_id: Raw = Raw()


class _Probe(msgspec.Struct, gc=False):
    """What tells the frames apart, nothing else."""

    arg: _ProbedArg | None = None
    event: str | None = None
    code: str | None = None
    last: Raw = Raw()


class _RestRows(msgspec.Struct, gc=False):
    data: list[_ProbedRow]


class _TradeRow(msgspec.Struct, gc=False, rename="camel"):
    inst_id: str
    trade_id: int
    px: Decimal
    sz: Decimal
    side: Literal["buy", "sell"]
    ts: int
    count: int = 0


class _TradeArg(msgspec.Struct, gc=False):
    channel: Literal["trades", "trades-all"]


class _TradeRows(msgspec.Struct, gc=False):
    data: list[_TradeRow]


class _TradeFrame(_TradeRows, gc=False):
    arg: _TradeArg


class _Ticker(msgspec.Struct, gc=False, rename="camel"):
    inst_id: str | None = None
    last: Raw = Raw()
    open24h: Raw = field(default=Raw(), name="open24h")
    high24h: Raw = field(default=Raw(), name="high24h")
    low24h: Raw = field(default=Raw(), name="low24h")
    vol24h: Raw = field(default=Raw(), name="vol24h")
    vol_ccy24h: Raw = field(default=Raw(), name="volCcy24h")
    ts: Raw = Raw()


class _TickerRows(msgspec.Struct, gc=False):
    data: list[_Ticker]


class _TickerArg(msgspec.Struct, gc=False):
    channel: Literal["tickers"]


class _WholeTicker(msgspec.Struct, gc=False, rename="camel"):
    """A ticker of which nothing is missing, as nearly all are."""

    inst_id: str
    last: Decimal
    ts: int
    open24h: Decimal = field(name="open24h")
    high24h: Decimal = field(name="high24h")
    low24h: Decimal = field(name="low24h")
    vol24h: Decimal = field(name="vol24h")
    vol_ccy24h: Decimal = field(name="volCcy24h")


class _TickerFrame(msgspec.Struct, gc=False):
    arg: _TickerArg
    data: list[_WholeTicker]


class _Level(msgspec.Struct, gc=False, array_like=True):
    """Longer on the wire: the number of orders follows."""

    price: Decimal
    size: Decimal


class _Book(msgspec.Struct, gc=False, rename="camel"):
    asks: list[_Level]
    bids: list[_Level]
    ts: int
    checksum: int = 0
    seq_id: int | None = None
    prev_seq_id: int | None = None


class _BookArg(msgspec.Struct, gc=False, rename="camel"):
    channel: Literal["books", "books-l2-tbt", "books50-l2-tbt", "books5", "bbo-tbt"]
    inst_id: str


class _BookFrame(msgspec.Struct, gc=False):
    arg: _BookArg
    data: list[_Book]
    action: Literal["snapshot", "update"] | None = None


_DEPTHS: Final = {
    "books": 400,
    "books-l2-tbt": 400,
    "books50-l2-tbt": 50,
    "books5": 5,
    "bbo-tbt": 1,
}
# Every frame of these is a whole book.
_FULL_CHANNELS: Final = frozenset({"books5", "bbo-tbt"})
_KINDS: Final[dict[str, Kind]] = {
    "trades": "trade",
    "trades-all": "trade",
    "tickers": "ticker",
    **dict.fromkeys(_DEPTHS, "orderbook"),
}

# What follows a quote currency where a contract is margined in USD stablecoins, and what it is in a
# canonical symbol: BTC-USD_UM-SWAP is BTC-USDUM-PERP, a linear contract beside the inverse
# BTC-USD-PERP. An X-Perp is a perpetual with a far expiry, and keeps it: TRX-USDUMX-310523.
_MARGINS: Final = {"": "", "UM": "UM", "UM_XPERP": "UMX"}

# Not strict about types: a string of digits is an integer here, which is what OKX sends.
_trade_frame: Final = msgspec.json.Decoder(_TradeFrame, strict=False)
_trade_rows: Final = msgspec.json.Decoder(_TradeRows, strict=False)
_book_frame: Final = msgspec.json.Decoder(_BookFrame, strict=False)
_ticker_frame: Final = msgspec.json.Decoder(_TickerFrame, strict=False)
_ticker_rows: Final = msgspec.json.Decoder(_TickerRows)
_ticker: Final = msgspec.json.Decoder(_Ticker)
_probe: Final = msgspec.json.Decoder(_Probe)
_rest_rows: Final = msgspec.json.Decoder(_RestRows)


def kind(frame: bytes) -> Kind:
    """What the frame carries.

    Raises:
        DecodeError: It is not a message of OKX.
    """
    with decoding(_NAME):
        return _classified(frame)[0]


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:
    """The trades of the frame, in its order.

    Raises:
        DecodeError: A field is missing or wrong, or the size of a contract is not configured.
    """
    try:
        trade_frame = _trade_frame.decode(frame)
        return _trades(trade_frame.data, feed, are_fills=trade_frame.arg.channel == "trades-all")
    except FAILURES:
        # The words for what was wrong, and the bodies of REST, are worth a second look.
        with decoding(_NAME):
            frame_kind, form = _classified(frame)
            if frame_kind != "trade":
                return []
            if form == "channel":
                trade_frame = _trade_frame.decode(frame)
                are_fills = trade_frame.arg.channel == "trades-all"
                return _trades(trade_frame.data, feed, are_fills=are_fills)
            return _trades(_trade_rows.decode(frame).data, feed, are_fills=True)


def decode_tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """The tickers of the frame; a collector's flattened one takes its symbol from the feed.

    Raises:
        DecodeError: A field is missing or wrong.
    """
    try:
        return [_whole_ticker_update(row) for row in _ticker_frame.decode(frame).data]
    except FAILURES:
        pass  # as for trades
    with decoding(_NAME):
        form = _classified(frame)
        if form == ("ticker", "flattened"):
            return [_ticker_update(_ticker.decode(frame), feed)]
        if form[0] == "ticker":
            return [_ticker_update(row, feed) for row in _ticker_rows.decode(frame).data]
        return []


def decode_books(frame: bytes, feed: Feed) -> list[BookUpdate]:  # noqa: ARG001  # one interface
    """The order book updates of the frame; levels of derivatives are in contracts.

    Raises:
        DecodeError: A field is missing or wrong.
    """
    try:
        book_frame = _book_frame.decode(frame)
        return [_book_update(book, book_frame) for book in book_frame.data]
    except FAILURES:
        pass  # another message, or a broken one: the way below finds out which
    with decoding(_NAME):
        if _classified(frame)[0] != "orderbook":
            return []
        book_frame = _book_frame.decode(frame)
        return [_book_update(book, book_frame) for book in book_frame.data]


def _classified(frame: bytes) -> tuple[Kind, Literal["channel", "rest", "flattened"]]:
    text = frame.strip()
    if text == b"pong" or text in IDLE:
        return "control", "channel"
    probe = _probe.decode(frame)
    if probe.event is not None:
        return "control", "channel"
    if probe.arg is not None:
        return _KINDS.get(probe.arg.channel, "other"), "channel"
    if probe.code is not None:
        return _rest_kind(probe.code, frame), "rest"
    if probe.last:
        return "ticker", "flattened"
    raise DecodeError("expected an object with arg, event, code or last")


def _rest_kind(code: str, frame: bytes) -> Kind:
    if code != "0":
        return "control"
    rows = _rest_rows.decode(frame).data
    return "trade" if rows and rows[0].trade_id else "other"


def _trades(rows: list[_TradeRow], feed: Feed, *, are_fills: bool) -> list[Trade]:
    """Return the trades of rows: single fills, or fills of one taker order at one price together.

    The id of an aggregate is its last fill's, and the ids of its fills count up one by one.
    """
    trades: list[Trade] = []
    try:
        for row in rows:
            price, size = row.px, row.sz
            symbol, product = _market(row.inst_id)
            if product == "spot":
                notional = exact_product(price, size)
            else:
                unit = contract_size(feed, row.inst_id, "-")
                size, notional = contract_amounts(price, size, unit, product)
            time_ns = ns_of_ms(row.ts)
            buys = row.side == "buy"
            last_id = row.trade_id
            first_id = last_id - row.count + 1 if row.count > 1 else None
            if are_fills:
                first_id = last_id
            trades.append(Trade(symbol, last_id, time_ns, buys, price, size, notional, first_id))
    except DecodeError as error:
        raise DecodeError(f"{error} - at `$.data[{len(trades)}]`") from error
    return trades


@lru_cache(maxsize=CACHED)
def _market(inst_id: str) -> Market:
    match inst_id.split("-"):
        case [base, quote]:
            return Market(spot(base, quote), "spot")
        case [base, quote, expiry]:
            currency, _, margin = quote.partition("_")
            if margin not in _MARGINS:
                raise DecodeError(
                    f"instId {inst_id[:40]!r}: expected a quote currency like USD, or USD_UM for "
                    "a contract margined in USD stablecoins"
                )
            quote = currency + _MARGINS[margin]
            symbol = perpetual(base, quote) if expiry == "SWAP" else dated(base, quote, expiry)
            return Market(symbol, "inverse" if quote == "USD" else "linear")
        case _:
            raise DecodeError(
                f"instId {inst_id[:40]!r}: expected BASE-QUOTE, BASE-QUOTE-SWAP or "
                "BASE-QUOTE-YYMMDD"
            )


def _whole_ticker_update(row: _WholeTicker) -> TickerUpdate:
    market = _market(row.inst_id)
    # vol24h counts contracts where there are any.
    volume = row.vol24h if market.product == "spot" else row.vol_ccy24h
    if not are_amounts((row.last, row.open24h, row.high24h, row.low24h, volume)):
        raise DecodeError("expected figures of a market")
    return TickerUpdate(
        symbol=market.symbol,
        time_ns=ns_of_ms(row.ts),
        is_delta=False,
        opening_price=row.open24h,
        trade_price=row.last,
        max_price=row.high24h,
        min_price=row.low24h,
        prev_closing_price=row.open24h,  # see _ticker_update
        acc_trade_volume_24h=volume,
    )


def _ticker_update(row: _Ticker, feed: Feed) -> TickerUpdate:
    if row.inst_id is None:
        market = Market(collected_symbol(feed), feed.product)
    else:
        market = _market(row.inst_id)
    time_ms = figure(row.ts, "ts")
    opening_price = figure(row.open24h, "open24h")
    if market.product == "spot":
        volume = figure(row.vol24h, "vol24h")
    else:
        volume = figure(row.vol_ccy24h, "volCcy24h")  # vol24h counts contracts there
    return TickerUpdate(
        symbol=market.symbol,
        time_ns=None if time_ms is None else ns_of_ms(time_ms),
        is_delta=False,
        opening_price=opening_price,
        trade_price=figure(row.last, "last"),
        max_price=figure(row.high24h, "high24h"),
        min_price=figure(row.low24h, "low24h"),
        # OKX sends no previous close; the price of 24 hours ago is what its change is against.
        prev_closing_price=opening_price,
        acc_trade_volume_24h=volume,
    )


def _book_update(book: _Book, frame: _BookFrame) -> BookUpdate:
    channel = frame.arg.channel
    is_full = channel in _FULL_CHANNELS
    if frame.action is None and not is_full:
        raise DecodeError("missing field `action`, expected snapshot or update - at `$`")
    is_snapshot = is_full or frame.action == "snapshot"
    is_linked = not is_full and book.seq_id is not None and book.prev_seq_id is not None
    side = full_levels if is_snapshot else changed_levels
    bids = [(level.price, level.size) for level in book.bids]
    asks = [(level.price, level.size) for level in book.asks]
    return BookUpdate(
        symbol=_market(frame.arg.inst_id).symbol,
        time_ns=ns_of_ms(book.ts),
        is_snapshot=is_snapshot,
        bids=side(bids, "bids") if bids else bids,
        asks=side(asks, "asks") if asks else asks,
        # Recordings of 2022 have no ids: there only the checksum proves that nothing is missing.
        sequence_rule="linked" if is_linked else "none",
        last_id=book.seq_id,
        prev_id=None if is_snapshot else book.prev_seq_id,
        depth=_DEPTHS[channel],
        # Zero since June 2026: OKX has stopped to compute it.
        checksum=book.checksum or None,
    )
