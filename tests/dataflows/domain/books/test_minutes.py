from __future__ import annotations

import pickle
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.domain.books.averages import Average
from dataflows.domain.books.book import Book
from dataflows.domain.books.minutes import BookMinutes
from schemas.errors import FeedError, SequenceGapError
from schemas.exchanges import decoder_of
from schemas.feeds import Feed
from schemas.records import BANDS_BPS, BookMinute, BookUpdate
from schemas.times import NS_PER_MINUTE
from tests.schemas.exchanges.frames import recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from schemas.records import BookSummary, Level

SYMBOL = "BTC-USDT"
SECOND_NS = 1_000_000_000
# 2024-10-23 10:20 UTC, as a count of minutes.
START = 28_827_980
# Minutes in which the exchange had data, for a feed of the generated length.
ALIVE = range(START - 1, START + 60)


def at(seconds: float, minute: int = START) -> int:
    return minute * NS_PER_MINUTE + round(seconds * SECOND_NS)


def levels(*pairs: tuple[str, str]) -> list[Level]:
    return [(Decimal(price), Decimal(size)) for price, size in pairs]


def full(bid: str, ask: str, bid_size: str = "1", ask_size: str = "1") -> BookUpdate:
    """A whole book of one level a side; an empty price leaves the side empty."""
    bids = levels((bid, bid_size)) if bid else []
    asks = levels((ask, ask_size)) if ask else []
    return BookUpdate(SYMBOL, 0, is_snapshot=True, bids=bids, asks=asks)


def gap() -> BookUpdate:
    """A delta that follows nothing that came before."""
    return numbered(BookUpdate(SYMBOL, 0, is_snapshot=False, bids=[], asks=[]), 10**9)


def numbered(update: BookUpdate, last_id: int) -> BookUpdate:
    return msgspec.structs.replace(update, sequence_rule="plus_one", last_id=last_id)


def minutes_after(*steps: tuple[float, BookUpdate]) -> BookMinutes:
    """Updates by seconds since the start."""
    minutes = BookMinutes("okx", SYMBOL)
    for seconds, update in steps:
        with suppress(FeedError):
            minutes.apply(update, at(seconds))
    return minutes


def only_row(minutes: BookMinutes) -> BookMinute:
    (row,) = minutes.finish(START + 1, [])
    return row


def test_spread_is_averaged_by_the_time_that_it_lasted() -> None:
    # 2 for 15 s, 1 for 30 s, 4 for 15 s: (30 + 30 + 60) / 60.
    row = only_row(
        minutes_after((0, full("99", "101")), (15, full("99.5", "100.5")), (45, full("98", "102")))
    )
    assert row.spread_twa == 2
    assert [row.spread_min, row.spread_max, row.spread] == [1, 4, 4]
    # The middle is 100 throughout: a spread of 1 is 100 basis points.
    assert row.spread_bps_twa == 200
    assert [row.highest_bid, row.lowest_ask] == [98, 102]
    assert [row.minute, row.updates, row.valid_ms, row.gaps] == [START * 60, 3, 60_000, 0]


def test_volumes_and_imbalance_are_averaged_by_time() -> None:
    # Bids 1 for 20 s and 4 for 40 s, asks 3: imbalances -1/2 and 1/7.
    row = only_row(minutes_after((0, full("9", "11", "1", "3")), (20, full("9", "11", "4", "3"))))
    assert [row.total_bid_volume, row.total_bid_volume_min, row.total_bid_volume_max] == [4, 1, 4]
    assert [row.total_bid_volume_twa, row.total_ask_volume_twa] == [3, 3]
    assert [row.total_ask_volume_min, row.total_ask_volume_max] == [3, 3]
    assert row.imbalance == Decimal("0.142857142857")
    assert row.imbalance_twa == Decimal("-0.071428571429")  # (-1/2 * 20 + 1/7 * 40) / 60


