"""Klines of all ten exchanges: documented forms, and recorded ones beside recorded trades."""

import gzip
import json
from collections import defaultdict
from decimal import Decimal
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.errors import DecodeError
from schemas.exchanges import EXCHANGES
from schemas.feeds import Feed
from schemas.klines import Kline
from schemas.records import Product, Trade
from tests.schemas.exchanges.frames import recording

RECORDINGS = Path(__file__).parents[2] / "recordings"
# Bybit computes a kline from what it has counted so far, which may miss the last trades.
MAX_COUNTING_LAG_NS = 100_000_000

# The example of each exchange's own document, shortened to one row.
DOCUMENTED: dict[str, tuple[Feed, bytes]] = {
    "upbit": (
        Feed("upbit"),
        (
            b'[{"market":"KRW-BTC","candle_date_time_utc":"2025-07-01T12:00:00",'
            b'"candle_date_time_kst":"2025-07-01T21:00:00","opening_price":145831000.00000000,'
            b'"high_price":145831000.00000000,"low_price":145752000.00000000,'
            b'"trade_price":145759000.00000000,"timestamp":1751371259000,'
            b'"candle_acc_trade_price":93416000.12340000,"candle_acc_trade_volume":0.64085000,"unit":1}]'
        ),
    ),
    "korbit": (
        Feed("korbit", native_symbol="btc_krw"),
        (
            b'{"success":true,"data":[{"timestamp":1725424500000,"open":"78142000","high":"78142000",'
            b'"low":"78142000","close":"78142000","volume":"0.12973021"}]}'
        ),
    ),
    "coinone": (
        Feed("coinone", native_symbol="KRW/BTC"),
        (
            b'{"result":"success","error_code":"0","is_last":false,"chart":[{"timestamp":1676252460000,'
            b'"open":"27500000.0","high":"27510000.0","low":"27500000.0","close":"27510000.0",'
            b'"target_volume":"0.24","quote_volume":"6601200.0"}]}'
        ),
    ),
    "okx": (
        Feed("okx"),
        (
            b'{"arg":{"channel":"candle1m","instId":"BTC-USDT"},"data":[["1597026360000","8533.02",'
            b'"8553.74","8527.17","8548.26","45247","386732302.1","386732302.1","1"]]}'
        ),
    ),
    "bybit": (
        Feed("bybit", product="inverse"),
        (
            b'{"retCode":0,"retMsg":"OK","result":{"symbol":"BTCUSD","category":"inverse","list":'
            b'[["1670608800000","17071","17073","17027","17055.5","268611","15.74462667"]]},'
            b'"retExtInfo":{},"time":1672025956592}'
        ),
    ),
    "gateio": (
        Feed("gateio"),
        (
            b'{"time":1606292600,"time_ms":1606292600376,"channel":"spot.candlesticks","event":"update",'
            b'"result":{"t":"1606292580","v":"2362.32035","c":"19128.1","h":"19128.1","l":"19128.1",'
            b'"o":"19128.1","n":"1m_BTC_USDT","a":"3.8283","w":true}}'
        ),
    ),
    "binance": (
        Feed("binance", native_symbol="BTCUSDT"),
        (
            b'[[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",'
            b'1499040059999,"2434.19055334",308,"1756.87402397","28.46694368","0"]]'
        ),
    ),
    "kraken": (
        Feed("kraken"),
        (
            b'{"error":[],"result":{"XXBTZUSD":[[1688671200,"30306.1","30306.2","30305.7","30305.7",'
            b'"30306.1","3.39243896",23],[1688671260,"30304.5","30304.5","30300.0","30300.0","30300.0",'
            b'"4.42996871",18]],"last":1688672160}}'
        ),
    ),
    "bitmex": (
        Feed("bitmex", product="inverse"),
        (
            b'[{"timestamp":"2021-07-22T22:26:00.000Z","symbol":"XBTUSD","open":32296.5,"high":32296.5,'
            b'"low":32262,"close":32262.5,"trades":52,"volume":121900,"vwap":32280.5,"lastSize":100,'
            b'"turnover":377627200,"homeNotional":3.776272,"foreignNotional":121900}]'
        ),
    ),
}
DOCUMENTED["bithumb"] = (Feed("bithumb"), DOCUMENTED["upbit"][1])

EXPECTED = {
    "upbit": ("BTC-KRW", 1751371200, "0.64085", "93416000.1234", None),
    "bithumb": ("BTC-KRW", 1751371200, "0.64085", "93416000.1234", None),
    "korbit": ("BTC-KRW", 1725424500, "0.12973021", None, None),
    "coinone": ("BTC-KRW", 1676252460, "0.24", "6601200.0", None),
    "okx": ("BTC-USDT", 1597026360, "45247", "386732302.1", None),
    "bybit": ("BTC-USD-PERP", 1670608800, "15.74462667", "268611", None),
    "gateio": ("BTC-USDT", 1606292580, "3.8283", "2362.32035", None),
    "binance": ("BTC-USDT", 1499040000, "148976.11427815", "2434.19055334", 308),
    "kraken": ("BTC-USD", 1688671200, "3.39243896", None, 23),
    "bitmex": ("BTC-USD-PERP", 1626992700, "3.776272", "121900", 52),
}


