"""Upbit: the message format that it designed, on WebSocket and REST.

Facts: https://docs.upbit.com/kr/reference/websocket-guide. Frames are full: a book comes whole
each time, nothing is a delta. Numbers are JSON numbers and may have exponents (`1.16539E8`).
"""

from typing import Final

from schemas.exchanges import _upbit_format
from schemas.feeds import Feed
from schemas.records import BookColumns, BookUpdate, Kind, TickerUpdate, Trade

EXCHANGE: Final = "upbit"


def kind(frame: bytes) -> Kind:
    """Return what the frame carries; of a LIST frame, what its first message is."""
    return _upbit_format.kind(frame, EXCHANGE)


def decode_trades(frame: bytes, feed: Feed) -> list[Trade]:  # noqa: ARG001  # the interface's
    """Return the trades of the frame, in its order."""
    return _upbit_format.trades(frame, EXCHANGE)


def decode_tickers(frame: bytes, feed: Feed) -> list[TickerUpdate]:
    """Return the tickers of the frame, full, or flattened by a collector."""
    return _upbit_format.tickers(frame, feed)


def decode_books(frame: bytes, feed: Feed) -> list[BookUpdate]:  # noqa: ARG001  # the interface's
    """Return the order books of the frame, each whole: a unit pairs ask and bid by rank only."""
    return _upbit_format.books(frame, EXCHANGE)


def decode_book_columns(frame: bytes) -> BookColumns | None:
    """Return the one order book of the frame, unchecked, or `None`."""
    return _upbit_format.book_columns(frame)
