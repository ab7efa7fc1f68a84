"""Gate v4: spot trades, tickers and books, trades of futures; WebSocket, and REST trades and books.

Facts: https://www.gate.com/docs/developers/apiv4/ws/en/ and .../developers/futures/ws/en/. Prices
and amounts are strings. The size of a futures trade is a number of contracts, and its sign is the
taker's side.
"""

from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, field

from schemas.errors import DecodeError
from schemas.exchanges._asia import (
    IDLE,
    Market,
    collected_symbol,
    contract_amounts,
    contract_size,
)
from schemas.exchanges._common import (
    FAILURES,
    changed_levels,
    decoding,
    figure,
    fraction,
    full_levels,
    underscored,
)
from schemas.feeds import Feed
from schemas.numbers import SUM, exact_product, quotient
from schemas.records import BookUpdate, Kind, Level, TickerUpdate, Trade
from schemas.symbols import CACHED, dated, perpetual
from schemas.times import ns_of_ms, ns_of_seconds

_NAME: Final = "gateio"

_Form: TypeAlias = Literal["channel", "rest", "flattened"]


class _Probe(msgspec.Struct, gc=False):
    """What tells the frames apart, nothing else."""

    channel: str | None = None
    event: str | None = None
    type: str | None = None
    label: str | None = None
    asks: Raw = Raw()
    last: Raw = Raw()


class _ProbedRow(msgspec.Struct, gc=False):
    amount: Raw = Raw()


class _SpotTrade(msgspec.Struct, gc=False):
    id: int
    create_time_ms: Decimal
    side: Literal["buy", "sell"]
    currency_pair: str
    amount: Decimal
    price: Decimal


class _SpotTradeFrame(msgspec.Struct, gc=False):
    channel: Literal["spot.trades"]
    event: Literal["update"]
    result: _SpotTrade


class _FuturesTrade(msgspec.Struct, gc=False):
    id: int
    contract: str
    size: Decimal
    price: Decimal
    create_time: Decimal
    create_time_ms: Decimal | None = None
    is_internal: bool = False


class _FuturesTradeFrame(msgspec.Struct, gc=False):
    result: list[_FuturesTrade]


class _Ticker(msgspec.Struct, gc=False):
    currency_pair: str | None = None
    last: Raw = Raw()
    high_24h: Raw = Raw()
    low_24h: Raw = Raw()
    base_volume: Raw = Raw()
    change_percentage: Raw = Raw()
    time_ms: Raw = Raw()


class _TickerFrame(msgspec.Struct, gc=False):
    result: _Ticker
    time_ms: Raw = Raw()
    time: Raw = Raw()


class _LimitedBook(msgspec.Struct, gc=False):
    pair: str = field(name="s")
    time_ms: int = field(name="t")
    last_update_id: int = field(name="lastUpdateId")
    bids: list[Level]
    asks: list[Level]


class _LimitedBookFrame(msgspec.Struct, gc=False):
    result: _LimitedBook


class _Changes(msgspec.Struct, gc=False):
    """Of `spot.order_book_update`, where `s` is a pair, and `spot.obu`, where it is a stream."""

    name: str = field(name="s")
    time_ms: int = field(name="t")
    last_id: int = field(name="u")
    first_id: int | None = field(default=None, name="U")
    bids: list[Level] | None = field(default=None, name="b")
    asks: list[Level] | None = field(default=None, name="a")
    full: bool = False
    depth: int | None = field(default=None, name="l")


class _ChangesFrame(msgspec.Struct, gc=False):
    channel: str
    result: _Changes


class _RestBook(msgspec.Struct, gc=False):
    id: int
    asks: list[Level]
    bids: list[Level]
    update: int | None = None


_KINDS: Final[dict[str, Kind]] = {
    "spot.trades": "trade",
    "futures.trades": "trade",
    "spot.tickers": "ticker",
    "spot.order_book": "orderbook",
    "spot.order_book_update": "orderbook",
    "spot.obu": "orderbook",
}
_ONE: Final = Decimal(1)

# Not strict about types: a string of digits is an integer here, which REST sends.
_spot_trade_frame: Final = msgspec.json.Decoder(_SpotTradeFrame, strict=False)
_rest_trades: Final = msgspec.json.Decoder(list[_SpotTrade], strict=False)
_futures_trade_frame: Final = msgspec.json.Decoder(_FuturesTradeFrame, strict=False)
_ticker_frame: Final = msgspec.json.Decoder(_TickerFrame)
_ticker: Final = msgspec.json.Decoder(_Ticker)
_limited_book_frame: Final = msgspec.json.Decoder(_LimitedBookFrame)
_changes_frame: Final = msgspec.json.Decoder(_ChangesFrame, strict=False)
_rest_book: Final = msgspec.json.Decoder(_RestBook)
_probe: Final = msgspec.json.Decoder(_Probe)
_probed_rows: Final = msgspec.json.Decoder(list[_ProbedRow])


