"""What a benchmark runs on: topics and tables of its own, on the running services."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import psycopg
import yaml
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from psycopg import sql

from connectors.commands.init import initialize
from connectors.process.environment import Environment, load_settings

ROOT = Path(__file__).parents[2]


class Ground:
    """Topics, tables and settings of one benchmark, as the environment of a process names them."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        environment = Environment.read(variables)
        self.settings = load_settings(environment)
        self.dsn = environment.require_postgres()
        self.bootstrap_servers = environment.require_kafka()["bootstrap.servers"]

    def fill(self, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Puts records into the first partition of a topic."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "compression.type": "lz4",
                "linger.ms": 50,
                # An update that is missing or out of its order would lose its book.
                "enable.idempotence": True,
                "max.in.flight.requests.per.connection": 1,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        for key, value in records:
            while True:
                try:
                    producer.produce(topic, value, key, 0)
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.flush()

    def consume(self, topic: str, count: int) -> Iterator[list[Message]]:
        """Batches of a topic's first partition, with the fetch settings of the dataflows."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": "hand-written",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 5,
                "queued.min.messages": 1_000_000,
                "queued.max.messages.kbytes": 65_536,
                "fetch.message.max.bytes": 4_000_000,
            }
        )
        consumer.assign([TopicPartition(topic, 0, 0)])
        read = 0
        while read < count:
            messages = consumer.consume(10_000, 0.1)
            read += len(messages)
            yield messages
        consumer.close()


def prepare(folder: Path, services: dict[str, str]) -> dict[str, str]:
    """Makes topics and tables that nothing else uses; the environment that names them."""
    suffix = uuid.uuid4().hex[:8]
    config = yaml.safe_load((ROOT / "pipeline.yaml").read_text())
    for region in config["regions"].values():
        for names in ("topics", "processed", "groups"):
            region[names] = {kind: f"{name}.{suffix}" for kind, name in region[names].items()}
    path = folder / f"pipeline.{suffix}.yaml"
    path.write_text(yaml.safe_dump(config))
    server, _, _ = services["POSTGRES_DSN"].rpartition("/")
    with psycopg.connect(services["POSTGRES_DSN"], autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(f"b{suffix}")))
    variables = {
        **services,
        "POSTGRES_DSN": f"{server}/b{suffix}",
        "PIPELINE_CONFIG": str(path),
        "BENCH_STORE": str(folder / f"store.{suffix}"),
        "STOP_AT_END": "1",
    }
    environment = Environment.read(variables)
    list(initialize(environment, load_settings(environment), with_bucket=False))
    return variables


def measure(arguments: list[str], variables: dict[str, str]) -> tuple[float, float]:
    """Runs `python -m tests.bench.child`; its seconds and its peak memory in MB."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.child", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds, memory_mb = done.stdout.splitlines()[-1].split()
    return float(seconds), float(memory_mb)


def peak_memory_mb() -> float:
    """The most memory that this process has had resident; `ru_maxrss` would include its parent."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1_024
