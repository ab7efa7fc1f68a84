"""The rows of the answers: their fields, in order, with what each means.

The SQL of a route selects the fields of its row by name; how a field leaves the database follows
from its type here.
"""

from typing import Annotated, Any, Final, LiteralString, TypeAlias, get_args, get_origin

import msgspec
from msgspec import Meta

from schemas.records import AuditVerdict

Number: TypeAlias = Annotated[str, Meta(description="Exact decimal")]
Time: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


def _number(description: str, example: str) -> Any:
    return Meta(description=description, examples=[example])


Exchange: TypeAlias = Annotated[str, Meta(description="Exchange id", examples=["binance"])]
Symbol: TypeAlias = Annotated[str, Meta(description="Canonical symbol", examples=["BTC-USDT-PERP"])]
Start: TypeAlias = Annotated[
    Time, Meta(description="Start of the interval, UTC", examples=["2024-10-23T10:20:00Z"])
]


class TakerVolumeRow(msgspec.Struct, frozen=True, gc=False):
    """What takers bought and sold in one interval of one market."""

    exchange: Exchange
    symbol: Symbol
    time: Start
    taker_buy_volume: Annotated[Number, _number("Bought by takers, base units", "12.3450")]
    taker_sell_volume: Annotated[Number, _number("Sold by takers, base units", "9.8700")]
    taker_buy_notional: Annotated[Number, _number("Bought by takers, quote units", "822390.1")]
    taker_sell_notional: Annotated[Number, _number("Sold by takers, quote units", "657512.5")]
    buy_count: Annotated[int, Meta(description="Trades whose taker bought", examples=[310])]
    sell_count: Annotated[int, Meta(description="Trades whose taker sold", examples=[288])]
    delta: Annotated[Number, _number("Buy minus sell volume", "2.4750")]
    cvd: Annotated[Number | None, _number("Sum of delta since the anchor", "17.1")]
    taker_buy_ratio: Annotated[
        Number | None, _number("Buy by total volume, 12 decimals; null without trades", "0.55570")
    ]
    taker_sell_ratio: Annotated[
        Number | None, _number("Sell by total volume, 12 decimals; null without trades", "0.4443")
    ]
    taker_buy_sell_ratio: Annotated[
        Number | None, _number("Buy by sell volume, 12 decimals; null where none sold", "1.25076")
    ]
    open: Annotated[Number | None, _number("First price; null without trades", "66609.22")]
    high: Annotated[Number | None, _number("Highest price", "66640.00")]
    low: Annotated[Number | None, _number("Lowest price", "66600.10")]
    close: Annotated[Number | None, _number("Last price", "66619.98")]
    vwap: Annotated[Number | None, _number("Notional by volume, 12 decimals", "66617.3")]
    notional_usd: Annotated[Number | None, _number("Both notionals in US dollars", "1479902.6")]
    usd_rate: Annotated[Number | None, _number("US dollars for one unit of the quote", "1")]
    usd_rate_source: Annotated[
        str,
        Meta(
            description=(
                "Where the rate is from: `USD`; `par`, a dollar coin taken for a dollar; a market "
                "with its exchanges and the start of the interval of its volume-weighted price; "
                "or `none` and why the rate is null"
            ),
            examples=["USDT-KRW bithumb,upbit 2024-10-23T10:20:00Z"],
        ),
    ]
    is_final: Annotated[bool, Meta(description="No longer an estimate")]
    is_complete: Annotated[
        bool | None,
        Meta(
            description=(
                "true: nothing is known to be missing; false: an outage touched the interval; "
                "null: nobody was there to know"
            )
        ),
    ]
    revision: Annotated[
        int, Meta(description="0: estimate, 1: final, more: corrected", examples=[1])
    ]
    audited: Annotated[
        AuditVerdict | None,
        Meta(
            description=(
                "How the minute compares with the exchange's own kline: `equal`; `explained`, "
                "different for a reason that is known; `different`; `unknown`, the exchange sent "
                "none. Null: not judged yet; always null with `as_of`, in `/v1/stream` and for "
                "longer intervals, whose shares are in `/v1/coverage`"
            ),
            examples=["equal"],
        ),
    ]


