"""The wire formats, one module an exchange, each a set of pure functions from bytes to records.

A decoder module has the four functions of :class:`ExchangeDecoder`. To add an exchange, write
the module, name it in :data:`EXCHANGES` and in ``pipeline.yaml``. Two more are for speed alone, and
answer `None` where they do not apply: `decode_trade_run` takes many frames at once, and
`decode_book_columns` gives the prices and sizes of a whole book without making its levels.
"""

from importlib import import_module
from typing import Final, Protocol, cast

from schemas.feeds import Feed
from schemas.records import BookUpdate, Kind, TickerUpdate, Trade

EXCHANGES: Final = (
    "upbit",
    "bithumb",
    "korbit",
    "coinone",
    "okx",
    "bybit",
    "gateio",
    "binance",
    "kraken",
    "bitmex",
)


class ExchangeDecoder(Protocol):
    """What every module of this package offers.

    A frame is one message as the exchange sent it: WebSocket text or the body of one REST
    response. Each function raises :class:`~schemas.errors.DecodeError` where the frame is not
    understood, and returns an empty list for a frame that is legal and carries nothing of
    that kind: acks, heartbeats, another channel's data, trades that do not count.
    """

    def kind(self, frame: bytes) -> Kind:
        """What the frame carries."""
        ...

    def decode_trades(self, frame: bytes, feed: Feed) -> list[Trade]:
        """The trades of the frame, in its order."""
        ...

    def decode_tickers(self, frame: bytes, feed: Feed) -> list[TickerUpdate]:
        """The tickers of the frame, full or as deltas."""
        ...

    def decode_books(self, frame: bytes, feed: Feed) -> list[BookUpdate]:
        """The order book updates of the frame, in its order."""
        ...


def decoder_of(exchange: str) -> ExchangeDecoder:
    """The decoder module of an exchange id.

    Raises:
        ModuleNotFoundError: There is no such exchange.
    """
    return cast(ExchangeDecoder, import_module(f"schemas.exchanges.{exchange}"))
