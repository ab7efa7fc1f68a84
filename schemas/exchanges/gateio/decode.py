"""Gate v4: spot and futures, WebSocket, and REST trades and books.

Facts: https://www.gate.com/docs/developers/apiv4/ws/en/ and .../developers/futures/ws/en/. Prices
and amounts are strings. The size of a futures trade is a number of contracts, and its sign is the
taker's side; levels of futures books are in contracts.
"""

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final, Generic, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Raw, field

from schemas.errors import DecodeError
from schemas.exchanges._common import (
    FAILURES,
    changed_levels,
    decoding,
    figure,
    fraction,
    full_levels,
    underscored,
)
from schemas.exchanges._contracts import (
    IDLE,
    Market,
    collected_symbol,
    contract_amounts,
    contract_size,
)
from schemas.feeds import Feed
from schemas.numbers import SUM, exact_product, quotient
from schemas.records import BookUpdate, Kind, Level, TickerUpdate, Trade
from schemas.symbols import CACHED, dated, perpetual
from schemas.times import ns_of_ms, ns_of_seconds

_NAME: Final = "gateio"

_Form: TypeAlias = Literal["channel", "rest", "flattened"]
AnyLevel = TypeVar("AnyLevel")


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
    size: Raw = Raw()


class _SpotTrade(msgspec.Struct, gc=False):
    id: int
    create_time_ms: Decimal
    side: Literal["buy", "sell"]
    currency_pair: str
    amount: Decimal
    price: Decimal


class _SpotTradeFrame(msgspec.Struct, gc=False):
    channel: Literal["spot.trades", "spot.trades_v2"]
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


class _FuturesTicker(msgspec.Struct, gc=False):
    contract: str
    last: Raw = Raw()
    high_24h: Raw = Raw()
    low_24h: Raw = Raw()
    volume_24h_base: Raw = Raw()
    change_percentage: Raw = Raw()


class _FuturesTickerFrame(msgspec.Struct, gc=False):
    result: list[_FuturesTicker]
    time_ms: Raw = Raw()
    time: Raw = Raw()


class _FuturesLevel(msgspec.Struct, gc=False):
    price: Decimal = field(name="p")
    size: Decimal = field(name="s")


class _LimitedBook(msgspec.Struct, gc=False):
    pair: str = field(name="s")
    time_ms: int = field(name="t")
    last_update_id: int = field(name="lastUpdateId")
    bids: list[Level]
    asks: list[Level]


class _LimitedBookFrame(msgspec.Struct, gc=False):
    result: _LimitedBook


class _Changes(msgspec.Struct, Generic[AnyLevel], gc=False):
    """Changed levels: `s` is a market in `order_book_update`, and a stream in `obu`."""

    name: str = field(name="s")
    time_ms: int = field(name="t")
    last_id: int = field(name="u")
    first_id: int | None = field(default=None, name="U")
    bids: list[AnyLevel] | None = field(default=None, name="b")
    asks: list[AnyLevel] | None = field(default=None, name="a")
    full: bool = False
    depth: int | None = field(default=None, name="l")


class _ChangesFrame(msgspec.Struct, Generic[AnyLevel], gc=False):
    channel: str
    result: _Changes[AnyLevel]


class _RestBook(msgspec.Struct, gc=False):
    """A book over REST: of futures the levels are objects, and the time is in seconds."""

    id: int
    asks: list[Level | _FuturesLevel]
    bids: list[Level | _FuturesLevel]
    update: Decimal | None = None


_KINDS: Final[dict[str, Kind]] = {
    "spot.trades": "trade",
    "spot.trades_v2": "trade",
    "futures.trades": "trade",
    "spot.tickers": "ticker",
    "futures.tickers": "ticker",
    "spot.order_book": "orderbook",
    "spot.order_book_update": "orderbook",
    "futures.order_book_update": "orderbook",
    "spot.obu": "orderbook",
    "futures.obu": "orderbook",
}
# Streams that send their own whole book first, in frames without an event.
_STREAMS: Final = frozenset({"spot.obu", "futures.obu"})
_ONE: Final = Decimal(1)
# Milliseconds of 1970 are seconds of the years to come: the size of a time tells its unit.
_LARGEST_SECONDS: Final = 100_000_000_000

