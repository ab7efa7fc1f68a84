"""OKX: subscriptions, instruments and limits. Facts: https://www.okx.com/docs-v5/en/#overview."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from schemas.exchanges.okx.names import market_of
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

_CHANNELS: Final = {"ticker": "tickers", "orderbook": "books", "trade": "trades"}
# Arguments of a request may have 64 KB; a request counts as one of 480 an hour.
_PER_REQUEST: Final = 200
_LEAVING: Final = "64008"


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
    channel = _CHANNELS[target.kind]
    args = [{"channel": channel, "instId": stream.native_symbol} for stream in streams]
    return msgspec.json.encode({"op": method, "args": args})


def read(frame: bytes) -> Reply:
    """Return what a frame says."""
    message = message_of(frame)
    event, arg = message.get("event"), message.get("arg") or {}
    if event == "subscribe":
        return Reply("accepted", arg.get("instId"))
    if event == "error":
        text = str(message.get("msg", ""))
        name = re.search(r"instId:([^\s,\"]+)", text)
        return Reply("refused", name and name[1], f"{message.get('code')} {text}"[:300])
    if event == "notice":
        leaving = message.get("code") == _LEAVING
        return Reply("leaving" if leaving else "alive", None, str(message.get("msg", ""))[:300])
    return Reply("alive" if event is not None or frame == b"pong" else "other")


def instruments(product: Product, with_turnover: bool) -> Listing:  # noqa: FBT001  # one interface
    """List the instruments of a product: spot, or swaps and dated futures of one margin."""
    types = ("SPOT",) if product == "spot" else ("SWAP", "FUTURES")
    rows: list[Row] = []
    turnover: dict[str, Decimal | None] = {}
    for kind in types:
        path = "/api/v5/public/instruments"
        body = yield Request(path, {"instType": kind}, has_trades=False)
        rows += rows_of(body, "data")
        if with_turnover:
            path = "/api/v5/market/tickers"
            body = yield Request(path, {"instType": kind}, has_trades=False)
            turnover |= {str(row["instId"]): _turnover(row) for row in rows_of(body, "data")}
    return instruments_of(rows, lambda row: _instrument(product, row, turnover))


def _turnover(row: Row) -> Decimal | None:
    volume, last = decimal_of(row.get("volCcy24h")), decimal_of(row.get("last"))
    if row.get("instType") == "SPOT" or volume is None or last is None:
        return volume
    return volume * last


def _instrument(
    product: Product, row: Row, turnover: dict[str, Decimal | None]
) -> Instrument | None:
    native = str(row["instId"])
    kind = row.get("ctType")
    if kind not in ({"spot": ("", None)}.get(product, (product,))):
        return None
    value = decimal_of(row.get("ctVal"))
    return Instrument(
        product=product,
        native_symbol=native,
        symbol=market_of(native).symbol,
        status=TRADING if row.get("state") == "live" else str(row.get("state")),
        tick_size=decimal_of(row.get("tickSz")),
        contract_size=value and value * (decimal_of(row.get("ctMult")) or 1),
        turnover=turnover.get(native),
        listed_at_ms=milliseconds_of(row.get("listTime")),
        delisted_at_ms=milliseconds_of(row.get("expTime")),
    )


def recent(product: Product, native_symbol: str) -> Request:
    """Return the request for the latest trades."""
    del product
    return Request("/api/v5/market/trades", {"instId": native_symbol, "limit": 500})


SUBSCRIPTIONS: Final = Subscriptions(
    subscribe=subscribe,
    renew=renew,
    data=re.compile(rb'"arg":\{"channel":"[^"]+","instId":"([^"]+)"\},"(?:data|action)"'),
    read=read,
    confirms="each",
    ping=b"ping",
    ping_seconds=12,
    silence_seconds=25,
    book_silence_seconds=75,
    connects=Budget(3, 1),
    messages=Budget(480, 3_600),
    max_streams=300,
    # An aggregated row names the last of `count` ids.
    trade_id=dict.fromkeys(("spot", "linear", "inverse"), re.compile(rb'"tradeId":"(\d+)"')),
    trade_count=re.compile(rb'"count":"(\d+)"'),
    recent=recent,
    instruments=instruments,
    rest=Budget(10, 2),
)
