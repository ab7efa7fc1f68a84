"""An order book in integers: each side's levels by price, the best at the end of a sorted list."""

from bisect import bisect_left, insort

Levels = list[tuple[int, int]]
"""Prices in ticks and sizes in lots, best first. In changes, a size of zero removes the price."""


class Side:
    """One side of a book.

    Its keys grow towards the best level, so that both sides share their code: a bid's key is its
    price in ticks, an ask's key is that price negated.

    Args:
        sign: 1 for bids, -1 for asks.
    """

    __slots__ = ("keys", "sign", "sizes")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.sizes: dict[int, int] = {}

    def set(self, key: int, lots: int) -> None:
        """Put a level, or change the one that is there."""
        if key not in self.sizes:
            insort(self.keys, key)
        self.sizes[key] = lots

    def remove(self, key: int) -> None:
        """Take a level away."""
        del self.keys[bisect_left(self.keys, key)]
        del self.sizes[key]

    def cut_above(self, key: int) -> None:
        """Take away every level that is better than this one."""
        keys = self.keys
        while keys and keys[-1] > key:
            del self.sizes[keys.pop()]

    def cut_to(self, depth: int) -> None:
        """Take away the worst levels, so that so many stay."""
        surplus = len(self.keys) - depth
        if surplus > 0:
            for key in self.keys[:surplus]:
                del self.sizes[key]
            del self.keys[:surplus]

    def best(self) -> tuple[int, int]:
        """Return the price in ticks and the size in lots of the best level."""
        key = self.keys[-1]
        return abs(key), self.sizes[key]

    def top(self, depth: int) -> Levels:
        """Return the best levels, best first."""
        keys = self.keys[: -depth - 1 : -1]
        return list(zip(map(abs, keys), map(self.sizes.__getitem__, keys), strict=True))

    def shown(self, depth: int) -> dict[int, int]:
        """Return the sizes of the best levels by their keys, best first."""
        keys = self.keys[: -depth - 1 : -1]
        return dict(zip(keys, map(self.sizes.__getitem__, keys), strict=True))


class View:
    """What the subscribers of one channel were told of a book, down to its depth.

    Args:
        depth: How many levels a side the channel has.
    """

    __slots__ = ("asks", "bids", "depth", "last_id", "version")

    def __init__(self, depth: int) -> None:
        self.depth = depth
        # By the keys of the sides.
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.version = -1
        """Of the book when it was last shown."""
        self.last_id = 0
        """The exchange's number of the last update."""

    def move_to(self, bids: Side, asks: Side) -> tuple[Levels, Levels]:
        """Show the book as it is now; return what changed of its bids and asks."""
        new_bids, new_asks = bids.shown(self.depth), asks.shown(self.depth)
        changed = _changes(self.bids, new_bids), _changes(self.asks, new_asks)
        self.bids, self.asks = new_bids, new_asks
        return changed

    def levels(self) -> tuple[Levels, Levels]:
        """Return what was shown last, best first."""
        asks = [(-key, lots) for key, lots in self.asks.items()]
        return list(self.bids.items()), asks


def _changes(before: dict[int, int], after: dict[int, int]) -> Levels:
    """Return the levels that are gone, then those that are new or have another size."""
    gone = [(abs(key), 0) for key in before.keys() - after.keys()]
    return gone + [(abs(key), lots) for key, lots in after.items() - before.items()]
