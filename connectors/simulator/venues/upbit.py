"""Upbit's dialect: one array subscribes to everything, no acks, binary frames, Java's numbers.

Bithumb took it over (:mod:`connectors.simulator.venues.bithumb`) and changed the details.
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

import msgspec

from connectors.simulator.desk import Desk, Stream, StreamKind, Styles
from connectors.simulator.market import Fill
from connectors.simulator.tape import Candle
from connectors.simulator.texts import double, fixed, pointed, short
from connectors.simulator.venues import times
from connectors.simulator.venues.base import Answer, Connection, Request, Venue, integer, parsed
from connectors.simulator.websocket import BINARY

Fields = tuple[tuple[str, str, str], ...]
"""Long name, short name, and the value's place in a template."""

_IDLE_MS: Final = 60_500
_UP_MS: Final = 10_000
_FORMATS: Final = ("DEFAULT", "SIMPLE", "JSON_LIST", "SIMPLE_LIST")
_KINDS: Final[dict[str, StreamKind]] = {
    "ticker": "ticker",
    "trade": "trade",
    "orderbook": "orderbook",
}
_MESSAGES: Final = {
    "WRONG_FORMAT": "Format 이 맞지 않습니다.",
    "NO_TICKET": "티켓이 존재하지 않거나, 유효하지 않습니다.",
    "NO_TYPE": "타입이 존재하지 않습니다.",
    "NO_CODES": "코드가 존재하지 않습니다.",
}
_KOREAN: Final = {"BTC": "비트코인", "ETH": "이더리움", "XRP": "리플", "USDT": "테더"}

TRADE: Final[Fields] = (
    ("type", "ty", '"trade"'),
    ("code", "cd", '"%(code)b"'),
    ("timestamp", "tms", "%(sent)d"),
    ("trade_date", "td", '"%(date)b"'),
    ("trade_time", "ttm", '"%(time)b"'),
    ("trade_timestamp", "ttms", "%(traded)d"),
    ("trade_price", "tp", "%(price)b"),
    ("trade_volume", "tv", "%(size)b"),
    ("ask_bid", "ab", '"%(side)b"'),
    ("prev_closing_price", "pcp", "%(previous)b"),
    ("change", "c", '"%(change)b"'),
    ("change_price", "cp", "%(difference)b"),
    ("sequential_id", "sid", "%(id)d"),
    ("best_ask_price", "bap", "%(ask)b"),
    ("best_ask_size", "bas", "%(ask_size)b"),
    ("best_bid_price", "bbp", "%(bid)b"),
    ("best_bid_size", "bbs", "%(bid_size)b"),
    ("stream_type", "st", '"%(stream)b"'),
)
TICKER: Final[Fields] = (
    ("type", "ty", '"ticker"'),
    ("code", "cd", '"%(code)b"'),
    ("opening_price", "op", "%(open)b"),
    ("high_price", "hp", "%(high)b"),
    ("low_price", "lp", "%(low)b"),
    ("trade_price", "tp", "%(price)b"),
    ("prev_closing_price", "pcp", "%(previous)b"),
    ("acc_trade_price", "atp", "%(value)b"),
    ("change", "c", '"%(change)b"'),
    ("change_price", "cp", "%(difference)b"),
    ("signed_change_price", "scp", "%(signed)b"),
    ("change_rate", "cr", "%(rate)b"),
    ("signed_change_rate", "scr", "%(signed_rate)b"),
    ("ask_bid", "ab", '"%(side)b"'),
    ("trade_volume", "tv", "%(size)b"),
    ("acc_trade_volume", "atv", "%(volume)b"),
    ("trade_date", "tdt", '"%(date)b"'),
    ("trade_time", "ttm", '"%(time)b"'),
    ("trade_timestamp", "ttms", "%(traded)d"),
    ("acc_ask_volume", "aav", "%(sold)b"),
    ("acc_bid_volume", "abv", "%(bought)b"),
    ("highest_52_week_price", "h52wp", "%(high)b"),
    ("highest_52_week_date", "h52wdt", '"%(day)b"'),
    ("lowest_52_week_price", "l52wp", "%(low)b"),
    ("lowest_52_week_date", "l52wdt", '"%(day)b"'),
    ("market_state", "ms", '"ACTIVE"'),
    ("is_trading_suspended", "its", "false"),
    ("delisting_date", "dd", "null"),
    ("market_warning", "mw", '"NONE"'),
    ("timestamp", "tms", "%(sent)d"),
    ("acc_trade_price_24h", "atp24h", "%(value)b"),
    ("acc_trade_volume_24h", "atv24h", "%(volume)b"),
    ("stream_type", "st", '"%(stream)b"'),
)
BOOK: Final[Fields] = (
    ("type", "ty", '"orderbook"'),
    ("code", "cd", '"%(code)b"'),
    ("timestamp", "tms", "%(sent)d"),
    ("total_ask_size", "tas", "%(asks)b"),
    ("total_bid_size", "tbs", "%(bids)b"),
    ("orderbook_units", "obu", "[%(units)b]"),
    ("stream_type", "st", '"%(stream)b"'),
    ("level", "lv", "%(level)d"),
)
_UNIT: Final = b'{"ask_price":%b,"bid_price":%b,"ask_size":%b,"bid_size":%b}'
_SIMPLE_UNIT: Final = b'{"ap":%b,"bp":%b,"as":%b,"bs":%b}'


