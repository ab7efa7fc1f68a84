"""A market of made-up minutes for the dashboard's tests and pictures, straight into PostgreSQL.

The same seed gives the same minutes. Some are missing, some incomplete, as after real outages.
"""

import argparse
import math
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg

from connectors.process.clock import now_ns
from tests.api.helpers import prepare

PRICES = {"BTC": 66_600.0, "ETH": 2_520.0, "SOL": 171.0, "XRP": 0.53, "USDT": 1.0}
SPOT = ("BTC", "ETH", "SOL", "XRP")
KRW = 1_384.0
PREMIUM = 0.018

Columns = dict[str, object]


def markets() -> list[tuple[str, str, float, float]]:
    """Return exchange, symbol, share of the volume, and how far its price is off in 1/10,000."""
    korea = (
        ("upbit", 1.0, 3.0),
        ("bithumb", 0.5, 5.0),
        ("korbit", 0.02, -6.0),
        ("coinone", 0.05, 2.0),
    )
    listed = [
        (code, f"{base}-KRW", share, bps) for code, share, bps in korea for base in (*SPOT, "USDT")
    ]
    for code, share, bps in (("okx", 1.1, -0.4), ("bybit", 1.3, 0.3), ("gateio", 0.4, 1.1)):
        listed += [(code, f"{base}-USDT", share, bps) for base in SPOT]
        listed += [(code, "BTC-USDT-PERP", 3.2 * share, bps - 3)]
    listed += [("binance", f"{base}-USDT", 3.0, 0.0) for base in SPOT]
    listed += [("binance", "BTC-USDT-PERP", 8.0, -3.5), ("bybit", "BTC-USD-PERP", 0.6, -4.2)]
    listed += [("kraken", f"{base}-USD", 0.4, 4.0) for base in SPOT]
    return [*listed, ("bitmex", "BTC-USD-PERP", 0.5, -5.0)]


@dataclass
class Market:
    """Walks prices and volumes on from minute to minute.

    Attributes:
        seed: Of the chance.
        lost: Minutes since the epoch that no exchange has.
        lost_of: The same of one exchange.
        incomplete_of: Minutes of which an exchange has only a part.
        bases: The coins that are traded.
    """

    seed: int = 7
    lost: frozenset[int] = frozenset()
    lost_of: dict[str, frozenset[int]] = field(default_factory=dict)
    incomplete_of: dict[str, frozenset[int]] = field(default_factory=dict)
    bases: tuple[str, ...] = tuple(PRICES)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.levels = dict.fromkeys(PRICES, 0.0)
        self.moods = dict.fromkeys(PRICES, 0.0)
        self.last: dict[tuple[str, str], float] = {}

    def step(self) -> None:
        """Go on by a minute."""
        common = self.chance.gauss(0, 1)
        for base in PRICES:
            own = self.chance.gauss(0, 1)
            self.moods[base] = 0.86 * self.moods[base] + 0.5 * (0.6 * common + 0.4 * own)
            if base != "USDT":
                self.levels[base] += 0.00042 * (0.8 * self.moods[base] + 0.5 * own)

    def rows(self, minute: int, *, part: float = 1.0) -> Iterator[Columns]:
        """Return the rows of a minute, or of its first part."""
        wave = 1 + 0.6 * math.sin(minute / 86_400 * 2 * math.pi) + self.chance.expovariate(2)
        for code, symbol, share, bps in markets():
            number = minute // 60
            if number in self.lost or number in self.lost_of.get(code, ()):
                continue
            base = symbol.split("-")[0]
            if base not in self.bases:
                continue
            whole = number not in self.incomplete_of.get(code, ())
            size = share * wave * part * (1 if whole else 0.3) * 650_000 / PRICES[base]
            yield self._row(code, symbol, minute, size * self.chance.uniform(0.6, 1.4), bps, whole)

    def _row(
        self, code: str, symbol: str, minute: int, size: float, bps: float, whole: bool
    ) -> Columns:
        base, quote = symbol.split("-")[:2]
        level = PRICES[base] * math.exp(self.levels[base]) * (1 + bps / 10_000)
        if quote == "KRW":
            drift = 0.004 * math.sin(minute / 9_000)
            level *= KRW * (1 if base == "USDT" else 1 + PREMIUM + drift)
        digits = 0 if level > 10_000_000 else 1 if level > 1_000 else 4
        close = round(level * (1 + self.chance.gauss(0, 0.00006)), digits)
        start = self.last.get((code, symbol), close)
        self.last[code, symbol] = close
        spread = abs(self.chance.gauss(0, 0.00018)) * level
        high, low = (
            round(max(start, close) + spread, digits),
            round(min(start, close) - spread, digits),
        )
        share = min(0.95, max(0.05, 0.5 + 0.13 * self.moods[base] + self.chance.gauss(0, 0.05)))
        buy, sell = round(size * share, 6), round(size * (1 - share), 6)
        middle = (start + close + high + low) / 4
        count = max(2, int(size * PRICES[base] / 900))
        return {
            "code": code, "symbol": symbol, "minute": minute, "buy": buy, "sell": sell,
            "buy_notional": round(buy * middle, 4), "sell_notional": round(sell * middle, 4),
            "buys": int(count * share), "sells": count - int(count * share),
            "open": start, "high": high, "low": low, "close": close, "vwap": round(middle, 8),
            "whole": whole,
        }  # fmt: skip


