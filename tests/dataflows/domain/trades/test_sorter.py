"""Event time of one exchange: what is in time, late, too late, or of the future."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.domain.coverage import Coverage
from dataflows.domain.event_time import EventTime, EventTimeState, Limits
from dataflows.domain.trades.sorter import TradeSorter
from schemas.records import Trade

MINUTE_NS = 60_000_000_000
SECOND_NS = 1_000_000_000
START_NS = 28_827_980 * MINUTE_NS
LIMITS = Limits(10 * SECOND_NS, 5 * MINUTE_NS, 60 * SECOND_NS)
ONE = Decimal(1)


def at(second: float, symbol: str = "A") -> Trade:
    time_ns = START_NS + int(second * SECOND_NS)
    return Trade(symbol, time_ns, time_ns, True, ONE, ONE, ONE)  # noqa: FBT003  # it is the value


def sorter(state: EventTimeState | None = None) -> TradeSorter:
    return TradeSorter("x", 0, LIMITS, EventTime(LIMITS, state), Coverage())


def take(clock: TradeSorter, *trades: Trade, logged_second: float = 1e6) -> list[str]:
    logged_ns = START_NS + int(logged_second * SECOND_NS)
    refused = clock.take_frames([(number, [trade]) for number, trade in enumerate(trades)],
                         lambda _: logged_ns)  # fmt: skip
    return [problem.partition(":")[0] for _, problem in refused]


def final_before(clock: TradeSorter) -> int:
    return clock.time.state()[1] - START_NS // MINUTE_NS


@pytest.mark.parametrize(("second", "minute"), [(69.9, 0), (70, 1), (130, 2), (129.999, 1)])
def test_a_minute_is_final_when_a_trade_is_past_its_end_by_the_lateness(
    second: float, minute: int
) -> None:
    clock = sorter()
    take(clock, at(0), at(second))

    assert final_before(clock) == minute


def test_a_trade_of_a_final_minute_is_late_and_behind_the_horizon_refused() -> None:
    clock = sorter()
    take(clock, at(0), at(600))

    assert take(clock, at(599), at(541), at(241)) == []
    assert take(clock, at(239.9)) == ["late"]

    (batch,) = clock.collect()
    assert [trade.time_ns for trade in batch.late] == [at(241).time_ns]


def test_the_future_is_measured_from_the_record() -> None:
    clock = sorter()

    assert take(clock, at(60), at(60.1), logged_second=0) == ["future"]
    assert clock.time.newest_ns == at(60).time_ns


def test_a_minute_s_activity_is_told_once_and_to_every_symbol_known() -> None:
    clock = sorter()
    take(clock, at(1, "A"), at(2, "B"))
    clock.collect()
    take(clock, at(75, "A"))

    told = {batch.key: batch.active for batch in clock.collect()}
    first = START_NS // MINUTE_NS
    assert told == {"x:A": (first,), "x:B": (first,)}
    take(clock, at(76, "A"))
    assert [batch.active for batch in clock.collect()] == [()]


SECONDS = st.lists(
    st.tuples(st.floats(0, 400, width=32), st.sampled_from("AB")), min_size=1, max_size=30
)


@given(trades=SECONDS, cuts=st.sets(st.integers(1, 29)))
def test_a_run_taken_at_once_is_as_its_trades_one_by_one(
    trades: list[tuple[float, str]], cuts: set[int]
) -> None:
    """Also where a batch ends, and where the state was stored and read again."""
    log = [at(second, symbol) for second, symbol in trades]

    def told(run: list[list[Trade]], *, at_once: bool) -> list[object]:
        clock = sorter()
        found: dict[object, object] = {}
        for part in run:
            if not (at_once and clock.take_run(part, START_NS + 10**15)):
                take(clock, *part)
            for batch in clock.collect():
                for minute, in_time in batch.runs:
                    found.setdefault((batch.key, minute), []).extend(in_time)  # type: ignore[attr-defined]
                found.setdefault((batch.key, "late"), []).extend(batch.late)  # type: ignore[attr-defined]
            clock = sorter(clock.time.state())
        clean = {key: value for key, value in found.items() if value}
        return [sorted(clean.items(), key=str), clock.time.state()[:2]]

    places = sorted({0, *(cut for cut in cuts if cut < len(log))})
    parts = [log[a:b] for a, b in zip(places, [*places[1:], None], strict=True)]

    assert told(parts, at_once=True) == told([[trade] for trade in log], at_once=False)
