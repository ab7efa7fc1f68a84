"""Order books: updates a second from a real broker to published states and committed minutes."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from decimal import Context, Decimal, localcontext
from typing import Any

import msgspec
import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.numbers import SUM
from tests.bench.own_services import Ground

UNIT = "updates"
FLOW = "orderbook"
START_MS = 1_729_678_800_000
ZERO = Decimal(0)
RATIO = Context(prec=40)

Levels = Iterable[tuple[Decimal, Decimal]]
Decoded = tuple[str, int, bool, Levels, Levels, int | None]
"""Symbol, milliseconds, whether it is a whole book, bids, asks, checksum."""


class Side:
    """Levels by price, and the prices in order."""

    def __init__(self) -> None:
        self.sizes: dict[Decimal, Decimal] = {}
        self.prices: list[Decimal] = []
        self.total = ZERO

    def replace(self, levels: Levels) -> None:
        self.sizes = dict(levels)
        self.prices = sorted(self.sizes)
        self.total = sum(self.sizes.values(), ZERO)

    def change(self, levels: Levels) -> None:
        sizes, prices = self.sizes, self.prices
        for price, size in levels:
            old = sizes.get(price)
            if size:
                if old is None:
                    insort(prices, price)
                sizes[price] = size
                self.total += size - (old or ZERO)
            elif old is not None:
                del sizes[price]
                del prices[bisect_left(prices, price)]
                self.total -= old


class Mean:
    """Lowest, highest, and the sum of a value by its time."""

    def __init__(self) -> None:
        self.value, self.since_ms, self.sum = ZERO, 0, ZERO
        self.low: Decimal | None = None
        self.high: Decimal | None = None

    def set(self, value: Decimal, now_ms: int) -> None:
        self.sum += self.value * (now_ms - self.since_ms)
        self.value, self.since_ms = value, now_ms
        if self.low is None or value < self.low:
            self.low = value
        if self.high is None or value > self.high:
            self.high = value


class _Record(msgspec.Struct):
    region: str
    market: str
    coin_symbol: str
    highest_bid: Decimal
    lowest_ask: Decimal
    spread: Decimal
    total_bid_volume: Decimal
    total_ask_volume: Decimal
    timestamp: int
    symbol: str


def loop(
    ground: Ground,
    topic: str,
    out_topic: str,
    count: int,
    decode: Callable[[bytes], Decoded],
    checksum: Callable[[Side, Side], int] | None = None,
    depth: int | None = None,
) -> None:
    """What a good programmer writes in a day: consume, decode, keep, check, sum, publish."""
    encode = msgspec.json.Encoder(decimal_format="number").encode
    producer = Producer(
        {
            "bootstrap.servers": ground.bootstrap_servers,
            "compression.type": "lz4",
            "linger.ms": 20,
            "acks": "all",
            "enable.idempotence": True,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    books: dict[str, tuple[Side, Side, list[Mean]]] = {}
    rows: dict[tuple[str, int], int] = {}
    with localcontext(SUM):
        for messages in ground.consume(topic, count):
            for message in messages:
                symbol, time_ms, is_whole, bids, asks, expected = decode(message.value() or b"")
                book = books.get(symbol)
                if book is None:
                    book = books[symbol] = (Side(), Side(), [Mean() for _ in range(5)])
                bid_side, ask_side, means = book
                if is_whole:
                    bid_side.replace(bids)
                    ask_side.replace(asks)
                else:
                    bid_side.change(bids)
                    ask_side.change(asks)
                    if depth is not None:
                        _truncate(bid_side, ask_side, depth)
                if checksum and expected is not None and checksum(bid_side, ask_side) != expected:
                    raise SystemExit("the checksum differs")
                bid, ask = bid_side.prices[-1], ask_side.prices[0]
                spread = ask - bid
                bid_volume, ask_volume = bid_side.total, ask_side.total
                figures = (
                    spread,
                    RATIO.divide(spread * 20_000, bid + ask),
                    bid_volume,
                    ask_volume,
                    RATIO.divide(bid_volume - ask_volume, bid_volume + ask_volume),
                )
                for mean, figure in zip(means, figures, strict=True):
                    mean.set(figure, time_ms)
                rows[symbol, time_ms // 60_000] = rows.get((symbol, time_ms // 60_000), 0) + 1
                value = encode(
                    _Record(
                        "NE", "X", symbol, bid, ask, spread, bid_side.total, ask_side.total,
                        time_ms, symbol,
                    )
                )  # fmt: skip
                producer.produce(out_topic, value, symbol, 0)
            producer.poll(0)
    producer.flush()
    with psycopg.connect(ground.dsn) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE hand_written (symbol text, minute bigint, updates bigint)")
        with cursor.copy("COPY hand_written FROM STDIN") as copy:
            for (symbol, minute), updates in rows.items():
                copy.write_row((symbol, minute, updates))


def _truncate(bids: Side, asks: Side, depth: int) -> None:
    while len(bids.prices) > depth:
        bids.total -= bids.sizes.pop(bids.prices.pop(0))
    while len(asks.prices) > depth:
        asks.total -= asks.sizes.pop(asks.prices.pop())


FIGURES = ("highest_bid", "lowest_ask", "spread", "total_bid_volume", "total_ask_volume")


def check(ground: Ground, topic: str, partition: int, out_topic: str, count: int) -> None:
    """Both must have published each update, and ended with the same books."""
    ours, theirs = _ends(ground, topic, partition), _ends(ground, out_topic, 0)
    with psycopg.connect(ground.dsn) as connection:
        minutes = connection.execute("SELECT sum(updates) FROM orderbook_minute").fetchone()
    if ours != theirs or ours[0] != count or minutes != (count,):
        raise SystemExit(f"of {count} the dataflow published {ours} {minutes}, the loop {theirs}")


def _ends(ground: Ground, topic: str, partition: int) -> tuple[int, dict[str, list[Decimal]]]:
    """How many records a partition has, and the figures of each book in the last one of it."""
    consumer = Consumer({"bootstrap.servers": ground.bootstrap_servers, "group.id": "check"})
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), 10)
    consumer.assign([TopicPartition(topic, partition, low)])
    decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
    ends: dict[str, list[Decimal]] = {}
    count = 0
    while count < high - low:
        messages = consumer.consume(10_000, 5)
        count += len(messages)
        for message in messages:
            record = decode(message.value() or b"")
            figures = [Decimal(record[name]).normalize(SUM) for name in FIGURES]
            ends["".join(filter(str.isdigit, record["symbol"]))] = figures
    consumer.close()
    return count, ends
