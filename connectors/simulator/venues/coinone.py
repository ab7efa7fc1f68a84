"""Coinone's dialect: one topic a request, acknowledged first and refused after, worst ask first."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from connectors.simulator.book import Levels
from connectors.simulator.desk import Desk, Stream, StreamKind, Styles
from connectors.simulator.market import Fill
from connectors.simulator.texts import fixed, short
from connectors.simulator.venues.base import Answer, Connection, Request, Venue, integer, parsed

_DEPTH: Final = 16
_MAX_CONNECTIONS: Final = 20
_SILENT_MS: Final = 30 * 60_000
_UNSUBSCRIBED_MS: Final = 60_700
# The first frame shows a book of a while ago.
_STALE_MS: Final = 10_000
_KINDS: Final[dict[str, StreamKind]] = {
    "TICKER": "ticker",
    "TRADE": "trade",
    "ORDERBOOK": "orderbook",
}
_TRADE: Final = (
    b'{"response_type":"DATA","channel":"TRADE","data":{"quote_currency":"%b",'
    b'"target_currency":"%b","id":"%b","timestamp":%d,"price":"%b","qty":"%b",'
    b'"is_seller_maker":%b}}'
)
_SHORT_TRADE: Final = (
    b'{"r":"DATA","c":"TRADE","d":{"qc":"%b","tc":"%b","i":"%b","t":%d,"p":"%b","q":"%b","sm":%b}}'
)
_BOOK: Final = (
    b'{"response_type":"DATA","channel":"ORDERBOOK","data":{"quote_currency":"%b",'
    b'"target_currency":"%b","timestamp":%d,"id":"%d001","asks":[%b],"bids":[%b]}}'
)
_SHORT_BOOK: Final = (
    b'{"r":"DATA","c":"ORDERBOOK","d":{"qc":"%b","tc":"%b","t":%d,"i":"%d001","a":[%b],"b":[%b]}}'
)
_FIGURES: Final = (
    ("quote_currency", "qc", '"%(quote)b"'),
    ("target_currency", "tc", '"%(base)b"'),
    ("timestamp", "t", "%(time)d"),
    ("quote_volume", "qv", '"%(value)b"'),
    ("target_volume", "tv", '"%(volume)b"'),
    ("high", "hi", '"%(high)b"'),
    ("low", "lo", '"%(low)b"'),
    ("first", "fi", '"%(first)b"'),
    ("last", "la", '"%(last)b"'),
    ("volume_power", "vp", '"%(power)b"'),
    ("ask_best_price", "abp", '"%(ask)b"'),
    ("ask_best_qty", "abq", '"%(ask_size)b"'),
    ("bid_best_price", "bbp", '"%(bid)b"'),
    ("bid_best_qty", "bbq", '"%(bid_size)b"'),
    ("id", "i", '"%(time)d001"'),
    ("yesterday_high", "yhi", '"%(high)b"'),
    ("yesterday_low", "ylo", '"%(low)b"'),
    ("yesterday_first", "yfi", '"%(first)b"'),
    ("yesterday_last", "yla", '"%(first)b"'),
    ("yesterday_quote_volume", "yqv", '"%(value)b"'),
    ("yesterday_target_volume", "ytv", '"%(volume)b"'),
)
_TICKER: Final = ("{" + ",".join(f'"{name}":{value}' for name, _, value in _FIGURES) + "}").encode()
_SHORT_TICKER: Final = (
    "{" + ",".join(f'"{brief}":{value}' for _, brief, value in _FIGURES) + "}"
).encode()


class Coinone(Venue):
    """Coinone: spot markets against the won."""

    exchange = "coinone"
    styles = Styles(short, short)
    ticker_ms = 500
    is_periodic = False

    def __init__(self, desks: dict[tuple[str, str], Desk]) -> None:
        super().__init__(desks)
        self._connected = 0

    # -- connections ---------------------------------------------------------------------------

    def greet(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        self._connected += 1
        connection.memory["counted"] = True
        connection.memory["ping_ms"] = self.now_ms
        if self._connected > _MAX_CONNECTIONS:
            connection.close(4290, "too many connections")
            return
        session = f"{self._connected:08x}-f9ab-f300-1567-0eb31af6d6ef"
        self.say(connection, {"response_type": "CONNECTED", "data": {"session_id": session}})

    def forget(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        super().forget(connection)
        if connection.memory.pop("counted", False):
            self._connected -= 1

    def watch(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        if self.now_ms - connection.memory["ping_ms"] > _SILENT_MS:
            connection.close(1000)
        elif not connection.streams and self.now_ms - connection.heard_ms > _UNSUBSCRIBED_MS:
            connection.cut()

    def receive(self, connection: Connection, message: bytes) -> None:  # noqa: D102  # as Venue says
        request = parsed(message)
        if not isinstance(request, dict):
            self._error(connection, 160010, "Invalid Request")
            return
        match request.get("request_type"):
            case "PING":
                connection.memory["ping_ms"] = self.now_ms
                self.say(connection, b'{"response_type":"PONG"}')
            case "SUBSCRIBE" | "UNSUBSCRIBE":
                self._turn(connection, request)
            case _:
                self._error(connection, 160011, "Invalid Type", "request_type")

    def _error(self, connection: Connection, code: int, text: str, field: str = "") -> None:
        message: dict[str, Any] = {"response_type": "ERROR", "error_code": code, "message": text}
        self.say(connection, {**message, "field": field} if field else message)

    def _turn(self, connection: Connection, request: dict[str, Any]) -> None:
        topic, channel = request.get("topic"), request.get("channel")
        if not isinstance(topic, dict) or channel not in _KINDS:
            self._error(connection, 160010, "Invalid Request")
            return
        is_on = request["request_type"] == "SUBSCRIBE"
        done = "SUBSCRIBED" if is_on else "UNSUBSCRIBED"
        self.say(connection, {"response_type": done, "channel": channel, "data": topic})
        desk = self.of("spot", str(topic.get("target_currency")))
        if desk is None or topic.get("quote_currency") != desk.instrument.quote:
            self._error(connection, 160012, "Invalid Topic")
            return
        kind, form = _KINDS[channel], str(request.get("format", "DEFAULT"))
        if is_on:
            stream = self.open(connection, desk, kind, form)
            for payload in self._first(stream):
                self.say(connection, payload)
        elif (kind, form) in desk.streams:
            self.leave(connection, desk.streams[kind, form])

    # -- channels ------------------------------------------------------------------------------

    def trade_id(self, desk: Desk, fill: Fill) -> bytes:  # noqa: D102  # as Venue says
        del desk
        return b"%d" % (fill[1] * 1_000 + fill[0] % 1_000)

    def trade_frames(self, stream: Stream, fills: Sequence[Fill]) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk = stream.desk
        quote, base = desk.instrument.quote.encode(), desk.native
        text = _SHORT_TRADE if stream.form == "SHORT" else _TRADE
        for fill in fills:
            _, time_ms, buys, tick, lots = fill
            # The seller was the maker: the taker bought.
            made = b"true" if buys else b"false"
            trade_id = self.trade_id(desk, fill)
            yield text % (
                quote,
                base,
                trade_id,
                time_ms,
                desk.price[tick],
                desk.size[lots],
                made,
            )

    def ticker_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        values = self._values(stream.desk)
        if stream.form == "SHORT":
            yield b'{"r":"DATA","c":"TICKER","d":%b}' % (_SHORT_TICKER % values)
        else:
            yield b'{"response_type":"DATA","channel":"TICKER","data":%b}' % (_TICKER % values)

    def book_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return [self._book(stream, self.now_ms)]

    def _first(self, stream: Stream) -> Iterable[bytes]:
        if stream.kind == "ticker":
            return self.ticker_frames(stream)
        if stream.kind == "orderbook":
            return [self._book(stream, self.now_ms - _STALE_MS)]
        return ()

    def _book(self, stream: Stream, stamp_ms: int) -> bytes:
        desk = stream.desk
        is_short = stream.form == "SHORT"
        asks = self._levels(desk, desk.market.asks.top(_DEPTH)[::-1], is_short)
        bids = self._levels(desk, desk.market.bids.top(_DEPTH), is_short)
        quote, base = desk.instrument.quote.encode(), desk.native
        text = _SHORT_BOOK if is_short else _BOOK
        return text % (quote, base, stamp_ms, self.now_ms, asks, bids)

    @staticmethod
    def _levels(desk: Desk, levels: Levels, is_short: bool) -> bytes:  # noqa: FBT001  # one of two forms
        price, size = desk.price, desk.size
        row = b'{"p":"%b","q":"%b"}' if is_short else b'{"price":"%b","qty":"%b"}'
        return b",".join([row % (price[tick], size[lots]) for tick, lots in levels])

    def _values(self, desk: Desk) -> dict[bytes, Any]:
        day, price, size = desk.tape.day, desk.price, desk.size
        bid, ask = desk.market.bids.best(), desk.market.asks.best()
        return {
            b"quote": desk.instrument.quote.encode(),
            b"base": desk.native,
            b"time": self.now_ms,
            b"value": desk.value(day.value),
            b"volume": short(day.lots, desk.instrument.size_decimals),
            b"high": price[day.high],
            b"low": price[day.low],
            b"first": price[day.open],
            b"last": price[day.close],
            b"power": b"%d" % (100 * day.buy_lots // max(1, day.lots - day.buy_lots)),
            b"ask": price[ask[0]],
            b"ask_size": size[ask[1]],
            b"bid": price[bid[0]],
            b"bid_size": size[bid[1]],
        }

    # -- REST ----------------------------------------------------------------------------------

    def rest(self, request: Request) -> Answer:  # noqa: D102  # as Venue says
        budget = self.budget("all", 1_200, 60_000)
        is_allowed = budget.spend(request.now_ms)
        headers = {
            "public-ratelimit-remaining": str(budget.remaining),
            "public-ratelimit-replenish-rate": "20",
            "public-ratelimit-burst-capacity": "1200",
        }
        if not is_allowed:
            return self._failure("4", "Blocked user access")._replace(headers=headers)
        parts = request.path.strip("/").split("/")
        if parts[:2] != ["public", "v2"] or parts[3:4] not in ([], ["KRW"]):
            return self._failure("107", "Parameter error")
        desk = self.of("spot", parts[4]) if len(parts) > 4 else None  # noqa: PLR2004  # a coin
        answer = self._answer(parts[2], desk, request)
        return answer._replace(headers=headers)

    def _answer(  # noqa: PLR0911  # one a path
        self, name: str, desk: Desk | None, request: Request
    ) -> Answer:
        match name, desk:
            case "markets", None:
                return self._success(b'"markets":%b' % msgspec.json.encode(self._markets()))
            case "ticker_new", _:
                desks = self.listed("spot") if desk is None else [desk]
                rows = b",".join([_TICKER % self._values(of) for of in desks])
                return self._success(b'"tickers":[%b]' % rows)
            case "trades", Desk():
                return self._past(desk, request)
            case "orderbook", Desk():
                return self._depth(desk)
            case "chart", Desk():
                return self._chart(desk, request)
            case "range_units", Desk():
                unit = fixed(desk.instrument.tick, desk.instrument.price_decimals).decode()
                ladder = [{"range_min": 0, "next_range_min": 0, "price_unit": unit}]
                return self._success(b'"range_price_units":%b' % msgspec.json.encode(ladder))
        return self._failure("108", "Unknown CryptoCurrency")

    @staticmethod
    def _failure(code: str, text: str) -> Answer:
        failure = {"result": "error", "error_code": code, "error_msg": text}
        return Answer(msgspec.json.encode(failure))

    def _success(self, members: bytes) -> Answer:
        head = b'{"result":"success","error_code":"0","server_time":%d,' % self.now_ms
        return Answer(head + members + b"}")

    def refuse(self, status: int, retry_after_s: int) -> Answer:  # noqa: D102  # as Venue says
        answer = self._failure("4", "Blocked user access")
        return answer._replace(status=status, headers={"Retry-After": str(retry_after_s)})

    def _markets(self) -> list[dict[str, Any]]:
        return [
            {
                "quote_currency": desk.instrument.quote,
                "target_currency": desk.instrument.base,
                "price_unit": fixed(desk.instrument.tick, desk.instrument.price_decimals).decode(),
                "qty_unit": fixed(1, desk.instrument.size_decimals).decode(),
                "min_order_amount": "5000.0",
                "maintenance_status": 0,
                "trade_status": 1,
            }
            for desk in self.listed("spot")
        ]

    def _past(self, desk: Desk, request: Request) -> Answer:
        last = desk.tape.last(integer(request.query, "size", 200, 200))
        rows = [
            b'{"id":"%b","timestamp":%d,"price":"%b","qty":"%b","is_seller_maker":%b}'
            % (
                self.trade_id(desk, fill),
                fill[1],
                desk.price[fill[3]],
                desk.size[fill[4]],
                b"true" if fill[2] else b"false",
            )
            for fill in reversed(last)
        ]
        names = desk.instrument.quote.encode(), desk.native, b",".join(rows)
        return self._success(
            b'"quote_currency":"%b","target_currency":"%b","transactions":[%b]' % names
        )

    def _depth(self, desk: Desk) -> Answer:
        bids = self._levels(desk, desk.market.bids.top(_DEPTH), is_short=False)
        asks = self._levels(desk, desk.market.asks.top(_DEPTH), is_short=False)
        head = b'"timestamp":%d,"id":"%d001","quote_currency":"KRW","target_currency":"%b",'
        head %= (self.now_ms, self.now_ms, desk.native)
        return self._success(head + b'"bids":[%b],"asks":[%b]' % (bids, asks))

    def _chart(self, desk: Desk, request: Request) -> Answer:
        end_ms = (integer(request.query, "timestamp", 0, 2**53) or request.now_ms) + 1
        size = integer(request.query, "size", 200, 500)
        price, places = desk.price, desk.instrument.size_decimals
        rows = [
            b'{"timestamp":%d,"open":"%b","high":"%b","low":"%b","close":"%b",'
            b'"target_volume":"%b","quote_volume":"%b"}'
            % (
                minute_ms,
                price[candle.open],
                price[candle.high],
                price[candle.low],
                price[candle.close],
                short(candle.lots, places),
                desk.value(candle.value),
            )
            for minute_ms, candle in reversed(desk.tape.candles(0, end_ms)[-size:])
        ]
        return self._success(b'"is_last":false,"chart":[%b]' % b",".join(rows))
