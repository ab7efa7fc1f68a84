"""A pipeline of a test's own: topics, tables, settings; dataflows run as users run them."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, LiteralString

import msgspec
import psycopg
import yaml
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg.rows import dict_row

from connectors.commands.init import initialize
from connectors.process.environment import Environment
from schemas.settings import Settings, parse_settings

ROOT = Path(__file__).parents[2]
RUN_TIMEOUT_SECONDS = 120
TOPIC_SECONDS = 20


class Pipeline:
    """Topics, tables and settings that no other test sees.

    Args:
        services: The running Kafka and PostgreSQL.
        dsn: An empty database.
        folder: For pipeline.yaml, recovery stores and logs.
        regions: The regions to keep; one is quicker to make than three.
        changes: Sections of pipeline.yaml to change, merged into those of the project.
        raw_of: A pipeline whose raw topics this one reads as well.
        edit: Changes the whole of pipeline.yaml, as YAML gives it.
    """

    def __init__(
        self,
        services: Environment,
        dsn: str,
        folder: Path,
        regions: Iterable[str] = ("NE",),
        changes: Mapping[str, Mapping[str, Any]] | None = None,
        raw_of: "Pipeline | None" = None,
        edit: Callable[[Any], None] | None = None,
    ) -> None:
        self.dsn = dsn
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []
        self.bootstrap_servers = services.require_kafka()["bootstrap.servers"]
        config = _own_config(set(regions), changes or {})
        if raw_of is not None:
            for name, region in raw_of.settings.regions.items():
                config["regions"][name]["topics"] = msgspec.structs.asdict(region.topics)
            config["feed_status"] = raw_of.settings.feed_status
        if edit is not None:
            edit(config)
        path = folder / "pipeline.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        self.settings: Settings = parse_settings(path.read_bytes(), str(path))
        self.variables = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "POSTGRES_DSN": dsn,
            "PIPELINE_CONFIG": str(path),
        }
        list(initialize(Environment.read(self.variables), self.settings, with_bucket=False))

    def produce(
        self,
        topic: str,
        partition: int,
        records: Iterable[tuple[bytes | None, bytes | None]],
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Puts keyed values into one partition, in order."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "linger.ms": 5,
                "max.in.flight.requests.per.connection": 1,  # a retry must not come second
            }
        )
        for count, (key, value) in enumerate(records):
            producer.produce(topic, value, key, partition, headers=list(headers))
            if count % 10_000 == 0:
                producer.flush()
        assert producer.flush(30) == 0

    def delete_topic(self, topic: str) -> None:
        """Delete a topic and wait until it is gone."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        admin.delete_topics([topic])[topic].result(timeout=10)
        deadline = time.monotonic() + TOPIC_SECONDS
        while topic in admin.list_topics(timeout=10).topics:
            assert time.monotonic() < deadline, f"{topic} is still there"
            time.sleep(0.1)

    def run(self, flow: str, *arguments: str, **variables: str) -> None:
        """Runs a dataflow over what its topics hold now; it must end well."""
        process = self.start(flow, *arguments, STOP_AT_END="1", **variables)
        wait(process)

    def run_cluster(self, flow: str, count: int, *arguments: str, **variables: str) -> None:
        """The same in several processes that exchange their keys."""
        for process in self.start_cluster(flow, count, *arguments, STOP_AT_END="1", **variables):
            wait(process)

    def start_cluster(
        self, flow: str, count: int, *arguments: str, **variables: str
    ) -> list[subprocess.Popen[str]]:
        """Starts several processes that exchange their keys."""
        addresses = ";".join(f"127.0.0.1:{port}" for port in _free_ports(count))
        return [
            self.start(flow, "-i", str(i), "-a", addresses, *arguments, **variables)
            for i in range(count)
        ]

    def start(self, flow: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Starts a dataflow as a user does."""
        return self.start_into(subprocess.PIPE, flow, *arguments, **variables)

    def start_into(
        self, output: int | IO[str], flow: str, *arguments: str, **variables: str
    ) -> subprocess.Popen[str]:
        """The same, with what it prints in a file: a full pipe would stop one that runs long."""
        process = subprocess.Popen(
            [sys.executable, "-m", "bytewax.run", f"dataflows.{flow}", *arguments],
            cwd=ROOT,
            env={**os.environ, "RUST_BACKTRACE": "0", **self.variables, **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def kill_after(self, seconds: float, process: subprocess.Popen[str]) -> None:
        """Kill a process in the middle of its work."""
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    def execute(self, statement: LiteralString) -> None:
        """Run a statement in the pipeline's database."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(statement)

    def kill_all(self) -> None:
        """Ends what a failed test has left behind."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def recovery_store(self, name: str = "recovery") -> list[str]:
        """Makes a recovery store; the arguments that use it, with an epoch a second."""
        folder = self.folder / name
        if not folder.exists():
            folder.mkdir()
            subprocess.run(
                [sys.executable, "-m", "bytewax.recovery", str(folder), "2"], check=True, cwd=ROOT
            )
        return ["-r", str(folder), "-s", "1", "-b", "0"]

    def rows(self, table: str = "taker_volume", order: str = "exchange_id, symbol, minute") -> Any:
        """All rows of a table as dictionaries, without what a run may do otherwise."""
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            rows = connection.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()  # noqa: S608  # the test's own words
        volatile = {"created_at", "updated_at", "duplicate_trades"}
        return [{k: v for k, v in row.items() if k not in volatile} for row in rows]

    def records(self, topic: str, partition: int = 0) -> list[Message]:
        """Everything in one partition, in order."""
        low, high = self._bounds(TopicPartition(topic, partition))
        consumer = Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": "test"})
        consumer.assign([TopicPartition(topic, partition, low)])
        found: list[Message] = []
        while len(found) < high - low:
            found += consumer.consume(min(100_000, high - low - len(found)), timeout=10)
        consumer.close()
        return found

    def _bounds(self, where: TopicPartition) -> tuple[int, int]:
        """The first offset of a partition and the next one, also from a broker that just woke."""
        deadline = time.monotonic() + TOPIC_SECONDS
        while True:
            # A new one each time: it remembers for long that a partition had no leader.
            consumer = Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": "test"})
            try:
                return consumer.get_watermark_offsets(where, timeout=10)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            finally:
                consumer.close()

    def partitions(self, topic: str) -> list[int]:
        """The partitions of a topic."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": "test"})
        found = sorted(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer.close()
        return found

    def values(self, topic: str, partition: int = 0) -> list[Any]:
        """The JSON values in one partition, in order."""
        return [msgspec.json.decode(m.value() or b"") for m in self.records(topic, partition)]


def wait(process: subprocess.Popen[str], seconds: float = RUN_TIMEOUT_SECONDS) -> None:
    """Wait for a process that must end well, and show what it printed if it did not."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"still running after {seconds} s:\n{output}") from None
    assert process.returncode == 0, output


def _own_config(regions: set[str], changes: Mapping[str, Mapping[str, Any]]) -> Any:
    """The project's pipeline.yaml with topic and group names that nobody else uses."""
    config = yaml.safe_load((ROOT / "pipeline.yaml").read_text())
    suffix = uuid.uuid4().hex[:8]
    config["regions"] = {name: r for name, r in config["regions"].items() if name in regions}
    for region in config["regions"].values():
        for names in ("topics", "processed", "groups"):
            region[names] = {kind: f"{name}.{suffix}" for kind, name in region[names].items()}
    config["feed_status"] = f"feed-status.{suffix}"
    config["exchanges"] = {
        name: exchange
        for name, exchange in config["exchanges"].items()
        if exchange["region"] in regions
    }
    for section, values in changes.items():
        config[section] = {**config.get(section, {}), **values}
    return config


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
