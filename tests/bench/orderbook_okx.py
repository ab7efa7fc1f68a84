"""Changes of books of 400 levels a side, as OKX sends them ten times a second."""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from tests.bench import books
from tests.bench.books import FLOW, START_MS, UNIT, Decoded
from tests.bench.market import Walk
from tests.bench.own_services import Ground

__all__ = ["FLOW", "UNIT"]

DEPTH = 400


def raw_topic(ground: Ground) -> str:
    """The topic that is read."""
    return ground.settings.regions["Asia"].topics.orderbook


def records(count: int, symbols: int) -> Iterator[tuple[bytes, bytes]]:
    """A snapshot of each book, then changes of a few levels; the chain of ids has no gap."""
    walks = [Walk(number, DEPTH) for number in range(symbols)]
    for index in range(count):
        number = index % symbols
        walk = walks[number]
        whole = index < symbols
        bids, asks = walk.whole() if whole else walk.change()
        previous = -1 if whole else index - symbols + 1
        yield (
            b"okx",
            b'{"arg":{"channel":"books","instId":"C%d-USDT"},"action":"%s","data":[{"asks":[%s],'
            b'"bids":[%s],"ts":"%d","checksum":0,"seqId":%d,"prevSeqId":%d}]}'
            % (
                number,
                b"snapshot" if whole else b"update",
                b",".join(b'["%s","%s","0","1"]' % level for level in asks),
                b",".join(b'["%s","%s","0","1"]' % level for level in bids),
                START_MS + index,
                index + 1,
                previous,
            ),
        )


class _Arg(msgspec.Struct, gc=False):
    instId: str  # noqa: N815  # the exchange's name


class _Data(msgspec.Struct, gc=False):
    asks: list[tuple[Decimal, Decimal, str, str]]
    bids: list[tuple[Decimal, Decimal, str, str]]
    ts: str
    seqId: int  # noqa: N815  # the exchange's name
    prevSeqId: int  # noqa: N815  # the exchange's name


class _Frame(msgspec.Struct, gc=False):
    arg: _Arg
    action: str
    data: list[_Data]


_decode = msgspec.json.Decoder(_Frame).decode
_last_ids: dict[str, int] = {}


def decoded(frame: bytes) -> Decoded:
    """What the loop reads of a frame; it checks the chain of ids as well."""
    book = _decode(frame)
    (data,) = book.data
    symbol = book.arg.instId
    if book.action != "snapshot" and data.prevSeqId != _last_ids.get(symbol):
        raise SystemExit("an update is missing")
    _last_ids[symbol] = data.seqId
    bids = [(price, size) for price, size, _, _ in data.bids]
    asks = [(price, size) for price, size, _, _ in data.asks]
    return symbol, int(data.ts), book.action == "snapshot", bids, asks, None


def loop(ground: Ground, count: int) -> None:
    """The hand-written loop."""
    region = ground.settings.regions["Asia"]
    books.loop(ground, raw_topic(ground), region.topics.snapshot_requests, count, decoded)


def check(ground: Ground, count: int) -> None:
    """Both must agree."""
    region = ground.settings.regions["Asia"]
    books.check(ground, region.processed.orderbook, 0, region.topics.snapshot_requests, count)
