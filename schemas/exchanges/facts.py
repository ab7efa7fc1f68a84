"""What is known of an exchange: the types of the facts that each package states as `EXCHANGE`."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import msgspec

from schemas.errors import SettingsError
from schemas.feeds import Feed
from schemas.histories import History, Market
from schemas.klines import Kline, KlineConventions, KlineSource
from schemas.records import (
    BookColumns,
    BookUpdate,
    Kind,
    Product,
    SequenceRule,
    TickerUpdate,
    Trade,
    TradeRun,
)
from schemas.subscriptions import Subscriptions
from schemas.symbols import product_of


def nothing(frame: bytes, feed: Feed) -> list[Any]:
    """Return no records: the exchange has none of a kind, or they are not read."""
    del frame, feed
    return []


class ExchangeDecoder(msgspec.Struct, frozen=True):
    """The pure functions that read an exchange's frames.

    A frame is one message as the exchange sent it: WebSocket text or the body of one REST
    response. Each function raises :class:`~schemas.errors.DecodeError` if the frame is not
    understood, and returns an empty list for a frame that is legal and carries nothing of that
    kind: acks, heartbeats, another channel's data, trades that do not count.

    One bad row does not cost its neighbours: the good rows of a frame come as
    :class:`~schemas.records.Salvaged`, which says what was left out. Only a frame without any good
    row raises.

    The last two are fast paths: they return `None` when in doubt, and the plain ones decide.
    """

    kind: Callable[[bytes], Kind]
    """Return what the frame carries."""
    decode_trades: Callable[[bytes, Feed], list[Trade]]
    """Return the trades of the frame, in its order."""
    decode_tickers: Callable[[bytes, Feed], list[TickerUpdate]]
    """Return the tickers of the frame, full or as deltas."""
    decode_books: Callable[[bytes, Feed], list[BookUpdate]]
    """Return the order book updates of the frame, in its order."""
    decode_klines: Callable[[bytes, Feed], list[Kline]] = nothing
    """Return the klines of the frame."""
    decode_trade_run: Callable[[Sequence[bytes], Feed], TradeRun | None] | None = None
    """Return the trades of many frames of one product, decoded as one array.

    The frames name their markets: the feed's own is not looked at.
    """
    decode_book_columns: Callable[[bytes], BookColumns | None] | None = None
    """Return the one whole book of the frame as columns, unchecked and without its levels."""


class MovedFields(msgspec.Struct, frozen=True):
    """The keys whose values a replay moves, over all generations of an exchange's format."""

    times: str
    """Unix times, whose number of digits tells the unit, or dates with a clock time."""
    days_and_times: tuple[tuple[str, str], ...] = ()
    """A key with a date, and the one with its clock time that follows."""
    trade_ids: str = ""
    book_ids: str = ""
    """Only where a book would drop the next pass as older than this one."""
    row_time: str = ""
    """The expression before a time that has a place in a row instead of a key."""
    row_id: str = ""
    """The same for a trade id."""


class Checksum(msgspec.Struct, frozen=True):
    """How an exchange computes the checksum of a book; each recipe cites its document."""

    levels: int
    """How many of the best levels of each side it covers."""
    text: Callable[[Decimal, Decimal], str]
    """Return what a price and a size contribute; a book keeps it while the level stands."""
    combine: Callable[[Sequence[str], Sequence[str]], int]
    """Return the checksum of the texts of bids and of asks, both from the best level on."""


class Channel(msgspec.Struct, frozen=True):
    """One WebSocket channel whose frames the decoder reads."""

    name: str
    """As it is subscribed to."""
    kind: Literal["trade", "ticker", "orderbook"]
    holds: Literal["whole", "changes"] = "whole"
    """Whether a frame stands for itself or changes what came before it."""
    depths: tuple[int, ...] = ()
    """The levels a side that can be asked for."""
    sequence: SequenceRule = "none"
    """How one of its updates proves that none is missing before it."""
    snapshot: Literal["", "in the channel", "other channel", "REST"] = ""
    """Where a channel of changes gets its first whole book from."""
    has_checksum: bool = False


TradeNumbering: TypeAlias = Literal["consecutive", "growing", "unique"]
"""What trade ids prove: that none is missing, their order, or only which trade it is."""


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange."""

    id: int
    """Stored in every table: never change it, never give it to another exchange."""
    code: str
    """The name of its package, of its block in ``pipeline.yaml``, and in routes and keys."""
    name: str
    """As people write it."""
    decoder: ExchangeDecoder
    history: History
    native_symbols: Mapping[Product, str]
    """The form of its own symbols for each product, with `{base}` and `{quote}`."""
    native_currencies: Mapping[str, str] = {}
    """Its own name of a currency, by the common name, where they differ."""
    is_lower_case: bool = False
    """Whether its symbols are in lower case."""
    default_product: Product = "spot"
    """What a record is about whose key does not say it."""
    moved: MovedFields
    channels: tuple[Channel, ...]
    numbering: Mapping[Product, TradeNumbering]
    checksum: Checksum | None = None
    klines: KlineSource | None = None
    subscriptions: Subscriptions | None = None
    """`None`: it is not collected, its frames come from elsewhere."""

    @property
    def products(self) -> tuple[Product, ...]:
        """The products whose trades are read."""
        return tuple(self.numbering)

    def market(self, symbol: str) -> Market:
        """Return the exchange's own name of a canonical symbol, `BTC-USDT` or `BTC-USDT-PERP`.

        Raises:
            SettingsError: The exchange lists no such thing, or its name is not known here.
        """
        base, _, rest = symbol.partition("-")
        quote, _, contract = rest.partition("-")
        product = product_of(symbol)
        form = self.native_symbols.get(product)
        if not base or not quote or form is None or contract not in ("", "PERP"):
            raise SettingsError(
                f"symbol {symbol!r}: expected BASE-QUOTE or BASE-QUOTE-PERP; the history of "
                f"{self.code} is known for {', '.join(self.native_symbols)}"
            )
        names = self.native_currencies
        native = form.format(base=names.get(base, base), quote=names.get(quote, quote))
        return Market(symbol, product, native.lower() if self.is_lower_case else native)

    def kline_conventions(self, symbol: str) -> KlineConventions:
        """Return how the exchange counts the klines of a canonical symbol."""
        found = self.klines and self.klines.conventions.get(product_of(symbol))
        return found or KlineConventions()
