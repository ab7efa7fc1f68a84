"""From a question to the one statement that answers it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString

import msgspec
from litestar import Request

from api.database import Database
from api.v1.history import History
from api.v1.markets import Market, Markets, market_ranges
from api.v1.questions import Asked, Format, Question, parse_bases, parse_question
from api.v1.rows import (
    CoverageRow,
    OrderbookRow,
    PremiumRow,
    TakerVolumeRow,
    TakerVolumeSumRow,
)
from api.v1.statements import (
    coverage_statement,
    orderbook_statement,
    premium_statement,
    taker_volume_statement,
)
from api.v1.times import EPOCH, first_start
from connectors.process.clock import now_ns
from schemas.settings import Settings

_RANGE: Final = ("from", "to", "interval", "utc_offset", "as_of", "sort", "limit", "cursor")
_MARKETS: Final = ("exchange", "symbol", "base")
_SHAPE: Final = ("format", "numbers")
TAKER_VOLUME: Final = "/v1/taker-volume"
ORDERBOOK: Final = "/v1/orderbook"
PREMIUM: Final = "/v1/premium"
COVERAGE: Final = "/v1/coverage"
ACCEPTED: Final[Mapping[str, Sequence[str]]] = {
    TAKER_VOLUME: (*_MARKETS, *_RANGE, "aggregate", "anchor", *_SHAPE),
    ORDERBOOK: (*_MARKETS, *_RANGE, "notional", *_SHAPE),
    PREMIUM: ("base", *_RANGE, *_SHAPE),
    COVERAGE: (*_MARKETS, *_RANGE, *_SHAPE),
    "/v1/incidents": ("exchange", "symbol", "from", "to", "as_of", "sort", "limit"),
    "/v1/ticker": (*_MARKETS, "numbers"),
    "/v1/symbols": _MARKETS,
    "/v1/exchanges": ("exchange",),
}
"""The parameters that each route takes."""

WIDE_MINUTES: Final = 50_000
"""A question that may read more minutes than this waits among its like."""
_DEFAULT_BASE: Final = "BTC"
_MICROSECOND: Final = timedelta(microseconds=1)
_MINUTE: Final = timedelta(minutes=1)


class Plan(msgspec.Struct, frozen=True):
    """The statement of a question, and what its rows are."""

    route: str
    question: Question
    statement: LiteralString
    parameters: dict[str, Any]
    row: type[Any]
    is_wide: bool
    covers_range: bool = True
    """The answer reaches to the end of the range, unless its rows reach the limit."""
    keeps_plan: bool = False
    """PostgreSQL may plan the statement once for all ranges: it joins nothing with its rows."""
    resumes_at: datetime | None = None
    """Where the next page begins, if the answer does not reach to the end."""


class Planner:
    """Reads requests and plans their answers; it knows the markets and the history."""

    def __init__(self, database: Database, markets: Markets, settings: Settings) -> None:
        self._markets = markets
        self._settings = settings
        self._history = History(database)

    async def taker_volume(self, request: Request[Any, Any, Any], format_: Format) -> Plan:
        """Plan `/v1/taker-volume`."""
        question = await self._question(request, TAKER_VOLUME, format_)
        wanted = await self._wanted(question)
        rates = await self._markets.rate_parameters(wanted)
        has_rates, has_before = bool(rates["rate_codes"]), _has_before(question, len(wanted))
        statement = taker_volume_statement(
            is_minute=question.interval == "1m",
            is_hours=_is_hours(question),
            is_sum=question.aggregate,
            descending=question.sort == "desc",
            has_rates=has_rates,
            has_before=has_before,
            as_of=question.as_of is not None,
            as_float=question.numbers == "float",
        )
        row = TakerVolumeSumRow if question.aggregate else TakerVolumeRow
        parameters = {**market_ranges(question, wanted), **rates}
        plan = _plan(TAKER_VOLUME, question, statement, parameters, row, len(wanted))
        return msgspec.structs.replace(plan, keeps_plan=not has_rates and not has_before)

    async def orderbook(self, request: Request[Any, Any, Any], format_: Format) -> Plan:
        """Plan `/v1/orderbook`."""
        question = await self._question(request, ORDERBOOK, format_)
        wanted = await self._wanted(question)
        statement = orderbook_statement(
            is_minute=question.interval == "1m",
            descending=question.sort == "desc",
            as_of=question.as_of is not None,
            as_float=question.numbers == "float",
        )
        parameters = market_ranges(question, wanted)
        return _plan(ORDERBOOK, question, statement, parameters, OrderbookRow, len(wanted))

    async def coverage(self, request: Request[Any, Any, Any], format_: Format) -> Plan:
        """Plan `/v1/coverage`."""
        question = await self._question(request, COVERAGE, format_, interval="1d")
        known = set(await self._markets.all())
        wanted = [market for market in await self._wanted(question) if market in known]
        statement = coverage_statement(
            is_hours=_is_hours(question),
            descending=question.sort == "desc",
            as_of=question.as_of is not None,
            as_float=question.numbers == "float",
        )
        # Intervals without minutes are rows as well: a page is a part of the range.
        lo, hi, resumes_at = _window(question, len(wanted), until=utc_now())
        parameters = {
            **market_ranges(question, wanted),
            "los": [lo] * len(wanted),
            "his": [hi] * len(wanted),
        }
        plan = _plan(COVERAGE, question, statement, parameters, CoverageRow, len(wanted))
        return msgspec.structs.replace(plan, covers_range=resumes_at is None, resumes_at=resumes_at)

    async def premium(self, request: Request[Any, Any, Any], format_: Format) -> Plan:
        """Plan `/v1/premium`: a page is a part of the range, as a row has many markets."""
        question = await self._question(request, PREMIUM, format_)
        asked = Asked(request.query_params.multi_items(), ACCEPTED[PREMIUM])
        bases = parse_bases(asked) or (_DEFAULT_BASE,)
        legs = self._legs(bases, await self._markets.all())
        lo, hi, resumes_at = _window(question, len(bases), until=question.last)
        statement = premium_statement(
            is_hours=_is_hours(question),
            descending=question.sort == "desc",
            as_of=question.as_of is not None,
            as_float=question.numbers == "float",
        )
        parameters = {
            "codes": [market.exchange for _, _, market in legs],
            "symbols": [market.symbol for _, _, market in legs],
            "bases": [base for base, _, _ in legs],
            "legs": [leg for _, leg, _ in legs],
            "los": [lo] * len(legs),
            "his": [hi] * len(legs),
        }
        plan = _plan(PREMIUM, question, statement, parameters, PremiumRow, len(legs))
        return msgspec.structs.replace(plan, covers_range=resumes_at is None, resumes_at=resumes_at)

    def _legs(self, bases: Sequence[str], known: Sequence[Market]) -> list[tuple[str, str, Market]]:
        """Return base, leg and market of everything that a premium is made of."""
        korean = {
            name
            for name, exchange in self._settings.exchanges.items()
            if exchange.region == "Korea"
        }
        legs: list[tuple[str, str, Market]] = []
        for market in known:
            is_korean = market.exchange in korean
            if is_korean and market.symbol == "USDT-KRW":
                legs.append(("", "rate", market))
            for base in bases:
                if is_korean and market.symbol == f"{base}-KRW":
                    legs.append((base, "korea", market))
                if not is_korean and market.symbol in {f"{base}-USDT", f"{base}-USD"}:
                    legs.append((base, "world", market))
        return legs

    async def _wanted(self, question: Question) -> list[Market]:
        primary = {
            name: exchange.primary_symbol for name, exchange in self._settings.exchanges.items()
        }
        return await self._markets.asked_for(question, primary)

    async def _question(
        self,
        request: Request[Any, Any, Any],
        route: str,
        format_: Format,
        *,
        interval: str = "1m",
    ) -> Question:
        question = parse_question(
            Asked(request.query_params.multi_items(), ACCEPTED[route]),
            tuple(self._settings.exchanges),
            utc_now(),
            route=route,
            format_=format_,
            interval=interval,
        )
        await self._history.check(question.as_of)
        return question


def utc_now() -> datetime:
    """Return the time, to the second."""
    return datetime.fromtimestamp(now_ns() // 1_000_000_000, UTC)


def _is_hours(question: Question) -> bool:
    return question.interval in {"1h", "4h", "1d"}


def _has_before(question: Question, markets: int) -> bool:
    """Tell whether minutes before a page may count in its running sum."""
    if question.first - question.anchor >= _MINUTE or question.cursor is not None:
        return True
    rows = (question.last - question.first) // question.step * markets
    return question.sort == "desc" and question.most is not None and rows > question.most


def _plan(
    route: str,
    question: Question,
    statement: LiteralString,
    parameters: dict[str, Any],
    row: type[Any],
    markets: int,
) -> Plan:
    minutes = (question.last - question.first).total_seconds() / 60 * max(markets, 1)
    if question.interval == "1m":
        minutes = min(minutes, question.limit * markets)
    elif _is_hours(question) and question.as_of is None:
        minutes /= 60
    values = {
        "step": question.step,
        "minutes": question.step.total_seconds() // 60,
        "origin": question.origin,
        "anchor": question.anchor,
        "as_of": question.as_of,
        "now": question.as_of or utc_now(),
        "notional": question.notional,
        # One more than a page holds tells whether there is another.
        "limit": question.limit + 1 if question.format == "json" else question.most,
    }
    is_wide = minutes > WIDE_MINUTES
    return Plan(route, question, statement, {**values, **parameters}, row, is_wide)


def _window(
    question: Question, rows_a_time: int, *, until: datetime
) -> tuple[datetime, datetime, datetime | None]:
    """Return the part of the range that a page answers, and where the next one begins.

    Args:
        question: With the range and the cursor.
        rows_a_time: How many rows one interval has at most.
        until: When intervals end to be there.
    """
    end = min(question.last, first_start(until, question.step, question.offset))
    lo, hi = question.first, max(end, question.first)
    if question.cursor is not None:
        at = EPOCH + question.cursor.time_us * _MICROSECOND
        lo, hi = (lo, min(hi, at)) if question.sort == "desc" else (max(lo, at), hi)
    if question.format != "json":
        return lo, hi, None
    reach = question.step * max(1, question.limit // max(1, rows_a_time))
    if hi - lo <= reach:
        return lo, hi, None
    if question.sort == "desc":
        return hi - reach, hi, hi - reach
    return lo, lo + reach, lo + reach
