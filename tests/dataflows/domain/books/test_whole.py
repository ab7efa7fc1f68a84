"""A whole frame in brief makes the book, the states and the minutes that its levels make."""

from __future__ import annotations

import pickle
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.domain.books.book import Book
from dataflows.domain.books.minutes import BookMinutes
from dataflows.domain.books.whole import WholeBook, summarize, summarize_fast
from schemas.errors import FeedError
from schemas.exchanges import decoder_of
from schemas.feeds import Feed
from schemas.records import BookUpdate
from schemas.times import NS_PER_MINUTE
from tests.schemas.exchanges.frames import lines, recording

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemas.records import BookSummary

FEED = Feed("upbit")
START_MS = 28_827_980 * 60_000

Pairs = list[tuple[int, int]]


def frame_of(bids: Pairs, asks: Pairs, second: int = 0) -> bytes:
    """A frame of Upbit with these levels; it has a bid and an ask in each unit."""
    units = ",".join(
        f'{{"ask_price":{ask},"bid_price":{bid},"ask_size":{ask_size}.50,"bid_size":{bid_size}.50}}'
        for (bid, bid_size), (ask, ask_size) in zip(bids, asks, strict=True)
    )
    head = f'"type":"orderbook","code":"KRW-BTC","timestamp":{START_MS + second * 1_000}'
    return f'{{{head},"orderbook_units":[{units}]}}'.encode()


def brief(frame: bytes, feed: Feed = FEED) -> list[BookUpdate | WholeBook]:
    decoder = decoder_of(feed.exchange)
    updates = decoder.decode_books(frame, feed)
    found = [
        summarize(update, frame, feed, decoder.decode_books, index)
        for index, update in enumerate(updates)
    ]
    columns = decoder.decode_book_columns and decoder.decode_book_columns(frame)
    by_columns = columns and summarize_fast(columns, frame, feed, decoder.decode_books)
    assert by_columns is None or found == [by_columns]
    return found


def only_brief(bids: Pairs, asks: Pairs) -> BookUpdate | WholeBook:
    (found,) = brief(frame_of(bids, asks))
    return found


def only_whole(bids: Pairs, asks: Pairs) -> WholeBook:
    found = only_brief(bids, asks)
    assert isinstance(found, WholeBook)
    return found


def levels_of(book: Book) -> tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]:
    return book.bids.sizes, book.asks.sizes


def test_a_whole_frame_in_brief_has_its_figures_and_gives_its_levels_back() -> None:
    found = only_brief([(99, 1), (98, 2)], [(101, 3), (102, 4)])
    assert isinstance(found, WholeBook)
    figures = found.figures
    assert [figures.highest_bid, figures.lowest_ask] == [99, 101]
    assert [figures.bid_volume, figures.ask_volume] == [4, 8]
    assert [figures.bid_levels, figures.ask_levels] == [2, 2]
    assert found.unpacked().bids == [(Decimal(99), Decimal("1.5")), (Decimal(98), Decimal("2.5"))]
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301  # between workers it travels so


def test_frames_that_come_most_often_are_summed_up_by_columns() -> None:
    for name in ("upbit-orderbook", "bithumb-orderbook"):
        decoder = decoder_of(name.partition("-")[0])
        decode_columns = decoder.decode_book_columns
        assert decode_columns is not None
        found = [decode_columns(frame) for frame in lines(f"{name}.jsonl")]
        feed = Feed(name.partition("-")[0])
        assert any(
            columns and summarize_fast(columns, b"", feed, decoder.decode_books)
            for columns in found
        )


def test_levels_sent_worst_first_have_the_same_figures() -> None:
    best_first = only_brief([(99, 1), (98, 2)], [(101, 3), (102, 4)])
    worst_first = only_brief([(98, 2), (99, 1)], [(102, 4), (101, 3)])
    assert isinstance(best_first, WholeBook)
    assert isinstance(worst_first, WholeBook)
    assert worst_first.figures == best_first.figures


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([(98, 1), (99, 2), (97, 3)], [(101, 1), (102, 1), (103, 1)]),
        ([(99, 1), (98, 2), (98, 3)], [(101, 1), (102, 1), (103, 1)]),
        ([(99, 1), (98, 1), (97, 1)], [(0, 0), (0, 0), (0, 0)]),
    ],
    ids=["out of order", "a price twice", "one side"],
)
def test_a_whole_frame_whose_figures_need_its_levels_keeps_them(bids: Pairs, asks: Pairs) -> None:
    assert isinstance(only_brief(bids, asks), BookUpdate)


def test_a_snapshot_with_a_checksum_keeps_its_levels() -> None:
    found = [update for frame in recording("okx") for update in brief(frame, Feed("okx"))]
    assert not any(isinstance(update, WholeBook) for update in found)


