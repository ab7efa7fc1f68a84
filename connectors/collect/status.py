"""Records of `feed-status`: what a feed says of itself, queued for the topic."""

import logging
from collections import deque
from collections.abc import Iterable
from typing import Final

from connectors.process import clock, metrics
from schemas.feed_status import FeedEvent, FeedStatus
from schemas.records import Product
from schemas.times import NS_PER_MS

log: Final = logging.getLogger("marketflow.collect")


def now_ms() -> int:
    """Return the wall clock in milliseconds."""
    return clock.now_ns() // NS_PER_MS


class StatusLog:
    """The records of one exchange and product, until the source takes them."""

    def __init__(self, exchange: str, product: Product) -> None:
        self.exchange = exchange
        self.product = product
        self.waiting: deque[FeedStatus] = deque()

    def report(
        self,
        kind: str,
        event: FeedEvent,
        symbols: Iterable[str],
        reason: str,
        last_good_ms: int | None = None,
        first_good_ms: int | None = None,
    ) -> None:
        """Queue a record, count it and log it; nothing is said of no symbols."""
        names = sorted(symbols)
        if not names:
            return
        status = FeedStatus(
            now_ms(), self.exchange, self.product, kind, event, names,
            last_good_ms, first_good_ms, reason,
        )  # fmt: skip
        self.waiting.append(status)
        metrics.FEED_EVENTS.labels(self.exchange, self.product, kind, event).inc()
        level = logging.INFO if event in ("connected", "filled", "other") else logging.WARNING
        shown = names[0] if len(names) == 1 else f"{len(names)} symbols"
        log.log(
            level, "%s %s %s: %s, %s: %s", self.exchange, self.product, kind, shown, event, reason
        )
