from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.domain.books.book import MAX_BUFFERED, Book, Depth
from dataflows.domain.books.sequence import MAX_STALE_IN_A_ROW
from schemas.errors import ChecksumMismatchError, FeedError, SequenceGapError
from schemas.exchanges import decoder_of
from schemas.feeds import Feed
from schemas.numbers import SUM
from schemas.records import BookUpdate
from tests.schemas.exchanges.frames import lines, recording

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemas.records import Level, SequenceRule

SYMBOL = "BTC-USDT"


def levels(*pairs: tuple[str, str]) -> list[Level]:
    return [(Decimal(price), Decimal(size)) for price, size in pairs]


def snapshot(last_id: int | None = None, **fields: Any) -> BookUpdate:
    book = {"bids": levels(("99", "1"), ("98", "2")), "asks": levels(("101", "3"), ("102", "4"))}
    return BookUpdate(SYMBOL, 0, is_snapshot=True, last_id=last_id, **{**book, **fields})


def delta(rule: SequenceRule = "none", last_id: int | None = None, **fields: Any) -> BookUpdate:
    # A bid of its own for each update, so that none of them changes nothing.
    changed: dict[str, Any] = {"bids": levels(("97", str(last_id or 1))), "asks": []}
    return BookUpdate(
        SYMBOL, 0, is_snapshot=False, sequence_rule=rule, last_id=last_id, **{**changed, **fields}
    )


def book_after(*updates: BookUpdate) -> Book:
    book = Book("okx", SYMBOL)
    for update in updates:
        book.apply(update)
    return book


