"""What every exchange has to pass, for each kind of its data, through the readers of the flows.

The details of each wire format are with its decoder (``tests/schemas/exchanges``); this asks the
same questions of all of them, so that a new exchange is complete when its lines stand here.
"""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from connectors.process.clock import now_ns
from dataflows.domain.books.publisher import BookPublisher
from dataflows.domain.books.reader import BookBatch, BookReader
from dataflows.domain.tickers.reader import TickerReader
from dataflows.domain.tickers.ticker import SymbolTicker, TickerBatch
from dataflows.domain.trades.minutes import SymbolMinutes, TradeBatch
from dataflows.domain.trades.reader import TradeReader
from schemas.exchanges import EXCHANGES, decoder_of
from schemas.records import DeadLetter, TakerVolume, Trade
from schemas.settings import RawKind, Settings, parse_settings
from tests.raw_record import RawRecord
from tests.schemas.exchanges.frames import lines, recording

PATH = Path(__file__).parents[2] / "pipeline.yaml"
SETTINGS: Settings = parse_settings(PATH.read_bytes(), str(PATH))

# Exchange, key of its records, kind, file of frames.
FEEDS: list[tuple[str, str, RawKind, str]] = [
    ("upbit", "upbit", "trade", "upbit-trade.jsonl"),
    ("upbit", "upbit", "ticker", "upbit-ticker.jsonl"),
    ("upbit", "upbit", "orderbook", "upbit-orderbook.jsonl"),
    ("bithumb", "bithumb", "trade", "bithumb-trade.jsonl"),
    ("bithumb", "bithumb", "ticker", "bithumb-ticker.jsonl"),
    ("bithumb", "bithumb", "orderbook", "bithumb-orderbook.jsonl"),
    ("bithumb", "bithumb", "trade", "bithumb-v1-trade.jsonl"),
    ("bithumb", "bithumb", "ticker", "bithumb-v1-ticker.jsonl"),
    ("bithumb", "bithumb", "orderbook", "bithumb-v1-orderbook.jsonl"),
    ("korbit", "korbit", "trade", "korbit-trade.jsonl"),
    ("korbit", "korbit", "ticker", "korbit-ticker.jsonl"),
    ("korbit", "korbit", "orderbook", "korbit-orderbook.jsonl"),
    ("coinone", "coinone", "trade", "coinone-trade.jsonl"),
    ("coinone", "coinone", "ticker", "coinone-ticker.jsonl"),
    ("coinone", "coinone", "orderbook", "coinone-orderbook.jsonl"),
    ("okx", "okx", "trade", "okx-trade.jsonl"),
    ("okx", "okx", "ticker", "okx-ticker.jsonl"),
    ("okx", "okx", "orderbook", "okx-orderbook.jsonl"),
    ("bybit", "bybit.linear", "trade", "bybit-v2-linear-trade.jsonl"),
    ("bybit", "bybit.inverse", "trade", "bybit-v2-inverse-trade.jsonl"),
    ("bybit", "bybit.linear", "ticker", "bybit-ticker-linear.jsonl"),
    ("bybit", "bybit.spot", "ticker", "bybit-ticker-spot.jsonl"),
    ("bybit", "bybit.inverse", "ticker", "bybit-ticker-inverse.jsonl"),
    ("bybit", "bybit.inverse", "orderbook", "bybit-v2-inverse-orderbook.jsonl"),
    ("bybit", "bybit.linear", "orderbook", "bybit-v2-linear-orderbook.jsonl"),
    ("gateio", "gateio", "trade", "gateio-trade.jsonl"),
    ("gateio", "gateio", "ticker", "gateio-ticker.jsonl"),
    ("gateio", "gateio", "orderbook", "gateio-orderbook-limited.jsonl"),
    ("binance", "binance", "trade", "binance-trade.jsonl"),
    ("binance", "binance.linear", "trade", "binance-futures-trade.jsonl"),
    ("binance", "binance", "ticker", "binance-ticker.jsonl"),
    ("binance", "binance", "orderbook", "binance-orderbook.jsonl"),
    ("binance", "binance.linear", "orderbook", "binance-futures-orderbook.jsonl"),
    ("kraken", "kraken", "trade", "kraken-trade.jsonl"),
    ("kraken", "kraken", "trade", "kraken-v1-trade.jsonl"),
    ("kraken", "kraken", "ticker", "kraken-ticker.jsonl"),
    ("kraken", "kraken", "ticker", "kraken-v1-ticker.jsonl"),
    ("kraken", "kraken", "orderbook", "kraken-orderbook.jsonl"),
    ("kraken", "kraken", "orderbook", "kraken-v1-orderbook.jsonl"),
    ("bitmex", "bitmex", "trade", "bitmex-trade.jsonl"),
]
TRADES = [feed for feed in FEEDS if feed[2] == "trade"]
BOOKS = [feed for feed in FEEDS if feed[2] == "orderbook"]


