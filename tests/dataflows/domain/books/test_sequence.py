"""Ids that start anew unseen are a gap at the first frame; repetitions and older books are not."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from dataflows.domain.books.publisher import BookOutput, BookPublisher
from dataflows.domain.books.reader import BookBatch
from dataflows.operators.keys import split_key
from schemas.errors import SequenceGapError
from tests.dataflows.test_exchange_checklist import read
from tests.schemas.exchanges.frames import lines

START_MS = 1_790_000_000_000
Frame = dict[str, Any]


def okx(time_ms: int, last_id: int, before: int, bid: str, *, whole: bool = False) -> Frame:
    levels = {"bids": [[bid, "1", "0", "1"]], "asks": [["200", "1", "0", "1"]] if whole else []}
    row = {**levels, "ts": str(time_ms), "seqId": last_id, "prevSeqId": -1 if whole else before}
    action = "snapshot" if whole else "update"
    return {
        "arg": {"channel": "books", "instId": "BTC-USDT"}, "action": action, "data": [row],
    }  # fmt: skip


def bybit(time_ms: int, last_id: int, before: int, bid: str, *, whole: bool = False) -> Frame:
    del before
    data = {"s": "BTCUSDT", "b": [[bid, "1"]], "a": [["200", "1"]] if whole else [], "u": last_id}
    return {
        "topic": "orderbook.50.BTCUSDT", "ts": time_ms, "cts": time_ms,
        "type": "snapshot" if whole else "delta", "data": {**data, "seq": last_id},
    }  # fmt: skip


def gateio(time_ms: int, last_id: int, before: int, bid: str, *, whole: bool = False) -> Frame:
    result = {
        "t": time_ms, "s": "ob.BTC_USDT.50", "u": last_id, "b": [[bid, "1"]],
        "a": [["200", "1"]] if whole else [],
    }  # fmt: skip
    more: Frame = {"full": True} if whole else {"U": before + 1}
    return {"channel": "spot.obu", "result": {**result, **more}, "time_ms": time_ms}


def binance(time_ms: int, last_id: int, before: int, bid: str, *, whole: bool = False) -> Frame:
    if whole:
        return {"lastUpdateId": last_id, "bids": [[bid, "1"]], "asks": [["200", "1"]]}
    return {
        "e": "depthUpdate", "E": time_ms, "s": "BTCUSDT", "U": before + 1, "u": last_id,
        "b": [[bid, "1"]], "a": [],
    }  # fmt: skip


CHANGES = {"okx": okx, "bybit": bybit, "gateio": gateio, "binance": binance}
KEYS = {"binance": "binance.spot.BTCUSDT"}
by_exchange = pytest.mark.parametrize("exchange", CHANGES)


def fold(exchange: str, frames: list[Frame], key: str | None = None) -> tuple[Any, BookOutput]:
    """Return the book after these frames, and all that was made of it."""
    values = [msgspec.json.encode(frame) for frame in frames]
    output = BookOutput([], [], [], [])
    publisher = None
    for item_key, item in read(exchange, "orderbook", key or KEYS.get(exchange, exchange), values):
        assert isinstance(item, BookBatch), item
        publisher = publisher or BookPublisher(*split_key(item_key), 0)
        found = publisher.fold(item)
        output.summaries.extend(found.summaries)
        output.minutes.extend(found.minutes)
        output.requests.extend(found.requests)
        output.problems.extend(found.problems)
    assert publisher is not None
    return publisher.book, output


def first_frames(make: Callable[..., Frame]) -> list[Frame]:
    return [
        make(START_MS, 1_000, 0, "99", whole=True),
        make(START_MS + 100, 1_001, 1_000, "98"),
        make(START_MS + 200, 1_002, 1_001, "97"),
    ]


@by_exchange
def test_ids_that_start_anew_unseen_are_a_gap_at_the_first_frame(exchange: str) -> None:
    make = CHANGES[exchange]
    anew = [make(START_MS + 6_000 + at, 3 + at, 2 + at, "50") for at in range(3)]
    book, output = fold(exchange, [*first_frames(make), *anew])
    assert not book.is_valid
    assert [type(problem) for problem in output.problems] == [SequenceGapError]
    assert len(output.requests) == 1
    assert [summary.bid_levels for summary in output.summaries] == [1, 2, 3]
    (row,) = output.minutes
    assert row.gaps == 1


@by_exchange
def test_a_long_repetition_changes_nothing(exchange: str) -> None:
    make = CHANGES[exchange]
    changes = [make(START_MS + at, 1_000 + at, 999 + at, str(at)) for at in range(1, 150)]
    frames = [make(START_MS, 1_000, 0, "99", whole=True), *changes]
    book, output = fold(exchange, [*frames, *frames[3:], make(START_MS + 900, 1_150, 1_149, "150")])
    assert book.is_valid
    assert output.problems == []
    assert book.last_id == 1_150


@by_exchange
def test_what_is_repeated_after_ids_started_anew_changes_nothing(exchange: str) -> None:
    make = CHANGES[exchange]
    old = first_frames(make)
    anew = [
        make(START_MS + 6_000, 3, 2, "50"),  # the gap
        make(START_MS + 6_100, 4, 0, "60", whole=True),
        make(START_MS + 6_200, 5, 4, "61"),
    ]
    if exchange == "binance":  # its snapshot has no time: only a change tells that ids fell
        old = old[1:]
    book, _ = fold(exchange, [*first_frames(make), *anew, *old, make(START_MS + 6_300, 6, 5, "62")])
    assert book.is_valid
    assert book.last_id == 6
    assert book.bids.best == 62


def test_a_rest_snapshot_may_be_newer_than_the_changes_that_follow_it() -> None:
    late = [binance(START_MS + 100 + at, 990 + at, 989 + at, "98") for at in range(20)]
    book, output = fold("binance", [binance(START_MS, 1_000, 0, "99", whole=True), *late])
    assert book.is_valid
    assert (output.problems, book.last_id) == ([], 1_009)


def coinone(time_ms: int, number: int, bid: str) -> Frame:
    return {
        "response_type": "DATA", "channel": "ORDERBOOK",
        "data": {
            "quote_currency": "KRW", "target_currency": "BTC", "timestamp": time_ms,
            "id": str(number), "asks": [{"price": "200", "qty": "1"}],
            "bids": [{"price": bid, "qty": "1"}],
        },
    }  # fmt: skip


def test_the_newest_whole_book_of_coinone_stands_whatever_its_id() -> None:
    frames = [
        coinone(START_MS, 1_000_000, "99"),
        coinone(START_MS + 5_000, 3, "50"),
        coinone(START_MS + 5_000, 2, "49"),
        coinone(START_MS, 1_000_000, "99"),
    ]
    book, output = fold("coinone", frames)
    assert book.bids.best == 50
    assert [summary.highest_bid for summary in output.summaries] == [99, 50]
    assert output.problems == []


def bithumb(time_ms: int, stream: str, bid: int) -> Frame:
    unit = {"ask_price": 200, "bid_price": bid, "ask_size": 1, "bid_size": 1}
    return {
        "type": "orderbook", "code": "KRW-BTC", "total_ask_size": 1, "total_bid_size": 1,
        "orderbook_units": [unit], "level": 1, "timestamp": time_ms * 1_000, "stream_type": stream,
    }  # fmt: skip


def test_an_older_snapshot_of_bithumb_does_not_replace_a_newer_book() -> None:
    frames = [
        bithumb(START_MS, "SNAPSHOT", 90),
        bithumb(START_MS + 700, "REALTIME", 91),
        bithumb(START_MS + 300, "SNAPSHOT", 89),
        bithumb(START_MS + 700, "REALTIME", 92),
    ]
    book, output = fold("bithumb", frames)
    assert [summary.highest_bid for summary in output.summaries] == [90, 91, 92]
    assert book.figures.highest_bid == 92


def test_the_unseen_resets_of_the_case_are_gaps() -> None:
    cases = [msgspec.json.decode(line) for line in lines("cases/book-ids-start-anew-unseen.jsonl")]
    frames = [case["frame"] for case in cases if case["key"] == "okx"]
    book, output = fold("okx", frames)
    assert not book.is_valid
    assert [summary.highest_bid for summary in output.summaries] == [Decimal(99)]
    assert len(output.problems) == 1
    # One each half minute, until somebody sends a snapshot.
    assert len(output.requests) == 2


def test_a_book_restored_from_the_first_version_goes_on() -> None:
    encode = msgspec.msgpack.encode
    sides = [encode([(Decimal(99), Decimal(1))]), encode([(Decimal(101), Decimal(1))])]
    book: Any = (1, True, 1_000, 50, False, 0, *sides, encode([]))
    minutes: Any = (1, book, 0, 0, 0, None, encode([]))
    publisher = BookPublisher("bybit", "BTC-USDT", 0, (minutes, 0, encode(None)))
    assert publisher.book.is_valid
    assert (publisher.book.last_id, publisher.book.depth) == (1_000, 50)
