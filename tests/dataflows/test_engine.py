"""What the engine's own windows and sinks get wrong, and these dataflows must not.

Bytewax 0.21.1: its `EventClock` declares a restart's backlog late and drops it, opens a closed
window again for a late item with a partial result, and spins while it waits; a `DynamicSink` can
lose the last outputs of an epoch.
"""

import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from bytewax.dataflow import Dataflow
from bytewax.outputs import FixedPartitionedSink

from connectors.process.environment import Environment
from dataflows import archive, orderbook, taker_volume, ticker
from schemas.settings import parse_settings
from tests.dataflows.harness import ROOT, Pipeline, wait
from tests.dataflows.market import make_market, truth
from tests.dataflows.oracle import feed

MakePipeline = Callable[..., Pipeline]


def wait_for(condition: Callable[[], Any], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


def counted(pipeline: Pipeline) -> int:
    return sum(row["buy_count"] + row["sell_count"] for row in pipeline.rows())


def test_a_backlog_after_an_outage_is_not_late(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(changes={"taker_volume": {"lateness_ms": 1_000}})
    market = make_market(count=2_000, symbols=5, minutes=4)
    store = pipeline.recovery_store()
    feed(pipeline, market[:1_000])
    process = pipeline.start("taker_volume", *store)
    wait_for(lambda: counted(pipeline) == 1_000)
    process.send_signal(signal.SIGTERM)
    wait(process)

    time.sleep(3)  # three times the lateness, by the wall clock
    feed(pipeline, market[1_000:])
    pipeline.run("taker_volume", *store)

    rows = pipeline.rows()
    assert {row["revision"] for row in rows} == {1}
    assert counted(pipeline) == len(market)


def test_a_late_trade_adds_to_the_minute_that_there_is(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    market = make_market(count=2_000, symbols=3, minutes=5)
    late = market.pop(300)
    feed(pipeline, [*market, late])

    pipeline.run("taker_volume")

    place = late.symbol, late.time_ms // 60_000
    expected = truth([*market, late])
    for row in pipeline.rows():
        key = row["symbol"].replace("-", ""), int(row["minute"].timestamp()) // 60
        assert row["buy_count"] + row["sell_count"] == (
            expected[key]["buy_count"] + expected[key]["sell_count"]
        )
        assert row["revision"] == (2 if key == place else 1)


def test_flows_that_wait_do_not_spin(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    feed(pipeline, make_market(count=200, symbols=5, minutes=1))
    flows = [
        pipeline.start(flow, *pipeline.recovery_store(flow))
        for flow in ("taker_volume", "orderbook", "ticker")
    ]
    time.sleep(6)

    wait_for(lambda: max(_used_seconds(flows, 5)) < 1.5, seconds=60)

    for flow in flows:
        flow.send_signal(signal.SIGTERM)
    for flow in flows:
        wait(flow)


def _used_seconds(processes: list[subprocess.Popen[str]], seconds: float) -> list[float]:
    def used() -> list[float]:
        times = [psutil.Process(process.pid).cpu_times() for process in processes]
        return [each.user + each.system for each in times]

    before = used()
    time.sleep(seconds)
    return [late - early for late, early in zip(used(), before, strict=True)]


@pytest.mark.parametrize("module", [archive, orderbook, taker_volume, ticker])
def test_every_sink_is_covered_by_the_recovery_frontier(module: Any) -> None:
    path = ROOT / "pipeline.yaml"
    environment = Environment.read(
        {
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "POSTGRES_DSN": "postgresql://127.0.0.1:1/x",
            "S3_ENDPOINT_URL": "http://127.0.0.1:1",
        }
    )
    flow: Dataflow = module.build(environment, parse_settings(path.read_bytes(), str(path)))
    sinks = [step.sink for step in flow.substeps if hasattr(step, "sink")]
    assert sinks
    assert all(isinstance(sink, FixedPartitionedSink) for sink in sinks)