def sides(book: Book) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Both sides, best first."""
    bids, asks = book.bids, book.asks
    return (
        [(str(price), str(bids.sizes[price])) for price in reversed(bids.prices)],
        [(str(price), str(asks.sizes[price])) for price in asks.prices],
    )


@dataclass
class Naive:
    """A book without any of the care: what the real one must agree with at every step."""

    bids: dict[Decimal, Decimal] = field(default_factory=dict)
    asks: dict[Decimal, Decimal] = field(default_factory=dict)

    def apply(self, update: BookUpdate) -> None:
        for side, changed in ((self.bids, update.bids), (self.asks, update.asks)):
            if update.is_snapshot:
                side.clear()
            for price, size in changed:
                side.pop(price, None)
                if size:
                    side[price] = size
            ranked = sorted(side, reverse=side is self.bids)
            for price in ranked[update.depth :] if update.depth else []:
                del side[price]


def total(side: dict[Decimal, Decimal]) -> Decimal:
    exact = Decimal(0)
    for size in side.values():
        exact = SUM.add(exact, size)
    return exact


def assert_agrees(book: Book, naive: Naive) -> None:
    assert book.bids.sizes == naive.bids
    assert book.asks.sizes == naive.asks
    assert book.bids.prices == sorted(naive.bids)
    assert book.asks.prices == sorted(naive.asks)
    summary = book.summary(5)
    assert summary.highest_bid == max(naive.bids, default=None)
    assert summary.lowest_ask == min(naive.asks, default=None)
    assert summary.total_bid_volume == total(naive.bids)
    assert summary.total_ask_volume == total(naive.asks)
    assert (summary.bid_levels, summary.ask_levels) == (len(naive.bids), len(naive.asks))


PRICES = st.integers(1, 25).map(lambda units: Decimal(units) / 10)
SIZES = st.sampled_from(["0", "1", "1.50", "0.000000000000000001", "1E+20", "123456789.87654321"])
LEVELS = st.lists(st.tuples(PRICES, SIZES.map(Decimal)), max_size=8)
UPDATES = st.builds(
    BookUpdate,
    symbol=st.just(SYMBOL),
    time_ns=st.just(0),
    is_snapshot=st.sampled_from([False, False, False, True]),
    bids=LEVELS,
    asks=LEVELS,
    depth=st.sampled_from([None, 3, 10]),
)


@given(st.lists(UPDATES, max_size=25))
def test_best_prices_and_totals_are_those_of_a_recomputation_after_any_updates(
    updates: list[BookUpdate],
) -> None:
    first = snapshot(depth=10)
    book, naive = book_after(first), Naive()
    naive.apply(first)
    depth = first.depth
    for update in updates:
        # A delta that does not say the depth has that of the book.
        depth = update.depth if update.is_snapshot or update.depth else depth
        book.apply(update)
        naive.apply(BookUpdate(**{**_fields(update), "depth": depth}))
        assert_agrees(book, naive)


def _fields(update: BookUpdate) -> dict[str, Any]:
    return {name: getattr(update, name) for name in update.__struct_fields__}


@given(st.lists(UPDATES, max_size=25))
def test_an_update_is_a_change_only_if_levels_differ_after_it(updates: list[BookUpdate]) -> None:
    book = book_after(snapshot())
    for update in updates:
        unlimited = BookUpdate(**{**_fields(update), "depth": None})
        before = dict(book.bids.sizes), dict(book.asks.sizes)
        has_changed = book.apply(unlimited)
        if (book.bids.sizes, book.asks.sizes) != before:
            assert has_changed
        elif len({price for price, _ in update.bids + update.asks}) == len(
            update.bids + update.asks
        ):
            assert not has_changed


RULED: list[tuple[SequenceRule, Any]] = [
    ("none", lambda _: {"last_id": None}),
    ("growing", lambda at: {"last_id": 10 + 3 * at}),
    ("linked", lambda at: {"last_id": 10 + 3 * at, "prev_id": 7 + 3 * at}),
    ("consecutive", lambda at: {"first_id": 8 + 3 * at, "last_id": 10 + 3 * at}),
    ("plus_one", lambda at: {"last_id": 10 + at}),
]
PROVEN = [(rule, ids) for rule, ids in RULED if rule not in {"none", "growing"}]
RULES = pytest.mark.parametrize(("rule", "ids"), RULED, ids=[rule for rule, _ in RULED])
PROVEN_RULES = pytest.mark.parametrize(("rule", "ids"), PROVEN, ids=[rule for rule, _ in PROVEN])


def chain(rule: SequenceRule, ids: Any, count: int, **fields: Any) -> list[BookUpdate]:
    """Deltas that follow one another, the first one a snapshot with the id 10."""
    return [delta(rule, **ids(at), **fields) for at in range(1, count + 1)]


@RULES
def test_a_chain_without_a_hole_is_applied(rule: SequenceRule, ids: Any) -> None:
    book = book_after(snapshot(10), *chain(rule, ids, 20))
    assert book.is_valid
    assert book.last_id == (10 if rule == "none" else ids(20)["last_id"])


@PROVEN_RULES
@pytest.mark.parametrize("lost", [0, 1, 7, 18])
def test_one_lost_update_is_noticed_at_the_next(rule: SequenceRule, ids: Any, lost: int) -> None:
    updates = chain(rule, ids, 20)
    book = book_after(snapshot(10), *updates[:lost])
    with pytest.raises(SequenceGapError, match=rf"okx BTC-USDT: update .*{rule}"):
        book.apply(updates[lost + 1])
    assert not book.is_valid


@PROVEN_RULES
def test_a_lost_book_takes_nothing_until_the_next_snapshot(rule: SequenceRule, ids: Any) -> None:
    updates = chain(rule, ids, 6)
    book = book_after(snapshot(10))
    with pytest.raises(SequenceGapError):
        book.apply(updates[1])
    assert [book.apply(update) for update in updates[2:4]] == [False, False]
    assert book.apply(snapshot(ids(4)["last_id"]))
    assert book.is_valid
    assert book.apply(updates[4])


@pytest.mark.parametrize(
    ("rule", "ids"), [pair for pair in RULED if pair[0] != "none"], ids=lambda value: str(value)[:9]
)
def test_what_a_reconnect_repeats_is_dropped(rule: SequenceRule, ids: Any) -> None:
    updates = chain(rule, ids, 20)
    book = book_after(snapshot(10), *updates)
    before = sides(book)
    assert [book.apply(update) for update in updates[5:]] == [False] * 15
    assert sides(book) == before
    assert book.apply(delta(rule, **ids(21)))


def test_ids_that_start_anew_do_not_freeze_a_book() -> None:
    book = book_after(snapshot(10**9))
    for at in range(1, MAX_STALE_IN_A_ROW + 1):
        assert not book.apply(delta("plus_one", at))
    with pytest.raises(SequenceGapError, match="expected the one after 1000000000"):
        book.apply(delta("plus_one", MAX_STALE_IN_A_ROW + 1))


def test_repetitions_between_new_updates_are_never_too_many() -> None:
    book = book_after(snapshot(10))
    for at in range(11, 15):
        assert book.apply(delta("plus_one", at))
        for _ in range(MAX_STALE_IN_A_ROW):
            assert not book.apply(delta("plus_one", at))


def test_full_frames_whose_ids_start_anew_are_taken_after_a_while() -> None:
    book = book_after(snapshot(10**9, sequence_rule="growing"))
    for at in range(1, MAX_STALE_IN_A_ROW + 1):
        assert not book.apply(snapshot(at, sequence_rule="growing", bids=[]))
    assert book.apply(snapshot(MAX_STALE_IN_A_ROW + 1, sequence_rule="growing", bids=[]))
    assert book.last_id == MAX_STALE_IN_A_ROW + 1


def test_a_full_frame_that_is_not_newer_is_dropped() -> None:
    book = book_after(snapshot(5, sequence_rule="growing"))
    assert not book.apply(snapshot(5, sequence_rule="growing", bids=[]))
    assert not book.apply(snapshot(4, sequence_rule="growing", bids=[]))
    assert book.bids.best == 99


def test_the_same_full_frame_again_is_no_change() -> None:
    book = book_after(snapshot())
    assert not book.apply(snapshot())
    assert book.apply(snapshot(bids=levels(("99", "1"))))


def test_a_snapshot_replaces_the_book_at_any_time() -> None:
    book = book_after(snapshot(100), delta("plus_one", 101), snapshot(1, bids=levels(("5", "6"))))
    assert sides(book) == ([("5", "6")], [("101", "3"), ("102", "4")])
    assert book.apply(delta("plus_one", 2))


def test_okx_keepalive_changes_nothing_and_keeps_the_link() -> None:
    book = book_after(snapshot(10), delta("linked", 13, prev_id=10))
    assert not book.apply(delta("linked", 13, prev_id=13, bids=[]))
    assert book.apply(delta("linked", 16, prev_id=13))


def test_okx_starting_to_count_anew_is_applied() -> None:
    book = book_after(snapshot(10), delta("linked", 13, prev_id=10))
    assert book.apply(delta("linked", 3, prev_id=13))
    assert book.apply(delta("linked", 5, prev_id=3))
    assert book.last_id == 5


def test_deltas_before_a_snapshot_that_comes_in_the_feed_are_dropped() -> None:
    book = Book("bybit", SYMBOL)
    assert not book.apply(delta("plus_one", 11))
    assert not book.apply(delta("plus_one", 12))
    book.apply(snapshot(12))
    assert sides(book)[0] == [("99", "1"), ("98", "2")]


def test_deltas_before_their_rest_snapshot_are_applied_when_it_comes() -> None:
    book = Book("binance", SYMBOL)
    for at in (11, 12, 13):
        assert not book.apply(delta("consecutive", at, first_id=at, needs_snapshot=True))
    assert book.apply(snapshot(11))
    assert book.last_id == 13
    assert sides(book)[0][-1] == ("97", "13")


@pytest.mark.parametrize("rule", ["consecutive", "linked"])
def test_a_rest_snapshot_older_than_the_deltas_is_refused_and_a_newer_one_taken(
    rule: SequenceRule,
) -> None:
    book = Book("binance", SYMBOL)
    for at in (15, 20, 25):
        ids = {"first_id": at - 2, "prev_id": at - 5 if rule == "linked" else None}
        if rule == "consecutive":
            ids["first_id"] = at - 4
        book.apply(delta(rule, at, needs_snapshot=True, **ids))
    with pytest.raises(SequenceGapError, match="update 15"):
        book.apply(snapshot(9))
    assert not book.is_valid
    assert book.apply(snapshot(17))  # inside the second one
    assert book.last_id == 25


def test_a_gap_keeps_its_update_for_the_next_rest_snapshot() -> None:
    def update(at: int) -> BookUpdate:
        return delta("consecutive", at, first_id=at, needs_snapshot=True)

    book = book_after(snapshot(10), update(11))
    with pytest.raises(SequenceGapError):
        book.apply(update(13))
    book.apply(update(14))
    assert book.apply(snapshot(12))
    assert book.last_id == 14


def test_an_older_rest_snapshot_does_not_turn_a_valid_book_back() -> None:
    update = delta("consecutive", 12, first_id=11, needs_snapshot=True)
    book = book_after(snapshot(10), update)
    for each in (book, Book("binance", SYMBOL, book.state())):
        assert not each.apply(snapshot(11, sequence_rule="consecutive"))
        assert each.last_id == 12
        assert each.is_valid


def test_only_so_many_deltas_wait_and_the_oldest_is_dropped() -> None:
    book = Book("binance", SYMBOL)
    for at in range(1, MAX_BUFFERED + 3):
        book.apply(delta("consecutive", at, first_id=at, needs_snapshot=True))
    with pytest.raises(SequenceGapError, match="update 3 "):
        book.apply(snapshot(1))
    assert book.apply(snapshot(2))
    assert book.last_id == MAX_BUFFERED + 2


def test_a_rest_snapshot_may_hold_most_of_the_deltas_that_waited_for_it() -> None:
    book = Book("binance", SYMBOL)
    for at in range(1, 2 * MAX_STALE_IN_A_ROW + 5):
        book.apply(delta("consecutive", at, first_id=at, needs_snapshot=True))
    assert book.apply(snapshot(2 * MAX_STALE_IN_A_ROW))
    assert book.last_id == 2 * MAX_STALE_IN_A_ROW + 4


def test_a_rest_snapshot_without_an_id_proves_nothing() -> None:
    book = book_after(snapshot())
    with pytest.raises(SequenceGapError, match="snapshot without an id"):
        book.apply(delta("consecutive", 5, first_id=5, needs_snapshot=True))


def test_levels_beyond_the_depth_are_cut_off_after_each_update() -> None:
    book = book_after(
        snapshot(depth=2),
        delta(bids=levels(("98.5", "5")), asks=levels(("100", "1"), ("103", "1"))),
    )
    assert sides(book) == ([("99", "1"), ("98.5", "5")], [("100", "1"), ("101", "3")])
    assert [book.bids.total, book.asks.total] == [6, 4]


def test_a_price_touched_twice_in_one_update_has_the_last_size() -> None:
    twice = levels(("99", "0"), ("99", "7"), ("98", "5"), ("98", "0"))
    book = book_after(snapshot(), delta(bids=twice))
    assert sides(book)[0] == [("99", "7")]


def test_padded_levels_are_no_levels() -> None:
    padding = levels(("0", "0"), ("99", "1"), ("98", "0"))
    gone = levels(("500", "0"), ("101.0", "0"))
    book = book_after(snapshot(bids=padding), delta(bids=[], asks=gone))
    assert sides(book) == ([("99", "1")], [("102", "4")])


def test_levels_in_any_order_are_ranked() -> None:
    worst_first = levels(("103", "1"), ("101", "1"), ("102", "1"))
    assert book_after(snapshot(asks=worst_first)).summary(0).lowest_ask == 101


def test_a_crossed_book_is_kept() -> None:
    book = book_after(snapshot(), delta(bids=levels(("101.5", "1"))), delta())
    summary = book.summary(7)
    assert summary.is_crossed
    assert summary.spread == Decimal("-0.5")
    book.apply(delta(bids=levels(("101.5", "0"), ("101", "1"))))
    assert not book.summary(8).is_crossed  # a spread of zero is locked, not crossed


def test_summary_is_exact() -> None:
    asks = levels(("66619.980", "0.259115"), ("66620", "1E+1"))
    book = book_after(snapshot(42, bids=levels(("66609.22", "0.00160")), asks=asks))
    book.apply(delta(bids=[], asks=levels(("66621", "0.000000000001"))))
    book.apply(delta(bids=[], asks=levels(("66621", "0"))))
    summary = book.summary(1729678813578000000)
    assert [str(value) for value in summary.__struct_fields__] == [
        *("exchange", "symbol", "time_ns", "highest_bid", "lowest_ask", "spread"),
        *("total_bid_volume", "total_ask_volume", "bid_levels", "ask_levels"),
        *("is_crossed", "sequence"),
    ]
    assert msgspec.structs.astuple(summary) == (
        *("okx", SYMBOL, 1729678813578000000),
        *map(Decimal, ("66609.22", "66619.98", "10.76", "0.0016", "10.259115")),
        *(1, 2, False, 42),
    )


def test_an_empty_side_has_no_best_price_and_no_spread() -> None:
    summary = book_after(snapshot(asks=[])).summary(0)
    assert summary.highest_bid == 99
    assert summary.lowest_ask is summary.spread is None
    assert summary.total_ask_volume == summary.ask_levels == 0
    assert not summary.is_crossed
    assert book_after(snapshot(asks=[])).depths([100]) is None


def test_depths_are_the_volumes_up_to_a_distance_from_the_middle() -> None:
    # The middle is 100: 5 bps reach to 99.95 and 100.05, both included.
    bids = levels(("99.96", "1"), ("99.95", "2"), ("99.9499", "4"), ("99.5", "8"), ("90", "16"))
    asks = levels(("100.04", "1"), ("100.05", "2"), ("100.1", "4"), ("101", "8"), ("110", "16"))
    book = book_after(snapshot(bids=bids, asks=asks))
    assert book.depths([5, 10, 50, 100]) == [
        Depth(Decimal(3), Decimal(3), is_truncated=False),
        Depth(Decimal(7), Decimal(7), is_truncated=False),
        Depth(Decimal(15), Decimal(7), is_truncated=False),
        Depth(Decimal(15), Decimal(15), is_truncated=False),
    ]


@pytest.mark.parametrize(
    ("depth", "is_truncated"), [(None, True), (2, True), (3, False)], ids=["unsaid", "full", "less"]
)
def test_a_band_is_truncated_where_the_feed_may_have_more_levels_inside(
    depth: int | None, *, is_truncated: bool
) -> None:
    bids = levels(("99.99", "1"), ("99.98", "1"))
    asks = levels(("100.01", "1"), ("102", "1"))
    book = book_after(snapshot(bids=bids, asks=asks, depth=depth))
    assert book.depths([1, 5]) == [
        Depth(Decimal(1), Decimal(1), is_truncated=False),
        Depth(Decimal(2), Decimal(1), is_truncated=is_truncated),
    ]
    bids, asks = levels(("99.99", "1"), ("98", "1")), levels(("100.01", "1"), ("100.02", "1"))
    mirrored = book_after(snapshot(bids=bids, asks=asks, depth=depth))
    assert mirrored.depths([5]) == [Depth(Decimal(1), Decimal(2), is_truncated=is_truncated)]


@dataclass
class Replay:
    """Books of a feed, and what happened to them."""

    feed: Feed
    changes: int = 0
    errors: list[FeedError] = field(default_factory=list)
    books: dict[str, Book] = field(default_factory=dict)

    def play(self, frames: Iterable[bytes]) -> Replay:
        decoder = decoder_of(self.feed.exchange)
        for frame in frames:
            for update in decoder.decode_books(frame, self.feed):
                book = self.books.setdefault(update.symbol, Book(self.feed.exchange, update.symbol))
                try:
                    self.changes += book.apply(update)
                except FeedError as error:
                    self.errors.append(error)
        return self

    def sum(self, count: str) -> int:
        return sum(getattr(book, count) for book in self.books.values())


@pytest.mark.parametrize(
    ("exchange", "frames", "verified"),
    [
        ("okx", recording("okx"), 290),
        ("okx", lines("okx-orderbook.jsonl"), 26),
        ("okx", lines("okx-orderbook-swap.jsonl"), 12),
        ("kraken", recording("kraken-v1-book"), 2550),
        ("kraken", lines("kraken-v1-orderbook.jsonl"), 20),
        ("kraken", lines("kraken-orderbook.jsonl"), 11),
    ],
    ids=["okx", "okx-books", "okx-swap", "kraken-v1-book", "kraken-v1", "kraken-v2"],
)
def test_every_recorded_checksum_matches(exchange: str, frames: list[bytes], verified: int) -> None:
    replay = Replay(Feed(exchange)).play(frames)
    assert replay.errors == []
    assert (
        replay.sum("verified")
        == verified
        == sum(b'"checksum"' in f or b'"c":' in f for f in frames)
    )


@pytest.mark.parametrize(
    ("exchange", "name"), [("okx", "okx-orderbook"), ("kraken", "kraken-v1-orderbook")]
)
def test_a_lost_update_shows_in_the_checksum(exchange: str, name: str) -> None:
    frames = lines(f"{name}.jsonl")
    replay = Replay(Feed(exchange)).play(frames[:1] + frames[2:])
    assert isinstance(replay.errors[0], ChecksumMismatchError)
    assert "which the exchange sent" in str(replay.errors[0])
    assert not any(book.is_valid for book in replay.books.values())


def test_frames_that_a_collector_printed_anew_fail_their_checksum_unless_told() -> None:
    frames = lines("kraken-orderbook.jsonl")
    printed = [json.dumps(json.loads(frame)).encode() for frame in frames]
    assert Replay(Feed("kraken")).play(printed).errors
    book = Book("kraken", "BTC-USD")
    for frame in printed:
        for update in decoder_of("kraken").decode_books(frame, Feed("kraken")):
            book.apply(update, verify=False)
    assert book.is_valid
    assert book.verified == 0
    (exact,) = Replay(Feed("kraken")).play(frames).books.values()
    assert book.summary(0) == exact.summary(0)


@pytest.mark.parametrize(
    ("feed", "name", "changes"),
    [
        (Feed("binance", native_symbol="NKNUSDT"), "binance-orderbook", 30),
        (Feed("binance", "linear", "KEEPUSDT"), "binance-futures-orderbook", 26),
        (Feed("gateio", native_symbol="OMG_USDT"), "gateio-orderbook", 40),
    ],
    ids=["binance", "binance-futures", "gateio"],
)
@pytest.mark.parametrize("late", [0, 1, 2, 10])
def test_recorded_deltas_connect_to_their_rest_snapshot(
    feed: Feed, name: str, changes: int, late: int
) -> None:
    """However many deltas come before it; the final book is the same."""
    frames, rest = lines(f"{name}.jsonl"), lines(f"{name}-rest-snapshot.jsonl")
    replay = Replay(feed).play(frames[:late] + rest + frames[late:])
    at_once = Replay(feed).play(rest + frames)
    assert replay.errors == at_once.errors == []
    assert at_once.changes == changes
    (book,), (expected,) = replay.books.values(), at_once.books.values()
    assert book.summary(0) == expected.summary(0)
    assert (book.bids.sizes, book.asks.sizes) == (expected.bids.sizes, expected.asks.sizes)


@pytest.mark.parametrize(
    ("exchange", "name", "product"),
    [
        *(("okx", "okx", "spot"), ("kraken", "kraken-v1-book", "spot")),
        *(("upbit", "upbit", "spot"), ("bybit", "bybit-v2-inverse", "inverse")),
    ],
)
def test_recorded_books_agree_with_a_naive_one_at_every_step(
    exchange: str, name: str, product: Any
) -> None:
    feed, decoder = Feed(exchange, product=product), decoder_of(exchange)
    books: dict[str, tuple[Book, Naive]] = {}
    for frame in recording(name):
        for update in decoder.decode_books(frame, feed):
            new = Book(exchange, update.symbol), Naive()
            book, naive = books.setdefault(update.symbol, new)
            book.apply(update)
            naive.apply(update)
            if len(naive.bids) < 200 or update.is_snapshot:
                assert_agrees(book, naive)
    assert books
    assert all(book.is_valid and not book.summary(0).is_crossed for book, _ in books.values())


STEPS = st.lists(
    st.one_of(
        st.builds(snapshot, st.integers(0, 12)),
        st.builds(
            lambda at, size, *, is_late: delta(
                "consecutive",
                at + is_late,
                first_id=at,
                needs_snapshot=True,
                asks=levels(("101", size), ("100.5", size)),
            ),
            st.integers(0, 12),
            st.sampled_from(["0", "1.0", "2"]),
            is_late=st.booleans(),
        ),
    ),
    max_size=30,
)


@given(STEPS, st.integers(0, 30))
def test_a_restored_book_goes_on_as_the_one_it_was_taken_of(
    updates: list[BookUpdate], stored_at: int
) -> None:
    book = Book("binance", SYMBOL)
    for update in updates[:stored_at]:
        outcome(book, update)
    restored = Book("binance", SYMBOL, book.state())
    assert restored.state() == book.state()
    for update in updates[stored_at:]:
        assert outcome(restored, update) == outcome(book, update)
        assert restored.state() == book.state()


def outcome(book: Book, update: BookUpdate) -> object:
    try:
        return book.apply(update), book.is_valid, book.summary(0)
    except FeedError as error:
        return str(error), book.is_valid, book.summary(0)


def test_a_restored_book_still_has_every_digit_that_a_checksum_covers() -> None:
    frames = recording("kraken-v1-book")
    decoder, feed = decoder_of("kraken"), Feed("kraken")
    updates = [update for frame in frames for update in decoder.decode_books(frame, feed)]
    symbol = updates[0].symbol
    book = Book("kraken", symbol)
    verified = 0
    for at, update in enumerate(update for update in updates if update.symbol == symbol):
        if at % 5 == 0:
            verified += book.verified
            book = Book("kraken", symbol, book.state())
        book.apply(update)
    assert verified + book.verified > 20


def test_a_state_from_before_checksum_rules_were_facts_is_read() -> None:
    """Main at 55ad6ad stored the rule of a checksum with each waiting delta."""
    waiting = delta("consecutive", 12, first_id=11, needs_snapshot=True, asks=levels(("101", "3")))
    old = {**msgspec.to_builtins(waiting, builtin_types=(Decimal,)), "checksum_rule": None}
    state = Book("binance", SYMBOL).state()

    book = Book("binance", SYMBOL, (*state[:-1], msgspec.msgpack.encode([old])))
    book.apply(snapshot(10, sequence_rule="consecutive"))

    assert book.last_id == 12
