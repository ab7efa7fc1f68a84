"""Past trades from an exchange's REST interface, span by span, each trade once."""

from collections.abc import Iterator
from typing import NamedTuple

from connectors.process import clock
from connectors.process.environment import Environment
from connectors.rest.client import RestClient
from schemas.errors import DecodeError, SettingsError
from schemas.exchanges import EXCHANGES
from schemas.histories import SPAN_NS, Market, Page, Request, Span
from schemas.records import Product, Salvaged, Trade, TradeId
from schemas.settings import Settings


class Past(NamedTuple):
    """The trades of one market in one span of time."""

    market: Market
    trades: list[Trade]
    complete_from_ns: int
    """Earlier trades are missing or incomplete."""


class TradeHistory:
    """The past trades of one exchange.

    Args:
        environment: Keys, where an exchange wants one.
        settings: Where the exchange is, and how its trades are read.
        exchange: The exchange id.

    Raises:
        SettingsError: The trades that count cannot be asked for.
    """

    def __init__(self, environment: Environment, settings: Settings, exchange: str) -> None:
        self._settings = settings
        self._exchange = exchange
        self._history = EXCHANGES[exchange].history
        self._decoder = EXCHANGES[exchange].decoder
        self._clients: dict[Product, RestClient] = {}
        header, key = self._history.api_key_header, environment.api_keys.get(exchange)
        self._headers = {header: key} if header and key else {}
        self.pages = self.trades = 0
        """Pages and trades so far."""
        self.problems: list[str] = []
        """What was wrong with rows that were left out."""

    def check(self, market: Market) -> None:
        """Refuse a market whose trades cannot be asked for, before the first request.

        Raises:
            SettingsError: Says which key of ``pipeline.yaml`` is the reason.
        """
        at = f"`$.exchanges.{self._exchange}"
        settings = self._settings.exchanges[self._exchange]
        if market.product not in settings.urls.rest:
            raise SettingsError(
                f"{market.symbol}: expected a URL at {at}.urls.rest.{market.product}`"
            )

    def spans(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
        """Yield the spans in which a time is asked for, one after the other."""
        if self._history.is_recent_only:
            yield start_ns, end_ns
            return
        while start_ns < end_ns:
            span_end_ns = min((start_ns // SPAN_NS + 1) * SPAN_NS, end_ns)
            yield start_ns, span_end_ns
            start_ns = span_end_ns

    def read(self, market: Market, start_ns: int, end_ns: int) -> Past:
        """Return all trades of a span.

        Raises:
            SettingsError: The exchange refuses.
            UnavailableError: It does not answer.
            DecodeError: It answers in another form than the one that is known.
        """
        ids = self._settings.exchanges[self._exchange].trade_ids.get(market.product, "trade")
        pager = self._history.pages(Span(market, start_ns, end_ns, clock.now_ns(), ids))
        found: dict[TradeId, Trade] = {}
        try:
            request = next(pager)
            while True:
                page = self._page(market, request)
                found |= {t.trade_id: t for t in page.trades if start_ns <= t.time_ns < end_ns}
                request = pager.send(page)
        except StopIteration as stop:
            self.trades += len(found)
            return Past(market, list(found.values()), stop.value)

    def close(self) -> None:
        """End the connections."""
        for client in self._clients.values():
            client.close()

    def _page(self, market: Market, request: Request) -> Page:
        body = self._client(market.product).get(request)
        self.pages += 1
        if not request.has_trades:
            return Page(body, [])
        feed = self._settings.feed(self._exchange, market.product, market.native_symbol)
        try:
            trades = self._decoder.decode_trades(body, feed)
        except DecodeError as error:
            raise DecodeError(f"{self._exchange}: {request.path}: {error}") from error
        if isinstance(trades, Salvaged):
            self.problems += trades.problems
        for trade in trades:
            if trade.symbol != market.symbol:
                raise DecodeError(
                    f"{self._exchange}: {request.path}: asked for {market.native_symbol} and "
                    f"expected {market.symbol}, got {trade.symbol}"
                )
        return Page(body, trades)

    def _client(self, product: Product) -> RestClient:
        if product not in self._clients:
            url = self._settings.exchanges[self._exchange].urls.rest[product]
            self._clients[product] = RestClient(url, self._history.pause_ms, self._headers)
        return self._clients[product]
