"""`/v1/…`: the lists of what there is: outages, tickers, markets, exchanges."""

from datetime import timedelta
from typing import Any, Final, LiteralString

from litestar import Request, Response, get
from litestar.di import NamedDependency

from api.database import Database
from api.v1.answers import answer_list
from api.v1.markets import Markets
from api.v1.plans import ACCEPTED, utc_now
from api.v1.questions import (
    Asked,
    parse_bases,
    parse_exchanges,
    parse_limit,
    parse_range_time,
    parse_symbols,
)
from api.v1.rows import ExchangeRow, IncidentRow, SymbolRow, TickerRow, selected
from api.v1.statements import incidents_statement
from api.v1.times import utc_text
from schemas.settings import Settings

_INCIDENTS_BACK: Final = timedelta(days=1)

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


@get("/v1/incidents", operation_id="incidentRows")
async def incidents(
    *,
    request: Request[Any, Any, Any],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
) -> Response[bytes]:
    """Return the outages of the feeds."""
    asked = _asked(request, "/v1/incidents")
    now = utc_now()
    codes, symbols = parse_exchanges(asked, settings.exchanges), parse_symbols(asked)
    end = parse_range_time(asked, "to", now, now)
    start = parse_range_time(asked, "from", end - _INCIDENTS_BACK, now)
    as_of = parse_range_time(asked, "as_of", None, now)
    sort = asked.choice("sort", "desc", ("asc", "desc"))
    limit = parse_limit(asked)
    asked.refuse()
    rows = await database.fetch(
        incidents_statement(descending=sort == "desc"),
        {
            "codes": list(codes),
            "symbols": list(symbols),
            "from": start,
            "to": end,
            "as_of": as_of,
            "limit": limit,
        },
        IncidentRow,
    )
    query = {
        "exchange": codes,
        "symbol": symbols or None,
        "from": utc_text(start),
        "to": utc_text(end),
        "as_of": None if as_of is None else utc_text(as_of),
        "sort": sort,
        "limit": limit,
    }
    return await answer_list(request, query, rows)


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
    asked.refuse()
    rows = await database.fetch(
        _TICKERS.replace("{columns}", selected(TickerRow, as_float=numbers == "float")),
        {"codes": list(codes), "symbols": list(symbols), "bases": list(bases)},
        TickerRow,
    )
    query = {"exchange": codes, "symbol": symbols or None, "base": bases or None}
    return await answer_list(request, {**query, "numbers": numbers}, rows)


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
    return await answer_list(
        request, {"exchange": codes, "symbol": wanted or None, "base": bases or None}, rows
    )


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
    return await answer_list(request, {"exchange": codes}, rows)


HANDLERS: Final = (incidents, ticker, symbols, exchanges)


def _asked(request: Request[Any, Any, Any], route: str) -> Asked:
    return Asked(request.query_params.multi_items(), ACCEPTED[route])


def _chosen(
    asked: Asked, settings: Settings
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    return (
        parse_exchanges(asked, settings.exchanges),
        parse_symbols(asked),
        parse_bases(asked),
    )
