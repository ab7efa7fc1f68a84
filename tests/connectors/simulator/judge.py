"""Runs in the environment of `decoders.lock`: what ccxt and cryptofeed read from the frames.

Reads JSON lines of cases from standard input and writes a JSON line for each; it knows nothing of
the project.
"""

import asyncio
import json
import sys
import types
from decimal import Decimal
from typing import Any

CCXT = {
    ("okx", ""): "okx",
    ("bybit", ""): "bybit",
    ("gateio", ""): "gate",
    ("binance", "spot"): "binance",
    ("binance", "linear"): "binanceusdm",
    ("binance", "inverse"): "binancecoinm",
    ("kraken", ""): "kraken",
    ("bitmex", ""): "bitmex",
    ("upbit", ""): "upbit",
    ("coinone", ""): "coinone",
}
CRYPTOFEED = {
    ("okx", ""): "OKX",
    ("bybit", ""): "BYBIT",
    ("gateio", "spot"): "GATEIO",
    ("binance", "spot"): "BINANCE",
    ("binance", "linear"): "BINANCE_FUTURES",
    ("bitmex", ""): "BITMEX",
    ("upbit", ""): "UPBIT",
}


class Stub:
    """A connection of ccxt that keeps what it is given."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.subscriptions: dict[str, Any] = {}
        self.futures: dict[str, Any] = {}
        self.lastPong = 0
        self.keepAlive = 0

    def resolve(self, result: Any, message_hash: str = "") -> Any:
        del message_hash
        return result

    def reject(self, error: Any, message_hash: str = "") -> None:
        del message_hash
        raise error


def market(row: dict[str, Any]) -> dict[str, Any]:
    """Return the market of a case as ccxt has it."""
    product = row["product"]
    is_swap = product != "spot"
    settle = {"spot": None, "linear": row["quote"], "inverse": row["base"]}[product]
    symbol = f"{row['base']}/{row['quote']}" + (f":{settle}" if is_swap else "")
    return {
        "id": row["native"],
        "lowercaseId": row["native"].lower(),
        "symbol": symbol,
        "base": row["base"],
        "quote": row["quote"],
        "baseId": row["base"],
        "quoteId": row["quote"],
        "settle": settle,
        "settleId": settle,
        "type": "swap" if is_swap else "spot",
        "spot": not is_swap,
        "margin": False,
        "swap": is_swap,
        "future": False,
        "option": False,
        "contract": is_swap,
        "linear": product == "linear" if is_swap else None,
        "inverse": product == "inverse" if is_swap else None,
        "contractSize": float(row["contract"] or 1) if is_swap else None,
        "active": True,
        "precision": {"price": 1e-8, "amount": 1e-8},
        "limits": {"amount": {}, "price": {}, "cost": {}},
        "info": {"wsname": row["native"]},
    }


def by_ccxt(case: dict[str, Any]) -> dict[str, Any]:
    """Return what ccxt reads: trades in the order they came, the last ticker, the book."""
    import ccxt.pro  # noqa: PLC0415  # takes seconds, and only one library does the job

    name = CCXT.get((case["exchange"], "")) or CCXT[case["exchange"], case["product"]]
    exchange = getattr(ccxt.pro, name)({"options": {"tradesLimit": 100_000}})
    found = market(case["market"])
    exchange.set_markets([found])
    symbol = found["symbol"]
    stub = Stub(case["url"])
    trades = []
    for text in case["frames"]:
        message = json.loads(text)
        if case["exchange"] == "binance" and "stream" in message:
            message = message["data"]
        if case["exchange"] == "kraken" and case["kind"] == "orderbook":
            limit = 10
            exchange.orderbooks.setdefault(symbol, exchange.order_book({}, limit))
            found["precision"] = case["market"]["precision"]
        exchange.handle_message(stub, message)
        if symbol in exchange.trades:
            trades += list(exchange.trades[symbol])
            exchange.trades[symbol].clear()
    book = exchange.orderbooks.get(symbol) if case["kind"] == "orderbook" else None
    ticker = exchange.tickers.get(symbol)
    return {
        "trades": [
            [str(t["id"]), t["timestamp"], t["side"], t["price"], t["amount"]] for t in trades
        ],
        "last": ticker and ticker["last"],
        "bids": book and [level[:2] for level in book["bids"][:10]],
        "asks": book and [level[:2] for level in book["asks"][:10]],
    }


def by_cryptofeed(case: dict[str, Any]) -> dict[str, Any]:
    """Return what cryptofeed reads."""
    from cryptofeed.defines import L2_BOOK, TICKER, TRADES  # noqa: PLC0415  # only one library does the job
    from cryptofeed.exchanges import EXCHANGE_MAP  # noqa: PLC0415  # as above
    from cryptofeed.symbols import Symbols  # noqa: PLC0415  # as above

    name = CRYPTOFEED.get((case["exchange"], "")) or CRYPTOFEED[case["exchange"], case["product"]]
    row = case["market"]
    suffix = "" if case["product"] == "spot" else "-PERP"
    standard = f"{row['base']}-{row['quote']}{suffix}"
    kinds = {"trade": TRADES, "ticker": TICKER, "orderbook": L2_BOOK}
    of_type = "spot" if not suffix else "perpetual"
    info = {"instrument_type": {standard: of_type}, "tick_size": {standard: Decimal("0.01")}}
    trades: list[Any] = []
    seen: dict[str, Any] = {"last": None, "bids": None, "asks": None}

    async def on_trade(trade: Any, received: float) -> None:
        del received
        stamp = round(trade.timestamp * 1_000)
        trades.append([str(trade.id), stamp, trade.side, float(trade.price), float(trade.amount)])

    async def on_ticker(ticker: Any, received: float) -> None:
        del received
        seen["last"] = [float(ticker.bid), float(ticker.ask)]

    async def on_book(book: Any, received: float) -> None:
        del received
        levels = book.book.to_dict() if hasattr(book.book, "to_dict") else book.to_dict()["book"]
        seen["bids"] = [[float(p), float(levels["bid"][p])] for p in list(levels["bid"])[:10]]
        seen["asks"] = [[float(p), float(levels["ask"][p])] for p in list(levels["ask"])[:10]]

    async def run() -> None:
        exchange_type = EXCHANGE_MAP[name]
        native = row["native"]
        if case["exchange"] == "bybit" and not suffix:
            native = standard.replace("-", "/")  # as it tells spot from linear markets
        Symbols.set(exchange_type.id, {standard: native}, info)
        callbacks = {TRADES: on_trade, TICKER: on_ticker, L2_BOOK: on_book}
        kind = kinds[case["kind"]]
        feed = exchange_type(symbols=[standard], channels=[kind], callbacks={kind: callbacks[kind]})
        subscription = {"tickers": [native], "publicTrade": [native], "orderbook": [native]}
        connection = types.SimpleNamespace(
            uuid="x", id="x", address=case["url"], subscription=subscription
        )
        for text in case["frames"]:
            await feed.message_handler(text, connection, case["now"])

    asyncio.run(run())
    return {"trades": trades, **seen}


def main() -> None:
    for line in sys.stdin:
        case = json.loads(line)
        judge = by_ccxt if case["judge"] == "ccxt" else by_cryptofeed
        try:
            result = judge(case)
        except Exception as error:  # noqa: BLE001  # whatever it stumbles over is the verdict
            result = {"error": f"{type(error).__name__}: {error!s:.300}"}
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


main()
