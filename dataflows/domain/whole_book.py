"""Whole order books in brief: what is published of each, its levels left in the frame.

Some exchanges send the whole book with every change. Twenty levels a side are eighty decimals, 11
kB of objects; what is published of a state are its best prices and totals. So a whole frame is
summed up while its levels are at hand, and they are decoded again in the few cases where somebody
asks for them: the end of a minute, a snapshot of the dataflow, a change of the same book.
"""

from decimal import Decimal
from operator import gt, lt

import msgspec

from schemas.exchanges import decoder_of
from schemas.feeds import Feed
from schemas.records import BookUpdate, Level


class Figures(msgspec.Struct, frozen=True, gc=False):
    """What is published of a state of a book."""

    highest_bid: Decimal | None
    lowest_ask: Decimal | None
    bid_volume: Decimal
    ask_volume: Decimal
    bid_levels: int
    ask_levels: int


class WholeBook(msgspec.Struct, frozen=True, gc=False):
    """A whole book of a feed that sends nothing else."""

    symbol: str
    time_ns: int | None
    """`None`: the frame is not stamped; the receive time stands in."""
    last_id: int | None
    depth: int | None
    is_ordered: bool
    """Its ids grow: one that is not newer is to be dropped."""
    figures: Figures
    frame: bytes
    feed: Feed
    index: int
    """Which of the updates in the frame."""

    def unpacked(self) -> BookUpdate:
        """The update with its levels."""
        return decoder_of(self.feed.exchange).decode_books(self.frame, self.feed)[self.index]


def in_brief(update: BookUpdate, frame: bytes, feed: Feed, index: int) -> BookUpdate | WholeBook:
    """The update summed up, or itself where its book will need the levels. Needs :data:`SUM`."""
    rule = update.sequence_rule
    if not update.is_snapshot or rule not in ("none", "growing") or update.checksum is not None:
        return update
    bids, asks = update.bids, update.asks
    if not bids or not asks:
        return update
    if update.depth is not None and update.depth < max(len(bids), len(asks)):
        return update
    highest_bid, bid_volume = _best_and_volume(bids, is_bid=True)
    lowest_ask, ask_volume = _best_and_volume(asks, is_bid=False)
    if highest_bid is None or lowest_ask is None:
        return update
    return WholeBook(
        update.symbol,
        update.time_ns,
        update.last_id,
        update.depth,
        rule == "growing",
        Figures(highest_bid, lowest_ask, bid_volume, ask_volume, len(bids), len(asks)),
        frame,
        feed,
        index,
    )


def _best_and_volume(levels: list[Level], *, is_bid: bool) -> tuple[Decimal | None, Decimal]:
    """The best price, `None` where the levels are not in a strict order, and the sum of sizes."""
    prices = [price for price, _ in levels]
    is_ascending = prices[0] < prices[-1]
    if not all(map(lt if is_ascending else gt, prices, prices[1:])):
        return None, Decimal(0)
    best = prices[-1] if is_ascending == is_bid else prices[0]
    return best, sum([size for _, size in levels], Decimal(0))
