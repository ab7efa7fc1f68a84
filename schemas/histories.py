"""How past trades are asked for over REST: requests as values, without I/O.

A *pager* is a generator in an exchange's package. It yields a :class:`Request`, is sent the
:class:`Page` that came back, and so on until it has all trades of its span. It returns the time
from which on no trade is missing. Pages may overlap and reach beyond the span, because trades
have ids and times.
"""

from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeAlias

import msgspec

from schemas.feeds import TradeIds
from schemas.records import Product, Salvaged, Trade
from schemas.times import NS_PER_MINUTE, NS_PER_SECOND

SPAN_NS: Final = 10 * NS_PER_MINUTE
"""The time that is asked for at once; a divisor of a day."""

ROWS: Final = 1_000
"""The longest page of most exchanges."""


class Request(NamedTuple):
    """A GET of one page."""

    path: str
    parameters: dict[str, str | int]
    has_trades: bool = True
    """False for a page that is asked for something else, and is not decoded."""


class Page(NamedTuple):
    """The answer to a request."""

    body: bytes
    trades: list[Trade]
    """In the order of the body."""

    @property
    def rows(self) -> int:
        """The number of rows on the page, those without a trade among them."""
        trades = self.trades
        return trades.rows if isinstance(trades, Salvaged) else len(trades)


class Span(NamedTuple):
    """The trades that are asked for: of one market, in `[start_ns, end_ns)` of one UTC day."""

    market: "Market"
    start_ns: int
    end_ns: int
    now_ns: int
    """The wall clock: some exchanges count days back from it."""
    trade_ids: TradeIds = "trade"
    """Which of two numberings counts (Binance)."""


class Market(NamedTuple):
    """A market as its exchange knows it."""

    symbol: str
    """Canonical."""
    product: Product
    native_symbol: str
    """As keys of raw records have it."""


Pager: TypeAlias = Generator[Request, Page, int]
"""A generator that returns the time from which on it has every trade, in nanoseconds."""


class History(NamedTuple):
    """The past trades that one exchange offers."""

    pages: Callable[[Span], Pager]
    pause_ms: int
    """The time between two requests, well within the exchange's limit for one address."""
    reach: str
    """How far back it goes, for people."""
    is_recent_only: bool = False
    """Whether one page of the latest trades is all there is, however long the span."""
    api_key_header: str | None = None
    """The request header for the key in `<EXCHANGE>_API_KEY`, where one is wanted."""


def refusal(body: bytes) -> str | None:
    """Return the refusal in a body whose status is 200 all the same, or `None`."""
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
    """The fields in which exchanges refuse: a code, an error, no success."""

    code: int | str | None = None
    ret_code: int | None = msgspec.field(name="retCode", default=None)
    error: list[str] | dict[str, object] | str | None = None
    success: bool | None = None
    result: msgspec.Raw = msgspec.Raw()


_verdict: Final = msgspec.json.Decoder(_Verdict)


def recent_page(span: Span, path: str, parameters: dict[str, str | int], most: int) -> Pager:
    """Ask for the one page of the latest trades; its oldest minute is not whole."""
    page = yield Request(path, parameters)
    if page.rows < most:
        return span.start_ns
    oldest_ns = min((trade.time_ns for trade in page.trades), default=span.end_ns)
    return next_minute(oldest_ns)


def next_minute(time_ns: int) -> int:
    """Return the start of the minute after a time."""
    return (time_ns // NS_PER_MINUTE + 1) * NS_PER_MINUTE


def utc(time_ns: int) -> datetime:
    """Return a time to the second."""
    return datetime.fromtimestamp(time_ns // NS_PER_SECOND, UTC)


def iso_text(time_ns: int) -> str:
    """Return a time to the second, as `2026-11-27T20:00:00.000Z`."""
    return f"{utc(time_ns):%Y-%m-%dT%H:%M:%S}.000Z"
