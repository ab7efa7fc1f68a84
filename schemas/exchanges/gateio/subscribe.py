"""Gate v4: subscriptions, instruments and limits. Facts: https://www.gate.com/docs/developers/apiv4."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from schemas.exchanges.gateio.names import contract_of
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
from schemas.symbols import spot

_CHANNELS: Final = {"ticker": "tickers", "orderbook": "order_book_update", "trade": "trades"}
_PER_REQUEST: Final = 100


def subscribe(target: Target, streams: Sequence[Stream]) -> list[bytes]:
    """Return the requests; a channel of books takes one market."""
    return _requests("subscribe", target, streams)


def renew(target: Target, all_streams: Sequence[Stream], again: Sequence[Stream]) -> list[bytes]:
    """Return the requests that end streams and begin them again."""
    del all_streams
    return _requests("unsubscribe", target, again) + _requests("subscribe", target, again)


def _requests(method: str, target: Target, streams: Sequence[Stream]) -> list[bytes]:
    family = "spot" if target.product == "spot" else "futures"
    channel = f"{family}.{_CHANNELS[target.kind]}"
    if target.kind == "orderbook":
        depth = [] if target.product == "spot" else ["100"]
        payloads = [[stream.native_symbol, "100ms", *depth] for stream in streams]
    else:
        parts = chunks(streams, _PER_REQUEST)
        payloads = [[stream.native_symbol for stream in part] for part in parts]
    return [
        # The time is only compared with that of signed requests.
        msgspec.json.encode({"time": 1, "channel": channel, "event": method, "payload": payload})
        for payload in payloads
    ]


def read(frame: bytes) -> Reply:
    """Return what a frame says; a market of another family is confirmed and silent."""
    message = message_of(frame)
    if message.get("type") == "upgrade" or str(message.get("channel", "")).endswith(".system"):
        return Reply("leaving", None, str(message.get("msg", "upgrade"))[:300])
    if message.get("event") in ("subscribe", "unsubscribe"):
        payload = message.get("payload")
        name = payload[0] if payload and len(payload) != _PER_REQUEST else None
        error = message.get("error")
        if error:
            text = str(error.get("message", error)) if isinstance(error, dict) else str(error)
            return Reply("refused", name, text[:300])
        return Reply("accepted")
    return Reply("alive" if str(message.get("channel", "")).endswith(".pong") else "other")


def instruments(product: Product, with_turnover: bool) -> Listing:  # noqa: FBT001  # one interface
    """List spot pairs, or contracts by what they settle in."""
    if product == "spot":
        body = yield Request("/api/v4/spot/currency_pairs", {}, has_trades=False)
        rows = rows_of(body)
        turnover: dict[str, object] = {}
        if with_turnover:
            body = yield Request("/api/v4/spot/tickers", {}, has_trades=False)
            turnover = {str(r["currency_pair"]): r.get("quote_volume") for r in rows_of(body)}
        return instruments_of(rows, lambda row: _pair(row, turnover))
    settle = "usdt" if product == "linear" else "btc"
    # A `limit` would cut the list.
    body = yield Request(f"/api/v4/futures/{settle}/contracts", {}, has_trades=False)
    rows = rows_of(body)
    turnover = {}
    if with_turnover:
        body = yield Request(f"/api/v4/futures/{settle}/tickers", {}, has_trades=False)
        turnover = {str(r["contract"]): r.get("volume_24h_settle") for r in rows_of(body)}
    return instruments_of(rows, lambda row: _contract(product, row, turnover))


def _pair(row: Row, turnover: dict[str, object]) -> Instrument:
    native, status = str(row["id"]), str(row.get("trade_status"))
    decimals = row.get("precision")
    return Instrument(
        product="spot",
        native_symbol=native,
        symbol=spot(str(row["base"]), str(row["quote"])),
        status=TRADING if status == "tradable" else status,
        tick_size=None if decimals is None else decimal_of(f"1e-{decimals}"),
        turnover=decimal_of(turnover.get(native)),
    )


def _contract(product: Product, row: Row, turnover: dict[str, object]) -> Instrument:
    native = str(row["name"])
    status = "delisting" if row.get("in_delisting") else str(row.get("status", TRADING))
    return Instrument(
        product=product,
        native_symbol=native,
        symbol=contract_of(native).symbol,
        status=status,
        tick_size=decimal_of(row.get("order_price_round")),
        # A contract in bitcoin has the multiplier 0 and is worth a dollar.
        contract_size=decimal_of(row.get("quanto_multiplier")) or decimal_of(1),
        turnover=decimal_of(turnover.get(native)),
    )


def snapshot(product: Product, native_symbol: str) -> Request:
    """Return the request for a whole book with its id; it may be an older, cached copy."""
    if product == "spot":
        asked: dict[str, str | int] = {"currency_pair": native_symbol, "limit": 100}
        path = "/api/v4/spot/order_book"
    else:
        asked = {"contract": native_symbol, "limit": 100}
        path = f"/api/v4/futures/{'usdt' if product == 'linear' else 'btc'}/order_book"
    return Request(path, {**asked, "with_id": "true"}, has_trades=False)


SUBSCRIPTIONS: Final = Subscriptions(
    subscribe=subscribe,
    renew=renew,
    # The last one is of a stream `ob.BTC_USDT.50`.
    data=re.compile(rb'"(?:currency_pair|contract|s)":"(?:ob\.)?([^"._]+_[^".]+)'),
    read=read,
    confirms="request",
    pings={
        "spot": b'{"time":1,"channel":"spot.ping"}',
        "linear": b'{"time":1,"channel":"futures.ping"}',
        "inverse": b'{"time":1,"channel":"futures.ping"}',
    },
    ping_seconds=12,
    silence_seconds=25,
    has_first_book=False,
    has_first_ticker=False,
    connects=Budget(50, 60),
    messages=Budget(20, 1),
    max_streams=100,
    trade_id={"spot": re.compile(rb'"id_market":(\d+)')},
    snapshot=snapshot,
    instruments=instruments,
    rest=Budget(200, 10),
    remaining_header="x-gate-ratelimit-requests-remain",
)
