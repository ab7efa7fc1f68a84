"""Judging silence."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from connectors.collect.watch import (
    TICKER_LAG_MS,
    Backoff,
    ClockOffset,
    RateWatch,
    Rhythm,
    VolumeCheck,
    clock_verdict,
)


def test_a_busy_stream_is_silent_after_its_floor() -> None:
    rhythm = Rhythm(60_000)
    for second in range(100):
        rhythm.note(second * 1_000)
    assert not rhythm.is_silent(99_000 + 60_000)
    assert rhythm.is_silent(99_000 + 60_001)


def test_a_quiet_stream_is_given_twenty_times_its_usual_gap() -> None:
    rhythm = Rhythm(60_000)
    for minute in range(10):
        rhythm.note(minute * 60_000)
    assert not rhythm.is_silent(9 * 60_000 + 20 * 60_000)
    assert rhythm.is_silent(9 * 60_000 + 20 * 60_000 + 1)


def test_a_stream_without_data_has_no_rhythm_yet() -> None:
    assert not Rhythm(1).is_silent(10**12)


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(-500, 500)), min_size=1))
def test_the_offset_is_the_least_of_the_last_minute(seen: list[tuple[int, int]]) -> None:
    seen.sort()
    clock = ClockOffset()
    for received_ms, offset_ms in seen:
        clock.note(received_ms, received_ms - offset_ms)
    newest_ms = seen[-1][0]
    assert clock.offset_ms == min(o for at, o in seen if at >= newest_ms - 60_000)


def test_volume_that_rises_without_trades_tells_of_a_silent_stream() -> None:
    check = VolumeCheck()
    check.note(10_000, Decimal(100), None)
    assert not check.is_missing(10_500, None)
    check.note(11_000, Decimal(101), None)
    # No ticker comes any more: the time alone tells.
    assert not check.is_missing(21_000, None)
    assert check.is_missing(21_001, None)
    assert check.good_ms == 10_500 - TICKER_LAG_MS


def test_volume_that_falls_or_comes_with_a_trade_is_well() -> None:
    check = VolumeCheck()
    check.note(0, Decimal(100), 0)
    check.note(60_000, Decimal(90), 0)
    assert not check.is_missing(60_000, 0)
    check.note(61_000, Decimal(95), 60_900)
    assert not check.is_missing(61_000, 60_900)
    assert not check.is_missing(90_000, 60_900)
    assert check.good_ms == 60_900


@given(st.integers(1, 200), st.integers(1, 100), st.integers(0, 2_000))
def test_no_missing_trade_is_called_good(good: int, missing: int, lag_ms: int) -> None:
    """Trades come each 100 ms, then go on without being told; the ticker lags."""
    check, last_trade_ms, now_ms = VolumeCheck(), None, 0
    for number in range(good + missing):
        now_ms = 10_000 + number * 100
        if number < good:
            last_trade_ms = now_ms
        seen = max(0, number + 1 - lag_ms // 100)
        check.note(now_ms, Decimal(seen), last_trade_ms)
        check.is_missing(now_ms, last_trade_ms)
        first_missing_ms = 10_000 + good * 100
        assert (check.good_ms or 0) < first_missing_ms


def fallen_after(rates: dict[str, list[int]]) -> list[set[str]]:
    """Return who fell in each step."""
    watch: RateWatch[str] = RateWatch()
    counts, found = dict.fromkeys(rates, 0), []
    watch.note(counts)
    for step in zip(*rates.values(), strict=True):
        counts = {name: counts[name] + rate for name, rate in zip(rates, step, strict=True)}
        found.append(watch.note(counts))
    return found


def test_a_rate_that_falls_alone_is_told_once() -> None:
    found = fallen_after({"trade": [1_000] * 20 + [99] * 5, "ticker": [500] * 25})
    assert [step for step, names in enumerate(found) if names] == [22]
    assert found[22] == {"trade"}


def test_rates_that_fall_together_or_were_low_are_well() -> None:
    assert not any(fallen_after({"trade": [1_000] * 20 + [9] * 5, "ticker": [500] * 20 + [4] * 5}))
    assert not any(fallen_after({"trade": [9] * 20 + [0] * 5, "ticker": [500] * 25}))
    assert not any(fallen_after({"trade": [1_000] * 20 + [9] * 5}))
    assert not any(fallen_after({"trade": [1_000] * 5 + [9] * 3, "ticker": [500] * 8}))


def test_negative_offsets_of_many_exchanges_are_our_clock() -> None:
    assert clock_verdict({"okx": -20, "upbit": 5}) is None
    assert clock_verdict({"okx": -21, "upbit": 5}) == ("theirs", ["okx"])
    offsets_ms = {"okx": -21, "upbit": -300, "kraken": -50, "bybit": 9}
    assert clock_verdict(offsets_ms) == ("ours", ["kraken", "okx", "upbit"])


def test_waits_double_up_to_a_limit_and_begin_anew() -> None:
    backoff = Backoff(30)
    assert [backoff.next_seconds(1) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    backoff.reset()
    assert backoff.next_seconds(0.5) == 0.5
