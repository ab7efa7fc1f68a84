"""The ticker of one market: deltas merged into the last whole one, missing figures derived."""

from collections import Counter
from decimal import Decimal
from operator import attrgetter
from typing import Final, NamedTuple, TypeAlias

import msgspec

from dataflows.domain.states import checked
from schemas.numbers import SUM, quotient
from schemas.records import TICKER_FIGURES, Ticker, TickerUpdate

STATE_VERSION: Final = 1

_figures_of: Final = attrgetter(*TICKER_FIGURES)

Figures: TypeAlias = tuple[Decimal | None, ...]
TickerState: TypeAlias = tuple[int, int, Figures | None]


class StampedUpdate(msgspec.Struct, frozen=True, gc=False):
    """An update with the time that counts for it."""

    time_ns: int
    update: TickerUpdate


class TickerBatch(NamedTuple):
    """What one batch of a partition means for one symbol."""

    key: str
    """`<exchange>:<symbol>`"""
    updates: list[StampedUpdate]
    """In the order of the log."""


class SymbolTicker:
    """The ticker of one symbol.

    Args:
        exchange: The exchange id.
        symbol: The canonical symbol.
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(self, exchange: str, symbol: str, state: TickerState | None = None) -> None:
        self.exchange = exchange
        self.symbol = symbol
        self.left_out: Counter[str] = Counter()
        """Updates that made no ticker since this was last cleared: `late`, older than the last
        one; `duplicates` of it; `waiting`, deltas before the first whole ticker."""
        if state is not None:
            checked("a ticker", state, STATE_VERSION)
        _, self._time_ns, self._figures = state or (STATE_VERSION, 0, None)

    def apply(self, time_ns: int, update: TickerUpdate) -> Ticker | None:
        """Apply an update; return the ticker that it makes, if any.

        Args:
            time_ns: Its own time, or when it was received.
            update: In the order of the feed.
        """
        if time_ns < self._time_ns:
            self.left_out["late"] += 1
            return None
        figures: Figures = _figures_of(update)
        if update.is_delta:
            if self._figures is None:
                self.left_out["waiting"] += 1
                return None
            figures = tuple(
                old if new is None else new for new, old in zip(figures, self._figures, strict=True)
            )
        if time_ns == self._time_ns and figures == self._figures:
            self.left_out["duplicates"] += 1
            return None
        self._time_ns, self._figures = time_ns, figures
        return Ticker(self.exchange, self.symbol, time_ns, *_completed(figures))

    def state(self) -> TickerState:
        """Return a copy to store, of plain values only."""
        return STATE_VERSION, self._time_ns, self._figures


def _completed(figures: Figures) -> Figures:
    """Return the figures with the change and its rate, where they follow from the prices."""
    _, trade_price, _, _, previous, _, change, rate = figures
    if change is None and previous is not None and trade_price is not None:
        change = SUM.subtract(trade_price, previous)
    if not previous:
        rate = None  # a rate of nothing is no rate, whatever the exchange says that it is
    elif rate is None and change is not None:
        rate = quotient(change, previous)
    return (*figures[:-2], change, rate)
