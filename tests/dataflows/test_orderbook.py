"""The order book dataflow on real services: recorded books through it, whole and disturbed."""

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest

from connectors.process.clock import now_ns
from dataflows.domain.books.publisher import REQUEST_INTERVAL_NS, BookPublisher
from dataflows.domain.books.reader import BookBatch, BookReader
from schemas.exchanges import decoder_of
from schemas.numbers import SUM
from schemas.records import BookUpdate
from tests.dataflows.harness import Pipeline
from tests.raw_record import RawRecord
from tests.schemas.exchanges.frames import recording

MakePipeline = Callable[..., Pipeline]


class Recorded(NamedTuple):
    """A recorded feed: what its records have for a key, and its frames."""

    exchange: str
    key: bytes
    names: tuple[str, ...]
    received_ns: int | None = None
    """For frames without a stamp."""

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        return [("received_at", b"%d" % self.received_ns)] if self.received_ns else []

    def frames(self) -> list[bytes]:
        """The frames of order books, a snapshot from REST first."""
        decoder = decoder_of(self.exchange)
        return [
            frame
            for name in self.names
            for frame in recording(name)
            if decoder.kind(frame) == "orderbook"
        ]

    def records(self) -> list[tuple[bytes, bytes]]:
        """The same as keyed records."""
        return [
            (
                self.key
                + (b".OMG_USDT" if b'"asks":' in frame and b'"channel"' not in frame else b""),
                frame,
            )
            for frame in self.frames()
        ]


OKX = Recorded("okx", b"okx", ("okx",))
RECORDED = [
    OKX,
    Recorded("kraken", b"kraken", ("kraken-v1-book",)),
    Recorded("upbit", b"upbit", ("upbit",)),
    Recorded("bybit", b"bybit.inverse", ("bybit-v2-inverse",)),
    Recorded("gateio", b"gateio.spot", ("gateio-book-snapshot", "gateio"), 1619093532958869900),
]


def raw_topic(pipeline: Pipeline, exchange: str) -> str:
    return pipeline.settings.region_of(exchange).topics.orderbook


def feed(
    pipeline: Pipeline,
    exchange: str,
    records: Iterable[tuple[bytes, bytes]],
    headers: Sequence[tuple[str, bytes]] = (),
) -> None:
    partition = pipeline.settings.exchanges[exchange].partitions[0]
    pipeline.produce(raw_topic(pipeline, exchange), partition, records, headers)


class Naive:
    """A book without any care, from the updates alone."""

    def __init__(self) -> None:
        self.bids: dict[Decimal, Decimal] = {}
        self.asks: dict[Decimal, Decimal] = {}
        self.depth: int | None = None
        self.last_id: int | None = None

    def apply(self, update: BookUpdate) -> bool:
        """Whether it changed."""
        last_id = self.last_id
        if update.needs_snapshot and (last_id is None or (update.last_id or 0) <= last_id):
            return False
        self.last_id = update.last_id
        before = dict(self.bids), dict(self.asks)
        if update.is_snapshot:
            self.bids, self.asks = {}, {}
        self.depth = update.depth or self.depth
        for side, levels, is_bid in (
            (self.bids, update.bids, True),
            (self.asks, update.asks, False),
        ):
            for price, size in levels:
                side[price] = size
                if not size:
                    del side[price]
            for price in sorted(side, reverse=is_bid)[self.depth or len(side) :]:
                del side[price]
        return before != (self.bids, self.asks)

    def figures(self) -> tuple[Decimal | None, ...]:
        bid, ask = max(self.bids, default=None), min(self.asks, default=None)
        spread = None if bid is None or ask is None else SUM.subtract(ask, bid)
        totals = []
        for side in (self.bids, self.asks):
            total = Decimal(0)
            for size in side.values():
                total = SUM.add(total, size)
            totals.append(total)
        return bid, ask, spread, *totals


def updates_of(pipeline: Pipeline, recorded: Recorded) -> Iterator[BookUpdate]:
    decoder = decoder_of(recorded.exchange)
    for key, frame in recorded.records():
        product, _, native = key.decode().partition(".")[2].partition(".")
        feed_ = pipeline.settings.feed(recorded.exchange, product or None, native or None)  # type: ignore[arg-type]
        yield from decoder.decode_books(frame, feed_)


