"""What the regional socket collectors write: a batch of messages, JSON text inside JSON.

    {"region": "korea", "market": "UPBIT", "symbol": "BTC", "data": ["<JSON text>", ...]}

The collectors parsed and printed every message with floats, flattened the tickers, and left
stubs where they dropped one: `{"processed":"skip"}`, `{}` and `null`. The format is that of
https://github.com/MajorShareholderClub/ExchangePipeline.
"""

import re
from typing import Final

import msgspec

from schemas.errors import DecodeError
from schemas.exchanges import EXCHANGES

# No exchange's message starts with `region`; some start with `symbol` or `data`, and those
# have no region.
_OPENING: Final = re.compile(rb'\s*\{\s*"(?:(region)|market|symbol|data)"')
_SPACE: Final = re.compile(rb"\s+")
_STUBS: Final = frozenset({b"null", b"{}", b'{"processed":"skip"}'})
# A stub has 20 bytes; with room for the spaces of a printer, nothing longer need be looked at.
_LONGEST_STUB: Final = 64


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """One batch of messages of one exchange."""

    region: str
    """In lower case."""
    market: str
    """The exchange id: market names are exchange ids but for their case."""
    symbol: str
    """The base coin of the message that completed the batch, as the collector wrote it."""
    items: list[bytes]
    """The messages, each a JSON text, in their order."""
    skipped: int
    """How many stubs stood between them."""


class _Wire(msgspec.Struct, gc=False):
    region: str
    market: str
    symbol: str
    data: list[msgspec.Raw]


_wire: Final = msgspec.json.Decoder(_Wire)
_text: Final = msgspec.json.Decoder(str)


def is_envelope(value: bytes) -> bool:
    """Return whether a raw record is a collector's envelope, not an exchange's own frame."""
    opening = _OPENING.match(value)
    if opening is None:
        return False
    return opening.group(1) is not None or (b'"region"' in value and b'"market"' in value)


def decode_envelope(value: bytes) -> Envelope:
    """Unwrap an envelope; its messages are left to the exchange's decoder.

    Raises:
        DecodeError: It has another form, or its market is no exchange of this project.
    """
    try:
        wire = _wire.decode(value)
        items = [_item(raw, index) for index, raw in enumerate(wire.data)]
    except RecursionError:
        raise DecodeError("envelope: expected JSON, got too many nested levels") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise DecodeError(f"envelope: {error!s:.200}") from error
    market = wire.market.lower()
    if market not in EXCHANGES:
        known = ", ".join(EXCHANGES)
        raise DecodeError(f"envelope: market {wire.market[:40]!r}: expected one of {known}")
    messages = [item for item in items if not _is_stub(item)]
    return Envelope(
        region=wire.region.lower(),
        market=market,
        symbol=wire.symbol,
        items=messages,
        skipped=len(items) - len(messages),
    )


def _item(raw: msgspec.Raw, index: int) -> bytes:
    """Return the text of one message, which may also be JSON itself."""
    text = bytes(raw)
    if text.startswith(b'"'):
        return _text.decode(text).encode()
    if text.startswith((b"{", b"[")) or text == b"null":
        return text
    raise DecodeError(f"envelope: expected JSON text, got {text[:40]!r} - at `$.data[{index}]`")


def _is_stub(item: bytes) -> bool:
    return len(item) <= _LONGEST_STUB and _SPACE.sub(b"", item) in _STUBS
