"""One order book, kept from its updates by the rules of its exchange; the summary of its state.

What an update says of itself (:class:`~schemas.records.BookUpdate`) decides how it is taken: full
frames and snapshots replace the book, deltas change it. Before a delta is applied its ids must
prove that none is missing, afterwards its checksum that the book is the exchange's own. Where
that fails the book is invalid, and nothing is to be published of it until its next snapshot.
"""

import decimal
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
from decimal import Decimal, getcontext, setcontext
from typing import Final, NamedTuple, TypeAlias

import msgspec

from dataflows.domain.books.whole import Figures, WholeBook
from schemas.errors import ChecksumMismatchError, FeedError, SequenceGapError
from schemas.exchanges import EXCHANGES
from schemas.exchanges.facts import Checksum
from schemas.numbers import SUM
from schemas.records import BookSummary, BookUpdate, Level

STATE_VERSION: Final = 1
ZERO: Final = Decimal(0)

# Deltas that wait for a snapshot from REST: at ten a second, a hundred seconds of them. Of more
# the oldest is dropped, and only a newer snapshot connects to the rest.
BUFFERED: Final = 1_000

# A collector that reconnects repeats what was seen. This many old ids in a row are no repetition:
# the exchange counts anew, and dropping what it sends would freeze the book for ever.
STALE_IN_A_ROW: Final = 100

# Half a basis point: a limit of a band is (bid + ask) * (10,000 ± bps) / 20,000, exactly.
_HALF_BPS: Final = Decimal("0.00005")
_BPS: Final = 10_000

_encode: Final = msgspec.msgpack.Encoder().encode
_levels: Final = msgspec.msgpack.Decoder(list[Level])
_updates: Final = msgspec.msgpack.Decoder(list[BookUpdate])

BookState: TypeAlias = tuple[int, bool, int | None, int | None, bool, int, bytes, bytes, bytes]


class Depth(NamedTuple):
    """What rests within some distance of the middle of the book."""

    bid_volume: Decimal
    ask_volume: Decimal
    is_truncated: bool
    """The known levels of a side end inside the band: its volume is a lower bound."""


class Side:
    """The levels of one side. A price is looked up in `sizes`, and its rank in `prices`.

    Changing a level costs a look-up; adding or removing one a binary search and a move of
    pointers, which a thousand levels do not notice. Sums need the :data:`SUM` context.
    """

    __slots__ = ("_is_bid", "prices", "sizes", "spare", "texts", "total")

    def __init__(self, *, is_bid: bool) -> None:
        self._is_bid = is_bid
        self.prices: list[Decimal] = []
        """Ascending: the best bid is the last, the best ask the first."""
        self.sizes: dict[Decimal, Decimal] = {}
        self.total = ZERO
        self.texts: dict[Decimal, str] = {}
        """What levels contribute to a checksum, where that was asked for already."""
        self.spare: dict[Decimal, Decimal] | None = None
        """Levels that were cut off, while it is not certain how deep the book is."""

    @property
    def best(self) -> Decimal | None:
        """The best price."""
        if not self.prices:
            return None
        return self.prices[-1 if self._is_bid else 0]

    def replace(self, levels: Iterable[Level]) -> bool:
        """Takes these levels for all there are, in whatever order; whether that is a change."""
        sizes = dict(levels)
        if not all(sizes.values()):
            sizes = {price: size for price, size in sizes.items() if size}
        is_change = sizes != self.sizes
        self.prices, self.sizes, self.texts = sorted(sizes), sizes, {}
        self.total = sum(sizes.values(), ZERO)
        return is_change

    def change(self, levels: Iterable[Level]) -> bool:
        """Applies changed levels in their order, size zero removes; whether anything changed."""
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
        """Keeps the best levels only; whether there were more."""
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
        """Take the levels back that were cut off, and cut none from now on; whether any was."""
        spare, self.spare = self.spare, None
        return bool(spare) and self.change(spare.items() if spare else ())

    def best_texts(self, recipe: Checksum) -> list[str]:
        """The texts of the best levels, best first, for a checksum."""
        count, texts = recipe.levels, self.texts
        best = self.prices[: -count - 1 : -1] if self._is_bid else self.prices[:count]
        for price in best:
            if price not in texts:
                texts[price] = recipe.text(price, self.sizes[price])
        return [texts[price] for price in best]

    def within(self, limit: Decimal) -> tuple[Decimal, bool]:
        """The volume up to a price, and whether all known levels are within."""
        prices = self.prices
        if self._is_bid:
            inside = prices[bisect_left(prices, limit) :]
        else:
            inside = prices[: bisect_right(prices, limit)]
        volume = sum((self.sizes[price] for price in inside), ZERO)
        return volume, len(inside) == len(prices)