def template(fields: Fields, is_short: bool) -> bytes:  # noqa: FBT001  # which column of names
    """Return the template of a message in its long or its short names."""
    members = (f'"{brief if is_short else name}":{value}' for name, brief, value in fields)
    return ("{" + ",".join(members) + "}").encode()


class Upbit(Venue):
    """Upbit: spot markets against the won."""

    exchange = "upbit"
    styles = Styles(pointed, short, double, fixed)
    opcode = BINARY
    ticker_ms = 100
    is_periodic = False
    depth: ClassVar[int] = 30
    units: ClassVar[tuple[int, ...]] = (1, 5, 15, 30)
    level: ClassVar[int] = 0
    id_scale: ClassVar[int] = 10_000
    trade: ClassVar[Fields] = TRADE
    ticker: ClassVar[Fields] = TICKER
    book: ClassVar[Fields] = BOOK
    options: ClassVar[dict[str, tuple[str, ...]]] = {
        "snapshot": ("is_only_snapshot", "isOnlySnapshot"),
        "realtime": ("is_only_realtime", "isOnlyRealtime"),
    }
    book_time_scale: ClassVar[int] = 1

    def __init__(self, desks: dict[tuple[str, str], Desk]) -> None:
        super().__init__(desks)
        self._templates = {
            (kind, is_short): template(fields, is_short)
            for kind, fields in (
                ("trade", self.trade),
                ("ticker", self.ticker),
                ("orderbook", self.book),
            )
            for is_short in (False, True)
        }

    # -- connections ---------------------------------------------------------------------------

    def receive(self, connection: Connection, message: bytes) -> None:  # noqa: D102  # as Venue says
        if message.strip() == b"PING":
            connection.memory["up_ms"] = self.now_ms + _UP_MS
            self.say(connection, b'{"status":"UP"}')
            return
        request = parsed(message)
        if isinstance(request, dict) and request.get("method") == "LIST_SUBSCRIPTIONS":
            self.say(connection, self._subscriptions(connection))
            return
        error = self._error(request)
        if error is not None:
            self._refuse(connection, *error)
            return
        self.forget(connection)
        chosen = [part["format"] for part in request if "format" in part]
        form = chosen[0] if chosen else "DEFAULT"
        for part in request:
            if "type" in part:
                self._subscribe(connection, part, form)
        connection.memory["ticket"] = request[0].get("ticket", "")

    def watch(self, connection: Connection) -> None:  # noqa: D102  # as Venue says
        if self.now_ms - connection.heard_ms > _IDLE_MS and not connection.streams:
            connection.cut()
        elif 0 < connection.memory.get("up_ms", 0) <= self.now_ms:
            connection.memory["up_ms"] = self.now_ms + _UP_MS
            self.say(connection, b'{"status":"UP"}')

    def _error(self, request: Any) -> tuple[str, str] | None:  # noqa: PLR0911  # one a word
        if not isinstance(request, list) or not all(isinstance(part, dict) for part in request):
            return "WRONG_FORMAT", _MESSAGES["WRONG_FORMAT"]
        if not any("ticket" in part for part in request):
            return "NO_TICKET", _MESSAGES["NO_TICKET"]
        wanted = [part for part in request if "type" in part]
        if not wanted:
            return "NO_TYPE", _MESSAGES["NO_TYPE"]
        for part in wanted:
            if part["type"] not in _KINDS:
                return "INVALID_PARAM", f"{part['type']} 은 지원하지 않는 타입입니다."
            if not part.get("codes"):
                return "NO_CODES", _MESSAGES["NO_CODES"]
        if any(part.get("format", "DEFAULT") not in _FORMATS for part in request):
            return "WRONG_FORMAT", _MESSAGES["WRONG_FORMAT"]
        return None

    def _refuse(self, connection: Connection, name: str, text: str) -> None:
        self.say(connection, {"error": {"name": name, "message": text}})
        connection.close(1000)

    def _subscribe(self, connection: Connection, part: dict[str, Any], form: str) -> None:
        kind = _KINDS[part["type"]]
        only_snapshot = any(part.get(name) for name in self.options["snapshot"])
        only_realtime = any(part.get(name) for name in self.options["realtime"])
        for code in part["codes"]:
            native, _, units = str(code).partition(".")
            desk = self.of("spot", native)
            if desk is None:  # nothing is said about a market that is not there
                continue
            is_narrow = kind == "orderbook" and units.isdigit() and int(units) in self.units
            wanted = f"{form}.{units}" if is_narrow else form
            stream = Stream(desk, kind, wanted)
            if not only_snapshot:
                stream = self.open(connection, desk, kind, wanted)
            if not only_realtime:
                for payload in self._frames(stream, b"SNAPSHOT"):
                    self.say(connection, payload)

    def _subscriptions(self, connection: Connection) -> dict[str, Any]:
        by_kind: dict[str, list[str]] = {}
        for stream in connection.streams:
            by_kind.setdefault(stream.kind, []).append(stream.desk.instrument.native)
        return {
            "method": "LIST_SUBSCRIPTIONS",
            "result": [{"type": kind, "codes": codes} for kind, codes in by_kind.items()],
            "ticket": connection.memory.get("ticket", ""),
        }

    # -- channels ------------------------------------------------------------------------------

    def trade_frames(self, stream: Stream, fills: Sequence[Fill]) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return self._wrapped(stream, self._trades(stream, fills, b"REALTIME"))

    def ticker_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return self._wrapped(stream, [self._ticker(stream, b"REALTIME")])

    def book_frames(self, stream: Stream) -> Iterable[bytes]:  # noqa: D102  # as Venue says
        return self._wrapped(stream, [self._book(stream, b"REALTIME")])

    def _frames(self, stream: Stream, stream_type: bytes) -> Iterable[bytes]:
        if stream.kind == "ticker":
            return self._wrapped(stream, [self._ticker(stream, stream_type)])
        if stream.kind == "orderbook":
            return self._wrapped(stream, [self._book(stream, stream_type)])
        last = stream.desk.tape.last(1)
        return self._wrapped(stream, self._trades(stream, last, stream_type)) if last else ()

    @staticmethod
    def _wrapped(stream: Stream, messages: list[bytes]) -> list[bytes]:
        return [b"[%b]" % b",".join(messages)] if "LIST" in stream.form else messages

    def sequential_id(self, fill: Fill) -> int:
        """Return the id, which is made of the time: unique, and of no use to find a gap."""
        return fill[1] * self.id_scale + fill[0] % self.id_scale

    def trade_id(self, desk: Desk, fill: Fill) -> bytes:  # noqa: D102  # as Venue says
        del desk
        return b"%d" % self.sequential_id(fill)

    def _trades(self, stream: Stream, fills: Sequence[Fill], stream_type: bytes) -> list[bytes]:
        desk, text = stream.desk, self._templates["trade", stream.form.startswith("SIMPLE")]
        opening = desk.tape.opening
        price, size, market = desk.price, desk.size, desk.market
        bid, ask = market.bids.best(), market.asks.best()
        values = {
            b"code": desk.native,
            b"sent": self.now_ms,
            b"previous": price[opening],
            b"ask": price[ask[0]],
            b"ask_size": size[ask[1]],
            b"bid": price[bid[0]],
            b"bid_size": size[bid[1]],
            b"stream": stream_type,
        }
        found = []
        for fill in fills:
            _, time_ms, buys, tick, lots = fill
            at = self.trade_clock(time_ms)
            change = tick - opening
            values[b"date"], values[b"time"] = at.date, at.time
            values[b"traded"] = time_ms
            values[b"price"], values[b"size"] = price[tick], size[lots]
            values[b"side"] = b"BID" if buys else b"ASK"
            values[b"change"] = direction(change)
            values[b"difference"] = price[abs(change)]
            values[b"id"] = self.sequential_id(fill)
            found.append(text % values)
        return found

    def trade_clock(self, time_ms: int) -> times.Parts:
        """Return the texts of a time in the zone that this exchange writes."""
        return times.utc(time_ms)

    def day_values(self, desk: Desk) -> dict[bytes, Any]:
        """Return the values of a ticker."""
        day = desk.tape.day
        opening, close, change = desk.change()
        last = desk.tape.last(1)
        time_ms, buys, lots = (
            (last[0][1], last[0][2], last[0][4]) if last else (self.now_ms, True, 1)
        )
        at, price = self.trade_clock(time_ms), desk.price
        rate = desk.rate(10)
        places = desk.instrument.size_decimals
        return {
            b"code": desk.native,
            b"open": price[opening],
            b"high": price[day.high],
            b"low": price[day.low],
            b"price": price[close],
            b"previous": price[opening],
            b"value": desk.value(day.value),
            b"volume": short(day.lots, places),
            b"sold": short(day.lots - day.buy_lots, places),
            b"bought": short(day.buy_lots, places),
            b"change": direction(change),
            b"difference": price[abs(change)],
            b"signed": price[change],
            b"rate": rate.lstrip(b"-"),
            b"signed_rate": rate,
            b"side": b"BID" if buys else b"ASK",
            b"size": desk.size[lots],
            b"date": at.short_date,
            b"time": at.short_time,
            b"day": at.date,
            b"traded": time_ms,
            b"sent": self.now_ms,
        }

    def _ticker(self, stream: Stream, stream_type: bytes) -> bytes:
        values = self.day_values(stream.desk)
        values[b"stream"] = stream_type
        return self._templates["ticker", stream.form.startswith("SIMPLE")] % values

    def _book(self, stream: Stream, stream_type: bytes) -> bytes:
        desk = stream.desk
        is_short = stream.form.startswith("SIMPLE")
        units = stream.form.partition(".")[2]
        rows = self.rows(desk, int(units) if units else self.depth, is_short)
        values = {
            b"code": desk.native,
            b"sent": self.now_ms * self.book_time_scale,
            b"stream": stream_type,
            b"level": self.level,
            **rows,
        }
        return self._templates["orderbook", is_short] % values

    def rows(self, desk: Desk, depth: int, is_short: bool) -> dict[bytes, bytes]:  # noqa: FBT001  # one of two forms
        """Return the units of a book and their totals, ask and bid side by side."""
        market, places = desk.market, desk.instrument.size_decimals
        bids, asks = market.bids.top(depth), market.asks.top(depth)
        price = desk.price if is_short else desk.other_price
        size = desk.size if is_short else desk.other_size
        row = _SIMPLE_UNIT if is_short else _UNIT
        units = [
            row % (price[ask], price[bid], size[ask_lots], size[bid_lots])
            for (ask, ask_lots), (bid, bid_lots) in zip(asks, bids, strict=False)
        ]
        return {
            b"asks": fixed(sum(lots for _, lots in asks), places),
            b"bids": fixed(sum(lots for _, lots in bids), places),
            b"units": b",".join(units),
        }

    # -- REST ----------------------------------------------------------------------------------

    def rest(self, request: Request) -> Answer:  # noqa: D102  # as Venue says
        name = request.path.removeprefix("/v1/")
        group = name.partition("/")[0].rstrip("s")
        headers, refusal = self.spend(group, request.now_ms)
        if refusal is not None:
            return refusal
        routes = {
            "market/all": self._markets,
            "trades/ticks": self._ticks,
            "candles/minutes/1": self._candles,
            "ticker": self._tickers,
            "ticker/all": self._tickers,
            "orderbook": self._books,
            "orderbook/instruments": self._instruments,
        }
        route = routes.get(name)
        if route is None:
            return self.failure(404, "not_found", "Not Found")
        answer = route(request)
        return answer._replace(headers=headers)

    def spend(self, group: str, now_ms: int) -> tuple[dict[str, str], Answer | None]:
        """Count a request; return the headers that say so, and the answer if it was too many."""
        budget = self.budget(group, 10, 1_000)
        is_allowed = budget.spend(now_ms)
        headers = {"Remaining-Req": f"group={group}; min=599; sec={budget.remaining}"}
        if is_allowed:
            return headers, None
        return headers, self.failure(429, "too_many_requests", "Too many API requests.")

    def failure(self, status: int, name: str, text: str) -> Answer:
        """Return an error."""
        return Answer(msgspec.json.encode({"error": {"name": name, "message": text}}), status)

    def refuse(self, status: int, retry_after_s: int) -> Answer:  # noqa: D102  # as Venue says
        # A block says how long it lasts in words, never in a header.
        return self.failure(status, "too_many_requests", f"blocked for {retry_after_s} seconds")

    def asked(self, request: Request) -> list[Desk] | None:
        """Return the markets that a request names; `None` where one is not listed."""
        names = request.query.get("markets") or request.query.get("market", "")
        if not names:
            return self.listed("spot")
        desks = [self.of("spot", name) for name in names.split(",")]
        found = [desk for desk in desks if desk is not None]
        return found if len(found) == len(desks) else None

    def _markets(self, request: Request) -> Answer:
        detailed = request.query.get("is_details", request.query.get("isDetails", "")) == "true"
        return Answer(
            msgspec.json.encode([self.market_row(desk, detailed) for desk in self.listed("spot")])
        )

    def market_row(self, desk: Desk, is_detailed: bool) -> dict[str, Any]:  # noqa: FBT001  # one of two forms
        """Return what the list of markets says of one."""
        base = desk.instrument.base
        row: dict[str, Any] = {
            "market": desk.instrument.native,
            "korean_name": _KOREAN.get(base, base),
            "english_name": base,
        }
        if is_detailed:
            names = ("PRICE_FLUCTUATIONS", "TRADING_VOLUME_SOARING", "DEPOSIT_AMOUNT_SOARING")
            caution = dict.fromkeys((*names, "GLOBAL_PRICE_DIFFERENCES"), False)
            row["market_event"] = {"warning": False, "caution": caution}
        return row

    def _ticks(self, request: Request) -> Answer:
        desks = self.asked(request)
        if not desks:
            return self.failure(404, "not_found", "Code not found")
        desk, tape = desks[0], desks[0].tape
        end = self._end(desk, request)
        count = integer(request.query, "count", 1, 500)
        rows = [self.tick_row(desk, fill) for fill in reversed(tape.slice(end - count, end))]
        return Answer(b"[%b]" % b",".join(rows))

    def _end(self, desk: Desk, request: Request) -> int:
        """Return the position behind the newest trade that is asked for."""
        tape, cursor = desk.tape, request.query.get("cursor", "")
        midnight_ms = request.now_ms - request.now_ms % 86_400_000
        midnight_ms -= integer(request.query, "days_ago", 0, 7) * 86_400_000
        end = min(len(tape), tape.at_time(midnight_ms + 86_400_000))
        to = request.query.get("to", "").replace(":", "")
        if to.isdigit():
            of_day_s = int(to[:2]) * 3_600 + int(to[2:4]) * 60 + int(to[4:6] or 0)
            end = min(end, tape.at_time(midnight_ms + of_day_s * 1_000))
        if cursor.isdigit():
            time_ms, low = divmod(int(cursor), self.id_scale)
            at = tape.at_time(time_ms)
            for fill in tape.slice(at, tape.after_time(time_ms)):
                if fill[0] % self.id_scale == low:
                    break
                at += 1
            end = min(end, at)
        return end

    def tick_row(self, desk: Desk, fill: Fill) -> bytes:
        """Return one row of past trades."""
        _, time_ms, buys, tick, lots = fill
        at, opening = times.utc(time_ms), desk.tape.day.open
        return (
            b'{"market":"%b","trade_date_utc":"%b","trade_time_utc":"%b","timestamp":%d,'
            b'"trade_price":%b,"trade_volume":%b,"prev_closing_price":%b,"change_price":%b,'
            b'"ask_bid":"%b","sequential_id":%d}'
        ) % (
            desk.native,
            at.date,
            at.time,
            time_ms,
            desk.price[tick],
            desk.size[lots],
            desk.price[opening],
            desk.price[tick - opening],
            b"BID" if buys else b"ASK",
            self.sequential_id(fill),
        )

    def _candles(self, request: Request) -> Answer:
        desks = self.asked(request)
        if not desks:
            return self.failure(404, "not_found", "Code not found")
        end_ms = times.ms_of(request.query.get("to", "")) or request.now_ms + 60_000
        count = integer(request.query, "count", 1, 200)
        # A minute without trades has no candle.
        found = [row for row in desks[0].tape.candles(0, end_ms) if row[1].count][-count:]
        rows = [self._candle_row(desks[0], *row) for row in reversed(found)]
        return Answer(b"[%b]" % b",".join(rows))

    def _candle_row(self, desk: Desk, start_ms: int, candle: Candle) -> bytes:
        price, utc, kst = desk.price, times.utc(start_ms), times.kst(start_ms)
        return (
            b'{"market":"%b","candle_date_time_utc":"%bT%b","candle_date_time_kst":"%bT%b",'
            b'"opening_price":%b,"high_price":%b,"low_price":%b,"trade_price":%b,"timestamp":%d,'
            b'"candle_acc_trade_price":%b,"candle_acc_trade_volume":%b,"unit":1}'
        ) % (
            desk.native,
            *utc,
            *kst,
            price[candle.open],
            price[candle.high],
            price[candle.low],
            price[candle.close],
            candle.last_ms,
            desk.value(candle.value),
            short(candle.lots, desk.instrument.size_decimals),
        )

    def _tickers(self, request: Request) -> Answer:
        desks = self.asked(request)
        if desks is None:
            return self.failure(404, "not_found", "Code not found")
        return Answer(b"[%b]" % b",".join([self.ticker_row(desk) for desk in desks]))

    def ticker_row(self, desk: Desk) -> bytes:
        """Return one row of tickers, which REST names otherwise than the channel."""
        values = self.day_values(desk)
        row = template(self.ticker, is_short=False) % {**values, b"stream": b"SNAPSHOT"}
        fields = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
        for name in ("type", "stream_type", "ask_bid"):
            del fields[name]
        code = fields.pop("code")
        return msgspec.json.encode({"market": code, **fields})

    def _books(self, request: Request) -> Answer:
        desks = self.asked(request)
        if desks is None:
            return self.failure(404, "not_found", "Code not found")
        rows = [
            b'{"market":"%b","timestamp":%d,"total_ask_size":%b,"total_bid_size":%b,'
            b'"orderbook_units":[%b],"level":0}'
            % (desk.native, self.now_ms, row[b"asks"], row[b"bids"], row[b"units"])
            for desk in desks
            for row in [self.rows(desk, self.depth, is_short=False)]
        ]
        return Answer(b"[%b]" % b",".join(rows))

    def _instruments(self, request: Request) -> Answer:
        desks = self.asked(request)
        if desks is None:
            return self.failure(404, "not_found", "Code not found")
        rows = [
            {
                "market": desk.instrument.native,
                "quote_currency": desk.instrument.quote,
                "tick_size": fixed(desk.instrument.tick, desk.instrument.price_decimals).decode(),
                "supported_levels": ["0"],
            }
            for desk in desks
        ]
        return Answer(msgspec.json.encode(rows))


def direction(change: int) -> bytes:
    """Return the word for a change of price."""
    return b"RISE" if change > 0 else b"FALL" if change < 0 else b"EVEN"
