"""What a trade, a book update and a ticker of every exchange cost, in memory and without a broker.

Each case is the work of a dataflow between the Kafka client and its sinks: real messages of the
client, read, folded, and encoded where a record is published of each state. All cases are measured
once a round, so that what the machine does beside them falls on all alike, and by their CPU time;
medians are shown, and the spread from the lower to the upper quartile.
"""

import gc
import gzip
import json
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, localcontext
from functools import cache
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final, NamedTuple, cast
from urllib.parse import parse_qs, urlsplit

import msgspec
from confluent_kafka import Message
from rich.console import Console
from rich.table import Table

from connectors.process.environment import checkout
from connectors.replay.shift import Move, Template
from dataflows import runtime
from dataflows.domain.books.publisher import BookPublisher
from dataflows.domain.books.reader import BookBatch, BookReader
from dataflows.domain.tickers.reader import TickerReader
from dataflows.domain.tickers.ticker import SymbolTicker, TickerBatch
from dataflows.domain.trades.minutes import SymbolMinutes, TradeBatch
from dataflows.domain.trades.reader import TradeReader
from schemas.errors import DecodeError
from schemas.exchanges import decoder_of
from schemas.numbers import SUM, exact
from schemas.processed import encode_orderbooks, encode_tickers
from schemas.records import Kind
from schemas.settings import Settings, parse_settings
from tests.bench import trade_frames

ROUNDS: Final = 9
SYMBOLS: Final = 200
TRADES: Final = 20_000
BATCH_MESSAGES: Final = 10_000
ENVELOPE_FRAMES: Final = 100
MIN_FRAMES: Final = 1_000
"""Of a book or a ticker, in a round."""
MIN_QUARTILE_ROUNDS: Final = 2

LOGGED_MS: Final = 1_900_000_000_000
"""When frames were logged of which it is not known: after all of them."""

ROOT: Final = checkout()
FOLDERS: Final = (
    ROOT / "tests" / "recordings",
    ROOT / "connectors" / "replay" / "recordings",
    ROOT / "tests" / "frames",
)

KEYS: Final = ("one key", "two keys", "key a symbol", "envelopes")

BOOKS: Final = (
    ("Upbit, whole", "upbit", "upbit"),
    ("Bithumb, whole", "bithumb", "bithumb-orderbook"),
    ("Korbit, whole", "korbit", "korbit-orderbook"),
    ("Coinone, whole", "coinone", "coinone-orderbook"),
    ("OKX, checksums", "okx", "okx"),
    ("Bybit spot", "bybit.spot", "bybit-v5-spot"),
    ("Bybit linear", "bybit.linear", "bybit-v5-linear"),
    ("Gate", "gateio.spot", "gateio"),
    ("Gate linear", "gateio.linear", "gateio-linear"),
    ("Binance spot", "binance.spot", "binance-spot"),
    ("Binance linear", "binance.linear", "binance-linear"),
    ("Kraken v1, checksums", "kraken", "kraken-v1-book"),
    ("Kraken v2, checksums", "kraken", "kraken-orderbook"),
)
TICKERS: Final = (
    ("Upbit", "upbit", "upbit-ticker"),
    ("Bithumb", "bithumb", "bithumb-ticker"),
    ("Korbit", "korbit", "korbit-ticker"),
    ("Coinone", "coinone", "coinone-ticker"),
    ("OKX", "okx", "okx-ticker"),
    ("Bybit spot", "bybit.spot", "bybit-v5-spot"),
    ("Bybit linear", "bybit.linear", "bybit-v5-linear"),
    ("Gate", "gateio", "gateio-ticker"),
    ("Binance spot", "binance", "binance-ticker"),
    ("Binance linear", "binance.linear", "binance-futures-ticker"),
    ("Kraken v1", "kraken", "kraken-v1-ticker"),
    ("Kraken v2", "kraken", "kraken-ticker"),
)


class Case(NamedTuple):
    """One thing that is measured."""

    kind: str
    name: str
    shape: str
    run: Callable[[], tuple[float, int]]
    """Does the work once: CPU seconds, and of how many trades, updates or tickers."""


class Result(msgspec.Struct):
    """What a case took."""

    kind: str
    name: str
    shape: str
    cpu_us: float
    """Median of the rounds, of one trade, update or ticker."""
    cpu_us_lower: float
    """Lower quartile."""
    cpu_us_upper: float
    a_second: float


class Recorded(NamedTuple):
    """A frame, and the Kafka record that it would be."""

    logged_ms: int
    key: bytes
    content: bytes


