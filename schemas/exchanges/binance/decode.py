"""Binance: spot, USD-margined (linear) and coin-margined (inverse) futures.

Facts: the WebSocket stream pages of binance-spot-api-docs and of the Binance futures
documentation. Frames are raw events or wrapped as `{"stream": …, "data": …}`, REST bodies are
arrays of rows or one book. Keys that differ only by case (`e` and `E`) mean different things.
"""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

import msgspec
from msgspec import UNSET, Raw, UnsetType, field

from schemas import symbols
from schemas.errors import DecodeError
from schemas.exchanges._common import (
    FAILURES,
    changed_levels,
    decode_together,
    decoding,
    figure,
    fraction,
    full_levels,
    messages,
)
from schemas.exchanges._contracts import contract_amounts, contract_size
from schemas.feeds import Feed, TradeIds
from schemas.numbers import LARGEST, PRODUCT, SMALLEST, exact_product, exact_products
from schemas.records import BookUpdate, Kind, Level, Product, TickerUpdate, Trade
from schemas.times import EARLIEST_NS, LATEST_NS, NS_PER_MS, ns_of_ms_or_us

_KINDS: Final[dict[str, Kind]] = {
    "trade": "trade",
    "aggTrade": "trade",
    "24hrTicker": "ticker",
    "depthUpdate": "orderbook",
    "serverShutdown": "control",
}