class Book:
    """The book of one symbol of one exchange.

    Args:
        exchange: The exchange id, for summaries and messages.
        symbol: The canonical symbol, likewise.
        state: What :meth:`state` gave, to go on from there.
    """

    __slots__ = (
        "_asks", "_bids", "_buffer", "_deeper", "_is_fed_by_rest", "_packed", "_stale_in_a_row",
        "_subscribed_depth", "depth", "exchange", "is_valid", "last_id", "stale", "symbol",
        "verified", "waiting",
    )  # fmt: skip

    def __init__(self, exchange: str, symbol: str, state: BookState | None = None) -> None:
        self.exchange = exchange
        self.symbol = symbol
        self._bids = Side(is_bid=True)
        self._asks = Side(is_bid=False)
        self._packed: WholeBook | None = None
        """What the sides are instead, while nobody has asked for their levels."""
        self.is_valid = False
        """Whether a snapshot has come, and since then nothing was missing."""
        self.last_id: int | None = None
        """The sequence number of the last update, where the exchange counts them."""
        self.depth: int | None = None
        """Levels a side that the feed keeps, where it says so."""
        self._deeper: int | None = None
        """The depth that it may be instead, until a checksum decides."""
        self._subscribed_depth: int | None = None
        """What the answer to the last subscription said."""
        self.waiting = 0
        """Deltas that came without a snapshot before them, since this object was made."""
        self.stale = 0
        """Updates that were not newer than the book, and so were dropped."""
        self.verified = 0
        """Checksums that matched."""
        self._is_fed_by_rest = False
        self._stale_in_a_row = 0
        self._buffer: deque[BookUpdate] = deque(maxlen=BUFFERED)
        if state is not None:
            self._restore(state)

    @property
    def bids(self) -> Side:
        """The bids."""
        self._unpack()
        return self._bids

    @property
    def asks(self) -> Side:
        """The asks."""
        self._unpack()
        return self._asks

    @property
    def figures(self) -> Figures:
        """What is published of the book as it is."""
        if self._packed is not None:
            return self._packed.figures
        bids, asks = self._bids, self._asks
        return Figures(
            bids.best, asks.best, bids.total, asks.total, len(bids.prices), len(asks.prices)
        )

    def apply(self, update: BookUpdate | WholeBook, *, verify: bool = True) -> bool:
        """Takes an update in; whether the book changed.

        Args:
            update: In the order of the feed.
            verify: Compare checksums. Not for what a collector printed anew (an envelope's
                items): that has lost the trailing zeros that Kraken's checksum covers, and how
                many there were cannot be told from the levels that are left.

        Raises:
            SequenceGapError: An update is missing before this one.
            ChecksumMismatchError: The book is not the exchange's any more.
        """
        if isinstance(update, WholeBook):
            return self._replace_packed(update)
        if update.is_subscription:
            self._subscribed_depth = update.depth
            return False
        if not (update.is_snapshot or self.is_valid):
            self._wait(update)
            return False
        # Cheaper than a local context, which is a copy.
        context_of_caller = getcontext()
        if context_of_caller is not SUM:
            setcontext(SUM)
        try:
            step = self._replace if update.is_snapshot else self._change
            return step(update, verify=verify)
        except FeedError:
            self.is_valid = False
            self._keep(update)
            raise
        finally:
            if context_of_caller is not SUM:
                setcontext(context_of_caller)

    def summary(self, time_ns: int) -> BookSummary:
        """The state of a valid book."""
        figures = self.figures
        bid, ask = figures.highest_bid, figures.lowest_ask
        spread = None if bid is None or ask is None else SUM.subtract(ask, bid)
        return BookSummary(
            self.exchange,
            self.symbol,
            time_ns,
            bid,
            ask,
            spread,
            figures.bid_volume,
            figures.ask_volume,
            figures.bid_levels,
            figures.ask_levels,
            spread is not None and spread < 0,
            self.last_id,
        )

    def depths(self, bands_bps: Iterable[int]) -> list[Depth] | None:
        """What rests within each distance of the middle; `None` if a side is empty."""
        bid, ask = self.bids.best, self.asks.best
        if bid is None or ask is None:
            return None
        with decimal.localcontext(SUM):
            twice_middle = bid + ask
            return [self._within(twice_middle, bps) for bps in bands_bps]

    def state(self) -> BookState:
        """A copy to store, plain values only."""
        return (
            STATE_VERSION,
            self.is_valid,
            self.last_id,
            self.depth,
            self._is_fed_by_rest,
            self._stale_in_a_row,
            _encode(list(self.bids.sizes.items())),
            _encode(list(self.asks.sizes.items())),
            _encode(list(self._buffer)),
        )

    def _restore(self, state: BookState) -> None:
        (
            _, self.is_valid, self.last_id, self.depth, self._is_fed_by_rest, self._stale_in_a_row,
            bids, asks, buffer,
        ) = state  # fmt: skip
        with decimal.localcontext(SUM):
            self._bids.replace(_levels.decode(bids))
            self._asks.replace(_levels.decode(asks))
        self._buffer.extend(_updates.decode(buffer))

    def _wait(self, update: BookUpdate) -> None:
        self.waiting += 1
        self._keep(update)

    def _keep(self, update: BookUpdate) -> None:
        """Keeps a delta for the snapshot that it will be applied to.

        Only ids say which deltas a snapshot from REST holds already. Where the snapshot comes in
        the feed itself, what was before it is worth nothing.
        """
        if update.needs_snapshot and not update.is_snapshot and update.last_id is not None:
            self._buffer.append(update)

    def _unpack(self) -> None:
        packed, self._packed = self._packed, None
        if packed is not None:
            update = packed.unpacked()
            with decimal.localcontext(SUM):
                self._bids.replace(update.bids)
                self._asks.replace(update.asks)

    def _replace_packed(self, update: WholeBook) -> bool:
        if self._buffer or (self.is_valid and update.figures == self.figures):
            # Deltas follow it, or only its levels can tell whether it is the same book.
            return self.apply(update.unpacked())
        if self._is_stale_snapshot(update):
            return False
        self._packed, self.is_valid = update, True
        self.last_id, self.depth, self._stale_in_a_row = update.last_id, update.depth, 0
        return True

    def _replace(self, update: BookUpdate, *, verify: bool) -> bool:
        if self._is_stale_snapshot(update):
            return False
        self._unpack()
        was_valid = self.is_valid
        is_change = self._bids.replace(update.bids) | self._asks.replace(update.asks)
        self.is_valid = True
        self.last_id = update.last_id
        self._set_depth(update)
        self._complete(update, verify=verify)
        return self._apply_buffered(verify=verify) or is_change or not was_valid

    def _set_depth(self, update: BookUpdate) -> None:
        told = self._subscribed_depth
        self.depth = update.depth if told is None else told
        self._deeper = update.deeper if told is None else None
        for side in (self._bids, self._asks):
            side.spare = None if self._deeper is None else {}

    def _is_stale_snapshot(self, update: BookUpdate | WholeBook) -> bool:
        """Whether a whole book is older than this one; one that follows deltas is never."""
        is_ordered = update.sequence_rule == "growing" or self._is_fed_by_rest
        last_id, new_id = self.last_id, update.last_id
        if not self.is_valid or not is_ordered or last_id is None or new_id is None:
            return False
        return new_id <= last_id and self._drop_stale()

    def _drop_stale(self) -> bool:
        """Counts an update that is not newer; `False` after too many in a row."""
        self._stale_in_a_row += 1
        self.stale += 1
        return self._stale_in_a_row <= STALE_IN_A_ROW

    def _apply_buffered(self, *, verify: bool) -> bool:
        is_change = False
        while self._buffer:
            update = self._buffer[0]
            if self.last_id is None or update.last_id is None or update.last_id > self.last_id:
                is_change |= self._change(update, verify=verify)
            self._buffer.popleft()  # a gap leaves it in, for a newer snapshot
        return is_change

    def _change(self, update: BookUpdate, *, verify: bool) -> bool:
        if not self._follows(update):
            return False
        self._unpack()
        # Most changes are of one side.
        is_change = bool(update.bids) and self._bids.change(update.bids)
        if update.asks:
            is_change |= self._asks.change(update.asks)
        if update.last_id is not None:
            self.last_id = update.last_id
        if update.depth is not None:
            self.depth = update.depth
        self._is_fed_by_rest = update.needs_snapshot
        return self._complete(update, verify=verify) or is_change

    def _complete(self, update: BookUpdate, *, verify: bool) -> bool:
        """What follows any update: truncation, and the proof; whether levels were cut off."""
        self._stale_in_a_row = 0
        is_cut = False
        if self.depth is not None:
            is_cut = self._bids.truncate(self.depth) | self._asks.truncate(self.depth)
        if self._deeper is not None:
            self._bids.trim_spare(self._deeper, update.bids)
            self._asks.trim_spare(self._deeper, update.asks)
        if verify and update.checksum is not None:
            is_cut |= self._verify(update.checksum)
        return is_cut

    def _verify(self, expected: int) -> bool:
        """Compare checksums; return whether that made the book deeper.

        Raises:
            ChecksumMismatchError: They differ, and do so in a deeper book as well.
        """
        recipe = EXCHANGES[self.exchange].checksum
        if recipe is None:
            return False
        checksum = self._checksum(recipe)
        is_deeper = False
        if checksum != expected and self._deeper is not None:
            is_deeper = self._bids.take_spare() | self._asks.take_spare()
            self.depth, self._deeper = self._deeper, None
            checksum = self._checksum(recipe)
        if checksum != expected:
            raise ChecksumMismatchError(
                f"{self.exchange} {self.symbol}: checksum {checksum}, expected {expected}, which "
                "the exchange sent"
            )
        self.verified += 1
        return is_deeper

    def _checksum(self, recipe: Checksum) -> int:
        return recipe.combine(self._bids.best_texts(recipe), self._asks.best_texts(recipe))

    def _follows(self, update: BookUpdate) -> bool:
        """Whether a delta is the next one; `False` for one that the book has already.

        Raises:
            SequenceGapError: It is later than that.
        """
        rule, last_id, new_id = update.sequence_rule, self.last_id, update.last_id
        if rule == "none" or new_id is None:
            return True
        if last_id is None:
            if not update.needs_snapshot:
                return True
            raise SequenceGapError(
                f"{self.exchange} {self.symbol}: update {new_id} after a snapshot without an id, "
                "expected a snapshot that says what it holds"
            )
        if _is_next(update, last_id, new_id):
            return True
        if new_id <= last_id and self._drop_stale():
            return False
        raise SequenceGapError(
            f"{self.exchange} {self.symbol}: update {_named(update)}, expected the one after "
            f"{last_id} ({rule})"
        )

    def _within(self, twice_middle: Decimal, bps: int) -> Depth:
        bid_volume, has_all_bids = self._bids.within(twice_middle * (_BPS - bps) * _HALF_BPS)
        ask_volume, has_all_asks = self._asks.within(twice_middle * (_BPS + bps) * _HALF_BPS)
        is_truncated = (has_all_bids and self._may_have_more(self._bids)) or (
            has_all_asks and self._may_have_more(self._asks)
        )
        return Depth(bid_volume.normalize(SUM), ask_volume.normalize(SUM), is_truncated)

    def _may_have_more(self, side: Side) -> bool:
        """Whether the exchange may have levels that the feed does not show."""
        return self.depth is None or len(side.prices) >= self.depth


def _is_next(update: BookUpdate, last_id: int, new_id: int) -> bool:
    """Whether nothing is missing between the last update and this one."""
    match update.sequence_rule:
        case "linked":
            prev_id = update.prev_id
            if prev_id == last_id:  # also where OKX starts to count anew: new_id is less then
                return True
            # A snapshot from REST stands between two updates: this one covers it.
            return update.needs_snapshot and prev_id is not None and prev_id < last_id < new_id
        case "consecutive":
            first_id = new_id if update.first_id is None else update.first_id
            return first_id <= last_id + 1 <= new_id
        case "plus_one":
            return new_id == last_id + 1
        case _:
            return new_id > last_id


def _named(update: BookUpdate) -> str:
    ids = (("first", update.first_id), ("previous", update.prev_id))
    others = ", ".join(f"{name} {value}" for name, value in ids if value is not None)
    return f"{update.last_id} ({others})" if others else str(update.last_id)