def show(console: Console, path: Path | None, rounds: int = ROUNDS) -> None:
    """Measure all cases and print them as one table.

    Args:
        console: Where it is printed.
        path: A file to write the figures to as JSON.
        rounds: How often each case is measured.
    """
    results = measure([*trade_cases(), *book_cases(), *ticker_cases()], rounds)
    table = Table("in process", "keys", "CPU µs each", "middle half", "a second")
    for result in results:
        table.add_row(
            f"{result.kind}, {result.name}",
            result.shape,
            f"{result.cpu_us:.2f}",
            f"{result.cpu_us_lower:.2f}–{result.cpu_us_upper:.2f}",  # noqa: RUF001  # a range
            f"{result.a_second:,.0f}",
        )
    console.print(table)
    if path is not None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")


def measure(cases: Sequence[Case], rounds: int) -> list[Result]:
    """Return what each case took; all are measured in turns."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(runtime.GC_THRESHOLD)  # as the dataflows run
    taken: list[list[float]] = [[] for _ in cases]
    for number in range(rounds + 1):
        for case, costs in zip(cases, taken, strict=True):
            seconds, done = case.run()
            if number:  # the first round fills the caches
                costs.append(seconds / done * 1_000_000)
    return [_result(case, costs) for case, costs in zip(cases, taken, strict=True)]


def _result(case: Case, costs: list[float]) -> Result:
    middle = median(costs)
    lower = upper = middle
    if len(costs) >= MIN_QUARTILE_ROUNDS:
        lower, _, upper = quantiles(costs, n=4, method="inclusive")
    return Result(
        case.kind, case.name, case.shape,
        round(middle, 3), round(lower, 3), round(upper, 3), round(1_000_000 / middle),
    )  # fmt: skip


def project_settings() -> Settings:
    """Return the settings of pipeline.yaml."""
    path = ROOT / "pipeline.yaml"
    return parse_settings(path.read_bytes(), str(path))


def message_of(offset: int, key: bytes, value: bytes, logged_ms: int) -> Message:
    """Return a record as the Kafka client gives it."""
    return Message(
        topic="t", partition=0, offset=offset, key=key, value=value, timestamp=(1, logged_ms)
    )


# -- trades ------------------------------------------------------------------------------------


def trade_cases(
    exchanges: Sequence[str] = tuple(trade_frames.DIALECTS),
    shapes: Sequence[str] = KEYS,
    trades: int = TRADES,
) -> list[Case]:
    """Return the cases of trades, and the hand-written loop over the frames of the first."""
    settings = project_settings()
    cases = [
        Case("trades", exchange, shape, _folding(settings, exchange, shape, trades))
        for exchange in exchanges
        for shape in shapes
    ]
    return [Case("trades", "binance by hand", "one key", _by_hand(trades)), *cases]


@cache
def _trade_frames(exchange: str, trades: int) -> list[tuple[int, bytes]]:
    return list(trade_frames.frames(exchange, trades, SYMBOLS))


def trade_messages(exchange: str, shape: str, trades: int) -> list[Message]:
    """Return trades as records, keyed as collectors do."""
    found = _trade_frames(exchange, trades)
    feed, product = exchange.encode(), project_settings().feed(exchange).product.encode()
    if shape == "envelopes":
        values = [
            json.dumps(
                {
                    "region": "x",
                    "market": exchange.upper(),
                    "symbol": "C1",
                    "data": [frame.decode() for _, frame in found[at : at + ENVELOPE_FRAMES]],
                }
            ).encode()
            for at in range(0, len(found), ENVELOPE_FRAMES)
        ]
        records = [(feed, value) for value in values]
    elif shape == "key a symbol":
        native = trade_frames.DIALECTS[exchange].native
        records = [(b"%b.%b.%b" % (feed, product, native % at), frame) for at, frame in found]
    elif shape == "two keys":
        both = feed, b"%b.%b" % (feed, product)
        records = [(both[at % 2], frame) for at, frame in found]
    else:
        records = [(feed, frame) for _, frame in found]
    return [message_of(at, *record, LOGGED_MS) for at, record in enumerate(records)]


def _folding(
    settings: Settings, exchange: str, shape: str, trades: int
) -> Callable[[], tuple[float, int]]:
    region = settings.exchanges[exchange].region
    messages = trade_messages(exchange, shape, trades)
    size = BATCH_MESSAGES // (ENVELOPE_FRAMES if shape == "envelopes" else 1)
    batches = [messages[at : at + size] for at in range(0, len(messages), size)]

    def run() -> tuple[float, int]:
        reader = TradeReader(settings, region, "t", 0)
        symbols: dict[str, SymbolMinutes] = {}
        started = time.process_time()
        for batch in batches:
            for key, item in reader.read(batch, LOGGED_MS * 1_000_000):
                if not isinstance(item, TradeBatch):
                    raise SystemExit(f"{exchange}, {shape}: a trade was refused: {item}")
                minutes = symbols.get(key)
                if minutes is None:
                    minutes = symbols[key] = SymbolMinutes(exchange, key.partition(":")[2], 60)
                minutes.fold(item)
        seconds = time.process_time() - started
        if reader.counts["trades"] != trades:
            raise SystemExit(f"{exchange}, {shape}: {reader.counts}, expected {trades} trades")
        return seconds, trades

    return run


class _HandTrade(msgspec.Struct, gc=False):
    s: str
    t: int
    p: Decimal
    q: Decimal
    T: int
    m: bool


def _by_hand(trades: int) -> Callable[[], tuple[float, int]]:
    messages = trade_messages("binance", "one key", trades)
    decode = msgspec.json.Decoder(_HandTrade).decode

    def run() -> tuple[float, int]:
        rows: dict[tuple[str, int], list[Any]] = {}
        started = time.process_time()
        with localcontext(SUM):
            for message in messages:
                trade = decode(message.value() or b"")
                key = (trade.s, trade.T // 60_000)
                row = rows.get(key)
                if row is None:
                    zero = Decimal(0)
                    row = rows[key] = [zero, zero, zero, zero, 0, 0, set()]
                if trade.t in row[6]:
                    continue
                row[6].add(trade.t)
                side = trade.m
                row[side] += trade.q
                row[2 + side] += trade.p * trade.q
                row[4 + side] += 1
        return time.process_time() - started, trades

    return run


# -- order books and tickers -------------------------------------------------------------------


def book_cases(sources: Sequence[tuple[str, str, str]] = BOOKS) -> list[Case]:
    """Return the cases of order books: read, fold, encode."""
    settings = project_settings()
    return [
        Case("books", name, "", _keeping(settings, feed, recorded(feed, file, "orderbook")))
        for name, feed, file in sources
    ]


def ticker_cases() -> list[Case]:
    """Return the cases of tickers: read, merge, encode."""
    settings = project_settings()
    return [
        Case("tickers", name, "", _merging(settings, feed, recorded(feed, file, "ticker")))
        for name, feed, file in TICKERS
    ]


def recorded(feed: str, name: str, kind: Kind) -> list[Recorded]:
    """Return the frames of a kind in a recording, snapshots of REST among them, in order."""
    found = [
        Recorded(at, feed.encode(), frame)
        for at, frame in _lines(name)
        if _kind_of(feed, frame) == kind
    ]
    if kind == "orderbook":
        found += _snapshots(feed, name)
    return sorted(found, key=lambda each: each.logged_ms)


def _kind_of(feed: str, frame: bytes) -> str:
    try:
        return decoder_of(feed.partition(".")[0]).kind(frame)
    except DecodeError:
        return "not understood"


def _lines(name: str) -> Iterator[tuple[int, bytes]]:
    for folder in FOLDERS:
        if (folder / f"{name}.tsv.gz").exists():
            for line in gzip.decompress((folder / f"{name}.tsv.gz").read_bytes()).splitlines():
                seconds, _, frame = line.partition(b"\t")
                yield int(float(seconds) * 1_000), frame
            return
        if (folder / f"{name}.jsonl").exists():
            yield from zip(count(LOGGED_MS), (folder / f"{name}.jsonl").read_bytes().splitlines())
            return
    raise SystemExit(f"{name}: there is no such recording")


def _snapshots(feed: str, name: str) -> Iterator[Recorded]:
    path = FOLDERS[0] / f"{name}-depth.tsv.gz"
    if not path.exists():
        return
    for line in gzip.decompress(path.read_bytes()).splitlines():
        seconds, address, body = line.split(b"\t")
        query = parse_qs(urlsplit(address.decode()).query)
        (native,) = query.get("contract") or query.get("currency_pair") or query["symbol"]
        yield Recorded(int(float(seconds) * 1_000), f"{feed}.{native}".encode(), body)


def _passes(
    settings: Settings, feed: str, kind: Kind, frames: Sequence[Recorded]
) -> list[Recorded]:
    """Return the frames again and again, each time moved on in time.

    Those of a recording keep their distances; single ones, which may be of different years, come
    one a second.
    """
    exchange = feed.partition(".")[0]
    templates = [Template(exchange, kind, frame.content) for frame in frames]
    own_s = [_own_second(settings, feed, kind, frame) for frame in frames]
    span_s = (frames[-1].logged_ms - frames[0].logged_ms) // 1_000 + 1
    found: list[Recorded] = []
    for number in range(-(-MIN_FRAMES // len(frames))):
        for at, frame in enumerate(frames):
            seconds, logged_ms = number * span_s, frame.logged_ms + number * span_s * 1_000
            if frame.logged_ms >= LOGGED_MS:
                second = trade_frames.START_MS // 1_000 + len(found)
                seconds, logged_ms = second - own_s[at], (second + 1) * 1_000
            moved = templates[at].moved(Move(seconds, number))
            found.append(Recorded(logged_ms, frame.key, moved))
    return found


def _own_second(settings: Settings, feed: str, kind: Kind, frame: Recorded) -> int:
    """Return the exchange's time of a frame, 0 where it has none."""
    exchange, _, product = feed.partition(".")
    decoder, of_feed = decoder_of(exchange), settings.feed(exchange, cast(Any, product or None))
    decode = decoder.decode_books if kind == "orderbook" else decoder.decode_tickers
    return max(update.time_ns or 0 for update in decode(frame.content, of_feed)) // 10**9


