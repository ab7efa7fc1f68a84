"""The records between the steps of a dataflow: what a decoder makes, what a sink takes.

Times are integers of nanoseconds since the Unix epoch, UTC. Prices and sizes are exact
``Decimal``; sizes are in base units, notionals in quote units. Records are immutable and
hold no reference cycles, which lets the garbage collector ignore them (``gc=False``).
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from types import NoneType
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar, get_args, get_origin

import msgspec

Kind: TypeAlias = Literal["ticker", "orderbook", "trade", "control", "other"]
"""What a frame carries. `control`: acks, heartbeats, status. `other`: data we have no use for."""

Product: TypeAlias = Literal["spot", "linear", "inverse"]

TradeId: TypeAlias = int | str

R = TypeVar("R")


def kinds_of(record: type[msgspec.Struct]) -> dict[str, type]:
    """Return what each field of a record holds, where it holds anything.

    The columns of tables and of Parquet files follow from it: a field is written down once.
    """
    kinds = {}
    for field in msgspec.structs.fields(record):
        options = [kind for kind in get_args(field.type) if kind is not NoneType] or [field.type]
        kinds[field.name] = get_origin(options[0]) or options[0]
    return kinds


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One execution, seen from the side of its taker."""

    symbol: str
    """Canonical: `BTC-USDT`, `BTC-USD-PERP`, `BTC-USD-220527`."""
    trade_id: TradeId
    """Unique within exchange and symbol; numeric ids are integers."""
    time_ns: int
    """When the exchange executed it, by the exchange's clock."""
    taker_buys: bool
    price: Decimal
    size: Decimal
    """In base units, also for contracts."""
    notional: Decimal
    """In quote units."""
    first_id: int | None = None
    """First id that the row covers, up to `trade_id`, at an exchange that publishes the same fills
    one by one and aggregated (OKX): `trade_id` itself for a single fill. `None`: no other row
    covers the id."""


class TradeRun(NamedTuple):
    """The trades of many frames."""

    trades: list[Trade]
    """In the order of the frames."""
    counts: list[int] | None = None
    """How many each frame holds; `None` for one each."""


class TickerUpdate(msgspec.Struct, frozen=True, gc=False):
    """A ticker frame in the common names; `None` is what the exchange did not send."""

    symbol: str
    time_ns: int | None
    """`None`: the frame is not stamped; the receive time stands in."""
    is_delta: bool
    """Only the changed fields are there (Bybit): merge into the last full ticker."""
    opening_price: Decimal | None = None
    trade_price: Decimal | None = None
    max_price: Decimal | None = None
    min_price: Decimal | None = None
    prev_closing_price: Decimal | None = None
    acc_trade_volume_24h: Decimal | None = None
    signed_change_price: Decimal | None = None
    """`None`: derive it, `trade_price - prev_closing_price`."""
    signed_change_rate: Decimal | None = None
    """A fraction, 0.01 is one percent. `None`: derive it from the previous close."""


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """What a market did in the last 24 hours, or since its day began, in the common names.

    `None`: the exchange does not say, and nothing that it does say tells it.
    """

    exchange: str
    symbol: str
    time_ns: int
    """When the exchange made it; for feeds without a stamp, when it was received."""
    opening_price: Decimal | None
    trade_price: Decimal | None
    max_price: Decimal | None
    min_price: Decimal | None
    prev_closing_price: Decimal | None
    acc_trade_volume_24h: Decimal | None
    signed_change_price: Decimal | None
    signed_change_rate: Decimal | None
    """A fraction, 0.01 is one percent; `None` where the previous close is zero or missing."""


TICKER_FIGURES: Final = Ticker.__struct_fields__[3:]
"""What a ticker says, by the common names."""

BANDS_BPS: Final = (5, 10, 25, 50, 100)
"""Distances from the middle of a book whose volumes are in its minutes, in 1/10,000."""

Level: TypeAlias = tuple[Decimal, Decimal]
"""Price and size. In a delta, size zero removes the price."""

