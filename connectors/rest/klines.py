"""Past klines from an exchange's REST interface, page by page."""

from collections.abc import Iterator
from typing import Final

from connectors.process.environment import Environment
from connectors.rest.client import RestClient
from schemas.errors import DecodeError, SettingsError
from schemas.exchanges import EXCHANGES
from schemas.histories import Market, Request
from schemas.klines import Kline, KlineSource
from schemas.records import Product
from schemas.settings import Settings

SECONDS: Final = 60


class KlineHistory:
    """Asks one exchange for its own minutes.

    Args:
        environment: Keys, where an exchange wants one.
        settings: Where the exchange is.
        exchange: The exchange id.

    Raises:
        SettingsError: The exchange publishes no klines that are known here.
    """

    def __init__(self, environment: Environment, settings: Settings, exchange: str) -> None:
        facts = EXCHANGES[exchange]
        if facts.klines is None:
            raise SettingsError(f"{exchange}: its klines are not known")
        self._settings = settings
        self._exchange = exchange
        self._source: KlineSource = facts.klines
        self._decode = facts.decoder.decode_klines
        self._pause_ms = facts.history.pause_ms
        header, key = facts.history.api_key_header, environment.api_keys.get(exchange)
        self._headers = {header: key} if header and key else {}
        self._clients: dict[Product, RestClient] = {}
        self.pages = 0
        """What it has asked for so far."""

    def read(self, market: Market, start_s: int, end_s: int) -> list[Kline]:
        """Return the klines of the minutes in `[start_s, end_s)`, oldest first, each once.

        Raises:
            SettingsError: The exchange refuses, or nothing says where it is.
            UnavailableError: It does not answer.
            DecodeError: It answers in another form than the one that is known.
        """
        found: dict[int, Kline] = {}
        for page_start_s, page_end_s in self._pages(start_s, end_s):
            path, parameters = self._source.request(market, page_start_s, page_end_s)
            body = self._client(market.product).get(Request(path, parameters, has_trades=False))
            self.pages += 1
            feed = self._settings.feed(self._exchange, market.product, market.native_symbol)
            try:
                klines = self._decode(body, feed)
            except DecodeError as error:
                raise DecodeError(f"{self._exchange}: {path}: {error}") from error
            found |= {
                kline.minute_s: kline
                for kline in klines
                if kline.symbol == market.symbol and start_s <= kline.minute_s < end_s
            }
        return [found[minute_s] for minute_s in sorted(found)]

    def close(self) -> None:
        """End its connections."""
        for client in self._clients.values():
            client.close()

    def _pages(self, start_s: int, end_s: int) -> Iterator[tuple[int, int]]:
        length_s = self._source.max_minutes * SECONDS
        for page_start_s in range(start_s, end_s, length_s):
            yield page_start_s, min(page_start_s + length_s, end_s)

    def _client(self, product: Product) -> RestClient:
        if product not in self._clients:
            url = self._settings.exchanges[self._exchange].urls.rest.get(product)
            if url is None:
                at = f"`$.exchanges.{self._exchange}.urls.rest.{product}`"
                raise SettingsError(f"klines of {product}: expected a URL at {at}")
            self._clients[product] = RestClient(url, self._pause_ms, self._headers)
        return self._clients[product]
