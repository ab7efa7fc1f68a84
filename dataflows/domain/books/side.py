"""One side of an order book: its levels, the best of them, their total."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from schemas.exchanges.facts import Checksum
from schemas.records import Level

ZERO: Final = Decimal(0)


class Side:
    """The levels of one side: `sizes` by price, and `prices` in order.

    Changing a level costs a look-up; adding or removing one a binary search and a move of
    pointers, which a thousand levels do not notice. Sums need :func:`schemas.numbers.exact`.
    """

    __slots__ = ("_is_bid", "prices", "sizes", "spare", "texts", "total")

    def __init__(self, *, is_bid: bool) -> None:
        self._is_bid = is_bid
        self.prices: list[Decimal] = []
        """Ascending: the best bid is the last, the best ask the first."""
        self.sizes: dict[Decimal, Decimal] = {}
        self.total = ZERO
        self.texts: dict[Decimal, str] = {}
        """What levels contribute to a checksum, for those that one was computed of."""
        self.spare: dict[Decimal, Decimal] | None = None
        """Levels that were cut off, while it is not certain how deep the book is."""

    @property
    def best(self) -> Decimal | None:
        """The best price."""
        if not self.prices:
            return None
        return self.prices[-1 if self._is_bid else 0]

    def replace(self, levels: Iterable[Level]) -> bool:
        """Replace all levels, given in any order; return whether that is a change."""
        sizes = dict(levels)
        if not all(sizes.values()):
            sizes = {price: size for price, size in sizes.items() if size}
        is_change = sizes != self.sizes
        self.prices, self.sizes, self.texts = sorted(sizes), sizes, {}
        self.total = sum(sizes.values(), ZERO)
        return is_change

    def change(self, levels: Iterable[Level]) -> bool:
        """Apply changed levels in order, size zero removes; return whether anything changed."""
        prices, sizes, texts, total = self.prices, self.sizes, self.texts, self.total
        is_change = False
        for price, size in levels:
            old = sizes.get(price)
            if size:
                if old is None:
                    prices.insert(bisect_left(prices, price), price)
                    total += size
                elif old == size:
                    continue
                else:
                    total += size - old
                sizes[price] = size
            elif old is None:
                continue
            else:
                del prices[bisect_left(prices, price)], sizes[price]
                total -= old
            if texts:
                texts.pop(price, None)
            is_change = True
        self.total = total
        return is_change

    def truncate(self, depth: int) -> bool:
        """Keep the best levels only; return whether there were more."""
        excess = len(self.prices) - depth
        if excess <= 0:
            return False
        worst = slice(excess) if self._is_bid else slice(depth, None)
        for price in self.prices[worst]:
            size = self.sizes.pop(price)
            self.total -= size
            self.texts.pop(price, None)
            if self.spare is not None:
                self.spare[price] = size
        del self.prices[worst]
        return True

    def trim_spare(self, deeper: int, changed: Iterable[Level]) -> None:
        """Keep of the levels that were cut off what a book of `deeper` levels would have.

        Args:
            deeper: How many levels a side that book has.
            changed: Levels that have just changed: the side knows them better.
        """
        spare = self.spare
        if not spare:
            return
        for price, size in changed:
            if not size or price in self.sizes:
                spare.pop(price, None)
        excess = len(self.prices) + len(spare) - deeper
        for price in sorted(spare, reverse=not self._is_bid)[: max(excess, 0)]:
            del spare[price]

    def take_spare(self) -> bool:
        """Put the levels back that were cut off; return whether that is a change."""
        spare, self.spare = self.spare, None
        return bool(spare) and self.change(spare.items() if spare else ())

    def best_texts(self, recipe: Checksum) -> list[str]:
        """Return the texts of the best levels, best first, for a checksum."""
        count, texts = recipe.levels, self.texts
        best = self.prices[: -count - 1 : -1] if self._is_bid else self.prices[:count]
        for price in best:
            if price not in texts:
                texts[price] = recipe.text(price, self.sizes[price])
        return [texts[price] for price in best]

    def within(self, limit: Decimal) -> tuple[Decimal, bool]:
        """Return the volume up to a price, and whether all known levels are within."""
        prices = self.prices
        if self._is_bid:
            inside = prices[bisect_left(prices, limit) :]
        else:
            inside = prices[: bisect_right(prices, limit)]
        volume = sum((self.sizes[price] for price in inside), ZERO)
        return volume, len(inside) == len(prices)