class Reader(Protocol):
    def read(self, messages: Sequence[RawRecord], now_ns: int, /) -> list[Any]: ...
    def finish(self) -> list[Any]: ...


def reader_of(exchange: str, kind: RawKind) -> Reader:
    region = SETTINGS.exchanges[exchange].region
    partition = SETTINGS.exchanges[exchange].partitions[0]
    topic = getattr(SETTINGS.regions[region].topics, kind)
    if kind == "ticker":
        return TickerReader(SETTINGS, region, topic, partition)
    if kind == "orderbook":
        return BookReader(SETTINGS, region, topic, partition)
    return TradeReader(SETTINGS, region, topic, partition)


def read(exchange: str, kind: RawKind, key: str, frames: Sequence[bytes]) -> list[tuple[str, Any]]:
    reader = reader_of(exchange, kind)
    messages = [RawRecord(at, key.encode(), frame) for at, frame in enumerate(frames)]
    return [*reader.read(messages, now_ns()), *reader.finish()]


def count_records(items: list[tuple[str, Any]]) -> int:
    counts = {
        TradeBatch: lambda b: sum(len(trades) for _, trades in b.runs) + len(b.late),
        TickerBatch: lambda b: len(b.updates),
        BookBatch: lambda b: len(b.updates),
    }
    return sum(counts[type(item)](item) for _, item in items if type(item) in counts)


def letters(items: list[tuple[str, Any]]) -> list[DeadLetter]:
    return [item for _, item in items if isinstance(item, DeadLetter)]


def test_every_exchange_has_a_line_for_each_of_its_kinds() -> None:
    named = {(exchange, kind) for exchange, _, kind, _ in FEEDS}
    assert named == {(e, kind) for e in EXCHANGES for kind in SETTINGS.exchanges[e].kinds}


@pytest.mark.parametrize(("exchange", "key", "kind", "name"), FEEDS)
def test_recorded_frames_decode(exchange: str, key: str, kind: RawKind, name: str) -> None:
    for frame in lines(name):
        items = read(exchange, kind, key, [frame])
        refused = [letter.error for letter in letters(items)]
        # A trade of its own day is late for none; what a decoder skips, it says so in its tests.
        assert not refused, frame


