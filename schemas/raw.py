"""Raw Kafka records: which feed a record belongs to, and the frames that it holds."""

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol, get_args

from schemas.envelope import decode_envelope, is_envelope
from schemas.errors import DecodeError
from schemas.exchanges import ExchangeDecoder, decoder_of
from schemas.feeds import Feed
from schemas.records import Product
from schemas.settings import Settings
from schemas.times import EARLIEST_NS, LATEST_NS, NS_PER_MS

_NANOSECONDS: Final = re.compile(rb"[0-9]{1,20}")

PRODUCTS: Final = frozenset(get_args(Product))

RECEIVED_AT: Final = "received_at"
"""The header that says when a collector received the record: unix nanoseconds as decimal text."""

# Keys are written by collectors, one for each feed or symbol; a flood of distinct ones is a
# fault of theirs that must not fill the memory of the flow.
FEEDS_REMEMBERED: Final = 100_000


class RawMessage(Protocol):
    """A record as the Kafka client hands it over, so that no copy is made."""

    def key(self) -> bytes | None: ...  # noqa: D102  # the client's own
    def value(self) -> bytes | None: ...  # noqa: D102  # the client's own
    def offset(self) -> int | None: ...  # noqa: D102  # the client's own
    def headers(self) -> Any: ...  # noqa: D102  # pairs of a str and bytes, or None
    def timestamp(self) -> tuple[int, int]: ...  # noqa: D102  # its kind, 0 for none; milliseconds


def received_at_ns(message: RawMessage) -> int | None:
    """Return when the record was received: as its collector says, else as Kafka stamped it.

    Never the wall clock of the reader, which would be another one when it is read again.
    """
    for name, value in message.headers() or ():
        if name == RECEIVED_AT and value and _NANOSECONDS.fullmatch(value):
            return _in_bounds(int(value))
    kind, time_ms = message.timestamp()
    return _in_bounds(time_ms * NS_PER_MS) if kind else None


def logged_at_ns(message: RawMessage, now_ns: int) -> int:
    """Return when Kafka stamped the record, or the wall clock if its stamp cannot be true.

    What is compared with it is decided the same way whenever the record is read, and whatever
    the reader's clock does.
    """
    kind, time_ms = message.timestamp()
    return (_in_bounds(time_ms * NS_PER_MS) if kind else None) or now_ns


def first_logged_ns(messages: Sequence[RawMessage], now_ns: int) -> int:
    """Return the earliest time at which any of the records was logged."""
    earliest_ms = min([message.timestamp()[1] for message in messages], default=0)
    if earliest_ms > EARLIEST_NS // NS_PER_MS:
        return earliest_ms * NS_PER_MS
    return min((logged_at_ns(message, now_ns) for message in messages), default=now_ns)


def _in_bounds(time_ns: int) -> int | None:
    return time_ns if EARLIEST_NS <= time_ns < LATEST_NS else None


class Unwrapped(NamedTuple):
    """The frames of an envelope, and how many stubs of dropped messages stood between them."""

    feed: Feed
    decoder: ExchangeDecoder
    frames: list[bytes]
    skipped: int


class RawRecords:
    """The feeds of one partition's records, by their keys.

    Args:
        settings: Names exchanges, markets and owners.
        region: The region whose topic is read.
        partition: The partition that is read; its owner is whose record it is if nothing
            else says so.
    """

    def __init__(self, settings: Settings, region: str, partition: int) -> None:
        self._settings = settings
        self._owner = settings.owner(region, partition)
        self._feeds: dict[bytes | None, tuple[Feed, ExchangeDecoder]] = {}

    def feed(self, key: bytes | None) -> tuple[Feed, ExchangeDecoder]:
        """Return the feed of a frame with this key, and its decoder.

        Raises:
            DecodeError: Neither the key nor the partition names an exchange.
        """
        found = self._feeds.get(key)
        return self._remember(key) if found is None else found

    def unwrap(self, key: bytes | None, value: bytes) -> Unwrapped | None:
        """Return what a collector's envelope holds, or `None` if the record is no envelope.

        Raises:
            DecodeError: It is an envelope, and broken.
        """
        if not is_envelope(value):
            return None
        envelope = decode_envelope(value)
        if envelope.market not in self._settings.exchanges:
            known = ", ".join(self._settings.exchanges)
            raise DecodeError(f"envelope: market {envelope.market}: expected one of {known}")
        # Only a key of the same exchange can say which product this is.
        keyed = self.feed(key)[0] if key else None
        product = keyed.product if keyed and keyed.exchange == envelope.market else None
        feed = self._settings.feed(envelope.market, product, coin=envelope.symbol.upper() or None)
        return Unwrapped(feed, decoder_of(feed.exchange), envelope.items, envelope.skipped)

    def _remember(self, key: bytes | None) -> tuple[Feed, ExchangeDecoder]:
        if len(self._feeds) >= FEEDS_REMEMBERED:
            self._feeds.clear()
        feed = self._parse_key(key)
        found = self._feeds[key] = (feed, decoder_of(feed.exchange))
        return found

    def _parse_key(self, key: bytes | None) -> Feed:
        text = (key or b"").decode("utf-8", "replace").strip('"')
        exchange, _, rest = text.partition(".")
        product, _, native_symbol = rest.partition(".")
        if exchange in self._settings.exchanges and (not product or product in PRODUCTS):
            return self._settings.feed(exchange, product or None, native_symbol or None)  # type: ignore[arg-type]
        if product in PRODUCTS or exchange in self._settings.exchanges:
            known = ", ".join(self._settings.exchanges)
            raise DecodeError(
                f"key {text!r:.120}: expected <exchange>[.<product>[.<native symbol>]], "
                f"an exchange of {known}, a product of {', '.join(sorted(PRODUCTS))}"
            )
        # The collectors in the field write JSON text, "UPBIT:ticker-BTC".
        market = text.partition(":")[0].lower()
        owner = self._settings.exchange_of_market.get(market, self._owner)
        if owner is None:
            raise DecodeError(
                f"key {text!r:.120}: expected it to name an exchange, since pipeline.yaml gives "
                "the partition to none"
            )
        return self._settings.feed(owner)
