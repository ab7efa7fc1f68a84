"""Bybit v5 and the retired v2: spot, linear and inverse contracts, WebSocket and REST trades.

Facts: https://bybit-exchange.github.io/docs/v5/ws/connect and its pages on public topics; v2 from
recordings of 2021. A message does not say whether it is of the spot market or of a contract with
the same name: the feed does. Whether a contract is inverse follows from its name: those are the
ones in USD, and their sizes are dollars.
"""

import calendar
import re
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, field

from schemas.errors import DecodeError
from schemas.exchanges._common import (
    FAILURES,
    changed_levels,
    decoding,
    figure,
    full_levels,
    trade_id,
)
from schemas.exchanges._contracts import IDLE, Market, collected_symbol
from schemas.feeds import Feed
from schemas.numbers import exact_product, quotient
from schemas.records import BookUpdate, Kind, Level, TickerUpdate, Trade
from schemas.symbols import CACHED, dated, perpetual, spot
from schemas.times import NS_PER_MS, ns_of_ms, ns_of_rfc3339, ns_of_us

_NAME: Final = "bybit"

_Form: TypeAlias = Literal["v5", "v2", "v5 rest", "v2 rest", "flattened"]


class _Probe(msgspec.Struct, gc=False, rename="camel"):
    """What tells the frames apart, nothing else."""

    topic: str | None = None
    op: str | None = None
    success: bool | None = None
    ret_code: int | None = None
    v2_ret_code: int | None = field(default=None, name="ret_code")
    result: Raw = Raw()
    ts: Raw = Raw()
    last_price: Raw = Raw()


class _V5ProbedRow(msgspec.Struct, gc=False, rename="camel"):
    exec_id: Raw = Raw()


class _V5ProbedResult(msgspec.Struct, gc=False):
    category: str = ""
    rows: list[_V5ProbedRow] = field(default_factory=list, name="list")


class _V2ProbedRow(msgspec.Struct, gc=False):
    qty: Raw = Raw()


class _V5Row(msgspec.Struct, gc=False):
    symbol: str = field(name="s")
    side: Literal["Buy", "Sell"] = field(name="S")
    price: Decimal = field(name="p")
    size: Decimal = field(name="v")
    time_ms: int = field(name="T")
    trade_id: str = field(name="i")


