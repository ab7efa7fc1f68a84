"""Accelerated traffic for a long time, with a random fault every so often: `make soak`.

Trades of 1,000 Binance symbols at ten times their speed, and the recorded frames of all other
exchanges in a loop beside them, go through all dataflows while processes and services are killed.
In the end the rows of the market are what the market was; all rows and records, also those of the
recorded frames, are what dataflows make of the same log that nothing disturbs; and the archive
holds each record of the processed topics once.
"""

import itertools
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import psutil
import psycopg
from confluent_kafka import Message, Producer

from connectors.archive.client import ensure_bucket, make_client
from connectors.kafka.lag import lags
from tests.dataflows.archive import Archive
from tests.dataflows.harness import Pipeline, wait
from tests.dataflows.market import make_market
from tests.dataflows.oracle import assert_true
from tests.dataflows.own_services import Ground
from tests.dataflows.test_exchange_checklist import FEEDS
from tests.schemas.exchanges.frames import lines

FLOWS = ("taker_volume", "ticker", "orderbook", "archive")
REGIONS = ("Korea", "Asia", "NE")
TABLES = {
    "taker_volume": "exchange_id, symbol, minute",
    "orderbook_minute": "exchange_id, symbol, minute",
    "ticker_latest": "exchange_id, symbol",
}
BINANCE = 8  # its exchange_id
SYMBOLS = 1_000
TRADES_A_SECOND = 1_000
ACCELERATION = 10
AWAY_SECONDS = 4.0
SAMPLE_SECONDS = 2.0
DRAIN_SECONDS = 600.0


class Sample(msgspec.Struct):
    """What was seen at one time."""

    at_seconds: float
    memory_mb: dict[str, float]
    file_descriptors: dict[str, int]
    lag: int | None


class Report(msgspec.Struct):
    """What a soak was, and what it showed."""

    seconds: float
    trades: int
    other_frames: int
    faults: dict[str, int]
    restarts: dict[str, int]
    rows: int
    records: int
    objects: int
    peak_memory_mb: dict[str, float]
    memory_mb_early: dict[str, float]
    memory_mb_late: dict[str, float]
    file_descriptors_early: dict[str, int]
    file_descriptors_late: dict[str, int]
    seconds_to_no_lag: list[float]
    """After each fault; the longest tells how long an outage is felt."""


