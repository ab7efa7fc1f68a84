"""Kraken's dialect (WebSocket v2): numbers with their zeros, a checksum on every book."""

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from connectors.simulator.book import Levels, View
from connectors.simulator.desk import Desk, Stream, StreamKind, Styles
from connectors.simulator.market import Fill
from connectors.simulator.tape import Candle
from connectors.simulator.texts import fixed
from connectors.simulator.venues import times
from connectors.simulator.venues.base import (
    Answer,
    Connection,
    Request,
    Venue,
    integer,
    parsed,
    shown,
)

_DEPTHS: Final = (10, 25, 100, 500, 1_000)
_CHECKED: Final = 10
_SNAPSHOT_TRADES: Final = 50
_SILENT_MS: Final = 60_000
_KINDS: Final[dict[str, StreamKind]] = {
    "ticker": "ticker",
    "trade": "trade",
    "book": "orderbook",
    "ohlc": "kline",
    "instrument": "instrument",
}
# REST names the oldest currencies with a prefix.
_REST_NAMES: Final = {"BTC": "XXBT", "ETH": "XETH", "XRP": "XXRP", "XLM": "XXLM", "LTC": "XLTC"}
_OLD_NAMES: Final = {"BTC": "XBT", "DOGE": "XDG"}
_TRADE: Final = (
    b'{"symbol":"%b","side":"%b","price":%b,"qty":%b,"ord_type":"%b","trade_id":%d,'
    b'"timestamp":"%b"}'
)
_LEVEL: Final = b'{"price":%b,"qty":%b}'
_BOOK: Final = (
    b'{"channel":"book","type":"%b","data":[{"symbol":"%b","bids":[%b],"asks":[%b],'
    b'"checksum":%d,"timestamp":"%b"}]}'
)