class _V2Row(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["Buy", "Sell"]
    price: Decimal
    size: Decimal
    time_ms: int = field(name="trade_time_ms")
    trade_id: str


class _V5RestRow(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["Buy", "Sell"]
    price: Decimal
    size: Decimal
    time_ms: int = field(name="time")
    trade_id: str = field(name="execId")


class _V2RestRow(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["Buy", "Sell"]
    price: Decimal
    size: Decimal = field(name="qty")
    time: str
    trade_id: int | str = field(name="id")
    time_ms: int | None = field(default=None, name="trade_time_ms")


class _V5Trades(msgspec.Struct, gc=False):
    topic: str
    data: list[_V5Row]


class _V2Trades(msgspec.Struct, gc=False):
    data: list[_V2Row]


class _V5RestResult(msgspec.Struct, gc=False):
    category: Literal["spot", "linear", "inverse"]
    rows: list[_V5RestRow] = field(name="list")


class _V5RestTrades(msgspec.Struct, gc=False):
    result: _V5RestResult


class _V2RestTrades(msgspec.Struct, gc=False):
    result: list[_V2RestRow]


class _Ticker(msgspec.Struct, gc=False, rename="camel"):
    symbol: str | None = None
    last_price: Raw = Raw()
    high_price24h: Raw = field(default=Raw(), name="highPrice24h")
    low_price24h: Raw = field(default=Raw(), name="lowPrice24h")
    prev_price24h: Raw = field(default=Raw(), name="prevPrice24h")
    volume24h: Raw = field(default=Raw(), name="volume24h")
    price24h_pcnt: Raw = field(default=Raw(), name="price24hPcnt")
    ts: Raw = Raw()


class _TickerFrame(msgspec.Struct, gc=False):
    type: Literal["snapshot", "delta"]
    data: _Ticker
    ts: Raw = Raw()


class _V5Book(msgspec.Struct, gc=False):
    symbol: str = field(name="s")
    bids: list[Level] = field(name="b")
    asks: list[Level] = field(name="a")
    update_id: int = field(name="u")


class _V5BookFrame(msgspec.Struct, gc=False):
    topic: str
    type: Literal["snapshot", "delta"]
    ts: int
    data: _V5Book


class _V2DeletedLevel(msgspec.Struct, gc=False):
    price: Decimal
    symbol: str
    side: Literal["Buy", "Sell"]


class _V2Level(_V2DeletedLevel, gc=False):
    size: Decimal


class _V2LinearBook(msgspec.Struct, gc=False):
    order_book: list[_V2Level]


class _V2Delta(msgspec.Struct, gc=False):
    delete: list[_V2DeletedLevel]
    update: list[_V2Level]
    insert: list[_V2Level]


class _V2BookFrame(msgspec.Struct, gc=False, tag_field="type"):
    topic: str
    cross_seq: int
    timestamp_e6: int


class _V2SnapshotFrame(_V2BookFrame, gc=False, tag="snapshot"):
    data: list[_V2Level] | _V2LinearBook


class _V2DeltaFrame(_V2BookFrame, gc=False, tag="delta"):
    data: _V2Delta


_V2_DEPTH: Final = 25
_V5_DEPTHS: Final = {"1": 1, "50": 50, "200": 200, "500": 500, "1000": 1000}
_KINDS: Final[dict[str, tuple[Kind, _Form]]] = {
    "publicTrade": ("trade", "v5"),
    "tickers": ("ticker", "v5"),
    "orderbook": ("orderbook", "v5"),
    "trade": ("trade", "v2"),
    "orderBookL2_25": ("orderbook", "v2"),
}
# Of its spot market: no separator tells where the base ends. There is no spot pair in USD.
_SPOT_PAIR: Final = re.compile(
    r"([A-Z0-9]+?)(USDT|USDC|USDE|USDQ|USD1|RLUSD|EURQ|EUR|BTC|ETH|SOL|MNT|DAI|BRZ|BRL|TRY|PLN|GBP)"
)
_PERPETUAL: Final = re.compile(r"([A-Z0-9]+?)(USDT|USDC|USD|PERP)")
# An inverse contract of a quarter, `BTCUSDU23`: it expires on the last Friday of the month.
_QUARTERLY: Final = re.compile(r"([A-Z0-9]+)USD([HMUZ])([0-9]{2})")
_QUARTERS: Final = {"H": 3, "M": 6, "U": 9, "Z": 12}
# `BTC-27DEC24` settles in USDC, `BTCUSDT-02OCT26` in USDT.
_DATED: Final = re.compile(r"([A-Z0-9]+?)(USDT|USDC|USD|)-([0-9]{1,2})([A-Z]{3})([0-9]{2})")
# Spelt out: the names in `calendar` follow the locale.
_MONTHS: Final = (
    *("JAN", "FEB", "MAR", "APR", "MAY", "JUN"),
    *("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)

# The ids of contracts; a spot market's are digits.
_UUID_LENGTH: Final = 36
_GONE: Final = Decimal(0)

# Not strict about types: a string of digits is an integer here, which v2 and REST send.
_v5_trades: Final = msgspec.json.Decoder(_V5Trades)
_v2_trades: Final = msgspec.json.Decoder(_V2Trades, strict=False)
_v5_rest_trades: Final = msgspec.json.Decoder(_V5RestTrades, strict=False)
_v2_rest_trades: Final = msgspec.json.Decoder(_V2RestTrades, strict=False)
_ticker_frame: Final = msgspec.json.Decoder(_TickerFrame)
_ticker: Final = msgspec.json.Decoder(_Ticker)
_v5_book_frame: Final = msgspec.json.Decoder(_V5BookFrame)
_v2_book_frame: Final[msgspec.json.Decoder[_V2SnapshotFrame | _V2DeltaFrame]] = (
    msgspec.json.Decoder(_V2SnapshotFrame | _V2DeltaFrame, strict=False)
)
_probe: Final = msgspec.json.Decoder(_Probe)
_v5_result: Final = msgspec.json.Decoder(_V5ProbedResult)
_v2_result: Final = msgspec.json.Decoder(list[_V2ProbedRow])


def kind(frame: bytes) -> Kind:
    """What the frame carries.

    Raises:
        DecodeError: It is not a message of Bybit.
    """
    with decoding(_NAME):
        return _classified(frame)[0]


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:
    """The trades of the frame, in its order.

    Raises:
        DecodeError: A field is missing or wrong.
    """
    try:
        v5_frame = _v5_trades.decode(frame)
        if v5_frame.topic.startswith("publicTrade."):
            return _trades(v5_frame.data, is_spot=feed.product == "spot")
    except FAILURES:
        pass  # the second look finds the words for what was wrong, and the older forms
    with decoding(_NAME):
        frame_kind, form = _classified(frame)
        return _trades_of(frame, form, feed) if frame_kind == "trade" else []


def decode_tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """The tickers of the frame; a delta has only what changed.

    Raises:
        DecodeError: A field is missing or wrong.
    """
    with decoding(_NAME):
        form = _classified(frame)
        if form == ("ticker", "flattened"):
            ticker = _ticker.decode(frame)
            # Collectors flatten deltas as well; only a whole ticker has a last price and the rest.
            is_delta = not all((ticker.last_price, ticker.volume24h, ticker.prev_price24h))
            return [_ticker_update(ticker, ticker.ts, feed, is_delta=is_delta)]
        if form[0] == "ticker":
            full = _ticker_frame.decode(frame)
            return [_ticker_update(full.data, full.ts, feed, is_delta=full.type == "delta")]
        return []


def decode_books(frame: bytes, feed: Feed) -> list[BookUpdate]:
    """The order book updates of the frame.

    Raises:
        DecodeError: A field is missing or wrong.
    """
    with decoding(_NAME):
        frame_kind, form = _classified(frame)
        if frame_kind != "orderbook":
            return []
        if form == "v2":
            return [_v2_book_update(_v2_book_frame.decode(frame))]
        return [_v5_book_update(_v5_book_frame.decode(frame), is_spot=feed.product == "spot")]


def _classified(frame: bytes) -> tuple[Kind, _Form]:
    if frame.strip() in IDLE:
        return "control", "v5"
    probe = _probe.decode(frame)
    if probe.topic is not None:
        return _classified_topic(probe.topic)
    if probe.op is not None or probe.success is not None:
        return "control", "v5"
    if probe.ret_code is not None or probe.v2_ret_code is not None:
        return _classified_rest(probe)
    if probe.ts or probe.last_price:
        return "ticker", "flattened"
    raise DecodeError("expected an object with topic, op, success, retCode or lastPrice")


def _classified_topic(topic: str) -> tuple[Kind, _Form]:
    name, _, rest = topic.partition(".")
    if name == "orderbook" and rest.partition(".")[0] not in _V5_DEPTHS:
        return "other", "v5"
    return _KINDS.get(name, ("other", "v5"))


def _classified_rest(probe: _Probe) -> tuple[Kind, _Form]:
    if probe.ret_code or probe.v2_ret_code:
        return "control", "v5"  # an error, although HTTP says 200
    if probe.v2_ret_code is not None:
        v2_rows = _v2_result.decode(probe.result)
        return "trade" if v2_rows and v2_rows[0].qty else "other", "v2 rest"
    v5_result = _v5_result.decode(probe.result)
    is_trade = v5_result.rows and v5_result.rows[0].exec_id and v5_result.category != "option"
    return "trade" if is_trade else "other", "v5 rest"


def _trades_of(frame: bytes, form: _Form, feed: Feed) -> list[Trade]:
    if form == "v2":  # which had no spot market
        return _trades(_v2_trades.decode(frame).data, is_spot=False)
    if form == "v5 rest":
        result = _v5_rest_trades.decode(frame).result
        return _trades(result.rows, is_spot=result.category == "spot")
    if form == "v2 rest":
        rows = [_dated_by_ms(row) for row in _v2_rest_trades.decode(frame).result]
        return _trades(rows, is_spot=False)
    return _trades(_v5_trades.decode(frame).data, is_spot=feed.product == "spot")


def _trades(rows: list[_V5Row] | list[_V2Row] | list[_V5RestRow], *, is_spot: bool) -> list[Trade]:
    trades: list[Trade] = []
    try:
        for row in rows:
            price, size = row.price, row.size
            symbol, product = _market(row.symbol, is_spot)
            notional = exact_product(price, size)
            if product == "inverse":  # a contract is a dollar
                notional, size = size, quotient(size, price)
            text = row.trade_id
            row_id = text if len(text) == _UUID_LENGTH else trade_id(text)
            time_ns = ns_of_ms(row.time_ms)
            buys = row.side == "Buy"
            trades.append(Trade(symbol, row_id, time_ns, buys, price, size, notional))
    except DecodeError as error:
        raise DecodeError(f"{error} - in row {len(trades)} of the trades") from error
    return trades


def _dated_by_ms(row: _V2RestRow) -> _V2Row:
    time_ms = row.time_ms
    if time_ms is None:  # of an inverse contract, whose text has milliseconds and no more
        time_ms = ns_of_rfc3339(row.time) // NS_PER_MS
    return _V2Row(row.symbol, row.side, row.price, row.size, time_ms, str(row.trade_id))


@lru_cache(maxsize=CACHED)
def _market(symbol: str, is_spot: bool) -> Market:  # noqa: FBT001  # cached by position
    if is_spot and (match := _SPOT_PAIR.fullmatch(symbol)):
        return Market(spot(match[1], match[2]), "spot")
    # What no spot market can be called is a contract, whatever the feed says.
    if match := _QUARTERLY.fullmatch(symbol):
        day = _last_friday(2000 + int(match[3]), _QUARTERS[match[2]])
        return Market(dated(match[1], "USD", day), "inverse")
    if match := _DATED.fullmatch(symbol):
        base, quote = match[1], match[2] or "USDC"
        canonical = dated(base, quote, _day(*match.group(3, 4, 5)))
    elif match := _PERPETUAL.fullmatch(symbol):
        base, quote = match[1], "USDC" if match[2] == "PERP" else match[2]
        canonical = perpetual(base, quote)
    else:
        raise DecodeError(
            f"symbol {symbol[:40]!r}: expected one of Bybit's, like BTCUSDT, BTCPERP, BTCUSDU23 or "
            "BTC-27DEC24"
        )
    return Market(canonical, "inverse" if quote == "USD" else "linear")


def _last_friday(year: int, month: int) -> str:
    day = max(week[calendar.FRIDAY] for week in calendar.monthcalendar(year, month))
    return f"{year % 100:02}{month:02}{day:02}"


def _day(day: str, month: str, year: str) -> str:
    if month not in _MONTHS:
        raise DecodeError(f"expiry {day}{month}{year}: expected a day like 27DEC24")
    return f"{year}{_MONTHS.index(month) + 1:02}{int(day):02}"


def _ticker_update(ticker: _Ticker, ts: Raw, feed: Feed, *, is_delta: bool) -> TickerUpdate:
    if ticker.symbol is None:
        symbol = collected_symbol(feed)
    else:
        symbol = _market(ticker.symbol, feed.product == "spot").symbol
    # Bybit has no price of a day's opening; both are the price of 24 hours ago.
    prev_price = figure(ticker.prev_price24h, "prevPrice24h")
    return TickerUpdate(
        symbol=symbol,
        time_ns=_ticker_time_ns(ts),
        is_delta=is_delta,
        opening_price=prev_price,
        trade_price=figure(ticker.last_price, "lastPrice"),
        max_price=figure(ticker.high_price24h, "highPrice24h"),
        min_price=figure(ticker.low_price24h, "lowPrice24h"),
        prev_closing_price=prev_price,
        acc_trade_volume_24h=figure(ticker.volume24h, "volume24h"),
        signed_change_rate=figure(ticker.price24h_pcnt, "price24hPcnt"),
    )


def _ticker_time_ns(ts: Raw) -> int | None:
    time_ms = figure(ts, "ts")
    if time_ms is None:
        return None
    try:
        return ns_of_ms(time_ms)
    except DecodeError:
        # A recorded delta has lost a digit of its time. Nothing is decided by a ticker's time, so
        # that it is better stamped on arrival than refused.
        return None


def _v5_book_update(frame: _V5BookFrame, *, is_spot: bool) -> BookUpdate:
    book = frame.data
    # Update 1 comes after a restart of the service, and is a whole book whatever it is called.
    is_snapshot = frame.type == "snapshot" or book.update_id == 1
    side = full_levels if is_snapshot else changed_levels
    return BookUpdate(
        symbol=_market(book.symbol, is_spot).symbol,
        time_ns=ns_of_ms(frame.ts),
        is_snapshot=is_snapshot,
        bids=side(book.bids, "$.data.b"),
        asks=side(book.asks, "$.data.a"),
        sequence_rule="plus_one",
        last_id=book.update_id,
        depth=_V5_DEPTHS[frame.topic.split(".")[1]],
    )


def _v2_book_update(frame: _V2SnapshotFrame | _V2DeltaFrame) -> BookUpdate:
    is_snapshot = isinstance(frame, _V2SnapshotFrame)
    bids: list[Level] = []
    asks: list[Level] = []
    for row, size in _v2_changes(frame):
        (bids if row.side == "Buy" else asks).append((row.price, size))
    side = full_levels if is_snapshot else changed_levels
    return BookUpdate(
        symbol=_market(frame.topic.partition(".")[2], is_spot=False).symbol,
        time_ns=ns_of_us(frame.timestamp_e6),
        is_snapshot=is_snapshot,
        bids=side(bids, "bids"),
        asks=side(asks, "asks"),
        # Shared by the topics of a symbol, so that it jumps within one.
        sequence_rule="growing",
        last_id=frame.cross_seq,
        depth=_V2_DEPTH,
    )


def _v2_changes(
    frame: _V2SnapshotFrame | _V2DeltaFrame,
) -> list[tuple[_V2DeletedLevel, Decimal]]:
    data = frame.data
    if isinstance(data, _V2Delta):
        deleted = [(row, _GONE) for row in data.delete]
        return deleted + [(row, row.size) for row in (*data.update, *data.insert)]
    # Inverse contracts send the rows as they are, linear ones in an object.
    rows = data.order_book if isinstance(data, _V2LinearBook) else data
    return [(row, row.size) for row in rows]
