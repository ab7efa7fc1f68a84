"""BitMEX's dialect: tables of rows, base and quote of each trade told by the exchange itself."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from connectors.simulator.desk import Desk, Stream, Styles
from connectors.simulator.market import Fill
from connectors.simulator.tape import Candle
from connectors.simulator.texts import short
from connectors.simulator.venues import times
from connectors.simulator.venues.base import (
    Answer,
    Connection,
    Request,
    Venue,
    integer,
    parsed,
    uuid,
)

_CONNECTIONS_AN_HOUR: Final = 40
_REQUESTS_A_MINUTE: Final = 30
_TYPES: Final = (
    b'"keys":[],"types":{"timestamp":"timestamp","symbol":"symbol","side":"symbol","size":"long",'
    b'"price":"float","tickDirection":"symbol","trdMatchID":"guid","grossValue":"long",'
    b'"homeNotional":"float","foreignNotional":"float","trdType":"symbol"},'
)
_ROW: Final = (
    b'{"timestamp":"%b","symbol":"%b","side":"%b","size":%b,"price":%b,"tickDirection":"%b",'
    b'"trdMatchID":"%b","grossValue":%d,"homeNotional":%b,"foreignNotional":%b,'
    b'"trdType":"Regular"}'
)


class Bitmex(Venue):
    """BitMEX: perpetual contracts, trades only."""

    exchange = "bitmex"
    styles = Styles(short, short)

    def _desk(self, native: str) -> Desk | None:
        """Return a contract of either product: one address has them all."""
        return self.of("inverse", native) or self.of("linear", native)

    # -- connections ---------------------------------------------------------------------------

    def greet(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        budget = self.budget("connections", _CONNECTIONS_AN_HOUR, 3_600_000)
        budget.spend(self.now_ms)
        welcome = {
            "info": "Welcome to the BitMEX Realtime API.",
            "version": "2026-07-14T01:26:29.000Z",
            "timestamp": times.iso(self.now_ms).decode(),
            "docs": "https://www.bitmex.com/app/wsAPI",
            "limit": {"remaining": budget.remaining},
        }
        self.say(connection, welcome)

    def receive(self, connection: Connection, message: bytes) -> None:  # noqa: D102  # as Venue says
        if message == b"ping":
            self.say(connection, b"pong")
            return
        request = parsed(message)
        op = request.get("op") if isinstance(request, dict) else None
        args = request.get("args") if isinstance(request, dict) else None
        if op not in ("subscribe", "unsubscribe") or not args:
            self._error(connection, "Unrecognized request", request)
            return
        for topic in [args] if isinstance(args, str) else args:
            table, _, native = str(topic).partition(":")
            desk = self._desk(native)
            if table != "trade" or desk is None:
                self._error(connection, f"Unknown or expired symbol: {topic}", request)
                continue
            self.say(connection, {"success": True, op: topic, "request": request})
            if op == "subscribe":
                self.open(connection, desk, "trade", "")
                self.say(connection, self._partial(desk))
            elif ("trade", "") in desk.streams:
                self.leave(connection, desk.streams["trade", ""])

    def _error(self, connection: Connection, text: str, request: Any) -> None:
        self.say(connection, {"status": 400, "error": text, "meta": {}, "request": request})

    # -- channels ------------------------------------------------------------------------------

    def trade_id(self, desk: Desk, fill: Fill) -> bytes:  # noqa: D102  # as Venue says
        return b'"%b"' % uuid(desk, fill[0])

    def _partial(self, desk: Desk) -> bytes:
        rows = b",".join([_row(desk, fill) for fill in desk.tape.last(1)])
        head = b'{"table":"trade","action":"partial",' + _TYPES
        return head + b'"filter":{"symbol":"%b"},"data":[%b]}' % (desk.native, rows)

    def trade_frames(self, stream: Stream, fills: Sequence[Fill]) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        rows = b",".join([_row(stream.desk, fill) for fill in fills])
        return [b'{"table":"trade","action":"insert","data":[%b]}' % rows]

    def ticker_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        del stream
        return ()

    def book_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        del stream
        return ()

    # -- REST ----------------------------------------------------------------------------------

    def rest(self, request: Request) -> Answer:  # noqa: D102  # as Venue says
        routes = {
            "/api/v1/instrument/active": self._instruments,
            "/api/v1/instrument": self._instruments,
            "/api/v1/trade": self._trades,
            "/api/v1/trade/bucketed": self._buckets,
        }
        budget = self.budget("all", _REQUESTS_A_MINUTE, 60_000)
        is_allowed = budget.spend(request.now_ms)
        reset_s = (request.now_ms + budget.reset_ms(request.now_ms)) // 1_000
        headers = {
            "x-ratelimit-limit": str(_REQUESTS_A_MINUTE),
            "x-ratelimit-remaining": str(budget.remaining),
            "x-ratelimit-reset": str(reset_s),
        }
        if not is_allowed:
            wait_s = -(-budget.reset_ms(request.now_ms) // 1_000)
            refusal = self.refuse(429, wait_s)
            return refusal._replace(headers={**headers, **refusal.headers})
        route = routes.get(request.path)
        if route is None:
            return self._failure(404, "Not Found", "HTTPError")
        return route(request)._replace(headers=headers)

    @staticmethod
    def _failure(status: int, text: str, name: str) -> Answer:
        return Answer(msgspec.json.encode({"error": {"message": text, "name": name}}), status)

    def refuse(self, status: int, retry_after_s: int) -> Answer:  # noqa: D102  # as Venue says
        answer = self._failure(status, "Rate limit exceeded, retry later.", "RateLimitError")
        return answer._replace(headers={"retry-after": str(retry_after_s)})

    def _asked(self, request: Request) -> list[Desk]:
        """Return the contracts of `symbol`, or of a `filter` that names several."""
        names: Any = request.query.get("symbol")
        if names is None and request.query.get("filter"):
            chosen = parsed(request.query["filter"].encode())
            names = chosen.get("symbol") if isinstance(chosen, dict) else None
        listed = [*self.listed("inverse"), *self.listed("linear")]
        if names is None:
            return listed
        names = [names] if isinstance(names, str) else names
        return [desk for desk in listed if desk.instrument.native in names]

    def _instruments(self, request: Request) -> Answer:
        return Answer(msgspec.json.encode([_instrument(desk) for desk in self._asked(request)]))

    def _trades(self, request: Request) -> Answer:
        query = request.query
        start_ms = times.ms_of(query.get("startTime", "")) or 0
        end_ms = times.ms_of(query.get("endTime", "")) or 2**53
        count, offset = integer(query, "count", 100, 1_000), integer(query, "start", 0, 2**31)
        found = [
            (fill, desk)
            for desk in self._asked(request)
            for fill in _of_span(desk, start_ms, end_ms, count + offset, _is_reverse(query))
        ]
        found.sort(key=lambda row: row[0][1], reverse=_is_reverse(query))
        rows = [_row(desk, fill) for fill, desk in found[offset : offset + count]]
        return Answer(b"[%b]" % b",".join(rows))

    def _buckets(self, request: Request) -> Answer:
        query = request.query
        count = integer(query, "count", 100, 1_000)
        start_ms = times.ms_of(query.get("startTime", "")) or 0
        end_ms = times.ms_of(query.get("endTime", "")) or self.now_ms
        if _is_reverse(query) and not start_ms:
            start_ms = end_ms - count * 60_000
        rows = []
        for desk in self._asked(request):
            price = desk.price
            # A bucket is stamped by its end, and only given when it is over.
            for minute_ms, candle in desk.tape.candles(start_ms - 60_000, end_ms):
                if minute_ms + 60_000 > self.now_ms or minute_ms + 60_000 > end_ms:
                    continue
                home = short(*desk.base_volume(candle.lots, candle.base))
                lots = candle.lots * desk.instrument.lot
                foreign = _foreign(desk, candle)
                row = (
                    b'{"timestamp":"%b","symbol":"%b","open":%b,"high":%b,"low":%b,"close":%b,'
                    b'"trades":%d,"volume":%d,"homeNotional":%b,"foreignNotional":%b}'
                ) % (
                    times.iso(minute_ms + 60_000),
                    desk.native,
                    price[candle.open],
                    price[candle.high],
                    price[candle.low],
                    price[candle.close],
                    candle.count,
                    lots,
                    home,
                    foreign,
                )
                rows.append((minute_ms, row))
        rows.sort(key=lambda row: row[0], reverse=_is_reverse(query))
        first = integer(query, "start", 0, 2**31)
        return Answer(b"[%b]" % b",".join([row for _, row in rows[first : first + count]]))


def _is_reverse(query: dict[str, str]) -> bool:
    return query.get("reverse") == "true"


def _of_span(desk: Desk, start_ms: int, end_ms: int, most: int, is_latest: bool) -> list[Fill]:  # noqa: FBT001  # one of two forms
    start, end = desk.tape.at_time(start_ms), desk.tape.after_time(end_ms)
    if is_latest:
        return desk.tape.slice(max(start, end - most), end)
    return desk.tape.slice(start, min(end, start + most))


def _row(desk: Desk, fill: Fill) -> bytes:
    trade_id, time_ms, buys, tick, lots = fill
    instrument = desk.instrument
    base, decimals = instrument.base_units(tick, lots)
    contracts = lots * instrument.lot
    is_inverse = instrument.product == "inverse"
    foreign = b"%d" % contracts if is_inverse else desk.value(tick * lots)
    # Satoshis, or millionths of a dollar.
    gross = base if is_inverse else tick * contracts
    return _ROW % (
        times.iso(time_ms),
        desk.native,
        b"Buy" if buys else b"Sell",
        b"%d" % contracts,
        desk.price[tick],
        b"ZeroPlusTick" if buys else b"ZeroMinusTick",
        uuid(desk, trade_id),
        gross,
        short(base, decimals),
        foreign,
    )


def _foreign(desk: Desk, candle: Candle) -> bytes:
    """Return the turnover in the quote currency."""
    if desk.instrument.product == "inverse":
        return b"%d" % (candle.lots * desk.instrument.lot)
    return desk.value(candle.value)


def _instrument(desk: Desk) -> dict[str, Any]:
    instrument = desk.instrument
    is_inverse = instrument.product == "inverse"
    base = "XBT" if instrument.base == "BTC" else instrument.base
    exponent = 0 if is_inverse else -int((instrument.contract or 1).as_tuple()[2])  # type: ignore[union-attr]
    return {
        "symbol": instrument.native,
        "rootSymbol": base,
        "state": "Open",
        "typ": "FFWCSX",
        "listing": "2016-05-13T12:00:00.000Z",
        "expiry": None,
        "underlying": base,
        "quoteCurrency": instrument.quote,
        "settlCurrency": "XBt" if is_inverse else "USDt",
        "lotSize": instrument.lot,
        "tickSize": instrument.tick / 10**instrument.price_decimals,
        "multiplier": -100_000_000 if is_inverse else 10 ** (6 - exponent),
        "underlyingToPositionMultiplier": None if is_inverse else 10**exponent,
        "isQuanto": False,
        "isInverse": is_inverse,
        "volume24h": desk.tape.day.lots * instrument.lot,
        "turnover24h": desk.tape.day.value,
        "homeNotional24h": float(short(*desk.base_volume(desk.tape.day.lots, desk.tape.day.base))),
        "foreignNotional24h": float(_foreign(desk, desk.tape.day)),
        "lastPrice": instrument.tick * desk.tape.day.close / 10**instrument.price_decimals,
        "timestamp": "2026-11-27T00:00:00.000Z",
    }
