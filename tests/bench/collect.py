"""The collector beside its floor, a socket's callback that produces, on one simulator at once.

Part of ``make bench``; alone: ``python -m tests.bench.collect``. Prints the CPU time of a frame.
The floor has neither acks nor watching nor bounds, and what it loses nobody knows.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from rich.console import Console
from rich.table import Table

from connectors.collect.loop import shared_loop
from connectors.process.clock import now_ns
from connectors.process.environment import Environment, load_settings
from connectors.websocket.fast import open_connection
from connectors.websocket.interface import Connection, Options
from schemas.errors import UnavailableError
from schemas.exchanges import subscriptions_of
from schemas.feed_status import REGIONS
from schemas.instruments import Instrument
from schemas.records import Product
from schemas.settings import ExchangeSettings, Settings
from schemas.subscriptions import Stream, Subscriptions, Target
from tests.dataflows.exchanges import simulated
from tests.dataflows.harness import Pipeline
from tests.dataflows.own_services import Ground

TRADES_A_SECOND = 1_500
START_SECONDS = 45
SECONDS = 20
RETRY_SECONDS = 2.0


class Floor:
    """A listener that does nothing but produce."""

    def __init__(self, producer: Producer, topic: str, key: bytes) -> None:
        self._produce: Callable[..., None] = producer.produce
        self._topic, self._key = topic, key

    def take(self, message: bytes, is_last: bool) -> None:
        """Produce a frame."""
        del is_last
        now_ms = now_ns() // 1_000_000
        self._produce(self._topic, message, self._key, 0, None, now_ms)

    def stir(self) -> None:
        """Do nothing."""

    def end(self, code: int, reason: str) -> None:
        """Do nothing."""


def instruments(
    facts: Subscriptions, exchange: ExchangeSettings, product: Product
) -> list[Instrument]:
    """Return the chosen instruments of a product, from the exchange's list."""
    listing = facts.instruments(product, False)  # noqa: FBT003  # one interface
    request = next(listing)
    wanted = exchange.symbols[product]
    while True:
        url = exchange.urls.rest[product] + request.path
        body = httpx.get(url, params=dict(request.parameters)).content
        try:
            request = listing.send(body)
        except StopIteration as stop:
            return [i for i in stop.value if i.symbol in wanted]  # type: ignore[operator]  # lists


async def connect(settings: Settings, producer: Producer, topic: str) -> list[Connection]:
    """Open all connections of all exchanges, and subscribe."""
    found: list[Connection] = []
    for name, exchange in settings.exchanges.items():
        facts = subscriptions_of(name)
        for product in exchange.symbols:
            chosen = await asyncio.to_thread(instruments, facts, exchange, product)
            for kind in exchange.kinds:
                target = Target(product, kind)
                url = exchange.urls.ws[product] + facts.path(target)
                listener = Floor(producer, topic, f"{name}.{product}".encode())
                while True:
                    try:
                        connection = await open_connection(url, listener, Options())
                        break
                    except UnavailableError:
                        await asyncio.sleep(RETRY_SECONDS)
                streams = [Stream(kind, i.native_symbol, i.symbol) for i in chosen]
                for message in facts.subscribe(target, streams):
                    connection.send(message)
                    await asyncio.sleep(0.1)
                found.append(connection)
    return found


def run_floor(topic: str) -> None:
    """Run the floor until it is killed."""
    environment = Environment.read()
    producer = Producer(
        {**environment.require_kafka(), "compression.type": "lz4", "linger.ms": 20, "acks": "all",
         "enable.idempotence": True, "max.in.flight.requests.per.connection": 1,
         "delivery.report.only.error": True, "queue.buffering.max.messages": 200_000}
    )  # fmt: skip
    connections = shared_loop().run(connect(load_settings(environment), producer, topic)).result()
    print(len(connections), "connections", flush=True)
    while True:
        producer.poll(0.1)


def count_records(pipeline: Pipeline, topics: list[str]) -> int:
    """Return how many records topics have."""
    consumer = Consumer({"bootstrap.servers": pipeline.bootstrap_servers, "group.id": "count"})
    found = consumer.list_topics(timeout=10).topics
    counts = [
        consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
        for topic in topics
        if topic in found
        for partition in found[topic].partitions
    ]
    consumer.close()
    return sum(counts)


def show(console: Console) -> None:
    """Measure both and print the table."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name,
        simulated(Path(name), 3, TRADES_A_SECOND) as exchanges,
    ):
        folder = Path(name)
        ground = Ground(folder)
        try:
            changes = {"exchanges": exchanges.of(*exchanges.settings["exchanges"])}
            dsn = ground.create_database("collect")
            _show(console, Pipeline(ground.services, dsn, folder, REGIONS, changes))
        finally:
            ground.stack.stop()


def _show(console: Console, pipeline: Pipeline) -> None:
    floor_topic = f"{pipeline.settings.feed_status}.floor"
    topics = {
        "floor": [floor_topic],
        "collector": [
            topic
            for region in pipeline.settings.regions.values()
            for topic in (region.topics.ticker, region.topics.orderbook, region.topics.trade)
        ],
    }
    admin = AdminClient({"bootstrap.servers": pipeline.bootstrap_servers})
    admin.create_topics([NewTopic(floor_topic, 1)])[floor_topic].result(timeout=10)
    log_path = pipeline.folder / "bench.log"
    with log_path.open("w") as log:
        floor = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.collect", floor_topic],
            env={**pipeline.variables}, stdout=log, stderr=log,
        )  # fmt: skip
        store = pipeline.recovery_store()
        processes = {
            "floor": psutil.Process(floor.pid),
            "collector": psutil.Process(pipeline.start_into(log.fileno(), "collect", *store).pid),
        }
        try:
            time.sleep(START_SECONDS)
            before = {
                name: (count_records(pipeline, topics[name]), _cpu_seconds(process))
                for name, process in processes.items()
            }
            time.sleep(SECONDS)
            table = Table("collecting", "frames /s", "µs CPU a frame")
            costs = {}
            for name, process in processes.items():
                count = count_records(pipeline, topics[name]) - before[name][0]
                assert count, f"{name} collects nothing:\n{log_path.read_text()[-3_000:]}"
                costs[name] = (_cpu_seconds(process) - before[name][1]) / count * 1e6
                table.add_row(name, f"{count / SECONDS:,.0f}", f"{costs[name]:.1f}")
            console.print(table)
            console.print(f"collector / floor: {costs['collector'] / costs['floor']:.2f}")
        finally:
            for process in processes.values():
                process.kill()
                process.wait()


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_floor(sys.argv[1])
    else:
        show(Console())
