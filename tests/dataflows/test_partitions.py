"""An exchange over several partitions, on real services: the rows of one partition."""

from collections.abc import Callable
from typing import Any

from tests.dataflows.harness import Pipeline
from tests.dataflows.market import MarketTrade, make_market
from tests.dataflows.oracle import assert_true, feed

MakePipeline = Callable[..., Pipeline]

# Beside those of Kraken and BitMEX.
PARTITIONS = (0, 3, 4)


def over_partitions(config: Any) -> None:
    """Give Binance three partitions of trades."""
    config["regions"]["NE"]["partitions"]["trade"] = 5
    config["exchanges"]["binance"] |= {"partitions": list(PARTITIONS), "kinds": ["trade"]}


def partition_of(trade: MarketTrade) -> int:
    return PARTITIONS[int(trade.symbol.removeprefix("C").removesuffix("USDT")) % 3]


def spread(pipeline: Pipeline, market: list[MarketTrade]) -> None:
    for partition in PARTITIONS:
        feed(pipeline, [t for t in market if partition_of(t) == partition], partition)


def test_rows_do_not_depend_on_the_partitions_of_an_exchange(make_pipeline: MakePipeline) -> None:
    # Symbols that trade rarely: most of their minutes are rows of zeros, by what others traded.
    market = make_market(count=3_000, symbols=25, minutes=30)
    # The last minutes are of one partition alone.
    market = [t for t in market if t.time_ms < market[2_600].time_ms or partition_of(t) == 0]
    pipeline = make_pipeline(edit=over_partitions, changes={"kafka": {"batch_messages": 700}})
    spread(pipeline, market)

    pipeline.run("taker_volume")

    rows = pipeline.rows()
    assert_true(rows, market)
    pipeline.execute("TRUNCATE taker_volume")
    pipeline.run("taker_volume", SHARD="1/2")
    pipeline.run("taker_volume", SHARD="0/2")
    assert pipeline.rows() == rows


def test_a_killed_shard_gives_the_same_rows(make_pipeline: MakePipeline) -> None:
    market = make_market(count=6_000, symbols=25, minutes=30)
    pipeline = make_pipeline(edit=over_partitions, changes={"kafka": {"batch_messages": 50}})
    spread(pipeline, market)
    store = pipeline.recovery_store()
    for _ in range(2):
        pipeline.kill_after(2.5, pipeline.start("taker_volume", *store, SHARD="1/2"))
    pipeline.run("taker_volume", *store, SHARD="1/2")

    pipeline.run("taker_volume", SHARD="0/2")

    assert_true(pipeline.rows(), market)
