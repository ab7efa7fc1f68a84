"""Whole books of 20 levels a side, as Upbit sends them with each change."""

import random
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from tests.bench import books
from tests.bench.books import FLOW, START_MS, UNIT, Decoded, Levels
from tests.bench.own_services import Ground

__all__ = ["FLOW", "UNIT"]

LEVELS = 20


def raw_topic(ground: Ground) -> str:
    """The topic that is read."""
    return ground.settings.regions["Korea"].topics.orderbook


def records(count: int, symbols: int) -> Iterator[tuple[bytes, bytes]]:
    """Frames of markets whose best prices walk, and whose sizes change a few at a time."""
    chance = random.Random(1)
    middles = [50_000_000 + 1_000 * number for number in range(symbols)]
    sizes = [[chance.randrange(1, 10**8) for _ in range(2 * LEVELS)] for _ in range(symbols)]
    for index in range(count):
        symbol = chance.randrange(symbols)
        middles[symbol] += chance.choice((-1_000, 0, 0, 1_000))
        for _ in range(3):
            sizes[symbol][chance.randrange(2 * LEVELS)] = chance.randrange(1, 10**8)
        size, middle = sizes[symbol], middles[symbol]
        units = b",".join(
            b'{"ask_price":%d,"bid_price":%d,"ask_size":%d.%08d,"bid_size":%d.%08d}'
            % (
                middle + 1_000 * level,
                middle - 1_000 * (level + 1),
                level, size[level], level, size[LEVELS + level],
            )
            for level in range(LEVELS)
        )  # fmt: skip
        yield (
            b"upbit",
            b'{"type":"orderbook","code":"KRW-C%d","timestamp":%d,"total_ask_size":1.5,'
            b'"total_bid_size":1.5,"orderbook_units":[%s],"stream_type":"REALTIME","level":0}'
            % (symbol, START_MS + index, units),
        )


class _Unit(msgspec.Struct, gc=False):
    ask_price: Decimal
    bid_price: Decimal
    ask_size: Decimal
    bid_size: Decimal


class _Book(msgspec.Struct, gc=False):
    code: str
    timestamp: int
    orderbook_units: list[_Unit]


_decode = msgspec.json.Decoder(_Book).decode


def decoded(frame: bytes) -> Decoded:
    """What the loop reads of a frame."""
    book = _decode(frame)
    units = book.orderbook_units
    bids: Levels = [(unit.bid_price, unit.bid_size) for unit in units]
    asks: Levels = [(unit.ask_price, unit.ask_size) for unit in units]
    return book.code, book.timestamp, True, bids, asks, None


def loop(ground: Ground, count: int) -> None:
    """The hand-written loop."""
    region = ground.settings.regions["Korea"]
    books.loop(ground, raw_topic(ground), region.topics.snapshot_requests, count, decoded)


def check(ground: Ground, count: int) -> None:
    """Both must agree."""
    region = ground.settings.regions["Korea"]
    books.check(ground, region.processed.orderbook, 0, region.topics.snapshot_requests, count)