def _messages(frames: Sequence[Recorded]) -> list[Message]:
    return [
        message_of(at, frame.key, frame.content, frame.logged_ms) for at, frame in enumerate(frames)
    ]


def _keeping(
    settings: Settings, feed: str, frames: Sequence[Recorded]
) -> Callable[[], tuple[float, int]]:
    """Return what plays a recording's order books; the first snapshots of changes cost nothing."""
    exchange = feed.partition(".")[0]
    region = settings.exchanges[exchange].region
    first = _last_snapshot(settings, feed, frames) + 1
    if first == len(frames):  # whole books all of them
        frames, first = _passes(settings, feed, "orderbook", frames), 0
    head, rest = _messages(frames[:first]), _messages(frames[first:])
    times = -(-MIN_FRAMES // len(rest))

    def play(
        reader: BookReader, books: dict[str, BookPublisher], messages: Sequence[Message]
    ) -> None:
        for key, item in reader.read(messages, LOGGED_MS * 1_000_000):
            if not isinstance(item, BookBatch):
                raise SystemExit(f"{feed}: a book was refused: {item}")
            publisher = books.get(key)
            if publisher is None:
                publisher = books[key] = BookPublisher(exchange, key.partition(":")[2], 0)
            with exact():
                output = publisher.fold(item)
            if output.summaries:
                encode_orderbooks(output.summaries, settings)

    def run() -> tuple[float, int]:
        seconds = 0.0
        for _ in range(times):
            reader, books = BookReader(settings, region, "t", 0), dict[str, BookPublisher]()
            play(reader, books, head)
            started = time.process_time()
            play(reader, books, rest)
            seconds += time.process_time() - started
        return seconds, len(rest) * times

    return run


def _last_snapshot(settings: Settings, feed: str, frames: Sequence[Recorded]) -> int:
    """Return the place of the last snapshot."""
    exchange, decoder = feed.partition(".")[0], decoder_of(feed.partition(".")[0])
    last = -1
    for at, frame in enumerate(frames):
        parts = frame.key.decode().split(".", 2)
        of_feed: Any = [*parts[1:], None, None][:2]
        updates = decoder.decode_books(frame.content, settings.feed(exchange, *of_feed))
        if any(update.is_snapshot for update in updates):
            last = at
    return last


def _merging(
    settings: Settings, feed: str, frames: Sequence[Recorded]
) -> Callable[[], tuple[float, int]]:
    exchange = feed.partition(".")[0]
    region = settings.exchanges[exchange].region
    messages = _messages(_passes(settings, feed, "ticker", frames))

    def run() -> tuple[float, int]:
        reader, symbols = TickerReader(settings, region, "t", 0), dict[str, SymbolTicker]()
        started = time.process_time()
        for key, item in reader.read(messages, LOGGED_MS * 1_000_000):
            if not isinstance(item, TickerBatch):
                raise SystemExit(f"{feed}: a ticker was refused: {item}")
            ticker = symbols.get(key)
            if ticker is None:
                ticker = symbols[key] = SymbolTicker(exchange, key.partition(":")[2])
            found = [ticker.apply(stamped.time_ns, stamped.update) for stamped in item.updates]
            encode_tickers([made for made in found if made is not None], settings)
        return time.process_time() - started, len(messages)

    return run