_MINUTE = """
INSERT INTO taker_volume AS stored (
    exchange_id, symbol, minute, taker_buy_volume, taker_sell_volume, taker_buy_notional,
    taker_sell_notional, buy_count, sell_count, open, high, low, close, vwap, is_final, revision,
    late_trades, duplicate_trades, is_complete
)
SELECT exchange_id, %(symbol)s, to_timestamp(%(minute)s), %(buy)s, %(sell)s, %(buy_notional)s,
       %(sell_notional)s, %(buys)s, %(sells)s, %(open)s, %(high)s, %(low)s, %(close)s, %(vwap)s,
       %(final)s, %(revision)s, 0, 0, %(whole)s
FROM dim_exch WHERE code = %(code)s
ON CONFLICT (exchange_id, symbol, minute) DO UPDATE SET
    taker_buy_volume = excluded.taker_buy_volume, taker_sell_volume = excluded.taker_sell_volume,
    taker_buy_notional = excluded.taker_buy_notional,
    taker_sell_notional = excluded.taker_sell_notional, buy_count = excluded.buy_count,
    sell_count = excluded.sell_count, high = greatest(stored.high, excluded.high),
    low = least(stored.low, excluded.low), close = excluded.close, vwap = excluded.vwap,
    is_final = excluded.is_final, revision = excluded.revision,
    is_complete = excluded.is_complete, updated_at = now()
"""
_BOOK = """
INSERT INTO orderbook_minute (
    exchange_id, symbol, minute, highest_bid, lowest_ask, spread, spread_bps_twa,
    depth_10bps_bid, depth_10bps_ask, depth_10bps_truncated, updates, crossed, crossed_ms, gaps,
    valid_ms, is_complete
)
SELECT exchange_id, %(symbol)s, to_timestamp(%(minute)s), %(close)s, %(close)s * 1.0001,
       %(close)s * 0.0001, %(bps)s, %(bid)s, %(ask)s, %(cut)s, 500, 0, 0, 0, 60000, %(whole)s
FROM dim_exch WHERE code = %(code)s
ON CONFLICT DO NOTHING
"""
_TICKER = """
INSERT INTO ticker_latest (
    exchange_id, symbol, region, market, coin_symbol, "timestamp", trade_price
)
SELECT exchange_id, %(symbol)s, region, name, split_part(%(symbol)s, '-', 1),
       to_timestamp(%(minute)s), %(close)s
FROM dim_exch WHERE code = %(code)s
ON CONFLICT (exchange_id, symbol) DO UPDATE SET
    "timestamp" = excluded."timestamp", trade_price = excluded.trade_price
"""
_EVENT = """
INSERT INTO feed_status (kafka_partition, kafka_offset, exchange_id, product, kind, event,
                         "time", last_good, first_good, reason)
SELECT 0, %s, exchange_id, %s, 'trade', %s, to_timestamp(%s), to_timestamp(%s), to_timestamp(%s), %s
FROM dim_exch WHERE code = %s
"""

Event = tuple[str, str, str, float, float | None, float | None, str]
"""Exchange, product, event, time, last good, first good, reason."""


