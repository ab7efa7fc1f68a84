"""Subscriptions: which recorded frames are data of which market, and what the others say."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from schemas.exchanges import EXCHANGES, decoder_of, subscriptions_of
from schemas.feeds import Feed
from schemas.records import Product
from schemas.subscriptions import Stream, Target

FRAMES = Path(__file__).parents[1] / "frames"

# Formats that the collector does not subscribe to: retired ones, and single streams.
OTHER_FORMATS = re.compile(r"v1|v2|partial|rest-snapshot|limited|docs|futures-|aggtrade")


def samples(exchange: str, kind: str) -> list[bytes]:
    return [
        line
        for path in sorted(FRAMES.glob(f"{exchange}-{kind}*.jsonl"))
        if OTHER_FORMATS.search(path.name) is None
        for line in path.read_bytes().splitlines()
    ]


def feed_of(exchange: str) -> Feed:
    sizes = dict.fromkeys(("BTC-USD", "UNI-USD", "BTC-USDT", "ETH-USD"), Decimal(1))
    return Feed(exchange=exchange, contract_sizes=sizes)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_data_frame_names_its_market(exchange: str) -> None:
    found = subscriptions_of(exchange)
    checked = 0
    for kind in ("ticker", "orderbook", "trade"):
        for frame in samples(exchange, kind):
            if exchange == "binance" and not frame.startswith(b'{"stream"'):
                continue
            if decoder_of(exchange).kind(frame) != kind:
                continue
            match = found.data.search(frame)
            assert match, frame[:200]
            checked += 1
            if kind == "trade":
                trades = decoder_of(exchange).decode_trades(frame, feed_of(exchange))
                letters = re.sub(r"[^A-Z0-9]", "", match[1].decode().upper()).replace("XBT", "BTC")
                assert all(
                    letters.startswith(t.symbol.split("-")[0])
                    or letters.endswith(t.symbol.split("-")[0])
                    for t in trades
                )
    assert checked >= 3


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_control_frames_are_no_data(exchange: str) -> None:
    found = subscriptions_of(exchange)
    for frame in (
        (FRAMES / f"{exchange}-control.jsonl").read_bytes().splitlines()
        if (FRAMES / f"{exchange}-control.jsonl").exists()
        else []
    ):
        assert found.data.search(frame) is None, frame
        found.read(frame)


@pytest.mark.parametrize(
    ("exchange", "frame", "says", "native"),
    [
        ("upbit", b'{"status":"UP"}', "alive", None),
        ("upbit", b'{"error":{"name":"NO_CODES","message":"x"}}', "refused", None),
        ("korbit", b'{"status":"success","requestId":1}', "accepted", None),
        (
            "korbit",
            (b'{"status":"fail","code":"INVALID_SYMBOL","message":"no (nope_krw)"}'),
            "refused",
            "nope_krw",
        ),
        (
            "coinone",
            (
                b'{"response_type":"SUBSCRIBED","channel":"ORDERBOOK","data":{"quote_currency":"KRW","target_currency":"BTC"}}'
            ),
            "accepted",
            "BTC",
        ),
        ("coinone", b'{"response_type":"PONG"}', "alive", None),
        (
            "okx",
            b'{"event":"subscribe","arg":{"channel":"tickers","instId":"BTC-USDT"}}',
            "accepted",
            "BTC-USDT",
        ),
        ("okx", b"pong", "alive", None),
        ("okx", b'{"event":"notice","code":"64008","msg":"soon"}', "leaving", None),
        ("bybit", b'{"success":true,"ret_msg":"subscribe","op":"subscribe"}', "accepted", None),
        ("bybit", b'{"success":true,"ret_msg":"pong","op":"ping"}', "alive", None),
        ("gateio", b'{"type":"upgrade","msg":"soon"}', "leaving", None),
        (
            "gateio",
            (
                b'{"time":1,"channel":"spot.order_book_update","event":"subscribe","payload":["NOPE_USD","100ms"],"error":{"code":2,"message":"unknown"},"result":null}'
            ),
            "refused",
            "NOPE_USD",
        ),
        ("binance", b'{"result":null,"id":1}', "accepted", None),
        ("binance", b'{"stream":"!serverShutdown","data":{"e":"serverShutdown"}}', "leaving", None),
        ("kraken", b'{"channel":"heartbeat"}', "alive", None),
        (
            "kraken",
            b'{"method":"subscribe","result":{"channel":"book","symbol":"ALGO/USD"},"success":true}',
            "accepted",
            "ALGO/USD",
        ),
        (
            "kraken",
            b'{"error":"depth","method":"subscribe","success":false,"symbol":"A/USD"}',
            "refused",
            "A/USD",
        ),
        (
            "bitmex",
            b'{"success":true,"subscribe":"trade:XBTUSD","request":{}}',
            "accepted",
            "XBTUSD",
        ),
        ("bitmex", b'{"status":400,"error":"Unknown table"}', "refused", None),
    ],
)
def test_what_a_control_frame_says(
    exchange: str, frame: bytes, says: str, native: str | None
) -> None:
    reply = subscriptions_of(exchange).read(frame)
    assert (reply.says, reply.native_symbol) == (says, native)


def test_bitmex_says_how_many_connects_are_left() -> None:
    welcome = (FRAMES / "bitmex-control.jsonl").read_bytes().splitlines()[0]
    assert subscriptions_of("bitmex").read(welcome).connects_left == 39


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_stream_is_in_a_request(exchange: str) -> None:
    found = subscriptions_of(exchange)
    names = [f"{letter}{digit}/B" for letter in "CDEFGHIJ" for digit in range(40)]
    streams = [Stream("trade", name, name) for name in names]
    product: Product = "inverse" if exchange == "bitmex" else "spot"
    target = Target(product, "trade")
    requests = found.subscribe(target, streams)
    text = b"".join(requests).decode()
    assert all(found.name_in_frames(name).rpartition("/")[2] in text for name in names)
    assert all(json.loads(request) for request in requests)
    assert max(map(len, requests)) < 21_000
    again = found.renew(target, streams, streams[:1])
    assert again
    assert all(len(request) < 21_000 for request in again)


@pytest.mark.parametrize(
    ("kind", "path"),
    [("ticker", "/market/stream"), ("trade", "/market/stream"), ("orderbook", "/public/stream")],
)
def test_streams_of_binance_futures_are_routed(kind: str, path: str) -> None:
    found = subscriptions_of("binance")
    assert found.path(Target("linear", kind)) == path  # type: ignore[arg-type]
    assert found.path(Target("spot", kind)) == "/stream"  # type: ignore[arg-type]


def test_the_ids_of_a_frame_are_found() -> None:
    for exchange in ("binance", "okx", "kraken", "bybit"):
        pattern = subscriptions_of(exchange).trade_id["spot"]
        for frame in samples(exchange, "trade"):
            if exchange == "binance" and not frame.startswith(b'{"stream"'):
                continue
            trades = decoder_of(exchange).decode_trades(frame, feed_of(exchange))
            if trades and all(str(t.trade_id).isdigit() for t in trades):
                assert [int(i) for i in pattern.findall(frame)] == [int(t.trade_id) for t in trades]
