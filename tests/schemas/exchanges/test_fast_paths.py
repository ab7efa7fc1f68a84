"""A fast path answers as the plain one does, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import DecodeError
from schemas.exchanges import EXCHANGES, _upbit_format
from schemas.exchanges.binance import decode as binance
from schemas.exchanges.bybit import decode as bybit
from schemas.exchanges.gateio import decode as gateio
from schemas.exchanges.kraken import decode as kraken
from schemas.exchanges.okx import decode as okx
from schemas.feeds import Feed
from tests.schemas.exchanges.frames import broken, lines

OKX_SIZES = dict.fromkeys(["BTC-USD", "BTC-USDT", "UNI-USD"], 10)


class Pair(NamedTuple):
    """A fast path, the plain one, and frames that it takes."""

    fast: Callable[[bytes], list[Any] | None]
    plain: Callable[[bytes], list[Any]]
    frames: list[bytes]


OKX = Feed("okx", contract_sizes=OKX_SIZES)  # type: ignore[arg-type]
BYBIT = Feed("bybit", "linear")
GATEIO = Feed("gateio")
BINANCE = Feed("binance")
LINEAR = Feed("binance", "linear")
KRAKEN = Feed("kraken")
UPBIT = Feed("upbit")
PAIRS = {
    "kraken tickers": Pair(
        kraken.tickers_fast,
        lambda frame: kraken.tickers_plain(frame, KRAKEN),
        lines("kraken-ticker.jsonl"),
    ),
    "upbit tickers": Pair(
        _upbit_format.tickers_fast,
        lambda frame: _upbit_format.tickers_plain(frame, UPBIT),
        [frame for frame in lines("upbit-ticker.jsonl") if b'"type":"ticker"' in frame],
    ),
    "binance trades": Pair(
        lambda frame: binance.trades_fast(frame, BINANCE),
        lambda frame: binance.trades_plain(frame, BINANCE),
        lines("binance-trade.jsonl")[:-1],
    ),
    "binance tickers": Pair(
        lambda frame: binance.tickers_fast(frame, LINEAR),
        lambda frame: binance.tickers_plain(frame, LINEAR),
        [frame for frame in lines("binance-futures-ticker.jsonl") if b"USD_" not in frame],
    ),
    "binance books": Pair(
        lambda frame: binance.books_fast(frame, BINANCE),
        lambda frame: binance.books_plain(frame, BINANCE),
        lines("binance-orderbook.jsonl"),
    ),
    "gateio trades": Pair(
        gateio.trades_fast,
        lambda frame: gateio.trades_plain(frame, GATEIO),
        lines("gateio-trade.jsonl"),
    ),
    "gateio tickers": Pair(
        gateio.tickers_fast,
        lambda frame: gateio.tickers_plain(frame, GATEIO),
        lines("gateio-ticker.jsonl")[9:],
    ),
    "gateio books": Pair(
        gateio.books_fast,
        lambda frame: gateio.books_plain(frame, GATEIO),
        lines(
            "gateio-orderbook.jsonl",
            "gateio-orderbook-docs.jsonl",
            "gateio-orderbook-limited.jsonl",
            "gateio-orderbook-obu.jsonl",
        ),
    ),
    "bybit trades": Pair(
        lambda frame: bybit.trades_fast(frame, BYBIT),
        lambda frame: bybit.trades_plain(frame, BYBIT),
        lines("bybit-trade.jsonl"),
    ),
    "bybit tickers": Pair(
        lambda frame: bybit.tickers_fast(frame, BYBIT),
        lambda frame: bybit.tickers_plain(frame, BYBIT),
        [
            *lines("bybit-ticker-linear.jsonl", "bybit-ticker-inverse.jsonl")[:3],
            *lines("bybit-ticker-spot.jsonl"),
        ],
    ),
    "bybit books": Pair(
        lambda frame: bybit.books_fast(frame, BYBIT),
        lambda frame: bybit.books_plain(frame, BYBIT),
        lines("bybit-orderbook.jsonl"),
    ),
    "okx trades": Pair(
        lambda frame: okx.trades_fast(frame, OKX),
        lambda frame: okx.trades_plain(frame, OKX),
        lines("okx-trade.jsonl"),
    ),
    "okx tickers": Pair(
        okx.tickers_fast, lambda frame: okx.tickers_plain(frame, OKX), lines("okx-ticker.jsonl")
    ),
    "okx books": Pair(
        okx.books_fast,
        okx.books_plain,
        lines("okx-orderbook-swap.jsonl", "okx-orderbook-docs.jsonl"),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_recorded_frames_take_the_fast_path(name: str) -> None:
    pair = PAIRS[name]
    for frame in pair.frames:
        assert pair.fast(frame) == pair.plain(frame)


@pytest.mark.parametrize("name", PAIRS)
@settings(max_examples=100)
@given(data=st.data())
def test_a_broken_frame_is_read_alike_by_both(name: str, data: st.DataObject) -> None:
    pair = PAIRS[name]
    frame = data.draw(broken(pair.frames))
    found = pair.fast(frame)
    if found is None:
        return
    try:
        assert found == pair.plain(frame)
    except DecodeError as error:
        raise AssertionError("the plain path refuses it") from error


RUNS = {
    "okx": (okx.decode_trade_run, OKX, lines("okx-trade.jsonl")),
    "okx spot": (okx.decode_trade_run, OKX, lines("okx-trade.jsonl")[:10]),
    "bybit linear": (bybit.decode_trade_run, BYBIT, lines("bybit-trade.jsonl")),
    "bybit spot": (bybit.decode_trade_run, Feed("bybit"), lines("bybit-trade.jsonl")[2:4]),
    "gateio": (gateio.decode_trade_run, GATEIO, lines("gateio-trade.jsonl")),
}


@pytest.mark.parametrize("name", RUNS)
@settings(max_examples=100)
@given(data=st.data())
def test_a_run_of_frames_is_each_of_them_or_nothing(name: str, data: st.DataObject) -> None:
    decode_run, feed, frames = RUNS[name]
    one = st.sampled_from(frames)
    drawn = data.draw(st.lists(one | one | one | broken(frames), min_size=1, max_size=6))
    run = decode_run(drawn, feed)
    if run is None:
        return
    decode = EXCHANGES[feed.exchange].decoder.decode_trades
    found = [decode(frame, feed) for frame in drawn]
    assert run.trades == [trade for trades in found for trade in trades]
    assert (run.counts or [1] * len(drawn)) == [len(trades) for trades in found]


@pytest.mark.parametrize("name", ["okx spot", "bybit linear", "bybit spot", "gateio"])
def test_recorded_frames_are_a_run(name: str) -> None:
    decode_run, feed, frames = RUNS[name]
    assert decode_run(frames, feed) is not None
