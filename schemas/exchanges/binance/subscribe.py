"""Binance: subscriptions, instruments and limits.

Facts: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams and the pages
of USD-M futures, whose streams are split into `/public` and `/market` since March 2026.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec

from schemas.histories import Request
from schemas.instruments import (
    TRADING,
    Instrument,
    Listing,
    Row,
    decimal_of,
    instruments_of,
    milliseconds_of,
    rows_of,
)
from schemas.records import Product
from schemas.subscriptions import Budget, Reply, Stream, Subscriptions, Target, chunks, message_of
from schemas.symbols import dated, perpetual, spot

_ROOTS: Final = {"spot": "/api/v3", "linear": "/fapi/v1", "inverse": "/dapi/v1"}
_PER_REQUEST: Final = 100
_IN_RESPONSE: Final = 1_000


def path(target: Target) -> str:
    """Return the route; an unrouted stream of USD-M futures is accepted and stays silent."""
    if target.product != "linear":
        return "/stream"
    return "/public/stream" if target.kind == "orderbook" else "/market/stream"


def subscribe(target: Target, streams: Sequence[Stream]) -> list[bytes]:
    """Return the requests, of a number that keeps to five messages a second."""
    return [
        _request("SUBSCRIBE", target, part, number)
        for number, part in enumerate(chunks(streams, _PER_REQUEST), 1)
    ]


def renew(target: Target, all_streams: Sequence[Stream], again: Sequence[Stream]) -> list[bytes]:
    """Return the requests that end streams and begin them again."""
    del all_streams
    return [
        _request(method, target, part, number)
        for number, part in enumerate(chunks(again, _PER_REQUEST), 1)
        for method in ("UNSUBSCRIBE", "SUBSCRIBE")
    ]


def _request(method: str, target: Target, streams: Sequence[Stream], number: int) -> bytes:
    if target.kind == "trade":
        name = "trade" if target.has_trade_ids else "aggTrade"
    else:
        name = "depth@100ms" if target.kind == "orderbook" else "ticker"
    params = [f"{stream.native_symbol.lower()}@{name}" for stream in streams]
    return msgspec.json.encode({"method": method, "params": params, "id": number})


def read(frame: bytes) -> Reply:
    """Return what a frame says: a request is confirmed by its id."""
    message = message_of(frame)
    inner = message.get("data", message)
    if isinstance(inner, dict) and inner.get("e") == "serverShutdown":
        return Reply("leaving", None, "serverShutdown")
    if "result" in message and "id" in message:
        return Reply("accepted")
    if "code" in message or "error" in message:
        return Reply("refused", None, str(message)[:300])
    return Reply("other")


def instruments(product: Product, with_turnover: bool) -> Listing:  # noqa: FBT001  # one interface
    """List the markets of a product."""
    root = _ROOTS[product]
    body = yield Request(f"{root}/exchangeInfo", {}, has_trades=False)
    rows = rows_of(body, "symbols")
    turnover: dict[str, Decimal | None] = {}
    if with_turnover:
        body = yield Request(f"{root}/ticker/24hr", {}, has_trades=False)
        turnover = {str(row["symbol"]): _turnover(row) for row in rows_of(body)}
    return instruments_of(rows, lambda row: _instrument(product, row, turnover))


def _turnover(row: Row) -> Decimal | None:
    quoted = decimal_of(row.get("quoteVolume"))
    base, last = decimal_of(row.get("baseVolume")), decimal_of(row.get("lastPrice"))
    return quoted if quoted or base is None or last is None else base * last


def _instrument(product: Product, row: Row, turnover: dict[str, Decimal | None]) -> Instrument:
    native, base, quote = str(row["symbol"]), str(row["baseAsset"]), str(row["quoteAsset"])
    expiry_ms = milliseconds_of(row.get("deliveryDate"))
    if product == "spot":
        symbol = spot(base, quote)
    elif str(row.get("contractType")) in ("PERPETUAL", "TRADIFI_PERPETUAL", "PERPETUAL DELIVERING"):
        symbol, expiry_ms = perpetual(base, quote), None
    elif "_" in native:
        symbol = dated(base, quote, native.rpartition("_")[2])
    else:
        day = datetime.fromtimestamp((expiry_ms or 0) // 1_000, UTC)
        symbol = dated(base, quote, f"{day:%y%m%d}")
    status = str(row.get("contractStatus", row.get("status")))
    filters = row.get("filters")
    tick = next(
        (
            rule.get("tickSize")
            for rule in (filters if isinstance(filters, list) else [])
            if isinstance(rule, dict) and rule.get("filterType") == "PRICE_FILTER"
        ),
        None,
    )
    return Instrument(
        product=product,
        native_symbol=native,
        symbol=symbol,
        status=TRADING if status == "TRADING" else status.lower(),
        tick_size=decimal_of(tick),
        contract_size=decimal_of(row.get("contractSize")),
        turnover=turnover.get(native),
        listed_at_ms=milliseconds_of(row.get("onboardDate")),
        delisted_at_ms=expiry_ms,
    )


def snapshot(product: Product, native_symbol: str) -> Request:
    """Return the request for a whole book, which names no market."""
    asked: dict[str, str | int] = {"symbol": native_symbol, "limit": 1_000}
    return Request(f"{_ROOTS[product]}/depth", asked, has_trades=False)


def recent(product: Product, native_symbol: str) -> Request:
    """Return the request for the latest trades."""
    asked: dict[str, str | int] = {"symbol": native_symbol, "limit": _IN_RESPONSE}
    return Request(f"{_ROOTS[product]}/trades", asked)


_AGGREGATE_ID: Final = re.compile(rb'"a":(\d+)')

SUBSCRIPTIONS: Final = Subscriptions(
    path=path,
    subscribe=subscribe,
    renew=renew,
    data=re.compile(rb'"stream":"([^"@!]+)@'),
    name_in_frames=str.lower,
    read=read,
    confirms="request",
    ping_seconds=12,
    silence_seconds=25,
    has_first_book=False,
    has_first_ticker=False,
    max_age_seconds=85_500,
    connects=Budget(250, 300),
    messages=Budget(4, 1),
    max_streams=400,
    # Of futures only the aggregated trades are numbered without holes.
    trade_id={"spot": re.compile(rb'"t":(\d+)')},
    aggregate_id={"spot": _AGGREGATE_ID, "linear": _AGGREGATE_ID, "inverse": _AGGREGATE_ID},
    snapshot=snapshot,
    recent=recent,
    instruments=instruments,
    rest=Budget(20, 1),
    ban_seconds={418: 120, 403: 300},
    used_header="x-mbx-used-weight-1m",
    max_weight=2_000,
)
