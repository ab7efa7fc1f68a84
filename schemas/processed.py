"""The processed records as other programs read them: JSON, its fields in the contract's order.

Prices and volumes are the exact decimal: as text, and in order book records as JSON numbers.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, DecimalException
from functools import lru_cache
from operator import attrgetter
from typing import TypeVar

import msgspec

from schemas.errors import DecodeError
from schemas.numbers import plain
from schemas.records import (
    AuditMinute,
    BookSummary,
    KlineFigures,
    SnapshotRequest,
    TakerVolume,
    Ticker,
)
from schemas.settings import Settings
from schemas.times import NS_PER_MS, NS_PER_SECOND, NS_PER_US, ns_of_ms

T = TypeVar("T")


class TakerVolumeRecord(msgspec.Struct, frozen=True, gc=False):
    """One state of a minute; the same figures as the row in PostgreSQL."""

    region: str
    market: str
    coin_symbol: str
    symbol: str
    minute: int
    """Its start, in seconds since the Unix epoch."""
    taker_buy_volume: str
    taker_sell_volume: str
    taker_buy_notional: str
    taker_sell_notional: str
    buy_count: int
    sell_count: int
    open: str | None
    high: str | None
    low: str | None
    close: str | None
    vwap: str | None
    is_final: bool
    revision: int
    late_trades: int
    duplicate_trades: int
    is_complete: bool | None = None
    """Whether nothing of the minute is missing; null: not known. Records of older releases have
    no such field."""


_encoder = msgspec.json.Encoder()
_taker_volume = msgspec.json.Decoder(TakerVolumeRecord)


def coin_of(symbol: str) -> str:
    """Return the base currency of a canonical symbol."""
    return symbol.partition("-")[0]


def encode_taker_volume(row: TakerVolume, settings: Settings) -> bytes:
    """Return the record of a row for `Region.*_TakerVolumePreprocessing`."""
    exchange = settings.exchanges[row.exchange]
    record = TakerVolumeRecord(
        exchange.region,
        exchange.market,
        coin_of(row.symbol),
        row.symbol,
        row.minute,
        plain(row.taker_buy_volume),
        plain(row.taker_sell_volume),
        plain(row.taker_buy_notional),
        plain(row.taker_sell_notional),
        row.buy_count,
        row.sell_count,
        _plain_or_none(row.open),
        _plain_or_none(row.high),
        _plain_or_none(row.low),
        _plain_or_none(row.close),
        _plain_or_none(row.vwap),
        row.is_final,
        row.revision,
        row.late_trades,
        row.duplicate_trades,
        row.is_complete,
    )
    return _encoder.encode(record)


def decode_taker_volume(line: bytes, settings: Settings) -> TakerVolume:
    """Return the row that :func:`encode_taker_volume` made the record of.

    Raises:
        DecodeError: It is no such record.
    """
    record = _decoded(_taker_volume, line)
    return TakerVolume(
        _exchange_of(record.market, settings),
        record.symbol,
        record.minute,
        _decimal(record.taker_buy_volume),
        _decimal(record.taker_sell_volume),
        _decimal(record.taker_buy_notional),
        _decimal(record.taker_sell_notional),
        record.buy_count,
        record.sell_count,
        _decimal_or_none(record.open),
        _decimal_or_none(record.high),
        _decimal_or_none(record.low),
        _decimal_or_none(record.close),
        _decimal_or_none(record.vwap),
        record.is_final,
        record.revision,
        record.late_trades,
        record.duplicate_trades,
        record.is_complete,
    )


def decode_ticker(line: bytes, settings: Settings) -> Ticker:
    """Return the ticker that :func:`encode_tickers` made the record of.

    Raises:
        DecodeError: It is no such record.
    """
    record = _decoded(_ticker, line)
    figures = map(_decimal_or_none, msgspec.structs.astuple(record.data[0]))
    time_ns = ns_of_ms(_decimal(bytes(record.timestamp).decode()))
    return Ticker(_exchange_of(record.market, settings), record.symbol, time_ns, *figures)


def encode_audit_minute(minute: AuditMinute, settings: Settings) -> bytes:
    """Return the record of a verdict for `Region.*_AuditPreprocessing`."""
    exchange = settings.exchanges[minute.exchange]
    return _encoder.encode(
        {
            "region": exchange.region,
            "market": exchange.market,
            "coin_symbol": coin_of(minute.symbol),
            "symbol": minute.symbol,
            "minute": minute.minute,
            "verdict": minute.verdict,
            "reason": minute.reason,
            "revision": minute.revision,
            "kline": _plain_figures(minute.kline),
            "difference": _plain_figures(minute.difference),
        }
    )


def _plain_figures(figures: KlineFigures) -> dict[str, str | int | None]:
    return {
        name: plain(value) if isinstance(value, Decimal) else value
        for name, value in msgspec.structs.asdict(figures).items()
    }


def _decoded(decoder: msgspec.json.Decoder[T], line: bytes) -> T:
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise DecodeError(f"{error!s:.200} in {line[:120]!r}") from error


def _exchange_of(market: str, settings: Settings) -> str:
    exchange = settings.exchange_of_market.get(market.lower())
    if exchange is None:
        known = ", ".join(found.market for found in settings.exchanges.values())
        raise DecodeError(f"market {market[:40]!r}: expected one of {known}")
    return exchange


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except DecimalException as error:
        raise DecodeError(f"{text[:40]!r}: expected a decimal number") from error
    if not number.is_finite():
        raise DecodeError(f"{text[:40]!r}: expected a finite number")
    return number


def _decimal_or_none(text: str | None) -> Decimal | None:
    return None if text is None else _decimal(text)


def _plain_or_none(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)


class TickerFigures(msgspec.Struct, frozen=True):
    """What a ticker says, as decimal text; `null` where it says nothing."""

    opening_price: str | None
    trade_price: str | None
    max_price: str | None
    min_price: str | None
    prev_closing_price: str | None
    acc_trade_volume_24h: str | None
    signed_change_price: str | None
    signed_change_rate: str | None


class TickerRecord(msgspec.Struct, frozen=True):
    """The ticker of one market at one time."""

    region: str
    market: str
    coin_symbol: str
    timestamp: msgspec.Raw
    """Milliseconds since the Unix epoch, with a decimal point and every digit that there is."""
    data: tuple[TickerFigures]
    symbol: str


_ticker = msgspec.json.Decoder(TickerRecord)
_figures_of = attrgetter(*TickerFigures.__struct_fields__)
# What all figures are written with at once, where each is there and short enough to be plain.
_FIGURES = ",".join(f'"{name}":"%s"' for name in TickerFigures.__struct_fields__)


def encode_tickers(tickers: Sequence[Ticker], settings: Settings) -> list[bytes]:
    """Return the records of one market's tickers for `Region.*_TickerPreprocessing`.

    Written out by hand, as those of order books are; a test reads them back.
    """
    head, tail = _common_text(tickers[0].exchange, tickers[0].symbol, settings)
    return [
        f'{head},"timestamp":{_milliseconds(ticker.time_ns)},"data":[{{{_figures(ticker)}}}],'
        f"{tail}}}".encode()
        for ticker in tickers
    ]


def _figures(ticker: Ticker) -> str:
    figures = _figures_of(ticker)
    text = _FIGURES % figures
    if "E" not in text and "None" not in text:
        return text
    fields = zip(TickerFigures.__struct_fields__, map(_plain_or_none, figures), strict=True)
    return _encoder.encode(dict(fields)).decode()[1:-1]


def _milliseconds(time_ns: int) -> str:
    whole, rest = divmod(time_ns, NS_PER_MS)
    fraction = f"{rest:06d}".rstrip("0") if rest else "0"
    return f"{whole}.{fraction}"


class OrderbookRecord(msgspec.Struct, frozen=True, gc=False):
    """The state of one book after an update that changed it; numbers are JSON numbers, exact."""

    region: str
    market: str
    coin_symbol: str
    highest_bid: Decimal | None
    lowest_ask: Decimal | None
    spread: Decimal | None
    total_bid_volume: Decimal
    total_ask_volume: Decimal
    timestamp: str
    """UTC, to the microsecond: `2024-10-23 10:25:00.050791+00:00`."""
    symbol: str
    bid_levels: int
    ask_levels: int
    is_crossed: bool
    sequence: int | None


def orderbook_record(book: BookSummary, settings: Settings) -> OrderbookRecord:
    """Return the record of one state, which :func:`encode_orderbooks` writes out."""
    exchange = settings.exchanges[book.exchange]
    seconds, rest_ns = divmod(book.time_ns, NS_PER_SECOND)
    return OrderbookRecord(
        region=exchange.region,
        market=exchange.market,
        coin_symbol=coin_of(book.symbol),
        highest_bid=book.highest_bid,
        lowest_ask=book.lowest_ask,
        spread=book.spread,
        total_bid_volume=book.total_bid_volume,
        total_ask_volume=book.total_ask_volume,
        timestamp=f"{_second(seconds)}.{rest_ns // NS_PER_US:06d}+00:00",
        symbol=book.symbol,
        bid_levels=book.bid_levels,
        ask_levels=book.ask_levels,
        is_crossed=book.is_crossed,
        sequence=book.sequence,
    )


def encode_orderbooks(summaries: Sequence[BookSummary], settings: Settings) -> list[bytes]:
    """Return the records of one book's states for `Region.*_OrderbookPreprocessing`.

    Numbers are JSON numbers with the exact digits, without trailing zeros: a sum keeps the longest
    fraction that was ever in it, and the same book must read the same, whatever came before.
    Written out by hand for this form of its numbers, which no encoder has, and because most of
    such a record is that of the state before: bids, asks and totals that are the same objects are
    the same text. A test holds it equal to :class:`OrderbookRecord`.
    """
    head, tail = _common_text(summaries[0].exchange, summaries[0].symbol, settings)
    records: list[bytes] = []
    bid = ask = bid_volume = ask_volume = None
    best = bid_total = ask_total = ""
    for book in summaries:
        if not records or book.highest_bid is not bid or book.lowest_ask is not ask:
            bid, ask = book.highest_bid, book.lowest_ask
            best = f'"highest_bid":{_number(bid)},"lowest_ask":{_number(ask)},'
            best += f'"spread":{_number(book.spread)}'
        if book.total_bid_volume is not bid_volume:
            bid_volume = book.total_bid_volume
            bid_total = _number(bid_volume)
        if book.total_ask_volume is not ask_volume:
            ask_volume = book.total_ask_volume
            ask_total = _number(ask_volume)
        is_crossed = "true" if book.is_crossed else "false"
        sequence = "null" if book.sequence is None else book.sequence
        seconds, rest_ns = divmod(book.time_ns, NS_PER_SECOND)
        records.append(
            f'{head},{best},"total_bid_volume":{bid_total},"total_ask_volume":{ask_total},'
            f'"timestamp":"{_second(seconds)}.{rest_ns // NS_PER_US:06d}+00:00",{tail},'
            f'"bid_levels":{book.bid_levels},"ask_levels":{book.ask_levels},'
            f'"is_crossed":{is_crossed},"sequence":{sequence}}}'.encode()
        )
    return records


def _common_text(exchange_id: str, symbol: str, settings: Settings) -> tuple[str, str]:
    """Return what the records of one market begin with, and their field `symbol`."""
    exchange = settings.exchanges[exchange_id]
    names = {"region": exchange.region, "market": exchange.market, "coin_symbol": coin_of(symbol)}
    head = _encoder.encode(names).decode().removesuffix("}")
    return head, f'"symbol":{_encoder.encode(symbol).decode()}'


def encode_snapshot_request(request: SnapshotRequest) -> bytes:
    """Return the record of a request for the collector."""
    return _encoder.encode(request)


def _number(value: Decimal | None) -> str:
    if value is None:
        return "null"
    text = plain(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    """Return `2024-10-23 10:25:00`, as the other consumers of these topics know it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
