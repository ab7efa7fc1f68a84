"""Binance's dialect: streams raw or wrapped, two numberings of trades, books that need REST."""

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from connectors.simulator.desk import Desk, Stream, StreamKind, Styles
from connectors.simulator.market import Fill
from connectors.simulator.tape import Candle
from connectors.simulator.texts import fixed, padded
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

_DEPTH: Final = 1_000
_DAY_MS: Final = 86_400_000
_SPOT_PING_MS: Final = 20_000
_PING_MS: Final = 180_000
_PONG_MS: Final = {"spot": 60_000, "linear": 600_000, "inverse": 600_000}
_MESSAGES_A_SECOND: Final = {"spot": 5, "linear": 10, "inverse": 10}
_MAX_STREAMS: Final = 1_024
_SPOT_WEIGHT: Final = 6_000
_FUTURES_WEIGHT: Final = 2_400
_STREAM: Final = re.compile(
    r"([a-z0-9_]+)@(ticker|trade|aggTrade|kline_1m|depth(?:5|10|20)?)(?:@(?:100|250|500|1000)ms)?"
)
_KINDS: Final[dict[str, StreamKind]] = {
    "ticker": "ticker",
    "trade": "trade",
    "aggTrade": "trade",
    "kline_1m": "kline",
}
_SPOT_TRADE: Final = (
    b'{"e":"trade","E":%d,"s":"%b","t":%d,"p":"%b","q":"%b","T":%d,"m":%b,"M":true}'
)
_TRADE: Final = (
    b'{"e":"trade","E":%d,"T":%d,"s":"%b","t":%d,"p":"%b","q":"%b","X":"MARKET","m":%b,"st":%d}'
)
_SPOT_AGGREGATE: Final = (
    b'{"e":"aggTrade","E":%d,"s":"%b","a":%d,"p":"%b","q":"%b","f":%d,"l":%d,"T":%d,"m":%b,'
    b'"M":true}'
)
_AGGREGATE: Final = (
    b'{"e":"aggTrade","E":%d,"a":%d,"s":"%b","p":"%b","q":"%b","f":%d,"l":%d,"T":%d,"m":%b}'
)


