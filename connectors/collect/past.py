"""Trades over REST: what was missed, and what is polled; frames, unchanged, with their market.

All of it blocks, and runs in threads beside the loop.
"""

import os
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from connectors.process import clock
from connectors.rest.exchange import ExchangeRest
from schemas.errors import SettingsError
from schemas.exchanges import EXCHANGES
from schemas.feeds import Feed
from schemas.histories import Page, Request, Span
from schemas.instruments import Instrument
from schemas.records import Product, Trade
from schemas.subscriptions import Subscriptions
from schemas.times import NS_PER_DAY, NS_PER_MS, NS_PER_SECOND

MS_PER_SECOND: Final = 1_000


class Bodies(NamedTuple):
    """What the exchange answered, and from when on it is all there is."""

    bodies: list[bytes]
    whole_from_ms: int
    native_symbol: str
    """For the key of the records."""


class Recent(NamedTuple):
    """The latest trades of a market."""

    body: bytes
    trades: list[Trade]


class PastTrades:
    """The trades of one product.

    Args:
        exchange: The exchange id.
        product: Which product.
        facts: How the latest trades are asked for.
        rest: Its REST interface.
        feed: How its trades are read.
    """

    def __init__(
        self, exchange: str, product: Product, facts: Subscriptions, rest: ExchangeRest, feed: Feed
    ) -> None:
        self._facts = EXCHANGES[exchange]
        self._exchange = exchange
        self._product: Product = product
        self._recent = facts.recent
        self._rest = rest
        self._feed = feed

    def know(self, instruments: Iterable[Instrument]) -> None:
        """Take in the sizes of contracts."""
        sizes = {i.native_symbol: i.contract_size for i in instruments if i.contract_size}
        self._feed = msgspec.structs.replace(
            self._feed, contract_sizes={**sizes, **self._feed.contract_sizes}
        )

    def between(self, instrument: Instrument, start_ms: int, end_ms: int) -> Bodies:
        """Return all trades of a time.

        Raises:
            SettingsError: The exchange does not have them.
            UnavailableError: It does not answer.
            DecodeError: It answers in another form than the one that is known.
        """
        try:
            return self._history(instrument.symbol, start_ms, end_ms)
        except SettingsError:
            if self._recent is None:
                raise
        recent = self.recent(instrument)
        oldest_ns = min((trade.time_ns for trade in recent.trades), default=0)
        # There may be more of the time of the oldest one.
        return Bodies([recent.body], oldest_ns // NS_PER_MS + 1, instrument.native_symbol)

    def recent(self, instrument: Instrument) -> Recent:
        """Return the latest trades of a market."""
        if self._recent is None:
            raise SettingsError(f"{self._exchange}: the latest trades are not to be had")
        body = self._rest.get(self._recent(self._product, instrument.native_symbol))
        return Recent(body, self._decoded(body, instrument.native_symbol))

    def _history(self, symbol: str, start_ms: int, end_ms: int) -> Bodies:
        market = self._facts.market(symbol)
        bodies: list[bytes] = []
        # Some are asked by the second, and would leave out the begun one.
        whole_from_ns = start_ms // MS_PER_SECOND * NS_PER_SECOND
        end_ns = oldest_ns = (end_ms // MS_PER_SECOND + 1) * NS_PER_SECOND
        at_ns = whole_from_ns
        while at_ns < end_ns:
            # A span lies within one day.
            until_ns = min(end_ns, (at_ns // NS_PER_DAY + 1) * NS_PER_DAY)
            ids = self._feed.trade_ids
            pager = self._facts.history.pages(Span(market, at_ns, until_ns, clock.now_ns(), ids))
            try:
                request = next(pager)
                while True:
                    page = self._page(request, market.native_symbol)
                    if request.has_trades and page.trades:
                        bodies.append(page.body)
                        oldest_ns = min(oldest_ns, *(trade.time_ns for trade in page.trades))
                    request = pager.send(page)
            except StopIteration as stop:
                whole_from_ns = max(whole_from_ns, stop.value)
            at_ns = until_ns
        if bodies:
            # Pages hang together: they are whole but for what has the time of the oldest trade.
            whole_from_ns = min(whole_from_ns, oldest_ns + NS_PER_MS)
        return Bodies(bodies, whole_from_ns // NS_PER_MS, market.native_symbol)

    def _page(self, request: Request, native_symbol: str) -> Page:
        body = self._rest.get(request)
        return Page(body, self._decoded(body, native_symbol) if request.has_trades else [])

    def _decoded(self, body: bytes, native_symbol: str) -> list[Trade]:
        feed = msgspec.structs.replace(self._feed, native_symbol=native_symbol)
        return self._facts.decoder.decode_trades(body, feed)


def key_headers(exchange: str) -> dict[str, str]:
    """Return the header with the key of an exchange that wants one for its past trades."""
    name = EXCHANGES[exchange].history.api_key_header
    key = os.environ.get(f"{exchange.upper()}_API_KEY")
    return {name: key} if name and key else {}
