"""The ticker dataflow on real services, run as users run it."""

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.dataflows.harness import Pipeline

MakePipeline = Callable[..., Pipeline]

FRAMES = Path(__file__).parents[1] / "frames"

# The first frame of each file, and the record that it is, worked out by hand from the exchanges'
# documents: fractions for percents, the change and its rate where the exchange does not send them.
BY_HAND = [
    (
        "upbit", b"upbit", "upbit-ticker.jsonl",
        (b'{"region":"Korea","market":"Upbit","coin_symbol":"ETH","timestamp":1686874050030.0,'
        b'"data":[{"opening_price":"2178000.0000","trade_price":"2176000.0000",'
        b'"max_price":"2179000.0000","min_price":"2175000.0000",'
        b'"prev_closing_price":"2179000.00000000","acc_trade_volume_24h":"17058.19057358",'
        b'"signed_change_price":"-3000.00000000","signed_change_rate":"-0.0013767783"}],'
        b'"symbol":"ETH-KRW"}'),
    ),
    (
        "bithumb", b"bithumb", "bithumb-ticker.jsonl",
        (b'{"region":"Korea","market":"Bithumb","coin_symbol":"BTC","timestamp":1725927377287.0,'
        b'"data":[{"opening_price":"484500","trade_price":"493100","max_price":"493100",'
        b'"min_price":"472500","prev_closing_price":"484500",'
        b'"acc_trade_volume_24h":"13380.57687512","signed_change_price":"8600",'
        b'"signed_change_rate":"0.01775026"}],"symbol":"BTC-KRW"}'),
    ),
    (
        "bithumb", b"bithumb", "bithumb-v1-ticker.jsonl",
        (b'{"region":"Korea","market":"Bithumb","coin_symbol":"UNI","timestamp":1628655617000.0,'
        b'"data":[{"opening_price":"33400","trade_price":"34010","max_price":"34510",'
        b'"min_price":"32660","prev_closing_price":"33530",'
        b'"acc_trade_volume_24h":"1359398.496892086826189907","signed_change_price":"480",'
        b'"signed_change_rate":"0.0183"}],"symbol":"UNI-KRW"}'),
    ),
    (
        "korbit", b"korbit", "korbit-ticker.jsonl",
        (b'{"region":"Korea","market":"Korbit","coin_symbol":"BTC","timestamp":1730365099072.0,'
        b'"data":[{"opening_price":"100500000","trade_price":"100650000",'
        b'"max_price":"100651000","min_price":"100492000","prev_closing_price":"100497000",'
        b'"acc_trade_volume_24h":"0.89102242","signed_change_price":"153000",'
        b'"signed_change_rate":"0.0015"}],"symbol":"BTC-KRW"}'),
    ),
    (
        "coinone", b"coinone", "coinone-ticker.jsonl",
        (b'{"region":"Korea","market":"Coinone","coin_symbol":"BTC","timestamp":1790133796484.0,'
        b'"data":[{"opening_price":"115650000","trade_price":"116380000",'
        b'"max_price":"116470000","min_price":"115570000","prev_closing_price":"115640000",'
        b'"acc_trade_volume_24h":"267.27610034","signed_change_price":"740000",'
        b'"signed_change_rate":"0.006399169837"}],"symbol":"BTC-KRW"}'),
    ),
    (
        "okx", b"okx", "okx-ticker.jsonl",
        (b'{"region":"Asia","market":"OKX","coin_symbol":"BTC","timestamp":1652459224956.0,'
        b'"data":[{"opening_price":"29700.4","trade_price":"30236","max_price":"31073",'
        b'"min_price":"28020.3","prev_closing_price":"29700.4",'
        b'"acc_trade_volume_24h":"17602.13085371","signed_change_price":"535.6",'
        b'"signed_change_rate":"0.018033427159"}],"symbol":"BTC-USDT"}'),
    ),
    (
        "bybit", b"bybit.linear", "bybit-ticker-linear.jsonl",
        (b'{"region":"Asia","market":"Bybit","coin_symbol":"BTC","timestamp":1715748762463.0,'
        b'"data":[{"opening_price":"62484.60","trade_price":"61874.00",'
        b'"max_price":"62752.90","min_price":"61000.10","prev_closing_price":"62484.60",'
        b'"acc_trade_volume_24h":"98430.1050","signed_change_price":"-610.60",'
        b'"signed_change_rate":"-0.009772"}],"symbol":"BTC-USDT-PERP"}'),
    ),
    (
        "gateio", b"gateio", "gateio-ticker.jsonl",
        (b'{"region":"Asia","market":"Gateio","coin_symbol":"NEO","timestamp":1619093533000.0,'
        b'"data":[{"opening_price":"0.001818400864","trade_price":"0.0018716",'
        b'"max_price":"0.0018754","min_price":"0.0017148",'
        b'"prev_closing_price":"0.001818400864","acc_trade_volume_24h":"1138.01640718",'
        b'"signed_change_price":"0.000053199136","signed_change_rate":"0.029256"}],'
        b'"symbol":"NEO-BTC"}'),
    ),
    (
        "binance", b"binance", "binance-ticker.jsonl",
        (b'{"region":"NE","market":"Binance","coin_symbol":"ETH","timestamp":1653812650349.0,'
        b'"data":[{"opening_price":"1764.61000000","trade_price":"1792.84000000",'
        b'"max_price":"1808.98000000","min_price":"1748.94000000",'
        b'"prev_closing_price":"1764.61000000","acc_trade_volume_24h":"471703.53110000",'
        b'"signed_change_price":"28.23000000","signed_change_rate":"0.01600"}],'
        b'"symbol":"ETH-USDT"}'),
    ),
    (
        "kraken", b"kraken", "kraken-ticker.jsonl",
        (b'{"region":"NE","market":"Kraken","coin_symbol":"ALGO",'
        b'"timestamp":1695632671742.648,"data":[{"opening_price":"0.10052",'
        b'"trade_price":"0.10035","max_price":"0.10285","min_price":"0.09979",'
        b'"prev_closing_price":"0.10052","acc_trade_volume_24h":"997038.98383185",'
        b'"signed_change_price":"-0.00017","signed_change_rate":"-0.0017"}],'
        b'"symbol":"ALGO-USD"}'),
    ),
]  # fmt: skip