class TakerVolumeSumRow(msgspec.Struct, frozen=True, gc=False):
    """What takers bought and sold in one interval of a symbol on several exchanges."""

    exchanges: Annotated[
        list[str], Meta(description="Ids of the exchanges in the sum", examples=[["okx", "upbit"]])
    ]
    symbol: Symbol
    time: Start
    taker_buy_volume: Number
    taker_sell_volume: Number
    taker_buy_notional: Number
    taker_sell_notional: Number
    buy_count: int
    sell_count: int
    delta: Number
    cvd: Number | None
    taker_buy_ratio: Number | None
    taker_sell_ratio: Number | None
    taker_buy_sell_ratio: Number | None
    open: Annotated[
        Number | None,
        Meta(description="Null in a sum of several exchanges: their clocks do not order trades"),
    ]
    high: Number | None
    low: Number | None
    close: Annotated[Number | None, Meta(description="As for `open`")]
    vwap: Number | None
    notional_usd: Number | None
    usd_rate: Number | None
    usd_rate_source: str
    is_final: bool
    is_complete: bool | None
    revision: int
    audited: Annotated[None, Meta(description="A sum is not judged: shares are in `/v1/coverage`")]


class TickerRow(msgspec.Struct, frozen=True, gc=False):
    """The newest ticker of one market."""

    exchange: Exchange
    symbol: Symbol
    time: Annotated[Time, Meta(description="By the exchange's clock, UTC")]
    opening_price: Number | None
    trade_price: Number | None
    max_price: Number | None
    min_price: Number | None
    prev_closing_price: Number | None
    acc_trade_volume_24h: Number | None
    signed_change_price: Number | None
    signed_change_rate: Annotated[Number | None, Meta(description="A fraction: 0.01 is 1 %")]


class OrderbookRow(msgspec.Struct, frozen=True, gc=False):
    """The order book of one market in one interval: its last state, extremes and averages.

    Averages are weighted by the time for which the book was known (`valid_ms`).
    """

    exchange: Exchange
    symbol: Symbol
    time: Start
    highest_bid: Number | None
    lowest_ask: Number | None
    spread: Number | None
    spread_min: Number | None
    spread_max: Number | None
    spread_twa: Number | None
    spread_bps_twa: Number | None
    total_bid_volume: Number | None
    total_bid_volume_min: Number | None
    total_bid_volume_max: Number | None
    total_bid_volume_twa: Number | None
    total_ask_volume: Number | None
    total_ask_volume_min: Number | None
    total_ask_volume_max: Number | None
    total_ask_volume_twa: Number | None
    imbalance: Number | None
    imbalance_twa: Number | None
    depth_5bps_bid: Number | None
    depth_5bps_ask: Number | None
    depth_5bps_truncated: bool | None
    depth_10bps_bid: Number | None
    depth_10bps_ask: Number | None
    depth_10bps_truncated: bool | None
    depth_25bps_bid: Number | None
    depth_25bps_ask: Number | None
    depth_25bps_truncated: bool | None
    depth_50bps_bid: Number | None
    depth_50bps_ask: Number | None
    depth_50bps_truncated: bool | None
    depth_100bps_bid: Number | None
    depth_100bps_ask: Number | None
    depth_100bps_truncated: bool | None
    buy_slippage_bps: Annotated[
        Number | None,
        Meta(
            description=(
                "Average distance from the middle, in 1/10,000, of buying `notional` at the end "
                "of the interval, each band taken as evenly filled; null where the bands hold less"
            )
        ),
    ]
    sell_slippage_bps: Annotated[Number | None, Meta(description="The same of selling")]
    updates: int
    crossed: int
    crossed_ms: int
    gaps: int
    valid_ms: Annotated[int, Meta(description="How long the book was known")]
    is_complete: bool | None


class PremiumRow(msgspec.Struct, frozen=True, gc=False):
    """How much dearer a coin is on the Korean exchanges, in one interval."""

    base: Annotated[str, Meta(description="The coin", examples=["BTC"])]
    time: Start
    korea_price: Annotated[
        Number | None, _number("Volume-weighted price on the Korean exchanges, KRW", "93400000")
    ]
    korea_exchanges: Annotated[list[str], Meta(examples=[["bithumb", "upbit"]])]
    world_price: Annotated[
        Number | None,
        _number("Volume-weighted price of spot markets elsewhere, in dollars", "66617.3"),
    ]
    world_exchanges: Annotated[list[str], Meta(examples=[["binance", "okx"]])]
    rate: Annotated[Number | None, _number("KRW for a USDT, as traded in Korea", "1391.5")]
    rate_source: Annotated[
        str | None, Meta(description="Market and exchanges", examples=["USDT-KRW bithumb,upbit"])
    ]
    premium: Annotated[
        Number | None,
        _number("A fraction, 0.01 is 1 %: korea_price / (world_price * rate) - 1", "0.0076"),
    ]
    reason: Annotated[
        str | None,
        Meta(description="Why the premium is null", examples=["USDT-KRW did not trade"]),
    ]
    is_final: bool
    is_complete: bool | None


