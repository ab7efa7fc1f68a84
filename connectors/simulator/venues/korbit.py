"""Korbit's dialect: requests in an array, lower-case symbols, whole books, server pings."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from connectors.simulator.book import Levels
from connectors.simulator.desk import Desk, Stream, StreamKind, Styles
from connectors.simulator.market import Fill
from connectors.simulator.texts import fixed, short
from connectors.simulator.venues.base import Answer, Connection, Request, Venue, integer, parsed
from connectors.simulator.websocket import PING, frame

_DEPTH: Final = 30
_PING_MS: Final = 30_000
_KINDS: Final[dict[str, StreamKind]] = {
    "ticker": "ticker",
    "trade": "trade",
    "orderbook": "orderbook",
}
_TRADE: Final = b'{"timestamp":%d,"price":"%b","qty":"%b","isBuyerTaker":%b,"tradeId":%d}'
_LEVEL: Final = b'{"price":"%b","qty":"%b"}'


class Korbit(Venue):
    """Korbit: spot markets against the won."""

    exchange = "korbit"
    styles = Styles(short, short)
    ticker_ms = 300
    is_periodic = False

    # -- connections ---------------------------------------------------------------------------

    def receive(self, connection: Connection, message: bytes) -> None:  # noqa: D102  # as Venue says
        requests = parsed(message)
        if not isinstance(requests, list) or not all(isinstance(part, dict) for part in requests):
            self.say(connection, b'{"status":"fail","message":"invalid_format"}')
            return
        for request in requests:
            self._obey(connection, request)

    def _obey(self, connection: Connection, request: dict[str, Any]) -> None:
        number = {"requestId": request["requestId"]} if "requestId" in request else {}
        kind = _KINDS.get(str(request.get("type")))
        names = request.get("symbols") or []
        if kind is None or request.get("method") not in ("subscribe", "unsubscribe"):
            failure = {"status": "fail", "code": "INVALID_REQUEST", "message": "unknown_type"}
            self.say(connection, {**failure, **number})
            return
        desks = []
        for name in names:
            desk = self.of("spot", str(name))
            if desk is None:
                text = f"The symbol does not exist ({name})"
                failure = {"status": "fail", "code": "INVALID_SYMBOL", "message": text}
                self.say(connection, {**failure, **number})
            else:
                desks.append(desk)
        if number and desks:
            self.say(connection, {"status": "success", **number})
        for desk in desks:
            self._turn(connection, desk, kind, is_on=request["method"] == "subscribe")

    def _turn(self, connection: Connection, desk: Desk, kind: StreamKind, *, is_on: bool) -> None:
        if is_on:
            stream = self.open(connection, desk, kind, "")
            for payload in self._snapshot(stream):
                self.say(connection, payload)
        elif (kind, "") in desk.streams:
            self.leave(connection, desk.streams[kind, ""])

    def watch(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        if self.now_ms - connection.pinged_ms >= _PING_MS:
            connection.pinged_ms = self.now_ms
            connection.queue(frame(b"ping", PING))

    # -- channels ------------------------------------------------------------------------------

    def trade_frames(self, stream: Stream, fills: Sequence[Fill]) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return [self._trades(stream.desk, fills, b"")]

    def ticker_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return [self._ticker(stream.desk, b"")]

    def book_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return [self._book(stream.desk, b"")]

    def _snapshot(self, stream: Stream) -> list[bytes]:
        mark = b'"snapshot":true,'
        if stream.kind == "ticker":
            return [self._ticker(stream.desk, mark)]
        if stream.kind == "orderbook":
            return [self._book(stream.desk, mark)]
        last = stream.desk.tape.last(1)
        return [self._trades(stream.desk, last, mark)] if last else []

    def _head(self, desk: Desk, kind: bytes, mark: bytes) -> bytes:
        return b'{"symbol":"%b","timestamp":%d,"type":"%b",%b' % (
            desk.native,
            self.now_ms,
            kind,
            mark,
        )

    def _trades(self, desk: Desk, fills: Sequence[Fill], mark: bytes) -> bytes:
        rows = b",".join([self._row(desk, fill) for fill in fills])
        return self._head(desk, b"trade", mark) + b'"data":[%b]}' % rows

    @staticmethod
    def _row(desk: Desk, fill: Fill) -> bytes:
        trade_id, time_ms, buys, tick, lots = fill
        taken = b"true" if buys else b"false"
        return _TRADE % (time_ms, desk.price[tick], desk.size[lots], taken, trade_id)

    def _ticker(self, desk: Desk, mark: bytes) -> bytes:
        return self._head(desk, b"ticker", mark) + b'"data":%b}' % self._figures(desk)

    def _figures(self, desk: Desk) -> bytes:
        day, price = desk.tape.day, desk.price
        opening, close, change = desk.change()
        bid, ask = desk.market.bids.best(), desk.market.asks.best()
        last = desk.tape.last(1)
        percent = abs(change) * 10_000 // opening
        return (
            b'{"open":"%b","high":"%b","low":"%b","close":"%b","prevClose":"%b",'
            b'"priceChange":"%b","priceChangePercent":"%b","volume":"%b","quoteVolume":"%b",'
            b'"bestAskPrice":"%b","bestBidPrice":"%b","lastTradedAt":%d}'
        ) % (
            price[opening],
            price[day.high],
            price[day.low],
            price[close],
            price[opening],
            price[change],
            fixed(-percent if change < 0 else percent, 2),
            short(day.lots, desk.instrument.size_decimals),
            desk.value(day.value),
            price[ask[0]],
            price[bid[0]],
            last[0][1] if last else self.now_ms,
        )

    def _book(self, desk: Desk, mark: bytes) -> bytes:
        market = desk.market
        return self._head(desk, b"orderbook", mark) + (
            b'"data":{"timestamp":%d,"asks":[%b],"bids":[%b]}}'
            % (
                self.now_ms,
                self._levels(desk, market.asks.top(_DEPTH)),
                self._levels(desk, market.bids.top(_DEPTH)),
            )
        )

    @staticmethod
    def _levels(desk: Desk, levels: Levels) -> bytes:
        price, size = desk.price, desk.size
        return b",".join([_LEVEL % (price[tick], size[lots]) for tick, lots in levels])

    # -- REST ----------------------------------------------------------------------------------

    def rest(self, request: Request) -> Answer:  # noqa: D102  # as Venue says
        budget = self.budget("all", 50, 1_000)
        is_allowed = budget.spend(request.now_ms)
        reset_s = -(-budget.reset_ms(request.now_ms) // 1_000)
        headers = {
            "Ratelimit": f"limit=50, remaining={budget.remaining}, reset={reset_s}",
            "Ratelimit-Policy": "50;w=1",
        }
        if not is_allowed:
            return self.refuse(429, reset_s)
        routes = {
            "/v2/currencyPairs": self._pairs,
            "/v2/tickSizePolicy": self._ticks,
            "/v2/trades": self._past,
            "/v2/tickers": self._tickers,
            "/v2/orderbook": self._depth,
            "/v2/candles": self._candles,
        }
        route = routes.get(request.path)
        if route is None:
            return self._failure(404, "NOT_FOUND", "no such path")
        return route(request)._replace(headers=headers)

    @staticmethod
    def _failure(status: int, code: str, text: str) -> Answer:
        failure = {"success": False, "error": {"code": code, "message": text}}
        return Answer(msgspec.json.encode(failure), status)

    def refuse(self, status: int, retry_after_s: int) -> Answer:  # noqa: D102  # as Venue says
        answer = self._failure(status, "TOO_MANY_REQUESTS", "too many requests")
        return answer._replace(headers={"Retry-After": str(retry_after_s)})

    def _pairs(self, request: Request) -> Answer:
        del request
        rows = [
            {
                "symbol": desk.instrument.native,
                "status": "launched",
                "baseCurrency": desk.instrument.base.lower(),
                "quoteCurrency": desk.instrument.quote.lower(),
            }
            for desk in self.listed("spot")
        ]
        return Answer(msgspec.json.encode({"success": True, "data": rows}))

    def _ticks(self, request: Request) -> Answer:
        desk = self.of("spot", request.query.get("symbol", ""))
        if desk is None:
            return self._failure(400, "INVALID_SYMBOL", "no such symbol")
        tick = fixed(desk.instrument.tick, desk.instrument.price_decimals).decode()
        policy = [{"priceGte": "0", "tickSize": tick}]
        row = {"symbol": desk.instrument.native, "tickSizePolicy": policy}
        return Answer(msgspec.json.encode({"success": True, "data": [row]}))

    def _past(self, request: Request) -> Answer:
        desk = self.of("spot", request.query.get("symbol", ""))
        if desk is None:
            return self._failure(400, "INVALID_SYMBOL", "no such symbol")
        last = desk.tape.last(integer(request.query, "limit", 500, 500))
        rows = b",".join([self._row(desk, fill) for fill in reversed(last)])
        return Answer(b'{"success":true,"data":[%b]}' % rows)

    def _tickers(self, request: Request) -> Answer:
        names = [name for name in request.query.get("symbol", "").split(",") if name]
        desks = [
            desk for desk in self.listed("spot") if desk.instrument.native in names or not names
        ]
        rows = [b'{"symbol":"%b",%b' % (desk.native, self._figures(desk)[1:]) for desk in desks]
        return Answer(b'{"success":true,"data":[%b]}' % b",".join(rows))

    def _depth(self, request: Request) -> Answer:
        desk = self.of("spot", request.query.get("symbol", ""))
        if desk is None:
            return self._failure(400, "INVALID_SYMBOL", "no such symbol")
        bids = self._levels(desk, desk.market.bids.top(_DEPTH))
        asks = self._levels(desk, desk.market.asks.top(_DEPTH))
        body = b'{"success":true,"data":{"timestamp":%d,"bids":[%b],"asks":[%b]}}'
        return Answer(body % (self.now_ms, bids, asks))

    def _candles(self, request: Request) -> Answer:
        desk = self.of("spot", request.query.get("symbol", ""))
        if desk is None:
            return self._failure(400, "INVALID_SYMBOL", "no such symbol")
        start_ms = integer(request.query, "start", 0, 2**53)
        end_ms = (integer(request.query, "end", 0, 2**53) or request.now_ms) + 1
        limit = integer(request.query, "limit", 200, 200)
        price, places = desk.price, desk.instrument.size_decimals
        rows = [
            b'{"timestamp":%d,"open":"%b","high":"%b","low":"%b","close":"%b","volume":"%b"}'
            % (
                minute_ms,
                price[candle.open],
                price[candle.high],
                price[candle.low],
                price[candle.close],
                short(candle.lots, places),
            )
            for minute_ms, candle in desk.tape.candles(start_ms, end_ms)[-limit:]
        ]
        return Answer(b'{"success":true,"data":[%b]}' % b",".join(rows))