def test_levels_that_move_under_the_same_figures_are_a_change() -> None:
    book = Book("upbit", "BTC-KRW")
    first = only_whole([(99, 1), (97, 2)], [(101, 3), (103, 4)])
    assert book.replace_lazily(first)
    assert not book.replace_lazily(first)
    assert not book.replace_lazily(first)
    assert book.replace_lazily(only_whole([(99, 1), (96, 2)], [(101, 3), (103, 4)]))
    assert levels_of(book)[0] == {Decimal(99): Decimal("1.5"), Decimal(96): Decimal("2.5")}


def test_a_change_of_a_book_in_brief_finds_its_levels() -> None:
    book = Book("upbit", "BTC-KRW")
    book.replace_lazily(only_whole([(99, 1), (98, 2)], [(101, 3), (102, 4)]))
    gone = [(Decimal(99), Decimal(0))]
    assert book.apply(BookUpdate("BTC-KRW", 0, is_snapshot=False, bids=gone, asks=[]))
    assert book.figures.highest_bid == 98
    assert book.figures.bid_volume == Decimal("2.5")


BOOKS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(90, 99), st.integers(0, 2)), min_size=3, max_size=3),
        st.lists(st.tuples(st.integers(98, 107), st.integers(0, 2)), min_size=3, max_size=3),
        st.booleans(),
        st.integers(0, 40),
    ),
    max_size=40,
)


def frames_of(steps: Iterable[tuple[Pairs, Pairs, bool, int]]) -> list[bytes]:
    second, frames = 0, []
    for bids, asks, is_sorted, seconds in steps:
        second += seconds
        if is_sorted:
            bids, asks = sorted(bids, reverse=True), sorted(asks)  # noqa: PLW2901  # the sorted ones
        frames.append(frame_of(bids, asks, second))
    return frames


def outcome(
    minutes: BookMinutes, update: BookUpdate | WholeBook, time_ns: int
) -> BookSummary | str | None:
    try:
        return minutes.apply(update, time_ns)
    except FeedError as error:
        return str(error)


def assert_same(frames: list[bytes], feed: Feed) -> None:
    """Both ways of one feed, state by state, and its rows; one is put away and taken up again."""
    minutes: dict[str, tuple[BookMinutes, BookMinutes]] = {}
    for count, frame in enumerate(frames):
        updates = decoder_of(feed.exchange).decode_books(frame, feed)
        for update, short in zip(updates, brief(frame, feed), strict=True):
            key = feed.exchange, update.symbol
            whole, briefly = minutes.setdefault(
                update.symbol, (BookMinutes(*key), BookMinutes(*key))
            )
            time_ns = update.time_ns or START_MS * 1_000_000 + count
            assert outcome(briefly, short, time_ns) == outcome(whole, update, time_ns)
            if count % 5 == 0:
                state = pickle.loads(pickle.dumps(briefly.state()))  # noqa: S301  # our own bytes
                briefly = BookMinutes(*key, state)
                minutes[update.symbol] = whole, briefly
            if count % 7 == 0:
                assert levels_of(briefly.book) == levels_of(whole.book)
    for whole, briefly in minutes.values():
        end = whole.time_ns // NS_PER_MINUTE + 1
        assert briefly.finish(end, []) == whole.finish(end, [])


@given(BOOKS)
def test_a_feed_in_brief_makes_the_same_states_and_minutes(
    steps: list[tuple[Pairs, Pairs, bool, int]],
) -> None:
    assert_same(frames_of(steps), FEED)


@pytest.mark.parametrize(
    ("exchange", "name"),
    [("upbit", "upbit"), ("bybit", "bybit-v2-inverse"), ("kraken", "kraken-v1-book")],
)
def test_recorded_feeds_in_brief_make_the_same_states_and_minutes(exchange: str, name: str) -> None:
    assert_same(recording(name), Feed(exchange))


@pytest.mark.parametrize(
    ("name", "feed"),
    [
        ("upbit-orderbook", FEED),
        ("bithumb-orderbook", Feed("bithumb")),
        ("bithumb-v1-orderbook", Feed("bithumb")),
        ("korbit-orderbook", Feed("korbit")),
        ("coinone-orderbook", Feed("coinone")),
        ("okx-orderbook-docs", Feed("okx")),
        ("gateio-orderbook-limited", Feed("gateio")),
        ("binance-orderbook-partial", Feed("binance", native_symbol="BTCUSDT")),
        ("kraken-orderbook", Feed("kraken")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sampled_feeds_in_brief_make_the_same_states_and_minutes(name: str, feed: Feed) -> None:
    assert_same(lines(f"{name}.jsonl"), feed)
