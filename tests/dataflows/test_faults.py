"""Processes that die and come back in other numbers: the rows are those of the market's truth."""

import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.dataflows.harness import Pipeline, wait
from tests.dataflows.market import MarketTrade, make_market, shuffle_within, truth

MakePipeline = Callable[..., Pipeline]


@pytest.fixture(scope="module")
def market() -> list[MarketTrade]:
    return make_market(count=9_000, symbols=25, minutes=6)


def feed(pipeline: Pipeline, trades: list[MarketTrade]) -> None:
    """Each symbol in one of the partitions, so that two workers have work."""
    topic = pipeline.settings.regions["NE"].topics.trade
    for partition in range(3):
        mine = [t for t in trades if int(t.symbol[1:-4]) % 3 == partition]
        pipeline.produce(topic, partition, [(b"binance", trade.frame()) for trade in mine])


def assert_true(pipeline: Pipeline, trades: list[MarketTrade]) -> None:
    expected = truth(trades)
    rows = {
        (row["symbol"].replace("-", ""), int(row["minute"].timestamp()) // 60): row
        for row in pipeline.rows()
    }
    # A minute in which only another partition's symbols traded is a row of zeros there or none.
    traded = {key: row for key, row in rows.items() if row["buy_count"] + row["sell_count"]}
    busy = {key: row for key, row in expected.items() if row["buy_count"] + row["sell_count"]}
    assert traded.keys() == busy.keys()
    for key, values in busy.items():
        assert {name: traded[key][name] for name in values} == values, key


def test_many_kills_in_one_run_leave_the_rows_true(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    chance = random.Random(7)
    pipeline = make_pipeline(changes={"kafka": {"batch_messages": 100}})
    store = pipeline.recovery_store()
    messy = shuffle_within(market, 9_000, 7)
    size = len(messy) // 8
    for part in range(0, len(messy), size):
        feed(pipeline, messy[part : part + size])
        process = pipeline.start("taker_volume", *store)
        time.sleep(0.8 + 1.5 * chance.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()

    pipeline.run("taker_volume", *store)

    assert_true(pipeline, market)


def test_one_process_of_a_cluster_dies_and_the_cluster_goes_on_where_it_was(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline(changes={"kafka": {"batch_messages": 100}})
    store = pipeline.recovery_store()
    half = len(market) // 2
    feed(pipeline, market[:half])
    both = pipeline.start_cluster("taker_volume", 2, *store)
    time.sleep(4)
    both[1].send_signal(signal.SIGKILL)
    time.sleep(1)
    for process in both:
        process.send_signal(signal.SIGKILL)
        process.communicate()

    feed(pipeline, market[half:])
    pipeline.run_cluster("taker_volume", 2, *store)

    assert_true(pipeline, market)


def test_another_number_of_workers_after_a_drain_changes_no_row(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline(changes={"kafka": {"batch_messages": 100}})
    store = pipeline.recovery_store()
    third = len(market) // 3
    for part, workers in ((0, "1"), (third, "3")):
        feed(pipeline, market[part : part + third])
        process = pipeline.start("taker_volume", "-w", workers, *store)
        time.sleep(4)
        process.send_signal(signal.SIGTERM)
        wait(process)
    feed(pipeline, market[2 * third :])

    pipeline.run("taker_volume", "-w", "2", *store)

    assert_true(pipeline, market)
