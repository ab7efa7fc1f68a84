"""Which minutes of a stream are whole, by what the collector said of its feeds.

::

    feed-status ─→ Coverage, in a partition's reader ─→ Timeline, one for each symbol ─→ is_complete

Everything follows from the records of `feed-status` alone: the collector's clock is in them, so
that reading them again gives the same verdicts and the same number of revisions.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

from schemas.feed_status import FeedStatus
from schemas.records import Product
from schemas.symbols import product_of
from schemas.times import NS_PER_MINUTE, NS_PER_MS

MS_PER_MINUTE: Final = NS_PER_MINUTE // NS_PER_MS

PRODUCTS: Final[tuple[Product, ...]] = ("spot", "linear", "inverse")

# Of a feed that breaks every minute this is half a day; older spans are given up.
MAX_SPANS: Final = 1_000

Changes: TypeAlias = tuple[int, ...]
"""When the collector learned what is said of a span, by its own clock."""
Span: TypeAlias = tuple[int, bool | None, Changes]
"""Start in milliseconds, whether it is whole (`None`: unknown), and what changed that."""
CoverageState: TypeAlias = tuple[dict[str, list[Span]], dict[str, list[Span]]]


class Verdict(NamedTuple):
    """What is known of one minute of one stream."""

    is_complete: bool | None
    """`True`: whole. `False`: a part of it is missing. `None`: no status covers it."""
    revisions: int
    """How often that changed after the minute was over, with its lateness."""
    is_connected: bool
    """In a part of the minute, at least, the stream was whole."""


class Timeline:
    """The whole and the broken spans of one stream, each until the next one starts.

    Args:
        state: What :meth:`state` gave, to go on from there.
    """

    __slots__ = ("_spans",)

    def __init__(self, state: Iterable[Span] = ()) -> None:
        self._spans: list[Span] = list(state) or [(0, None, ())]

    def state(self) -> list[Span]:
        """Return a copy to store, plain values only."""
        return list(self._spans)

    @property
    def is_known(self) -> bool:
        """Whether any status was applied."""
        return len(self._spans) > 1 or self._spans[0][1] is not None

    @property
    def first_minute(self) -> int:
        """The first minute that a status touches, 0 where none does."""
        first = next((start for start, is_whole, _ in self._spans if is_whole is not None), 0)
        return first // MS_PER_MINUTE

    @property
    def is_open(self) -> bool:
        """Whether the stream is whole until further notice."""
        return self._spans[-1][1] is True

    def apply(self, status: FeedStatus) -> None:
        """Apply one record of `feed-status`; the caller knows that it is about this stream."""
        last_good_ms, first_good_ms = status.last_good_ms, status.first_good_ms
        after_ms = (status.time_ms if last_good_ms is None else last_good_ms) + 1
        first_ms = status.time_ms if first_good_ms is None else first_good_ms
        match status.event:
            case "connected":
                self._set(first_ms, None, status.time_ms, is_whole=True)
            case "resubscribed" if first_good_ms is not None:
                self._set(first_ms, None, status.time_ms, is_whole=True)
            case "disconnected" | "no_data":
                self._set(after_ms, None, status.time_ms, is_whole=False)
            case "gap":
                self._set(after_ms, first_ms, status.time_ms, is_whole=False)
            case "filled":
                self._set(after_ms, first_ms, status.time_ms, is_whole=True)
            case _:  # it says why, not what
                pass

    def judge(self, minute_index: int, lateness_ms: int) -> Verdict:
        """Return what is known of a minute, counted from the Unix epoch."""
        start_ms = minute_index * MS_PER_MINUTE
        end_ms = start_ms + MS_PER_MINUTE
        place = bisect_right(self._spans, start_ms, key=_start) - 1
        wholes: set[bool | None] = set()
        changes: set[int] = set()
        for span_start_ms, is_whole, changed in self._spans[max(place, 0) :]:
            if span_start_ms >= end_ms:
                break
            wholes.add(is_whole)
            changes.update(changed)
        is_complete = False if len(wholes) > 1 else next(iter(wholes), None)
        revisions = sum(ms >= end_ms + lateness_ms for ms in changes)
        return Verdict(is_complete, revisions, True in wholes)

    def forget(self, before_minute: int) -> None:
        """Drop the spans that no minute from this one on can touch."""
        place = bisect_right(self._spans, before_minute * MS_PER_MINUTE, key=_start) - 1
        if place > 0:
            del self._spans[:place]

    def _set(self, start_ms: int, end_ms: int | None, time_ms: int, *, is_whole: bool) -> None:
        """Say something new of `[start_ms, end_ms)`; without an end, until further notice."""
        if end_ms is not None and end_ms <= start_ms:
            return
        spans: list[Span] = []
        for at, (since_ms, was_whole, changes) in enumerate(self._spans):
            until_ms = self._spans[at + 1][0] if at + 1 < len(self._spans) else None
            low_ms = max(since_ms, start_ms)
            high_ms = until_ms if end_ms is None else _least(until_ms, end_ms)
            if was_whole is is_whole or (high_ms is not None and low_ms >= high_ms):
                spans.append((since_ms, was_whole, changes))
                continue
            if since_ms < low_ms:
                spans.append((since_ms, was_whole, changes))
            spans.append((low_ms, is_whole, _since(low_ms, (*changes, time_ms))))
            if high_ms is not None and (until_ms is None or high_ms < until_ms):
                spans.append((high_ms, was_whole, _since(high_ms, changes)))
        self._spans = _merged(spans)[-MAX_SPANS:]


class Coverage:
    """What is known of one exchange's streams of one kind.

    A record that names symbols is about those; one without symbols is about all of its product,
    also about those that were named before.

    Args:
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(self, state: CoverageState = ({}, {})) -> None:
        self._products = {product: Timeline(spans) for product, spans in state[0].items()}
        self._named = {symbol: Timeline(spans) for symbol, spans in state[1].items()}

    def state(self) -> CoverageState:
        """Return a copy to store, plain values only."""
        return (
            {product: timeline.state() for product, timeline in self._products.items()},
            {symbol: timeline.state() for symbol, timeline in self._named.items()},
        )

    def apply(self, status: FeedStatus) -> None:
        """Apply one record of `feed-status` about this exchange and kind."""
        if status.symbols is None:
            self._product(status.product).apply(status)
            for symbol, timeline in self._named.items():
                if product_of(symbol) == status.product:
                    timeline.apply(status)
            return
        for symbol in status.symbols:
            if symbol not in self._named:
                known = self._products.get(status.product)
                self._named[symbol] = Timeline(known.state() if known else ())
            self._named[symbol].apply(status)

    def timeline(self, symbol: str) -> Timeline:
        """Return a copy of what is known of a symbol's stream."""
        known = self._named.get(symbol) or self._products.get(product_of(symbol))
        return Timeline(known.state() if known else ())

    def lose(self, last_good_ms: int, first_good_ms: int) -> None:
        """Note that the log itself has lost records of all streams between two times.

        This revises no minute: none that the loss touches was final when it was found.
        """
        for product in PRODUCTS:
            self.apply(
                FeedStatus(
                    last_good_ms, "", product, "", "gap", None, last_good_ms, first_good_ms,
                    "records were deleted unread",
                )
            )  # fmt: skip

    @property
    def is_known(self) -> bool:
        """Whether any status was applied."""
        return bool(self._products or self._named)

    def names(self, symbol: str) -> bool:
        """Return whether the collector named the symbol."""
        return symbol in self._named

    def is_expected(self, symbol: str) -> bool:
        """Return whether the collector named the symbol and now has a whole stream of it."""
        timeline = self._named.get(symbol)
        return timeline is not None and timeline.is_open

    def expected(self) -> list[str]:
        """Return the symbols that the collector named and now has whole streams of."""
        return [symbol for symbol, timeline in self._named.items() if timeline.is_open]

    def _product(self, product: str) -> Timeline:
        return self._products.setdefault(product, Timeline())


def concerns(status: FeedStatus, symbol: str) -> bool:
    """Return whether a record is about a symbol of its exchange."""
    if status.symbols is None:
        return product_of(symbol) == status.product
    return symbol in status.symbols


def _start(span: Span) -> int:
    return span[0]


def _least(one_ms: int | None, other_ms: int) -> int:
    return other_ms if one_ms is None else min(one_ms, other_ms)


def _since(start_ms: int, changes: Changes) -> Changes:
    """Return the changes that can be late for a minute which this span touches."""
    return tuple(time_ms for time_ms in changes if time_ms >= start_ms)


def _merged(spans: list[Span]) -> list[Span]:
    merged = spans[:1]
    for span in spans[1:]:
        if span[1:] != merged[-1][1:]:
            merged.append(span)
    return merged
