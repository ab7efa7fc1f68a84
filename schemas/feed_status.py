"""What the collector knows of its feeds: the records of the topic `feed-status`."""

from typing import Final, Literal, TypeAlias

import msgspec

from schemas.records import Product

FEED_STATUS_TOPIC: Final = "feed-status"
"""One partition a region, in the order of :data:`REGIONS`."""

REGIONS: Final = ("Korea", "Asia", "NE")

FeedEvent: TypeAlias = Literal[
    "connected", "disconnected", "resubscribed", "paused", "gap", "filled", "no_data", "other"
]


class FeedStatus(msgspec.Struct, frozen=True, gc=False):
    """One event of one feed: what is whole, and what is missing.

    `connected`: whole from `first_good_ms` on. `disconnected`: whole until `last_good_ms`, unknown
    after it. `gap`: something between `last_good_ms` and `first_good_ms` is missing. `filled`: what
    was missing between them has been fetched and is in the raw topic. `no_data`: nothing of these
    symbols has come since `last_good_ms`, though it should. `resubscribed` and `paused` say why.
    """

    time_ms: int
    """When the collector saw it, by its own clock."""
    exchange: str
    product: Product
    kind: str
    """`ticker`, `orderbook`, `trade` or `kline`."""
    event: str
    symbols: list[str] | None = None
    """Canonical; `None`: all of the feed."""
    last_good_ms: int | None = None
    """Event time of the last data before."""
    first_good_ms: int | None = None
    """Event time of the first data after."""
    reason: str = ""
