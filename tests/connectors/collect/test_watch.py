"""Judging silence."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from connectors.collect.watch import Backoff, ClockOffset, Rhythm, VolumeCheck


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
    assert not check.note(0, Decimal(100), None)
    assert not check.note(1_000, Decimal(101), None)
    assert not check.note(11_000, Decimal(101), None)
    assert check.note(11_001, Decimal(101), None)
    assert check.good_ms == 0


def test_volume_that_falls_or_comes_with_a_trade_is_well() -> None:
    check = VolumeCheck()
    check.note(0, Decimal(100), 0)
    assert not check.note(60_000, Decimal(90), 0)
    assert not check.note(61_000, Decimal(95), 60_900)
    assert not check.note(90_000, Decimal(95), 60_900)


def test_waits_double_up_to_a_limit_and_begin_anew() -> None:
    backoff = Backoff(30)
    assert [backoff.next_seconds(1) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    backoff.reset()
    assert backoff.next_seconds(0.5) == 0.5
