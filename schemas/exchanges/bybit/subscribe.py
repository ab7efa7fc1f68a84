"""Bybit v5: subscriptions, instruments and limits.

Facts: https://bybit-exchange.github.io/docs/v5/ws/connect.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
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

_TOPICS: Final = {"ticker": "tickers", "orderbook": "orderbook.50", "trade": "publicTrade"}
# Spot takes no more; the answer is one for the whole request.
_PER_REQUEST: Final = 10


class _Cursor(msgspec.Struct):
    next_page: str = msgspec.field(name="nextPageCursor", default="")


class _Page(msgspec.Struct):
    result: _Cursor


_page: Final = msgspec.json.Decoder(_Page).decode


def subscribe(target: Target, streams: Sequence[Stream]) -> list[bytes]:
    """Return the requests."""
    return [_request("subscribe", target, part) for part in chunks(streams, _PER_REQUEST)]


def renew(target: Target, all_streams: Sequence[Stream], again: Sequence[Stream]) -> list[bytes]:
    """Return the requests that end streams and begin them again."""
    del all_streams
    return [
        _request(method, target, part)
        for part in chunks(again, _PER_REQUEST)
        for method in ("unsubscribe", "subscribe")
    ]


def _request(method: str, target: Target, streams: Sequence[Stream]) -> bytes:
    topic = _TOPICS[target.kind]
    args = [f"{topic}.{stream.native_symbol}" for stream in streams]
    return msgspec.json.encode({"req_id": topic, "op": method, "args": args})


def read(frame: bytes) -> Reply:
    """Return what a frame says."""
    message = message_of(frame)
    operation = message.get("op")
    if operation in ("ping", "pong"):
        return Reply("alive")
    if operation in ("subscribe", "unsubscribe"):
        if message.get("success"):
            return Reply("accepted")
        text = str(message.get("ret_msg", ""))
        name = re.search(r"\.([^.\s]+)$", text)
        return Reply("refused", name and name[1], text[:300])
    return Reply("other")


def instruments(product: Product, with_turnover: bool) -> Listing:  # noqa: FBT001  # one interface
    """List the instruments of a category, page by page."""
    rows: list[Row] = []
    asked: dict[str, str | int] = {"category": product}
    if product != "spot":
        asked["limit"] = 1_000
    while True:
        body = yield Request("/v5/market/instruments-info", asked, has_trades=False)
        rows += rows_of(body, "result", "list")
        cursor = _page(body).result.next_page
        if not cursor or cursor == asked.get("cursor"):
            break
        asked = {**asked, "cursor": cursor}
    turnover: dict[str, object] = {}
    if with_turnover:
        body = yield Request("/v5/market/tickers", {"category": product}, has_trades=False)
        turnover = {
            str(row["symbol"]): row.get("turnover24h") for row in rows_of(body, "result", "list")
        }
    return instruments_of(rows, lambda row: _instrument(product, row, turnover))


def _instrument(product: Product, row: Row, turnover: dict[str, object]) -> Instrument:
    native, base, quote = str(row["symbol"]), str(row["baseCoin"]), str(row["quoteCoin"])
    expiry_ms = milliseconds_of(row.get("deliveryTime"))
    if product == "spot":
        symbol = spot(base, quote)
    elif str(row.get("contractType", "")).endswith("Futures") and expiry_ms:
        symbol = dated(base, quote, f"{datetime.fromtimestamp(expiry_ms // 1_000, UTC):%y%m%d}")
    else:
        symbol = perpetual(base, quote)
    status, prices = str(row.get("status")), row.get("priceFilter")
    return Instrument(
        product=product,
        native_symbol=native,
        symbol=symbol,
        status=TRADING if status == "Trading" else status.lower(),
        tick_size=decimal_of(prices.get("tickSize")) if isinstance(prices, dict) else None,
        turnover=decimal_of(turnover.get(native)),
        listed_at_ms=milliseconds_of(row.get("launchTime")),
        delisted_at_ms=expiry_ms,
    )


def recent(product: Product, native_symbol: str) -> Request:
    """Return the request for the latest trades."""
    limit = 60 if product == "spot" else 1_000
    asked: dict[str, str | int] = {"category": product, "symbol": native_symbol, "limit": limit}
    return Request("/v5/market/recent-trade", asked)


SUBSCRIPTIONS: Final = Subscriptions(
    subscribe=subscribe,
    renew=renew,
    data=re.compile(rb'"topic":"[^"]*\.([^".]+)"'),
    read=read,
    confirms="request",
    ping=b'{"req_id":"ping","op":"ping"}',
    ping_seconds=12,
    silence_seconds=25,
    connects=Budget(400, 300),
    messages=Budget(5, 1),
    # Topics of a connection may have 21,000 characters.
    max_streams=500,
    trade_id={"spot": re.compile(rb'"i":"(\d+)"')},
    recent=recent,
    instruments=instruments,
    rest=Budget(500, 5),
    ban_seconds={403: 600},
    remaining_header="x-bapi-limit-status",
)
