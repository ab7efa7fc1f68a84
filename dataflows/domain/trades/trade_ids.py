"""Which trades were seen: exact deduplication in little memory."""

from bisect import bisect_left, bisect_right
from typing import TypeAlias

from schemas.records import TradeId

TradeIdSetState: TypeAlias = tuple[list[int], list[int], list[str]]


class TradeIdSet:
    """The trade ids of one minute of one symbol.

    Numeric ids are kept as closed intervals: exchanges that count their trades one by one cost
    one interval a minute, whatever the order of arrival. Other ids are kept as they are.
    """

    __slots__ = ("_firsts", "_lasts", "_texts")

    def __init__(self, state: TradeIdSetState | None = None) -> None:
        firsts, lasts, texts = state or ([], [], [])
        self._firsts = list(firsts)
        self._lasts = list(lasts)
        # An empty set weighs 216 bytes, and most minutes never need it.
        self._texts = set(texts) if texts else None

    def add(self, trade_id: TradeId) -> bool:
        """Note the id and return whether it is new."""
        if isinstance(trade_id, str):
            if self._texts is None:
                self._texts = set()
            size = len(self._texts)
            self._texts.add(trade_id)
            return len(self._texts) > size
        lasts = self._lasts
        if lasts and trade_id == lasts[-1] + 1:  # the next one: by far the most frequent case
            lasts[-1] = trade_id
            return True
        return self._insert(trade_id)

    def extend(self, trade_ids: list[TradeId]) -> bool:
        """Note ids if they count up one by one and are all new; return whether they are."""
        first, lasts = trade_ids[0], self._lasts
        if isinstance(first, str) or (lasts and first <= lasts[-1]):
            return False
        after = first + len(trade_ids)
        if trade_ids != list(range(first, after)):
            return False
        if lasts and first == lasts[-1] + 1:
            lasts[-1] = after - 1
        else:
            self._firsts.append(first)
            lasts.append(after - 1)
        return True

    def add_range(self, first: int, last: int) -> int:
        """Note the ids of a closed range and return how many of them were new."""
        firsts, lasts = self._firsts, self._lasts
        begin = bisect_left(lasts, first - 1)  # the first interval that overlaps it or touches it
        end = bisect_right(firsts, last + 1)  # behind the last one
        new = last - first + 1
        for old_first, old_last in zip(firsts[begin:end], lasts[begin:end], strict=True):
            new -= max(0, min(old_last, last) - max(old_first, first) + 1)
        if begin < end:
            first, last = min(first, firsts[begin]), max(last, lasts[end - 1])
        firsts[begin:end] = [first]
        lasts[begin:end] = [last]
        return new

    def intervals(self) -> list[tuple[int, int]]:
        """Return the first and last id of each run of numeric ids, in their order."""
        return list(zip(self._firsts, self._lasts, strict=True))

    def state(self) -> TradeIdSetState:
        """Return a copy to store, plain values only."""
        return list(self._firsts), list(self._lasts), list(self._texts or ())

    def _insert(self, trade_id: int) -> bool:
        firsts, lasts = self._firsts, self._lasts
        after = bisect_right(firsts, trade_id)  # the interval before it may hold it
        if after and trade_id <= lasts[after - 1]:
            return False
        extends_before = after > 0 and trade_id == lasts[after - 1] + 1
        extends_after = after < len(firsts) and trade_id == firsts[after] - 1
        if extends_before and extends_after:
            lasts[after - 1] = lasts.pop(after)
            del firsts[after]
        elif extends_before:
            lasts[after - 1] = trade_id
        elif extends_after:
            firsts[after] = trade_id
        else:
            firsts.insert(after, trade_id)
            lasts.insert(after, trade_id)
        return True
