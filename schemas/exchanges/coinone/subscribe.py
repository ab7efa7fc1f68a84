"""Coinone: subscriptions, instruments and limits. Facts: https://docs.coinone.co.kr."""

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

_STATUSES: Final = {
    "0": "halted",
    "1": TRADING,
    "2": "halted_for_buyers",
    "3": "halted_for_sellers",
}


def subscribe(target: Target, streams: Sequence[Stream]) -> list[bytes]:
    """Return a request for each market: it takes one topic."""
    return [_request("SUBSCRIBE", target, stream) for stream in streams]


def renew(target: Target, all_streams: Sequence[Stream], again: Sequence[Stream]) -> list[bytes]:
    """Return the requests that end streams and begin them again."""
    del all_streams
    return [
        _request(method, target, stream)
        for stream in again
        for method in ("UNSUBSCRIBE", "SUBSCRIBE")
    ]


def _request(method: str, target: Target, stream: Stream) -> bytes:
    quote, _, base = stream.native_symbol.partition("/")
    return msgspec.json.encode(
        {
            "request_type": method,
            "channel": target.kind.upper(),
            "topic": {"quote_currency": quote, "target_currency": base},
            "format": "DEFAULT",
        }
    )


def read(frame: bytes) -> Reply:
    """Return what a frame says; an unknown market is confirmed first and refused after it."""
    message = message_of(frame)
    kind = message.get("response_type")
    if kind == "SUBSCRIBED":
        topic = message.get("data", {})
        return Reply("accepted", str(topic.get("target_currency")))
    if kind == "ERROR":
        return Reply("refused", None, f"{message.get('error_code')} {message.get('message', '')}")
    return Reply("alive" if kind in ("PONG", "CONNECTED", "UNSUBSCRIBED") else "other")


def instruments(product: Product, with_turnover: bool) -> Listing:  # noqa: FBT001  # one interface
    """List the markets quoted in won, which are all."""
    body = yield Request("/public/v2/markets/KRW", {}, has_trades=False)
    markets = rows_of(body, "markets")
    turnover: dict[str, object] = {}
    if with_turnover:
        body = yield Request("/public/v2/ticker_new/KRW", {}, has_trades=False)
        turnover = {
            str(row["target_currency"]).upper(): row.get("quote_volume")
            for row in rows_of(body, "tickers")
        }

    def make(row: Row) -> Instrument:
        base, quote = str(row["target_currency"]).upper(), str(row["quote_currency"]).upper()
        status = _STATUSES.get(str(row.get("trade_status", "1")), "unknown")
        if str(row.get("maintenance_status", "0")) != "0":
            status = "maintenance"
        return Instrument(
            product=product,
            native_symbol=f"{quote}/{base}",
            symbol=spot(base, quote),
            status=status,
            tick_size=decimal_of(row.get("price_unit")),
            turnover=decimal_of(turnover.get(base)),
        )

    return instruments_of(markets, make)


SUBSCRIPTIONS: Final = Subscriptions(
    subscribe=subscribe,
    renew=renew,
    data=re.compile(rb'"(?:response_type":"DATA|r":"DATA)".*?"(?:target_currency|tc)":"([^"]+)"'),
    name_in_frames=lambda native_symbol: native_symbol.rpartition("/")[2],
    read=read,
    confirms="each",
    ping=b'{"request_type":"PING"}',
    ping_seconds=12,
    silence_seconds=25,
    connects=Budget(2, 1),
    messages=Budget(50, 1),
    max_open=20,
    max_streams=200,
    instruments=instruments,
    rest=Budget(20, 1),
    remaining_header="public-ratelimit-remaining",
)
