"""Kraken v2: subscriptions, instruments and limits. Facts: https://docs.kraken.com/api."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from schemas.errors import DecodeError
from schemas.exchanges.kraken.decode import V2_NAMES, symbol_of
from schemas.histories import Request
from schemas.instruments import TRADING, Instrument, Listing, Row, decimal_of, instruments_of
from schemas.records import Product
from schemas.subscriptions import Budget, Reply, Stream, Subscriptions, Target, chunks, message_of

_CHANNELS: Final = {"ticker": "ticker", "orderbook": "book", "trade": "trade"}
# Another depth than 10, 25, 100, 500 or 1,000 leaves a live, silent socket.
_DEPTH: Final = 10
_PER_REQUEST: Final = 100

_decode: Final = msgspec.json.Decoder().decode


def subscribe(target: Target, streams: Sequence[Stream]) -> list[bytes]:
    """Return the requests; trades begin with the last 50."""
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
    params: dict[str, object] = {
        "channel": _CHANNELS[target.kind],
        "symbol": [stream.native_symbol for stream in streams],
    }
    if target.kind == "orderbook":
        params["depth"] = _DEPTH
    if method == "subscribe":
        params["snapshot"] = True
    return msgspec.json.encode({"method": method, "params": params})


def read(frame: bytes) -> Reply:
    """Return what a frame says."""
    message = message_of(frame)
    if message.get("method") == "subscribe":
        result = message.get("result") or {}
        name = result.get("symbol") or message.get("symbol")
        if message.get("success"):
            return Reply("accepted", name)
        return Reply("refused", name, str(message.get("error", ""))[:300])
    is_known = "method" in message or message.get("channel") in ("heartbeat", "status", "pong")
    return Reply("alive" if is_known else "other")


def instruments(product: Product, with_turnover: bool) -> Listing:  # noqa: FBT001  # one interface
    """List the pairs."""
    body = yield Request("/0/public/AssetPairs", {}, has_trades=False)
    pairs = _result(body)
    turnover: dict[str, Decimal | None] = {}
    if with_turnover:
        body = yield Request("/0/public/Ticker", {}, has_trades=False)
        turnover = {name: _turnover(row) for name, row in _result(body).items()}

    def make(row: Row) -> Instrument | None:
        if not row.get("wsname"):
            return None  # dark pools have no feed
        base, _, quote = str(row["wsname"]).partition("/")
        own = f"{V2_NAMES.get(base, base)}/{V2_NAMES.get(quote, quote)}"
        status = str(row.get("status", "online"))
        tick = row.get("tick_size") or f"1e-{row.get('pair_decimals')}"
        return Instrument(
            product=product,
            native_symbol=own,
            symbol=symbol_of(own),
            status=TRADING if status == "online" else status,
            tick_size=decimal_of(tick),
            turnover=turnover.get(row["name"]),
        )

    return instruments_of(({**row, "name": name} for name, row in pairs.items()), make)


def _result(body: bytes) -> dict[str, Row]:
    message = _decode(body)
    result = message.get("result") if isinstance(message, dict) else None
    if not isinstance(result, dict):
        raise DecodeError("kraken: expected a result by pair")
    return result


def _turnover(row: Row) -> Decimal | None:
    volumes, prices = row.get("v"), row.get("p")
    if not (isinstance(volumes, list) and isinstance(prices, list)):
        return None
    volume, price = decimal_of(volumes[1]), decimal_of(prices[1])
    return None if volume is None or price is None else volume * price


SUBSCRIPTIONS: Final = Subscriptions(
    subscribe=subscribe,
    renew=renew,
    data=re.compile(rb'\A\{"channel":"(?:ticker|book|trade)".*?"symbol":"([^"]+)"'),
    read=read,
    confirms="each",
    ping=b'{"method":"ping"}',
    ping_seconds=5,
    silence_seconds=10,
    book_silence_seconds=None,
    ticker_silence_seconds=None,
    connects=Budget(100, 600),
    messages=Budget(5, 1),
    max_streams=200,
    trade_id={"spot": re.compile(rb'"trade_id":(\d+)')},
    instruments=instruments,
    rest=Budget(1, 1),
)
