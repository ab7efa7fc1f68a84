"""What the OpenAPI document says of `/v1`: every parameter and every answer with an example."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from api.parameters import ALL_EXCHANGES
from api.v1.plans import ACCEPTED, COVERAGE, ORDERBOOK, PREMIUM, TAKER_VOLUME
from api.v1.questions import (
    DEFAULT_INTERVALS,
    DEFAULT_LIMIT,
    FORMATS,
    MAX_LIMIT,
    MAX_SYMBOLS,
    SYMBOL_PATTERN,
)
from api.v1.rows import (
    CoverageRow,
    ExchangeRow,
    IncidentRow,
    OrderbookRow,
    PremiumRow,
    SymbolRow,
    TakerVolumeRow,
    TakerVolumeSumRow,
    TickerRow,
)
from api.v1.streams import ACCEPTED as STREAM_ACCEPTED
from api.v1.times import INTERVALS, TIME_FORMS

_PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_ROUTES: Final[Mapping[str, tuple[str, str, Sequence[type[Any]], str]]] = {
    TAKER_VOLUME: (
        "takerVolumeRows",
        "What takers bought and sold",
        (TakerVolumeRow, TakerVolumeSumRow),
        (
            "Each row is one interval of one market. The interval that is still open is among "
            "them, as the estimate that it is at the moment. With `aggregate=true` a row is the "
            "sum over the exchanges that it names."
        ),
    ),
    ORDERBOOK: (
        "orderbookRows",
        "What the order books were like",
        (OrderbookRow,),
        "Last state, extremes and averages by time; depth within so many 1/10,000 of the middle.",
    ),
    PREMIUM: (
        "premiumRows",
        "How much dearer a coin is in Korea",
        (PremiumRow,),
        (
            "Volume-weighted prices of the Korean exchanges against the others', with the rate "
            "at which USDT traded against KRW in the same interval."
        ),
    ),
    COVERAGE: (
        "coverageRows",
        "How much is there, and known to be whole",
        (CoverageRow,),
        "Minutes of each interval by what is known of them; by default of each day.",
    ),
    "/v1/incidents": (
        "incidentRows",
        "Outages of the feeds",
        (IncidentRow,),
        (
            "When each began, when it ended, and when what was missed had been fetched; and "
            "minutes that differ from the exchange's own, until they are mended. By default of the "
            "last day."
        ),
    ),
    "/v1/ticker": ("tickerRows", "The newest tickers", (TickerRow,), "One for each market."),
    "/v1/symbols": (
        "symbolRows",
        "The markets",
        (SymbolRow,),
        "Those that exchanges list, and those that have minutes.",
    ),
    "/v1/exchanges": ("exchangeRows", "The exchanges", (ExchangeRow,), "In a fixed order."),
}


def paths(exchanges: Sequence[str]) -> dict[str, Any]:
    """Return the paths of `/v1`."""
    parameters = _parameters(exchanges)
    described: dict[str, Any] = {
        route: {
            "get": {
                "tags": ["Query"],
                "operationId": operation,
                "summary": summary,
                "description": description,
                "parameters": [_parameter(name, parameters[name]) for name in ACCEPTED[route]],
                "responses": _responses(
                    {"description": "Rows", "content": _content(route, rows)},
                    has_formats="format" in ACCEPTED[route],
                ),
            }
        }
        for route, (operation, summary, rows, description) in _ROUTES.items()
    }
    described["/v1/stream"] = {"get": _stream(parameters)}
    return described


def components() -> dict[str, Any]:
    """Return the schemas of the rows."""
    rows = [row for _, _, each, _ in _ROUTES.values() for row in each]
    _, schemas = msgspec.json.schema_components(rows, ref_template="#/components/schemas/{name}")
    return dict(schemas)


def _stream(parameters: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    example = "id: 2f1.8\nevent: taker_volume\ndata: {…}\n\n"
    return {
        "tags": ["Query"],
        "operationId": "stream",
        "summary": "Minutes as they change",
        "description": (
            "Server-sent events. `taker_volume`: the whole state of a minute, a row of "
            "`/v1/taker-volume`; with an id once it is final. `ready`: what was missed has been "
            "told. `reset`: the id is older than the log, here is the newest state. `dropped`: the "
            "client was too slow, or the server stops. After a break, `Last-Event-ID` or `after` "
            "goes on without a hole. The same over a WebSocket at this address, whose first "
            'message is `{"subscribe": {"exchange": …, "symbol": …}, "after": id}`.'
        ),
        "parameters": [_parameter(name, parameters[name]) for name in STREAM_ACCEPTED],
        "responses": _responses(
            {
                "description": "Events, until one of the two ends the connection",
                "content": {
                    "text/event-stream": {
                        "schema": {"type": "string"},
                        "examples": {"minute": {"value": example}},
                    }
                },
            },
            has_formats=False,
        ),
    }


def _responses(found: dict[str, Any], *, has_formats: bool) -> dict[str, Any]:
    refusals = {
        "400": "Parameters are wrong: `errors` names each.",
        "401": "A key is missing or wrong, where the server asks for one.",
        "429": "The quota is used up: `Retry-After` says when to come again.",
        "503": "The database is down or busy: try again later.",
    }
    if has_formats:
        refusals["406"] = "The format is unknown, or needs a package that is not installed."
    responses: dict[str, Any] = {
        status: {"description": text, "content": _PROBLEM} for status, text in refusals.items()
    }
    return {"200": found, **dict(sorted(responses.items()))}


def _content(route: str, rows: Sequence[type[Any]]) -> dict[str, Any]:
    references = [{"$ref": f"#/components/schemas/{row.__name__}"} for row in rows]
    item = references[0] if len(references) == 1 else {"anyOf": references}
    nullable = {"type": ["string", "null"]}
    answer = {
        "type": "object",
        "required": ["query", "from", "to", "rows", "next"],
        "properties": {
            "query": {"type": "object", "description": "The parameters as they were understood"},
            "from": {**nullable, "description": "Start of the oldest row"},
            "to": {**nullable, "description": "End of the newest row"},
            "rows": {"type": "array", "items": item},
            "next": {**nullable, "description": "Address of the next page"},
        },
    }
    example: dict[str, Any] = {
        "query": {"exchange": ["okx"]},
        "from": None,
        "to": None,
        "rows": [],
        "next": None,
    }
    content: dict[str, Any] = {
        "application/json": {
            "schema": answer,
            "examples": {"empty": {"summary": "Nothing found", "value": example}},
        }
    }
    if "format" in ACCEPTED[route]:
        texts = {"csv": "exchange,symbol,time,…\n", "ndjson": '{"exchange":"okx",…}\n'}
        for format_, media_type in FORMATS.items():
            if format_ != "json":
                value = texts.get(format_, "bytes")
                content[media_type] = {
                    "schema": {"type": "string"},
                    "examples": {"rows": {"value": value}},
                }
    return content


def _parameter(name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    fields = {key: value for key, value in described.items() if key != "example"}
    examples = {"example": {"value": described["example"]}}
    return {"name": name, "in": "query", "required": False, **fields, "examples": examples}


def _parameters(exchanges: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return description, schema and example of every parameter."""
    ids = {"type": "string", "enum": [*exchanges, ALL_EXCHANGES]}
    exchange = {**_PARAMETERS["exchange"], "schema": {"type": "array", "items": ids}}
    return {**_PARAMETERS, "exchange": exchange}


