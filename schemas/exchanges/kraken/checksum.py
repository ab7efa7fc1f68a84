"""The checksum of Kraken's books, the same in both versions of its WebSocket.

https://docs.kraken.com/api/docs/guides/spot-ws-book-v2
"""

from collections.abc import Sequence
from decimal import Decimal
from itertools import chain
from zlib import crc32

from schemas.numbers import plain


def level_text(price: Decimal, size: Decimal) -> str:
    """Return the digits of price and size as sent, without dots and leading zeros."""
    return _digits(price) + _digits(size)


def combine(bids: Sequence[str], asks: Sequence[str]) -> int:
    """Return the unsigned CRC32 of all asks, then all bids."""
    return crc32("".join(chain(asks, bids)).encode())


def _digits(number: Decimal) -> str:
    return plain(number).replace(".", "").lstrip("0")