class Soak:
    """One run.

    Args:
        folder: For everything.
        seconds: How long there is traffic.
        fault_seconds: A fault each time.
        seed: Of the faults.
    """

    def __init__(self, folder: Path, seconds: float, fault_seconds: float, seed: int) -> None:
        self._seconds = seconds
        self._fault_seconds = fault_seconds
        self._chance = random.Random(seed)
        self._ground = Ground(folder, REGIONS, ("kafka", "postgres", "minio"))
        self._pipeline = self._ground.pipeline
        ensure_bucket(make_client(self._ground.services), self._ground.services.s3_bucket)
        self._archive = Archive(self._pipeline, self._ground.services)
        self._pipeline.variables.update(self._archive.variables)
        count = int(seconds * TRADES_A_SECOND)
        minutes = max(2, int(seconds * ACCELERATION / 60))
        self._market = make_market(count, SYMBOLS, minutes, seed)
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._restarts = dict.fromkeys(FLOWS, 0)
        self._faults: dict[str, int] = {}
        self._samples: list[Sample] = []
        self._recoveries: list[float] = []
        self._other_frames = 0
        self._fed = threading.Event()
        self._folder = folder
        self._row_count = self._record_count = self._object_count = 0

    def run(self) -> Report:
        """Runs it; raises where a row is wrong."""
        began = time.monotonic()
        feeder = threading.Thread(target=self._feed, daemon=True)
        feeder.start()
        try:
            self._go(began)
            feeder.join(DRAIN_SECONDS)
            self._drain()
            # What was seen must not be lost with what is found wrong.
            sys.stderr.write(_text(self._report(time.monotonic() - began)))
            self._check_market()
            self._check_archive()
            self._check_records(self._undisturbed())
        finally:
            for process in self._processes.values():
                process.kill()
            self._ground.stop()
        return self._report(time.monotonic() - began)

    def _go(self, began: float) -> None:
        faults_left = int(self._seconds / self._fault_seconds - 0.5)
        next_fault = began + self._fault_seconds
        next_sample = fault_at = 0.0
        while faults_left or not self._fed.is_set():
            self._keep_running()
            now = time.monotonic()
            if now >= next_sample:
                self._sample(now - began)
                next_sample = now + SAMPLE_SECONDS
                if fault_at and self._samples[-1].lag is not None and self._samples[-1].lag < 5_000:
                    self._recoveries.append(round(now - fault_at, 1))
                    fault_at = 0.0
            if faults_left and now >= next_fault:
                self._fault()
                faults_left -= 1
                fault_at = time.monotonic()
                next_fault += self._fault_seconds
            time.sleep(0.2)

    def _feed(self) -> None:
        """Everything through one producer, which an outage only delays."""
        producer = Producer(
            {
                "bootstrap.servers": self._pipeline.bootstrap_servers,
                "enable.idempotence": True,
                "max.in.flight.requests.per.connection": 1,  # as KafkaSink, and for its reason
                "message.timeout.ms": 600_000,
                "queue.buffering.max.messages": 1_000_000,
                "log_level": 0,
                "error_cb": lambda _: None,
            }
        )
        settings = self._pipeline.settings
        topic = settings.regions["NE"].topics.trade
        others = self._others()
        began = time.monotonic()
        for at in range(0, len(self._market), TRADES_A_SECOND // 10):
            for trade in self._market[at : at + TRADES_A_SECOND // 10]:
                producer.produce(topic, trade.frame(), b"binance", 0)
            for _ in range(10):
                producer.produce(*next(others))
                self._other_frames += 1
            producer.poll(0)
            time.sleep(max(0.0, began + at / TRADES_A_SECOND - time.monotonic()))
        assert producer.flush(DRAIN_SECONDS) == 0
        self._fed.set()

    def _others(self) -> Iterator[tuple[str, bytes, bytes, int]]:
        """The recorded frames of every exchange and kind but for Binance's trades, in a loop.

        A feed is silent for a few seconds at most: what a longer silence makes final depends on
        the wall clock, and would not be the same when the log is read again.
        """
        settings = self._pipeline.settings
        feeds = []
        for exchange, key, kind, name in FEEDS:
            if (exchange, kind) == ("binance", "trade"):
                continue
            topic = getattr(settings.region_of(exchange).topics, kind)
            partition = settings.exchanges[exchange].partitions[0]
            frames = [(topic, frame, key.encode(), partition) for frame in lines(name)]
            feeds.append(itertools.cycle(frames))
        while True:
            yield next(self._chance.choice(feeds))

    def _keep_running(self) -> None:
        for flow in FLOWS:
            process = self._processes.get(flow)
            if process is None or process.poll() is not None:
                self._restarts[flow] += process is not None
                store = self._pipeline.recovery_store(flow)
                self._processes[flow] = self._start(flow, *store)

    def _start(self, flow: str, *arguments: str) -> subprocess.Popen[str]:
        with (self._folder / f"{flow}.log").open("a") as log:
            return self._pipeline.start_into(log, flow, *arguments)

    def _fault(self) -> None:
        faults: list[Callable[[], None]] = [
            self.kill_flow, self.terminate_flow, self.kill_broker, self.kill_database,
            self.kill_store, self.cut_connections,
        ]  # fmt: skip
        fault = self._chance.choice(faults)
        self._faults[fault.__name__] = self._faults.get(fault.__name__, 0) + 1
        fault()

    def kill_flow(self) -> None:
        self._processes[self._chance.choice(FLOWS)].kill()

    def terminate_flow(self) -> None:
        self._processes[self._chance.choice(FLOWS)].send_signal(signal.SIGTERM)

    def kill_broker(self) -> None:
        self._ground.kill("kafka")
        time.sleep(AWAY_SECONDS)
        self._ground.restart("kafka")

    def kill_database(self) -> None:
        self._ground.kill("postgres")
        time.sleep(AWAY_SECONDS)
        self._ground.restart("postgres")

    def kill_store(self) -> None:
        self._ground.kill("minio")
        time.sleep(AWAY_SECONDS)
        self._ground.restart("minio")

    def cut_connections(self) -> None:
        with psycopg.connect(self._ground.dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def _sample(self, at_seconds: float) -> None:
        memory, descriptors = {}, {}
        for flow, process in self._processes.items():
            try:
                seen = psutil.Process(process.pid)
                memory[flow] = seen.memory_info().rss / 1_048_576
                descriptors[flow] = seen.num_fds()
            except psutil.Error:
                continue
        self._samples.append(Sample(at_seconds, memory, descriptors, self._lag()))

    def _lag(self) -> int | None:
        config = {"bootstrap.servers": self._pipeline.bootstrap_servers}
        try:
            return sum(lag.lag for lag in lags(config, self._pipeline.settings))
        except Exception:  # noqa: BLE001  # the broker is the one that was killed
            return None

    def _drain(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            process.wait(DRAIN_SECONDS)
        stores = {flow: self._pipeline.recovery_store(flow) for flow in FLOWS}
        _run_to_the_end(self._pipeline, {flow: stores[flow] for flow in FLOWS[:-1]})
        # The archive stores what the others write.
        _run_to_the_end(self._pipeline, {FLOWS[-1]: stores[FLOWS[-1]]})

    def _undisturbed(self) -> Pipeline:
        """What dataflows make of the same log in one go."""
        folder = self._folder / "undisturbed"
        folder.mkdir()
        dsn = self._ground.create_database("undisturbed")
        services = self._ground.services
        pipeline = Pipeline(services, dsn, folder, REGIONS, raw_of=self._pipeline)
        _run_to_the_end(pipeline, {flow: [] for flow in FLOWS[:-1]})
        return pipeline

    def _check_records(self, undisturbed: Pipeline) -> None:
        for table, order in TABLES.items():
            rows = self._pipeline.rows(table, order)
            for row, expected in zip(rows, undisturbed.rows(table, order), strict=True):
                differs = {n: (row[n], expected[n]) for n in row if row[n] != expected[n]}
                assert not differs, (table, list(row.items())[:3], differs)
            self._row_count += len(rows)
        for region in REGIONS:
            of, same = (p.settings.regions[region] for p in (self._pipeline, undisturbed))
            for kind, topic in msgspec.structs.asdict(of.processed).items():
                again = getattr(same.processed, kind)
                for partition in self._pipeline.partitions(topic):
                    found = _lasting(self._pipeline.records(topic, partition))
                    assert found == _lasting(undisturbed.records(again, partition)), topic

    def _check_archive(self) -> None:
        for region in self._pipeline.settings.regions.values():
            for topic in msgspec.structs.asdict(region.processed).values():
                objects = self._archive.objects(f"topics/{topic}/")
                self._object_count += len(objects)
                for partition in self._pipeline.partitions(topic):
                    records = self._pipeline.records(topic, partition)
                    self._record_count += len(records)
                    lines = self._archive.lines(topic, partition, objects)
                    assert lines == [record.value() for record in records], topic

    def _check_market(self) -> None:
        binance = [row for row in self._pipeline.rows() if row["exchange_id"] == BINANCE]
        assert_true(binance, self._market, with_quiet=False)

    def _report(self, seconds: float) -> Report:
        third = max(1, len(self._samples) // 3)
        early, late = self._samples[third : 2 * third], self._samples[-third:]
        return Report(
            seconds=round(seconds, 1),
            trades=len(self._market),
            other_frames=self._other_frames,
            faults=self._faults,
            restarts=self._restarts,
            rows=self._row_count,
            records=self._record_count,
            objects=self._object_count,
            peak_memory_mb={f: round(max(_of(self._samples, f))) for f in FLOWS},
            memory_mb_early={f: round(_mean(_of(early, f))) for f in FLOWS},
            memory_mb_late={f: round(_mean(_of(late, f))) for f in FLOWS},
            file_descriptors_early={f: _most_files(early, f) for f in FLOWS},
            file_descriptors_late={f: _most_files(late, f) for f in FLOWS},
            seconds_to_no_lag=self._recoveries,
        )


def _run_to_the_end(pipeline: Pipeline, flows: Mapping[str, Sequence[str]]) -> None:
    """Runs flows side by side, each with its arguments, over what their topics hold."""
    running = [pipeline.start(flow, *flows[flow], STOP_AT_END="1") for flow in flows]
    for process in running:
        wait(process, DRAIN_SECONDS)


def _lasting(records: list[Message]) -> Any:
    """What does not depend on how the log was cut into batches, nor on records sent again.

    Each record of a ticker or book once; of each minute of trades the newest revision.
    """
    values = {record.value() or b"" for record in records}
    if not any(b'"is_final":' in value for value in values):
        return values
    newest: dict[tuple[str, int], dict[str, Any]] = {}
    for row in map(msgspec.json.decode, values):
        row.pop("duplicate_trades")
        key = row["symbol"], row["minute"]
        if row["is_final"] and row["revision"] >= newest.get(key, row)["revision"]:
            newest[key] = row
    return newest


def _text(report: Report) -> str:
    return msgspec.json.format(msgspec.json.encode(report)).decode() + "\n"


def _of(samples: list[Sample], flow: str) -> list[float]:
    return [sample.memory_mb[flow] for sample in samples if flow in sample.memory_mb] or [0.0]


def _most_files(samples: list[Sample], flow: str) -> int:
    return max(sample.file_descriptors.get(flow, 0) for sample in samples)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


@click.command()
@click.option("--minutes", default=60.0, show_default=True)
@click.option("--fault-seconds", default=60.0, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(minutes: float, fault_seconds: float, seed: int) -> None:
    """Runs a soak and prints what it showed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Soak(Path(folder), 60 * minutes, fault_seconds, seed).run()
    sys.stdout.write(_text(report))


if __name__ == "__main__":
    main()
