"""Trade frames of a busy market of every exchange: recorded ones with other figures in them."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Final, NamedTuple
from uuid import UUID

START_MS: Final = 1_790_000_040_000

MAX_ROWS: Final = 3
"""Trades in a frame, where an exchange packs those of one order into one frame."""


class Fill(NamedTuple):
    """One trade, before it is text."""

    symbol: int
    trade_id: int
    price: bytes
    size: bytes
    time_ms: int
    is_buy: bool


class Dialect(NamedTuple):
    """How an exchange writes trades; frames of tests/frames are what the texts were taken from."""

    row: Callable[[Fill], bytes]
    frame: Callable[[Fill, bytes], bytes]
    native: bytes
    """The native symbol, of the number of a market."""
    is_packed: bool = False


@cache
def _second(seconds: int) -> bytes:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}".encode()


def _iso(time_ms: int, digits: bytes) -> bytes:
    return b"%b.%03d%bZ" % (_second(time_ms // 1_000), time_ms % 1_000, digits)


def _uuid(trade_id: int) -> bytes:
    return str(UUID(int=(trade_id * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128)).encode()


def _upbit(fill: Fill) -> bytes:
    side = b"BID" if fill.is_buy else b"ASK"
    return (
        b'{"type":"trade","code":"KRW-C%d","timestamp":%d,"trade_date":"2026-09-21",'
        b'"trade_time":"13:34:00","trade_timestamp":%d,"trade_price":%b,"trade_volume":%b,'
        b'"ask_bid":"%b","prev_closing_price":123.00000000,"change":"RISE",'
        b'"change_price":4.00000000,"sequential_id":%d,"stream_type":"REALTIME"}'
    ) % (fill.symbol, fill.time_ms + 9, fill.time_ms, fill.price, fill.size, side, fill.trade_id)


def _bithumb(fill: Fill) -> bytes:
    side = b"BID" if fill.is_buy else b"ASK"
    return (
        b'{"type":"trade","code":"KRW-C%d","trade_price":%b,"trade_volume":%b,"ask_bid":"%b",'
        b'"prev_closing_price":94201000,"change":"RISE","change_price":1338000,'
        b'"trade_date":"2026-09-21","trade_time":"22:34:00","trade_timestamp":%d,'
        b'"sequential_id":"%d","timestamp":%d,"stream_type":"REALTIME"}'
    ) % (fill.symbol, fill.price, fill.size, side, fill.time_ms, fill.trade_id, fill.time_ms + 9)


def _korbit(fill: Fill) -> bytes:
    return (
        b'{"symbol":"c%d_krw","timestamp":%d,"type":"trade","data":[{"timestamp":%d,"price":"%b",'
        b'"qty":"%b","isBuyerTaker":%b,"tradeId":%d}]}'
    ) % (
        fill.symbol, fill.time_ms + 9, fill.time_ms, fill.price, fill.size,
        b"true" if fill.is_buy else b"false", fill.trade_id,
    )  # fmt: skip


def _coinone(fill: Fill) -> bytes:
    return (
        b'{"response_type":"DATA","channel":"TRADE","data":{"quote_currency":"KRW",'
        b'"target_currency":"C%d","id":"%d","timestamp":%d,"price":"%b","qty":"%b",'
        b'"is_seller_maker":%b}}'
    ) % (
        fill.symbol, fill.trade_id, fill.time_ms, fill.price, fill.size,
        b"true" if fill.is_buy else b"false",
    )  # fmt: skip


def _okx(fill: Fill) -> bytes:
    return (
        b'{"arg":{"channel":"trades","instId":"C%d-USDT"},"data":[{"instId":"C%d-USDT",'
        b'"tradeId":"%d","px":"%b","sz":"%b","side":"%b","ts":"%d"}]}'
    ) % (
        fill.symbol, fill.symbol, fill.trade_id, fill.price, fill.size,
        b"buy" if fill.is_buy else b"sell", fill.time_ms,
    )  # fmt: skip


def _bybit(fill: Fill) -> bytes:
    side = b"Buy" if fill.is_buy else b"Sell"
    return (
        b'{"i":"%d","T":%d,"p":"%b","v":"%b","S":"%b","seq":178477362706,"s":"C%dUSDT",'
        b'"BT":false,"RPI":false}'
    ) % (fill.trade_id, fill.time_ms, fill.price, fill.size, side, fill.symbol)


def _bybit_frame(fill: Fill, rows: bytes) -> bytes:
    return b'{"topic":"publicTrade.C%dUSDT","ts":%d,"type":"snapshot","data":[%b]}' % (
        fill.symbol, fill.time_ms + 9, rows,
    )  # fmt: skip


def _gateio(fill: Fill) -> bytes:
    second = fill.time_ms // 1_000
    return (
        b'{"time":%d,"channel":"spot.trades","event":"update","result":{"id":%d,"create_time":%d,'
        b'"create_time_ms":"%d.2642","side":"%b","currency_pair":"C%d_USDT","amount":"%b",'
        b'"price":"%b"}}'
    ) % (
        second, fill.trade_id, second, fill.time_ms, b"buy" if fill.is_buy else b"sell",
        fill.symbol, fill.size, fill.price,
    )  # fmt: skip


def _binance(fill: Fill) -> bytes:
    is_maker = b"false" if fill.is_buy else b"true"
    return (
        b'{"e":"trade","E":%d,"s":"C%dUSDT","t":%d,"p":"%b","q":"%b","T":%d,"m":%b,"M":true}'
    ) % (
        fill.time_ms + 3, fill.symbol, fill.trade_id, fill.price, fill.size, fill.time_ms, is_maker,
    )  # fmt: skip


def _kraken(fill: Fill) -> bytes:
    side = b"buy" if fill.is_buy else b"sell"
    return (
        b'{"symbol":"C%d/USD","side":"%b","price":%b,"qty":%b,"ord_type":"market","trade_id":%d,'
        b'"timestamp":"%b"}'
    ) % (
        fill.symbol, side, fill.price, fill.size, fill.trade_id, _iso(fill.time_ms, b"706"),
    )  # fmt: skip


def _bitmex(fill: Fill) -> bytes:
    side = b"Buy" if fill.is_buy else b"Sell"
    return (
        b'{"timestamp":"%b","symbol":"C%dUSD","side":"%b","size":1000,"price":%b,'
        b'"tickDirection":"ZeroMinusTick","trdMatchID":"%b","grossValue":11703000,'
        b'"homeNotional":%b,"foreignNotional":1000}'
    ) % (
        _iso(fill.time_ms, b""), fill.symbol, side, fill.price, _uuid(fill.trade_id), fill.size,
    )  # fmt: skip


def _as_it_is(fill: Fill, rows: bytes) -> bytes:
    del fill
    return rows


def _within(start: bytes) -> Callable[[Fill, bytes], bytes]:
    return lambda _, rows: start + rows + b"]}"


DIALECTS: Final = {
    "binance": Dialect(_binance, _as_it_is, b"C%dUSDT"),
    "korbit": Dialect(_korbit, _as_it_is, b"c%d_krw"),
    "bybit": Dialect(_bybit, _bybit_frame, b"C%dUSDT", is_packed=True),
    "okx": Dialect(_okx, _as_it_is, b"C%d-USDT"),
    "kraken": Dialect(
        _kraken, _within(b'{"channel":"trade","type":"update","data":['), b"C%d/USD", is_packed=True
    ),
    "coinone": Dialect(_coinone, _as_it_is, b"C%d"),
    "bithumb": Dialect(_bithumb, _as_it_is, b"KRW-C%d"),
    "gateio": Dialect(_gateio, _as_it_is, b"C%d_USDT"),
    "upbit": Dialect(_upbit, _as_it_is, b"KRW-C%d"),
    "bitmex": Dialect(
        _bitmex, _within(b'{"table":"trade","action":"insert","data":['), b"C%dUSD", is_packed=True
    ),
}


def frames(exchange: str, count: int, symbols: int) -> Iterator[tuple[int, bytes]]:
    """Yield frames of so many trades, 2,000 a second of event time, each with its market's number.

    Some markets trade often and some rarely.
    """
    dialect, chance = DIALECTS[exchange], random.Random(1)
    ids = [10**9 + number * 10**6 for number in range(symbols)]
    made = 0
    while made < count:
        symbol = int(symbols * chance.random() ** 2)
        rows = min(chance.randint(1, MAX_ROWS) if dialect.is_packed else 1, count - made)
        fills = []
        for _ in range(rows):
            ids[symbol] += 1
            fills.append(
                Fill(
                    symbol,
                    ids[symbol],
                    b"66609.%02d" % chance.randrange(10, 100),
                    b"0.%08d" % chance.randrange(10**6, 10**8),
                    START_MS + made // 2,
                    chance.random() < 0.5,
                )
            )
            made += 1
        yield symbol, dialect.frame(fills[0], b",".join(map(dialect.row, fills)))
