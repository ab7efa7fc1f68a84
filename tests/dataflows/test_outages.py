"""Services that go away under a running flow, and come back: nothing is lost, and it says so."""

import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from connectors.local import processes
from connectors.process.probes import Name
from tests.dataflows.harness import wait
from tests.dataflows.market import make_market
from tests.dataflows.oracle import assert_true, feed
from tests.dataflows.own_services import Ground


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    ground = Ground(tmp_path)
    yield ground
    ground.pipeline.kill_all()
    ground.stop()


def ready(port: int) -> Any:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=10) as answer:
            return msgspec.json.decode(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return msgspec.json.decode(error.read())
    except OSError:
        return {"status": "unreachable"}


def wait_for(condition: Callable[[], Any], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.2)


@pytest.mark.parametrize("service", ["kafka", "postgres"])
def test_a_killed_service_is_said_and_costs_no_row(ground: Ground, service: Name) -> None:
    market = make_market(count=9_000, symbols=20, minutes=6)
    pipeline = ground.pipeline
    store = pipeline.recovery_store()
    port = processes.choose_ports({"metrics": None})["metrics"]
    feed(pipeline, market[:3_000])
    process = pipeline.start("taker_volume", *store, METRICS_PORT=str(port))
    wait_for(lambda: ready(port)["status"] == "ok" and pipeline.rows())

    ground.kill(service)
    wait_for(lambda: service in ready(port).get("failing", {}), seconds=15)
    assert process.poll() is None, "an outage must not end a flow at once"
    if service == "postgres":
        feed(pipeline, market[3_000:6_000])
        time.sleep(2)
    ground.restart(service)
    wait_for(lambda: ready(port)["status"] == "ok")

    feed(pipeline, market[6_000:] if service == "postgres" else market[3_000:])
    time.sleep(3)
    process.send_signal(signal.SIGTERM)
    wait(process)
    pipeline.run("taker_volume", *store)
    assert_true(pipeline.rows(), market)


def test_cut_connections_and_locked_rows_cost_no_row(ground: Ground) -> None:
    market = make_market(count=6_000, symbols=20, minutes=6)
    pipeline = ground.pipeline
    process = pipeline.start("taker_volume", *pipeline.recovery_store())
    with psycopg.connect(ground.dsn, autocommit=True) as connection:
        for part in range(0, len(market), 500):
            feed(pipeline, market[part : part + 500])
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            with connection.transaction():
                connection.execute("SELECT FROM taker_volume ORDER BY symbol DESC FOR UPDATE")
                time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    wait(process)

    pipeline.run("taker_volume", *pipeline.recovery_store())

    assert_true(pipeline.rows(), market)
