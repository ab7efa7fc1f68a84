"""BitMEX: subscriptions, instruments and limits. Facts: https://www.bitmex.com/app/wsAPI."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from schemas.exchanges.bitmex.decode import symbol_of
from schemas.histories import Request
from schemas.instruments import (
    TRADING,
    Instrument,
    Listing,
    Row,
    decimal_of,
    instruments_of,
    rows_of,
)
from schemas.records import Product
from schemas.subscriptions import Budget, Reply, Stream, Subscriptions, Target, chunks, message_of

_PER_REQUEST: Final = 50
_PERPETUAL: Final = "FFWCSX"
_FUTURE: Final = "FFCCSX"


def subscribe(target: Target, streams: Sequence[Stream]) -> list[bytes]:
    """Return the requests."""
    del target
    return [_request("subscribe", part) for part in chunks(streams, _PER_REQUEST)]


def renew(target: Target, all_streams: Sequence[Stream], again: Sequence[Stream]) -> list[bytes]:
    """Return the requests that end streams and begin them again."""
    del target, all_streams
    return [
        _request(method, part)
        for part in chunks(again, _PER_REQUEST)
        for method in ("unsubscribe", "subscribe")
    ]


def _request(method: str, streams: Sequence[Stream]) -> bytes:
    return msgspec.json.encode(
        {"op": method, "args": [f"trade:{stream.native_symbol}" for stream in streams]}
    )


def read(frame: bytes) -> Reply:
    """Return what a frame says."""
    if frame == b"pong":
        return Reply("alive")
    message = message_of(frame)
    if "subscribe" in message:
        return Reply("accepted", str(message["subscribe"]).partition(":")[2])
    if "error" in message:
        return Reply("refused", None, str(message["error"])[:300])
    if "info" in message:
        left = (message.get("limit") or {}).get("remaining")
        return Reply("alive", connects_left=left if isinstance(left, int) else None)
    return Reply("alive" if "unsubscribe" in message else "other")


def instruments(product: Product, with_turnover: bool) -> Listing:  # noqa: FBT001  # one interface
    """List the perpetual swaps and dated futures; their turnover comes with them."""
    del with_turnover
    body = yield Request("/api/v1/instrument/active", {}, has_trades=False)
    return instruments_of(rows_of(body), lambda row: _instrument(product, row))


def _instrument(product: Product, row: Row) -> Instrument | None:
    if row.get("typ") not in (_PERPETUAL, _FUTURE):
        return None
    quote = str(row["quoteCurrency"])
    if product != ("inverse" if quote == "USD" else "linear"):
        return None
    native, expiry, delisted_at_ms = str(row["symbol"]), row.get("expiry"), None
    if row["typ"] == _FUTURE and expiry:
        delisted_at_ms = int(datetime.fromisoformat(str(expiry)).timestamp() * 1_000)
    status = str(row.get("state"))
    return Instrument(
        product=product,
        native_symbol=native,
        symbol=symbol_of(native),
        status=TRADING if status == "Open" else status.lower(),
        tick_size=decimal_of(row.get("tickSize")),
        turnover=decimal_of(row.get("foreignNotional24h")),
        delisted_at_ms=delisted_at_ms,
    )


def recent(product: Product, native_symbol: str) -> Request:
    """Return the request for the latest trades, newest first."""
    del product
    asked: dict[str, str | int] = {"symbol": native_symbol, "count": 1_000, "reverse": "true"}
    return Request("/api/v1/trade", asked)


SUBSCRIPTIONS: Final = Subscriptions(
    subscribe=subscribe,
    renew=renew,
    data=re.compile(rb'"table":"trade".*?"data":\[.*?"symbol":"([^"]+)"', re.DOTALL),
    read=read,
    confirms="each",
    ping=b"ping",
    ping_seconds=4,
    silence_seconds=10,
    # The welcome says how many of 40 are left.
    connects=Budget(38, 3_600),
    messages=Budget(5, 1),
    max_streams=200,
    recent=recent,
    instruments=instruments,
    rest=Budget(25, 60),
    ban_seconds={403: 600},
    remaining_header="x-ratelimit-remaining",
)