def test_averages_are_over_the_time_in_which_the_book_was_valid() -> None:
    minutes = minutes_after((30, full("99", "101")), (50, full("98", "102")))
    row = only_row(minutes)
    assert row.spread_twa == Decimal("2.666666666667")  # (2 * 20 + 4 * 10) / 30
    assert row.valid_ms == 30_000


def test_a_gap_ends_the_valid_time_until_the_next_snapshot() -> None:
    first, later = numbered(full("99", "101"), 1), numbered(full("97", "103"), 2)
    row = only_row(minutes_after((0, first), (10, gap()), (20, gap()), (40, later)))
    assert [row.gaps, row.updates, row.valid_ms] == [1, 2, 30_000]
    assert row.spread_twa == Decimal("4.666666666667")  # (2 * 10 + 6 * 20) / 30


def test_a_snapshot_too_old_to_help_is_no_second_gap() -> None:
    def rest(last_id: int) -> BookUpdate:
        return msgspec.structs.replace(full("99", "101"), last_id=last_id)

    def diff(last_id: int) -> BookUpdate:
        return BookUpdate(
            *(SYMBOL, 0, False, levels(("98", str(last_id))), []),
            sequence_rule="consecutive",
            first_id=last_id,
            last_id=last_id,
            needs_snapshot=True,
        )

    minutes = minutes_after((0, rest(1)), (10, diff(2)), (20, diff(9)), (30, rest(5)))
    assert not minutes.book.is_valid
    minutes.apply(rest(8), at(40))
    row = only_row(minutes)
    assert (row.gaps, row.updates, row.valid_ms) == (1, 3, 40_000)


def test_a_book_that_was_lost_shows_its_last_valid_state_but_no_depth() -> None:
    row = only_row(minutes_after((0, numbered(full("99", "101"), 1)), (45, gap())))
    assert [row.highest_bid, row.spread, row.gaps, row.valid_ms] == [99, 2, 1, 45_000]
    assert row.depth_100bps_bid is None
    assert row.depth_100bps_truncated is None


