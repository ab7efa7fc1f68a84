"""Cursors: where the next page begins, opaque to those who pass it back."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from hashlib import sha256
from typing import Final

import msgspec

_MAX_CHARACTERS: Final = 400


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The place of the last row of a page, in the order of the answer."""

    question: str
    """A hash of everything but the cursor: a cursor belongs to one question."""
    time_us: int
    exchange: str
    symbol: str


def encode_cursor(cursor: Cursor) -> str:
    """Return the text that `cursor=` takes."""
    return urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def decode_cursor(text: str) -> Cursor:
    """Return the cursor of a text.

    Raises:
        ValueError: No answer of this interface ended with it.
    """
    if len(text) > _MAX_CHARACTERS or not text.isascii():
        raise ValueError(text[:_MAX_CHARACTERS])
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        cursor = msgspec.json.decode(raw, type=Cursor)
    except (Base64Error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(text) from error
    if not 0 <= cursor.time_us < 1 << 53:
        raise ValueError(text)
    return cursor


def fingerprint(*parts: object) -> str:
    """Return a short hash of what makes a question."""
    return sha256(repr(parts).encode()).hexdigest()[:16]