class Binance(Venue):
    """Binance: spot, USD-margined and coin-margined markets, each at its own address."""

    exchange = "binance"
    ticker_ms = 1_000

    @classmethod
    def styles_of(cls, product: str) -> Styles:  # noqa: D102  # as Venue says
        return Styles(padded(8), padded(8)) if product == "spot" else Styles(fixed, fixed)

    # -- connections ---------------------------------------------------------------------------

    def greet(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        connection.pinged_ms = self.now_ms
        connection.memory["pong_ms"] = self.now_ms
        _, _, rest = connection.path.partition("/ws/")
        names = rest.split("/") if rest else []
        names += [name for name in connection.query.get("streams", "").split("/") if name]
        for name in names:
            self._turn(connection, name, is_on=True)

    def _is_combined(self, connection: Connection) -> bool:
        return "/stream" in connection.path

    def receive(self, connection: Connection, message: bytes) -> None:  # noqa: D102  # as Venue says
        second = self.now_ms // 1_000
        last, count = connection.memory.get("messages", (0, 0))
        count = count + 1 if last == second else 1
        connection.memory["messages"] = second, count
        if count > _MESSAGES_A_SECOND[connection.product]:
            connection.close(1008, "Too many requests")
            return
        request = parsed(message)
        if not isinstance(request, dict):
            self.say(
                connection, {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}
            )
            return
        number, params = request.get("id"), request.get("params") or []
        match request.get("method"):
            case "SUBSCRIBE" | "UNSUBSCRIBE" as method:
                if len(connection.streams) + len(params) > _MAX_STREAMS:
                    self.say(connection, {"code": 2, "msg": "Invalid request: too many parameters"})
                    return
                self.say(connection, {"result": None, "id": number})
                for name in params:
                    self._turn(connection, str(name), is_on=method == "SUBSCRIBE")
            case "LIST_SUBSCRIPTIONS":
                names = connection.memory.get("names", [])
                self.say(connection, {"result": names, "id": number})
            case _:
                text = "Invalid request: unknown variant"
                self.say(connection, {"error": {"code": 2, "msg": text}, "id": number})

    def _turn(self, connection: Connection, name: str, *, is_on: bool) -> None:
        matched = _STREAM.fullmatch(name)
        desk = self.of(connection.product, matched.group(1).upper()) if matched else None
        if matched is None or desk is None:  # accepted, and silent
            return
        channel = matched.group(2)
        # At the wrong one of the two addresses a stream is silent; `trade` is at both.
        is_public = channel.startswith("depth")
        is_at_market = "/market" in connection.path
        if connection.product == "linear" and channel != "trade" and is_public == is_at_market:
            return
        kind = _KINDS.get(channel, "orderbook")
        form = f"{channel}|{name if self._is_combined(connection) else ''}"
        if is_on:
            stream = self.open(connection, desk, kind, form)
            connection.memory.setdefault("names", []).append(name)
            if channel == "depth":
                shown(stream, _DEPTH)
        elif (kind, form) in desk.streams:
            self.leave(connection, desk.streams[kind, form])

    def watch(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        every_ms = _SPOT_PING_MS if connection.product == "spot" else _PING_MS
        if self.now_ms - connection.pinged_ms >= every_ms:
            connection.pinged_ms = self.now_ms
            connection.queue(frame(b"%d" % self.now_ms, PING))
        if self.now_ms - connection.memory["pong_ms"] > every_ms + _PONG_MS[connection.product]:
            connection.cut()
        if self.now_ms - connection.opened_ms > _DAY_MS:
            connection.close(1000)
        ends_ms = connection.memory.get("shutdown_ms")
        if ends_ms is not None and self.now_ms >= ends_ms:
            connection.close(1001)

    def ponged(self, connection: Connection, payload: bytes) -> None:  # noqa: D102  # as Venue says
        # An answer to nothing does not help.
        if payload == b"%d" % connection.pinged_ms:
            connection.memory["pong_ms"] = self.now_ms

    def announce(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        event = {"e": "serverShutdown", "E": self.now_ms}
        is_wrapped = self._is_combined(connection)
        connection.memory["shutdown_ms"] = self.now_ms + 10_000
        self.say(connection, {"stream": "!serverShutdown", "data": event} if is_wrapped else event)

    # -- channels ------------------------------------------------------------------------------

    @staticmethod
    def _wrapped(stream: Stream, event: bytes) -> bytes:
        name = stream.form.partition("|")[2]
        return b'{"stream":"%b","data":%b}' % (name.encode(), event) if name else event

    def trade_frames(self, stream: Stream, fills: Sequence[Fill]) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk, now = stream.desk, self.now_ms
        if stream.form.startswith("aggTrade"):
            for event in self._aggregates(desk, fills):
                yield self._wrapped(stream, event)
            return
        price, size, name = desk.price, desk.size, desk.native
        is_spot = desk.instrument.product == "spot"
        family = 1 if desk.instrument.product == "linear" else 2
        for trade_id, time_ms, buys, tick, lots in fills:
            made = b"false" if buys else b"true"
            if is_spot:
                event = _SPOT_TRADE % (now, name, trade_id, price[tick], size[lots], time_ms, made)
            else:
                texts = name, trade_id, price[tick], size[lots]
                event = _TRADE % (now, time_ms, *texts, made, family)
            yield self._wrapped(stream, event)

    def _aggregates(self, desk: Desk, fills: Sequence[Fill]) -> Iterable[bytes]:
        tape, now = desk.tape, self.now_ms
        is_spot = desk.instrument.product == "spot"
        for (time_ms, buys, tick), group in itertools.groupby(fills, key=lambda fill: fill[1:4]):
            parts = list(group)
            number = tape.aggregate_of_id(parts[0][0])
            size = desk.size[sum(part[4] for part in parts)]
            ids = parts[0][0], parts[-1][0]
            made = b"false" if buys else b"true"
            price, name = desk.price[tick], desk.native
            if is_spot:
                yield _SPOT_AGGREGATE % (now, name, number, price, size, *ids, time_ms, made)
            else:
                yield _AGGREGATE % (now, number, name, price, size, *ids, time_ms, made)

    def ticker_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk = stream.desk
        members = b'"e":"24hrTicker","E":%d,"s":"%b",%b' % (
            self.now_ms,
            desk.native,
            self._day(desk),
        )
        if desk.instrument.product == "inverse":
            pair = desk.instrument.native.partition("_")[0].encode()
            members = members.replace(b'","p":', b'","ps":"%b","p":' % pair, 1)
        return [self._wrapped(stream, b"{%b}" % members)]

    def _day(self, desk: Desk) -> bytes:
        """Return the figures of 24 hours in the short names of the stream."""
        day, price, size = desk.tape.day, desk.price, desk.size
        bid, ask = desk.market.bids.best(), desk.market.asks.best()
        opening, close, change = desk.change()
        last = desk.tape.last(1)
        percent = abs(change) * 100_000 // opening
        volume, turnover = self._volumes(desk, day.lots, day.value, day.base)
        best = (
            b'"b":"%b","B":"%b","a":"%b","A":"%b",'
            % (price[bid[0]], size[bid[1]], price[ask[0]], size[ask[1]])
            if desk.instrument.product == "spot"
            else b""
        )
        before = b'"x":"%b",' % price[opening] if best else b""
        return (
            b'"p":"%b","P":"%b","w":"%b",%b"c":"%b","Q":"%b",%b"o":"%b","h":"%b","l":"%b","v":"%b",'
            b'"q":"%b","O":%d,"C":%d,"F":%d,"L":%d,"n":%d'
        ) % (
            price[change],
            fixed(-percent if change < 0 else percent, 3),
            price[day.value // max(1, day.lots)],
            before,
            price[close],
            size[last[0][4] if last else 1],
            best,
            price[opening],
            price[day.high],
            price[day.low],
            volume,
            turnover,
            self.now_ms - _DAY_MS,
            self.now_ms,
            (last[0][0] if last else 0) - day.count,
            last[0][0] if last else 0,
            day.count,
        )

    @staticmethod
    def _volumes(desk: Desk, lots: int, value: int, base: int) -> tuple[bytes, bytes]:
        """Return volume and turnover: base and quote, or contracts and base."""
        if desk.instrument.product == "inverse":
            number, decimals = desk.base_volume(lots, base)
            # Eight decimals, cut.
            return desk.size[lots], fixed(number // 10 ** (decimals - 8), 8)
        return desk.size_style(lots, desk.instrument.size_decimals), desk.value(value)

    def book_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        desk, channel = stream.desk, stream.form.partition("|")[0]
        product = desk.instrument.product
        depth = int(channel.removeprefix("depth") or _DEPTH)
        before = shown(stream, depth).last_id
        view = shown(stream, depth)
        bids, asks = view.move_to(desk.market.bids, desk.market.asks)
        if channel != "depth":
            bids, asks = view.levels()
        elif not bids and not asks:
            return ()
        view.last_id = last = max(before + 1, desk.count_updates())
        sides = pairs(desk, bids), pairs(desk, asks)
        if product == "spot":
            if channel != "depth":
                event = b'{"lastUpdateId":%d,"bids":[%b],"asks":[%b]}' % (last, *sides)
            else:
                event = b'{"e":"depthUpdate","E":%d,"s":"%b","U":%d,"u":%d,"b":[%b],"a":[%b]}'
                event %= (self.now_ms, desk.native, before + 1, last, *sides)
            return [self._wrapped(stream, event)]
        pair = b""
        if product == "inverse":
            pair = b'"ps":"%b",' % desk.instrument.native.partition("_")[0].encode()
        event = (
            b'{"e":"depthUpdate","E":%d,"T":%d,"s":"%b",%b"U":%d,"u":%d,"pu":%d,"b":[%b],"a":[%b]}'
        )
        stamps = self.now_ms, self.now_ms - 5
        event %= (*stamps, desk.native, pair, before + 1, last, before, *sides)
        return [self._wrapped(stream, event)]

    def kline_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return [self._kline(stream, *stream.desk.minute(self.now_ms), is_over=False)]

    def kline_end(self, stream: Stream, start_ms: int, candle: Candle) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return [self._kline(stream, start_ms, candle, is_over=True)]

    def _kline(self, stream: Stream, start_ms: int, candle: Candle, *, is_over: bool) -> bytes:
        desk, price = stream.desk, stream.desk.price
        volume, turnover = self._volumes(desk, candle.lots, candle.value, candle.base)
        bought = self._volumes(desk, candle.buy_lots, candle.buy_value, candle.buy_base)
        row = (
            b'{"t":%d,"T":%d,"s":"%b","i":"1m","f":%d,"L":%d,"o":"%b","c":"%b","h":"%b","l":"%b",'
            b'"v":"%b","n":%d,"x":%b,"q":"%b","V":"%b","Q":"%b","B":"0"}'
        ) % (
            start_ms,
            start_ms + 59_999,
            desk.native,
            candle.first_id,
            candle.last_id,
            price[candle.open],
            price[candle.close],
            price[candle.high],
            price[candle.low],
            volume,
            candle.count,
            b"true" if is_over else b"false",
            turnover,
            *bought,
        )
        event = b'{"e":"kline","E":%d,"s":"%b","k":%b}' % (self.now_ms, desk.native, row)
        return self._wrapped(stream, event)

    # -- REST ----------------------------------------------------------------------------------

    def rest(self, request: Request) -> Answer:  # noqa: D102  # as Venue says
        root = {"spot": "/api/v3/", "linear": "/fapi/v1/", "inverse": "/dapi/v1/"}[request.product]
        name = request.path.removeprefix(root)
        is_spot = request.product == "spot"
        routes = {
            "exchangeInfo": (self._info, 20 if is_spot else 1),
            "trades": (self._trades, 25 if is_spot else 5),
            "historicalTrades": (self._historical, 25 if is_spot else 20),
            "aggTrades": (self._past_aggregates, 4 if is_spot else 20),
            "depth": (self._depth, _depth_weight(request, is_spot)),
            "klines": (self._klines, 2),
            "ticker/24hr": (self._tickers, 80 if is_spot else 40),
            "time": (self._time, 1),
        }
        route = routes.get(name)
        if route is None or not request.path.startswith(root):
            return Answer(b'{"code":-5000,"msg":"Path does not exist."}', 404)
        answer, weight = route
        # The two futures interfaces share one budget.
        group, most = ("spot", _SPOT_WEIGHT) if is_spot else ("futures", _FUTURES_WEIGHT)
        budget = self.budget(group, most, 60_000)
        is_allowed = budget.spend(request.now_ms, weight)
        headers = {"X-MBX-USED-WEIGHT-1M": str(budget.used)}
        if not is_allowed:
            wait_s = -(-budget.reset_ms(request.now_ms) // 1_000)
            is_banned = budget.refused > 20  # noqa: PLR2004  # who goes on after so many is banned
            refusal = self.refuse(418 if is_banned else 429, 120 if is_banned else wait_s)
            return refusal._replace(headers={**headers, **refusal.headers})
        return answer(request)._replace(headers=headers)

    def refuse(self, status: int, retry_after_s: int) -> Answer:  # noqa: D102  # as Venue says
        if status == 403:  # noqa: PLR2004  # the firewall in front
            return Answer(b"<html><body>403 Forbidden</body></html>", status)
        text = b'{"code":-1003,"msg":"Too many requests; current limit exceeded."}'
        return Answer(text, status, {"Retry-After": str(retry_after_s)})

    def _asked(self, request: Request) -> Desk | Answer:
        desk = self.of(request.product, request.query.get("symbol", ""))
        return desk or Answer(b'{"code":-1121,"msg":"Invalid symbol."}', 400)

    def _time(self, request: Request) -> Answer:
        del request
        return Answer(b'{"serverTime":%d}' % self.now_ms)

    def _info(self, request: Request) -> Answer:
        limits = [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": _SPOT_WEIGHT if request.product == "spot" else _FUTURES_WEIGHT,
            }
        ]
        rows = [_symbol(desk) for desk in self.listed(request.product)]
        head = {"timezone": "UTC", "serverTime": self.now_ms, "rateLimits": limits}
        return Answer(msgspec.json.encode({**head, "exchangeFilters": [], "symbols": rows}))

    def _rows(self, desk: Desk, fills: Sequence[Fill]) -> Answer:
        rows = [_rest_row(desk, fill) for fill in fills]
        return Answer(b"[%b]" % b",".join(rows))

    def _trades(self, request: Request) -> Answer:
        desk = self._asked(request)
        if isinstance(desk, Answer):
            return desk
        return self._rows(desk, desk.tape.last(integer(request.query, "limit", 500, 1_000)))

    def _historical(self, request: Request) -> Answer:
        desk = self._asked(request)
        if isinstance(desk, Answer):
            return desk
        if request.product != "spot" and "x-mbx-apikey" not in request.headers:
            return Answer(b'{"code":-2014,"msg":"API-key format invalid."}', 401)
        limit = integer(request.query, "limit", 500, 1_000)
        if "fromId" not in request.query:
            return self._rows(desk, desk.tape.last(limit))
        start = desk.tape.at_id(integer(request.query, "fromId", 0, 2**62))
        return self._rows(desk, desk.tape.slice(start, start + limit))

    def _past_aggregates(self, request: Request) -> Answer:
        desk = self._asked(request)
        if isinstance(desk, Answer):
            return desk
        tape, query = desk.tape, request.query
        limit, end = integer(query, "limit", 500, 1_000), len(tape)
        if "fromId" in query:
            start = tape.at_aggregate(integer(query, "fromId", 0, 2**62))
        elif "startTime" in query or "endTime" in query:
            start = tape.at_time(integer(query, "startTime", 0, 2**53))
            end = tape.after_time(integer(query, "endTime", 2**53, 2**53))
        else:
            start = end - 4 * limit
        found = tape.aggregates(start, end, 4 * limit)
        is_latest = not {"fromId", "startTime"} & set(query)
        rows = [
            b'{"a":%d,"p":"%b","q":"%b","f":%d,"l":%d,"T":%d,"m":%b%b}'
            % (
                number,
                desk.price[parts[0][3]],
                desk.size[sum(part[4] for part in parts)],
                parts[0][0],
                parts[-1][0],
                parts[0][1],
                b"false" if parts[0][2] else b"true",
                b',"M":true' if request.product == "spot" else b"",
            )
            for number, parts in (found[-limit:] if is_latest else found[:limit])
        ]
        return Answer(b"[%b]" % b",".join(rows))

    def _depth(self, request: Request) -> Answer:
        desk = self._asked(request)
        if isinstance(desk, Answer):
            return desk
        depth = integer(request.query, "limit", 100 if request.product == "spot" else 500, 5_000)
        bids = pairs(desk, desk.market.bids.top(depth))
        asks = pairs(desk, desk.market.asks.top(depth))
        number, stamps = desk.count_updates(), b""
        if request.product != "spot":
            stamps = b'"E":%d,"T":%d,' % (self.now_ms, self.now_ms - 5)
        if request.product == "inverse":
            pair = desk.instrument.native.partition("_")[0].encode()
            stamps += b'"symbol":"%b","pair":"%b",' % (desk.native, pair)
        return Answer(
            b'{"lastUpdateId":%d,%b"bids":[%b],"asks":[%b]}' % (number, stamps, bids, asks)
        )

    def _klines(self, request: Request) -> Answer:
        desk = self._asked(request)
        if isinstance(desk, Answer):
            return desk
        start_ms = integer(request.query, "startTime", 0, 2**53)
        end_ms = integer(request.query, "endTime", 2**53, 2**53) + 1
        limit = integer(request.query, "limit", 500, 1_000)
        found = desk.tape.candles(start_ms, end_ms)
        found = found[:limit] if start_ms else found[-limit:]
        rows = [self._kline_row(desk, minute_ms, candle) for minute_ms, candle in found]
        return Answer(b"[%b]" % b",".join(rows))

    def _kline_row(self, desk: Desk, start_ms: int, candle: Candle) -> bytes:
        price = desk.price
        volume, turnover = self._volumes(desk, candle.lots, candle.value, candle.base)
        bought = self._volumes(desk, candle.buy_lots, candle.buy_value, candle.buy_base)
        return b'[%d,"%b","%b","%b","%b","%b",%d,"%b",%d,"%b","%b","0"]' % (
            start_ms,
            price[candle.open],
            price[candle.high],
            price[candle.low],
            price[candle.close],
            volume,
            start_ms + 59_999,
            turnover,
            candle.count,
            *bought,
        )

    def _tickers(self, request: Request) -> Answer:
        desks = self.listed(request.product)
        is_one = "symbol" in request.query
        if is_one:
            desk = self._asked(request)
            if isinstance(desk, Answer):
                return desk
            desks = [desk]
        rows = []
        for desk in desks:
            figures: dict[str, Any] = msgspec.json.decode(b"{%b}" % self._day(desk))
            turnover = "baseVolume" if request.product == "inverse" else "quoteVolume"
            names = {**_REST_TICKER, "q": turnover}
            row = {names[name]: value for name, value in figures.items() if name in names}
            rows.append({"symbol": desk.instrument.native, **row})
        return Answer(
            msgspec.json.encode(rows[0] if is_one and request.product == "spot" else rows)
        )


_REST_TICKER: Final = {
    "p": "priceChange",
    "P": "priceChangePercent",
    "w": "weightedAvgPrice",
    "x": "prevClosePrice",
    "c": "lastPrice",
    "Q": "lastQty",
    "b": "bidPrice",
    "B": "bidQty",
    "a": "askPrice",
    "A": "askQty",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "O": "openTime",
    "C": "closeTime",
    "F": "firstId",
    "L": "lastId",
    "n": "count",
}


def _depth_weight(request: Request, is_spot: bool) -> int:  # noqa: FBT001  # one of two forms
    depth = integer(request.query, "limit", 100, 5_000)
    steps = (
        ((100, 5), (500, 25), (1_000, 50), (5_000, 250))
        if is_spot
        else (
            (50, 2),
            (100, 5),
            (500, 10),
            (5_000, 20),
        )
    )
    return next(weight for most, weight in steps if depth <= most)


def _rest_row(desk: Desk, fill: Fill) -> bytes:
    trade_id, time_ms, buys, tick, lots = fill
    product = desk.instrument.product
    made = b"false" if buys else b"true"
    if product == "inverse":
        number, decimals = desk.instrument.base_units(tick, lots)
        other = b'"baseQty":"%b"' % fixed(number // 10 ** (decimals - 8), 8)
    else:
        other = b'"quoteQty":"%b"' % desk.value(tick * lots)
    tail = b',"isBestMatch":true' if product == "spot" else b""
    texts = desk.price[tick], desk.size[lots], other
    return b'{"id":%d,"price":"%b","qty":"%b",%b,"time":%d,"isBuyerMaker":%b%b}' % (
        trade_id,
        *texts,
        time_ms,
        made,
        tail,
    )


def _symbol(desk: Desk) -> dict[str, Any]:
    instrument = desk.instrument
    style = padded(8) if instrument.product == "spot" else fixed
    tick = style(instrument.tick, instrument.price_decimals).decode()
    step = style(1, instrument.size_decimals).decode()
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000", "stepSize": step},
    ]
    common: dict[str, Any] = {
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "filters": filters,
    }
    if instrument.product == "spot":
        return {
            "symbol": instrument.native,
            "status": "TRADING",
            **common,
            "quoteAssetPrecision": 8,
            "isSpotTradingAllowed": True,
            "permissions": [],
        }
    is_linear = instrument.product == "linear"
    state = (
        {"status": "TRADING"}
        if is_linear
        else {"contractStatus": "TRADING", "contractSize": int(instrument.contract or 0)}
    )
    return {
        "symbol": instrument.native,
        "pair": instrument.native.partition("_")[0],
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        **state,
        **common,
        "marginAsset": instrument.quote if is_linear else instrument.base,
        # Not the tick: the market's prices may have fewer decimals.
        "pricePrecision": instrument.price_decimals + 1,
        "quantityPrecision": instrument.size_decimals,
        "underlyingType": "COIN",
    }
