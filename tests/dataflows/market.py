"""A seeded market whose truth is known: Binance trade frames, and the rows that they must give."""

import random
from collections import defaultdict
from decimal import Decimal
from typing import Any, NamedTuple

START_MS = 1_729_678_800_000  # 2024-10-23 10:20:00 UTC


class MarketTrade(NamedTuple):
    """One trade of the market, before it is a frame."""

    symbol: str
    trade_id: int
    time_ms: int
    price: Decimal
    size: Decimal
    taker_buys: bool

    def frame(self) -> bytes:
        """The frame as Binance sends it (tests/frames/binance-trade.jsonl)."""
        return (
            b'{"e":"trade","E":%d,"s":"%s","t":%d,"p":"%s","q":"%s","T":%d,"m":%s,"M":true}'
        ) % (
            self.time_ms + 3,
            self.symbol.encode(),
            self.trade_id,
            str(self.price).encode(),
            str(self.size).encode(),
            self.time_ms,
            b"false" if self.taker_buys else b"true",
        )


def make_market(count: int, symbols: int, minutes: int, seed: int = 1) -> list[MarketTrade]:
    """Trades in the order in which they happened."""
    chance = random.Random(seed)
    ids = [chance.randrange(10**9) for _ in range(symbols)]
    trades = []
    for index in range(count):
        symbol = int(symbols * chance.random() ** 2)  # some trade often, some rarely
        ids[symbol] += 1
        trades.append(
            MarketTrade(
                f"C{symbol}USDT",
                ids[symbol],
                START_MS + index * minutes * 60_000 // count,
                Decimal(chance.randrange(10**9, 10**10)).scaleb(-8),
                Decimal(chance.randrange(1, 10**10)).scaleb(-8),
                chance.random() < 0.5,
            )
        )
    return trades


def shuffle_within(trades: list[MarketTrade], lateness_ms: int, seed: int) -> list[MarketTrade]:
    """The trades in another order of arrival, none of them later than the lateness allows."""
    chance = random.Random(seed)
    return sorted(trades, key=lambda trade: trade.time_ms + chance.random() * lateness_ms)


def with_duplicates(trades: list[MarketTrade], seed: int) -> list[MarketTrade]:
    """The trades with a tenth of them sent again, some at once and some later."""
    chance = random.Random(seed)
    result: list[MarketTrade] = []
    for trade in trades:
        result.append(trade)
        if chance.random() < 0.1:
            result.append(chance.choice(result[-200:]))
    return result


def truth(trades: list[MarketTrade]) -> dict[tuple[str, int], dict[str, Any]]:
    """What each symbol and minute must hold, computed with nothing of the project."""
    unique = {(trade.symbol, trade.trade_id): trade for trade in trades}
    by_minute: dict[tuple[str, int], list[MarketTrade]] = defaultdict(list)
    for trade in unique.values():
        by_minute[trade.symbol, trade.time_ms // 60_000].append(trade)
    last_minute = max(minute for _, minute in by_minute)
    first_of: dict[str, int] = {}
    for symbol, minute in by_minute:
        first_of[symbol] = min(minute, first_of.get(symbol, minute))
    for symbol, first in first_of.items():  # quiet minutes of a live exchange are rows as well
        for minute in range(first, last_minute + 1):
            by_minute.setdefault((symbol, minute), [])
    return {key: _row(sorted(trades, key=_order)) for key, trades in by_minute.items()}


def _order(trade: MarketTrade) -> tuple[int, int]:
    return trade.time_ms, trade.trade_id


def _row(trades: list[MarketTrade]) -> dict[str, Any]:
    buys = [trade for trade in trades if trade.taker_buys]
    sells = [trade for trade in trades if not trade.taker_buys]
    return {
        "taker_buy_volume": sum((t.size for t in buys), Decimal(0)),
        "taker_sell_volume": sum((t.size for t in sells), Decimal(0)),
        "taker_buy_notional": sum((t.size * t.price for t in buys), Decimal(0)),
        "taker_sell_notional": sum((t.size * t.price for t in sells), Decimal(0)),
        "buy_count": len(buys),
        "sell_count": len(sells),
        "open": trades[0].price if trades else None,
        "high": max((t.price for t in trades), default=None),
        "low": min((t.price for t in trades), default=None),
        "close": trades[-1].price if trades else None,
        "is_final": True,
        "revision": 1,
        "late_trades": 0,
    }
