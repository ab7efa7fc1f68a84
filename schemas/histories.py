"""How each exchange's REST interface is asked for its past trades: requests as values, no I/O.

A *pager* is a generator. It yields a :class:`Request`, is sent the :class:`Page` that came back,
and so on until it has all trades of its span; what it returns is the time from which on nothing
is missing. Pages may overlap and reach beyond the span: trades have ids, and times.
"""

from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeAlias

import msgspec

from schemas.errors import DecodeError, SettingsError
from schemas.records import Product, Trade
from schemas.times import NS_PER_DAY, NS_PER_MINUTE, NS_PER_MS, NS_PER_SECOND, utc_text

SPAN_NS: Final = 10 * NS_PER_MINUTE
"""How much is asked for at once; a divisor of a day."""

# The longest pages, and the days that Upbit and Bithumb look back.
ROWS: Final = 1_000
DAYS_BACK: Final = 7


class Request(NamedTuple):
    """A GET of one page."""

    path: str
    parameters: dict[str, str | int]
    has_trades: bool = True
    """Otherwise the page is asked for something else, and is not decoded."""


class Page(NamedTuple):
    """What came back."""

    body: bytes
    trades: list[Trade]
    """In the order of the body."""


class Span(NamedTuple):
    """Of which market, and from when to when: `[start_ns, end_ns)`, within one day of UTC."""

    market: "Market"
    start_ns: int
    end_ns: int
    now_ns: int
    """The wall clock: some exchanges count days back from it."""


class Market(NamedTuple):
    """A market as its exchange knows it."""

    symbol: str
    """Canonical."""
    product: Product
    native_symbol: str
    """As keys of raw records have it."""


Pager: TypeAlias = Generator[Request, Page, int]
"""Returns the time from which on it has every trade, in nanoseconds."""


class History(NamedTuple):
    """What one exchange offers."""

    pager: Callable[[Span], Pager]
    pause_ms: int
    """Between two requests: well within the exchange's published limit for one address."""
    is_recent_only: bool = False
    """It has one page, the latest trades: asked for once, however long the span is."""


def market_of(exchange: str, symbol: str) -> Market:
    """The exchange's own name of a canonical symbol, `BTC-USDT` or `BTC-USDT-PERP`.

    Raises:
        SettingsError: The exchange lists no such thing, or names it in a way not known here.
    """
    base, _, rest = symbol.partition("-")
    quote, _, contract = rest.partition("-")
    product: Product = "spot" if not contract else "inverse" if quote == "USD" else "linear"
    native = _NATIVE.get((exchange, product))
    if not base or not quote or native is None or contract not in ("", "PERP"):
        offered = ", ".join(kind for name, kind in _NATIVE if name == exchange)
        raise SettingsError(
            f"symbol {symbol!r}: expected BASE-QUOTE or BASE-QUOTE-PERP; the history of {exchange} "
            f"is known for {offered}"
        )
    name = native.format(base=_OLD_NAMES.get((exchange, base), base), quote=quote)
    return Market(symbol, product, name.lower() if exchange == "korbit" else name)


def refusal(body: bytes) -> str | None:
    """What an exchange says in a body that is no answer though its status is 200, if it is one."""
    if body.lstrip()[:1] != b"{":
        return None
    try:
        found = _verdict.decode(body)
    except (msgspec.MsgspecError, UnicodeError) as error:
        return f"expected JSON: {error}"
    code = found.code if found.code is not None else found.ret_code
    refused = (
        (code is not None and str(code) != "0")
        or bool(found.error)
        or found.success is False
        or bytes(found.result) == b'"error"'
    )
    return body[:300].decode(errors="replace") if refused else None


class _Verdict(msgspec.Struct):
    """Every exchange's way to say no: a code (OKX, Binance, Bybit), an error, no success."""

    code: int | str | None = None
    ret_code: int | None = msgspec.field(name="retCode", default=None)
    error: list[str] | dict[str, object] | str | None = None
    success: bool | None = None
    result: msgspec.Raw = msgspec.Raw()


class _Aggregated(msgspec.Struct):
    first_trade_id: int = msgspec.field(name="f")


_verdict: Final = msgspec.json.Decoder(_Verdict)
_aggregated: Final = msgspec.json.Decoder(list[_Aggregated])


