"""Completeness of minutes, from what the collector says of its feeds."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dataflows.domain.coverage import Coverage, Timeline, Verdict, concerns
from schemas.feed_status import FeedStatus
from schemas.symbols import product_of

AT = 28_827_980
START_MS = AT * 60_000
LATENESS_MS = 10_000


def status(event: str, second: float, **fields: Any) -> FeedStatus:
    """Make a record seen at a second after the start; times of data are seconds as well."""
    times = {
        name: START_MS + round(fields.pop(short) * 1000)
        for name, short in (("last_good_ms", "last"), ("first_good_ms", "first"))
        if short in fields
    }
    return FeedStatus(START_MS + round(second * 1000), "okx", "spot", "trade", event, **fields,
                      **times)  # fmt: skip


def judged(*events: FeedStatus, minutes: int = 5) -> list[bool | None]:
    timeline = Timeline()
    for event in events:
        timeline.apply(event)
    return [timeline.judge(AT + index, LATENESS_MS).is_complete for index in range(minutes)]


def said(*, is_complete: bool | None, revisions: int) -> Verdict:
    return Verdict(is_complete, revisions, is_connected=True)


def test_minutes_without_a_status_are_unknown() -> None:
    assert judged() == [None] * 5
    assert judged(status("other", 0), status("paused", 1), minutes=1) == [None]


def test_a_minute_is_whole_from_the_connection_on() -> None:
    assert judged(status("connected", 65, first=60)) == [None, True, True, True, True]
    assert judged(status("connected", 65, first=60.001))[:2] == [None, False]


def test_an_outage_marks_the_minutes_that_it_touched() -> None:
    connected = status("connected", 0, first=0)
    lost = status("disconnected", 75, last=70)
    again = status("connected", 200, first=190)

    assert judged(connected, lost) == [True, False, False, False, False]
    assert judged(connected, lost, again) == [True, False, False, False, True]


def test_a_stream_good_to_its_last_millisecond_leaves_that_minute_whole() -> None:
    lost = status("disconnected", 75, last=59.999)
    assert judged(status("connected", 0, first=0), lost)[:2] == [True, False]


def test_a_filled_gap_is_whole_and_late_knowledge_a_revision() -> None:
    timeline = Timeline()
    timeline.apply(status("connected", 0, first=0))
    timeline.apply(status("gap", 71, last=30, first=70))
    assert timeline.judge(AT, LATENESS_MS) == Verdict(
        is_complete=False, revisions=1, is_connected=True
    )
    assert timeline.judge(AT + 1, LATENESS_MS) == Verdict(
        is_complete=False, revisions=0, is_connected=True
    )

    timeline.apply(status("filled", 300, last=30, first=70))

    assert timeline.judge(AT, LATENESS_MS) == Verdict(
        is_complete=True, revisions=2, is_connected=True
    )
    assert timeline.judge(AT + 1, LATENESS_MS) == Verdict(
        is_complete=True, revisions=1, is_connected=True
    )
    assert timeline.judge(AT + 9, LATENESS_MS) == Verdict(
        is_complete=True, revisions=0, is_connected=True
    )


def test_reconnects_of_the_past_are_no_revisions_of_later_minutes() -> None:
    timeline = Timeline()
    for hour in range(50):
        timeline.apply(status("connected", 3_600 * hour + 20, first=3_600 * hour + 10))
        timeline.apply(status("disconnected", 3_600 * hour + 3_599, last=3_600 * hour + 3_590))
    timeline.apply(status("connected", 3_600 * 50, first=3_600 * 50 - 1))

    assert timeline.judge(AT + 60 * 50 + 3, LATENESS_MS) == Verdict(
        is_complete=True, revisions=0, is_connected=True
    )
    assert len(timeline.state()) < 110


def test_a_record_with_symbols_is_about_those_alone() -> None:
    coverage = Coverage()
    coverage.apply(status("connected", 0, first=0))
    coverage.apply(status("no_data", 130, last=61, symbols=["ETH-KRW"]))

    def whole(symbol: str) -> list[bool | None]:
        timeline = coverage.timeline(symbol)
        return [timeline.judge(AT + index, LATENESS_MS).is_complete for index in range(3)]

    assert whole("ETH-KRW") == [True, False, False]
    assert whole("BTC-KRW") == [True, True, True]
    assert whole("BTC-USDT-PERP") == [None, None, None]
    assert coverage.expected() == []
    coverage.apply(status("disconnected", 200, last=190))
    assert whole("ETH-KRW") == [True, False, False]


@pytest.mark.parametrize(
    ("symbol", "product"),
    [
        ("BTC-KRW", "spot"),
        ("BTC-USDT-PERP", "linear"),
        ("BTC-USD-PERP", "inverse"),
        ("BTC-USD-261225", "inverse"),
    ],
)
def test_a_symbol_tells_its_product(symbol: str, product: str) -> None:
    assert product_of(symbol) == product
    assert concerns(status("connected", 0), symbol) == (product == "spot")


EVENTS = st.lists(
    st.builds(
        status,
        st.sampled_from(["connected", "disconnected", "gap", "filled", "no_data", "resubscribed"]),
        st.integers(0, 300),
        last=st.integers(0, 300),
        first=st.integers(0, 300),
    ),
    max_size=12,
)


@given(events=EVENTS)
def test_a_timeline_says_what_each_millisecond_says(events: list[FeedStatus]) -> None:
    seconds: list[bool | None] = [None] * 400
    for event in events:
        last = (event.last_good_ms or 0) - START_MS
        first = (event.first_good_ms or 0) - START_MS
        after, since = last // 1000 + 1, first // 1000
        match event.event:
            case "connected" | "resubscribed":
                seconds[since:] = [True] * len(seconds[since:])
            case "gap" if since >= after:
                seconds[after:since] = [False] * (since - after)
            case "filled" if since >= after:
                seconds[after:since] = [True] * (since - after)
            case "disconnected" | "no_data":
                seconds[after:] = [False] * len(seconds[after:])
            case _:
                pass
    # A second that is broken from its first millisecond after a good one is broken as a whole.
    timeline = Timeline()
    for event in events:
        timeline.apply(replace(event, last_good_ms=(event.last_good_ms or 0) + 999))
    for index in range(6):
        found = set(seconds[60 * index : 60 * index + 60])
        expected = False if len(found) > 1 else found.pop()
        assert timeline.judge(AT + index, LATENESS_MS).is_complete is expected


@given(events=EVENTS, cut=st.integers(0, 12))
def test_a_stored_timeline_goes_on_as_before(events: list[FeedStatus], cut: int) -> None:
    one, other = Timeline(), Timeline()
    for index, event in enumerate(events):
        one.apply(event)
        if index == cut:
            other = Timeline(copy.deepcopy(other.state()))
        other.apply(event)
    assert one.state() == other.state()
