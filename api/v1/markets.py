"""Which markets have minutes, and which of them a question is about."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

import msgspec

from api.database import Database
from api.v1.cursors import Cursor
from api.v1.questions import Question
from api.v1.times import EPOCH

DOLLARS: Final = ("USD", "USDT", "USDC", "FDUSD", "USDUM", "USDUMX")
"""Quotes that count as one US dollar: dollars, dollar coins, and what contracts settle both in."""
MAX_MARKETS: Final = 2_000
"""The most markets that one answer is made of."""

_MAX_AGE_S: Final = 15.0
# From one market to the next along the primary key: a few reads for each, however many minutes.
_MARKETS: Final[LiteralString] = """
WITH RECURSIVE market AS (
    (SELECT exchange_id, symbol FROM taker_volume ORDER BY exchange_id, symbol LIMIT 1)
    UNION ALL
    SELECT next.exchange_id, next.symbol FROM market CROSS JOIN LATERAL (
        SELECT exchange_id, symbol FROM taker_volume AS later
        WHERE (later.exchange_id, later.symbol) > (market.exchange_id, market.symbol)
        ORDER BY exchange_id, symbol LIMIT 1
    ) AS next
)
SELECT code, symbol FROM market JOIN dim_exch USING (exchange_id)
ORDER BY code COLLATE "C", symbol COLLATE "C"
"""


class Market(msgspec.Struct, frozen=True, order=True):
    """One symbol of one exchange."""

    exchange: str
    symbol: str

    @property
    def base(self) -> str:
        """The coin that is traded."""
        return self.symbol.partition("-")[0]

    @property
    def quote(self) -> str:
        """What it is paid with."""
        return self.symbol.split("-")[1]


class Markets:
    """The markets that have minutes, read again when they were read a while ago."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._markets: tuple[Market, ...] = ()
        self._read_at_s = -_MAX_AGE_S
        self._lock = asyncio.Lock()

    async def all(self) -> tuple[Market, ...]:
        """Return all markets, by exchange and symbol.

        Raises:
            UnavailableError: The database does not answer.
        """
        if time.monotonic() - self._read_at_s < _MAX_AGE_S:
            return self._markets
        async with self._lock:
            if time.monotonic() - self._read_at_s >= _MAX_AGE_S:
                self._markets = tuple(await self._database.fetch(_MARKETS, {}, Market))
                self._read_at_s = time.monotonic()
        return self._markets

    async def asked_for(
        self, question: Question, primary_symbols: Mapping[str, str]
    ) -> list[Market]:
        """Return the markets that a question is about, in the order of answers."""
        if question.bases:
            return [
                market
                for market in await self.all()
                if market.base in question.bases and market.exchange in question.exchanges
            ][:MAX_MARKETS]
        return sorted(
            Market(exchange, symbol)
            for exchange in question.exchanges
            for symbol in question.symbols or (primary_symbols[exchange],)
        )

    async def rate_parameters(self, markets: Sequence[Market]) -> dict[str, Any]:
        """Return from which markets the quotes of others are turned into dollars."""
        quotes = {market.quote for market in markets if market.quote not in DOLLARS}
        known = await self.all() if quotes else ()
        methods: list[tuple[str, str, bool]] = []
        for quote in sorted(quotes):
            for symbol, is_inverse in (
                (f"{quote}-USD", False),
                (f"USDT-{quote}", True),
                (f"{quote}-USDT", False),
            ):
                if any(market.symbol == symbol for market in known):
                    methods.append((quote, symbol, is_inverse))
                    break
        symbols = {symbol for _, symbol, _ in methods}
        sources = [market for market in known if market.symbol in symbols]
        return {
            "dollars": list(DOLLARS),
            "rate_codes": [market.exchange for market in sources],
            "rate_symbols": [market.symbol for market in sources],
            "method_quotes": [quote for quote, _, _ in methods],
            "method_symbols": [symbol for _, symbol, _ in methods],
            "method_inverse": [is_inverse for _, _, is_inverse in methods],
        }


def market_ranges(question: Question, markets: Sequence[Market]) -> dict[str, Any]:
    """Return each market with the part of the range that the pages before did not answer."""
    los: list[datetime] = []
    his: list[datetime] = []
    for market in markets:
        lo, hi = question.first, question.last
        if question.cursor is not None:
            lo, hi = _after(question, question.cursor, market, lo, hi)
        los.append(lo)
        his.append(hi)
    return {
        "codes": [market.exchange for market in markets],
        "symbols": [market.symbol for market in markets],
        "los": los,
        "his": his,
    }


def _after(
    question: Question, cursor: Cursor, market: Market, lo: datetime, hi: datetime
) -> tuple[datetime, datetime]:
    """Return the range of a market behind the cursor.

    Rows of the cursor's own time follow it where their market does.
    """
    place = (market.symbol,) if question.aggregate else (market.exchange, market.symbol)
    last = (cursor.symbol,) if question.aggregate else (cursor.exchange, cursor.symbol)
    at = EPOCH + timedelta(microseconds=cursor.time_us)
    has_more_of_it = place > last
    if question.sort == "desc":
        return lo, min(hi, at + question.step if has_more_of_it else at)
    return max(lo, at if has_more_of_it else at + question.step), hi
