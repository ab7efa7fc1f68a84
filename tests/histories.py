"""What the exchanges' REST interfaces answer, by their documents, over trades of a test's own.

The rows have the form of the recorded bodies in ``frames/rest``.
"""

import re
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import msgspec

DAY_MS = 86_400_000


class PastTrade(NamedTuple):
    """One trade of the past; ids grow with time."""

    trade_id: int
    time_ms: int
    price: Decimal
    size: Decimal
    taker_buys: bool


class Past:
    """The history of one exchange.

    Args:
        exchange: Whose documents to follow.
        trades: By native symbol, in the order of time.
        now_ms: From which days are counted back.
    """

    def __init__(
        self, exchange: str, trades: dict[str, list[PastTrade]], now_ms: int = 2_000_000_000_000
    ) -> None:
        self._trades = trades
        self._now_ms = now_ms
        self._answer: Callable[[str, dict[str, str]], bytes] = getattr(self, f"_{exchange}")

    def answer(self, path: str, parameters: dict[str, Any]) -> bytes:
        """The body for a request."""
        return self._answer(path, {name: str(value) for name, value in parameters.items()})

    def _binance(self, path: str, asked: dict[str, str]) -> bytes:
        trades, limit = self._trades[asked["symbol"]], int(asked["limit"])
        if path.endswith("/aggTrades") and "fromId" in asked:
            found = [t for t in trades if t.trade_id >= int(asked["fromId"])][:limit]
            return _json(_aggregate(t) for t in found)
        if path.endswith("/aggTrades"):
            start, end = int(asked["startTime"]), int(asked["endTime"])
            found = [t for t in trades if start <= t.time_ms <= end][:limit]
            assert end - start < 3_600_000
            return _json(_aggregate(t) for t in found)
        assert path.endswith("/historicalTrades")
        found = [t for t in trades if t.trade_id >= int(asked["fromId"])][:limit]
        return _json(
            {"id": t.trade_id, "price": str(t.price), "qty": str(t.size), "time": t.time_ms,
             "quoteQty": str(t.price * t.size), "isBuyerMaker": not t.taker_buys}
            for t in found
        )  # fmt: skip

    def _kraken(self, path: str, asked: dict[str, str]) -> bytes:
        assert path == "/0/public/Trades"
        since_ns, count = int(asked["since"]), int(asked["count"])
        trades = [t for t in self._trades[asked["pair"]] if t.time_ms * 1_000_000 > since_ns]
        rows = [
            [str(t.price), str(t.size), msgspec.Raw(b"%d.%03d" % divmod(t.time_ms, 1_000)),
             "b" if t.taker_buys else "s", "l", "", t.trade_id]
            for t in trades[:count]
        ]  # fmt: skip
        return msgspec.json.encode({"error": [], "result": {asked["pair"]: rows, "last": "0"}})

    def _bitmex(self, path: str, asked: dict[str, str]) -> bytes:
        assert path == "/api/v1/trade"
        start, end = _ms(asked["startTime"]), _ms(asked["endTime"])
        found = [t for t in self._trades[asked["symbol"]] if start <= t.time_ms <= end]
        page = found[int(asked["start"]) :][: int(asked["count"])]
        return _json(
            {"timestamp": _iso(t.time_ms), "symbol": asked["symbol"], "price": t.price,
             "side": "Buy" if t.taker_buys else "Sell", "size": 100, "homeNotional": t.size,
             "tickDirection": "PlusTick", "trdMatchID": f"00000000-0000-0000-0000-{t.trade_id:012}",
             "grossValue": 1, "foreignNotional": t.size * t.price, "trdType": "Regular"}
            for t in page
        )  # fmt: skip

    def _okx(self, path: str, asked: dict[str, str]) -> bytes:
        assert path == "/api/v5/market/history-trades"
        trades, after = self._trades[asked["instId"]], int(asked["after"])
        if asked["type"] == "2":
            found = [t for t in trades if t.time_ms < after]
        else:
            found = [t for t in trades if t.trade_id < after]
        rows = [
            {"instId": asked["instId"], "side": "buy" if t.taker_buys else "sell",
             "sz": str(t.size), "source": "0", "px": str(t.price), "tradeId": str(t.trade_id),
             "ts": str(t.time_ms)}
            for t in found[::-1][: min(100, int(asked["limit"]))]
        ]  # fmt: skip
        return msgspec.json.encode({"code": "0", "msg": "", "data": rows})

    def _gateio(self, path: str, asked: dict[str, str]) -> bytes:
        if path != "/api/v4/spot/trades":
            return self._gateio_futures(path, asked)
        start, end = int(asked["from"]) * 1_000, int(asked["to"]) * 1_000
        pair, limit = asked["currency_pair"], int(asked["limit"])
        found = [t for t in self._trades[pair] if start <= t.time_ms <= end][::-1]
        return _json(
            {"id": str(t.trade_id), "create_time": str(t.time_ms // 1_000),
             "create_time_ms": f"{t.time_ms}.000000", "currency_pair": pair,
             "side": "buy" if t.taker_buys else "sell", "role": "taker", "amount": str(t.size),
             "price": str(t.price)}
            for t in found[limit * (int(asked["page"]) - 1) :][:limit]
        )  # fmt: skip

    def _gateio_futures(self, path: str, asked: dict[str, str]) -> bytes:
        assert path == "/api/v4/futures/usdt/trades"
        start, end = int(asked["from"]) * 1_000, int(asked["to"]) * 1_000
        contract, offset = asked["contract"], int(asked["offset"])
        found = [t for t in self._trades[contract] if start <= t.time_ms <= end][::-1]
        return _json(
            {"id": t.trade_id, "create_time": t.time_ms // 1_000, "contract": contract,
             "create_time_ms": msgspec.Raw(b"%d.%03d" % divmod(t.time_ms, 1_000)),
             "size": (1 if t.taker_buys else -1) if t.size else 0, "price": str(t.price)}
            for t in found[offset:][: int(asked["limit"])]
        )  # fmt: skip

    def _upbit(self, path: str, asked: dict[str, str]) -> bytes:
        assert path == "/v1/trades/ticks"
        day_ms = (self._now_ms // DAY_MS - int(asked.get("days_ago", "0"))) * DAY_MS
        end_ms = day_ms + DAY_MS
        if "to" in asked:
            hours, minutes, seconds = map(int, asked["to"].split(":"))
            end_ms = day_ms + 1_000 * (3_600 * hours + 60 * minutes + seconds)
        found = [t for t in self._trades[asked["market"]] if day_ms <= t.time_ms < end_ms]
        if "cursor" in asked:
            found = [t for t in found if t.trade_id < int(asked["cursor"])]
        return _json(
            {"market": asked["market"], "trade_date_utc": _iso(t.time_ms)[:10],
             "trade_time_utc": _iso(t.time_ms)[11:19], "timestamp": t.time_ms,
             "trade_price": t.price, "trade_volume": t.size, "prev_closing_price": 1,
             "change_price": 0, "ask_bid": "BID" if t.taker_buys else "ASK",
             "sequential_id": t.trade_id}
            for t in found[::-1][: int(asked["count"])]
        )  # fmt: skip

    _bithumb = _upbit

    def _bybit(self, path: str, asked: dict[str, str]) -> bytes:
        assert path == "/v5/market/recent-trade"
        rows = [
            {"execId": str(t.trade_id), "symbol": asked["symbol"], "price": str(t.price),
             "size": str(t.size), "side": "Buy" if t.taker_buys else "Sell",
             "time": str(t.time_ms), "isBlockTrade": False, "isRPITrade": False}
            for t in self._trades[asked["symbol"]][::-1][: int(asked["limit"])]
        ]  # fmt: skip
        result = {"category": asked["category"], "list": rows}
        return msgspec.json.encode(
            {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1}
        )

    def _korbit(self, path: str, asked: dict[str, str]) -> bytes:
        assert path == "/v2/trades"
        rows = [
            {"timestamp": t.time_ms, "price": str(t.price), "qty": str(t.size),
             "isBuyerTaker": t.taker_buys, "tradeId": t.trade_id}
            for t in self._trades[asked["symbol"]][::-1][: int(asked["limit"])]
        ]  # fmt: skip
        return msgspec.json.encode({"success": True, "data": rows})

    def _coinone(self, path: str, asked: dict[str, str]) -> bytes:
        quote, base = path.removeprefix("/public/v2/trades/").split("/")
        rows = [
            {"id": str(t.trade_id), "timestamp": t.time_ms, "price": str(t.price),
             "qty": str(t.size), "is_seller_maker": t.taker_buys}
            for t in self._trades[f"{quote}/{base}"][::-1][: int(asked["size"])]
        ]  # fmt: skip
        return msgspec.json.encode(
            {"result": "success", "error_code": "0", "server_time": 1, "quote_currency": quote,
             "target_currency": base, "transactions": rows}
        )  # fmt: skip


class Server:
    """An exchange's REST interface on this machine.

    Args:
        past: What it answers.
        moods: Answers that it gives before it does: a status and headers each.
    """

    def __init__(self, past: Past, moods: Iterable[tuple[int, dict[str, str], bytes]] = ()) -> None:
        self.requests = 0
        self.headers: list[dict[str, str]] = []
        waiting = list(moods)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                outer.headers.append(dict(self.headers))
                path, _, query = self.path.partition("?")
                status, headers, body = waiting.pop(0) if waiting else (200, {}, b"")
                if status == 200 and not body:
                    body = past.answer(path, dict(urllib.parse.parse_qsl(query)))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator["Server"]:
        """While it answers."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def _aggregate(trade: PastTrade) -> dict[str, Any]:
    return {
        "a": trade.trade_id, "p": str(trade.price), "q": str(trade.size), "f": trade.trade_id,
        "l": trade.trade_id, "T": trade.time_ms, "m": not trade.taker_buys,
    }  # fmt: skip


def _json(rows: Iterable[dict[str, Any]]) -> bytes:
    return msgspec.json.Encoder(decimal_format="number").encode(list(rows))


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).isoformat("T", "milliseconds")[:23] + "Z"


def _ms(text: str) -> int:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    return round(datetime.fromisoformat(text).timestamp() * 1_000)