_SEVERAL: Final[dict[str, Any]] = {"style": "form", "explode": False}
_TIME: Final[dict[str, Any]] = {"schema": {"type": "string"}}
_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "exchange": {
        "description": f"Exchange ids, repeated or comma separated; all, as `{ALL_EXCHANGES}`",
        "schema": {
            "type": "array",
            "items": {"type": "string"},
        },
        **_SEVERAL,
        "example": ["okx", "binance"],
    },
    "symbol": {
        "description": "Canonical symbols. Without one: each exchange's primary market",
        "schema": {
            "type": "array",
            "items": {"type": "string", "pattern": SYMBOL_PATTERN},
            "maxItems": MAX_SYMBOLS,
        },
        **_SEVERAL,
        "example": ["BTC-USDT"],
    },
    "base": {
        "description": "Coins: every market of them, instead of symbols",
        "schema": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^[\p{L}\p{N}_]{1,20}$"},
            "maxItems": MAX_SYMBOLS,
        },
        **_SEVERAL,
        "example": ["BTC"],
    },
    "from": {
        "description": f"Intervals that begin then or later: {TIME_FORMS}. Default: "
        f"{DEFAULT_INTERVALS} intervals before `to`",
        **_TIME,
        "example": "2024-10-23T10:20:00Z",
    },
    "to": {
        "description": "Intervals that begin before it; the same forms. Default: now",
        **_TIME,
        "example": "1729682400",
    },
    "interval": {
        "description": "Length of an interval: exact sums of minutes",
        "schema": {"type": "string", "enum": list(INTERVALS)},
        "example": "5m",
    },
    "utc_offset": {
        "description": "Where days begin: whole hours ahead of UTC. Default: UTC",
        "schema": {"type": "string", "pattern": r"^[+-](0[0-9]|1[0-4]):00$"},
        "example": "+09:00",
    },
    "as_of": {
        "description": "What a reader would have seen then, of what was final",
        **_TIME,
        "example": "-1h",
    },
    "sort": {
        "description": "By time; default: newest first",
        "schema": {"type": "string", "enum": ["asc", "desc"]},
        "example": "asc",
    },
    "limit": {
        "description": f"Rows of a page, {DEFAULT_LIMIT} by default; in other formats than "
        "JSON rows of the answer, all by default",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
        "example": 100,
    },
    "cursor": {
        "description": "Of `next`: where the page begins",
        "schema": {"type": "string", "maxLength": 400},
        "example": "WyI4ZjMiLDE3Mjk2Nzg4MDAwMDAwMDAsIm9reCIsIkJUQy1VU0RUIl0",
    },
    "aggregate": {
        "description": "Sum over the exchanges",
        "schema": {"type": "string", "enum": ["true", "false"]},
        "example": "true",
    },
    "anchor": {
        "description": "Where the running sum `cvd` begins; default: `from`",
        **_TIME,
        "example": "2024-10-23T00:00:00Z",
    },
    "notional": {
        "description": "Size of an order in quote units, whose slippage is estimated",
        "schema": {"type": "string", "pattern": r"^[0-9]{1,20}(\.[0-9]{1,12})?$"},
        "example": "100000",
    },
    "format": {
        "description": "Of the answer, instead of the header `Accept`",
        "schema": {"type": "string", "enum": list(FORMATS)},
        "example": "csv",
    },
    "numbers": {
        "description": "Exact decimals as text, or floats",
        "schema": {"type": "string", "enum": ["text", "float"]},
        "example": "text",
    },
    "after": {
        "description": "The id of the last event that was seen, or a time of the last day",
        "schema": {"type": "string"},
        "example": "-10m",
    },
}
