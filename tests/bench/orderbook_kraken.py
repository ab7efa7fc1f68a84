"""Changes of books of 1,000 levels a side with a checksum in each, as Kraken sends them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from zlib import crc32

import msgspec

from tests.bench import books
from tests.bench.books import FLOW, START_MS, UNIT, Decoded, Side
from tests.bench.market import Walk
from tests.bench.market import level as level_of
from tests.bench.own_services import Ground

__all__ = ["FLOW", "UNIT"]

DEPTH = 1_000


def raw_topic(ground: Ground) -> str:
    """The topic that is read."""
    return ground.settings.regions["NE"].topics.orderbook


def records(count: int, symbols: int) -> Iterator[tuple[bytes, bytes]]:
    """A snapshot of each book, then changes of a few levels, each with its checksum."""
    walks = [Walk(number, DEPTH) for number in range(symbols)]
    for index in range(count):
        walk = walks[index % symbols]
        whole = index < symbols
        bids, asks = walk.whole() if whole else walk.change()
        yield (
            b"kraken",
            b'{"channel":"book","type":"%s","data":[{"symbol":"C%d/USD","bids":[%s],"asks":[%s],'
            b'"checksum":%d,"timestamp":"%s"}]}'
            % (
                b"snapshot" if whole else b"update",
                index % symbols,
                b",".join(b'{"price":%s,"qty":%s}' % level for level in bids),
                b",".join(b'{"price":%s,"qty":%s}' % level for level in asks),
                _checksum_of(walk),
                datetime.fromtimestamp((START_MS + index) / 1_000, UTC)
                .isoformat(timespec="milliseconds")
                .replace("+00:00", "Z")
                .encode(),
            ),
        )


def _checksum_of(walk: Walk) -> int:
    best_asks = sorted(walk.asks)[:10]
    best_bids = sorted(walk.bids, reverse=True)[:10]
    levels = [level_of(tick, walk.asks[tick]) for tick in best_asks]
    levels += [level_of(tick, walk.bids[tick]) for tick in best_bids]
    return crc32(b"".join(part.replace(b".", b"").lstrip(b"0") for pair in levels for part in pair))


class _Level(msgspec.Struct, gc=False):
    price: Decimal
    qty: Decimal


class _Data(msgspec.Struct, gc=False):
    symbol: str
    bids: list[_Level]
    asks: list[_Level]
    checksum: int
    timestamp: datetime


class _Frame(msgspec.Struct, gc=False):
    type: str
    data: list[_Data]


_decode = msgspec.json.Decoder(_Frame).decode


def decoded(frame: bytes) -> Decoded:
    """What the loop reads of a frame."""
    book = _decode(frame)
    (data,) = book.data
    bids = [(level.price, level.qty) for level in data.bids]
    asks = [(level.price, level.qty) for level in data.asks]
    time_ms = int(data.timestamp.timestamp() * 1_000)
    return data.symbol, time_ms, book.type == "snapshot", bids, asks, data.checksum


def checksum(bids: Side, asks: Side) -> int:
    """The checksum of the ten best levels of each side."""
    parts = [str(part) for price in asks.prices[:10] for part in (price, asks.sizes[price])]
    parts += [str(p) for price in bids.prices[:-11:-1] for p in (price, bids.sizes[price])]
    return crc32("".join([part.replace(".", "").lstrip("0") for part in parts]).encode())


def loop(ground: Ground, count: int) -> None:
    """The hand-written loop."""
    out_topic = ground.settings.regions["NE"].topics.snapshot_requests
    books.loop(ground, raw_topic(ground), out_topic, count, decoded, checksum, DEPTH)


def check(ground: Ground, count: int) -> None:
    """Both must agree."""
    region = ground.settings.regions["NE"]
    books.check(ground, region.processed.orderbook, 1, region.topics.snapshot_requests, count)
