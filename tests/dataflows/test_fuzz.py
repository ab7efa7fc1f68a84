"""Broken frames through the flows: they run on, neighbours are untouched, each bad one is kept.

`make test` sends a few thousand frames of each exchange, `make fuzz` 100,000.
"""

import os
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from connectors.process.clock import now_ns
from dataflows.domain.books.publisher import BookPublisher
from dataflows.domain.books.reader import BookBatch
from dataflows.domain.tickers.ticker import SymbolTicker, TickerBatch
from dataflows.operators.keys import split_key
from schemas.exchanges import EXCHANGES
from schemas.processed import encode_orderbooks, encode_tickers
from schemas.records import DeadLetter
from schemas.settings import RawKind
from tests.dataflows.harness import Pipeline
from tests.dataflows.test_exchange_checklist import (
    FEEDS,
    SETTINGS,
    final_rows,
    read,
    reader_of,
)
from tests.raw_record import RawRecord
from tests.schemas.exchanges.frames import lines

MakePipeline = Callable[..., Pipeline]

FRAMES_AN_EXCHANGE = int(os.environ.get("FUZZ_FRAMES", "3000"))
FLOWS: dict[RawKind, str] = {"trade": "taker_volume", "ticker": "ticker", "orderbook": "orderbook"}

# The exchange whose frames stand between the broken ones of another of its region.
NEIGHBOURS = {"Korea": ("upbit", "korbit"), "Asia": ("okx", "gateio"), "NE": ("kraken", "binance")}

_VALUE = re.compile(rb'"[^"]*"|-?[0-9][0-9.eE+-]*|true|false|null')
_JUNK = [
    *(b"null", b"true", b"{}", b"[]", b'""', b"-1", b"0", b'"x"', b"NaN", b'"NaN"', b'"sNaN"'),
    *(b'"-Infinity"', b"1e999999999", b'"1e-999999999"', b"9" * 5_000, b'"' + b"9" * 5_000 + b'"'),
    *(b"[" * 3_000, b"[" * 200 + b"]" * 200, b'{"a":' * 3_000, b'"\\ud800"', b'"\\u0000"'),
    *(b'"\xff\xfe"', b"[[1]]", b'{"a":1,"a":2}', b"1.5", b'"1,5"', b'"0x10"', b"--1", b"+1"),
]