# Not strict about types: a string of digits is an integer here, which REST sends.
_spot_trade_frame: Final = msgspec.json.Decoder(_SpotTradeFrame, strict=False)
_rest_trades: Final = msgspec.json.Decoder(list[_SpotTrade], strict=False)
_futures_trade_frame: Final = msgspec.json.Decoder(_FuturesTradeFrame, strict=False)
_futures_rest_trades: Final = msgspec.json.Decoder(list[_FuturesTrade], strict=False)
_ticker_frame: Final = msgspec.json.Decoder(_TickerFrame)
_futures_ticker_frame: Final = msgspec.json.Decoder(_FuturesTickerFrame)
_ticker: Final = msgspec.json.Decoder(_Ticker)
_limited_book_frame: Final = msgspec.json.Decoder(_LimitedBookFrame)
_changes_frame: Final = msgspec.json.Decoder(_ChangesFrame[Level], strict=False)
_futures_changes_frame: Final = msgspec.json.Decoder(_ChangesFrame[_FuturesLevel], strict=False)
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
        if channel == "rest futures":
            return _futures_trades(_futures_rest_trades.decode(frame), feed)
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
        frame_kind, form, channel = _classified(frame)
        if frame_kind != "ticker":
            return []
        if channel == "futures.tickers":
            futures_frame = _futures_ticker_frame.decode(frame)
            time_ns = _time_ns(futures_frame.time_ms, futures_frame.time)
            return [_futures_ticker_update(row, time_ns) for row in futures_frame.result]
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
        if channel == "futures.order_book_update":
            return [_changes_update(_futures_changes_frame.decode(frame))]
        return [_changes_update(_changes_frame.decode(frame))]


def _classified(frame: bytes) -> tuple[Kind, _Form, str]:
    """The kind, the form, and the channel, of REST bodies "" or "rest futures"."""
    text = frame.strip()
    if text in IDLE:
        return "control", "channel", ""
    if text[:1] == b"[":
        rows = _probed_rows.decode(frame)
        row = rows[0] if rows else _ProbedRow()
        kind_found: Kind = "trade" if row.amount or row.size else "other"
        return kind_found, "rest", "rest futures" if row.size else ""
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
    if event == "update" or (event is None and channel in _STREAMS):
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
        # The inverse contracts of Gate say "0", and are worth a dollar each.
        unit = contract_size(feed, row.contract, "_") or _ONE
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
    # Before 2021 there were no milliseconds; REST has seconds with decimals in their field.
    return _unix_ns(row.create_time if row.create_time_ms is None else row.create_time_ms)


def _unix_ns(time: Decimal) -> int:
    """Return the nanoseconds of a time in seconds or milliseconds, whichever its size says."""
    return ns_of_ms(time) if time.is_finite() and time >= _LARGEST_SECONDS else ns_of_seconds(time)


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


def _futures_ticker_update(ticker: _FuturesTicker, time_ns: int | None) -> TickerUpdate:
    last = figure(ticker.last, "last")
    rate = fraction(figure(ticker.change_percentage, "change_percentage"))
    prev_price = _price_before(last, rate)
    return TickerUpdate(
        symbol=_futures(ticker.contract).symbol,
        time_ns=time_ns,
        is_delta=False,
        opening_price=prev_price,
        trade_price=last,
        max_price=figure(ticker.high_24h, "high_24h"),
        min_price=figure(ticker.low_24h, "low_24h"),
        prev_closing_price=prev_price,
        acc_trade_volume_24h=figure(ticker.volume_24h_base, "volume_24h_base"),
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


def _changes_update(frame: _ChangesFrame[Level] | _ChangesFrame[_FuturesLevel]) -> BookUpdate:
    changes = frame.result
    is_stream = frame.channel in _STREAMS
    native, depth = _stream(changes.name) if is_stream else (changes.name, changes.depth)
    if changes.first_id is None and not changes.full:
        raise DecodeError("missing field `U`, expected the first update's id - at `$.result`")
    # A stream leaves out a side on which nothing changed; nothing else does.
    if (changes.full or not is_stream) and (changes.bids is None or changes.asks is None):
        raise DecodeError("missing field `b` or `a`, expected both sides - at `$.result`")
    side = full_levels if changes.full else changed_levels
    is_spot = frame.channel.startswith("spot.")
    return BookUpdate(
        symbol=underscored(native) if is_spot else _futures(native).symbol,
        time_ns=ns_of_ms(changes.time_ms),
        is_snapshot=changes.full,
        bids=side(_levels(changes.bids), "$.result.b"),
        asks=side(_levels(changes.asks), "$.result.a"),
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


def _levels(rows: Sequence[Level | _FuturesLevel] | None) -> list[Level]:
    if not rows:
        return []
    return [row if isinstance(row, tuple) else (row.price, row.size) for row in rows]


def _rest_book_update(book: _RestBook, feed: Feed) -> BookUpdate:
    native = feed.native_symbol
    if native is None:
        symbol = collected_symbol(feed)
    else:
        symbol = underscored(native) if feed.product == "spot" else _futures(native).symbol
    return BookUpdate(
        symbol=symbol,
        time_ns=None if book.update is None else _unix_ns(book.update),
        is_snapshot=True,
        bids=full_levels(_levels(book.bids), "$.bids"),
        asks=full_levels(_levels(book.asks), "$.asks"),
        sequence_rule="consecutive",
        last_id=book.id,
    )