def kind(frame: bytes) -> Kind:
    """What the frame carries.

    Raises:
        DecodeError: It is not a message of Gate.
    """
    with decoding(_NAME):
        return _classified(frame)[0]


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:
    """The trades of the frame, in its order; what the insurance fund took over is left out.

    Raises:
        DecodeError: A field is missing or wrong, or the size of a contract is not configured.
    """
    try:
        return [_spot_trade(_spot_trade_frame.decode(frame).result)]
    except FAILURES:
        pass  # the second look finds the words for what was wrong, and the other forms
    with decoding(_NAME):
        frame_kind, form, channel = _classified(frame)
        if frame_kind != "trade":
            return []
        if form == "rest":
            return [_spot_trade(row) for row in _rest_trades.decode(frame)]
        if channel == "futures.trades":
            return _futures_trades(_futures_trade_frame.decode(frame).result, feed)
        return [_spot_trade(_spot_trade_frame.decode(frame).result)]


def decode_tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """The tickers of the frame; a collector's flattened one takes its symbol from the feed.

    Raises:
        DecodeError: A field is missing or wrong.
    """
    with decoding(_NAME):
        frame_kind, form, _ = _classified(frame)
        if frame_kind != "ticker":
            return []
        if form == "flattened":
            ticker = _ticker.decode(frame)
            return [_ticker_update(ticker, _time_ns(ticker.time_ms, Raw()), feed)]
        ticker_frame = _ticker_frame.decode(frame)
        time_ns = _time_ns(ticker_frame.time_ms, ticker_frame.time)
        return [_ticker_update(ticker_frame.result, time_ns, feed)]


def decode_books(frame: bytes, feed: Feed) -> list[BookUpdate]:
    """The order book updates of the frame; the body of REST takes its symbol from the feed.

    Raises:
        DecodeError: A field is missing or wrong.
    """
    with decoding(_NAME):
        frame_kind, form, channel = _classified(frame)
        if frame_kind != "orderbook":
            return []
        if form == "rest":
            return [_rest_book_update(_rest_book.decode(frame), feed)]
        if channel == "spot.order_book":
            return [_limited_book_update(_limited_book_frame.decode(frame).result)]
        return [_changes_update(_changes_frame.decode(frame))]


def _classified(frame: bytes) -> tuple[Kind, _Form, str]:
    """The kind, the form, and the channel, empty for REST."""
    text = frame.strip()
    if text in IDLE:
        return "control", "channel", ""
    if text[:1] == b"[":
        rows = _probed_rows.decode(frame)
        return "trade" if rows and rows[0].amount else "other", "rest", ""
    probe = _probe.decode(frame)
    if probe.channel is not None:
        return _kind_of(probe.channel, probe.event), "channel", probe.channel
    if probe.type is not None or probe.label is not None:
        return "control", "channel", ""  # a notice, or an error of REST
    if probe.asks:
        return "orderbook", "rest", ""
    if probe.last:
        return "ticker", "flattened", ""
    raise DecodeError("expected an object with channel, asks, last, type or label, or an array")


def _kind_of(channel: str, event: str | None) -> Kind:
    if event == "update" or (event is None and channel == "spot.obu"):
        return _KINDS.get(channel, "other")
    if event is None:
        raise DecodeError("missing field `event`, expected update or that of an answer - at `$`")
    return "control"


def _spot_trade(row: _SpotTrade) -> Trade:
    price, size = row.price, row.amount
    return Trade(
        underscored(row.currency_pair),
        row.id,
        ns_of_ms(row.create_time_ms),
        row.side == "buy",
        price,
        size,
        exact_product(price, size),
    )


def _futures_trades(rows: list[_FuturesTrade], feed: Feed) -> list[Trade]:
    trades = []
    for row in rows:
        if row.is_internal:  # a liquidation that the insurance fund or other traders had to take
            continue
        market = _futures(row.contract)
        unit = contract_size(feed, row.contract, "_")
        size, notional = contract_amounts(row.price, row.size.copy_abs(), unit, market.product)
        trade = Trade(
            symbol=market.symbol,
            trade_id=row.id,
            time_ns=_futures_time_ns(row),
            taker_buys=not row.size.is_signed(),
            price=row.price,
            size=size,
            notional=notional,
        )
        trades.append(trade)
    return trades


