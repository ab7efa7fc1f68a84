"""When frames are played and how far their times move, without a broker."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from connectors.process.environment import Environment, load_settings
from connectors.replay import timeline
from connectors.replay.player import Router, timelines
from connectors.replay.recording import Recording
from connectors.replay.shift import Move
from schemas.settings import RAW_KINDS
from schemas.times import NS_PER_SECOND

if TYPE_CHECKING:
    from pathlib import Path

    from connectors.replay.timeline import Placed, Timeline

SETTINGS = load_settings(Environment())
START = 1_795_225_000
START_NS = START * NS_PER_SECOND + 400_000_000


def trade(seconds: int) -> str:
    row = {"instId": "BTC-USDT", "tradeId": f"{seconds}", "px": "1", "sz": "1", "side": "buy"}
    argument = {"channel": "trades", "instId": "BTC-USDT"}
    frame = {"arg": argument, "data": [{**row, "ts": f"{seconds}000"}]}
    return json.dumps(frame, separators=(",", ":"))


def recording(
    folder: Path, name: str, *seconds: int, samples: bool = False, session: str | None = None
) -> Recording:
    path = folder / name
    path.write_text("".join(f"{second}.5\t{trade(second)}\n" for second in seconds))
    return Recording(file=str(path), feed="okx", samples=samples, session=session)


def lines_of(*recordings: Recording, start_ns: int | None = None) -> list[Timeline]:
    return timelines(recordings, Router(SETTINGS, RAW_KINDS), start_ns)


def slots(placed: list[Placed]) -> list[float]:
    return [each.slot_ns / NS_PER_SECOND for each in placed]


def event_seconds(placed: list[Placed]) -> list[int]:
    moved = [each.prepared.template.moved(each.move) for each in placed]
    return [int(frame.partition(b'"ts":"')[2][:10]) for frame in moved]


def test_recorded_distances_are_kept_when_times_move(tmp_path: Path) -> None:
    (line,) = lines_of(recording(tmp_path, "a", 1_600_000_000, 1_600_000_030), start_ns=START_NS)
    placed = list(line.play(again=False))
    assert slots(placed) == [0, 30]
    assert event_seconds(placed) == [START - 1, START + 29]


def test_a_session_moves_as_one(tmp_path: Path) -> None:
    first = recording(tmp_path, "a", 1_600_000_000, 1_600_000_004, session="s")
    second = recording(tmp_path, "b", 1_600_000_002, session="s")
    other = recording(tmp_path, "c", 1_500_000_000)
    together, alone = lines_of(first, second, other, start_ns=START_NS)
    assert slots(list(together.play(again=False))) == [0, 2, 4]
    assert slots(list(alone.play(again=False))) == [0]


def test_each_sample_moves_to_its_own_slot(tmp_path: Path) -> None:
    samples = recording(tmp_path, "a", 1_500_000_000, 1_600_000_000, 1_700_000_000, samples=True)
    (line,) = lines_of(samples, start_ns=START_NS)
    placed = list(line.play(again=False))
    assert slots(placed) == [0, 0.1, 0.2]
    for each, second in zip(placed, event_seconds(placed), strict=True):
        assert 0 <= START_NS + each.slot_ns - second * NS_PER_SECOND < 2 * NS_PER_SECOND


def test_a_pass_follows_on_in_whole_seconds(tmp_path: Path) -> None:
    (line,) = lines_of(recording(tmp_path, "a", 1_600_000_000, 1_600_000_009), start_ns=START_NS)
    placed = list(islice(line.play(again=True), 6))
    assert slots(placed) == [0, 9, 10, 19, 20, 29]
    assert event_seconds(placed) == [START - 1 + each for each in (0, 9, 10, 19, 20, 29)]
    assert [each.move.generation - START for each in placed] == [0, 0, 10, 10, 20, 20]


def test_without_a_shift_the_first_pass_is_untouched_and_in_order(tmp_path: Path) -> None:
    late = recording(tmp_path, "a", 1_700_000_000)
    early = recording(tmp_path, "b", 1_500_000_000, 1_500_000_000, 1_600_000_000, samples=True)
    (line,) = lines_of(late, early)
    placed = list(line.play(again=False))
    assert event_seconds(placed) == [1_500_000_000, 1_500_000_000, 1_600_000_000, 1_700_000_000]
    assert {each.move for each in placed} == {Move(0, 0)}
    assert slots(placed) == [0, 0, 1, 2]


def test_without_a_shift_a_later_pass_is_later_by_the_length(tmp_path: Path) -> None:
    (line,) = lines_of(recording(tmp_path, "a", 1_600_000_000, 1_600_000_100))
    placed = list(islice(line.play(again=True), 4))
    assert event_seconds(placed) == [1_600_000_000 + each for each in (0, 100, 101, 201)]


@pytest.mark.parametrize("start_ns", [None, START_NS])
def test_a_long_recording_is_read_again_for_each_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_ns: int | None
) -> None:
    file = recording(tmp_path, "a", *range(1_600_000_000, 1_600_000_010))
    kept = [*islice(lines_of(file, start_ns=start_ns)[0].play(again=True), 35)]
    monkeypatch.setattr(timeline, "KEPT_FRAMES", 3)
    read = [*islice(lines_of(file, start_ns=start_ns)[0].play(again=True), 35)]
    assert event_seconds(read) == event_seconds(kept)
    assert slots(read) == slots(kept)


def test_nothing_to_play_ends_even_a_loop(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_text("")
    (line,) = lines_of(Recording(file=str(path), feed="okx"), start_ns=START_NS)
    assert list(line.play(again=True)) == []
