"""What a partition's log means for its books does not depend on how it is cut into batches."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dataflows.domain.books.publisher import BookPublisher
from dataflows.domain.books.reader import BookBatch, BookReader
from schemas.records import BookMinute
from schemas.settings import Settings, parse_settings
from tests.raw_record import RawRecord

SETTINGS = parse_settings(
    (Path(__file__).parents[4] / "pipeline.yaml").read_bytes(), "pipeline.yaml"
)
START_MS = 1_729_678_800_000
NOW_NS = 2 * START_MS * 1_000_000
HOUR_MS = 3_600_000


def frame(coin: str, time_ms: int, bid: int) -> bytes:
    """A book of Upbit with one level, in its SIMPLE format."""
    return (
        b'{"ty":"orderbook","cd":"KRW-%s","tms":%d,"tas":1,"tbs":1,'
        b'"obu":[{"ap":200,"bp":%d,"as":1,"bs":1}],"st":"REALTIME"}'
    ) % (coin.encode(), time_ms, bid)


def play(frames: list[bytes], cuts: set[int]) -> tuple[list[Any], dict[Any, Any]]:
    """The summaries by book, in order, and the rows."""
    reader = BookReader(SETTINGS, "Korea", "t", 0)
    feeds: dict[str, BookPublisher] = {}
    summaries: dict[str, list[Any]] = {}
    rows = {}
    records = [RawRecord(at, b"upbit", each) for at, each in enumerate(frames)]
    starts = sorted({0, *cuts}) or [0]
    parts = [records[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)]
    for items in [*(reader.read(part, NOW_NS) for part in parts), reader.finish()]:
        for key, batch in items:
            assert isinstance(batch, BookBatch)
            exchange, symbol = key.split(":")
            feed = feeds.setdefault(key, BookPublisher(exchange, symbol, 0))
            output = feed.fold(batch)
            summaries.setdefault(key, []).extend(output.summaries)
            rows.update({(row.symbol, row.minute): row for row in output.minutes})
            if batch.retired:
                del feeds[key]
    return sorted(summaries.items()), rows


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["A", "B", "C"]),
            st.sampled_from([0, 1_000, 70_000, -20_000, 26 * HOUR_MS, -30 * HOUR_MS]),
            st.integers(1, 3),
        ),
        max_size=14,
    ),
    cuts=st.sets(st.integers(1, 13)),
)
def test_batching_changes_no_summary_and_no_row_even_where_books_are_given_up(
    steps: list[tuple[str, int, int]], cuts: set[int]
) -> None:
    frames, time_ms = [], START_MS
    for coin, later_ms, bid in steps:
        time_ms += later_ms
        frames.append(frame(coin, time_ms, bid))

    whole = play(frames, set())

    assert play(frames, {cut for cut in cuts if cut < len(frames)}) == whole
    assert play(frames, set(range(1, len(frames)))) == whole


def status(event: str, second: float, **fields: Any) -> RawRecord:
    record = {
        "time_ms": START_MS + round(second * 1000), "exchange": "upbit", "product": "spot",
        "kind": fields.pop("kind", "orderbook"), "event": event, "symbols": None, "reason": "",
    }  # fmt: skip
    record |= {name: START_MS + round(value * 1000) for name, value in fields.items()}
    return RawRecord(0, b"upbit", msgspec.json.encode(record))


class Flow:
    """A reader and the books behind it, restored after each step from what they stored."""

    def __init__(self, settings: Settings = SETTINGS, partition: int = 0) -> None:
        self._settings, self._partition = settings, partition
        self._reader_state: Any = None
        self._books: dict[str, Any] = {}
        self.rows: dict[tuple[str, int], BookMinute] = {}

    def do(self, step: Callable[[BookReader], list[Any]]) -> None:
        reader = BookReader(
            self._settings, "Korea", "t", self._partition, pickle.loads(self._reader_state)  # noqa: S301  # its own
            if self._reader_state else None,
        )  # fmt: skip
        for key, batch in step(reader):
            exchange, symbol = key.split(":")
            state = self._books.get(key)
            book = BookPublisher(exchange, symbol, 0, pickle.loads(state) if state else None)  # noqa: S301  # its own
            for row in book.fold(batch).minutes:
                self.rows[row.symbol, row.minute * 1000 - START_MS] = row
            self._books[key] = pickle.dumps(book.state())
        self._reader_state = pickle.dumps(reader.state())

    def read(self, *frames: bytes) -> None:
        records = [RawRecord(at, b"upbit", each) for at, each in enumerate(frames)]
        self.do(lambda reader: reader.read(records, NOW_NS))

    def note(self, *statuses: RawRecord) -> None:
        self.do(lambda reader: reader.note("feed-status", 0, statuses, NOW_NS))

    def verdicts(self, symbol: str = "BTC-KRW") -> list[bool | None]:
        return [row.is_complete for (name, _), row in sorted(self.rows.items()) if name == symbol]


def minutes(coin: str, *indexes: int) -> list[bytes]:
    return [frame(coin, START_MS + at * 60_000, 100 + at) for at in indexes]


def test_minutes_are_complete_where_the_collector_says_so() -> None:
    flow = Flow()
    flow.read(*minutes("BTC", 0))
    flow.note(
        status("connected", 60, first_good_ms=60), status("disconnected", 1, kind="trade"),
        status("disconnected", 200, last_good_ms=190), status("connected", 210, first_good_ms=205),
    )  # fmt: skip
    flow.read(*minutes("BTC", 1, 2, 3, 4), *minutes("ETH", 4), *minutes("BTC", 6))
    flow.do(BookReader.finish)
    assert flow.verdicts() == [None, True, True, False, True, True]
    assert flow.verdicts("ETH-KRW") == [True, True]


def test_an_outage_that_is_told_late_marks_rows_that_were_written() -> None:
    flow = Flow()
    flow.note(status("connected", -60, first_good_ms=-60))
    flow.read(*minutes("BTC", 0, 1, 2, 3, 4))
    assert flow.verdicts() == [True, True, True]
    flow.note(status("gap", 250, last_good_ms=100, first_good_ms=110))
    assert flow.verdicts() == [True, False, True]


def test_without_a_status_nothing_is_known_of_a_minute() -> None:
    flow = Flow()
    flow.read(*minutes("BTC", 0, 1))
    flow.do(BookReader.finish)
    assert flow.verdicts() == [None, None]


def test_quiet_books_have_the_rows_of_one_partition_in_several() -> None:
    text = (Path(__file__).parents[4] / "pipeline.yaml").read_text()
    config = yaml.safe_load(text)
    for kind in ("ticker", "orderbook", "trade"):
        config["regions"]["Korea"]["partitions"][kind] = 6
    config["exchanges"]["upbit"]["partitions"] = [0, 4, 5]
    spread = parse_settings(yaml.safe_dump(config).encode(), "pipeline.yaml")
    busy, quiet = minutes("BTC", *range(6)), minutes("ETH", 0)
    one = Flow()
    one.read(*quiet, *busy)
    one.do(BookReader.finish)

    rows = {}
    for partition, own, others in ((0, busy, {4: quiet}), (4, quiet, {0: busy})):
        flow = Flow(spread, partition)
        for other, frames in others.items():
            records = [RawRecord(at, b"upbit", each) for at, each in enumerate(frames)]
            flow.do(lambda reader, o=other, r=records: reader.note("t", o, r, NOW_NS))  # type: ignore[misc]
        flow.read(*own)
        flow.do(BookReader.finish)
        rows.update(flow.rows)
    assert len(one.rows) == 12
    assert rows == one.rows