def naive_figures(updates: Iterable[BookUpdate]) -> dict[str, list[tuple[Decimal | None, ...]]]:
    books: dict[str, Naive] = {}
    figures: dict[str, list[tuple[Decimal | None, ...]]] = {}
    for update in updates:
        book = books.setdefault(update.symbol, Naive())
        if book.apply(update):
            figures.setdefault(update.symbol, []).append(book.figures())
    return figures


FIGURES = ("highest_bid", "lowest_ask", "spread", "total_bid_volume", "total_ask_volume")
decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def published(pipeline: Pipeline, exchange: str) -> list[bytes]:
    topic = pipeline.settings.region_of(exchange).processed.orderbook
    partition = pipeline.settings.exchanges[exchange].partitions[0]
    return [message.value() or b"" for message in pipeline.records(topic, partition)]


def published_figures(records: Iterable[bytes]) -> dict[str, list[tuple[Decimal | None, ...]]]:
    figures: dict[str, list[tuple[Decimal | None, ...]]] = {}
    for record in map(decode, records):
        values = tuple(None if record[n] is None else Decimal(record[n]) for n in FIGURES)
        figures.setdefault(record["symbol"], []).append(values)
    return figures


def minutes_without_engine(pipeline: Pipeline, recorded: Recorded) -> dict[tuple[str, int], Any]:
    """The minutes of a feed, one record at a time, without the engine and its crashes."""
    settings = pipeline.settings
    region = settings.exchanges[recorded.exchange].region
    partition = settings.exchanges[recorded.exchange].partitions[0]
    reader = BookReader(settings, region, "t", partition)
    feeds: dict[str, BookPublisher] = {}
    rows = {}
    batches = [
        reader.read([RawRecord(at, *record, recorded.headers)], now_ns())
        for at, record in enumerate(recorded.records())
    ]
    for key, batch in (item for items in [*batches, reader.finish()] for item in items):
        assert isinstance(batch, BookBatch)
        exchange, symbol = key.split(":")
        found = feeds.setdefault(key, BookPublisher(exchange, symbol, 0)).fold(batch).minutes
        rows.update({(row.symbol, row.minute): row for row in found})
    return rows


def assert_minutes(pipeline: Pipeline, recorded: Recorded) -> None:
    expected = minutes_without_engine(pipeline, recorded)
    rows = {
        (row["symbol"], int(row["minute"].timestamp())): row
        for row in pipeline.rows("orderbook_minute")
    }
    assert rows.keys() == expected.keys()
    for key, minute in expected.items():
        fields = msgspec.structs.asdict(minute)
        names = fields.keys() - {"exchange", "symbol", "minute"}
        assert {name: rows[key][name] for name in names} == {name: fields[name] for name in names}


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.exchange)
def test_a_recorded_feed_gives_the_states_and_minutes_of_its_book(
    make_pipeline: MakePipeline, recorded: Recorded
) -> None:
    regions = {"okx": "Asia", "bybit": "Asia", "gateio": "Asia", "kraken": "NE", "upbit": "Korea"}
    pipeline = make_pipeline(regions=[regions[recorded.exchange]])
    feed(pipeline, recorded.exchange, recorded.records(), recorded.headers)

    pipeline.run("orderbook")

    expected = naive_figures(updates_of(pipeline, recorded))
    assert published_figures(published(pipeline, recorded.exchange)) == expected
    assert sum(map(len, expected.values())) > 20
    assert_minutes(pipeline, recorded)
    # Of the changes that Gate recorded, one market's snapshot was recorded with them.
    asked = {request["symbol"] for request in requests(pipeline, recorded.exchange)}
    assert asked == {update.symbol for update in updates_of(pipeline, recorded)} - expected.keys()


def requests(pipeline: Pipeline, exchange: str) -> list[Any]:
    topic = pipeline.settings.region_of(exchange).topics.snapshot_requests
    return pipeline.values(topic, pipeline.settings.exchanges[exchange].partitions[0])


