"""OKX's dialect: channels as arguments, everything a text, books linked by their numbers."""

from collections.abc import Iterable, Sequence
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
    parsed,
    shown,
)

_SILENT_MS: Final = 30_000
_KEEPALIVE_MS: Final = 60_000
_NOTICE_MS: Final = 60_000
_SUBSCRIPTIONS_AN_HOUR: Final = 480
_DEPTHS: Final = {
    "books": 400,
    "books-l2-tbt": 400,
    "books50-l2-tbt": 50,
    "books5": 5,
    "bbo-tbt": 1,
}
_FULL: Final = ("books5", "bbo-tbt")
_KINDS: Final[dict[str, StreamKind]] = {
    "tickers": "ticker",
    "trades": "trade",
    "trades-all": "trade",
    "candle1m": "kline",
    "instruments": "instrument",
    **dict.fromkeys(_DEPTHS, "orderbook"),
}
_BUSINESS: Final = ("trades-all", "candle1m")
_PRODUCTS: Final = {"SPOT": ("spot",), "SWAP": ("linear", "inverse")}
_TRADE: Final = (
    b'{"arg":{"channel":"trades","instId":"%b"},"data":[{"instId":"%b","tradeId":"%d","px":"%b",'
    b'"sz":"%b","side":"%b","ts":"%d","count":"%d","source":"0","seqId":%d}]}'
)
_SINGLE: Final = (
    b'{"arg":{"channel":"trades-all","instId":"%b"},"data":[{"instId":"%b","tradeId":"%d",'
    b'"px":"%b","sz":"%b","side":"%b","ts":"%d","source":"0"}]}'
)
_BOOK: Final = (
    b'{"arg":{"channel":"%b","instId":"%b"},"action":"%b","data":[{"asks":[%b],"bids":[%b],'
    b'"ts":"%d","checksum":0,"prevSeqId":%d,"seqId":%d}]}'
)
_WHOLE: Final = (
    b'{"arg":{"channel":"%b","instId":"%b"},"data":[{"asks":[%b],"bids":[%b],%b"ts":"%d",'
    b'"seqId":%d}]}'
)