def test_a_lost_book_makes_no_more_rows_until_it_is_back() -> None:
    minutes = minutes_after((0, numbered(full("99", "101"), 1)), (45, gap()), (190, gap()))
    minutes.apply(numbered(full("1", "2"), 5), at(200))
    rows = minutes.finish(START + 4, range(START, START + 4))
    assert [(row.minute // 60 - START, row.valid_ms) for row in rows] == [(0, 45_000), (3, 40_000)]
    assert rows[1].spread_max == 1


def test_a_book_lost_at_once_is_a_row_of_nothing_with_a_gap() -> None:
    first = numbered(full("99", "101"), 1)
    minutes = minutes_after((0, first), (60, gap()))
    rows = minutes.finish(START + 2, [])
    assert [[row.gaps, row.valid_ms, row.spread] for row in rows] == [
        [0, 60_000, 2],
        [1, 0, None],
    ]
    assert rows[1].spread_twa is rows[1].spread_min is rows[1].imbalance_twa is None


def test_the_state_at_the_start_of_a_minute_is_the_last_one_before_it() -> None:
    minutes = minutes_after((50, full("99", "101")), (75, full("98", "102")))
    first, second = minutes.finish(START + 2, [])
    assert [first.spread_twa, first.valid_ms] == [2, 10_000]
    assert second.spread_twa == Decimal("3.5")  # (2 * 15 + 4 * 45) / 60
    assert [second.spread_min, second.updates, second.valid_ms] == [2, 1, 60_000]


def test_a_state_that_ended_where_the_minute_starts_is_not_in_it() -> None:
    minutes = minutes_after((50, full("99", "101")), (60, full("98", "102")))
    assert minutes.finish(START + 2, [])[1].spread_min == 4


def test_a_state_that_lasted_no_time_counts_for_the_extremes() -> None:
    row = only_row(
        minutes_after((0, full("99", "101")), (9, full("90", "110")), (9, full("99", "101")))
    )
    assert [row.spread_max, row.spread_twa, row.updates] == [20, 2, 3]


def test_updates_of_the_same_time_are_in_order() -> None:
    minutes = minutes_after((9, full("90", "110")), (9, full("99", "101")))
    assert only_row(minutes).highest_bid == 99


def test_a_state_of_a_minute_that_keeps_what_was_before_counts_for_its_extremes() -> None:
    same_spread = full("99", "101", "2")
    minutes = minutes_after((50, full("99", "101")), (60, same_spread), (60, full("98", "102")))
    row = minutes.finish(START + 2, [])[1]
    assert [row.spread_min, row.spread_twa] == [2, 4]


def test_quiet_minutes_of_a_live_book_are_rows_where_the_exchange_was_alive() -> None:
    minutes = minutes_after((30, full("99", "101")), (60 * 7 + 1, full("98", "102")))
    alive = [START, START + 2, START + 3, START + 7]
    rows = minutes.finish(START + 8, alive)
    assert [row.minute // 60 - START for row in rows] == [0, 2, 3, 7]
    assert [row.updates for row in rows] == [1, 0, 0, 1]
    assert [row.valid_ms for row in rows] == [30_000, 60_000, 60_000, 60_000]
    assert [row.spread_twa for row in rows[:3]] == [2, 2, 2]


def test_a_quiet_minute_is_a_row_when_the_watermark_passes_it() -> None:
    minutes = minutes_after((30, full("99", "101")))
    assert [row.updates for row in minutes.finish(START + 1, [START])] == [1]
    (quiet,) = minutes.finish(START + 2, [START + 1])
    assert [quiet.minute, quiet.updates, quiet.spread_min] == [(START + 1) * 60, 0, 2]
    assert quiet.depth_100bps_bid == 1
    assert minutes.finish(START + 3, []) == []  # an outage, for all that is known
    minutes.apply(full("98", "102"), at(60 * 3 + 30))
    (last,) = minutes.finish(START + 4, [START + 3])
    assert [last.spread_twa, last.valid_ms] == [3, 60_000]


def test_a_quiet_run_is_split_where_it_becomes_final() -> None:
    minutes = minutes_after((30, full("99", "101")), (60 * 5, full("98", "102")))
    everything = range(START, START + 9)
    found = [
        [row.minute // 60 - START for row in minutes.finish(START + before, everything)]
        for before in (1, 3, 3, 6)
    ]
    assert found == [[0], [1, 2], [], [3, 4, 5]]


def test_a_minute_is_not_written_before_it_is_final() -> None:
    minutes = minutes_after((0, full("99", "101")), (61, full("98", "102")))
    assert minutes.finish(START, [START]) == []
    assert len(minutes.finish(START + 1, [START])) == 1
    assert minutes.finish(START + 1, [START]) == []


def test_an_update_stamped_before_the_last_one_counts_from_there() -> None:
    minutes = minutes_after((30, full("99", "101")), (10, full("98", "102")))
    row = only_row(minutes)
    assert [row.spread_twa, row.valid_ms, row.spread_max] == [4, 30_000, 4]


def test_an_update_of_a_final_minute_counts_from_the_first_open_one() -> None:
    minutes = minutes_after((30, full("99", "101")))
    minutes.finish(START + 1, [])
    minutes.apply(full("98", "102"), at(59))
    (row,) = minutes.finish(START + 2, [])
    assert [row.minute, row.spread_twa, row.valid_ms] == [(START + 1) * 60, 4, 60_000]


def test_crossed_time_and_updates_are_counted_and_the_spread_is_negative() -> None:
    row = only_row(
        minutes_after(
            *((0, full("99", "101")), (20, full("102", "101")), (25, full("103", "101"))),
            (30.0005, full("99", "101")),
        )
    )
    assert [row.crossed, row.crossed_ms, row.updates] == [2, 10_000, 4]
    assert [row.spread_min, row.spread_max] == [-2, 2]


def test_a_one_sided_book_is_valid_but_has_no_spread() -> None:
    row = only_row(minutes_after((0, full("99", "101", "2")), (30, full("99", "", "4"))))
    assert row.valid_ms == 60_000
    assert row.spread is row.lowest_ask is row.depth_5bps_bid is None
    assert [row.spread_twa, row.spread_min, row.spread_max] == [2, 2, 2]
    assert [row.total_bid_volume_twa, row.total_ask_volume, row.imbalance] == [3, 0, 1]


def test_an_empty_book_has_no_imbalance() -> None:
    row = only_row(minutes_after((0, full("", ""))))
    assert [row.total_bid_volume_twa, row.updates, row.valid_ms] == [0, 1, 60_000]
    assert row.imbalance is row.imbalance_twa is None


def test_an_update_that_changes_nothing_is_not_counted() -> None:
    row = only_row(minutes_after((0, full("99", "101")), (30, full("99", "101"))))
    assert [row.updates, row.spread_twa] == [1, 2]


def test_depth_is_that_of_the_last_state_of_the_minute() -> None:
    # The middle is 1000 at the end: 5 bps are 0.5, 100 bps are 10.
    bids = levels(("999.6", "1"), ("999", "2"), ("997.5", "4"), ("995", "8"), ("990", "16"))
    asks = levels(("1000.4", "1"), ("1000.5", "2"), ("1002", "4"), ("1010.1", "8"))
    last = BookUpdate(SYMBOL, 0, is_snapshot=True, bids=bids, asks=asks)
    minutes = minutes_after((0, full("1", "2")), (59, last), (60, full("5", "6")))
    row = minutes.finish(START + 2, [])[0]
    depths = [
        tuple(getattr(row, f"depth_{bps}bps_{what}") for what in ("bid", "ask", "truncated"))
        for bps in BANDS_BPS
    ]
    assert depths == [
        (1, 3, False),
        (3, 3, False),
        (7, 7, False),
        (15, 7, False),
        (31, 7, True),
    ]


def test_an_average_of_nothing_is_none() -> None:
    average = Average(None, 0)
    average.set(Decimal(5), 10)
    assert average.mean() is None
    assert [average.lowest, average.highest] == [5, 5]


class Observed(NamedTuple):
    """The state of a book from some time on, as a separate book has it."""

    time_ns: int
    is_valid: bool
    summary: BookSummary
    has_changed: bool
    is_gap: bool


def observe(steps: Iterable[tuple[int, BookUpdate]]) -> list[Observed]:
    book, now_ns, observed = Book("okx", SYMBOL), 0, []
    for time_ns, update in steps:
        now_ns = max(now_ns, time_ns)
        has_changed = is_gap = False
        try:
            has_changed = book.apply(update)
        except SequenceGapError:
            is_gap = True
        summary = book.summary(now_ns)
        observed.append(Observed(now_ns, book.is_valid, summary, has_changed, is_gap))
    return observed


def rounded(value: Fraction | None) -> Decimal | None:
    """Half-even to 12 decimals, with nothing but integers."""
    return None if value is None else Decimal(round(value * 10**12)).scaleb(-12)


def spread_of(summary: BookSummary) -> Fraction | None:
    return None if summary.spread is None else Fraction(summary.spread)


def spread_bps_of(summary: BookSummary) -> Fraction | None:
    if summary.highest_bid is None or summary.lowest_ask is None or summary.spread is None:
        return None
    middle = (Fraction(summary.highest_bid) + Fraction(summary.lowest_ask)) / 2
    return Fraction(summary.spread) / middle * 10_000


def imbalance_of(summary: BookSummary) -> Fraction | None:
    bids, asks = Fraction(summary.total_bid_volume), Fraction(summary.total_ask_volume)
    return (bids - asks) / (bids + asks) if bids + asks else None


VALUES: dict[str, Callable[[BookSummary], Fraction | None]] = {
    "spread": spread_of,
    "spread_bps": spread_bps_of,
    "total_bid_volume": lambda summary: Fraction(summary.total_bid_volume),
    "total_ask_volume": lambda summary: Fraction(summary.total_ask_volume),
    "imbalance": imbalance_of,
}


def expected_minute(observed: list[Observed], minute: int) -> dict[str, Any]:
    """The minute from first principles: every state, and how much of it was inside."""
    start_ns, end_ns = minute * NS_PER_MINUTE, (minute + 1) * NS_PER_MINUTE
    ends = [*(state.time_ns for state in observed), 10**30][1:]
    spans = [
        (state, min(end, end_ns) - max(state.time_ns, start_ns))
        for state, end in zip(observed, ends, strict=True)
        if state.time_ns < end_ns and end >= start_ns and state.is_valid
    ]
    inside = [state for state in observed if start_ns <= state.time_ns < end_ns]
    row: dict[str, Any] = {
        "updates": sum(state.has_changed for state in inside),
        "gaps": sum(state.is_gap for state in inside),
        "crossed": sum(state.has_changed and state.summary.is_crossed for state in inside),
        "valid_ms": sum(span for _, span in spans) // 10**6,
        "crossed_ms": sum(span for state, span in spans if state.summary.is_crossed) // 10**6,
    }
    for name, value_of in VALUES.items():
        weighed = [(value_of(state.summary), span) for state, span in spans]
        known = [(value, span) for value, span in weighed if value is not None]
        weight = sum(span for _, span in known)
        row[f"{name}_twa"] = rounded(
            sum((value * span for value, span in known), Fraction()) / weight if weight else None
        )
        seen = [
            value
            for state, span in spans
            if (value := value_of(state.summary)) is not None
            # What changes nothing makes no new state, even at the very start of a minute.
            and (span or (start_ns <= state.time_ns and state.has_changed))
        ]
        row[f"{name}_min"], row[f"{name}_max"] = min(seen, default=None), max(seen, default=None)
    return {name: value for name, value in row.items() if name in BookMinute.__struct_fields__}


PRICES = st.integers(1, 12).map(lambda units: Decimal(units) / 4)
SIZES = st.sampled_from(["0", "1", "2.50", "0.000001", "7"]).map(Decimal)
LEVELS = st.lists(st.tuples(PRICES, SIZES), max_size=3)


@st.composite
def feeds(draw: st.DrawFn) -> list[tuple[int, BookUpdate]]:
    """Updates of a feed over some minutes, out of order at times, with lost ones."""
    time_ns, last_id, steps = START * NS_PER_MINUTE, 0, []
    jumps = st.sampled_from([0, 1, 999_999_999, 20 * SECOND_NS, NS_PER_MINUTE, 150 * SECOND_NS])
    for _ in range(draw(st.integers(0, 12))):
        time_ns += draw(jumps)
        behind_ns = draw(st.sampled_from([0, 0, 0, 5 * SECOND_NS]))
        last_id += draw(st.sampled_from([1, 1, 1, 1, 2]))
        is_snapshot = draw(st.sampled_from([True, False, False]))
        bids, asks = draw(LEVELS), draw(LEVELS)
        update = BookUpdate(SYMBOL, 0, is_snapshot, bids, asks)
        steps.append((time_ns - behind_ns, numbered(update, last_id)))
    return steps


def apply(minutes: BookMinutes, steps: Iterable[tuple[int, BookUpdate]]) -> None:
    for time_ns, update in steps:
        with suppress(SequenceGapError):
            minutes.apply(update, time_ns)


@given(feeds())
def test_every_row_is_what_a_naive_recomputation_gives(
    steps: list[tuple[int, BookUpdate]],
) -> None:
    minutes, observed = BookMinutes("okx", SYMBOL), observe(steps)
    apply(minutes, steps)
    rows = {row.minute // 60: row for row in minutes.finish(START + 40, ALIVE)}
    for minute in range(START - 1, START + 40):
        expected = expected_minute(observed, minute)
        if minute in rows:
            row = rows[minute]
            assert {name: getattr(row, name) for name in expected} == expected
        else:
            assert not any(expected[name] for name in ("updates", "gaps", "valid_ms"))


@given(feeds())
def test_last_values_are_those_of_the_last_valid_state(
    steps: list[tuple[int, BookUpdate]],
) -> None:
    minutes, observed = BookMinutes("okx", SYMBOL), observe(steps)
    apply(minutes, steps)
    for row in minutes.finish(START + 40, ALIVE):
        end_ns = row.minute * SECOND_NS + NS_PER_MINUTE
        valid = [state for state in observed if state.is_valid and state.time_ns < end_ns]
        last = valid[-1].summary
        if row.valid_ms or row.updates:
            found = row.highest_bid, row.lowest_ask, row.spread
            assert found == (last.highest_bid, last.lowest_ask, last.spread)
            assert row.total_bid_volume == last.total_bid_volume
            assert row.imbalance == rounded(imbalance_of(last))


@given(feeds(), st.lists(st.booleans(), min_size=12, max_size=12))
def test_rows_do_not_depend_on_when_the_watermark_is_told(
    steps: list[tuple[int, BookUpdate]], told: list[bool]
) -> None:
    at_the_end, rows = BookMinutes("okx", SYMBOL), []
    apply(at_the_end, steps)
    piecemeal = BookMinutes("okx", SYMBOL)
    for step, is_told in zip(steps, told, strict=False):
        apply(piecemeal, [step])
        if is_told:  # no later than a reader with a lateness of six seconds would
            final_before = (piecemeal.time_ns - 6 * SECOND_NS) // NS_PER_MINUTE
            rows += piecemeal.finish(final_before, ALIVE)
    rows += piecemeal.finish(START + 40, ALIVE)
    assert rows == at_the_end.finish(START + 40, ALIVE)


@given(feeds(), st.integers(0, 12))
def test_a_restored_minute_goes_on_as_the_one_it_was_taken_of(
    steps: list[tuple[int, BookUpdate]], stored_at: int
) -> None:
    minutes = BookMinutes("okx", SYMBOL)
    apply(minutes, steps[:stored_at])
    stored = pickle.dumps(minutes.state())
    restored = BookMinutes("okx", SYMBOL, pickle.loads(stored))  # noqa: S301  # our own bytes
    assert restored.state() == minutes.state()
    for each in (minutes, restored):
        apply(each, steps[stored_at:])
    rows = minutes.finish(START + 40, ALIVE)
    found = restored.finish(START + 40, ALIVE)
    assert list(map(repr, found)) == list(map(repr, rows))  # to the last digit


@pytest.mark.parametrize(
    ("exchange", "product"), [("okx", "spot"), ("upbit", "spot"), ("bybit-v2-inverse", "inverse")]
)
def test_recorded_minutes_are_what_a_naive_recomputation_gives(exchange: str, product: Any) -> None:
    feed = Feed(exchange.partition("-")[0], product=product)
    decoder = decoder_of(feed.exchange)
    updates = [
        update for frame in recording(exchange) for update in decoder.decode_books(frame, feed)
    ]
    for symbol in sorted({update.symbol for update in updates}):
        steps = [(u.time_ns or 0, u) for u in updates if u.symbol == symbol]
        minutes, observed = BookMinutes(feed.exchange, symbol), observe(steps)
        apply(minutes, steps)
        last = observed[-1].time_ns // NS_PER_MINUTE
        rows = minutes.finish(last + 1, [])
        assert sum(row.updates for row in rows) == sum(state.has_changed for state in observed)
        for row in rows:
            expected = expected_minute(observed, row.minute // 60)
            assert {name: getattr(row, name) for name in expected} == expected