def _binance(span: Span) -> Pager:
    """Spot and futures `historicalTrades`, from the first id that `aggTrades` knows in the span.

    https://developers.binance.com/docs/binance-spot-api-docs/rest-api: trades by id, no times.
    """
    root = {"spot": "/api/v3", "linear": "/fapi/v1", "inverse": "/dapi/v1"}[span.market.product]
    symbol = span.market.native_symbol
    first = yield Request(
        f"{root}/aggTrades",
        {
            "symbol": symbol,
            "startTime": span.start_ns // NS_PER_MS,
            "endTime": span.end_ns // NS_PER_MS - 1,
            "limit": 1,
        },
        has_trades=False,
    )
    found = _aggregated.decode(first.body)
    next_id = found[0].first_trade_id if found else None
    while next_id is not None:
        parameters: dict[str, str | int] = {"symbol": symbol, "fromId": next_id, "limit": ROWS}
        page = yield Request(f"{root}/historicalTrades", parameters)
        next_id = None
        if page.trades and max(t.time_ns for t in page.trades) < span.end_ns:
            next_id = 1 + max(int(trade.trade_id) for trade in page.trades)
    return span.start_ns


def _kraken(span: Span) -> Pager:
    """`/0/public/Trades` from a time on, oldest first.

    https://docs.kraken.com/api/docs/rest-api/get-recent-trades
    """
    pair = span.market.native_symbol.replace("/", "")
    since_ns = span.start_ns - 1
    while True:
        page = yield Request("/0/public/Trades", {"pair": pair, "since": since_ns, "count": ROWS})
        newest_ns = max((trade.time_ns for trade in page.trades), default=since_ns)
        if newest_ns >= span.end_ns or len(page.trades) < ROWS:
            return span.start_ns
        if newest_ns - 1 <= since_ns:
            raise DecodeError("kraken: 1,000 trades of one time, expected the next page to go on")
        since_ns = newest_ns - 1  # a trade of the same time may be on the next page


def _bitmex(span: Span) -> Pager:
    """`/api/v1/trade` of a span, oldest first, by offset: a sweep's rows have all one time.

    https://www.bitmex.com/api/explorer/#!/Trade/Trade_get
    """
    start = 0
    while True:
        page = yield Request(
            "/api/v1/trade",
            {
                "symbol": span.market.native_symbol,
                "startTime": _iso(span.start_ns),
                "endTime": _iso(span.end_ns),
                "count": ROWS,
                "start": start,
            },
        )
        rows = page.body.count(b'"timestamp"')  # settlements are rows, and no trades
        if rows < ROWS:
            return span.start_ns
        start += rows