# By hand from the frames: the first trade of each file. What the exchange says of the taker is
# in the last column.
BY_HAND = [
    ("upbit", "upbit", "upbit-trade.jsonl", "LAMB-KRW", "2021-04-17T16:51:02.000", True, "ab BID"),
    ("bithumb", "bithumb", "bithumb-trade.jsonl", "BTC-KRW", "2026-07-10T04:39:41.138", False,
     "ask_bid ASK"),
    ("bithumb", "bithumb", "bithumb-v1-trade.jsonl", "CON-KRW", "2021-06-01T23:43:34.555058", True,
     "buySellGb 2"),
    ("korbit", "korbit", "korbit-trade.jsonl", "BTC-KRW", "2023-11-14T22:13:21.239", True,
     "isBuyerTaker true"),
    ("coinone", "coinone", "coinone-trade.jsonl", "XRP-KRW", "2023-09-01T09:27:30.996", True,
     "is_seller_maker true"),
    ("okx", "okx", "okx-trade.jsonl", "BTC-USDT", "2022-05-13T16:27:04.818", True, "side buy"),
    ("bybit", "bybit.inverse", "bybit-v2-inverse-trade.jsonl", "BTC-USD-PERP",
     "2021-04-17T16:43:06.614", False, "side Sell"),
    ("bybit", "bybit.linear", "bybit-v2-linear-trade.jsonl", "UNI-USDT-PERP",
     "2021-04-17T16:43:01.355", True, "side Buy"),
    ("gateio", "gateio", "gateio-trade.jsonl", "DIS-USDT", "2021-04-22T12:12:23.708264", False,
     "side sell"),
    ("binance", "binance", "binance-trade.jsonl", "BNB-BTC", "2019-04-01T00:00:00.940", True,
     "m false"),
    ("binance", "binance.linear", "binance-futures-trade.jsonl", "BTC-USDT-PERP",
     "2026-09-20T08:44:56.920", False, "m true"),
    ("kraken", "kraken", "kraken-trade.jsonl", "MATIC-USD", "2023-09-25T07:48:36.925533", True,
     "side buy"),
    ("kraken", "kraken", "kraken-v1-trade.jsonl", "XMR-USD", "2021-04-17T16:49:02.557535", False,
     "s"),
    ("bitmex", "bitmex", "bitmex-trade.jsonl", "XRP-BTC-210924", "2021-07-22T22:24:15.328", False,
     "side Sell"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("exchange", "key", "name", "symbol", "time", "taker_buys", "says"), BY_HAND
)
def test_side_time_and_symbol_are_those_worked_out_by_hand(
    exchange: str, key: str, name: str, symbol: str, time: str, taker_buys: bool, says: str
) -> None:
    trade = trades_of(exchange, key, lines(name))[0]
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=trade.time_ns // 1_000)
    assert (trade.symbol, trade.taker_buys) == (symbol, taker_buys), says
    assert moment == datetime.fromisoformat(time).replace(tzinfo=UTC)


def trades_of(exchange: str, key: str, frames: Sequence[bytes]) -> list[Trade]:
    product, _, native = key.partition(".")[2].partition(".")
    feed = SETTINGS.feed(exchange, product or None, native or None)  # type: ignore[arg-type]
    return [t for frame in frames for t in decoder_of(exchange).decode_trades(frame, feed)]


@pytest.mark.parametrize(("exchange", "key", "kind", "name"), FEEDS)
def test_symbols_are_canonical(exchange: str, key: str, kind: RawKind, name: str) -> None:
    keys = [item_key for item_key, item in read(exchange, kind, key, lines(name))
            if not isinstance(item, DeadLetter)]  # fmt: skip
    assert keys
    for item_key in keys:
        owner, _, symbol = item_key.partition(":")
        assert owner == exchange
        parts = symbol.split("-")
        assert len(parts) in (2, 3)
        assert all(part == part.upper() and part.isascii() for part in parts)
        assert parts[2:] in ([], ["PERP"]) or parts[2].isdigit()


def final_rows(items: list[tuple[str, Any]]) -> dict[tuple[str, int], TakerVolume]:
    symbols: dict[str, SymbolMinutes] = {}
    rows: dict[tuple[str, int], TakerVolume] = {}
    for key, item in items:
        if not isinstance(item, TradeBatch):
            continue
        exchange, symbol = key.split(":")
        minutes = symbols.setdefault(key, SymbolMinutes(exchange, symbol, 60))
        rows.update({(key, row.minute): row for row in minutes.fold(item)})
    return rows


def without_duplicates(rows: dict[Any, TakerVolume]) -> dict[Any, TakerVolume]:
    return {k: msgspec.structs.replace(row, duplicate_trades=0) for k, row in rows.items()}


@pytest.mark.parametrize(("exchange", "key", "kind", "name"), TRADES)
def test_a_frame_that_comes_twice_counts_once(
    exchange: str, key: str, kind: RawKind, name: str
) -> None:
    for frame in lines(name):
        once = final_rows(read(exchange, kind, key, [frame]))
        twice = final_rows(read(exchange, kind, key, [frame, frame]))
        assert without_duplicates(twice) == without_duplicates(once)
        assert sum(row.duplicate_trades for row in twice.values()) >= len(
            trades_of(exchange, key, [frame])
        )


@pytest.mark.parametrize(("exchange", "key", "kind", "name"), TRADES)
def test_order_of_arrival_within_the_lateness_does_not_matter(
    exchange: str, key: str, kind: RawKind, name: str
) -> None:
    lateness_ns = SETTINGS.taker_volume.lateness_ms * 1_000_000
    frames = [frame for frame in lines(name) if trades_of(exchange, key, [frame])]
    newest = {f: max(t.time_ns for t in trades_of(exchange, key, [f])) for f in frames}
    oldest = {f: min(t.time_ns for t in trades_of(exchange, key, [f])) for f in frames}
    # A frame of many trades spans a time of its own: only those of a moment can change places.
    short = [f for f in frames if newest[f] - oldest[f] < lateness_ns // 2]
    ordered = sorted(short, key=lambda f: newest[f])
    chance = random.Random(exchange)
    for _ in range(5):
        delays = {f: newest[f] + chance.randrange(lateness_ns // 2) for f in ordered}
        shuffled = sorted(ordered, key=lambda f: delays[f])
        assert final_rows(read(exchange, kind, key, shuffled)) == final_rows(
            read(exchange, kind, key, ordered)
        )


JUNK = [b"", b"{", b"[[", b'"', b"\xff\xfe", b"nonsense", b'{"unknown":"message"}', b"[" * 5_000]


@pytest.mark.parametrize(("exchange", "key", "kind", "name"), FEEDS)
def test_junk_is_a_dead_letter_that_says_why_and_harms_no_neighbour(
    exchange: str, key: str, kind: RawKind, name: str
) -> None:
    frames = lines(name)
    good = read(exchange, kind, key, frames)
    mixed = read(exchange, kind, key, [piece for frame in frames for piece in (*JUNK, frame)])
    assert count_records(mixed) == count_records(good)
    refused = [letter for letter in letters(mixed) if letter.value in JUNK]
    assert len(refused) == len(frames) * len(JUNK)
    assert all(letter.error for letter in refused)


def deltas(frames: Sequence[bytes], exchange: str, key: str) -> Iterator[tuple[int, Any]]:
    product, _, native = key.partition(".")[2].partition(".")
    feed = SETTINGS.feed(exchange, product or None, native or None)  # type: ignore[arg-type]
    for at, frame in enumerate(frames):
        for update in decoder_of(exchange).decode_books(frame, feed):
            yield at, update


@pytest.mark.parametrize(
    ("exchange", "key", "name", "cut"),
    [
        # What tells: a chain of ids, or the checksum of the next update.
        ("okx", "okx", "okx-orderbook.jsonl", "checksum"),
        ("kraken", "kraken", "kraken-v1-orderbook.jsonl", "checksum"),
        ("kraken", "kraken", "kraken-orderbook.jsonl", "checksum"),
        ("gateio", "gateio.spot.OMG_USDT", "gateio", "expected the one after"),
        ("binance", "binance.spot.NKNUSDT", "binance-spot", "expected the one after"),
        ("bybit", "bybit", "bybit-orderbook.jsonl", "expected the one after"),
    ],
)
def test_a_missing_update_is_seen(exchange: str, key: str, name: str, cut: str) -> None:
    frames = lines(name) if name.endswith(".jsonl") else with_snapshot(exchange, name)
    by_symbol: dict[str, list[tuple[int, Any]]] = {}
    for at, update in deltas(frames, exchange, key):
        by_symbol.setdefault(update.symbol, []).append((at, update))
    # Files of single frames have several sessions, with gaps between them.
    usual = problems(exchange, key, frames)
    seen = []
    for updates in by_symbol.values():
        for place in range(1, min(30, len(updates) - 1)):
            missing = updates[place][0]
            rest = [frame for at, frame in enumerate(frames) if at != missing]
            seen += problems(exchange, key, rest)
    assert any(cut in problem for problem in seen if problem not in usual), seen[:5]


def with_snapshot(exchange: str, name: str) -> list[bytes]:
    """A recorded chain of changes behind the snapshot from REST that was recorded with it."""
    frames = [*recording(f"{name}-book-snapshot"), *recording(name)]
    return [f for f in frames if decoder_of(exchange).kind(f) == "orderbook"][:150]


def problems(exchange: str, key: str, frames: Sequence[bytes]) -> list[str]:
    feeds: dict[str, BookPublisher] = {}
    found = []
    for item_key, item in read(exchange, "orderbook", key, frames):
        if isinstance(item, BookBatch):
            owner, symbol = item_key.split(":")
            output = feeds.setdefault(item_key, BookPublisher(owner, symbol, 0)).fold(item)
            found += [str(problem) for problem in output.problems]
    return found


@pytest.mark.parametrize(
    ("exchange", "key", "kind", "name"),
    # Those of Kraken v1 are not stamped: the same values at another time are another ticker.
    [feed for feed in FEEDS if feed[2] == "ticker" and feed[3] != "kraken-v1-ticker.jsonl"],
)
def test_the_same_ticker_again_is_one_ticker(
    exchange: str, key: str, kind: RawKind, name: str
) -> None:
    for frame in lines(name):
        tickers: dict[str, SymbolTicker] = {}
        made = []
        for item_key, item in read(exchange, kind, key, [frame, frame]):
            assert isinstance(item, TickerBatch)
            ticker = tickers.setdefault(item_key, SymbolTicker(exchange, item_key))
            made += [ticker.apply(stamped.time_ns, stamped.update) for stamped in item.updates]
        assert made[len(made) // 2 :] == [None] * (len(made) // 2)


@pytest.mark.parametrize(("exchange", "key", "kind", "name"), BOOKS)
def test_a_book_is_never_published_before_its_first_snapshot(
    exchange: str, key: str, kind: RawKind, name: str
) -> None:
    changes = [
        frame
        for frame in lines(name)
        if all(not update.is_snapshot for _, update in deltas([frame], exchange, key))
    ]
    for item_key, item in read(exchange, kind, key, changes):
        assert isinstance(item, BookBatch)
        output = BookPublisher(exchange, item_key.partition(":")[2], 0).fold(item)
        assert not output.summaries
        assert output.requests or not item.updates
