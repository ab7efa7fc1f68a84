"""Korbit (Digital X): subscriptions, instruments and limits. Facts: https://docs.korbit.co.kr."""

import re
from collections.abc import Sequence
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
    rows_of,
)
from schemas.records import Product
from schemas.subscriptions import Budget, Reply, Stream, Subscriptions, Target, message_of
from schemas.symbols import spot


def subscribe(target: Target, streams: Sequence[Stream]) -> list[bytes]:
    """Return the one request for all markets; only one with an id is answered."""
    return [_request("subscribe", target, streams)]


def renew(target: Target, all_streams: Sequence[Stream], again: Sequence[Stream]) -> list[bytes]:
    """Return the requests that end streams and begin them again."""
    del all_streams
    return [_request("unsubscribe", target, again), _request("subscribe", target, again)]


def _request(method: str, target: Target, streams: Sequence[Stream]) -> bytes:
    names = [stream.native_symbol for stream in streams]
    request = {"requestId": 1, "method": method, "type": target.kind, "symbols": names}
    return msgspec.json.encode([request])


def read(frame: bytes) -> Reply:
    """Return what a frame says."""
    message = message_of(frame)
    if "status" not in message:
        return Reply("other")
    if message["status"] == "success":
        return Reply("accepted")
    text = str(message.get("message", ""))
    name = re.search(r"\(([a-z0-9_]+)\)", text)
    return Reply("refused", name and name[1], f"{message.get('code', '')} {text}"[:300])


def instruments(product: Product, with_turnover: bool) -> Listing:  # noqa: FBT001  # one interface
    """List the pairs; their ticks depend on the price."""
    body = yield Request("/v2/currencyPairs", {}, has_trades=False)
    pairs = rows_of(body, "data")
    turnover: dict[str, object] = {}
    if with_turnover:
        body = yield Request("/v2/tickers", {}, has_trades=False)
        turnover = {str(row["symbol"]): row.get("quoteVolume") for row in rows_of(body, "data")}

    def make(row: Row) -> Instrument:
        native, status = str(row["symbol"]), str(row.get("status", "launched"))
        base, _, quote = native.upper().partition("_")
        return Instrument(
            product=product,
            native_symbol=native,
            symbol=spot(base, quote),
            status=TRADING if status == "launched" else status,
            turnover=decimal_of(turnover.get(native)),
        )

    return instruments_of(pairs, make)


SUBSCRIPTIONS: Final = Subscriptions(
    subscribe=subscribe,
    renew=renew,
    data=re.compile(rb'"symbol":"([^"]+)"'),
    read=read,
    confirms="request",
    ping_seconds=30,
    silence_seconds=70,
    connects=Budget(5, 1),
    messages=Budget(5, 1),
    max_streams=250,
    instruments=instruments,
    rest=Budget(50, 1),
    remaining_header="ratelimit",
)
