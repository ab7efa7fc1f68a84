from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DecodeError
from schemas.times import (
    ns_of_kst,
    ns_of_ms,
    ns_of_ms_or_us,
    ns_of_rfc3339,
    ns_of_seconds,
    ns_of_us,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected_ns"),
    [
        (1618678262712, 1618678262_712_000_000),
        ("1618678262712", 1618678262_712_000_000),
        ("1606292218213.4578", 1606292218_213_457_800),
        ("1606292218213.", 1606292218_213_000_000),
        (Decimal("1.730618524102E12"), 1730618524_102_000_000),
        (Decimal("1730618524102.0"), 1730618524_102_000_000),
        # A float that Python printed: what is below a nanosecond is cut off.
        ("1606292218213.457763671875", 1606292218_213_457_763),
        ("1606292218213." + "9" * 40, 1606292218_213_999_999),
    ],
)
def test_milliseconds(value: int | str | Decimal, expected_ns: int) -> None:
    assert ns_of_ms(value) == expected_ns


def test_seconds_keep_their_fraction() -> None:
    assert ns_of_seconds("1534614248.765567") == 1534614248_765_567_000
    assert ns_of_seconds(Decimal("1534614248.765567")) == 1534614248_765_567_000
    assert ns_of_seconds(1606292218) == 1606292218_000_000_000


def test_microseconds() -> None:
    assert ns_of_us("1628835823604483") == 1628835823_604_483_000
    assert ns_of_us(1790133505546514) == 1790133505_546_514_000


def test_milliseconds_and_microseconds_are_told_apart_by_size() -> None:
    assert ns_of_ms_or_us(1691530805062) == 1691530805_062_000_000
    assert ns_of_ms_or_us(1691530805062000) == 1691530805_062_000_000
    assert ns_of_ms_or_us("1691530805062") == 1691530805_062_000_000
    assert ns_of_ms_or_us("1691530805062000") == 1691530805_062_000_000


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, True, 1618678262, 1618678262712000, 10**4000, "", "x", "-1", " 1618678262712"),
        *(
            "1_618678262712",
            "\uff11618678262712",
            "1e12",
            "9" * 5000,
            "1618678262712.x",
            "NaN",
        ),
        *map(Decimal, ("NaN", "sNaN", "Infinity", "-Infinity", "1e999999", "1e-999999", "-0", "0")),
        *("1." + "0" * 5000, Decimal("9" * 5000)),
    ],
)
def test_a_wrong_unit_or_no_number_is_refused(value: int | str | Decimal) -> None:
    with pytest.raises(DecodeError, match="milliseconds") as caught:
        ns_of_ms(value)
    assert len(str(caught.value)) < 200


def test_the_bounds_are_the_years_2009_to_2100() -> None:
    assert ns_of_seconds(1230768000) == 1230768000_000_000_000
    assert ns_of_ms("4133980799999.999999") == 4133980799_999_999_999
    for outside in (1230767999, 4133980800):
        with pytest.raises(DecodeError, match="2009 to 2100"):
            ns_of_seconds(outside)


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("2021-04-17T16:51:02Z", 1618678262_000_000_000),
        ("2021-04-17T16:51:02.7Z", 1618678262_700_000_000),
        ("2021-04-17T16:51:02.123456Z", 1618678262_123_456_000),
        ("2021-04-17T16:51:02.123456789Z", 1618678262_123_456_789),
        ("2021-04-17T16:51:02.1234567899Z", 1618678262_123_456_789),
        ("2021-04-17t16:51:02z", 1618678262_000_000_000),
        ("2021-04-18T01:51:02+09:00", 1618678262_000_000_000),
        ("2021-04-17T11:21:02-05:30", 1618678262_000_000_000),
        ("2024-02-29T00:00:00Z", 1709164800_000_000_000),
    ],
)
def test_rfc3339(text: str, expected_ns: int) -> None:
    assert ns_of_rfc3339(text) == expected_ns


@pytest.mark.parametrize(
    "text",
    [
        *("", "2021-04-17", "2021-04-17T16:51:02", "2021-02-29T00:00:00Z", "2021-04-17T24:00:00Z"),
        *("2021-04-17T16:60:00Z", "2021-04-17T16:51:02.Z", "1970-01-01T00:00:00Z", "x" * 5000),
        *("2101-01-01T00:00:00Z", "2021-04-17T16:51:02Z ", "\uff12021-04-17T16:51:02Z"),
        "2021-04-17T16:51:02." + "1" * 5000 + "Z",
    ],
)
def test_what_is_not_rfc3339_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="time ") as caught:
        ns_of_rfc3339(text)
    assert len(str(caught.value)) < 200


def test_korean_time_is_nine_hours_ahead() -> None:
    assert ns_of_kst("2021-06-02 08:43:34.555058") == 1622591014_555_058_000
    assert ns_of_kst("2021-08-11 13:20:17") == 1628655617_000_000_000
    assert ns_of_kst("20210811 132017") == 1628655617_000_000_000


@pytest.mark.parametrize(
    "text", ["", "2021-06-02", "2021-06-31 00:00:00", "2021-06-02 08:43:34Z", "20210811 996017"]
)
def test_what_is_not_korean_time_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="time "):
        ns_of_kst(text)


@given(
    st.datetimes(datetime(2009, 1, 2), datetime(2100, 12, 30)),  # noqa: DTZ001  # any wall clock
    st.integers(-23 * 60, 23 * 60),
)
def test_rfc3339_agrees_with_the_standard_library(clock: datetime, ahead_minutes: int) -> None:
    moment = clock.replace(tzinfo=timezone(timedelta(minutes=ahead_minutes)))
    assert ns_of_rfc3339(moment.isoformat()) == (moment - EPOCH) // timedelta(microseconds=1) * 1000


@given(st.text(max_size=40) | st.from_regex(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}[ T]?[0-9:.Z+-]*"))
def test_no_text_raises_anything_but_decode_errors(text: str) -> None:
    for parse in (ns_of_ms, ns_of_seconds, ns_of_us, ns_of_ms_or_us, ns_of_rfc3339, ns_of_kst):
        with suppress(DecodeError):
            parse(text)
