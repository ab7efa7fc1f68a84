"""How deep a book of Kraken is: told by the subscription, else decided by the checksum."""

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from dataflows.domain.books.book import Book
from schemas.exchanges import EXCHANGES, decoder_of
from schemas.feeds import Feed
from schemas.records import Level
from tests.schemas.exchanges.frames import lines

FEED = Feed("kraken")
DEPTHS = (10, 25)
SUBSCRIBED = (
    '{"method":"subscribe","result":{"channel":"book","depth":%d,"snapshot":true,'
    '"symbol":"BTC/USD"},"success":true}'
)


class Exchange:
    """A book as Kraken sends it: no word of levels that fall out of the subscribed depth."""

    def __init__(self, depth: int, bids: list[int]) -> None:
        self.depth = depth
        self.bids = {Decimal(price): Decimal(1) for price in bids}
        self.sent = self.best()

    def best(self) -> list[Level]:
        return sorted(self.bids.items(), reverse=True)[: self.depth]

    def snapshot(self) -> str:
        return self._frame("snapshot", self.sent)

    def update(self, price: int, size: int) -> str | None:
        if size:
            self.bids[Decimal(price)] = Decimal(size)
        else:
            self.bids.pop(Decimal(price), None)
        old, new = dict(self.sent), self.best()
        changed = [level for level in new if old.get(level[0]) != level[1]]
        gone = [(at, Decimal(0)) for at in old if at not in self.bids]
        self.sent = new
        return self._frame("update", [*gone, *changed]) if gone or changed else None

    def _frame(self, kind: str, levels: list[Level]) -> str:
        recipe = EXCHANGES["kraken"].checksum
        assert recipe is not None
        best = [recipe.text(*level) for level in self.sent[: recipe.levels]]
        bids = ",".join(f'{{"price":{price},"qty":{size}}}' for price, size in levels)
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USD","bids":[{bids}],'
            f'"asks":[],"checksum":{recipe.combine(best, [])}}}]}}'
        )


CHANGES = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 3)), max_size=60)


def apply(book: Book, frame: str | bytes) -> None:
    for update in decoder_of("kraken").decode_books(
        frame.encode() if isinstance(frame, str) else frame, FEED
    ):
        book.apply(update)


@given(st.sampled_from(DEPTHS), st.sets(st.integers(1, 60), max_size=40), CHANGES)
def test_a_book_whose_depth_was_told_is_the_exchanges(
    depth: int, bids: set[int], changes: list[tuple[int, int]]
) -> None:
    exchange, book = Exchange(depth, sorted(bids)), Book("kraken", "BTC-USD")
    apply(book, SUBSCRIBED % depth)
    apply(book, exchange.snapshot())
    for price, size in changes:
        frame = exchange.update(price, size)
        if frame is not None:
            apply(book, frame)
        assert sorted(book.bids.sizes.items(), reverse=True) == exchange.best()


@given(st.sampled_from(DEPTHS), CHANGES)
def test_a_depth_that_was_not_told_is_decided_by_the_checksum(
    depth: int, changes: list[tuple[int, int]]
) -> None:
    """Ten levels may be all there are, or the ten that were asked for."""
    exchange, book = Exchange(depth, list(range(20, 30))), Book("kraken", "BTC-USD")
    apply(book, exchange.snapshot())
    for price, size in changes:
        frame = exchange.update(price, size)
        if frame is not None:
            apply(book, frame)  # raises where the checksum is another
        assert sorted(book.bids.sizes.items(), reverse=True)[:10] == exchange.best()[:10]
        assert book.depth in (depth, 10)


def test_a_thin_snapshot_keeps_every_level_that_comes() -> None:
    book = Book("kraken", "BTC-USD")
    for line in lines("cases/kraken-v2-book-depth-guessed-from-a-thin-snapshot.jsonl"):
        apply(book, line.partition(b'"frame":')[2][:-1])
        assert book.is_valid
    assert (len(book.bids.prices), book.bids.total) == (10, Decimal(11))
    assert (book.depth, book.verified) == (25, 3)


def test_a_later_subscription_changes_the_depth_with_its_snapshot() -> None:
    exchange, book = Exchange(25, list(range(1, 41))), Book("kraken", "BTC-USD")
    apply(book, SUBSCRIBED % 25)
    apply(book, exchange.snapshot())
    apply(book, SUBSCRIBED % 10)
    assert (len(book.bids.prices), book.depth) == (25, 25)
    apply(book, Exchange(10, list(range(1, 41))).snapshot())
    assert (len(book.bids.prices), book.depth) == (10, 10)


def test_a_refused_subscription_says_no_depth() -> None:
    refused = {"method": "subscribe", "success": False, "error": "Subscription depth not supported"}
    assert decoder_of("kraken").decode_books(json.dumps(refused).encode(), FEED) == []