def _okx(span: Span) -> Pager:
    """`/api/v5/market/history-trades` backwards: from a time, then from id to id.

    https://www.okx.com/docs-v5/en/#public-data-rest-api-get-trades-history: three months.
    """
    parameters: dict[str, str | int] = {"type": 2, "after": span.end_ns // NS_PER_MS}
    complete_from_ns = span.end_ns
    while True:
        page = yield Request(
            "/api/v5/market/history-trades",
            {"instId": span.market.native_symbol, "limit": 100, **parameters},
        )
        if not page.trades:
            return complete_from_ns
        oldest = min(page.trades, key=lambda trade: (trade.time_ns, int(trade.trade_id)))
        if oldest.time_ns < span.start_ns:
            return span.start_ns
        complete_from_ns = _next_minute(oldest.time_ns)
        parameters = {"type": 1, "after": oldest.trade_id}


def _gateio(span: Span) -> Pager:
    """`/api/v4/spot/trades` of a span, page by page.

    https://www.gate.com/docs/developers/apiv4/#query-market-transaction-records: 100 pages.
    """
    page_number = 1
    while True:
        page = yield Request(
            "/api/v4/spot/trades",
            {
                "currency_pair": span.market.native_symbol,
                "from": span.start_ns // NS_PER_SECOND,
                "to": span.end_ns // NS_PER_SECOND,
                "limit": ROWS,
                "page": page_number,
            },
        )
        if len(page.trades) < ROWS:
            return span.start_ns
        page_number += 1


def _upbit(span: Span) -> Pager:
    """`/v1/trades/ticks` backwards within a day of UTC, of seven; Bithumb has the same.

    https://docs.upbit.com/kr/reference/recent-trades-history
    """
    days_ago = span.now_ns // NS_PER_DAY - (span.end_ns - 1) // NS_PER_DAY
    if days_ago > DAYS_BACK:
        raise SettingsError(f"{utc_text(span.start_ns)}: this exchange goes {DAYS_BACK} days back")
    parameters: dict[str, str | int] = {"market": span.market.native_symbol, "count": 500}
    if days_ago:
        parameters["days_ago"] = days_ago
    if span.end_ns % NS_PER_DAY:
        parameters["to"] = f"{_utc(span.end_ns):%H:%M:%S}"
    while True:
        page = yield Request("/v1/trades/ticks", parameters)
        if not page.trades:  # of the whole day, with which the span does not begin
            return span.start_ns
        oldest = min(page.trades, key=lambda trade: (trade.time_ns, int(trade.trade_id)))
        if oldest.time_ns < span.start_ns:
            return span.start_ns
        if oldest.trade_id == parameters.get("cursor"):
            raise DecodeError(f"a page of trades before {oldest.trade_id} begins with that one")
        parameters = {**parameters, "cursor": oldest.trade_id}


def _recent(span: Span, path: str, parameters: dict[str, str | int], most: int) -> Pager:
    """The one page that an exchange gives, the latest trades: its oldest minute is not whole."""
    page = yield Request(path, parameters)
    if len(page.trades) < most:
        return span.start_ns
    return _next_minute(min(trade.time_ns for trade in page.trades))


def _bybit(span: Span) -> Pager:
    """https://bybit-exchange.github.io/docs/v5/market/recent-trade: the last 60 or 1,000."""
    most = 60 if span.market.product == "spot" else ROWS
    parameters: dict[str, str | int] = {
        "category": span.market.product,
        "symbol": span.market.native_symbol,
        "limit": most,
    }
    return _recent(span, "/v5/market/recent-trade", parameters, most)


def _korbit(span: Span) -> Pager:
    """https://docs.korbit.co.kr/: the last 500."""
    parameters: dict[str, str | int] = {"symbol": span.market.native_symbol, "limit": 500}
    return _recent(span, "/v2/trades", parameters, 500)


def _coinone(span: Span) -> Pager:
    """https://docs.coinone.co.kr/reference/recent-completed-orders: the last 200."""
    path = f"/public/v2/trades/{span.market.native_symbol}"
    return _recent(span, path, {"size": 200}, 200)


def _next_minute(time_ns: int) -> int:
    return (time_ns // NS_PER_MINUTE + 1) * NS_PER_MINUTE


def _utc(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns // NS_PER_SECOND, UTC)


def _iso(time_ns: int) -> str:
    return f"{_utc(time_ns):%Y-%m-%dT%H:%M:%S}.000Z"


HISTORIES: Final[Mapping[str, History]] = {
    "upbit": History(_upbit, pause_ms=120),
    "bithumb": History(_upbit, pause_ms=120),
    "korbit": History(_korbit, pause_ms=100, is_recent_only=True),
    "coinone": History(_coinone, pause_ms=100, is_recent_only=True),
    "okx": History(_okx, pause_ms=110),
    "bybit": History(_bybit, pause_ms=100, is_recent_only=True),
    "gateio": History(_gateio, pause_ms=60),
    "binance": History(_binance, pause_ms=260),
    "kraken": History(_kraken, pause_ms=1_000),
    "bitmex": History(_bitmex, pause_ms=2_100),
}

_NATIVE: Final[Mapping[tuple[str, Product], str]] = {
    ("upbit", "spot"): "{quote}-{base}",
    ("bithumb", "spot"): "{quote}-{base}",
    ("korbit", "spot"): "{base}_{quote}",
    ("coinone", "spot"): "{quote}/{base}",
    ("okx", "spot"): "{base}-{quote}",
    ("okx", "linear"): "{base}-{quote}-SWAP",
    ("okx", "inverse"): "{base}-{quote}-SWAP",
    ("bybit", "spot"): "{base}{quote}",
    ("bybit", "linear"): "{base}{quote}",
    ("bybit", "inverse"): "{base}{quote}",
    ("gateio", "spot"): "{base}_{quote}",
    ("binance", "spot"): "{base}{quote}",
    ("binance", "linear"): "{base}{quote}",
    ("binance", "inverse"): "{base}{quote}_PERP",
    ("kraken", "spot"): "{base}/{quote}",
    ("bitmex", "linear"): "{base}{quote}",
    ("bitmex", "inverse"): "{base}{quote}",
}
_OLD_NAMES: Final = {
    ("kraken", "BTC"): "XBT",
    ("kraken", "DOGE"): "XDG",
    ("bitmex", "BTC"): "XBT",
}
