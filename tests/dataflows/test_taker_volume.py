"""The taker volume dataflow on real services, run as users run it."""

import random
import signal
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from tests.dataflows.harness import Pipeline, wait
from tests.dataflows.market import (
    MarketTrade,
    make_market,
    shuffle_within,
    truth,
    with_duplicates,
)
from tests.dataflows.oracle import assert_true, feed

MakePipeline = Callable[..., Pipeline]


def raw_topic(pipeline: Pipeline) -> str:
    return pipeline.settings.regions["NE"].topics.trade


@pytest.fixture(scope="module")
def market() -> list[MarketTrade]:
    return make_market(count=12_000, symbols=30, minutes=8)


def test_rows_equal_the_truth_of_the_market(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline()
    feed(pipeline, market)

    pipeline.run("taker_volume")

    assert_true(pipeline.rows(), market)


@pytest.mark.parametrize(
    ("batch_messages", "processes"),
    [(1, 1), (10_000, 1), (1, 2), (10_000, 2)],
    ids=["batches of 1", "batches of 10,000", "two processes, 1", "two processes, 10,000"],
)
def test_order_duplicates_batches_and_processes_do_not_show_in_the_rows(
    make_pipeline: MakePipeline, market: list[MarketTrade], batch_messages: int, processes: int
) -> None:
    pipeline = make_pipeline(changes={"kafka": {"batch_messages": batch_messages}})
    lateness_ms = pipeline.settings.taker_volume.lateness_ms
    seed = batch_messages + processes
    feed(pipeline, with_duplicates(shuffle_within(market, lateness_ms, seed), seed))

    if processes == 1:
        pipeline.run("taker_volume")
    else:
        pipeline.run_cluster("taker_volume", processes)

    assert_true(pipeline.rows(), market)


def test_a_killed_flow_gives_the_rows_of_an_undisturbed_one(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline(changes={"kafka": {"batch_messages": 50}})
    store = pipeline.recovery_store()
    messy = with_duplicates(shuffle_within(market, 10_000, 5), 5)
    chance = random.Random(3)
    for part in range(0, len(messy), len(messy) // 4):
        feed(pipeline, messy[part : part + len(messy) // 4])
        process = pipeline.start("taker_volume", *store)
        time.sleep(2 + 2 * chance.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()

    pipeline.run("taker_volume", *store)

    assert_true(pipeline.rows(), market)


def test_a_terminated_flow_ends_well_and_goes_on_where_it_was(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline()
    store = pipeline.recovery_store()
    feed(pipeline, market[:6_000])
    process = pipeline.start("taker_volume", *store)
    wait_for(lambda: counted_trades(pipeline) == 6_000)

    process.send_signal(signal.SIGTERM)
    wait(process)

    open_minutes = [row for row in pipeline.rows() if not row["is_final"]]
    assert open_minutes, "a drained flow must leave its open minutes open"
    feed(pipeline, market[6_000:])
    pipeline.run("taker_volume", *store)
    assert_true(pipeline.rows(), market)


def test_late_trades_are_revisions_and_too_late_ones_dead_letters(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline(changes={"taker_volume": {"correction_horizon_ms": 240_000}})
    late = market[2_000]._replace(trade_id=7, size=Decimal("0.5"), taker_buys=True)
    too_late = market[0]._replace(trade_id=8)
    feed(pipeline, [*market[:7_000], late, *market[7_000:], too_late])

    pipeline.run("taker_volume")

    minute = late.time_ms // 60_000
    (revised,) = (
        row
        for row in pipeline.rows()
        if row["symbol"].replace("-", "") == late.symbol
        and int(row["minute"].timestamp()) // 60 == minute
    )
    before = truth(market)[late.symbol, minute]
    assert revised["taker_buy_volume"] == before["taker_buy_volume"] + Decimal("0.5")
    assert (revised["revision"], revised["late_trades"]) == (2, 1)
    (letter,) = pipeline.records(raw_topic(pipeline) + ".dlq")
    headers = headers_of(letter)
    assert (letter.key(), letter.value()) == (b"binance", too_late.frame())
    assert headers["dlq.error"].startswith(b"late: trade 8 of ")
    assert headers["dlq.offset"] == b"12001"


def test_late_trades_after_the_log_was_read_again_are_in_the_row(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    """A silence closed the minute; killed without a store, its late trades come in time."""
    pipeline = make_pipeline(changes={"taker_volume": {"idle_close_ms": 500, "lateness_ms": 500}})
    first = next(trade for trade in market if 57_000 < trade.time_ms % 60_000 < 59_000)
    minute = [first._replace(trade_id=n, time_ms=first.time_ms + n) for n in range(1, 11)]
    after = first._replace(trade_id=99, time_ms=first.time_ms + 120_000)
    feed(pipeline, minute[:5])
    process = pipeline.start("taker_volume")
    wait_for(lambda: any(row["is_final"] for row in pipeline.rows()), 90)
    feed(pipeline, minute[5:8])
    wait_for(lambda: counted_trades(pipeline) == 8)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    feed(pipeline, [after, *minute[8:]])

    pipeline.run("taker_volume")

    row = pipeline.rows()[0]
    assert (row["buy_count"] + row["sell_count"], row["is_final"]) == (10, True)
    assert (row["revision"], row["late_trades"]) == (3, 2)


def test_junk_is_kept_as_it_came_and_its_neighbours_are_counted(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline()
    some = market[:3_000]
    junk = [b"", b"{", b'{"e":"trade"}', b"\xff\xfe", b"[" * 5_000, b'{"region":"ne"}', b"nan"]
    future = some[-1]._replace(trade_id=9, time_ms=4_000_000_000_000)
    records: list[tuple[bytes | None, bytes | None]] = []
    for index, trade in enumerate(some):
        records.append((b"binance", trade.frame()))
        if index % 500 == 0:
            records += [(b"binance", value) for value in junk]
    records += [(b"binance", None), (b"nobody.linear", some[0].frame()), (None, future.frame())]
    pipeline.produce(raw_topic(pipeline), 0, records)

    pipeline.run("taker_volume")

    assert_true(pipeline.rows(), some)
    letters = pipeline.records(raw_topic(pipeline) + ".dlq")
    assert len(letters) == 6 * len(junk) + 2  # a tombstone is no letter
    assert {letter.value() or b"" for letter in letters} == {*junk, some[0].frame(), future.frame()}
    for letter in letters:
        headers = headers_of(letter)
        offset = int(headers["dlq.offset"])
        assert (letter.key(), letter.value()) == records[offset]
        assert headers["dlq.topic"].decode() == raw_topic(pipeline)
        assert headers["dlq.error"]
        assert headers["dlq.step"] == b"read"


def test_processed_records_hold_the_figures_of_the_rows(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline()
    feed(pipeline, market)

    pipeline.run("taker_volume")

    records = pipeline.values(pipeline.settings.regions["NE"].processed.taker_volume)
    final = {(r["symbol"], r["minute"]): r for r in records if r["is_final"]}
    rows = pipeline.rows()
    assert len(final) == len(rows)
    for row in rows:
        record = final[row["symbol"], int(row["minute"].timestamp())]
        assert (record["region"], record["market"]) == ("NE", "Binance")
        assert record["coin_symbol"] == row["symbol"].split("-")[0]
        assert Decimal(record["taker_buy_volume"]) == row["taker_buy_volume"]
        assert Decimal(record["taker_sell_notional"]) == row["taker_sell_notional"]
        assert record["revision"] == 1


def test_shards_share_the_work_and_give_the_same_rows(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline()
    other = [trade._replace(trade_id=trade.trade_id + 5) for trade in market]
    feed(pipeline, market)
    topic = raw_topic(pipeline)
    pipeline.produce(topic, 1, [(b"binance.linear", t.frame()) for t in other])

    pipeline.run("taker_volume", SHARD="0/2")
    half = pipeline.rows()
    pipeline.run("taker_volume", SHARD="1/2")

    assert_true(half, market)
    swaps = [row for row in pipeline.rows() if row["symbol"].endswith("-PERP")]
    assert_true([{**r, "symbol": r["symbol"].removesuffix("-PERP")} for r in swaps], other)


def test_offsets_are_shown_to_the_consumer_group(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline()
    feed(pipeline, market)

    pipeline.run("taker_volume")

    group = pipeline.settings.regions["NE"].groups.trade
    consumer = Consumer({"bootstrap.servers": pipeline.bootstrap_servers, "group.id": group})
    (committed,) = consumer.committed([TopicPartition(raw_topic(pipeline), 0)], timeout=10)
    consumer.close()
    assert committed.offset == len(market)


def headers_of(message: Message) -> dict[str, bytes]:
    headers: Any = message.headers() or []  # the client's types allow more than it gives
    return dict(headers)


def counted_trades(pipeline: Pipeline) -> int:
    with psycopg.connect(pipeline.dsn) as connection:
        row = connection.execute("SELECT sum(buy_count + sell_count) FROM taker_volume").fetchone()
    return int(row[0] or 0) if row else 0


def wait_for(condition: Callable[[], bool], timeout_seconds: float = 60) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