SequenceRule: TypeAlias = Literal["none", "growing", "linked", "consecutive", "plus_one"]
"""How an update proves that none is missing before it.

- `none`: it cannot.
- `growing`: `last_id` only grows; an update that is not newer is dropped (Coinone, Gate limited,
  Binance partial books).
- `linked`: `prev_id` is the `last_id` of the update before (OKX `prevSeqId`, Binance futures `pu`).
- `consecutive`: `first_id` is the `last_id` of the update before plus one (Binance spot, Gate).
- `plus_one`: `last_id` is the one before plus one (Bybit); a snapshot at any time replaces the
  book.
"""


class BookUpdate(msgspec.Struct, frozen=True, gc=False):
    """One change of one order book, before it is applied."""

    symbol: str
    time_ns: int | None
    """`None`: the frame is not stamped; the receive time stands in."""
    is_snapshot: bool
    """These are all levels of the book, as opposed to changed ones."""
    bids: list[Level]
    asks: list[Level]
    sequence_rule: SequenceRule = "none"
    first_id: int | None = None
    last_id: int | None = None
    prev_id: int | None = None
    needs_snapshot: bool = False
    """A delta of a feed whose snapshot comes by REST (Binance, Gate): until one was injected, the
    book cannot be kept."""
    depth: int | None = None
    """Levels a side that the exchange keeps: truncate to it after each update."""
    deeper: int | None = None
    """The depth that it may be instead, where `depth` follows from the number of levels alone:
    a checksum decides."""
    is_subscription: bool = False
    """It says nothing but how deep the book will be, from its next snapshot on."""
    checksum: int | None = None
    """As sent; `None` where there is none to check. The recipe is a fact of the exchange."""


class BookColumns(msgspec.Struct, frozen=True, gc=False):
    """One whole book as it was sent, before anything of it was checked."""

    symbol: str
    time_ns: int | None
    bid_prices: list[Decimal]
    bid_sizes: list[Decimal]
    ask_prices: list[Decimal]
    ask_sizes: list[Decimal]


class Salvaged(list[R]):
    """The records of a frame of which some rows were left out."""

    def __init__(self, records: Iterable[R], problems: Sequence[str], skipped: int) -> None:
        super().__init__(records)
        self.problems = problems
        """What was wrong with each bad row, which is named: a dead letter tells it."""
        self.skipped = skipped
        """Legal rows that are no records, like trades of size zero."""

    @property
    def rows(self) -> int:
        """The number of rows that the frame had."""
        return len(self) + len(self.problems) + self.skipped


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that could not be processed, with all that is needed to replay it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    error: str
    """What was wrong and what was expected, for a person."""
    step: str
    """The step of the dataflow that refused it."""
    exchange: str = "unknown"
    """Whose record it is, where its key or partition says so."""
    original_sha256: str | None = None
    """Of the value, where this holds only the beginning of it: the original is in its topic."""
    original_bytes: int | None = None
    """How long the value is then."""


class TakerVolume(msgspec.Struct, frozen=True, gc=False):
    """One state of one minute of one symbol: a live estimate, the final figure, or a revision."""

    exchange: str
    symbol: str
    minute: int
    """Its start, in seconds since the Unix epoch."""
    taker_buy_volume: Decimal
    taker_sell_volume: Decimal
    taker_buy_notional: Decimal
    taker_sell_notional: Decimal
    buy_count: int
    sell_count: int
    """Trades by their ids: an aggregate of OKX counts as its fills, one of Binance as one."""
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal | None
    """Prices are `None` in a minute without trades."""
    vwap: Decimal | None
    """Notional by volume, rounded half-even to 12 decimals."""
    is_final: bool
    revision: int
    """0 for estimates; 1 for the final figure, one more for each trade that was late by the log
    and for each change of completeness that became known after the minute was over."""
    late_trades: int
    duplicate_trades: int
    is_complete: bool | None = None
    """`True`: nothing of the minute is missing. `False`: an outage touched it, and what was missed
    has not been fetched. `None`: nobody was there to know, or the minute is still open."""


