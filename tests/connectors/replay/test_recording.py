"""The shipped recordings are what the manifest says, and files are read exactly."""

from __future__ import annotations

import gzip
import hashlib
import re
from functools import cache
from pathlib import Path

import pytest

from connectors.process.environment import Environment, load_settings
from connectors.replay.recording import SHIPPED, Frame, Recording, read_frames, shipped
from schemas.errors import SettingsError
from schemas.exchanges import decoder_of

FRAMES = Path(__file__).parents[2] / "frames"
RECORDINGS = shipped()


@cache
def known_frames() -> set[bytes]:
    lines = {line for path in FRAMES.glob("*.jsonl") for line in path.read_bytes().splitlines()}
    bodies = {path.read_bytes().strip() for path in (FRAMES / "rest").glob("*.json")}
    return lines | {re.sub(rb"\n\s*", b"", body) for body in bodies}


def test_the_manifest_names_every_file_once() -> None:
    names = sorted(recording.file for recording in RECORDINGS)
    assert names == sorted(path.name for path in SHIPPED.glob("*.gz"))


def test_the_recordings_stay_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 600_000


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda each: each.file)
def test_a_recording_is_the_one_of_the_manifest(recording: Recording) -> None:
    assert hashlib.sha256(recording.path.read_bytes()).hexdigest() == recording.sha256
    frames = list(read_frames(recording.path))
    assert len(frames) == recording.frames
    assert recording.origin
    times = [frame.time_ns for frame in frames]
    assert times == sorted(times)


@pytest.mark.parametrize(
    "recording", [each for each in RECORDINGS if each.samples], ids=lambda each: each.file
)
def test_samples_are_frames_whose_origin_is_known(recording: Recording) -> None:
    for frame in read_frames(recording.path):
        assert frame.content in known_frames()


def test_samples_leave_out_what_somebody_assembled() -> None:
    lines = (FRAMES / "kraken-trade.jsonl").read_bytes().splitlines()
    shipped_frames = {
        frame.content for recording in RECORDINGS for frame in read_frames(recording.path)
    }
    assert lines[1] in shipped_frames
    assert lines[2] not in shipped_frames


def test_the_primary_market_of_every_exchange_has_trades() -> None:
    settings = load_settings(Environment())
    traded: dict[str, set[str]] = {}
    for recording in RECORDINGS:
        exchange, product, symbol = (*recording.feed.split("."), None, None)[:3]
        assert exchange is not None
        feed = settings.feed(exchange, product, symbol)  # type: ignore[arg-type]
        decoder = decoder_of(exchange)
        for frame in read_frames(recording.path):
            if decoder.kind(frame.content) == "trade":
                trades = decoder.decode_trades(frame.content, feed)
                traded.setdefault(exchange, set()).update(trade.symbol for trade in trades)
    missing = {
        name
        for name, exchange in settings.exchanges.items()
        if exchange.primary_symbol not in traded[name]
    }
    assert missing == set()


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1626992741.06217", 1_626_992_741_062_170_000),
        ("1618678132.8258188", 1_618_678_132_825_818_800),
        ("1618678132", 1_618_678_132_000_000_000),
        ("0.000000001", 1),
    ],
)
def test_receive_times_are_exact(tmp_path: Path, text: str, time_ns: int) -> None:
    path = tmp_path / "frames.tsv"
    path.write_text(f"{text}\t{{}}\n")
    assert list(read_frames(path)) == [Frame(time_ns, b"{}")]


def test_a_frame_may_contain_tabs_and_the_last_line_may_be_open(tmp_path: Path) -> None:
    path = tmp_path / "frames.tsv.gz"
    path.write_bytes(gzip.compress(b"1\t{\t}\r\n2\tpong"))
    assert [frame.content for frame in read_frames(path)] == [b"{\t}", b"pong"]


@pytest.mark.parametrize("line", ["{}", "now\t{}", "-1\t{}", "1e9\t{}", "1.0000000001\t{}", ""])
def test_a_line_that_is_no_frame_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "frames.tsv"
    path.write_text(f"1\t{{}}\n{line}\n")
    with pytest.raises(
        SettingsError, match=r"frames\.tsv:2: .*expected <unix seconds><tab><frame>"
    ):
        list(read_frames(path))


def test_a_file_that_was_cut_off_is_an_error(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b"%d\t{}\n" % number for number in range(10_000)))
    path = tmp_path / "frames.tsv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SettingsError, match=r"frames\.tsv\.gz: after line \d+"):
        list(read_frames(path))
