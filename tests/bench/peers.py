"""Recorded frames to records, in memory: this project beside cryptofeed.

Both decode the same frames, keep the books and verify every checksum. This project is measured
once with the same work, and once with all that a dataflow does: event time, minutes, and the
records that it publishes of each state.
"""

import gc
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from connectors.local.stack import state_folder
from connectors.process.clock import now_ns
from connectors.process.environment import checkout
from dataflows import runtime
from dataflows.domain.books.book import Book
from dataflows.domain.books.publisher import BookPublisher
from dataflows.domain.books.reader import BookBatch, BookReader
from dataflows.domain.trades.reader import TradeReader
from schemas.exchanges import decoder_of
from schemas.numbers import exact
from schemas.processed import encode_orderbooks
from schemas.settings import Settings, parse_settings
from tests.raw_record import RawRecord
from tests.schemas.exchanges.frames import recording

CRYPTOFEED = "cryptofeed==2.4.1"
ROUNDS = 40

# Exchange, cryptofeed's name of it, recording, kinds of frames.
RECORDED = (
    ("upbit", "Upbit", "upbit", ("orderbook",)),
    ("okx", "OKX", "okx", ("orderbook",)),
    ("kraken", "Kraken", "kraken-v1-book", ("orderbook",)),
    ("upbit", "Upbit", "upbit", ("trade",)),
    ("okx", "OKX", "okx", ("trade",)),
)


def show(console: Console) -> None:
    """Measures and prints the table; makes cryptofeed's environment the first time."""
    gc.freeze()
    gc.set_threshold(runtime.GC_THRESHOLD)  # as the dataflows run
    root = checkout()
    python = _environment(state_folder(root) / "bench" / "cryptofeed")
    path = root / "pipeline.yaml"
    settings = parse_settings(path.read_bytes(), str(path))
    table = Table("frames of", "whole /s", "same work /s", "cryptofeed /s", "ratio")
    for exchange, theirs, name, kinds in RECORDED:
        decoder = decoder_of(exchange)
        frames = [frame for frame in recording(name) if decoder.kind(frame) in kinds]
        all_rate = _ours(settings, exchange, kinds[0], frames)
        our_rate = _same_work(settings, exchange, kinds[0], frames)
        their_rate = _theirs(python, theirs, frames)
        table.add_row(
            f"{exchange} {kinds[0]}",
            f"{all_rate:,.0f}",
            f"{our_rate:,.0f}",
            f"{their_rate:,.0f}",
            f"{our_rate / their_rate:.2f}",
        )
    console.print(table)


def _environment(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", CRYPTOFEED], check=True)
    return python


def _theirs(python: Path, exchange: str, frames: Sequence[bytes]) -> float:
    path = python.parents[1] / "frames"
    path.write_bytes(b"\n".join(frames))
    script = Path(__file__).with_name("cryptofeed_peer.py")
    done = subprocess.run(
        [str(python), str(script), exchange, str(path), str(ROUNDS)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def _ours(settings: Settings, exchange: str, kind: str, frames: Sequence[bytes]) -> float:
    region = settings.exchanges[exchange].region
    messages: list[Any] = [RawRecord(at, exchange.encode(), f) for at, f in enumerate(frames)]
    started = time.perf_counter()
    for _ in range(ROUNDS):
        if kind == "trade":
            TradeReader(settings, region, "t", 0).read(messages, now_ns())
            continue
        feeds: dict[str, BookPublisher] = {}
        for key, batch in BookReader(settings, region, "t", 0).read(messages, now_ns()):
            if not isinstance(batch, BookBatch):
                raise SystemExit(f"{exchange}: a recorded frame was refused: {batch}")
            name, _, symbol = key.partition(":")
            with exact():
                output = feeds.setdefault(key, BookPublisher(name, symbol, 0)).fold(batch)
            if output.problems:
                raise SystemExit(f"{exchange}: {output.problems[0]}")
            encode_orderbooks(output.summaries, settings)
    return len(frames) * ROUNDS / (time.perf_counter() - started)


def _same_work(settings: Settings, exchange: str, kind: str, frames: Sequence[bytes]) -> float:
    decoder, feed = decoder_of(exchange), settings.feed(exchange)
    started = time.perf_counter()
    for _ in range(ROUNDS):
        if kind == "trade":
            for frame in frames:
                decoder.decode_trades(frame, feed)
            continue
        books: dict[str, Book] = {}
        with exact():
            for frame in frames:
                for update in decoder.decode_books(frame, feed):
                    book = books.get(update.symbol)
                    if book is None:
                        book = books[update.symbol] = Book(exchange, update.symbol)
                    book.apply(update)
    return len(frames) * ROUNDS / (time.perf_counter() - started)