def klines(exchange: str, frames: list[bytes], feed: Feed) -> list[Kline]:
    decode = EXCHANGES[exchange].decoder.decode_klines
    return [kline for frame in frames for kline in decode(frame, feed)]


def trades(exchange: str, frames: list[bytes], feed: Feed) -> dict[str, list[Trade]]:
    found: defaultdict[str, list[Trade]] = defaultdict(list)
    for frame in frames:
        for trade in EXCHANGES[exchange].decoder.decode_trades(frame, feed):
            found[trade.symbol].append(trade)
    return found


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_the_documented_kline_is_read_to_the_last_digit(exchange: str) -> None:
    feed, frame = DOCUMENTED[exchange]

    (kline,) = klines(exchange, [frame], feed)

    symbol, minute_s, volume, notional, count = EXPECTED[exchange]
    assert (kline.symbol, kline.minute_s, kline.is_closed) == (symbol, minute_s, True)
    assert kline.volume == Decimal(volume)
    assert kline.notional == (None if notional is None else Decimal(notional))
    assert kline.trade_count == count
    assert kline.high is not None
    assert kline.low is not None
    assert kline.low <= kline.high


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_broken_kline_is_a_clear_error(exchange: str) -> None:
    feed, frame = DOCUMENTED[exchange]

    with pytest.raises(DecodeError, match=f"^{exchange}: "):
        klines(exchange, [frame[:-20]], feed)


@pytest.mark.parametrize(("name", "product"), [("linear", "linear"), ("spot", "spot")])
def test_recorded_bybit_klines_equal_the_sums_of_recorded_trades(
    name: str, product: Product
) -> None:
    feed = Feed("bybit", product=product)
    content = gzip.decompress((RECORDINGS / f"bybit-v5-{name}.tsv.gz").read_bytes())
    frames = [line.partition(b"\t")[2] for line in content.splitlines()]
    found = trades("bybit", frames, feed)
    first_s = 1786310820  # of the minute that the recording has from its start
    compared = 0
    for kline in klines("bybit", frames, feed):
        if kline.minute_s < first_s:
            continue
        assert kline.time_ns is not None
        minute = [t for t in found[kline.symbol] if kline.minute_s * 10**9 <= t.time_ns]
        counted_ns = kline.time_ns - MAX_COUNTING_LAG_NS
        before = [t for t in minute if t.time_ns < counted_ns]
        same = [t for t in minute if counted_ns <= t.time_ns <= kline.time_ns]
        sums = accumulate(
            same,
            lambda total, trade: (total[0] + trade.size, total[1] + trade.notional),
            initial=(
                sum((t.size for t in before), Decimal(0)),
                sum((t.notional for t in before), Decimal(0)),
            ),
        )
        assert (kline.volume, kline.notional) in list(sums)
        compared += 1
    assert compared > 5


def test_recorded_binance_klines_grow_by_the_trades_between_them() -> None:
    feed = Feed("binance", product="linear", trade_ids="aggTrade")
    frames = recording("binance-linear")
    # First and last id of the individual trades in each aggregated one, and its size.
    fills = [
        (event["s"], event["f"], event["l"], Decimal(event["q"]))
        for event in (json.loads(frame).get("data", {}) for frame in frames)
        if event.get("e") == "aggTrade"
    ]
    last_id = {(k["s"], k["t"], k["v"]): k["L"] for k in map(_raw_kline, frames) if k}
    by_minute: defaultdict[tuple[str, str, int], list[tuple[int, Decimal]]] = defaultdict(list)
    for frame in frames:
        for kline in klines("binance", [frame], feed):
            raw = _raw_kline(frame)
            assert raw is not None
            assert kline.volume is not None
            newest = last_id[raw["s"], raw["t"], raw["v"]]
            by_minute[raw["s"], kline.symbol, kline.minute_s].append((newest, kline.volume))
    compared = 0
    for (native, _, _), states in by_minute.items():
        for (one_id, one), (two_id, two) in pairwise(states):
            between = [f for f in fills if f[0] == native and one_id < f[1] and f[2] <= two_id]
            if between and between[0][1] == one_id + 1 and between[-1][2] == two_id:
                assert two - one == sum((f[3] for f in between), Decimal(0))
                compared += 1
    assert compared > 3


def _raw_kline(frame: bytes) -> dict[str, Any] | None:
    event = json.loads(frame).get("data", {})
    return event["k"] if event.get("e") == "kline" else None


def test_requests_ask_for_closed_minutes_of_one_market() -> None:
    for exchange in EXCHANGES.values():
        assert exchange.klines is not None
        assert set(exchange.klines.conventions) >= set(exchange.native_symbols)
        for product in exchange.native_symbols:
            quote = "KRW" if exchange.id < 5 else "USD" if product != "linear" else "USDT"
            if product == "spot" and exchange.code in {"okx", "bybit", "gateio", "binance"}:
                quote = "USDT"
            symbol = f"BTC-{quote}" + ("" if product == "spot" else "-PERP")
            market = exchange.market(symbol)
            path, parameters = exchange.klines.request(market, 1751371200, 1751371260)
            assert path.startswith("/")
            assert market.native_symbol.replace("/", "") in path.replace("/", "") or any(
                market.native_symbol.replace("/", "") == str(value) for value in parameters.values()
            )
            assert msgspec.json.encode(parameters)
