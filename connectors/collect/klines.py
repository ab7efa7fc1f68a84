"""The exchanges' own minutes, asked for over REST once each is over, for the audit."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from connectors.collect.status import log, now_ms
from connectors.rest.exchange import ExchangeRest
from schemas.errors import MarketflowError, SettingsError
from schemas.exchanges import EXCHANGES
from schemas.histories import Request
from schemas.instruments import Instrument

SECONDS: Final = 60
# Exchanges still settle a minute that has just ended.
SETTLED_S: Final = 10
# After a start: the minute that has just ended, and the one before.
FIRST_MINUTES: Final = 2


class KlinePoll:
    """The klines of one product of an exchange.

    Args:
        exchange: The exchange id.
        rest: Its REST interface.
        call: Runs something that blocks beside the loop.
        publish: Takes a native symbol, and a body for the raw topic.
    """

    def __init__(
        self,
        exchange: str,
        rest: ExchangeRest,
        call: Callable[..., Awaitable[Any]],
        publish: Callable[[str, bytes], None],
    ) -> None:
        self._facts = EXCHANGES[exchange]
        self._rest = rest
        self._call = call
        self._publish = publish
        self._asked_until_s: dict[str, int] = {}

    async def ask(self, instruments: Iterable[Instrument]) -> None:
        """Ask for the minutes that have ended since the last time, market by market."""
        end_s = self.newest_end_s()
        for instrument in list(instruments):
            start_s = self._asked_until_s.get(instrument.symbol, end_s - FIRST_MINUTES * SECONDS)
            if start_s < end_s:
                await self._ask(instrument.symbol, start_s, end_s)

    @staticmethod
    def newest_end_s() -> int:
        """Return the end of the last minute that is settled."""
        return (now_ms() // 1_000 - SETTLED_S) // SECONDS * SECONDS

    def wait_seconds(self) -> float:
        """Return the time until another minute is settled."""
        return (self.newest_end_s() + SECONDS + SETTLED_S) - now_ms() / 1_000

    async def _ask(self, symbol: str, start_s: int, end_s: int) -> None:
        source = self._facts.klines
        if source is None:
            return
        try:
            market = self._facts.market(symbol)
        except SettingsError:
            return  # dated contracts have no history that is known
        start_s = max(start_s, end_s - source.max_minutes * SECONDS)
        path, parameters = source.request(market, start_s, end_s)
        try:
            body = await self._call(self._rest.get, Request(path, parameters, has_trades=False))
        except MarketflowError as error:
            log.warning("%s %s: klines: %s", self._facts.code, symbol, error)
            return  # asked for again, with the next minute
        self._asked_until_s[symbol] = end_s
        self._publish(market.native_symbol, body)
