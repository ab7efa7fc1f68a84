"""What a partition's log means for its books does not depend on how it is cut into batches."""

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dataflows.domain.books.publisher import BookPublisher
from dataflows.domain.books.reader import BookBatch, BookReader
from schemas.settings import parse_settings
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
