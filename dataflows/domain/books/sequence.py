"""The ids and times of an order book's updates: which is the next one, and which was seen before.

Collectors reconnect and repeat what they sent. A repetition is not newer than the book, by its own
time and by its id. Ids that fall while time goes on are no repetition: the exchange has begun to
count anew, and what it said of that was lost.
"""

from typing import Final, TypeAlias

from dataflows.domain.books.whole import WholeBook
from schemas.errors import SequenceGapError
from schemas.records import BookUpdate

# So many old updates in a row are no repetition, if nothing but their ids tells that they are old:
# dropping them would freeze the book for ever.
MAX_STALE_IN_A_ROW: Final = 100

SequenceState: TypeAlias = tuple[int | None, bool, int, int | None, bool]


class Sequence:
    """What is known of the updates of one book so far."""

    __slots__ = (
        "_follows_snapshot", "_is_fed_by_rest", "_stale_in_a_row", "last_id", "newest_ns", "stale",
    )  # fmt: skip

    def __init__(self, state: SequenceState = (None, False, 0, None, False)) -> None:
        (
            self.last_id, self._is_fed_by_rest, self._stale_in_a_row, self.newest_ns,
            self._follows_snapshot,
        ) = state  # fmt: skip
        self.stale = 0
        """Updates that were dropped as old, since this was last set."""

    def state(self) -> SequenceState:
        """Return a copy to store, of plain values only."""
        return (
            self.last_id, self._is_fed_by_rest, self._stale_in_a_row, self.newest_ns,
            self._follows_snapshot,
        )  # fmt: skip

    def is_stale(self, whole: BookUpdate | WholeBook) -> bool:
        """Return whether a whole book is older than the valid one that there is.

        Its time decides; where that is the same or not sent, the ids of a feed that only sends
        whole books do, and of one whose snapshots come by REST.
        """
        time_ns, newest_ns = whole.time_ns, self.newest_ns
        if time_ns is not None and newest_ns is not None and time_ns != newest_ns:
            return time_ns < newest_ns and self._drop()
        is_ordered = whole.sequence_rule == "growing" or self._is_fed_by_rest
        if not is_ordered or self.last_id is None or whole.last_id is None:
            return False
        return whole.last_id <= self.last_id and self._drop()

    def replace(self, whole: BookUpdate | WholeBook) -> None:
        """Go on from a whole book."""
        self.last_id = whole.last_id
        if whole.time_ns is not None:
            self.newest_ns = whole.time_ns
        self._stale_in_a_row = 0
        self._follows_snapshot = True

    def follows(self, update: BookUpdate) -> bool:
        """Return whether a change is the next one; `False` for one that the book has already.

        Raises:
            SequenceGapError: Something is missing before it.
        """
        last_id, new_id = self.last_id, update.last_id
        if update.sequence_rule == "none" or new_id is None:
            return True
        if last_id is None:
            if not update.needs_snapshot:
                return True
            raise SequenceGapError(
                f"update {new_id} after a snapshot without an id, expected a snapshot that says "
                "what it holds"
            )
        if _is_next(update, last_id, new_id):
            return True
        if self._is_repetition(update, last_id, new_id):
            return False
        raise SequenceGapError(
            f"update {_named(update)}, expected the one after {last_id} ({update.sequence_rule})"
        )

    def change(self, update: BookUpdate) -> None:
        """Go on from a change."""
        if update.last_id is not None:
            self.last_id = update.last_id
        time_ns = update.time_ns
        if time_ns is not None and (self.newest_ns is None or time_ns > self.newest_ns):
            self.newest_ns = time_ns
        self._is_fed_by_rest = update.needs_snapshot
        self._follows_snapshot = False
        self._stale_in_a_row = 0

    def _is_repetition(self, update: BookUpdate, last_id: int, new_id: int) -> bool:
        time_ns, newest_ns = update.time_ns, self.newest_ns
        # A snapshot from REST may hold changes that the feed sends and stamps after it.
        is_first = self._follows_snapshot and update.needs_snapshot
        if is_first or time_ns is None or newest_ns is None or time_ns == newest_ns:
            return new_id <= last_id and self._drop()
        if time_ns > newest_ns:
            return False
        self.stale += 1
        return True

    def _drop(self) -> bool:
        """Return whether an update can be dropped as old; not after too many in a row."""
        self.stale += 1
        self._stale_in_a_row += 1
        return self._stale_in_a_row <= MAX_STALE_IN_A_ROW


def _is_next(update: BookUpdate, last_id: int, new_id: int) -> bool:
    """Return whether nothing is missing between the last update and this one."""
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