def first_line(name: str) -> bytes:
    return (FRAMES / name).read_bytes().splitlines()[0]


def raw_topic(pipeline: Pipeline, exchange: str) -> str:
    return pipeline.settings.region_of(exchange).topics.ticker


def values(pipeline: Pipeline, exchange: str) -> list[bytes]:
    topic = pipeline.settings.region_of(exchange).processed.ticker
    partition = pipeline.settings.exchanges[exchange].partitions[0]
    return [message.value() or b"" for message in pipeline.records(topic, partition)]


def feed(pipeline: Pipeline, exchange: str, *frames: bytes, key: bytes | None = None) -> None:
    partition = pipeline.settings.exchanges[exchange].partitions[0]
    records = [(key or exchange.encode(), frame) for frame in frames]
    pipeline.produce(raw_topic(pipeline, exchange), partition, records)


def latest(pipeline: Pipeline) -> Any:
    return pipeline.rows("ticker_latest", "exchange_id, symbol")


def test_each_exchange_makes_the_record_worked_out_by_hand(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(regions=("Korea", "Asia", "NE"))
    for exchange, key, name, _ in BY_HAND:
        feed(pipeline, exchange, first_line(name), key=key)

    pipeline.run("ticker")

    for exchange in {exchange for exchange, *_ in BY_HAND}:
        expected = [record for owner, _, _, record in BY_HAND if owner == exchange]
        assert sorted(values(pipeline, exchange)) == sorted(expected)
    rows = {(row["market"], row["symbol"]): row for row in latest(pipeline)}
    assert len(rows) == len(BY_HAND)
    assert rows["Kraken", "ALGO-USD"] == {
        "exchange_id": 9,
        "symbol": "ALGO-USD",
        "region": "NE",
        "market": "Kraken",
        "coin_symbol": "ALGO",
        "timestamp": datetime(2023, 9, 25, 9, 4, 31, 742648, UTC),
        "opening_price": Decimal("0.10052"),
        "trade_price": Decimal("0.10035"),
        "max_price": Decimal("0.10285"),
        "min_price": Decimal("0.09979"),
        "prev_closing_price": Decimal("0.10052"),
        "acc_trade_volume_24h": Decimal("997038.98383185"),
        "signed_change_price": Decimal("-0.00017"),
        "signed_change_rate": Decimal("-0.0017"),
    }


def test_an_envelope_of_flattened_tickers_takes_its_coin_from_the_envelope(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(regions=("Korea",))
    feed(pipeline, "upbit", first_line("kafka-envelope-korea-ticker.jsonl"), key=b'"UPBIT:ticker"')

    pipeline.run("ticker")

    (record,) = values(pipeline, "upbit")
    assert record == (
        b'{"region":"Korea","market":"Upbit","coin_symbol":"BTC","timestamp":1730618524102.0,'
        b'"data":[{"opening_price":"97103000","trade_price":"96033000","max_price":"97650000",'
        b'"min_price":"95334000","prev_closing_price":"97102000",'
        b'"acc_trade_volume_24h":"2067.29648158","signed_change_price":"-1069000",'
        b'"signed_change_rate":"-0.01100904"}],"symbol":"BTC-KRW"}'
    )


def test_a_feed_without_a_stamp_takes_the_time_of_receipt(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    before = datetime.now(UTC).replace(microsecond=0)
    feed(pipeline, "kraken", first_line("kraken-v1-ticker.jsonl"))

    pipeline.run("ticker")

    (row,) = latest(pipeline)
    assert before <= row["timestamp"] <= datetime.now(UTC)
    assert row["signed_change_price"] == Decimal("-0.174400")
    assert row["signed_change_rate"] == Decimal("-0.012987496556")


def bybit_frame(kind: str, time_ms: int, **fields: str) -> bytes:
    data = ",".join(f'"{name}":"{value}"' for name, value in fields.items())
    text = f'{{"topic":"tickers.BTCUSDT","type":"{kind}","data":{{"symbol":"BTCUSDT",{data}}}'
    return f'{text},"cs":1,"ts":{time_ms}}}'.encode()


def test_deltas_merge_into_a_ticker_from_before_a_kill(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(regions=("Asia",))
    store = pipeline.recovery_store()
    start_ms = 1_715_748_762_463
    feed(pipeline, "bybit", first_line("bybit-ticker-linear.jsonl"), key=b"bybit.linear")
    process = pipeline.start("ticker", *store)
    deadline = time.monotonic() + 30
    while not latest(pipeline) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(2.5)  # until the epoch of the row is durable
    process.send_signal(signal.SIGKILL)
    process.communicate()

    feed(
        pipeline,
        "bybit",
        bybit_frame("delta", start_ms + 100, lastPrice="62484.70"),
        bybit_frame("delta", start_ms + 50, lastPrice="1"),
        key=b"bybit.linear",
    )
    pipeline.run("ticker", *store)

    (row,) = latest(pipeline)
    assert row["trade_price"] == Decimal("62484.70")
    assert row["prev_closing_price"] == Decimal("62484.60")
    assert row["signed_change_price"] == Decimal("0.10")
    assert len(set(values(pipeline, "bybit"))) == 2


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b'{"e":"24hrTicker","E":"x","s":"BTCUSDT","o":"1","c":"2"}', b"binance: "),
        (b'{"e":"24hrTicker","E":4000000000000,"s":"BTCUSDT","o":"1","c":"2"}', b"future: "),
        (b"\xff\x00", b"binance: "),
    ],
)
def test_what_is_no_ticker_is_a_dead_letter_between_good_neighbours(
    make_pipeline: MakePipeline, frame: bytes, reason: bytes
) -> None:
    pipeline = make_pipeline()
    good, other = (FRAMES / "binance-ticker.jsonl").read_bytes().splitlines()[:2]
    feed(pipeline, "binance", good, frame, other)

    pipeline.run("ticker")

    (letter,) = pipeline.records(raw_topic(pipeline, "binance") + ".dlq")
    assert letter.value() == frame
    assert reason in (dict(letter.headers() or ())["dlq.error"] or "")
    assert len(values(pipeline, "binance")) == 2
