"""Deduplication is a set's, whatever the ids and their order."""

from hypothesis import given
from hypothesis import strategies as st

from dataflows.domain.trades.trade_ids import TradeIdSet

# Close numbers meet, touch and fill each other's gaps; huge ones are other exchanges'.
IDS = st.lists(
    st.integers(-3, 30)
    | st.sampled_from([2**53, 2**53 + 1, 2**64, 2**64 + 1, 10**30])
    | st.sampled_from(["", "0", "1", "b", "8f8fe9db-eb13-26a5-dea2-a398d89e04a8"])
)


@given(IDS)
def test_an_id_is_new_exactly_where_a_set_does_not_have_it(ids: list[int | str]) -> None:
    seen, reference = TradeIdSet(), set[int | str]()

    for trade_id in ids:
        assert seen.add(trade_id) is (trade_id not in reference)
        reference.add(trade_id)


@given(IDS, IDS)
def test_a_restored_state_goes_on_as_the_original(
    before: list[int | str], after: list[int | str]
) -> None:
    original = TradeIdSet()
    for trade_id in before:
        original.add(trade_id)

    restored = TradeIdSet(original.state())

    assert [restored.add(i) for i in after] == [original.add(i) for i in after]


@given(st.permutations(range(40)))
def test_consecutive_numbers_are_one_interval_in_whatever_order_they_come(order: list[int]) -> None:
    seen = TradeIdSet()
    for trade_id in order:
        seen.add(trade_id)
    assert seen.state() == ([0], [39], [])


def test_a_gap_keeps_two_intervals_until_it_is_filled() -> None:
    seen = TradeIdSet()
    for trade_id in (1, 2, 4, 5):
        seen.add(trade_id)
    assert seen.state() == ([1, 4], [2, 5], [])

    seen.add(3)

    assert seen.state() == ([1], [5], [])


def test_a_number_and_its_text_are_two_ids() -> None:
    seen = TradeIdSet()
    assert seen.add(7)
    assert seen.add("7")
    assert not seen.add("7")


def test_a_state_is_a_copy() -> None:
    seen = TradeIdSet()
    seen.add(1)
    state = seen.state()

    seen.add(2)
    TradeIdSet(state).add(9)

    assert state == ([1], [1], [])


@given(st.lists(st.tuples(st.integers(-3, 30), st.integers(0, 6))))
def test_a_range_counts_the_ids_that_a_set_does_not_have(ranges: list[tuple[int, int]]) -> None:
    seen, one_by_one, reference = TradeIdSet(), TradeIdSet(), set[int]()
    for first, more in ranges:
        ids = range(first, first + more + 1)
        assert seen.add_range(ids[0], ids[-1]) == len(set(ids) - reference)
        reference.update(ids)
        for each in ids:
            one_by_one.add(each)
    assert seen.state() == one_by_one.state()
