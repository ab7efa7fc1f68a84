"""`/v1/…`: rows of minutes and intervals, and the lists of what there is."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, LiteralString

from litestar import Request, Response, get
from litestar.di import NamedDependency

from api.database import Database
from api.v1.answers import answer_list, answer_page
from api.v1.markets import Markets, market_ranges
from api.v1.questions import (
    Asked,
    Question,
    parse_bases,
    parse_exchanges,
    parse_question,
    parse_symbols,
)
from api.v1.rows import (
    ExchangeRow,
    OrderbookRow,
    SymbolRow,
    TakerVolumeRow,
    TakerVolumeSumRow,
    TickerRow,
    selected,
)
from api.v1.statements import orderbook_statement, taker_volume_statement
from connectors.process.clock import now_ns
from schemas.settings import Settings

TAKER_VOLUME: Final = "/v1/taker-volume"
ORDERBOOK: Final = "/v1/orderbook"

_RANGE: Final = ("from", "to", "interval", "utc_offset", "as_of", "sort", "limit", "cursor")
_MARKETS: Final = ("exchange", "symbol", "base")
_SHAPE: Final = ("format", "numbers")
ACCEPTED: Final[dict[str, Sequence[str]]] = {
    TAKER_VOLUME: (*_MARKETS, *_RANGE, "aggregate", "anchor", *_SHAPE),
    ORDERBOOK: (*_MARKETS, *_RANGE, "notional", *_SHAPE),
    "/v1/ticker": (*_MARKETS, *_SHAPE),
    "/v1/symbols": _MARKETS,
    "/v1/exchanges": ("exchange",),
}

_TICKERS: Final[LiteralString] = """
SELECT {columns} FROM (
    SELECT code AS exchange, "timestamp" AS time, ticker_latest.*
    FROM ticker_latest JOIN dim_exch USING (exchange_id)
    WHERE code = ANY (%(codes)s)
      AND (%(symbols)s::text[] = '{}' OR symbol = ANY (%(symbols)s))
      AND (%(bases)s::text[] = '{}' OR coin_symbol = ANY (%(bases)s))
) AS answer
ORDER BY answer.exchange COLLATE "C", answer.symbol COLLATE "C"
"""

# Markets that have minutes, and those that the exchange lists, by the same name.
_SYMBOLS: Final[LiteralString] = """
SELECT {columns} FROM (
    SELECT code AS exchange, symbol, split_part(symbol, '-', 1) AS base,
           split_part(symbol, '-', 2) AS quote, product, native_symbol, status, tick_size,
           contract_size, turnover, listed_at, delisted_at, first_minute, last_minute
    FROM (
        SELECT exchange_id, symbol FROM instrument
        UNION
        SELECT exchange_id, symbol FROM unnest(%(codes)s::text[], %(symbols)s::text[])
            AS given (code, symbol) JOIN dim_exch USING (code)
    ) AS market
    JOIN dim_exch USING (exchange_id)
    LEFT JOIN instrument USING (exchange_id, symbol)
    LEFT JOIN LATERAL (
        SELECT minute AS first_minute FROM taker_volume
        WHERE exchange_id = market.exchange_id AND symbol = market.symbol ORDER BY minute LIMIT 1
    ) AS first ON true
    LEFT JOIN LATERAL (
        SELECT minute AS last_minute FROM taker_volume
        WHERE exchange_id = market.exchange_id AND symbol = market.symbol
        ORDER BY minute DESC LIMIT 1
    ) AS last ON true
    WHERE code = ANY (%(exchanges)s)
      AND (%(wanted)s::text[] = '{}' OR symbol = ANY (%(wanted)s))
      AND (%(bases)s::text[] = '{}' OR split_part(symbol, '-', 1) = ANY (%(bases)s))
) AS answer
ORDER BY answer.exchange COLLATE "C", answer.symbol COLLATE "C", answer.native_symbol COLLATE "C"
"""


@get(TAKER_VOLUME, operation_id="takerVolumeRows")
async def taker_volume(
    *,
    request: Request[Any, Any, Any],
    database: NamedDependency[Database],
    markets: NamedDependency[Markets],
    settings: NamedDependency[Settings],
) -> Response[bytes]:
    """Return what takers bought and sold in each interval."""
    question = _question(request, settings, TAKER_VOLUME)
    wanted = await markets.asked_for(question, _primary_symbols(settings))
    rates = await markets.rate_parameters(wanted)
    statement = taker_volume_statement(
        is_minute=question.interval == "1m",
        is_hours=question.interval in ("1h", "4h", "1d"),
        is_sum=question.aggregate,
        descending=question.sort == "desc",
        has_rates=bool(rates["rate_codes"]),
        as_of=question.as_of is not None,
        as_float=question.numbers == "float",
    )
    parameters = {**_parameters(question), **market_ranges(question, wanted), **rates}
    row = TakerVolumeSumRow if question.aggregate else TakerVolumeRow
    rows = await database.fetch(statement, parameters, row)
    return _page(request, question, rows, TAKER_VOLUME)


@get(ORDERBOOK, operation_id="orderbookRows")
async def orderbook(
    *,
    request: Request[Any, Any, Any],
    database: NamedDependency[Database],
    markets: NamedDependency[Markets],
    settings: NamedDependency[Settings],
) -> Response[bytes]:
    """Return what the order books were like in each interval."""
    question = _question(request, settings, ORDERBOOK)
    wanted = await markets.asked_for(question, _primary_symbols(settings))
    statement = orderbook_statement(
        is_minute=question.interval == "1m",
        descending=question.sort == "desc",
        as_of=question.as_of is not None,
        as_float=question.numbers == "float",
    )
    parameters = {**_parameters(question), **market_ranges(question, wanted)}
    rows = await database.fetch(statement, parameters, OrderbookRow)
    return _page(request, question, rows, ORDERBOOK)


@get("/v1/ticker", operation_id="tickerRows")
async def ticker(
    *,
    request: Request[Any, Any, Any],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
) -> Response[bytes]:
    """Return the newest ticker of each market."""
    asked = _asked(request, "/v1/ticker")
    codes, symbols, bases = _chosen(asked, settings)
    numbers = asked.choice("numbers", "text", ("text", "float"))
    asked.choice("format", "json", ("json",))
    asked.refuse()
    rows = await database.fetch(
        _TICKERS.replace("{columns}", selected(TickerRow, as_float=numbers == "float")),
        {"codes": list(codes), "symbols": list(symbols), "bases": list(bases)},
        TickerRow,
    )
    query = {"exchange": codes, "symbol": symbols or None, "base": bases or None}
    return answer_list({**query, "numbers": numbers}, rows)


@get("/v1/symbols", operation_id="symbolRows")
async def symbols(
    *,
    request: Request[Any, Any, Any],
    database: NamedDependency[Database],
    markets: NamedDependency[Markets],
    settings: NamedDependency[Settings],
) -> Response[bytes]:
    """Return the markets of each exchange."""
    asked = _asked(request, "/v1/symbols")
    codes, wanted, bases = _chosen(asked, settings)
    asked.refuse()
    known = await markets.all()
    rows = await database.fetch(
        _SYMBOLS.replace("{columns}", selected(SymbolRow)),
        {
            "codes": [market.exchange for market in known],
            "symbols": [market.symbol for market in known],
            "exchanges": list(codes),
            "wanted": list(wanted),
            "bases": list(bases),
        },
        SymbolRow,
    )
    return answer_list({"exchange": codes, "symbol": wanted or None, "base": bases or None}, rows)


@get("/v1/exchanges", operation_id="exchangeRows")
async def exchanges(
    *,
    request: Request[Any, Any, Any],
    markets: NamedDependency[Markets],
    settings: NamedDependency[Settings],
) -> Response[bytes]:
    """Return the exchanges."""
    asked = _asked(request, "/v1/exchanges")
    codes = parse_exchanges(asked, settings.exchanges)
    asked.refuse()
    known = await markets.all()
    rows = [
        ExchangeRow(
            code,
            settings.exchanges[code].market,
            settings.exchanges[code].region,
            settings.exchanges[code].primary_symbol,
            sum(market.exchange == code for market in known),
        )
        for code in codes
    ]
    return answer_list({"exchange": codes}, rows)


HANDLERS: Final = (taker_volume, orderbook, ticker, symbols, exchanges)


def _asked(request: Request[Any, Any, Any], route: str) -> Asked:
    return Asked(request.query_params.multi_items(), ACCEPTED[route])


def _question(request: Request[Any, Any, Any], settings: Settings, route: str) -> Question:
    now = datetime.fromtimestamp(now_ns() // 1_000_000_000, UTC)
    return parse_question(_asked(request, route), tuple(settings.exchanges), now, route=route)


def _chosen(
    asked: Asked, settings: Settings
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    return (
        parse_exchanges(asked, settings.exchanges),
        parse_symbols(asked),
        parse_bases(asked),
    )


def _primary_symbols(settings: Settings) -> dict[str, str]:
    return {name: exchange.primary_symbol for name, exchange in settings.exchanges.items()}


def _parameters(question: Question) -> dict[str, Any]:
    """Return the values that every statement of intervals takes."""
    return {
        "step": question.step,
        "minutes": question.step.total_seconds() // 60,
        "origin": question.origin,
        "anchor": question.anchor,
        "as_of": question.as_of,
        "now": question.as_of or datetime.fromtimestamp(now_ns() // 1_000_000_000, UTC),
        "notional": question.notional,
        "limit": question.limit + 1,
    }


def _page(
    request: Request[Any, Any, Any], question: Question, rows: list[Any], route: str
) -> Response[bytes]:
    return answer_page(
        request,
        question,
        rows[: question.limit],
        route=route,
        accepted=ACCEPTED[route],
        has_more=len(rows) > question.limit,
    )