class Okx(Venue):
    """OKX: spot, linear and inverse perpetual markets."""

    exchange = "okx"
    styles = Styles(short, short)
    ticker_ms = 100
    is_periodic = False

    def _desk(self, native: str) -> Desk | None:
        """Return a market of any product: one address has them all."""
        product = "spot"
        if native.endswith("-SWAP"):
            product = "inverse" if native.endswith("-USD-SWAP") else "linear"
        return self.of(product, native)

    # -- connections ---------------------------------------------------------------------------

    def receive(self, connection: Connection, message: bytes) -> None:  # noqa: D102  # as Venue says
        if message == b"ping":
            self.say(connection, b"pong")
            return
        request = parsed(message)
        args = request.get("args") if isinstance(request, dict) else None
        if not isinstance(args, list) or request.get("op") not in ("subscribe", "unsubscribe"):
            text = f"Invalid request: {message.decode(errors='replace')}"
            self._error(connection, {}, "60012", text)
            return
        number = {"id": request["id"]} if "id" in request else {}
        for arg in args:
            used = connection.memory["turns"] = connection.memory.get("turns", 0) + 1
            if used > _SUBSCRIPTIONS_AN_HOUR:
                self._error(connection, number, "60014", "Requests too frequent")
                return
            self._turn(connection, arg, number, request["op"])

    def _error(self, connection: Connection, number: dict[str, Any], code: str, text: str) -> None:
        error = {"event": "error", "code": code, "msg": text, "connId": _name(connection)}
        self.say(connection, {**number, **error})

    def _turn(
        self, connection: Connection, arg: dict[str, Any], number: dict[str, Any], op: str
    ) -> None:
        channel = str(arg.get("channel"))
        kind = _KINDS.get(channel)
        business = "business" in connection.path
        is_here = business == (channel in _BUSINESS)
        if kind == "instrument":
            self.say(connection, {**number, "event": op, "arg": arg, "connId": _name(connection)})
            self._instruments_push(connection, str(arg.get("instType")))
            return
        desk = self._desk(str(arg.get("instId")))
        if kind is None or desk is None or not is_here:
            wrong = f"Wrong URL or channel:{channel},instId:{arg.get('instId')} doesn't exist."
            self._error(connection, number, "60018", wrong)
            return
        if "tbt" in channel and channel != "bbo-tbt":
            self._error(
                connection, number, "64003", "Your trading fee tier doesn't meet the requirement"
            )
            return
        self.say(connection, {**number, "event": op, "arg": arg, "connId": _name(connection)})
        if op == "subscribe":
            stream = self.open(connection, desk, kind, channel)
            for payload in self._first(stream):
                self.say(connection, payload)
        elif (kind, channel) in desk.streams:
            self.leave(connection, desk.streams[kind, channel])

    def watch(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        if not connection.streams and self.now_ms - connection.heard_ms > _SILENT_MS:
            connection.cut()
        upgraded_ms = connection.memory.get("upgrade_ms")
        if upgraded_ms is not None and self.now_ms >= upgraded_ms:
            connection.close(1001, "service upgrade")

    def announce(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        notice = {"event": "notice", "code": "64008", "msg": text, "connId": _name(connection)}
        connection.memory["upgrade_ms"] = self.now_ms + _NOTICE_MS
        self.say(connection, notice)

    def _instruments_push(self, connection: Connection, kind: str) -> None:
        rows = self._instrument_rows(kind)
        arg = {"channel": "instruments", "instType": kind}
        self.say(connection, {"arg": arg, "data": rows})

    # -- channels ------------------------------------------------------------------------------

    def trade_frames(self, stream: Stream, fills: Sequence[Fill]) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk = stream.desk
        name, price, size = desk.native, desk.price, desk.size
        if stream.form == "trades-all":
            for trade_id, time_ms, buys, tick, lots in fills:
                side = b"buy" if buys else b"sell"
                yield _SINGLE % (name, name, trade_id, price[tick], size[lots], side, time_ms)
            return
        for trade_id, time_ms, buys, tick, lots, count in _aggregated(fills):
            side = b"buy" if buys else b"sell"
            yield _TRADE % (
                name,
                name,
                trade_id,
                price[tick],
                size[lots],
                side,
                time_ms,
                count,
                desk.update_id,
            )

    def ticker_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk = stream.desk
        row = self._ticker_row(desk)
        return [b'{"arg":{"channel":"tickers","instId":"%b"},"data":[%b]}' % (desk.native, row)]

    def _ticker_row(self, desk: Desk) -> bytes:
        day, price, size = desk.tape.day, desk.price, desk.size
        bid, ask = desk.market.bids.best(), desk.market.asks.best()
        last = desk.tape.last(1)
        volume = short(day.lots * desk.instrument.lot, desk.instrument.size_decimals)
        is_spot = desk.instrument.product == "spot"
        currency = (
            desk.value(day.value) if is_spot else short(*desk.base_volume(day.lots, day.base))
        )
        return (
            b'{"instType":"%b","instId":"%b","last":"%b","lastSz":"%b","askPx":"%b","askSz":"%b",'
            b'"bidPx":"%b","bidSz":"%b","open24h":"%b","high24h":"%b","low24h":"%b","sodUtc0":"%b",'
            b'"sodUtc8":"%b","volCcy24h":"%b","vol24h":"%b","ts":"%d"}'
        ) % (
            b"SPOT" if is_spot else b"SWAP",
            desk.native,
            price[day.close],
            size[last[0][4] if last else 1],
            price[ask[0]],
            size[ask[1]],
            price[bid[0]],
            size[bid[1]],
            price[day.open],
            price[day.high],
            price[day.low],
            price[day.open],
            price[day.open],
            currency,
            volume,
            self.now_ms,
        )

    def book_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk, channel = stream.desk, stream.form
        if channel in _FULL:
            return [self._whole(stream)]
        view = shown(stream, _DEPTHS[channel])
        bids, asks = view.move_to(desk.market.bids, desk.market.asks)
        before = view.last_id
        if not bids and not asks:
            if self.now_ms - (stream.state or 0) < _KEEPALIVE_MS:
                return ()
        else:
            view.last_id = max(before + 1, desk.count_updates())
        stream.state = self.now_ms
        name = channel.encode(), desk.native
        levels = _levels(desk, asks), _levels(desk, bids)
        return [_BOOK % (*name, b"update", *levels, self.now_ms, before, view.last_id)]

    def _whole(self, stream: Stream) -> bytes:
        desk = stream.desk
        depth = _DEPTHS[stream.form]
        levels = (
            _levels(desk, desk.market.asks.top(depth)),
            _levels(desk, desk.market.bids.top(depth)),
        )
        inside = b'"instId":"%b",' % desk.native if stream.form == "books5" else b""
        names = stream.form.encode(), desk.native
        return _WHOLE % (*names, *levels, inside, self.now_ms, desk.count_updates())

    def kline_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk = stream.desk
        row = self._candle_row(desk, *desk.minute(self.now_ms), is_over=False)
        return [b'{"arg":{"channel":"candle1m","instId":"%b"},"data":[%b]}' % (desk.native, row)]

    def kline_end(self, stream: Stream, start_ms: int, candle: Candle) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk = stream.desk
        row = self._candle_row(desk, start_ms, candle, is_over=True)
        return [b'{"arg":{"channel":"candle1m","instId":"%b"},"data":[%b]}' % (desk.native, row)]

    def _candle_row(self, desk: Desk, start_ms: int, candle: Candle, *, is_over: bool) -> bytes:
        price, places = desk.price, desk.instrument.size_decimals
        is_spot = desk.instrument.product == "spot"
        turnover = _turnover(desk, candle)
        base = short(*desk.base_volume(candle.lots, candle.base))
        return b'["%d","%b","%b","%b","%b","%b","%b","%b","%d"]' % (
            start_ms,
            price[candle.open],
            price[candle.high],
            price[candle.low],
            price[candle.close],
            short(candle.lots * desk.instrument.lot, places),
            turnover if is_spot else base,
            turnover,
            is_over,
        )

    def _first(self, stream: Stream) -> Iterable[bytes]:
        if stream.kind == "ticker":
            return self.ticker_frames(stream)
        if stream.kind == "kline":
            return self.kline_frames(stream)
        if stream.kind != "orderbook":
            return ()
        if stream.form in _FULL:
            return [self._whole(stream)]
        desk, view = stream.desk, shown(stream, _DEPTHS[stream.form])
        bids, asks = view.levels()
        levels = _levels(desk, asks), _levels(desk, bids)
        names = stream.form.encode(), desk.native
        return [_BOOK % (*names, b"snapshot", *levels, self.now_ms, -1, view.last_id)]

    # -- REST ----------------------------------------------------------------------------------

    def rest(self, request: Request) -> Answer:  # noqa: D102  # as Venue says
        routes = {
            "/api/v5/public/instruments": (self._instruments, 20),
            "/api/v5/market/trades": (self._trades, 100),
            "/api/v5/market/history-trades": (self._history, 20),
            "/api/v5/market/books": (self._depth, 40),
            "/api/v5/market/tickers": (self._tickers, 20),
            "/api/v5/market/ticker": (self._tickers, 20),
            "/api/v5/market/candles": (self._candles, 40),
            "/api/v5/market/history-candles": (self._candles, 20),
        }
        route = routes.get(request.path)
        if route is None:
            return Answer(b'{"code":"404","data":[],"msg":"Not Found"}', 404)
        answer, limit = route
        if not self.budget(request.path, limit, 2_000).spend(request.now_ms):
            return self.refuse(429, 2)
        return answer(request)

    def refuse(self, status: int, retry_after_s: int) -> Answer:  # noqa: D102  # as Venue says
        del retry_after_s  # it says no time
        return Answer(b'{"code":"50011","data":[],"msg":"Too Many Requests"}', status)

    def _asked(self, request: Request) -> Desk | Answer:
        desk = self._desk(request.query.get("instId", ""))
        if desk is not None:
            return desk
        text = b"Instrument ID, Instrument ID code, or Spread ID doesn't exist."
        return Answer(b'{"code":"51001","data":[],"msg":"%b"}' % text)

    def _instruments(self, request: Request) -> Answer:
        rows = self._instrument_rows(request.query.get("instType", ""))
        return Answer(msgspec.json.encode({"code": "0", "data": rows, "msg": ""}))

    def _instrument_rows(self, kind: str) -> list[dict[str, str]]:
        desks = [desk for product in _PRODUCTS.get(kind, ()) for desk in self.listed(product)]
        return [_instrument(desk) for desk in desks]

    def _rest_rows(self, desk: Desk, fills: Sequence[Fill]) -> Answer:
        rows = [
            b'{"instId":"%b","side":"%b","sz":"%b","source":"0","px":"%b","tradeId":"%d","ts":"%d"}'
            % (
                desk.native,
                b"buy" if buys else b"sell",
                desk.size[lots],
                desk.price[tick],
                number,
                ms,
            )
            for number, ms, buys, tick, lots in reversed(fills)
        ]
        return Answer(b'{"code":"0","msg":"","data":[%b]}' % b",".join(rows))

    def _trades(self, request: Request) -> Answer:
        desk = self._asked(request)
        if isinstance(desk, Answer):
            return desk
        return self._rest_rows(desk, desk.tape.last(integer(request.query, "limit", 100, 500)))

    def _history(self, request: Request) -> Answer:
        desk = self._asked(request)
        if isinstance(desk, Answer):
            return desk
        tape, query = desk.tape, request.query
        limit = integer(query, "limit", 100, 100)
        by_time = query.get("type") == "2"
        position = tape.at_time if by_time else tape.at_id
        if query.get("before"):  # newer than this, and the newest of them
            before = int(query["before"])
            start = tape.after_time(before) if by_time else tape.at_id(before + 1)
            return self._rest_rows(desk, tape.slice(max(start, len(tape) - limit), len(tape)))
        end = position(int(query["after"])) if query.get("after") else len(tape)
        return self._rest_rows(desk, tape.slice(end - limit, end))

    def _depth(self, request: Request) -> Answer:
        desk = self._asked(request)
        if isinstance(desk, Answer):
            return desk
        depth = integer(request.query, "sz", 1, 400)
        asks = _levels(desk, desk.market.asks.top(depth))
        bids = _levels(desk, desk.market.bids.top(depth))
        row = b'{"asks":[%b],"bids":[%b],"ts":"%d","seqId":%d}'
        row %= (asks, bids, self.now_ms, desk.count_updates())
        return Answer(b'{"code":"0","msg":"","data":[%b]}' % row)

    def _tickers(self, request: Request) -> Answer:
        if request.path.endswith("/ticker"):
            desk = self._asked(request)
            if isinstance(desk, Answer):
                return desk
            desks = [desk]
        else:
            products = _PRODUCTS.get(request.query.get("instType", ""), ())
            desks = [desk for product in products for desk in self.listed(product)]
        rows = b",".join([self._ticker_row(desk) for desk in desks])
        return Answer(b'{"code":"0","msg":"","data":[%b]}' % rows)

    def _candles(self, request: Request) -> Answer:
        desk = self._asked(request)
        if isinstance(desk, Answer):
            return desk
        after_ms = integer(request.query, "after", 0, 2**53) or self.now_ms + 60_000
        before_ms = integer(request.query, "before", 0, 2**53)
        limit = integer(request.query, "limit", 100, 300)
        found = [row for row in desk.tape.candles(0, after_ms) if row[0] > before_ms]
        rows = [
            self._candle_row(desk, start_ms, candle, is_over=start_ms + 60_000 <= self.now_ms)
            for start_ms, candle in reversed(found[-limit:])
        ]
        return Answer(b'{"code":"0","msg":"","data":[%b]}' % b",".join(rows))


def _name(connection: Connection) -> str:
    return f"{connection.opened_ms & 0xFFFFFFFF:08x}"


def _aggregated(fills: Sequence[Fill]) -> Iterable[tuple[int, int, bool, int, int, int]]:
    """Join what one order took at one price: the last id, the whole size, and how many."""
    last: tuple[int, int, bool, int, int, int] | None = None
    for trade_id, time_ms, buys, tick, lots in fills:
        if last is not None and last[1:4] == (time_ms, buys, tick):
            last = (trade_id, time_ms, buys, tick, last[4] + lots, last[5] + 1)
            continue
        if last is not None:
            yield last
        last = (trade_id, time_ms, buys, tick, lots, 1)
    if last is not None:
        yield last


def _levels(desk: Desk, levels: Levels) -> bytes:
    price, size = desk.price, desk.size
    return b",".join(
        [b'["%b","%b","0","%d"]' % (price[t], size[n], n and 1 + n % 7) for t, n in levels]
    )


def _turnover(desk: Desk, candle: Candle) -> bytes:
    """Return the turnover in the quote currency; of inverse contracts, their sum of dollars."""
    if desk.instrument.product == "inverse":
        contract = int(desk.instrument.contract or 1)
        return short(candle.lots * contract, desk.instrument.size_decimals)
    return desk.value(candle.value)


def _instrument(desk: Desk) -> dict[str, str]:
    instrument = desk.instrument
    is_spot = instrument.product == "spot"
    size = "" if instrument.contract is None else f"{instrument.contract:f}"
    return {
        "alias": "",
        "baseCcy": instrument.base if is_spot else "",
        "category": "1",
        "ctMult": "" if is_spot else "1",
        "ctType": "" if is_spot else instrument.product,
        "ctVal": size,
        "ctValCcy": {"spot": "", "linear": instrument.base, "inverse": "USD"}[instrument.product],
        "expTime": "",
        "instFamily": "" if is_spot else instrument.native.removesuffix("-SWAP"),
        "instId": instrument.native,
        "instType": "SPOT" if is_spot else "SWAP",
        "lever": "10",
        "listTime": "1548133413000",
        "lotSz": fixed(1, instrument.size_decimals).decode(),
        "minSz": fixed(1, instrument.size_decimals).decode(),
        "optType": "",
        "quoteCcy": instrument.quote if is_spot else "",
        "settleCcy": {"spot": "", "linear": instrument.quote, "inverse": instrument.base}[
            instrument.product
        ],
        "state": "live",
        "stk": "",
        "tickSz": fixed(instrument.tick, instrument.price_decimals).decode(),
        "uly": "" if is_spot else instrument.native.removesuffix("-SWAP"),
    }
