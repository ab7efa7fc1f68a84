"""Gate's dialect (v4): channels with events, spot in base units, futures in signed contracts."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from connectors.simulator.book import Levels
from connectors.simulator.desk import Desk, Stream, StreamKind, Styles
from connectors.simulator.market import Fill
from connectors.simulator.tape import Candle
from connectors.simulator.texts import fixed, short
from connectors.simulator.venues.base import (
    Answer,
    Connection,
    Request,
    Venue,
    integer,
    pairs,
    parsed,
    shown,
)
from connectors.simulator.websocket import PING, frame

_SILENT_MS: Final = 30_500
_PING_MS: Final = 20_000
_LIMITED: Final = ("5", "10", "20", "50", "100")
_STREAM_DEPTHS: Final = {"50": 50, "400": 400}
_UPDATE_DEPTH: Final = 100
_KINDS: Final[dict[str, StreamKind]] = {
    "tickers": "ticker",
    "trades": "trade",
    "order_book": "orderbook",
    "order_book_update": "orderbook",
    "obu": "orderbook",
    "candlesticks": "kline",
}
_SPOT_TRADE: Final = (
    b'{"time":%d,"time_ms":%d,"channel":"spot.trades","event":"update","result":{"id":%d,'
    b'"id_market":%d,"create_time":%d,"create_time_ms":"%d.0","side":"%b","currency_pair":"%b",'
    b'"amount":"%b","price":"%b","range":"%d-%d"}}'
)
_FUTURES_TRADE: Final = (
    b'{"id":%d,"size":%b%b,"create_time":%d,"create_time_ms":%d,"price":"%b","contract":"%b"}'
)


class Gateio(Venue):
    """Gate: spot markets and linear perpetual contracts, each at its own address."""

    exchange = "gateio"
    styles = Styles(short, short)
    ticker_ms = 1_000
    is_periodic = False

    # -- connections ---------------------------------------------------------------------------

    def receive(self, connection: Connection, message: bytes) -> None:  # noqa: D102  # as Venue says
        request = parsed(message)
        channel = str(request.get("channel", "")) if isinstance(request, dict) else ""
        family, _, name = channel.partition(".")
        if not isinstance(request, dict) or family not in ("spot", "futures"):
            self._reply(connection, {}, channel, error=(2, f"unknown channel {channel}"))
        elif name == "ping":
            head = {**self._stamp(), "channel": f"{family}.pong", "event": "", "result": None}
            self.say(connection, head)
        elif name not in _KINDS or (family == "spot") != (connection.product == "spot"):
            self._reply(connection, request, channel, error=(2, f"unknown channel {channel}"))
        else:
            self._obey(connection, request, name)

    def _stamp(self) -> dict[str, int]:
        return {"time": self.now_ms // 1_000, "time_ms": self.now_ms}

    def _reply(
        self,
        connection: Connection,
        request: dict[str, Any],
        channel: str,
        error: tuple[int, str] | None = None,
    ) -> None:
        name = f"{connection.opened_ms & 0xFFFFFFFFFFFF:016x}"
        answer: dict[str, Any] = {**self._stamp(), "conn_id": name, "trace_id": name * 2}
        if "id" in request:
            answer["id"] = request["id"]
        answer["channel"] = channel
        answer["event"] = request.get("event", "")
        answer["payload"] = request.get("payload", [])
        if error is not None:
            answer["error"] = {"code": error[0], "message": error[1]}
        answer["result"] = {"status": "success" if error is None else "fail"}
        self.say(connection, {**answer, "requestId": name * 2})

    def _obey(self, connection: Connection, request: dict[str, Any], name: str) -> None:
        channel, payload = str(request["channel"]), request.get("payload") or []
        targets, unknown = self._targets(connection, name, [str(part) for part in payload])
        is_on = request.get("event") == "subscribe"
        if unknown is not None and name != "obu":  # which takes any name for granted
            text = f"unknown currency pair: {unknown}"
            self._reply(connection, request, channel, error=(2, text))
            return
        twice = [form for desk, kind, form in targets if self._has(connection, desk, kind, form)]
        if is_on and twice and name == "obu":
            self._reply(connection, request, channel, error=(2, f"Alert sub {twice[0]}"))
            return
        self._reply(connection, request, channel)
        for desk, kind, form in targets:
            if is_on:
                stream = self.open(connection, desk, kind, form)
                for message in self._first(stream):
                    self.say(connection, message)
            elif (kind, form) in desk.streams:
                self.leave(connection, desk.streams[kind, form])

    @staticmethod
    def _has(connection: Connection, desk: Desk, kind: StreamKind, form: str) -> bool:
        return desk.streams.get((kind, form)) in connection.streams

    def _targets(
        self, connection: Connection, name: str, payload: list[str]
    ) -> tuple[list[tuple[Desk, StreamKind, str]], str | None]:
        """Return the channels that a payload names, and the first market that is not there."""
        kind, product = _KINDS[name], connection.product
        if name == "obu":
            named = [part.removeprefix("ob.").rpartition(".") for part in payload]
            asked = [(pair, f"obu.{depth}") for pair, _, depth in named if depth in _STREAM_DEPTHS]
        elif name == "order_book":
            depth = payload[1] if len(payload) > 1 and payload[1] in _LIMITED else "20"
            asked = [(payload[0], f"limited.{depth}")] if payload else []
        elif name == "order_book_update":
            asked = [(payload[0], "update")] if payload else []
        elif name == "candlesticks":
            asked = [(payload[1], payload[0])] if len(payload) > 1 else []
        else:
            asked = [(pair, "") for pair in payload]
        found, unknown = [], None
        for pair, form in asked:
            desk = self.of(product, pair)
            if desk is None:
                unknown = unknown or pair
            else:
                found.append((desk, kind, form))
        return found, unknown

    def watch(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        if connection.product == "spot" and self.now_ms - connection.pinged_ms >= _PING_MS:
            connection.pinged_ms = self.now_ms
            connection.queue(frame(b"", PING))
        if not connection.streams and self.now_ms - connection.heard_ms > _SILENT_MS:
            connection.cut()

    def announce(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        self.say(connection, {"type": "upgrade", "msg": text})

    # -- channels ------------------------------------------------------------------------------

    def _head(self, desk: Desk, name: bytes) -> bytes:
        family = b"spot" if desk.instrument.product == "spot" else b"futures"
        head = b'{"time":%d,"time_ms":%d,"channel":"%b.%b","event":"update","result":'
        return head % (self.now_ms // 1_000, self.now_ms, family, name)

    def trade_frames(self, stream: Stream, fills: Sequence[Fill]) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk, now = stream.desk, self.now_ms
        price, size, name = desk.price, desk.size, desk.native
        if desk.instrument.product != "spot":
            rows = b",".join([_futures_row(desk, fill) for fill in fills])
            yield self._head(desk, b"trades") + b"[%b]}" % rows
            return
        second = now // 1_000
        for trade_id, time_ms, buys, tick, lots in fills:
            of_market = trade_id % 10**9
            yield _SPOT_TRADE % (
                second,
                now,
                trade_id,
                of_market,
                time_ms // 1_000,
                time_ms,
                b"buy" if buys else b"sell",
                name,
                size[lots],
                price[tick],
                of_market,
                of_market,
            )

    def ticker_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk = stream.desk
        if desk.instrument.product == "spot":
            return [self._head(desk, b"tickers") + _spot_ticker(desk) + b"}"]
        return [self._head(desk, b"tickers") + b"[%b]}" % _futures_ticker(desk)]

    def book_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk, form = stream.desk, stream.form
        if form.startswith("limited"):
            return [self._limited(stream)]
        depth = _UPDATE_DEPTH if form == "update" else _STREAM_DEPTHS[form.partition(".")[2]]
        view = shown(stream, depth)
        bids, asks = view.move_to(desk.market.bids, desk.market.asks)
        if not bids and not asks:
            return ()
        first = view.last_id + 1
        view.last_id = max(first, desk.count_updates())
        if form != "update":
            return [self._stream_changes(desk, form, (first, view.last_id), bids, asks)]
        changes = _sides(desk, bids, asks)
        if desk.instrument.product == "spot":
            result = b'{"t":%d,"e":"depthUpdate","E":%d,"s":"%b","U":%d,"u":%d,"b":[%b],"a":[%b]}}'
            result %= (
                self.now_ms - 50,
                self.now_ms // 1_000,
                desk.native,
                first,
                view.last_id,
                *changes,
            )
        else:
            result = b'{"U":%d,"a":[%b],"b":[%b],"s":"%b","t":%d,"u":%d}}'
            result %= (first, changes[1], changes[0], desk.native, self.now_ms - 50, view.last_id)
        return [self._head(desk, b"order_book_update") + result]

    def _stream_changes(
        self, desk: Desk, form: str, numbers: tuple[int, int], bids: Levels, asks: Levels
    ) -> bytes:
        family = b"spot" if desk.instrument.product == "spot" else b"futures"
        name = b"ob.%b.%b" % (desk.native, form.partition(".")[2].encode())
        members = b'"t":%d,"s":"%b","U":%d,"u":%d' % (self.now_ms, name, *numbers)
        for letter, levels in ((b"b", bids), (b"a", asks)):
            if levels:
                members += b',"%b":[%b]' % (letter, pairs(desk, levels))
        tail = (self.now_ms, b"update")
        return b'{"channel":"%b.obu","result":{%b},"time_ms":%d,"event":"%b"}' % (
            family,
            members,
            *tail,
        )

    def _limited(self, stream: Stream) -> bytes:
        desk, depth = stream.desk, int(stream.form.partition(".")[2])
        bids, asks = desk.market.bids.top(depth), desk.market.asks.top(depth)
        if desk.instrument.product == "spot":
            result = b'{"t":%d,"lastUpdateId":%d,"s":"%b","l":"%d","bids":[%b],"asks":[%b]}}'
            result %= (
                self.now_ms,
                desk.count_updates(),
                desk.native,
                depth,
                pairs(desk, bids),
                pairs(desk, asks),
            )
            return self._head(desk, b"order_book") + result
        sides = _sides(desk, bids, asks)
        result = b'{"t":%d,"id":%d,"contract":"%b","asks":[%b],"bids":[%b]}}'
        result %= (self.now_ms, desk.count_updates(), desk.native, sides[1], sides[0])
        head = self._head(desk, b"order_book").replace(b'"update"', b'"all"')
        return head + result

    def kline_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return [self._kline(stream.desk, *stream.desk.minute(self.now_ms), is_over=False)]

    def kline_end(self, stream: Stream, start_ms: int, candle: Candle) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return [self._kline(stream.desk, start_ms, candle, is_over=True)]

    def _kline(self, desk: Desk, start_ms: int, candle: Candle, *, is_over: bool) -> bytes:
        price, places = desk.price, desk.instrument.size_decimals
        over = b"true" if is_over else b"false"
        if desk.instrument.product == "spot":
            row = (
                b'{"t":"%d","v":"%b","c":"%b","h":"%b","l":"%b","o":"%b","n":"1m_%b","a":"%b",'
                b'"w":%b}'
            )
            row %= (
                start_ms // 1_000,
                desk.value(candle.value),
                price[candle.close],
                price[candle.high],
                price[candle.low],
                price[candle.open],
                desk.native,
                short(candle.lots, places),
                over,
            )
            return self._head(desk, b"candlesticks") + row + b"}"
        row = b'{"t":%d,"v":%d,"c":"%b","h":"%b","l":"%b","o":"%b","n":"1m_%b","a":"%b","w":%b}'
        row %= (
            start_ms // 1_000,
            candle.lots,
            price[candle.close],
            price[candle.high],
            price[candle.low],
            price[candle.open],
            desk.native,
            desk.value(candle.value),
            over,
        )
        return self._head(desk, b"candlesticks") + b"[%b]}" % row

    def _first(self, stream: Stream) -> Iterable[bytes]:
        desk = stream.desk
        if stream.kind == "kline":
            return self.kline_frames(stream)
        if stream.form.startswith("limited"):
            return [self._limited(stream)]
        if stream.kind != "orderbook" or stream.form == "update":
            if stream.form == "update":
                shown(stream, _UPDATE_DEPTH)
            return ()
        depth = stream.form.partition(".")[2]
        view = shown(stream, _STREAM_DEPTHS[depth])
        family = b"spot" if desk.instrument.product == "spot" else b"futures"
        bids, asks = view.levels()
        text = (
            b'{"channel":"%b.obu","result":{"t":%d,"full":true,"s":"ob.%b.%b","u":%d,"b":[%b],'
            b'"a":[%b]},"time_ms":%d,"event":"update"}'
        )
        sides = pairs(desk, bids), pairs(desk, asks)
        name = desk.native, depth.encode()
        return [text % (family, self.now_ms, *name, view.last_id, *sides, self.now_ms)]

    # -- REST ----------------------------------------------------------------------------------

    def rest(self, request: Request) -> Answer:  # noqa: D102  # as Venue says
        is_spot = request.product == "spot"
        root = "/api/v4/spot/" if is_spot else "/api/v4/futures/usdt/"
        spot: dict[str, Callable[[Request], Answer]] = {
            "currency_pairs": self._pairs,
            "trades": self._past,
            "order_book": self._depth,
            "tickers": self._tickers,
            "candlesticks": self._candles,
        }
        futures = {**spot, "contracts": self._contracts}
        budget = self.budget(request.path, 200, 10_000)
        is_allowed = budget.spend(request.now_ms)
        reset_s = (request.now_ms + budget.reset_ms(request.now_ms)) // 1_000
        headers = {
            "X-Gate-RateLimit-Requests-Remain": str(budget.remaining),
            "X-Gate-RateLimit-Limit": "200",
            "X-Gate-RateLimit-Reset-Timestamp": str(reset_s),
        }
        if not is_allowed:
            return self.refuse(429, 1)._replace(headers=headers)
        name = request.path.removeprefix(root)
        route = (spot if is_spot else futures).get(name)
        if route is None or not request.path.startswith(root):
            return self._failure(404, "NOT_FOUND", "no such path")
        return route(request)._replace(headers=headers)

    @staticmethod
    def _failure(status: int, label: str, text: str) -> Answer:
        return Answer(msgspec.json.encode({"label": label, "message": text}), status)

    def refuse(self, status: int, retry_after_s: int) -> Answer:  # noqa: D102  # as Venue says
        del retry_after_s  # the headers say when the window ends
        return self._failure(status, "TOO_MANY_REQUESTS", "Request Rate Limit Exceeded")

    def _asked(self, request: Request) -> Desk | Answer:
        name = request.query.get("currency_pair", request.query.get("contract", ""))
        desk = self.of(request.product, name)
        if desk is not None:
            return desk
        return self._failure(400, "INVALID_CURRENCY_PAIR", f"Invalid currency pair {name}")

    def _pairs(self, request: Request) -> Answer:
        rows = [
            {
                "id": desk.instrument.native,
                "base": desk.instrument.base,
                "quote": desk.instrument.quote,
                "fee": "0.2",
                "min_quote_amount": "3",
                "amount_precision": desk.instrument.size_decimals,
                "precision": desk.instrument.price_decimals,
                "trade_status": "tradable",
                "sell_start": 0,
                "buy_start": 0,
                "delisting_time": 0,
                "type": "normal",
            }
            for desk in self.listed(request.product)
        ]
        return Answer(msgspec.json.encode(rows))

    def _contracts(self, request: Request) -> Answer:
        rows = [
            {
                "name": desk.instrument.native,
                "type": "direct",
                "quanto_multiplier": f"{desk.instrument.contract:f}",
                "order_price_round": _tick(desk),
                "mark_price_round": _tick(desk),
                "order_size_min": 1,
                "order_size_max": 1_000_000,
                "last_price": desk.price[desk.tape.day.close].decode(),
                "trade_size": desk.tape.day.lots,
                "in_delisting": False,
                "status": "trading",
                "funding_interval": 28_800,
                "create_time": 0,
            }
            for desk in self.listed(request.product)
        ]
        return Answer(msgspec.json.encode(rows))

    def _past(self, request: Request) -> Answer:
        desk = self._asked(request)
        if isinstance(desk, Answer):
            return desk
        tape, query = desk.tape, request.query
        start = tape.at_time(integer(query, "from", 0, 2**40) * 1_000)
        to_s = integer(query, "to", 0, 2**40)
        end = tape.at_time(to_s * 1_000) if to_s else len(tape)
        limit = integer(query, "limit", 100, 1_000)
        is_spot = desk.instrument.product == "spot"
        page = max(1, integer(query, "page", 1, 100)) - 1
        skipped = limit * page if is_spot else integer(query, "offset", 0, 100_000)
        last = end - skipped
        fills = tape.slice(max(start, last - limit), max(start, last))
        row = _spot_row if is_spot else _futures_rest_row
        return Answer(b"[%b]" % b",".join([row(desk, fill) for fill in reversed(fills)]))

    def _depth(self, request: Request) -> Answer:
        desk = self._asked(request)
        if isinstance(desk, Answer):
            return desk
        depth = integer(request.query, "limit", 10, 100)
        bids, asks = desk.market.bids.top(depth), desk.market.asks.top(depth)
        number = (
            b'"id":%d,' % desk.count_updates() if request.query.get("with_id") == "true" else b""
        )
        if desk.instrument.product == "spot":
            body = b'{%b"current":%d,"update":%d,"asks":[%b],"bids":[%b]}'
            sides = pairs(desk, asks), pairs(desk, bids)
            return Answer(body % (number, self.now_ms, self.now_ms, *sides))
        bid_rows, ask_rows = _sides(desk, bids, asks)
        stamp = fixed(self.now_ms, 3)
        body = b'{%b"current":%b,"update":%b,"asks":[%b],"bids":[%b]}'
        return Answer(body % (number, stamp, stamp, ask_rows, bid_rows))

    def _tickers(self, request: Request) -> Answer:
        desks = self.listed(request.product)
        if request.query.get("currency_pair") or request.query.get("contract"):
            desk = self._asked(request)
            if isinstance(desk, Answer):
                return desk
            desks = [desk]
        row = _spot_ticker if request.product == "spot" else _futures_ticker
        return Answer(b"[%b]" % b",".join([row(desk) for desk in desks]))

    def _candles(self, request: Request) -> Answer:
        desk = self._asked(request)
        if isinstance(desk, Answer):
            return desk
        start_ms = integer(request.query, "from", 0, 2**40) * 1_000
        end_ms = integer(request.query, "to", 2**40, 2**40) * 1_000 + 1
        limit = integer(request.query, "limit", 100, 1_000)
        price, places = desk.price, desk.instrument.size_decimals
        rows = []
        for minute_ms, candle in desk.tape.candles(start_ms, end_ms)[-limit:]:
            prices = price[candle.close], price[candle.high], price[candle.low], price[candle.open]
            value = desk.value(candle.value)
            if desk.instrument.product == "spot":
                over = b"true" if minute_ms + 60_000 <= self.now_ms else b"false"
                row = b'["%d","%b","%b","%b","%b","%b","%b","%b"]'
                row %= (minute_ms // 1_000, value, *prices, short(candle.lots, places), over)
            else:
                row = b'{"t":%d,"v":%d,"c":"%b","h":"%b","l":"%b","o":"%b","sum":"%b"}'
                row %= (minute_ms // 1_000, candle.lots, *prices, value)
            rows.append(row)
        return Answer(b"[%b]" % b",".join(rows))


def _tick(desk: Desk) -> str:
    return fixed(desk.instrument.tick, desk.instrument.price_decimals).decode()


def _sides(desk: Desk, bids: Levels, asks: Levels) -> tuple[bytes, bytes]:
    """Return levels as each product writes them: texts in arrays, or contracts in objects."""
    if desk.instrument.product == "spot":
        return pairs(desk, bids), pairs(desk, asks)
    price, size = desk.price, desk.size
    texts = [
        b",".join([b'{"p":"%b","s":%b}' % (price[tick], size[lots]) for tick, lots in levels])
        for levels in (bids, asks)
    ]
    return texts[0], texts[1]


def _futures_row(desk: Desk, fill: Fill) -> bytes:
    trade_id, time_ms, buys, tick, lots = fill
    sign = b"" if buys else b"-"
    numbers = desk.size[lots], time_ms // 1_000, time_ms
    return _FUTURES_TRADE % (trade_id, sign, *numbers, desk.price[tick], desk.native)


def _futures_rest_row(desk: Desk, fill: Fill) -> bytes:
    trade_id, time_ms, buys, tick, lots = fill
    sign, stamp = b"" if buys else b"-", fixed(time_ms, 3)
    row = b'{"id":%d,"create_time":%b,"create_time_ms":%b,"contract":"%b","size":%b%b,"price":"%b"}'
    return row % (trade_id, stamp, stamp, desk.native, sign, desk.size[lots], desk.price[tick])


def _spot_row(desk: Desk, fill: Fill) -> bytes:
    trade_id, time_ms, buys, tick, lots = fill
    row = (
        b'{"id":"%d","create_time":"%d","create_time_ms":"%d.000000","currency_pair":"%b",'
        b'"side":"%b","amount":"%b","price":"%b","sequence_id":"%d"}'
    )
    side = b"buy" if buys else b"sell"
    texts = desk.native, side, desk.size[lots], desk.price[tick]
    return row % (trade_id, time_ms // 1_000, time_ms, *texts, trade_id % 10**9)


def _spot_ticker(desk: Desk) -> bytes:
    day, price = desk.tape.day, desk.price
    bid, ask = desk.market.bids.best(), desk.market.asks.best()
    return (
        b'{"currency_pair":"%b","last":"%b","lowest_ask":"%b","highest_bid":"%b",'
        b'"change_percentage":"%b","base_volume":"%b","quote_volume":"%b","high_24h":"%b",'
        b'"low_24h":"%b"}'
    ) % (
        desk.native,
        price[day.close],
        price[ask[0]],
        price[bid[0]],
        _percent(desk),
        short(day.lots, desk.instrument.size_decimals),
        desk.value(day.value),
        price[day.high],
        price[day.low],
    )


def _futures_ticker(desk: Desk) -> bytes:
    day, price = desk.tape.day, desk.price
    bid, ask = desk.market.bids.best(), desk.market.asks.best()
    base = short(*desk.base_volume(day.lots, day.base))
    return (
        b'{"contract":"%b","last":"%b","change_percentage":"%b","funding_rate":"0.0001",'
        b'"mark_price":"%b","index_price":"%b","total_size":"%d","volume_24h":"%d",'
        b'"volume_24h_base":"%b","volume_24h_quote":"%b","volume_24h_settle":"%b",'
        b'"quanto_base_rate":"","low_24h":"%b","high_24h":"%b","highest_bid":"%b","lowest_ask":"%b"}'
    ) % (
        desk.native,
        price[day.close],
        _percent(desk),
        price[day.close],
        price[day.close],
        day.lots // 10,
        day.lots,
        base,
        desk.value(day.value, 0),
        desk.value(day.value, 0),
        price[day.low],
        price[day.high],
        price[bid[0]],
        price[ask[0]],
    )


def _percent(desk: Desk) -> bytes:
    opening, _, change = desk.change()
    scaled = abs(change) * 1_000_000 // opening
    return short(-scaled if change < 0 else scaled, 4)
