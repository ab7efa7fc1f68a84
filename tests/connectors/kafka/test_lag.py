"""What the broker says of a partition: its end, what is durable, the age of its newest record."""

import time
from pathlib import Path

import msgspec
import pytest

from connectors.kafka.lag import lags
from connectors.process.environment import Environment
from schemas.errors import UnavailableError
from tests.dataflows.harness import Pipeline
from tests.dataflows.market import make_market


def test_lag_is_what_is_not_durable_yet(
    services: Environment, postgres_dsn: str, tmp_path: Path
) -> None:
    pipeline = Pipeline(services, postgres_dsn, tmp_path)
    topic = pipeline.settings.regions["NE"].topics.trade
    market = make_market(count=300, symbols=3, minutes=1)
    frames = [(b"binance", trade.frame()) for trade in market]
    pipeline.produce(topic, 0, frames[:200])
    config = {"bootstrap.servers": pipeline.bootstrap_servers}

    (before,) = [
        lag for lag in lags(config, pipeline.settings) if (lag.topic, lag.partition) == (topic, 0)
    ]
    pipeline.run("taker_volume", *pipeline.recovery_store())
    pipeline.produce(topic, 0, frames[200:])
    time.sleep(0.5)
    found = {(lag.topic, lag.partition): lag for lag in lags(config, pipeline.settings)}

    assert (before.end_offset, before.committed_offset, before.lag) == (200, None, 200)
    after = found[topic, 0]
    assert (after.exchange, after.end_offset, after.committed_offset, after.lag) == (
        "binance", 300, 200, 100,
    )  # fmt: skip
    assert after.age_seconds is not None
    assert 0 <= after.age_seconds < 30
    empty = found[topic, 2]
    assert (empty.exchange, empty.lag, empty.age_seconds) == ("bitmex", 0, None)
    assert msgspec.json.encode(after)


def test_a_broker_that_does_not_answer_is_said(
    services: Environment, postgres_dsn: str, tmp_path: Path
) -> None:
    pipeline = Pipeline(services, postgres_dsn, tmp_path)
    with pytest.raises(UnavailableError, match="Kafka"):
        lags({"bootstrap.servers": "127.0.0.1:1"}, pipeline.settings)
