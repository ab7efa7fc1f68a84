"""Recorded frames of the Asian exchanges, and ways to break them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

from schemas.errors import DecodeError

if TYPE_CHECKING:
    from schemas.exchanges import ExchangeDecoder
    from schemas.feeds import Feed

FRAMES = Path(__file__).parents[2] / "frames"
RECORDINGS = Path(__file__).parents[3] / "connectors" / "replay" / "recordings"

# What the regional collectors leave in place of a control frame, once unwrapped.
STUBS = [b"{}", b"null", b'{"processed": "skip"}']
# Bytes that no exchange sends.
NOISE = [
    *(b"", b" ", b"\xff\xfe", b"{", b"]", b"[[1]]", b'"text"', b"12", b"true", b'{"unknown":1}'),
    *(b"[" * 100_000, b'{"data":' * 100_000, b'{"a":"\xff"}', b"NaN", b"ping", b"\x00"),
]

_PLACE = "@place@"
# As JSON text, because most of it cannot be said as a Python object.
_JUNK = (
    *("null", "true", "0", "-1", '""', '"x"', '"NaN"', '"sNaN"', '"-Infinity"', "NaN", "[]", "{}"),
    *("1e999999999", '"1e-999999999"', "1e99999999999999999999", "9" * 5000, f'"{"9" * 5000}"'),
    *("[" * 3000, "[" * 200 + "]" * 200, '{"a":' * 3000, '"\\ud800"', '"\\u0000"', "0.1", "[[]]"),
    *('"0e-999999"', '"1.' + "7" * 300 + '"', '"buy"', '"1"', '"0"', "[null]", "[[1]]", "1e20"),
)


def lines(*names: str) -> list[bytes]:
    """The frames of files of `tests/frames`: lines, or the whole body of a REST response."""
    frames = []
    for name in names:
        content = (FRAMES / name).read_bytes()
        frames += [content] if name.endswith(".json") else content.splitlines()
    return frames


def case_frames(name: str) -> list[bytes]:
    """Return the frames of a file of `tests/frames/cases`, which were once decoded wrongly."""
    cases = map(json.loads, (FRAMES / "cases" / f"{name}.jsonl").read_text("utf-8").splitlines())
    return [json.dumps(case["frame"], ensure_ascii=False).encode() for case in cases]


def recording(name: str) -> list[bytes]:
    """The frames of a recording."""
    content = gzip.decompress((RECORDINGS / f"{name}.tsv.gz").read_bytes())
    return [line.partition(b"\t")[2] for line in content.splitlines()]


def count_records(decoder: ExchangeDecoder, frames: list[bytes], feed: Feed) -> dict[str, int]:
    """How many frames are of each kind, after a check that each decodes as its own kind only."""
    counts: dict[str, int] = {}
    for frame in frames:
        kind = decoder.kind(frame)
        found = {
            "trade": bool(decoder.decode_trades(frame, feed)),
            "ticker": bool(decoder.decode_tickers(frame, feed)),
            "orderbook": bool(decoder.decode_books(frame, feed)),
        }
        assert [name for name, is_found in found.items() if is_found] == [kind] * (kind in found)
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def refusal(decoder: ExchangeDecoder, frame: bytes, feed: Feed) -> str:
    """The message that all four functions give for a frame that nobody sends."""
    with pytest.raises(DecodeError) as of_kind:
        decoder.kind(frame)
    for decode in (decoder.decode_trades, decoder.decode_tickers, decoder.decode_books):
        with pytest.raises(DecodeError) as of_decode:
            decode(frame, feed)
        assert str(of_decode.value) == str(of_kind.value)
    return str(of_kind.value)


def decode_all(decoder: ExchangeDecoder, frame: bytes, feed: Feed) -> None:
    """Decodes the frame as everything, which may raise a bounded `DecodeError` and nothing else."""
    messages = []
    for decode in (decoder.decode_trades, decoder.decode_tickers, decoder.decode_books):
        try:
            decode(frame, feed)
        except DecodeError as error:
            messages.append(str(error))
    try:
        decoder.kind(frame)
    except DecodeError as error:
        messages.append(str(error))
    for message in messages:
        assert message.startswith(f"{feed.exchange}: ")
        assert len(message) <= 300


@st.composite
def broken(draw: st.DrawFn, frames: list[bytes]) -> bytes:
    """One of the frames, cut off, with bytes flipped, or with a JSON node replaced by junk."""
    frame = draw(st.sampled_from(frames))
    how = draw(st.sampled_from(["cut", "flip", "replace", "replace", "replace"]))
    if how == "cut":
        return frame[: draw(st.integers(0, len(frame) - 1))]
    if how == "flip":
        flipped = bytearray(frame)
        for _ in range(draw(st.integers(1, 4))):
            flipped[draw(st.integers(0, len(frame) - 1))] = draw(st.integers(0, 255))
        return bytes(flipped)
    junk = draw(st.sampled_from(_JUNK))
    text = json.dumps(_with_place(draw, json.loads(frame)))
    return text.replace(f'"{_PLACE}"', junk).encode()


def _with_place(draw: st.DrawFn, node: Any) -> Any:
    keys: list[Any] = []
    if isinstance(node, dict):
        keys = list(node)
    elif isinstance(node, list):
        keys = list(range(len(node)))
    if not keys or draw(st.integers(0, 5)) == 0:
        return _PLACE
    key = draw(st.sampled_from(keys))
    node[key] = _with_place(draw, node[key])
    return node
