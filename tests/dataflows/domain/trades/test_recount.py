"""Minutes counted again: the fold of the dataflow, and what of it says something new."""

from decimal import Decimal

from dataflows.domain.trades.recount import (
    RECOUNT,
    Recount,
    Stored,
    compare,
    next_recount,
    values_of,
)
from schemas.records import TakerVolume, Trade

MINUTE_NS = 60_000_000_000
FIRST = 28_827_980
START_NS = FIRST * MINUTE_NS
NOW_NS = START_NS + 3_600 * MINUTE_NS


def trade(symbol: str, number: int, second: float, size: str = "1") -> Trade:
    time_ns = START_NS + int(second * 1_000_000_000)
    value = Decimal(size)
    return Trade(symbol, number, time_ns, True, Decimal(2), value, 2 * value)  # noqa: FBT003  # it is the value


def end_of(minute: int) -> int:
    return START_NS + minute * MINUTE_NS


def table(rows: list[TakerVolume]) -> dict[tuple[str, int], int]:
    return {(row.symbol, row.minute // 60 - FIRST): row.buy_count for row in rows}


def test_trades_in_any_order_make_final_minutes() -> None:
    recount = Recount("binance", START_NS, {}, ())
    trades = [trade("A", 3, 61), trade("A", 1, 1), trade("A", 2, 59.999)]

    rows = recount.fold(trades, end_of(2), NOW_NS)

    assert table(rows) == {("A", 0): 2, ("A", 1): 1}
    assert all(row.is_final and row.revision == 1 and not row.late_trades for row in rows)


def test_the_last_minute_of_a_span_is_final_without_a_trade_behind_it() -> None:
    recount = Recount("binance", START_NS, {}, ())

    assert table(recount.fold([trade("A", 1, 119)], end_of(2), NOW_NS)) == {("A", 1): 1}
    assert recount.fold([], end_of(12), NOW_NS) == []


def test_a_symbol_that_was_known_is_zero_where_others_trade() -> None:
    recount = Recount("binance", START_NS, {"B": FIRST - 5}, [FIRST + 3])

    rows = recount.fold([trade("A", 1, 70), trade("A", 2, 310)], end_of(10), NOW_NS)

    assert table(rows) == {
        ("A", 1): 1, ("A", 3): 0, ("A", 5): 1, ("B", 1): 0, ("B", 3): 0, ("B", 5): 0,
    }  # fmt: skip


def test_only_what_says_something_new_is_changed() -> None:
    rows = Recount("binance", START_NS, {}, ()).fold(
        [trade("A", n, second) for n, second in enumerate((1, 61, 121, 122, 181))],
        end_of(4),
        NOW_NS,
    )
    stored = {
        ("A", rows[0].minute): Stored(values_of(rows[0]), 1, 7),  # the same, whatever its revision
        ("A", rows[1].minute): Stored((), 0, 1),  # less than the exchange has
        ("A", rows[2].minute): Stored((), 3, 1),  # more
    }

    verdict = compare(rows, stored, 2 * RECOUNT)

    assert verdict.same == 1
    assert verdict.fewer == [rows[2]]
    assert [(row.minute, row.revision) for row in verdict.changed] == [
        (rows[1].minute, 2 * RECOUNT + 1), (rows[3].minute, 2 * RECOUNT + 1),
    ]  # fmt: skip


def test_each_recount_outranks_the_one_before_and_all_that_the_dataflow_writes() -> None:
    assert next_recount([]) == RECOUNT
    assert next_recount([Stored((), 1, 1), Stored((), 1, 15)]) == RECOUNT
    assert next_recount([Stored((), 1, RECOUNT + 1)]) == 2 * RECOUNT


def test_an_equal_row_known_to_be_incomplete_is_written_as_complete() -> None:
    rows = Recount("binance", START_NS, {}, ()).fold([trade("A", 1, 1)], end_of(1), NOW_NS)
    for is_complete, written in ((False, 1), (None, 0), (True, 0)):
        stored = {("A", rows[0].minute): Stored(values_of(rows[0]), 1, 1, is_complete)}
        changed = compare(rows, stored, RECOUNT).changed
        assert [row.is_complete for row in changed] == [True] * written