class CoverageRow(msgspec.Struct, frozen=True, gc=False):
    """How much of an interval of a market is there, and known to be whole."""

    exchange: Exchange
    symbol: Symbol
    time: Start
    expected_minutes: Annotated[int, Meta(description="That have passed", examples=[1440])]
    minutes: Annotated[int, Meta(description="That have a row")]
    complete_minutes: int
    incomplete_minutes: Annotated[int, Meta(description="Touched by an outage, and not filled")]
    unknown_minutes: Annotated[int, Meta(description="Nobody was there to know")]
    missing_minutes: Annotated[int, Meta(description="Without a row")]
    coverage: Annotated[Number | None, _number("Complete by expected minutes", "0.998611")]
    audited_minutes: Annotated[int, Meta(description="Held against the exchange's own klines")]
    different_minutes: Annotated[int, Meta(description="That differ from them, unexplained")]
    audited: Annotated[
        Number | None, _number("Equal by audited minutes; null: none was audited", "1.000000")
    ]


class IncidentRow(msgspec.Struct, frozen=True, gc=False):
    """One outage of one feed, or minutes in a row that differ from the exchange's own klines."""

    exchange: Exchange
    product: str
    kind: Annotated[
        str, Meta(description="Of data; `audit`: minutes that differ", examples=["trade"])
    ]
    event: Annotated[
        str, Meta(description="How it began; `different` of an audit", examples=["disconnected"])
    ]
    symbols: Annotated[list[str] | None, Meta(description="Null: all of the feed")]
    from_: Annotated[Time, Meta(description="The last good data before it")] = msgspec.field(
        name="from"
    )
    until: Annotated[Time | None, Meta(description="The first good data after it; null: open")]
    filled_at: Annotated[
        Time | None, Meta(description="When what was missing had been fetched; null: it is missing")
    ]
    reason: str


class ExchangeRow(msgspec.Struct, frozen=True, gc=False):
    """One exchange."""

    exchange: Exchange
    name: Annotated[str, Meta(examples=["Binance"])]
    region: Annotated[str, Meta(examples=["NE"])]
    primary_symbol: Annotated[str, Meta(description="Shown where no symbol is asked for")]
    markets: Annotated[int, Meta(description="Symbols that have minutes", examples=[38])]


class SymbolRow(msgspec.Struct, frozen=True, gc=False):
    """One market: as the exchange lists it, and since when it has minutes."""

    exchange: Exchange
    symbol: Symbol
    base: str
    quote: str
    product: str | None
    native_symbol: str | None
    status: str | None
    tick_size: Number | None
    contract_size: Number | None
    turnover: Number | None
    listed_at: Time | None
    delisted_at: Time | None
    first_minute: Annotated[Time | None, Meta(description="Null: it has no minutes")]
    last_minute: Time | None


def fields(row: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the names of a row's fields."""
    return row.__struct_fields__


def selected(row: type[msgspec.Struct], *, as_float: bool = False) -> LiteralString:
    """Return the select list of a row: numbers exact or as floats, times as text."""
    numeric = "float8" if as_float else "text"
    parts: list[LiteralString] = []
    for field in msgspec.structs.fields(row):
        name: Any = field.encode_name
        kind = kind_of(field.type)
        if kind == "number":
            parts.append(f'"{name}"::{numeric}')
        elif kind == "time":
            parts.append(f'{TIME_TEXT.replace("$", name)} AS "{name}"')
        else:
            parts.append(f'"{name}"')
    return ", ".join(parts)


# Without a fraction where there is none: times of intervals are whole seconds.
TIME_TEXT: Final[LiteralString] = (
    """replace(to_char("$" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000', '')"""
)


def kind_of(annotation: Any) -> str:
    """Return what a field holds: `number`, `time`, `integer`, `boolean`, `list` or `text`."""
    metadata = (annotation, *getattr(annotation, "__metadata__", ()))
    if any(each in _MARKS for each in metadata):
        return next(_MARKS[each] for each in metadata if each in _MARKS)
    if get_origin(annotation) is list:
        return "list"
    inner = [each for each in get_args(annotation) if each is not type(None)]
    if inner and annotation not in _PLAIN:
        return kind_of(inner[0])
    return _PLAIN.get(annotation, "text")


_MARKS: Final[dict[Any, str]] = {
    mark: kind
    for alias, kind in ((Number, "number"), (Time, "time"))
    for mark in (alias, *alias.__metadata__)  # type: ignore[attr-defined]
}
_PLAIN: Final[dict[Any, str]] = {int: "integer", bool: "boolean", str: "text"}