def test_a_record_has_the_fields_that_others_rely_on(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(regions=["Korea"])
    frame = Recorded("upbit", b"upbit", ("upbit",)).frames()[0]
    feed(pipeline, "upbit", [(b"upbit", frame)])

    pipeline.run("orderbook")

    (record,) = published(pipeline, "upbit")
    # The totals are those that the exchange says itself, as `tbs` and `tas`.
    assert record == (
        b'{"region":"Korea","market":"Upbit","coin_symbol":"LAMB","highest_bid":126,'
        b'"lowest_ask":127,"spread":1,"total_bid_volume":14407925.20098682,'
        b'"total_ask_volume":25752275.55420627,"timestamp":"2021-04-17 16:51:02.640000+00:00",'
        b'"symbol":"LAMB-KRW","bid_levels":15,"ask_levels":15,"is_crossed":false,"sequence":null}'
    )


def test_a_killed_flow_goes_on_with_its_books(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(regions=["Asia"], changes={"kafka": {"batch_messages": 20}})
    store = pipeline.recovery_store()
    records = OKX.records()
    for part in range(0, len(records), len(records) // 3):
        feed(pipeline, "okx", records[part : part + len(records) // 3])
        process = pipeline.start("orderbook", *store)
        time.sleep(3)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    pipeline.run("orderbook", *store)

    once = list(dict.fromkeys(published(pipeline, "okx")))
    assert published_figures(once) == naive_figures(updates_of(pipeline, OKX))
    assert_minutes(pipeline, OKX)
    assert requests(pipeline, "okx") == []


def test_a_missing_update_silences_one_book_until_its_next_snapshot(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(regions=["Asia"])
    records = OKX.records()
    symbols = [update.symbol for update in updates_of(pipeline, OKX)]
    ours = [at for at, symbol in enumerate(symbols) if symbol == symbols[0]]
    missing = ours[len(ours) // 2]
    feed(pipeline, "okx", [*records[:missing], *records[missing + 1 :], records[ours[0]]])

    pipeline.run("orderbook")

    updates = list(updates_of(pipeline, OKX))
    expected = naive_figures(u for at, u in enumerate(updates) if at not in ours[len(ours) // 2 :])
    again = Naive()
    again.apply(updates[ours[0]])
    expected[symbols[0]].append(again.figures())
    assert published_figures(published(pipeline, "okx")) == expected
    asked = requests(pipeline, "okx")
    assert {(request["exchange"], request["symbol"]) for request in asked} == {("okx", symbols[0])}
    assert "checksum" in asked[0]["reason"]
    span_ns = max(u.time_ns or 0 for u in updates) - (updates[missing].time_ns or 0)
    assert len(asked) <= 1 + span_ns // REQUEST_INTERVAL_NS


def test_conflation_publishes_the_last_state_of_each_time(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(regions=["Korea"], changes={"orderbook": {"conflation_ms": 1_000}})
    recorded = Recorded("upbit", b"upbit", ("upbit",))
    feed(pipeline, "upbit", recorded.records())

    pipeline.run("orderbook")

    expected: dict[str, dict[int, tuple[Decimal | None, ...]]] = {}
    books: dict[str, Naive] = {}
    for update in updates_of(pipeline, recorded):
        book = books.setdefault(update.symbol, Naive())
        if book.apply(update):
            second = (update.time_ns or 0) // 1_000_000_000
            expected.setdefault(update.symbol, {})[second] = book.figures()
    got = published_figures(published(pipeline, "upbit"))
    assert got == {symbol: list(states.values()) for symbol, states in expected.items()}


def test_what_is_no_book_is_a_dead_letter_between_good_neighbours(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(regions=["Asia"])
    records = OKX.records()
    junk = [records[0][1][:-40], b"\xff", records[0][1].replace(b'"bids":[[', b'"bids":[["x",')]
    feed(pipeline, "okx", [*records[:20], *((b"okx", frame) for frame in junk), *records[20:]])

    pipeline.run("orderbook")

    letters = pipeline.records(raw_topic(pipeline, "okx") + ".dlq")
    assert [letter.value() for letter in letters] == junk
    assert published_figures(published(pipeline, "okx")) == naive_figures(updates_of(pipeline, OKX))
