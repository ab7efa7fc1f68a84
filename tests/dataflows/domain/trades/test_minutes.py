"""The minutes of one symbol: what becomes of them when they are final, stored, and revised."""

import copy
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dataflows.domain.trades.minutes import SymbolMinutes, TradeBatch
from schemas.records import TakerVolume, Trade, TradeId
from schemas.times import NS_PER_MINUTE

AT = 29_000_000
HORIZON_MINUTES = 5
IDS = st.integers(0, 60) | st.integers(10**38, 10**38 + 20) | st.sampled_from(["a", "b-1", "ü"])


def trade(trade_id: TradeId, at: int = AT, size: str = "1.50", *, buys: bool = True) -> Trade:
    price = Decimal("100.10")
    time_ns = at * NS_PER_MINUTE + (trade_id if isinstance(trade_id, int) else 7) % NS_PER_MINUTE
    return Trade("A-B", trade_id, time_ns, buys, price, Decimal(size), price * Decimal(size))


def batch(final_before: int, *trades: Trade, late: list[Trade] | None = None) -> TradeBatch:
    runs: dict[int, list[Trade]] = {}
    for each in trades:
        runs.setdefault(each.time_ns // NS_PER_MINUTE, []).append(each)
    return TradeBatch("okx:A-B", list(runs.items()), late or [], final_before)


def restarted(minutes: SymbolMinutes) -> SymbolMinutes:
    return SymbolMinutes("okx", "A-B", HORIZON_MINUTES, state=copy.deepcopy(minutes.state()))


def test_a_late_trade_revises_a_minute_that_was_final_and_stored() -> None:
    minutes = SymbolMinutes("okx", "A-B", HORIZON_MINUTES)
    (final,) = minutes.fold(batch(AT + 1, trade(1), trade(10**38)))

    (revised,) = restarted(minutes).fold(batch(AT + 1, late=[trade(2), trade(1)]))

    assert (final.revision, final.buy_count, str(final.taker_buy_volume)) == (1, 2, "3.00")
    assert (revised.revision, revised.buy_count, revised.duplicate_trades) == (2, 3, 1)
    assert str(revised.taker_buy_volume) == "4.50"


def test_minutes_beyond_the_horizon_are_forgotten_a_step_later() -> None:
    minutes = SymbolMinutes("okx", "A-B", HORIZON_MINUTES)
    for at in range(AT, AT + 20):
        minutes.fold(batch(at, trade(at, at)))

    kept = minutes.state()[3]

    assert sorted(kept) == list(range(AT + 18 - HORIZON_MINUTES, AT + 20))


def test_the_state_of_the_first_version_is_read() -> None:
    price, time_ns = Decimal("100.10"), AT * NS_PER_MINUTE + 1
    packed: Any = (
        Decimal("1.50"), Decimal(0), Decimal("150.150"), Decimal(0), 1, 0,
        price, price, price, price, time_ns, time_ns, 1, 1, 0, 0, ([1], [1], []),
    )  # fmt: skip
    state = (1, AT, AT + 1, {AT: packed, AT + 1: packed})

    minutes = SymbolMinutes("okx", "A-B", HORIZON_MINUTES, state=state)

    (revised,) = minutes.fold(batch(AT + 1, late=[trade(1), trade(2)]))
    assert (revised.buy_count, revised.duplicate_trades) == (2, 1)
    (final,) = minutes.fold(batch(AT + 2))
    assert (final.minute, final.buy_count) == ((AT + 1) * 60, 1)


@given(
    st.lists(
        st.tuples(IDS, st.integers(0, 9), st.booleans(), st.sampled_from(["1", "0.10", "2E+3"])),
        max_size=60,
    )
)
def test_a_restart_at_any_place_does_not_show(
    drawn: list[tuple[TradeId, int, bool, str]],
) -> None:
    one = other = SymbolMinutes("okx", "A-B", HORIZON_MINUTES)
    final_before = AT
    rows: tuple[list[TakerVolume], list[TakerVolume]] = ([], [])
    for trade_id, ahead, buys, size in drawn:
        at = max(final_before + ahead - HORIZON_MINUTES, AT)
        made = trade(trade_id, at, size, buys=buys)
        final_before = max(final_before, at)
        taken = batch(final_before, made) if at >= final_before else batch(
            final_before, late=[made]
        )  # fmt: skip
        rows[0].extend(one.fold(taken))
        rows[1].extend(other.fold(taken))
        other = restarted(other)
    assert rows[0] == rows[1]


class Plain(SymbolMinutes):
    """The plain way alone."""

    __slots__ = ()

    def _fold_quiet_fast(self, batch: TradeBatch) -> None:
        del batch


WHOLE_MS = (AT + 20) * 60_000
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 1, 2, 30, 1_500]),  # minutes that pass
        st.sampled_from([0, 0, 0, 1, 3]),  # how far a silence closes ahead
        st.sampled_from(["nothing", "nothing", "trade", "late"]),
        st.sets(st.integers(0, 4), max_size=3),  # which of the minutes before were active
        st.integers(0, 1),
        st.sampled_from([None, None, None, [(0, None, ())], [(0, None, ()), (WHOLE_MS, True, ())]]),
    ),
    max_size=40,
)


@given(STEPS)
def test_quiet_minutes_closed_fast_are_as_those_closed_plainly(
    steps: list[tuple[int, int, str, set[int], int, Any]],
) -> None:
    fast, plain = (kind("okx", "A-B", HORIZON_MINUTES) for kind in (SymbolMinutes, Plain))
    at = AT
    for number, (passed, ahead, what, active, partition, spans) in enumerate(steps):
        at += passed
        made = TradeBatch(
            "okx:A-B",
            [(at, [trade(number, at)])] if what == "trade" else [],
            [trade(number, at - 1)] if what == "late" else [],
            at,
            at + ahead,
            partition,
            tuple(sorted(at + ahead - 1 - back for back in active)),
            (spans, AT + 3 * (number % 2)) if spans else None,
        )
        assert fast.fold(made) == plain.fold(made)
        assert fast.state() == plain.state()