class BookSummary(msgspec.Struct, frozen=True, gc=False):
    """An order book after an update that changed it."""

    exchange: str
    symbol: str
    time_ns: int
    highest_bid: Decimal | None
    lowest_ask: Decimal | None
    spread: Decimal | None
    """Ask minus bid, negative in a crossed book. `None`, like a best price, if a side is empty."""
    total_bid_volume: Decimal
    total_ask_volume: Decimal
    bid_levels: int
    ask_levels: int
    is_crossed: bool
    """The best bid is above the best ask."""
    sequence: int | None
    """The exchange's number of the update, where it counts them."""


class SnapshotRequest(msgspec.Struct, frozen=True):
    """A book is lost: whoever collects its feed should fetch or subscribe to it anew."""

    exchange: str
    symbol: str
    reason: str
    """What was wrong, for a person."""
    at: str
    """When, by the exchange's clock: UTC, ISO 8601."""


class BookMinute(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One final minute of the order book of one symbol.

    A book is a state that lasts until the next update, so that a quiet minute has values as well.
    `twa` is an average by time, over the part of the minute in which the value existed: the book
    was valid, and had two sides where it takes two. `min` and `max` are over all states in the
    minute. The plain values are those of the last valid state in it. Volumes are in the unit of
    the feed's levels. `None`: there was no such value.
    """

    exchange: str
    symbol: str
    minute: int
    """Its start, in seconds since the Unix epoch."""
    highest_bid: Decimal | None
    lowest_ask: Decimal | None
    spread: Decimal | None
    spread_min: Decimal | None
    spread_max: Decimal | None
    spread_twa: Decimal | None
    spread_bps_twa: Decimal | None
    """Of the spread by the middle of the book, in 1/10,000."""
    total_bid_volume: Decimal | None
    total_bid_volume_min: Decimal | None
    total_bid_volume_max: Decimal | None
    total_bid_volume_twa: Decimal | None
    total_ask_volume: Decimal | None
    total_ask_volume_min: Decimal | None
    total_ask_volume_max: Decimal | None
    total_ask_volume_twa: Decimal | None
    imbalance: Decimal | None
    """Of the totals: bid minus ask by bid plus ask, from -1 to 1."""
    imbalance_twa: Decimal | None
    # What rests within so many 1/10,000 of the middle, where the book was valid to the end.
    # Truncated: the feed's levels end inside the band, the volume is a lower bound.
    depth_5bps_bid: Decimal | None = None
    depth_5bps_ask: Decimal | None = None
    depth_5bps_truncated: bool | None = None
    depth_10bps_bid: Decimal | None = None
    depth_10bps_ask: Decimal | None = None
    depth_10bps_truncated: bool | None = None
    depth_25bps_bid: Decimal | None = None
    depth_25bps_ask: Decimal | None = None
    depth_25bps_truncated: bool | None = None
    depth_50bps_bid: Decimal | None = None
    depth_50bps_ask: Decimal | None = None
    depth_50bps_truncated: bool | None = None
    depth_100bps_bid: Decimal | None = None
    depth_100bps_ask: Decimal | None = None
    depth_100bps_truncated: bool | None = None
    updates: int
    """Those that changed the book."""
    crossed: int
    """Those of them after which the best bid was above the best ask."""
    crossed_ms: int
    gaps: int
    """How often the book was lost: an update missing, or a checksum that differed."""
    valid_ms: int
    """How long the book was known, of 60,000."""
    is_complete: bool | None = None
    """Nothing of the minute is known to be missing; `None`: nobody was there to know."""


AuditVerdict: TypeAlias = Literal["equal", "explained", "different", "unknown"]


class KlineFigures(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The columns of a minute that an audit compares; `None`: one side does not have it."""

    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    close: Decimal | None = None
    volume: Decimal | None = None
    notional: Decimal | None = None
    taker_buy_volume: Decimal | None = None
    taker_buy_notional: Decimal | None = None
    trade_count: int | None = None


class AuditMinute(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The verdict on one of our minutes, held against the exchange's own kline."""

    exchange: str
    symbol: str
    minute: int
    """Its start, in seconds since the Unix epoch."""
    verdict: AuditVerdict
    reason: str
    revision: int | None
    """Of our row; `None`: we have none."""
    kline: KlineFigures
    """The exchange's own."""
    difference: KlineFigures
    """Ours minus theirs."""
    known: int
    """How much the verdict knows: of two on one minute the greater is the newer."""
