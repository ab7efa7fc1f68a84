"""A made-up order book for the benchmarks: most changes are near its best prices."""

import random

Level = tuple[bytes, bytes]


class Walk:
    """A book whose prices are whole ticks: bids below the middle, asks above it.

    Args:
        seed: Of its chances.
        depth: Levels a side.
    """

    def __init__(self, seed: int, depth: int) -> None:
        self._chance = random.Random(seed)
        self._depth = depth
        self._middle = 600_000
        self.bids = {self._middle - 1 - at: self._size() for at in range(depth)}
        self.asks = {self._middle + 1 + at: self._size() for at in range(depth)}

    def whole(self) -> tuple[list[Level], list[Level]]:
        """All levels, best first."""
        bids = [level(tick, self.bids[tick]) for tick in sorted(self.bids, reverse=True)]
        return bids, [level(tick, self.asks[tick]) for tick in sorted(self.asks)]

    def change(self) -> tuple[list[Level], list[Level]]:
        """Two or three changed levels: new sizes, and now and then a level gone and one come."""
        bids: list[Level] = []
        asks: list[Level] = []
        side, changed, out = (
            (self.bids, bids, -1) if self._chance.random() < 0.5 else (self.asks, asks, 1)
        )
        best = max(side) if out < 0 else min(side)
        for _ in range(2):
            tick = best + out * int(self._depth * self._chance.random() ** 3)
            if tick in side:
                side[tick] = self._size()
                changed.append(level(tick, side[tick]))
        if self._chance.random() < 0.3:
            gone = best + out * (1 + int((self._depth - 2) * self._chance.random() ** 2))
            if side.pop(gone, None):
                changed.append(level(gone, 0))
            # The last level of the book, so that its depth stays what it was.
            if len(side) < self._depth:
                new = (min(side) if out < 0 else max(side)) + out
                side[new] = self._size()
                changed.append(level(new, side[new]))
        if not changed:
            side[best] = self._size()
            changed.append(level(best, side[best]))
        return bids, asks

    def _size(self) -> int:
        return self._chance.randrange(1, 10**9)


def level(tick: int, size: int) -> Level:
    """Price and size as an exchange writes them."""
    return b"%d.%d" % divmod(tick, 10), b"%d.%08d" % divmod(size, 10**8)
