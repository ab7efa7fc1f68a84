"""Tickers: frames a second from a real broker to published records and the latest of each."""

import random
from collections.abc import Iterator
from decimal import Decimal, localcontext

import msgspec
import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.numbers import SUM
from tests.bench.own_services import Ground

FLOW = "ticker"
UNIT = "tickers"
START_MS = 1_729_678_800_000


def raw_topic(ground: Ground) -> str:
    """The topic that is read."""
    return ground.settings.regions["Asia"].topics.ticker


def records(count: int, symbols: int) -> Iterator[tuple[bytes, bytes]]:
    """OKX frames: of all formats the one that leaves most to derive."""
    chance = random.Random(1)
    for index in range(count):
        last = 50_000 + chance.randrange(10_000)
        yield (
            b"okx",
            b'{"arg":{"channel":"tickers","instId":"C%d-USDT"},"data":[{"instType":"SPOT",'
            b'"instId":"C%d-USDT","last":"%d.%d","lastSz":"0.0002","askPx":"60000.1","askSz":"1",'
            b'"bidPx":"60000","bidSz":"1","open24h":"55000.4","high24h":"61073","low24h":"49020.3",'
            b'"sodUtc0":"1","sodUtc8":"1","volCcy24h":"520000000","vol24h":"17602.%08d",'
            b'"ts":"%d"}]}'
            % (
                index % symbols, index % symbols, last, chance.randrange(10),
                chance.randrange(10**8), START_MS + index,
            ),
        )  # fmt: skip


class _Arg(msgspec.Struct, gc=False):
    channel: str


class _Data(msgspec.Struct, gc=False):
    instId: str  # noqa: N815  # the exchange's names
    last: Decimal
    open24h: Decimal
    high24h: Decimal
    low24h: Decimal
    vol24h: Decimal
    ts: str


class _Frame(msgspec.Struct, gc=False):
    arg: _Arg
    data: list[_Data]


class _Figures(msgspec.Struct):
    opening_price: str
    trade_price: str
    max_price: str
    min_price: str
    prev_closing_price: str
    acc_trade_volume_24h: str
    signed_change_price: str
    signed_change_rate: str


class _Record(msgspec.Struct):
    region: str
    market: str
    coin_symbol: str
    timestamp: float
    data: list[_Figures]
    symbol: str


def loop(ground: Ground, count: int) -> None:
    """What a good programmer writes in an hour: consume, decode, derive, publish, upsert."""
    decode = msgspec.json.Decoder(_Frame).decode
    encode = msgspec.json.Encoder().encode
    out_topic = ground.settings.regions["Asia"].topics.snapshot_requests
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
    latest: dict[str, _Data] = {}
    quantum = Decimal("1e-12")
    with localcontext(SUM) as context:
        context.traps = dict.fromkeys(context.traps, False)
        for messages in ground.consume(raw_topic(ground), count):
            for message in messages:
                (data,) = decode(message.value() or b"").data
                symbol = data.instId
                before = latest.get(symbol)
                if before is not None and int(before.ts) > int(data.ts):
                    continue
                latest[symbol] = data
                change = data.last - data.open24h
                rate = (change / data.open24h).quantize(quantum)
                figures = _Figures(
                    format(data.open24h, "f"), format(data.last, "f"), format(data.high24h, "f"),
                    format(data.low24h, "f"), format(data.open24h, "f"), format(data.vol24h, "f"),
                    format(change, "f"), format(rate, "f"),
                )  # fmt: skip
                coin = symbol.partition("-")[0]
                record = _Record("Asia", "OKX", coin, float(data.ts), [figures], symbol)
                producer.produce(out_topic, encode(record), f"okx:{symbol}", 0)
            producer.poll(0)
    producer.flush()
    with psycopg.connect(ground.dsn) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE hand_written (symbol text PRIMARY KEY, last numeric)")
        rows = [(symbol, data.last) for symbol, data in latest.items()]
        cursor.executemany("INSERT INTO hand_written VALUES (%s, %s)", rows)


def check(ground: Ground, count: int) -> None:
    """Both must have published the same records."""
    region = ground.settings.regions["Asia"]
    with psycopg.connect(ground.dsn) as connection:
        differing = connection.execute(
            "SELECT count(*) FROM hand_written FULL JOIN ticker_latest USING (symbol) "
            "WHERE last IS DISTINCT FROM trade_price"
        ).fetchone()
    ours, theirs = (
        _values(ground, region.processed.ticker),
        _values(ground, region.topics.snapshot_requests),
    )
    if ours != theirs or len(ours) != count or differing != (0,):
        raise SystemExit(f"{len(ours)} and {len(theirs)} of {count} published, {differing} differ")


def _values(ground: Ground, topic: str) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": ground.bootstrap_servers, "group.id": "check"})
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), 10)
    consumer.assign([TopicPartition(topic, 0, low)])
    values: list[bytes] = []
    while len(values) < high - low:
        values += [message.value() or b"" for message in consumer.consume(10_000, 5)]
    consumer.close()
    return sorted(values)
