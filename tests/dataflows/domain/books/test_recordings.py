"""Recorded books, played whole, equal books that were built from the same JSON without our code."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from dataflows.domain.books.book import Book
from schemas.exchanges import decoder_of
from schemas.feeds import Feed
from schemas.records import Product

TESTS = Path(__file__).parents[3]
RECORDINGS = (TESTS / "recordings", TESTS.parent / "connectors" / "replay" / "recordings")


class Event(NamedTuple):
    """A frame, or a book that REST answered with."""

    time: Decimal
    native_symbol: str | None
    content: bytes


class Changes(NamedTuple):
    """One change of a book as the exchange wrote it."""

    native_symbol: str
    is_whole: bool
    last_id: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class NaiveBook:
    """A book of an exchange whose snapshot comes by REST, and of one whose snapshot is a frame."""

    def __init__(self) -> None:
        self.sides: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] | None = None
        self.last_id = 0
        self.waiting: list[Changes] = []

    def apply(self, changes: Changes) -> None:
        if changes.is_whole:
            self.sides, self.last_id = ({}, {}), 0
            for each in [changes, *self.waiting]:
                self._merge(each)
        elif self.sides is None:
            self.waiting.append(changes)
        else:
            self._merge(changes)

    def _merge(self, changes: Changes) -> None:
        assert self.sides is not None
        if changes.last_id <= self.last_id:
            return
        self.last_id = changes.last_id
        for side, levels in zip(self.sides, (changes.bids, changes.asks), strict=True):
            for price, size in levels:
                side[Decimal(price)] = Decimal(size)
                if not Decimal(size):
                    del side[Decimal(price)]


def read(name: str) -> Iterator[list[bytes]]:
    (path,) = (folder / name for folder in RECORDINGS if (folder / name).exists())
    for line in gzip.decompress(path.read_bytes()).splitlines():
        yield line.split(b"\t")


def events_of(name: str) -> list[Event]:
    events = [Event(Decimal(time.decode()), None, frame) for time, frame in read(f"{name}.tsv.gz")]
    try:
        answers = list(read(f"{name}-depth.tsv.gz"))
    except ValueError:
        answers = []
    for time, path, body in answers:
        query = parse_qs(urlsplit(path.decode()).query)
        (native,) = query.get("contract") or query.get("currency_pair") or query["symbol"]
        events.append(Event(Decimal(time.decode()), native, body))
    return sorted(events, key=lambda event: event.time)


def levels_of(rows: list[Any]) -> list[tuple[str, str]]:
    pairs = [(row["p"], row["s"]) if isinstance(row, dict) else row[:2] for row in rows]
    return [(str(price), str(size)) for price, size in pairs]


def changes_of(event: Event) -> Changes | None:
    """Return what a frame or an answer says about a book, read as its exchange documents it."""
    message = json.loads(event.content)
    if event.native_symbol is not None:
        last_id = message["id"] if "id" in message else message["lastUpdateId"]
        bids, asks = levels_of(message["bids"]), levels_of(message["asks"])
        return Changes(event.native_symbol, is_whole=True, last_id=last_id, bids=bids, asks=asks)
    topic = message.get("channel") or message.get("stream") or message.get("topic") or ""
    body = message.get("result") or message.get("data")
    if not any(word in topic for word in ("order_book_update", "@depth", "orderbook")):
        return None
    if not isinstance(body, dict) or "status" in body:
        return None
    is_whole = message.get("type") == "snapshot"
    return Changes(body["s"], is_whole, body["u"], levels_of(body["b"]), levels_of(body["a"]))


@pytest.mark.parametrize(
    ("name", "exchange", "product", "valid_books", "compared"),
    [
        ("bybit-v5-linear", "bybit", "linear", 4, 793),
        ("bybit-v5-spot", "bybit", "spot", 2, 282),
        ("gateio", "gateio", "spot", 5, 57),
        ("gateio-linear", "gateio", "linear", 5, 163),
        ("binance-spot", "binance", "spot", 2, 160),
        ("binance-linear", "binance", "linear", 2, 271),
    ],
)
def test_a_book_equals_one_built_without_our_code_at_each_step(
    name: str, exchange: str, product: Product, valid_books: int, compared: int
) -> None:
    decoder = decoder_of(exchange)
    books: dict[str, Book] = {}
    naive_books: dict[str, NaiveBook] = {}
    symbols: dict[str, str] = {}
    steps = 0
    for event in events_of(name):
        feed = Feed(exchange, product, event.native_symbol)
        updates = decoder.decode_books(event.content, feed)
        changes = changes_of(event)
        assert len(updates) == (changes is not None)
        if changes is None:
            continue
        (update,) = updates
        assert symbols.setdefault(changes.native_symbol, update.symbol) == update.symbol
        book = books.setdefault(update.symbol, Book(exchange, update.symbol))
        naive = naive_books.setdefault(update.symbol, NaiveBook())
        book.apply(update)
        naive.apply(changes)
        assert book.is_valid is (naive.sides is not None)
        if naive.sides is None:
            continue
        steps += 1
        bids, asks = naive.sides
        assert (book.bids.sizes, book.asks.sizes) == (bids, asks)
        assert (book.bids.best, book.asks.best) == (max(bids), min(asks))
        assert (book.bids.total, book.asks.total) == (sum(bids.values()), sum(asks.values()))
    assert sum(book.is_valid for book in books.values()) == valid_books
    assert steps == compared