class Kraken(Venue):
    """Kraken: spot markets against the US dollar."""

    exchange = "kraken"
    styles = Styles(fixed, fixed)
    ticker_ms = 100
    is_periodic = False

    # -- connections ---------------------------------------------------------------------------

    def greet(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        row = {
            "version": "2.0.10",
            "system": "online",
            "api_version": "v2",
            "connection_id": 15_113_583_034_416_118_705 + connection.opened_ms,
        }
        self.say(connection, {"channel": "status", "type": "update", "data": [row]})

    def watch(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        if connection.streams:
            self.say(connection, b'{"channel":"heartbeat"}')
        elif self.now_ms - connection.heard_ms > _SILENT_MS:
            connection.cut()

    def receive(self, connection: Connection, message: bytes) -> None:  # noqa: D102  # as Venue says
        request = parsed(message)
        if not isinstance(request, dict):
            self.say(connection, {"error": "Malformed request", "success": False})
            return
        method, params = request.get("method"), request.get("params") or {}
        number = {"req_id": request["req_id"]} if "req_id" in request else {}
        now = self._now()
        stamps = {"time_in": now, "time_out": now}
        if method == "ping":
            self.say(connection, {"method": "pong", **number, **stamps})
            return
        kind = _KINDS.get(str(params.get("channel")))
        if method not in ("subscribe", "unsubscribe") or kind is None:
            failure = {"error": "Unsupported channel", "method": method, "success": False}
            self.say(connection, {**failure, **number, **stamps})
            return
        if kind == "instrument":
            self._instrument_push(connection, {**number, **stamps}, str(method))
            return
        for symbol in params.get("symbol") or []:
            self._turn(connection, kind, str(symbol), params, {**number, **stamps}, str(method))

    def _turn(
        self,
        connection: Connection,
        kind: StreamKind,
        symbol: str,
        params: dict[str, Any],
        tail: dict[str, Any],
        method: str,
    ) -> None:
        desk = self.of("spot", symbol)
        depth = int(params.get("depth", 10))
        error = None
        if desk is None:
            error = f"Currency pair not supported {symbol}"
        elif kind == "orderbook" and depth not in _DEPTHS:
            error = "Subscription depth not supported"
        if desk is None or error is not None:
            failure = {"error": error, "method": method, "success": False, "symbol": symbol}
            self.say(connection, {**failure, **tail})
            return
        form = str(depth) if kind == "orderbook" else ""
        result = {"channel": params["channel"], "snapshot": params.get("snapshot", True)}
        if form:
            result["depth"] = depth
        answer = {"method": method, "result": {**result, "symbol": symbol}, "success": True}
        self.say(connection, {**answer, **tail})
        if method == "subscribe":
            stream = self.open(connection, desk, kind, form)
            if params.get("snapshot", True):
                for payload in self._first(stream):
                    self.say(connection, payload)
        elif (kind, form) in desk.streams:
            self.leave(connection, desk.streams[kind, form])

    def _instrument_push(self, connection: Connection, tail: dict[str, Any], method: str) -> None:
        result = {"channel": "instrument", "snapshot": True}
        self.say(connection, {"method": method, "result": result, "success": True, **tail})
        rows = [
            {
                "symbol": desk.instrument.native,
                "base": desk.instrument.base,
                "quote": desk.instrument.quote,
                "status": "online",
                "price_precision": desk.instrument.price_decimals,
                "qty_precision": desk.instrument.size_decimals,
                "price_increment": desk.instrument.tick / 10**desk.instrument.price_decimals,
            }
            for desk in self.listed("spot")
        ]
        data = {"assets": [], "pairs": rows}
        self.say(connection, {"channel": "instrument", "type": "snapshot", "data": data})

    def _now(self) -> str:
        return times.iso(self.now_ms, 6).decode()

    # -- channels ------------------------------------------------------------------------------

    def trade_frames(self, stream: Stream, fills: Sequence[Fill]) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return [self._trades(stream.desk, fills, b"update")]

    @staticmethod
    def _trades(desk: Desk, fills: Sequence[Fill], kind: bytes) -> bytes:
        price, size, name = desk.price, desk.size, desk.native
        rows = [
            _TRADE
            % (
                name,
                b"buy" if buys else b"sell",
                price[tick],
                size[lots],
                b"market" if lots % 3 else b"limit",
                trade_id,
                times.iso(time_ms, 6),
            )
            for trade_id, time_ms, buys, tick, lots in fills
        ]
        return b'{"channel":"trade","type":"%b","data":[%b]}' % (kind, b",".join(rows))

    def ticker_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return [self._ticker(stream.desk, b"update")]

    def _ticker(self, desk: Desk, kind: bytes) -> bytes:
        day, price, size, instrument = desk.tape.day, desk.price, desk.size, desk.instrument
        bid, ask = desk.market.bids.best(), desk.market.asks.best()
        opening, close, change = desk.change()
        average = price[day.value // max(1, day.lots)]
        percent = abs(change) * 10_000 // opening
        row = (
            b'{"symbol":"%b","bid":%b,"bid_qty":%b,"ask":%b,"ask_qty":%b,"last":%b,"volume":%b,'
            b'"vwap":%b,"low":%b,"high":%b,"change":%b,"change_pct":%b,"timestamp":"%b"}'
        ) % (
            desk.native,
            price[bid[0]],
            size[bid[1]],
            price[ask[0]],
            size[ask[1]],
            price[close],
            fixed(day.lots, instrument.size_decimals),
            average,
            price[day.low],
            price[day.high],
            price[change],
            fixed(-percent if change < 0 else percent, 2),
            times.iso(self.now_ms, 6),
        )
        return b'{"channel":"ticker","type":"%b","data":[%b]}' % (kind, row)

    def book_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk, view = stream.desk, shown(stream, int(stream.form))
        bids, asks = view.move_to(desk.market.bids, desk.market.asks)
        if not bids and not asks:
            return ()
        return [self._book(desk, view, b"update", bids, asks)]

    def _book(self, desk: Desk, view: View, kind: bytes, bids: Levels, asks: Levels) -> bytes:
        stamp = times.iso(self.now_ms, 6)
        sides = _levels(desk, bids), _levels(desk, asks)
        return _BOOK % (kind, desk.native, *sides, _checksum(desk, view), stamp)

    def kline_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return [self._candle(stream.desk, *stream.desk.minute(self.now_ms), b"update")]

    def kline_end(self, stream: Stream, start_ms: int, candle: Candle) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return [self._candle(stream.desk, start_ms, candle, b"update")]

    def _candle(self, desk: Desk, start_ms: int, candle: Candle, kind: bytes) -> bytes:
        price, average = desk.price, candle.value // max(1, candle.lots) or candle.close
        row = (
            b'{"symbol":"%b","open":%b,"high":%b,"low":%b,"close":%b,"trades":%d,"volume":%b,'
            b'"vwap":%b,"interval_begin":"%b","interval":1,"timestamp":"%b"}'
        ) % (
            desk.native,
            price[candle.open],
            price[candle.high],
            price[candle.low],
            price[candle.close],
            candle.count,
            fixed(candle.lots, desk.instrument.size_decimals),
            price[average],
            times.iso(start_ms, 9),
            times.iso(start_ms + 60_000, 6),
        )
        stamp = times.iso(self.now_ms, 9)
        return b'{"channel":"ohlc","type":"%b","timestamp":"%b","data":[%b]}' % (kind, stamp, row)

    def _first(self, stream: Stream) -> Iterable[bytes]:
        desk = stream.desk
        if stream.kind == "ticker":
            return [self._ticker(desk, b"snapshot")]
        if stream.kind == "trade":
            return [self._trades(desk, desk.tape.last(_SNAPSHOT_TRADES), b"snapshot")]
        if stream.kind == "orderbook":
            view = shown(stream, int(stream.form))
            return [self._book(desk, view, b"snapshot", *view.levels())]
        return [self._candle(desk, *desk.minute(self.now_ms), b"snapshot")]

    # -- REST ----------------------------------------------------------------------------------

    def rest(self, request: Request) -> Answer:  # noqa: D102  # as Venue says
        routes = {
            "/0/public/AssetPairs": self._asset_pairs,
            "/0/public/Trades": self._past,
            "/0/public/Depth": self._depth,
            "/0/public/Ticker": self._tickers,
            "/0/public/OHLC": self._ohlc,
        }
        if not self.budget("all", 15, 10_000).spend(request.now_ms):
            return self.refuse(200, 1)
        route = routes.get(request.path)
        return self._failure("EGeneral:Unknown method") if route is None else route(request)

    @staticmethod
    def _failure(text: str) -> Answer:
        return Answer(msgspec.json.encode({"error": [text]}))

    def refuse(self, status: int, retry_after_s: int) -> Answer:  # noqa: D102  # as Venue says
        del retry_after_s  # it says no time
        return self._failure("EAPI:Rate limit exceeded")._replace(status=status)

    def _asked(self, request: Request) -> Desk | None:
        name = request.query.get("pair", "")
        for desk in self.listed("spot"):
            native = desk.instrument.native
            names = _alternative(desk), _ws_name(desk), native, native.replace("/", "")
            if name in (_rest_name(desk), *names):
                return desk
        return None

    def _result(self, members: bytes) -> Answer:
        return Answer(b'{"error":[],"result":{%b}}' % members)

    def _asset_pairs(self, request: Request) -> Answer:
        del request
        rows = {_rest_name(desk): _pair(desk) for desk in self.listed("spot")}
        return Answer(msgspec.json.encode({"error": [], "result": rows}))

    def _past(self, request: Request) -> Answer:
        desk = self._asked(request)
        if desk is None:
            return self._failure("EQuery:Unknown asset pair")
        tape, count = desk.tape, integer(request.query, "count", 1_000, 1_000)
        since = integer(request.query, "since", 0, 2**63)
        if since:
            since_ms = since // 1_000_000 if since > 10**15 else since * 1_000
            start = tape.after_time(since_ms)
        else:
            start = len(tape) - count
        fills = tape.slice(start, max(0, start) + count)
        rows = [
            b'["%b","%b",%d.%03d,"%b","%b","",%d]'
            % (
                desk.price[tick],
                desk.size[lots],
                time_ms // 1_000,
                time_ms % 1_000,
                b"b" if buys else b"s",
                b"m" if lots % 3 else b"l",
                trade_id,
            )
            for trade_id, time_ms, buys, tick, lots in fills
        ]
        last = fills[-1][1] * 1_000_000 if fills else since
        name = _rest_name(desk).encode()
        return self._result(b'"%b":[%b],"last":"%d"' % (name, b",".join(rows), last))

    def _depth(self, request: Request) -> Answer:
        desk = self._asked(request)
        if desk is None:
            return self._failure("EQuery:Unknown asset pair")
        depth, stamp = integer(request.query, "count", 100, 500), self.now_ms // 1_000
        sides = [
            b",".join([b'["%b","%b",%d]' % (desk.price[t], desk.size[n], stamp) for t, n in levels])
            for levels in (desk.market.asks.top(depth), desk.market.bids.top(depth))
        ]
        return self._result(b'"%b":{"asks":[%b],"bids":[%b]}' % (_rest_name(desk).encode(), *sides))

    def _tickers(self, request: Request) -> Answer:
        desks = self.listed("spot")
        if request.query.get("pair"):
            asked = self._asked(request)
            if asked is None:
                return self._failure("EQuery:Unknown asset pair")
            desks = [asked]
        return self._result(b",".join([_rest_ticker(desk) for desk in desks]))

    def _ohlc(self, request: Request) -> Answer:
        desk = self._asked(request)
        if desk is None:
            return self._failure("EQuery:Unknown asset pair")
        since = integer(request.query, "since", 0, 2**40)
        price, places = desk.price, desk.instrument.size_decimals
        found = [row for row in desk.tape.candles(0, 2**53) if row[0] // 1_000 > since][-720:]
        rows = [
            b'[%d,"%b","%b","%b","%b","%b","%b",%d]'
            % (
                start_ms // 1_000,
                price[candle.open],
                price[candle.high],
                price[candle.low],
                price[candle.close],
                price[candle.value // max(1, candle.lots) or candle.close],
                fixed(candle.lots, places),
                candle.count,
            )
            for start_ms, candle in found
        ]
        last = found[-2][0] // 1_000 if len(found) > 1 else since
        name = _rest_name(desk).encode()
        return self._result(b'"%b":[%b],"last":%d' % (name, b",".join(rows), last))


def _levels(desk: Desk, levels: Levels) -> bytes:
    price, size = desk.price, desk.size
    return b",".join([_LEVEL % (price[tick], size[lots]) for tick, lots in levels])


def _checksum(desk: Desk, view: View) -> int:
    """Return the CRC of what the client has now: ten asks, then ten bids, digits alone."""
    price, size = desk.price, desk.size
    bids, asks = view.levels()
    digits = [
        text.replace(b".", b"").lstrip(b"0")
        for tick, lots in (*asks[:_CHECKED], *bids[:_CHECKED])
        for text in (price[tick], size[lots])
    ]
    return zlib.crc32(b"".join(digits))


def _ws_name(desk: Desk) -> str:
    base = _OLD_NAMES.get(desk.instrument.base, desk.instrument.base)
    return f"{base}/{desk.instrument.quote}"


def _alternative(desk: Desk) -> str:
    return _ws_name(desk).replace("/", "")


def _rest_name(desk: Desk) -> str:
    base = desk.instrument.base
    return f"{_REST_NAMES[base]}ZUSD" if base in _REST_NAMES else _alternative(desk)


def _rest_ticker(desk: Desk) -> bytes:
    day, price = desk.tape.day, desk.price
    bid, ask, last = desk.market.bids.best(), desk.market.asks.best(), desk.tape.last(1)
    size = desk.size[last[0][4] if last else 1]
    volume = fixed(day.lots, desk.instrument.size_decimals)
    average = price[day.value // max(1, day.lots)]
    return (
        b'"%b":{"a":["%b","1","1.000"],"b":["%b","1","1.000"],"c":["%b","%b"],"v":["%b","%b"],'
        b'"p":["%b","%b"],"t":[%d,%d],"l":["%b","%b"],"h":["%b","%b"],"o":"%b"}'
    ) % (
        _rest_name(desk).encode(),
        price[ask[0]],
        price[bid[0]],
        price[day.close],
        size,
        volume,
        volume,
        average,
        average,
        day.count,
        day.count,
        price[day.low],
        price[day.low],
        price[day.high],
        price[day.high],
        price[day.open],
    )


def _pair(desk: Desk) -> dict[str, Any]:
    instrument = desk.instrument
    return {
        "altname": _alternative(desk),
        "wsname": _ws_name(desk),
        "aclass_base": "currency",
        "base": _REST_NAMES.get(instrument.base, _OLD_NAMES.get(instrument.base, instrument.base)),
        "aclass_quote": "currency",
        "quote": "ZUSD",
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": instrument.price_decimals,
        "lot_decimals": instrument.size_decimals,
        "lot_multiplier": 1,
        "fee_volume_currency": "ZUSD",
        "ordermin": "0.0001",
        "tick_size": fixed(instrument.tick, instrument.price_decimals).decode(),
        "status": "online",
    }
