"""The checksums by which OKX and Kraken let a book be compared with their own.

Both are a CRC32 over the best levels, written as they were on the wire: a decimal keeps all its
digits, so that its plain text is that of the wire. Recipes:
https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel and
https://docs.kraken.com/api/docs/guides/spot-ws-book-v2.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import chain, zip_longest
from types import MappingProxyType
from typing import Final, NamedTuple
from zlib import crc32

from schemas.numbers import plain
from schemas.records import ChecksumRule

_SIGN_BIT: Final = 1 << 31


class Recipe(NamedTuple):
    """How one exchange computes the checksum of a book."""

    levels: int
    """How many of the best levels of each side it covers."""
    text: Callable[[Decimal, Decimal], str]
    """What a price and a size contribute; a book keeps it for as long as the level stands."""
    combine: Callable[[Sequence[str], Sequence[str]], int]
    """The checksum of the texts of bids and of asks, both from the best level on."""


def okx_text(price: Decimal, size: Decimal) -> str:
    """A level as OKX has it: price and size as they were sent."""
    return f"{plain(price)}:{plain(size)}"


def okx_checksum(bids: Sequence[str], asks: Sequence[str]) -> int:
    """Bid and ask in turn, the longer side alone where the other has ended; signed."""
    texts = (text for pair in zip_longest(bids, asks) for text in pair if text is not None)
    checksum = crc32(":".join(texts).encode())
    return checksum - 2 * _SIGN_BIT if checksum & _SIGN_BIT else checksum


def kraken_text(price: Decimal, size: Decimal) -> str:
    """A level as Kraken has it: the digits of price and size, without dots and leading zeros."""
    return _digits(price) + _digits(size)


def kraken_checksum(bids: Sequence[str], asks: Sequence[str]) -> int:
    """All asks, then all bids; unsigned."""
    return crc32("".join(chain(asks, bids)).encode())


def _digits(number: Decimal) -> str:
    return plain(number).replace(".", "").lstrip("0")


RECIPES: Final[Mapping[ChecksumRule, Recipe]] = MappingProxyType(
    {
        "okx": Recipe(25, okx_text, okx_checksum),
        "kraken": Recipe(10, kraken_text, kraken_checksum),
    }
)
