"""What the collector knows of its feeds: the records of the topic `feed-status`."""

from typing import Final, Literal, TypeAlias

import msgspec

from schemas.errors import DecodeError
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


class StoredFeedStatus(msgspec.Struct, frozen=True, gc=False):
    """A record with its place in the topic, as the table `feed_status` holds it."""

    exchange: str
    kafka_partition: int
    kafka_offset: int
    status: FeedStatus

    @property
    def symbols(self) -> str | None:
        """The symbols as an array that PostgreSQL reads."""
        if self.status.symbols is None:
            return None
        quoted = (s.replace("\\", "\\\\").replace('"', '\\"') for s in self.status.symbols)
        return "{" + ",".join(f'"{symbol}"' for symbol in quoted) + "}"


_decode: Final = msgspec.json.Decoder(FeedStatus).decode


def decode_feed_status(value: bytes | None) -> FeedStatus:
    """Return the record of `feed-status` that a value holds.

    Raises:
        DecodeError: It is no such record.
    """
    try:
        return _decode(value or b"")
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise DecodeError(f"{error!s:.200} in {(value or b'')[:120]!r}") from error
