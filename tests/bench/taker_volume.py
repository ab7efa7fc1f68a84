"""Taker volume: trades a second from a real broker to committed rows, in one process."""

import random
from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any

import msgspec
import psycopg

from schemas.numbers import SUM
from tests.bench.own_services import Ground

FLOW = "taker_volume"
UNIT = "trades"
START_MS = 1_729_678_800_000
ZERO = Decimal(0)


def raw_topic(ground: Ground) -> str:
    """The topic that is read."""
    return ground.settings.regions["NE"].topics.trade


def records(count: int, symbols: int) -> Iterator[tuple[bytes, bytes]]:
    """Binance trade frames of a busy market, 2,000 trades a second of event time."""
    chance = random.Random(1)
    ids = [1_000] * symbols
    for index in range(count):
        symbol = int(symbols * chance.random() ** 2)
        ids[symbol] += 1
        time_ms = START_MS + index // 2
        yield (
            b"binance",
            b'{"e":"trade","E":%d,"s":"C%dUSDT","t":%d,"p":"66609.%08d","q":"0.%08d",'
            b'"T":%d,"m":%s,"M":true}'
            % (
                time_ms + 3,
                symbol,
                ids[symbol],
                chance.randrange(10**8),
                chance.randrange(1, 10**8),
                time_ms,
                b"true" if chance.random() < 0.5 else b"false",
            ),
        )


class _Trade(msgspec.Struct, gc=False):
    s: str
    t: int
    p: Decimal
    q: Decimal
    T: int
    m: bool


def loop(ground: Ground, count: int) -> None:
    """What a good programmer writes in an hour: consume, decode, dedupe, sum, insert."""
    decode = msgspec.json.Decoder(_Trade).decode
    rows: dict[tuple[str, int], list[Any]] = {}
    with localcontext(SUM):
        for messages in ground.consume(raw_topic(ground), count):
            for message in messages:
                trade = decode(message.value() or b"")
                key = (trade.s, trade.T // 60_000)
                row = rows.get(key)
                if row is None:
                    row = rows[key] = [ZERO, ZERO, ZERO, ZERO, 0, 0, set()]
                if trade.t in row[6]:
                    continue
                row[6].add(trade.t)
                if trade.m:
                    row[1] += trade.q
                    row[3] += trade.p * trade.q
                    row[5] += 1
                else:
                    row[0] += trade.q
                    row[2] += trade.p * trade.q
                    row[4] += 1
    with psycopg.connect(ground.dsn) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE hand_written (symbol text, minute bigint, buy numeric, sell numeric, "
            "buy_notional numeric, sell_notional numeric, buys int, sells int)"
        )
        with cursor.copy("COPY hand_written FROM STDIN") as copy:
            for (symbol, minute), row in rows.items():
                copy.write_row((symbol, minute, *row[:6]))


def check(ground: Ground, count: int) -> None:
    """Both must have counted the same, to the last digit."""
    with psycopg.connect(ground.dsn) as connection:
        ours = connection.execute(
            "SELECT sum(taker_buy_volume), sum(taker_sell_notional), sum(buy_count + sell_count) "
            "FROM taker_volume"
        ).fetchone()
        theirs = connection.execute(
            "SELECT sum(buy), sum(sell_notional), sum(buys + sells) FROM hand_written"
        ).fetchone()
    if ours != theirs or ours is None or ours[2] != count:
        raise SystemExit(f"the dataflow counted {ours}, the loop {theirs}, sent were {count}")