def mutated(frame: bytes, chance: random.Random) -> bytes:
    """The frame cut off, with bytes flipped, a part twice, or values replaced by junk."""
    how = chance.randrange(10)
    if how == 0:
        return frame[: chance.randrange(len(frame))]
    if how == 1:
        flipped = bytearray(frame)
        for _ in range(chance.randint(1, 4)):
            flipped[chance.randrange(len(frame))] = chance.randrange(256)
        return bytes(flipped)
    if how == 2:
        start = chance.randrange(len(frame))
        return frame[:start] + frame[start // 2 :]
    spans = [match.span() for match in _VALUE.finditer(frame)]
    start, end = chance.choice(spans)
    return frame[:start] + chance.choice(_JUNK) + frame[end:]


def neighbour_of(pipeline: Pipeline, exchange: str, kind: RawKind) -> tuple[str, str, str]:
    """Key, exchange and file of the good frames."""
    region = pipeline.settings.exchanges[exchange].region
    other = next(name for name in NEIGHBOURS[region] if name != exchange)
    key, name = next((k, n) for e, k, a, n in FEEDS if (e, a) == (other, kind))
    return other, key, name


def refused_offsets(
    exchange: str, kind: RawKind, records: Sequence[tuple[str, bytes]]
) -> dict[int, str]:
    """Which records a reader refuses, and why, with nothing around it."""
    reader = reader_of(exchange, kind)
    messages = [RawRecord(at, key.encode(), value) for at, (key, value) in enumerate(records)]
    items = [
        item
        for start in range(0, len(messages), 1_000)
        for _, item in reader.read(messages[start : start + 1_000], now_ns())
    ]
    return {item.offset: item.error for item in items if isinstance(item, DeadLetter)}


def assert_untouched(
    pipeline: Pipeline, exchange: str, key: str, kind: RawKind, good: Sequence[bytes]
) -> None:
    """What came of the neighbour's frames is what comes of them alone, without a flow around."""
    items = read(exchange, kind, key, good)
    if kind == "trade":
        expected = final_rows(items)
        rows = [row for row in pipeline.rows() if row["exchange_id"] == id_of(exchange)]
        got = {(f"{exchange}:{row['symbol']}", int(row["minute"].timestamp())): row for row in rows}
        assert got.keys() == expected.keys()
        for at, row in expected.items():
            assert got[at]["taker_buy_volume"] == row.taker_buy_volume
            assert got[at]["taker_sell_notional"] == row.taker_sell_notional
            assert got[at]["revision"] == row.revision
        return
    processed = pipeline.settings.region_of(exchange).processed
    partition = pipeline.settings.exchanges[exchange].partitions[0]
    published = pipeline.records(getattr(processed, kind), partition)
    by_key: dict[str, list[bytes]] = {}
    for message in published:
        by_key.setdefault((message.key() or b"").decode(), []).append(message.value() or b"")
    assert by_key == records_of([item for _, item in items], pipeline)


def records_of(items: Sequence[Any], pipeline: Pipeline) -> dict[str, list[bytes]]:
    """What is published of each symbol; a book that was given up begins anew."""
    feeds: dict[str, BookPublisher] = {}
    records: dict[str, list[bytes]] = {}
    for item in items:
        found: list[bytes] = []
        if isinstance(item, BookBatch):
            feed = feeds.setdefault(item.key, BookPublisher(*split_key(item.key), 0))
            summaries = feed.fold(item).summaries
            found = encode_orderbooks(summaries, pipeline.settings) if summaries else []
            if item.retired:
                del feeds[item.key]
        elif isinstance(item, TickerBatch):
            ticker = SymbolTicker(*split_key(item.key))
            made = [ticker.apply(each.time_ns, each.update) for each in item.updates]
            tickers = [each for each in made if each is not None]
            found = encode_tickers(tickers, pipeline.settings) if tickers else []
        if found:
            records.setdefault(item.key, []).extend(found)
    return records


def id_of(exchange: str) -> int:
    return EXCHANGES[exchange].id


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_broken_frames_are_kept_with_a_reason_and_harm_no_neighbour(
    make_pipeline: MakePipeline, exchange: str
) -> None:
    chance = random.Random(exchange)
    pipeline = make_pipeline(regions=[SETTINGS.exchanges[exchange].region])
    settings = pipeline.settings.exchanges[exchange]
    for kind in settings.kinds:
        frames = [
            (key, f) for e, key, k, n in FEEDS if (e, k) == (exchange, kind) for f in lines(n)
        ]
        count = FRAMES_AN_EXCHANGE // len(settings.kinds)
        broken = [(key, mutated(frame, chance)) for key, frame in chance.choices(frames, k=count)]
        other, other_key, name = neighbour_of(pipeline, exchange, kind)
        good = lines(name)
        records: list[tuple[str, bytes]] = []
        for at, frame in enumerate(good):
            part = slice(at * count // len(good), (at + 1) * count // len(good))
            records += [*broken[part], (other_key, frame)]
        topic = getattr(pipeline.settings.regions[settings.region].topics, kind)
        pipeline.produce(
            topic, settings.partitions[0], [(key.encode(), value) for key, value in records]
        )

        pipeline.run(FLOWS[kind])

        expected = refused_offsets(exchange, kind, records)
        letters = pipeline.records(topic + ".dlq", settings.partitions[0])
        kept = {int(headers(letter)["dlq.offset"]): letter for letter in letters}
        assert kept.keys() == expected.keys()
        for offset, letter in kept.items():
            assert letter.value() == records[offset][1]
            assert headers(letter)["dlq.error"]
        assert len(expected) > count // 4, "too few of them were broken for this to mean much"
        assert_untouched(pipeline, other, other_key, kind, good)


def headers(letter: Any) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in letter.headers() or ()}
