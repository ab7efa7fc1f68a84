"""One order book, kept from its updates by the rules of its exchange; the summary of its state.

What an update says of itself (:class:`~schemas.records.BookUpdate`) decides how it is applied:
full frames and snapshots replace the book, changes are applied to it. Before a change its ids must
prove that none is missing, afterwards its checksum that the book is the exchange's own. Where that
fails the book is invalid, and nothing is published of it until its next snapshot.

Everything here is computed within :func:`schemas.numbers.exact`, which the callers enter.
"""

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from dataflows.domain.books.sequence import Sequence, SequenceState
from dataflows.domain.books.side import Side
from dataflows.domain.books.whole import Figures, WholeBook
from dataflows.domain.states import checked
from schemas.errors import ChecksumMismatchError, FeedError
from schemas.exchanges import EXCHANGES
from schemas.exchanges.facts import Checksum
from schemas.numbers import SUM
from schemas.records import BookSummary, BookUpdate, Level

STATE_VERSION: Final = 2

# Deltas that wait for a snapshot from REST: at ten a second, a hundred seconds of them. Of more
# the oldest is dropped, and only a newer snapshot connects to the rest.
MAX_BUFFERED: Final = 1_000

# Half a basis point: a limit of a band is (bid + ask) * (10,000 ± bps) / 20,000, exactly.
_HALF_BPS: Final = Decimal("0.00005")
_BPS: Final = 10_000

_encode: Final = msgspec.msgpack.Encoder().encode
_levels: Final = msgspec.msgpack.Decoder(list[Level])
_NO_LEVELS: Final = _encode([])
_updates: Final = msgspec.msgpack.Decoder(list[BookUpdate])

DepthState: TypeAlias = tuple[int | None, int | None, int | None, bytes, bytes]
BookState: TypeAlias = tuple[int, bool, DepthState, SequenceState, bytes, bytes, bytes]


class Depth(NamedTuple):
    """What rests within some distance of the middle of the book."""

    bid_volume: Decimal
    ask_volume: Decimal
    is_truncated: bool
    """The known levels of a side end inside the band: its volume is a lower bound."""


