"""Bybit's dialect (v5): topics, one answer a request, tickers and books as changes."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

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
    uuid,
)

_SILENT_MS: Final = 600_000
_REPEAT_MS: Final = 3_000
_MAX_SPOT_ARGS: Final = 10
_MAX_SPOT_TRADES: Final = 60
_MAX_TRADES: Final = 1_024
_BLOCK_MS: Final = 600_000
_DEPTHS: Final = (1, 50, 200, 1_000)
_KINDS: Final[dict[str, StreamKind]] = {
    "tickers": "ticker",
    "publicTrade": "trade",
    "orderbook": "orderbook",
    "kline": "kline",
}
_SPOT_TRADE: Final = (
    b'{"i":"%b","T":%d,"p":"%b","v":"%b","S":"%b","seq":%d,"s":"%b","BT":false,"RPI":false}'
)
_TRADE: Final = (
    b'{"T":%d,"s":"%b","S":"%b","v":"%b","p":"%b","L":"%b","i":"%b","BT":false,"RPI":false,'
    b'"seq":%d}'
)
_SPOT_BOOK: Final = (
    b'{"topic":"orderbook.%b.%b","ts":%d,"type":"%b","data":{"s":"%b","b":[%b],"a":[%b],"u":%d,'
    b'"seq":%d},"cts":%d}'
)
_BOOK: Final = (
    b'{"topic":"orderbook.%b.%b","type":"%b","ts":%d,"data":{"s":"%b","b":[%b],"a":[%b],"u":%d,'
    b'"seq":%d},"cts":%d}'
)


def _fixed(value: int, decimals: int) -> bytes:
    return fixed(value, decimals) if value else b"0"


class Bybit(Venue):
    """Bybit: spot, linear and inverse markets, each category at its own address."""

    exchange = "bybit"
    ticker_ms = 100
    is_periodic = False

    @classmethod
    def styles_of(cls, product: str) -> Styles:  # noqa: D102  # as Venue says
        return Styles(short, short) if product == "spot" else Styles(fixed, _fixed)

    # -- connections ---------------------------------------------------------------------------

    def receive(self, connection: Connection, message: bytes) -> None:  # noqa: D102  # as Venue says
        request = parsed(message)
        if not isinstance(request, dict):
            self._answer(connection, {}, is_success=False, text="Invalid request", op="")
            return
        op, args = str(request.get("op")), request.get("args") or []
        if op == "ping":
            self._answer(connection, request, is_success=True, text="pong", op="ping")
            return
        if op not in ("subscribe", "unsubscribe") or not isinstance(args, list):
            self._answer(connection, request, is_success=False, text=f"Invalid op: {op}", op=op)
            return
        if connection.product == "spot" and len(args) > _MAX_SPOT_ARGS:
            self._answer(connection, request, is_success=False, text="args size >10", op=op)
            return
        found = [(topic, self._topic(connection.product, str(topic))) for topic in args]
        wrong = next((topic for topic, target in found if target is None), None)
        if wrong is not None:
            text = f"Invalid topic: {wrong}"
            self._answer(connection, request, is_success=False, text=text, op=op)
            return
        text = "subscribe" if connection.product == "spot" else ""
        self._answer(connection, request, is_success=True, text=text, op=op)
        for _, target in found:
            if target is not None:
                self._turn(connection, *target, is_on=op == "subscribe")

    def _answer(
        self,
        connection: Connection,
        request: dict[str, Any],
        *,
        is_success: bool,
        text: str,
        op: str,
    ) -> None:
        name = f"{connection.opened_ms & 0xFFFFFFFF:08x}-sim"
        answer: dict[str, Any] = {"success": is_success, "ret_msg": text, "conn_id": name}
        if request.get("req_id"):
            answer["req_id"] = request["req_id"]
        self.say(connection, {**answer, "op": op})

    def _topic(self, product: str, topic: str) -> tuple[Desk, StreamKind, str] | None:
        name, *rest = topic.split(".")
        kind = _KINDS.get(name)
        if kind is None or not rest:
            return None
        desk = self.of(product, rest[-1])
        form = rest[0] if len(rest) > 1 else ""
        is_known = {
            "orderbook": form.isdigit() and int(form) in _DEPTHS,
            "kline": form == "1",
        }.get(kind, not form)
        return (desk, kind, form) if desk is not None and is_known else None

    def _turn(
        self, connection: Connection, desk: Desk, kind: StreamKind, form: str, *, is_on: bool
    ) -> None:
        if is_on:
            stream = self.open(connection, desk, kind, form)
            for payload in self._first(stream):
                self.say(connection, payload)
        elif (kind, form) in desk.streams:
            self.leave(connection, desk.streams[kind, form])

    def watch(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        if not connection.streams and self.now_ms - connection.heard_ms > _SILENT_MS:
            connection.cut()

    # -- channels ------------------------------------------------------------------------------

    def trade_id(self, desk: Desk, fill: Fill) -> bytes:  # noqa: D102  # as Venue says
        # A text on the wire, but spot ids are numbers to everybody who compares them.
        is_spot = desk.instrument.product == "spot"
        return b"%d" % fill[0] if is_spot else b'"%b"' % uuid(desk, fill[0])

    def trade_frames(self, stream: Stream, fills: Sequence[Fill]) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk = stream.desk
        is_spot = desk.instrument.product == "spot"
        head = b'"ts":%d,"type":"snapshot"' if is_spot else b'"type":"snapshot","ts":%d'
        head %= self.now_ms
        for start in range(0, len(fills), _MAX_TRADES):
            rows = self._rows(desk, fills[start : start + _MAX_TRADES], is_spot)
            yield b'{"topic":"publicTrade.%b",%b,"data":[%b]}' % (desk.native, head, rows)

    @staticmethod
    def _rows(desk: Desk, fills: Sequence[Fill], is_spot: bool) -> bytes:  # noqa: FBT001  # one of two forms
        price, size, name, seq = desk.price, desk.size, desk.native, desk.update_id
        if is_spot:
            rows = [
                _SPOT_TRADE
                % (b"%d" % i, ms, price[t], size[n], b"Buy" if buys else b"Sell", seq, name)
                for i, ms, buys, t, n in fills
            ]
        else:
            rows = [
                _TRADE
                % (
                    ms,
                    name,
                    b"Buy" if buys else b"Sell",
                    size[n],
                    price[t],
                    b"ZeroPlusTick" if buys else b"ZeroMinusTick",
                    uuid(desk, i),
                    seq,
                )
                for i, ms, buys, t, n in fills
            ]
        return b",".join(rows)

    def ticker_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk = stream.desk
        if desk.instrument.product == "spot":
            return [self._spot_ticker(desk)]
        fields = self._fields(desk)
        before: dict[str, bytes] = stream.state or {}
        changed = {name: text for name, text in fields.items() if before.get(name) != text}
        stream.state = fields
        return [self._ticker(desk, b"delta", changed)] if changed else ()

    def _spot_ticker(self, desk: Desk) -> bytes:
        members = _members(
            {**_day_fields(desk, 4), "usdIndexPrice": desk.price[desk.tape.day.close]}
        )
        return (
            b'{"topic":"tickers.%b","ts":%d,"type":"snapshot","cs":%d,"data":{"symbol":"%b",%b}}'
            % (desk.native, self.now_ms, desk.update_id, desk.native, members)
        )

    def _ticker(self, desk: Desk, kind: bytes, fields: dict[str, bytes]) -> bytes:
        return b'{"topic":"tickers.%b","type":"%b","data":{"symbol":"%b",%b},"cs":%d,"ts":%d}' % (
            desk.native,
            kind,
            desk.native,
            _members(fields),
            desk.update_id,
            self.now_ms,
        )

    def _fields(self, desk: Desk) -> dict[str, bytes]:
        day, price, size = desk.tape.day, desk.price, desk.size
        bid, ask = desk.market.bids.best(), desk.market.asks.best()
        figures = _day_fields(desk, 6)
        is_linear = desk.instrument.product == "linear"
        funding_ms = self.now_ms - self.now_ms % 28_800_000 + 28_800_000
        extra = {"fundingIntervalHour": b"8", "fundingCap": b"0.005"} if is_linear else {}
        late = {"preOpenPrice": b"", "preQty": b"", "curPreListingPhase": b""} if is_linear else {}
        return {
            "tickDirection": b"ZeroPlusTick",
            "price24hPcnt": figures["price24hPcnt"],
            "lastPrice": figures["lastPrice"],
            "prevPrice24h": figures["prevPrice24h"],
            "highPrice24h": figures["highPrice24h"],
            "lowPrice24h": figures["lowPrice24h"],
            "prevPrice1h": figures["prevPrice24h"],
            "markPrice": price[day.close],
            "indexPrice": price[day.close],
            "openInterest": size[desk.market.day_lots],
            "openInterestValue": figures["turnover24h"],
            "turnover24h": figures["turnover24h"],
            "volume24h": figures["volume24h"],
            **extra,
            "nextFundingTime": b"%d" % funding_ms,
            "fundingRate": b"0.0001",
            "bid1Price": price[bid[0]],
            "bid1Size": size[bid[1]],
            "ask1Price": price[ask[0]],
            "ask1Size": size[ask[1]],
            **late,
        }

    def book_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk, depth = stream.desk, int(stream.form)
        view = shown(stream, depth)
        before = view.levels()[0][:1], view.levels()[1][:1]
        bids, asks = view.move_to(desk.market.bids, desk.market.asks)
        if depth == 1:
            after = view.levels()
            if after == before and self.now_ms - (stream.state or 0) < _REPEAT_MS:
                return ()
            stream.state = self.now_ms
            view.last_id += 1 if after != before else 0
            return [self._book(stream, b"snapshot", *after)]
        if not bids and not asks:
            return ()
        view.last_id += 1
        return [self._book(stream, b"delta", bids, asks)]

    def _book(self, stream: Stream, kind: bytes, bids: Any, asks: Any) -> bytes:
        desk, view = stream.desk, shown(stream, int(stream.form))
        sides = pairs(desk, bids), pairs(desk, asks)
        name, seq = desk.native, desk.count_updates()
        numbers = view.last_id, seq, self.now_ms - 2
        depth = stream.form.encode()
        if desk.instrument.product == "spot":
            return _SPOT_BOOK % (depth, name, self.now_ms, kind, name, *sides, *numbers)
        return _BOOK % (depth, name, kind, self.now_ms, name, *sides, *numbers)

    def kline_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return [self._kline(stream, *stream.desk.minute(self.now_ms), is_over=False)]

    def kline_end(self, stream: Stream, start_ms: int, candle: Candle) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return [self._kline(stream, start_ms, candle, is_over=True)]

    def _kline(self, stream: Stream, start_ms: int, candle: Candle, *, is_over: bool) -> bytes:
        desk = stream.desk
        stamp_ms = candle.last_ms if candle.count and not is_over else self.now_ms
        texts = _candle_texts(desk, start_ms, candle)
        figures = (
            b'"open":"%b","close":"%b","high":"%b","low":"%b","volume":"%b","turnover":"%b"'
            % tuple(texts[at] for at in (0, 3, 1, 2, 4, 5))
        )
        over = b"true" if is_over else b"false"
        row = b'{"start":%d,"end":%d,"interval":"1",%b,"confirm":%b,"timestamp":%d}'
        row %= (start_ms, start_ms + 59_999, figures, over, stamp_ms)
        name, now = desk.native, self.now_ms
        if desk.instrument.product == "spot":
            return b'{"type":"snapshot","topic":"kline.1.%b","data":[%b],"ts":%d}' % (
                name,
                row,
                now,
            )
        return b'{"topic":"kline.1.%b","data":[%b],"ts":%d,"type":"snapshot"}' % (name, row, now)

    def _first(self, stream: Stream) -> Iterable[bytes]:
        if stream.kind == "ticker":
            if stream.desk.instrument.product == "spot":
                return [self._spot_ticker(stream.desk)]
            stream.state = stream.state or self._fields(stream.desk)
            return [self._ticker(stream.desk, b"snapshot", stream.state)]
        if stream.kind == "orderbook":
            return [self._book(stream, b"snapshot", *shown(stream, int(stream.form)).levels())]
        return self.kline_frames(stream) if stream.kind == "kline" else ()

    # -- REST ----------------------------------------------------------------------------------

    def rest(self, request: Request) -> Answer:  # noqa: D102  # as Venue says
        routes: dict[str, Callable[[Request], Answer]] = {
            "/v5/market/instruments-info": self._instruments,
            "/v5/market/recent-trade": self._trades,
            "/v5/market/orderbook": self._depth,
            "/v5/market/tickers": self._tickers,
            "/v5/market/kline": self._klines,
        }
        budget = self.budget("all", 600, 5_000)
        if not budget.spend(request.now_ms):
            return self.refuse(403, _BLOCK_MS // 1_000)
        reset_ms = request.now_ms + budget.reset_ms(request.now_ms)
        headers = {
            "X-Bapi-Limit": "600",
            "X-Bapi-Limit-Status": str(budget.remaining),
            "X-Bapi-Limit-Reset-Timestamp": str(reset_ms),
        }
        route = routes.get(request.path)
        if route is None:
            return Answer(b"Not Found", 404, headers)
        if request.query.get("category", request.product) not in ("spot", "linear", "inverse"):
            return self._failure(10001, "params error: Category is invalid")
        return route(request)._replace(headers=headers)

    def refuse(self, status: int, retry_after_s: int) -> Answer:  # noqa: D102  # as Venue says
        del retry_after_s  # it says no time
        return Answer(b"access too frequent", status)

    def _failure(self, code: int, text: str) -> Answer:
        failure = {"retCode": code, "retMsg": text, "result": {}, "retExtInfo": {}}
        return Answer(msgspec.json.encode({**failure, "time": self.now_ms}))

    def _success(self, request: Request, members: bytes) -> Answer:
        category = request.query.get("category", request.product).encode()
        return Answer(
            b'{"retCode":0,"retMsg":"OK","result":{"category":"%b",%b},"retExtInfo":{},"time":%d}'
            % (category, members, self.now_ms)
        )

    def _asked(self, request: Request) -> Desk | None:
        category = request.query.get("category", request.product)
        return self.of(category, request.query.get("symbol", ""))

    def _instruments(self, request: Request) -> Answer:
        desks = self.listed(request.query.get("category", request.product))
        name = request.query.get("symbol")
        rows = [_instrument(desk) for desk in desks if name in (None, desk.instrument.native)]
        limit = integer(request.query, "limit", 500, 1_000)
        start = integer(request.query, "cursor", 0, len(rows))
        more = str(start + limit) if start + limit < len(rows) else ""
        if request.query.get("category", request.product) == "spot":
            start, limit, more = 0, len(rows), ""  # spot has no pages
        listed = msgspec.json.encode(rows[start : start + limit])
        return self._success(request, b'"list":%b,"nextPageCursor":"%b"' % (listed, more.encode()))

    def _trades(self, request: Request) -> Answer:
        desk = self._asked(request)
        if desk is None:
            return self._failure(10001, "params error: Symbol Invalid")
        is_spot = desk.instrument.product == "spot"
        most = _MAX_SPOT_TRADES if is_spot else 1_000
        limit = integer(request.query, "limit", most if is_spot else 500, most)
        rows = [
            b'{"execId":"%b","symbol":"%b","price":"%b","size":"%b","side":"%b","time":"%d",'
            b'"isBlockTrade":false,"isRPITrade":false,"seq":"%d"}'
            % (
                self.trade_id(desk, fill).strip(b'"'),
                desk.native,
                desk.price[fill[3]],
                desk.size[fill[4]],
                b"Buy" if fill[2] else b"Sell",
                fill[1],
                desk.update_id,
            )
            for fill in reversed(desk.tape.last(limit))
        ]
        return self._success(request, b'"list":[%b]' % b",".join(rows))

    def _depth(self, request: Request) -> Answer:
        desk = self._asked(request)
        if desk is None:
            return self._failure(10001, "params error: Symbol Invalid")
        depth = integer(request.query, "limit", 25, 1_000)
        bids = pairs(desk, desk.market.bids.top(depth))
        asks = pairs(desk, desk.market.asks.top(depth))
        number = desk.count_updates()
        body = b'{"retCode":0,"retMsg":"OK","result":{"s":"%b","b":[%b],"a":[%b],"ts":%d,"u":%d,'
        body %= (desk.native, bids, asks, self.now_ms, number)
        tail = b'"seq":%d,"cts":%d},"retExtInfo":{},"time":%d}'
        return Answer(body + tail % (number, self.now_ms, self.now_ms))

    def _tickers(self, request: Request) -> Answer:
        category, name = request.query.get("category", request.product), request.query.get("symbol")
        desks = [d for d in self.listed(category) if name in (None, d.instrument.native)]
        rows = [
            b'{"symbol":"%b",%b}'
            % (
                desk.native,
                _members(_day_fields(desk, 4) if category == "spot" else self._fields(desk)),
            )
            for desk in desks
        ]
        return self._success(request, b'"list":[%b]' % b",".join(rows))

    def _klines(self, request: Request) -> Answer:
        desk = self._asked(request)
        if desk is None:
            return self._failure(10001, "params error: Symbol Invalid")
        start_ms = integer(request.query, "start", 0, 2**53)
        end_ms = integer(request.query, "end", self.now_ms, 2**53) + 1
        limit = integer(request.query, "limit", 200, 1_000)
        rows = [
            b'["%d","%b"]' % (minute_ms, b'","'.join(_candle_texts(desk, minute_ms, candle)))
            for minute_ms, candle in reversed(desk.tape.candles(start_ms, end_ms)[-limit:])
        ]
        members = b'"symbol":"%b","list":[%b]' % (desk.native, b",".join(rows))
        return self._success(request, members)


def _members(fields: dict[str, bytes]) -> bytes:
    return b",".join([b'"%b":"%b"' % (name.encode(), text) for name, text in fields.items()])


def _day_fields(desk: Desk, decimals: int) -> dict[str, bytes]:
    day, price = desk.tape.day, desk.price
    volume, turnover = _volumes(desk, day)
    return {
        "lastPrice": price[day.close],
        "highPrice24h": price[day.high],
        "lowPrice24h": price[day.low],
        "prevPrice24h": price[day.open],
        "volume24h": volume,
        "turnover24h": turnover,
        "price24hPcnt": desk.rate(decimals),
    }


def _volumes(desk: Desk, candle: Candle) -> tuple[bytes, bytes]:
    """Return volume and turnover: base and quote, or dollars and base of inverse contracts."""
    if desk.instrument.product == "inverse":
        base = short(*desk.base_volume(candle.lots, candle.base))
        return short(candle.lots, desk.instrument.size_decimals), base
    return desk.size_style(candle.lots, desk.instrument.size_decimals), desk.value(candle.value)


def _candle_texts(desk: Desk, start_ms: int, candle: Candle) -> tuple[bytes, ...]:
    """Return the texts of a minute; it opens where the one before it closed."""
    before = desk.tape.minutes.get(start_ms - 60_000)
    opening = candle.open if before is None else before.close
    price, volumes = desk.price, _volumes(desk, candle)
    high, low = max(candle.high, opening), min(candle.low, opening)
    return price[opening], price[high], price[low], price[candle.close], *volumes


def _instrument(desk: Desk) -> dict[str, Any]:
    instrument = desk.instrument
    tick = fixed(instrument.tick, instrument.price_decimals).decode()
    step = fixed(1, instrument.size_decimals).decode()
    if instrument.product == "spot":
        return {
            "symbolId": 9,
            "symbol": instrument.native,
            "baseCoin": instrument.base,
            "quoteCoin": instrument.quote,
            "innovation": "0",
            "status": "Trading",
            "marginTrading": "utaOnly",
            "stTag": "0",
            "lotSizeFilter": {"basePrecision": step, "minOrderQty": step},
            "priceFilter": {"tickSize": tick},
            "symbolType": "",
        }
    is_linear = instrument.product == "linear"
    return {
        "symbol": instrument.native,
        "contractType": "LinearPerpetual" if is_linear else "InversePerpetual",
        "status": "Trading",
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "launchTime": "1584230400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(instrument.price_decimals),
        "priceFilter": {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick},
        "lotSizeFilter": {"maxOrderQty": "1500.000", "minOrderQty": step, "qtyStep": step},
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": instrument.quote if is_linear else instrument.base,
        "copyTrading": "both",
        "isPreListing": False,
        "preListingInfo": None,
        "displayName": "",
        "symbolType": "",
        "symbolId": 5,
    }