def _futures_time_ns(row: _FuturesTrade) -> int:
    if row.create_time_ms is None:  # before 2021
        return ns_of_seconds(row.create_time)
    return ns_of_ms(row.create_time_ms)


@lru_cache(maxsize=CACHED)
def _futures(contract: str) -> Market:
    match contract.split("_"):
        case [base, quote]:
            symbol = perpetual(base, quote)
        case [base, quote, day] if day.startswith("20"):
            symbol = dated(base, quote, day[2:])
        case _:
            raise DecodeError(
                f"contract {contract[:40]!r}: expected BASE_QUOTE or BASE_QUOTE_YYYYMMDD"
            )
    return Market(symbol, "inverse" if quote == "USD" else "linear")


def _ticker_update(ticker: _Ticker, time_ns: int | None, feed: Feed) -> TickerUpdate:
    pair = ticker.currency_pair
    last = figure(ticker.last, "last")
    rate = fraction(figure(ticker.change_percentage, "change_percentage"))
    prev_price = _price_before(last, rate)
    return TickerUpdate(
        symbol=collected_symbol(feed) if pair is None else underscored(pair),
        time_ns=time_ns,
        is_delta=False,
        opening_price=prev_price,
        trade_price=last,
        max_price=figure(ticker.high_24h, "high_24h"),
        min_price=figure(ticker.low_24h, "low_24h"),
        prev_closing_price=prev_price,
        acc_trade_volume_24h=figure(ticker.base_volume, "base_volume"),
        signed_change_rate=rate,
    )


def _price_before(last: Decimal | None, rate: Decimal | None) -> Decimal | None:
    """The price of 24 hours ago, which Gate says only by the rate of the change since."""
    if last is None or rate is None:
        return None
    growth = SUM.add(_ONE, rate)
    # A market that lost everything had a price that nobody can know.
    return quotient(last, growth) if growth > 0 else None


def _time_ns(time_ms: Raw, time_s: Raw) -> int | None:
    milliseconds = figure(time_ms, "time_ms")
    if milliseconds is not None:
        return ns_of_ms(milliseconds)
    seconds = figure(time_s, "time")
    return None if seconds is None else ns_of_seconds(seconds)


def _limited_book_update(book: _LimitedBook) -> BookUpdate:
    return BookUpdate(
        symbol=underscored(book.pair),
        time_ns=ns_of_ms(book.time_ms),
        is_snapshot=True,
        bids=full_levels(book.bids, "$.result.bids"),
        asks=full_levels(book.asks, "$.result.asks"),
        sequence_rule="growing",
        last_id=book.last_update_id,
    )


def _changes_update(frame: _ChangesFrame) -> BookUpdate:
    changes = frame.result
    is_stream = frame.channel == "spot.obu"
    pair, depth = _stream(changes.name) if is_stream else (changes.name, changes.depth)
    if changes.first_id is None and not changes.full:
        raise DecodeError("missing field `U`, expected the first update's id - at `$.result`")
    # A stream leaves out a side on which nothing changed; nothing else does.
    if (changes.full or not is_stream) and (changes.bids is None or changes.asks is None):
        raise DecodeError("missing field `b` or `a`, expected both sides - at `$.result`")
    side = full_levels if changes.full else changed_levels
    return BookUpdate(
        symbol=underscored(pair),
        time_ns=ns_of_ms(changes.time_ms),
        is_snapshot=changes.full,
        bids=side(changes.bids or (), "$.result.b"),
        asks=side(changes.asks or (), "$.result.a"),
        sequence_rule="consecutive",
        first_id=changes.first_id,
        last_id=changes.last_id,
        # The stream sends its own whole book first.
        needs_snapshot=not (is_stream or changes.full),
        depth=depth,
    )


def _stream(name: str) -> tuple[str, int]:
    match name.split("."):
        case ["ob", pair, ("50" | "400") as depth]:
            return pair, int(depth)
        case _:
            raise DecodeError(f"stream {name[:40]!r}: expected ob.BASE_QUOTE.50 or .400")


def _rest_book_update(book: _RestBook, feed: Feed) -> BookUpdate:
    pair = feed.native_symbol
    return BookUpdate(
        symbol=collected_symbol(feed) if pair is None else underscored(pair),
        time_ns=None if book.update is None else ns_of_ms(book.update),
        is_snapshot=True,
        bids=full_levels(book.bids, "$.bids"),
        asks=full_levels(book.asks, "$.asks"),
        sequence_rule="consecutive",
        last_id=book.id,
    )