class Book:
    """The book of one symbol of one exchange.

    Args:
        exchange: The exchange id, for summaries and messages.
        symbol: The canonical symbol, likewise.
        state: What :meth:`state` gave, to go on from there.
    """

    __slots__ = (
        "_asks", "_bids", "_buffer", "_deeper", "_recipe", "_sequence", "_subscribed_depth",
        "_whole", "depth", "exchange", "is_valid", "symbol", "verified",
    )  # fmt: skip

    def __init__(self, exchange: str, symbol: str, state: BookState | None = None) -> None:
        self.exchange = exchange
        self.symbol = symbol
        self._bids = Side(is_bid=True)
        self._asks = Side(is_bid=False)
        self._whole: WholeBook | None = None
        """The undecoded frame that replaces both sides until their levels are needed."""
        self.is_valid = False
        """Whether a snapshot has come, and since then nothing was missing."""
        self.depth: int | None = None
        """Levels a side that the feed keeps, where it says so."""
        self._deeper: int | None = None
        """The depth that it may be instead, until a checksum decides."""
        self._subscribed_depth: int | None = None
        """What the answer to the last subscription said."""
        self._recipe = EXCHANGES[exchange].checksum
        self.verified = 0
        """Checksums that matched, since this was last set."""
        self._sequence = Sequence()
        self._buffer: deque[BookUpdate] = deque(maxlen=MAX_BUFFERED)
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
    def last_id(self) -> int | None:
        """The sequence number of the last update, where the exchange counts them."""
        return self._sequence.last_id

    @property
    def sequence(self) -> Sequence:
        """What is known of the ids and times of its updates."""
        return self._sequence

    @property
    def figures(self) -> Figures:
        """What is published of the book as it is."""
        if self._whole is not None:
            return self._whole.figures
        bids, asks = self._bids, self._asks
        return Figures(
            bids.best, asks.best, bids.total, asks.total, len(bids.prices), len(asks.prices)
        )

    def apply(self, update: BookUpdate, *, verify: bool = True) -> bool:
        """Apply an update; return whether the book changed.

        Args:
            update: In the order of the feed.
            verify: Compare checksums. Not for what a collector printed anew (an envelope's
                items): that has lost the trailing zeros that Kraken's checksum covers, and how
                many there were cannot be told from the levels that are left.

        Raises:
            SequenceGapError: An update is missing before this one.
            ChecksumMismatchError: The book is not the exchange's any more.
        """
        if update.is_subscription:
            self._subscribed_depth = update.depth
            return False
        if not (update.is_snapshot or self.is_valid):
            self._keep(update)
            return False
        try:
            step = self._replace if update.is_snapshot else self._change
            return step(update, verify=verify)
        except FeedError as error:
            self.is_valid = False
            self._keep(update)
            raise type(error)(f"{self.exchange} {self.symbol}: {error}") from None

    def replace_lazily(self, whole: WholeBook) -> bool:
        """Replace the book by a frame that is decoded only if somebody asks for its levels.

        Fast path (books that are sent whole cost a third): only what has no checksum and follows
        no rule but growing ids comes here, and what needs more is applied as any update is.
        """
        if self._buffer or (self.is_valid and whole.figures == self.figures):
            # Changes follow it, or only its levels can tell whether it is the same book.
            return self.apply(whole.unpacked())
        if self.is_valid and self._sequence.is_stale(whole):
            return False
        self._whole, self.is_valid, self.depth = whole, True, whole.depth
        self._sequence.replace(whole)
        return True

    def summary(self, time_ns: int) -> BookSummary:
        """Return the state of a valid book."""
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
            self._sequence.last_id,
        )

    def depths(self, bands_bps: Iterable[int]) -> list[Depth] | None:
        """Return what rests within each distance of the middle; `None` if a side is empty."""
        bid, ask = self.bids.best, self.asks.best
        if bid is None or ask is None:
            return None
        return [self._within(bid + ask, bps) for bps in bands_bps]

    def state(self) -> BookState:
        """Return a copy to store, of plain values only."""
        return (
            STATE_VERSION,
            self.is_valid,
            self._depth_state(),
            self._sequence.state(),
            _encode(list(self.bids.sizes.items())),
            _encode(list(self.asks.sizes.items())),
            _encode(list(self._buffer)),
        )

    def _depth_state(self) -> DepthState:
        bids, asks = self._bids.spare or {}, self._asks.spare or {}
        spares = _encode(list(bids.items())), _encode(list(asks.items()))
        return self.depth, self._deeper, self._subscribed_depth, *spares

    def _restore(self, state: Any) -> None:
        if checked("an order book", state, STATE_VERSION) == 1:
            _, is_valid, last_id, depth, is_fed_by_rest, stale, *levels = state
            known_depth = (depth, None, None, _NO_LEVELS, _NO_LEVELS)
            state = (
                2,
                is_valid,
                known_depth,
                (last_id, is_fed_by_rest, stale, None, False),
                *levels,
            )
        _, self.is_valid, depths, sequence, bids, asks, buffer = state
        self._sequence = Sequence(sequence)
        self._bids.replace(_levels.decode(bids))
        self._asks.replace(_levels.decode(asks))
        self.depth, self._deeper, self._subscribed_depth, *spares = depths
        if self._deeper is not None:
            self._bids.spare, self._asks.spare = (dict(_levels.decode(spare)) for spare in spares)
        self._buffer.extend(_updates.decode(buffer))

    def _keep(self, update: BookUpdate) -> None:
        """Keep a change for the snapshot that it will be applied to.

        Only ids say which changes a snapshot from REST holds already. Where the snapshot comes in
        the feed itself, what was before it is worth nothing.
        """
        if update.needs_snapshot and not update.is_snapshot and update.last_id is not None:
            self._buffer.append(update)

    def _unpack(self) -> None:
        whole, self._whole = self._whole, None
        if whole is not None:
            update = whole.unpacked()
            self._bids.replace(update.bids)
            self._asks.replace(update.asks)

    def _replace(self, update: BookUpdate, *, verify: bool) -> bool:
        if self.is_valid and self._sequence.is_stale(update):
            return False
        self._unpack()
        was_valid = self.is_valid
        is_change = self._bids.replace(update.bids) | self._asks.replace(update.asks)
        self.is_valid = True
        self._set_depth(update)
        self._sequence.replace(update)
        self._complete(update, verify=verify)
        return self._apply_buffered(verify=verify) or is_change or not was_valid

    def _set_depth(self, update: BookUpdate) -> None:
        told = self._subscribed_depth
        self.depth = update.depth if told is None else told
        self._deeper = update.deeper if told is None else None
        for side in (self._bids, self._asks):
            side.spare = None if self._deeper is None else {}

    def _apply_buffered(self, *, verify: bool) -> bool:
        is_change = False
        while self._buffer:
            update = self._buffer[0]
            last_id = self._sequence.last_id
            if last_id is None or update.last_id is None or update.last_id > last_id:
                is_change |= self._change(update, verify=verify)
            self._buffer.popleft()  # a gap leaves it in, for a newer snapshot
        return is_change

    def _change(self, update: BookUpdate, *, verify: bool) -> bool:
        if not self._sequence.follows(update):
            return False
        self._unpack()
        # Most changes are of one side.
        is_change = bool(update.bids) and self._bids.change(update.bids)
        if update.asks:
            is_change |= self._asks.change(update.asks)
        if update.depth is not None:
            self.depth = update.depth
        self._sequence.change(update)
        return self._complete(update, verify=verify) or is_change

    def _complete(self, update: BookUpdate, *, verify: bool) -> bool:
        """Truncate the book and verify it; return whether levels were cut off."""
        is_cut = False
        if self.depth is not None:
            is_cut = self._bids.truncate(self.depth) | self._asks.truncate(self.depth)
        if self._deeper is not None:
            self._bids.trim_spare(self._deeper, update.bids)
            self._asks.trim_spare(self._deeper, update.asks)
        if verify and update.checksum is not None and self._recipe is not None:
            is_cut |= self._verify(update.checksum, self._recipe)
        return is_cut

    def _verify(self, expected: int, recipe: Checksum) -> bool:
        """Compare checksums; return whether that made the book deeper.

        Raises:
            ChecksumMismatchError: They differ, and do so in a deeper book as well.
        """
        checksum = self._checksum(recipe)
        is_deeper = False
        if checksum != expected and self._deeper is not None:
            is_deeper = self._bids.take_spare() | self._asks.take_spare()
            self.depth, self._deeper = self._deeper, None
            checksum = self._checksum(recipe)
        if checksum != expected:
            raise ChecksumMismatchError(
                f"checksum {checksum}, expected {expected}, which the exchange sent"
            )
        self.verified += 1
        return is_deeper

    def _checksum(self, recipe: Checksum) -> int:
        return recipe.combine(self._bids.best_texts(recipe), self._asks.best_texts(recipe))

    def _within(self, twice_middle: Decimal, bps: int) -> Depth:
        bid_volume, has_all_bids = self._bids.within(twice_middle * (_BPS - bps) * _HALF_BPS)
        ask_volume, has_all_asks = self._asks.within(twice_middle * (_BPS + bps) * _HALF_BPS)
        is_truncated = (has_all_bids and self._may_have_more(self._bids)) or (
            has_all_asks and self._may_have_more(self._asks)
        )
        return Depth(bid_volume.normalize(SUM), ask_volume.normalize(SUM), is_truncated)

    def _may_have_more(self, side: Side) -> bool:
        """Return whether the exchange may have levels that the feed does not show."""
        return self.depth is None or len(side.prices) >= self.depth