def write(
    connection: psycopg.Connection,
    rows: list[Columns],
    *,
    is_final: bool = True,
    books: bool = True,
) -> None:
    """Write rows of minutes, and order books and tickers beside them."""
    chance = random.Random(len(rows))
    for row in rows:
        deep = float(str(row["buy"])) + float(str(row["sell"]))
        row |= {
            "final": is_final, "revision": int(is_final),
            "bps": round(abs(chance.gauss(1.8 if "KRW" in str(row["symbol"]) else 0.4, 0.3)), 4),
            "bid": round(deep * chance.uniform(0.5, 1.2), 4),
            "ask": round(deep * chance.uniform(0.5, 1.2), 4),
            "cut": row["code"] == "korbit",
        }  # fmt: skip
    with connection.cursor() as cursor:
        for minute in {row["minute"] for row in rows}:
            for table in ("taker_volume", "orderbook_minute"):
                cursor.execute("SELECT ensure_month(%s, to_timestamp(%s))", [table, minute])
        cursor.executemany(_MINUTE, rows)
        if books:
            quoted = [row for row in rows if row["code"] != "bitmex"]
            cursor.executemany(_BOOK, quoted)
            cursor.executemany(_TICKER, quoted[-60:])
    connection.commit()


def write_events(connection: psycopg.Connection, events: list[Event], first: int = 0) -> None:
    """Write what a collector would have said of its feeds."""
    with connection.cursor() as cursor:
        for number, (code, product, event, at, good, again, reason) in enumerate(events, first):
            cursor.execute(_EVENT, [number, product, event, at, good, again, reason, code])
    connection.commit()


def fill(dsn: str, market: Market, first: int, last: int) -> None:
    """Write the final minutes of `[first, last)`."""
    with psycopg.connect(dsn) as connection:
        rows: list[Columns] = []
        for minute in range(first, last, 60):
            market.step()
            rows += market.rows(minute)
        if rows:
            write(connection, rows)


def this_minute() -> int:
    """Return when the minute that is now open began."""
    return now_ns() // 60_000_000_000 * 60


def with_outages(now: int, seed: int = 7) -> tuple[Market, list[Event]]:
    """Return a market that lost a few minutes, and what its collector said."""
    number = now // 60
    market = Market(
        seed,
        lost=frozenset(range(number - 96, number - 84)),
        lost_of={"bybit": frozenset(range(number - 40, number - 31))},
        incomplete_of={"okx": frozenset(range(number - 140, number - 132))},
    )
    events: list[Event] = []
    for code, _, _, _ in {each[0]: each for each in markets()}.values():
        events.append(
            (
                code,
                "spot",
                "disconnected",
                now - 96 * 60,
                now - 96 * 60,
                None,
                "network is unreachable",
            )
        )
        events.append((code, "spot", "connected", now - 84 * 60, None, now - 84 * 60, ""))
    events.append(
        (
            "bybit",
            "spot",
            "disconnected",
            now - 40 * 60,
            now - 40 * 60,
            None,
            "closed by the exchange (1006)",
        )
    )
    events.append(("bybit", "spot", "connected", now - 31 * 60, None, now - 31 * 60, ""))
    events.append(
        (
            "okx",
            "spot",
            "gap",
            now - 132 * 60,
            now - 140 * 60,
            now - 132 * 60,
            "sequence 81203 after 80991",
        )
    )
    return market, events


def main() -> None:
    """Fill the database of POSTGRES_DSN with a market, and keep it moving."""
    from connectors.process.environment import Environment, load_settings  # noqa: PLC0415  # few processes need it, and it is slow to import

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=30)
    arguments = parser.parse_args()
    environment = Environment.read()
    dsn = environment.require_postgres()
    prepare(dsn, load_settings(environment))
    now = this_minute()
    market, events = with_outages(now)
    fill(dsn, market, now - int(arguments.hours * 60) * 60, now)
    with psycopg.connect(dsn) as connection:
        write_events(connection, events)
    live(dsn, market, now, threading.Event())


def live(dsn: str, market: Market, since: int, stop: threading.Event) -> None:
    """Write the open minute each second, and make it final when it is over.

    Args:
        dsn: Of the database.
        market: It goes on where it is.
        since: End of what has been written.
        stop: Ends it.
    """
    opened = this_minute()
    fill(dsn, market, since, opened)
    market.step()
    whole = list(market.rows(opened))
    with psycopg.connect(dsn) as connection:
        while not stop.wait(1):
            minute = this_minute()
            if minute != opened:
                write(connection, whole)
                opened = minute
                market.step()
                whole = list(market.rows(opened))
            part = (now_ns() / 1e9 - opened + 1) / 60
            rows = []
            for row in whole:
                scaled = {
                    name: round(float(str(row[name])) * part, 6)
                    for name in ("buy", "sell", "buy_notional", "sell_notional")
                }
                wobble = 1 + random.gauss(0, 0.00005)
                close = round(float(str(row["close"])) * wobble, 1)
                rows.append({**row, **scaled, "close": close})
            write(connection, rows, is_final=False, books=False)


if __name__ == "__main__":
    main()
