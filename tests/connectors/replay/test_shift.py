"""What is moved moves exactly; everything else keeps its bytes."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from connectors.process.environment import Environment, load_settings
from connectors.replay.player import Router, timelines
from connectors.replay.recording import Recording, read_frames, shipped
from connectors.replay.shift import Move, Template
from schemas.exchanges import EXCHANGES, decoder_of
from schemas.records import BookUpdate, Kind, TickerUpdate, Trade
from schemas.settings import RAW_KINDS
from schemas.times import NS_PER_SECOND

if TYPE_CHECKING:
    from schemas.feeds import Feed

SETTINGS = load_settings(Environment())
RECORDINGS = {recording.file: recording for recording in shipped()}
# Three and a half years: across leap days, and from one day into another.
FAR = Move(111_222_333, 7)
START_NS = 1_795_225_000_123_456_789


def feed_of(recording: Recording) -> Feed:
    exchange, product, symbol = (*recording.feed.split("."), None, None)[:3]
    assert exchange is not None
    return SETTINGS.feed(exchange, product, symbol)  # type: ignore[arg-type]


@cache
def frames_of(file: str) -> list[tuple[Kind, bytes]]:
    recording = RECORDINGS[file]
    kind = decoder_of(recording.exchange).kind
    return [(kind(frame.content), frame.content) for frame in read_frames(recording.path)]


def decoded(kind: Kind, frame: bytes, feed: Feed) -> list[Trade | TickerUpdate | BookUpdate]:
    decoder = decoder_of(feed.exchange)
    if kind == "trade":
        return [*decoder.decode_trades(frame, feed)]
    if kind == "ticker":
        return [*decoder.decode_tickers(frame, feed)]
    return [*decoder.decode_books(frame, feed)] if kind == "orderbook" else []


def without(record: object, *names: str) -> dict[str, object]:
    fields: tuple[str, ...] = record.__struct_fields__  # type: ignore[attr-defined]
    return {name: getattr(record, name) for name in fields if name not in names}


@pytest.mark.parametrize("file", RECORDINGS)
def test_moved_frames_decode_to_the_same_at_exactly_another_time(file: str) -> None:
    recording = RECORDINGS[file]
    feed = feed_of(recording)
    for kind, frame in frames_of(file):
        moved = Template(recording.exchange, kind, frame).moved(FAR)
        pairs = zip(decoded(kind, frame, feed), decoded(kind, moved, feed), strict=True)
        for before, after in pairs:
            ids = ("trade_id", "first_id", "last_id", "prev_id")
            assert without(after, "time_ns", *ids) == without(before, "time_ns", *ids)
            if before.time_ns is None:
                assert after.time_ns is None
            else:
                assert after.time_ns == before.time_ns + FAR.seconds * NS_PER_SECOND
            if isinstance(before, Trade) and isinstance(after, Trade):
                assert after.trade_id != before.trade_id
                assert type(after.trade_id) is type(before.trade_id)


@pytest.mark.parametrize("file", RECORDINGS)
def test_moving_there_and_back_gives_the_same_bytes(file: str) -> None:
    exchange = RECORDINGS[file].exchange
    for kind, frame in frames_of(file):
        there = Template(exchange, kind, frame).moved(Move(FAR.seconds, 0))
        assert len(there) == len(frame)
        assert Template(exchange, kind, there).moved(Move(-FAR.seconds, 0)) == frame


@pytest.mark.parametrize("file", RECORDINGS)
def test_a_move_of_nothing_is_the_frame_itself(file: str) -> None:
    exchange = RECORDINGS[file].exchange
    for kind, frame in frames_of(file):
        assert Template(exchange, kind, frame).moved(Move(0, 0)) == frame


@pytest.mark.parametrize(
    ("exchange", "kind", "frame", "expected"),
    [
        pytest.param(
            "binance",
            "trade",
            b'{"e":"trade","E":1789893896920,"T":1789893896919,"t":8097313955,"p":"80227.00"}',
            b'{"e":"trade","E":1789893986920,"T":1789893986919,"t":8099313955,"p":"80227.00"}',
            id="milliseconds",
        ),
        pytest.param(
            "gateio",
            "trade",
            b'{"time":1619093543,"result":{"id":816995772,"create_time_ms":"1619093543708.2642"}}',
            b'{"time":1619093633,"result":{"id":818995772,"create_time_ms":"1619093633708.2642"}}',
            id="seconds, and text with a fraction of a millisecond",
        ),
        pytest.param(
            "bithumb",
            "orderbook",
            b'{"type":"orderbook","level":1,"timestamp":1790133505546514}',
            b'{"type":"orderbook","level":1,"timestamp":1790133595546514}',
            id="microseconds",
        ),
        pytest.param(
            "upbit",
            "trade",
            b'{"ty":"trade","td":"2021-04-30","ttm":"23:59:02","tv":1.0,"sid":1618678262000003}',
            b'{"ty":"trade","td":"2021-05-01","ttm":"00:00:32","tv":1.0,"sid":1618678264000003}',
            id="a date and a clock into the next day",
        ),
        pytest.param(
            "bithumb",
            "ticker",
            b'{"type":"ticker","content":{"date":"20211231","time":"235959","volume":"1"}}',
            b'{"type":"ticker","content":{"date":"20220101","time":"000129","volume":"1"}}',
            id="a date without separators",
        ),
        pytest.param(
            "bithumb",
            "trade",
            b'{"list":[{"contDtm":"2021-06-02 08:43:34.555058","contPrice":"3.908"}]}',
            b'{"list":[{"contDtm":"2021-06-02 08:45:04.555058","contPrice":"3.908"}]}',
            id="Korean wall clock",
        ),
        pytest.param(
            "kraken",
            "trade",
            b'[993,[["354.11","1618678142.5","1618678142.557535","s","l",""]],"trade","XMR/USD"]',
            b'[993,[["354.11","1618678142.5","1618678232.557535","s","l",""]],"trade","XMR/USD"]',
            id="a place in a row, not a volume that looks like a time",
        ),
        pytest.param(
            "kraken",
            "trade",
            b'{"XBTUSDT":[["105433.6","0.00027625",1762795433.9717445,"b","l","",10218208]]}',
            b'{"XBTUSDT":[["105433.6","0.00027625",1762795523.9717445,"b","l","",12218208]]}',
            id="an id at the end of a row",
        ),
        pytest.param(
            "bybit",
            "orderbook",
            b'{"topic":"orderBookL2_25.EOSUSD","data":[{"price":"7.9","id":79430,"size":1}]}',
            b'{"topic":"orderBookL2_25.EOSUSD","data":[{"price":"7.9","id":79430,"size":1}]}',
            id="the id of a level stays",
        ),
        pytest.param(
            "binance",
            "orderbook",
            b'{"e":"depthUpdate","E":1626992741037,"U":600859599090,"u":600859600917,"pu":-1}',
            b'{"e":"depthUpdate","E":1626992831037,"U":600861599090,"u":600861600917,"pu":-1}',
            id="the ids of updates stay a chain",
        ),
        pytest.param(
            "okx",
            "trade",
            b'{"data":[{"note":"100%d","tradeId":"338476314","ts":"1652459226199"}]}',
            b'{"data":[{"note":"100%d","tradeId":"340476314","ts":"1652459316199"}]}',
            id="a percent sign stays",
        ),
    ],
)
def test_what_moves(exchange: str, kind: Kind, frame: bytes, expected: bytes) -> None:
    assert Template(exchange, kind, frame).moved(Move(90, 2)) == expected


def test_other_ids_are_derived_and_always_the_same() -> None:
    frame = b'{"trdMatchID":"39744121-c20e-44ba-8cc8-a6b8cdf72885"}'
    template = Template("bitmex", "trade", frame)
    moved = [template.moved(Move(1, generation)) for generation in range(50)]
    assert moved[0] == frame
    assert len(set(moved)) == 50
    assert all(len(each) == len(frame) for each in moved)
    assert moved == [
        Template("bitmex", "trade", frame).moved(Move(1, generation)) for generation in range(50)
    ]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_no_trade_of_a_pass_is_a_duplicate_of_another_pass(exchange: str) -> None:
    passes = 4
    recordings = [each for each in RECORDINGS.values() if each.exchange == exchange]
    decoder = decoder_of(exchange)
    seen: Counter[tuple[str, str, int | str]] = Counter()
    for recording in recordings:
        router = Router(SETTINGS, RAW_KINDS)
        (line,) = timelines([recording], router, START_NS)
        once = sum(1 for _ in line.play(again=False))
        feed = feed_of(recording)
        for placed in islice(line.play(again=True), passes * once):
            frame = placed.prepared.template.moved(placed.move)
            if placed.prepared.target.topic.endswith("-trade"):
                for trade in decoder.decode_trades(frame, feed):
                    seen[feed.product, trade.symbol, trade.trade_id] += 1
    assert seen
    assert Counter(seen.values()) == {1: len(seen)}
