"""The checksum of OKX's books.

https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel
"""

from collections.abc import Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Final
from zlib import crc32

from schemas.numbers import plain

_SIGN_BIT: Final = 1 << 31


def level_text(price: Decimal, size: Decimal) -> str:
    """Return price and size as they were sent: a decimal keeps all digits of the wire."""
    return f"{plain(price)}:{plain(size)}"


def combine(bids: Sequence[str], asks: Sequence[str]) -> int:
    """Return the signed CRC32 of bid and ask in turn, then the rest of the longer side."""
    texts = (text for pair in zip_longest(bids, asks) for text in pair if text is not None)
    checksum = crc32(":".join(texts).encode())
    return checksum - 2 * _SIGN_BIT if checksum & _SIGN_BIT else checksum
