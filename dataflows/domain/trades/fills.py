"""Single fills whose aggregate may still come: what of an aggregate has been counted already.

OKX publishes the same fills twice: one by one (`trades-all`, REST) and as one row for all fills of
a taker order at one price (`trades`), which covers a range of ids. Either may come first, or only
a part of the single fills, as when a gap is filled. Ids alone tell whether a row is new; how much
of a partly known aggregate is new takes the sizes of its known fills.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import TypeAlias

from msgspec.structs import replace

from schemas.records import Trade

FillState: TypeAlias = tuple[int, Decimal, bool, Decimal, Decimal]
"""Id, price, whether the taker bought, size, notional."""


class Fills:
    """The single fills of one minute of one symbol."""

    __slots__ = ("_fills",)

    def __init__(self, state: Iterable[FillState] = ()) -> None:
        # Nearly no exchange has any, and an empty dict weighs 64 bytes.
        self._fills: dict[int, FillState] | None = {fill[0]: fill for fill in state} or None

    def add(self, trade: Trade) -> None:
        """Remember a single fill that was counted."""
        if self._fills is None:
            self._fills = {}
        fill_id = int(trade.trade_id)
        self._fills[fill_id] = (
            fill_id, trade.price, trade.taker_buys, trade.size, trade.notional,
        )  # fmt: skip

    def remainder(self, aggregate: Trade) -> Trade | None:
        """Return the aggregate without its known fills, or `None` if nothing is left of it.

        The known fills are forgotten: no other aggregate covers them. Base sizes of inverse
        contracts are rounded row by row; here the sum of all fills is the aggregate's own size.
        """
        fills, first_id, last_id = self._fills or {}, aggregate.first_id or 0, aggregate.trade_id
        size, notional = aggregate.size, aggregate.notional
        for fill_id in [known for known in fills if first_id <= known <= int(last_id)]:
            _, _, _, fill_size, fill_notional = fills.pop(fill_id)
            size -= fill_size
            notional -= fill_notional
        return replace(aggregate, size=size, notional=notional) if size > 0 else None

    def state(self, intervals: Iterable[tuple[int, int]]) -> list[FillState]:
        """Return the fills that an aggregate may still cover in part, to store.

        Args:
            intervals: Runs of ids that have been seen. An aggregate has one price and one side:
                one that is partly unknown reaches into a run from its end, up to the first fill
                that differs.
        """
        fills = self._fills
        if not fills:
            return []
        kept: dict[int, FillState] = {}
        for first_id, last_id in intervals:
            for ids in (range(first_id, last_id + 1), range(last_id, first_id - 1, -1)):
                edge = fills.get(ids[0])
                for fill_id in ids:
                    fill = fills.get(fill_id)
                    if edge is None or fill is None or fill[1:3] != edge[1:3]:
                        break
                    kept[fill_id] = fill
        return list(kept.values())