# No symbol of Binance has a separator, so the quote currency is found by its name. USD is not
# among them: only coin-margined contracts are quoted in it, and those are told by their product.
_QUOTES: Final = frozenset(
    (
        *("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD1", "RLUSD", "USDE", "USDP", "USDS"),
        *("USDSB", "PAX", "DAI", "UST", "VAI", "U"),
        *("BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "DOT", "SOL"),
        *("EUR", "EURI", "GBP", "AUD", "TRY", "BRL", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON"),
        *("ARS", "COP", "MXN", "CZK", "JPY", "BIDR", "IDRT", "BKRW", "BVND", "GYEN"),
    )
)
_QUOTE_LENGTHS: Final = sorted({len(quote) for quote in _QUOTES}, reverse=True)
# ADAEUR is quoted in EUR, but BTCAEUR in the stablecoin AEUR, which had these markets only.
_AEUR_BASES: Final = frozenset({"BTC", "ETH", "EUR"})

_PARTIAL_STREAM: Final = re.compile(r"@depth(5|10|20)(?:@|$)")
_WRAPPER: Final = b'{"stream"'
_EVENT: Final = b'{"e":'

# Other values of `X` are transfers inside the exchange: INSURANCE_FUND, ADL, NA.
_MARKET: Final = "MARKET"


class _TradeEvent(msgspec.Struct, gc=False):
    event: Literal["trade"] = field(name="e")
    symbol: str = field(name="s")
    trade_id: int = field(name="t")
    price: Decimal = field(name="p")
    size: Decimal = field(name="q")
    time: int = field(name="T")
    buyer_is_maker: bool = field(name="m")
    execution: str = field(name="X", default=_MARKET)


class _MarketTradeEvent(_TradeEvent, gc=False):
    execution: Literal["MARKET"] = field(name="X", default=_MARKET)


class _AggTradeEvent(msgspec.Struct, gc=False):
    event: Literal["aggTrade"] = field(name="e")
    symbol: str = field(name="s")
    trade_id: int = field(name="a")
    price: Decimal = field(name="p")
    size: Decimal = field(name="q")
    time: int = field(name="T")
    buyer_is_maker: bool = field(name="m")
    execution: str = field(name="X", default=_MARKET)


class _MarketAggTradeEvent(_AggTradeEvent, gc=False):
    execution: Literal["MARKET"] = field(name="X", default=_MARKET)


class _RestTrade(msgspec.Struct, gc=False):
    trade_id: int = field(name="id")
    price: Decimal
    size: Decimal = field(name="qty")
    time: int
    buyer_is_maker: bool = field(name="isBuyerMaker")
    symbol: str = ""
    execution: str = _MARKET


class _WrappedTrade(msgspec.Struct, gc=False):
    data: _TradeEvent


class _WrappedAggTrade(msgspec.Struct, gc=False):
    data: _AggTradeEvent


class _WrappedMarketTrade(msgspec.Struct, gc=False):
    data: _MarketTradeEvent


class _WrappedMarketAggTrade(msgspec.Struct, gc=False):
    data: _MarketAggTradeEvent


class _Ticker(msgspec.Struct, gc=False):
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


class _DepthEvent(msgspec.Struct, gc=False):
    event: Literal["depthUpdate"] = field(name="e")
    time: int = field(name="E")
    symbol: str = field(name="s")
    first_id: int = field(name="U")
    last_id: int = field(name="u")
    bids: list[Level] = field(name="b")
    asks: list[Level] = field(name="a")
    prev_id: int | UnsetType = field(name="pu", default=UNSET)


class _WrappedDepth(msgspec.Struct, gc=False):
    stream: str
    data: _DepthEvent


class _Depth(msgspec.Struct, gc=False):
    last_id: int = field(name="lastUpdateId")
    bids: list[Level]
    asks: list[Level]
    time: int | None = field(name="E", default=None)


class _Head(msgspec.Struct, gc=False):
    """The fields that tell one message from another."""

    stream: str = ""
    data: Raw = Raw()
    event: str = field(name="e", default="")
    buyer_is_maker: Raw = field(name="isBuyerMaker", default=Raw())
    update_id: Raw = field(name="lastUpdateId", default=Raw())
    opening: Raw = field(name="o", default=Raw())
    last: Raw = field(name="c", default=Raw())
    quote_id: Raw = field(name="u", default=Raw())
    request_id: Raw = field(name="id", default=Raw())
    result: Raw = Raw()
    code: Raw = Raw()
    error: Raw = Raw()


class _Message(NamedTuple):
    kind: Kind
    event: str
    """Empty for REST rows, books without an event and flattened tickers."""
    stream: str
    """Empty where the frame is not wrapped."""
    body: bytes


_AnyTrade: TypeAlias = _TradeEvent | _AggTradeEvent | _RestTrade

_raw_trade: Final[dict[TradeIds, msgspec.json.Decoder[_TradeEvent | _AggTradeEvent]]] = {
    "trade": msgspec.json.Decoder(_TradeEvent),
    "aggTrade": msgspec.json.Decoder(_AggTradeEvent),
}
_wrapped_trade: Final[dict[TradeIds, msgspec.json.Decoder[_WrappedTrade | _WrappedAggTrade]]] = {
    "trade": msgspec.json.Decoder(_WrappedTrade),
    "aggTrade": msgspec.json.Decoder(_WrappedAggTrade),
}
_raw_trades: Final[dict[TradeIds, msgspec.json.Decoder[list[Any]]]] = {
    "trade": msgspec.json.Decoder(list[_MarketTradeEvent]),
    "aggTrade": msgspec.json.Decoder(list[_MarketAggTradeEvent]),
}
_wrapped_trades: Final[dict[TradeIds, msgspec.json.Decoder[list[Any]]]] = {
    "trade": msgspec.json.Decoder(list[_WrappedMarketTrade]),
    "aggTrade": msgspec.json.Decoder(list[_WrappedMarketAggTrade]),
}
_rest_trade: Final = msgspec.json.Decoder(_RestTrade)
_ticker: Final = msgspec.json.Decoder(_Ticker)
_depth_event: Final = msgspec.json.Decoder(_DepthEvent)
_wrapped_depth: Final = msgspec.json.Decoder(_WrappedDepth)
_depth: Final = msgspec.json.Decoder(_Depth)
_head: Final = msgspec.json.Decoder(_Head)


def kind(frame: bytes) -> Kind:
    """What the frame carries; of an array, what its first message does.

    Raises:
        DecodeError: It is no message of Binance.
    """
    with decoding("binance"):
        for message in _messages(frame):
            return message.kind
        return "other"


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:
    """The trades of `trade` or `aggTrade` events, or of a REST body of recent trades.

    Of the two numberings only the one of `feed.trade_ids` counts; REST rows have that of
    `trade`. Coin-margined sizes are contracts: `feed.contract_sizes` says how many US dollars
    each is worth, by symbol (`BTCUSD_PERP`) or by pair (`BTCUSD`).

    Raises:
        DecodeError: The frame is not understood, or its symbol has no contract size.
    """
    try:
        if frame.startswith(_WRAPPER):
            trade: _AnyTrade = _wrapped_trade[feed.trade_ids].decode(frame).data
        else:
            trade = _raw_trade[feed.trade_ids].decode(frame)
        price, size, time_ns = trade.price, trade.size, trade.time * NS_PER_MS
        if (  # the frame of a busy feed, in one expression: it is most of what a dataflow decodes
            trade.execution == _MARKET
            and trade.symbol
            and feed.product != "inverse"
            and EARLIEST_NS <= time_ns < LATEST_NS
            and SMALLEST <= price <= LARGEST
            and SMALLEST <= size <= LARGEST
        ):
            return [
                Trade(
                    _symbol(trade.symbol, feed.product),
                    trade.trade_id,
                    time_ns,
                    not trade.buyer_is_maker,
                    price,
                    size,
                    PRODUCT.multiply(price, size),
                )
            ]
        return [_trade(trade, feed)] if trade.execution == _MARKET else []
    except (*FAILURES, ArithmeticError):
        pass  # another message, or a broken one: the way below finds out which
    with decoding("binance"):
        found = (_trade_of(message, feed) for message in _messages(frame))
        return [_trade(row, feed) for row in found if row is not None and row.execution == _MARKET]


def decode_trade_run(frames: Sequence[bytes], feed: Feed) -> list[Trade] | None:
    """The trades of frames that are one event each, at once; `None` where any is not."""
    # Answers from REST and a collector's envelopes are long: not worth joining to find that out.
    if feed.product == "inverse" or not frames[0].startswith((_WRAPPER, _EVENT)):
        return None
    try:
        if frames[0].startswith(_WRAPPER):
            wrapped = decode_together(_wrapped_trades[feed.trade_ids], frames)
            rows = [row.data for row in wrapped]
        else:
            rows = decode_together(_raw_trades[feed.trade_ids], frames)
        times_ns = [row.time * NS_PER_MS for row in rows]
        if min(times_ns) < EARLIEST_NS or max(times_ns) >= LATEST_NS:
            return None
        symbol_of = _symbols[feed.product]
        prices, sizes = [row.price for row in rows], [row.size for row in rows]
        return list(
            map(
                Trade,
                [symbol_of[row.symbol] for row in rows],
                [row.trade_id for row in rows],
                times_ns,
                [not row.buyer_is_maker for row in rows],
                prices,
                sizes,
                exact_products(prices, sizes),
            )
        )
    except FAILURES:
        return None


def decode_tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """The tickers of `24hrTicker` events, alone or as an array, or flattened by a collector.

    Raises:
        DecodeError: The frame is not understood.
    """
    with decoding("binance"):
        return [
            _ticker_update(_ticker.decode(message.body), feed)
            for message in _messages(frame)
            if message.kind == "ticker"
        ]


def decode_books(frame: bytes, feed: Feed) -> list[BookUpdate]:
    """The book of a `depthUpdate`, of a partial book (`@depth5/10/20`) or of a REST snapshot.

    A partial book of the futures looks like a delta, and one of the spot market like a REST
    snapshot: only the stream's name in the wrapper tells. Unwrapped, the first is taken for a
    delta and the second for a snapshot, so collect futures books wrapped.

    Raises:
        DecodeError: The frame is not understood.
    """
    try:
        wrapped = _wrapped_depth.decode(frame)
        return [_book_of_event(wrapped.data, wrapped.stream, feed)]
    except FAILURES:
        pass  # another message, or a broken one: the way below finds out which
    with decoding("binance"):
        return [
            _book_of_event(_depth_event.decode(message.body), message.stream, feed)
            if message.event
            else _book_without_event(_depth.decode(message.body), message.stream, feed)
            for message in _messages(frame)
            if message.kind == "orderbook"
        ]


def _messages(frame: bytes) -> Iterator[_Message]:
    for outer in messages(frame):
        head = _head.decode(outer)
        if not (head.stream and bytes(head.data)):
            yield _Message(_kind(head), head.event, "", outer)
            continue
        for inner in messages(bytes(head.data)):
            head_inside = _head.decode(inner)
            yield _Message(_kind(head_inside), head_inside.event, head.stream, inner)


def _kind(head: _Head) -> Kind:
    if head.event:
        return _KINDS.get(head.event, "other")
    if bytes(head.buyer_is_maker):
        return "trade"
    if bytes(head.update_id):
        return "orderbook"
    if bytes(head.opening) and bytes(head.last):
        return "ticker"
    if any(map(bytes, (head.result, head.request_id, head.code, head.error))):
        return "control"
    if bytes(head.quote_id):
        return "other"  # the spot market's bookTicker, which names no event
    raise DecodeError("expected an event named in `e`, a row of trades, a book or an answer")


def _trade_of(message: _Message, feed: Feed) -> _AnyTrade | None:
    """The trade of the message, `None` where it has none of the numbering that counts."""
    if message.kind != "trade":
        return None
    if message.event == feed.trade_ids:
        return _raw_trade[feed.trade_ids].decode(message.body)
    if not message.event and feed.trade_ids == "trade":
        return _rest_trade.decode(message.body)
    return None


def _trade(trade: _AnyTrade, feed: Feed) -> Trade:
    time_ns = trade.time * NS_PER_MS
    if not EARLIEST_NS <= time_ns < LATEST_NS:  # microseconds, or nonsense
        time_ns = _time_ns(trade)
    price, size = trade.price, trade.size
    if feed.product == "inverse":
        unit = contract_size(feed, (trade.symbol or feed.native_symbol or "").upper(), "_")
        size, notional = contract_amounts(price, size, unit, feed.product)
    else:
        notional = exact_product(price, size)
    native = trade.symbol
    return Trade(
        _symbol(native, feed.product) if native else _symbol_of(native, feed),
        trade.trade_id,
        time_ns,
        not trade.buyer_is_maker,
        price,
        size,
        notional,
    )


def _time_ns(trade: _AnyTrade) -> int:
    try:
        return ns_of_ms_or_us(trade.time)
    except DecodeError as error:
        raise DecodeError(f"{error} - at the time of the trade") from error


def _symbol_of(native: str, feed: Feed) -> str:
    if native or feed.native_symbol:
        return _symbol(native or feed.native_symbol or "", feed.product)
    if feed.coin is None:
        raise DecodeError(
            "expected a symbol in the frame, in its stream, in the record's key "
            "(binance.linear.BTCUSDT) or in its envelope"
        )
    if feed.product == "spot":
        return symbols.spot(feed.coin, feed.quote)
    return symbols.perpetual(feed.coin, feed.quote)


@lru_cache(maxsize=symbols.CACHED)
def _symbol(native: str, product: Product) -> str:
    pair, separator, expiry = native.upper().partition("_")
    if product == "inverse":
        base, quote = pair.removesuffix("USD"), "USD"
        if base == pair or not separator:
            raise _unknown_symbol(native, "inverse contract like BTCUSD_PERP or BTCUSD_220624")
        if expiry == "PERP":
            return symbols.perpetual(base, quote)
        return symbols.dated(base, quote, expiry)
    base, quote = _split(pair)
    if product == "spot" and not separator:
        return symbols.spot(base, quote)
    if product == "spot":
        raise _unknown_symbol(native, "spot market like BTCUSDT")
    return symbols.dated(base, quote, expiry) if separator else symbols.perpetual(base, quote)


def _split(pair: str) -> tuple[str, str]:
    if pair.endswith("AEUR") and pair[:-4] in _AEUR_BASES:
        return pair[:-4], "AEUR"
    for length in _QUOTE_LENGTHS:
        if len(pair) > length and pair[-length:] in _QUOTES:
            return pair[:-length], pair[-length:]
    raise _unknown_symbol(pair, "pair that ends in a known quote currency")


class _Symbols(dict[str, str]):
    """Canonical symbols of one product by native ones: for runs, where a call is too slow."""

    def __init__(self, product: Product) -> None:
        self._product: Product = product

    def __missing__(self, native: str) -> str:
        if len(self) >= symbols.CACHED:
            self.clear()
        symbol = self[native] = _symbol(native, self._product)
        return symbol


_symbols: Final = {product: _Symbols(product) for product in get_args(Product)}


def _unknown_symbol(native: str, expected: str) -> DecodeError:
    return DecodeError(f"symbol {native[:40]!r}: expected a {expected}")


def _ticker_update(ticker: _Ticker, feed: Feed) -> TickerUpdate:
    time_ms = figure(ticker.time, "$.E")
    opening = figure(ticker.opening, "$.o")
    previous = figure(ticker.previous, "$.x")
    return TickerUpdate(
        symbol=_symbol_of(ticker.symbol, feed),
        time_ns=None if time_ms is None else ns_of_ms_or_us(time_ms),
        is_delta=False,
        opening_price=opening,
        trade_price=figure(ticker.last, "$.c"),
        max_price=figure(ticker.high, "$.h"),
        min_price=figure(ticker.low, "$.l"),
        # Futures do not send it; a day that opened where the one before closed stands in.
        prev_closing_price=opening if previous is None else previous,
        acc_trade_volume_24h=figure(ticker.volume, "$.v"),
        signed_change_price=figure(ticker.change, "$.p"),
        signed_change_rate=fraction(figure(ticker.change_percent, "$.P")),
    )


def _book_of_event(depth: _DepthEvent, stream: str, feed: Feed) -> BookUpdate:
    symbol, time_ns = _symbol_of(depth.symbol, feed), ns_of_ms_or_us(depth.time)
    partial_depth = _partial_depth(stream)
    if partial_depth is not None:
        return BookUpdate(
            symbol=symbol,
            time_ns=time_ns,
            is_snapshot=True,
            bids=full_levels(depth.bids, "$.b"),
            asks=full_levels(depth.asks, "$.a"),
            sequence_rule="growing",
            last_id=depth.last_id,
            depth=partial_depth,
        )
    return BookUpdate(
        symbol=symbol,
        time_ns=time_ns,
        is_snapshot=False,
        bids=changed_levels(depth.bids, "$.b"),
        asks=changed_levels(depth.asks, "$.a"),
        sequence_rule="consecutive" if depth.prev_id is UNSET else "linked",
        first_id=depth.first_id,
        last_id=depth.last_id,
        prev_id=None if depth.prev_id is UNSET else depth.prev_id,
        needs_snapshot=True,
    )


def _book_without_event(depth: _Depth, stream: str, feed: Feed) -> BookUpdate:
    partial_depth = _partial_depth(stream)
    deltas_rule: Literal["consecutive", "linked"] = (
        "consecutive" if feed.product == "spot" else "linked"
    )
    return BookUpdate(
        symbol=_symbol_of(stream.partition("@")[0], feed),
        time_ns=None if depth.time is None else ns_of_ms_or_us(depth.time),
        is_snapshot=True,
        bids=full_levels(depth.bids, "$.bids"),
        asks=full_levels(depth.asks, "$.asks"),
        sequence_rule=deltas_rule if partial_depth is None else "growing",
        last_id=depth.last_id,
        depth=partial_depth,
    )


def _partial_depth(stream: str) -> int | None:
    matched = _PARTIAL_STREAM.search(stream)
    return None if matched is None else int(matched[1])
