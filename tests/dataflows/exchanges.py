"""The simulated exchanges of a test, and what of their trades must be in Kafka."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import yaml

from dataflows.domain.coverage import Coverage
from schemas.errors import DecodeError
from schemas.exchanges import decoder_of
from schemas.feed_status import REGIONS, FeedStatus
from schemas.raw import RawRecords
from tests.dataflows.harness import ROOT, Pipeline

START_SECONDS = 60


class Truth(msgspec.Struct, gc=False):
    """One trade that was really made."""

    exchange: str
    symbol: str
    trade_id: int | str
    time_ms: int


class Exchanges:
    """A simulator of all exchanges, in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self._folder = folder
        self.settings: dict[str, Any] = yaml.safe_load((folder / "simulated.yaml").read_text())
        url = self.settings["exchanges"]["upbit"]["urls"]["rest"]["spot"]
        self.url = url.partition("/upbit")[0]

    def of(self, *names: str, regions: Sequence[str] = REGIONS, **changes: Any) -> dict[str, Any]:
        """Return the exchanges of pipeline.yaml: some are collected, with changes, others not."""
        return {
            name: {**exchange, **(changes if name in names else {"collect": "off"})}
            for name, exchange in self.settings["exchanges"].items()
            if exchange["region"] in regions
        }

    def make(self, fault: str, **fields: Any) -> None:
        """Let something go wrong."""
        answer = httpx.post(f"{self.url}/control", json={"fault": fault, **fields})
        assert answer.is_success, answer.text

    def trades(self) -> list[Truth]:
        """Return all that was traded so far."""
        lines = (self._folder / "truth" / "trades.ndjson").read_bytes().splitlines()
        decode = msgspec.json.Decoder(Truth).decode
        return [decode(line) for line in lines if line.endswith(b"}")]


@contextmanager
def simulated(folder: Path, symbols: int = 2, rate: float = 150) -> Iterator[Exchanges]:
    """Run the simulator."""
    config = folder / "simulated.yaml"
    with (folder / "simulator.log").open("wb") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("marketflow"), "simulate",
             "--symbols", str(symbols), "--rate", str(rate), "--port", "0",
             "--truth", str(folder / "truth"), "--config", str(config)],
            cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
            env={name: v for name, v in os.environ.items() if name != "PIPELINE_CONFIG"},
        )  # fmt: skip
        try:
            wait_until(lambda: b"simulating on" in (folder / "simulator.log").read_bytes())
            yield Exchanges(process, folder)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def wait_until(is_so: Callable[[], object], seconds: float = START_SECONDS) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it has not become so"
        time.sleep(0.5)


def statuses(pipeline: Pipeline) -> list[FeedStatus]:
    """Return what the collector has said of its feeds."""
    topic = pipeline.settings.feed_status
    decode = msgspec.json.Decoder(FeedStatus).decode
    return [
        decode(message.value() or b"")
        for partition in range(len(REGIONS))
        for message in pipeline.records(topic, partition)
    ]


def collected_ids(pipeline: Pipeline) -> dict[tuple[str, str], set[str]]:
    """Return the ids of the trades in the raw topics, by exchange and symbol."""
    found: dict[tuple[str, str], set[str]] = {}
    for name, region in pipeline.settings.regions.items():
        for partition in range(region.partitions.trade):
            raw = RawRecords(pipeline.settings, name, partition)
            for message in pipeline.records(region.topics.trade, partition):
                feed, _ = raw.feed(message.key())
                try:
                    trades = decoder_of(feed.exchange).decode_trades(message.value() or b"", feed)
                except DecodeError:
                    continue  # garbage, for the dead letters
                for trade in trades:
                    ids = found.setdefault((feed.exchange, trade.symbol), set())
                    if trade.first_id is None:
                        ids.add(str(trade.trade_id))
                    else:
                        ids.update(map(str, range(trade.first_id, int(trade.trade_id) + 1)))
    return found


def check_trades(pipeline: Pipeline, truth: list[Truth]) -> tuple[int, int]:
    """Compare the trades in Kafka with the truth, where the collector says that it has all.

    Returns:
        How many trades were made while a stream was said to be whole, and how many not.
    """
    said = statuses(pipeline)
    kept = collected_ids(pipeline)
    timelines = {}
    whole = broken = 0
    for trade in truth:
        market = (trade.exchange, trade.symbol)
        if market not in timelines:
            coverage = Coverage()
            for status in said:
                if status.exchange == trade.exchange and status.kind == "trade":
                    coverage.apply(status)
            timelines[market] = coverage.timeline(trade.symbol).state()
        is_whole = None
        for start_ms, verdict, _ in timelines[market]:
            if start_ms <= trade.time_ms:
                is_whole = verdict
        if not is_whole:
            broken += 1
            continue
        whole += 1
        ids = kept.get(market, set())
        assert str(trade.trade_id) in ids, (
            f"{trade} is missing, though the stream is said to be whole: {timelines[market]}"
        )
    return whole, broken


def received_ms_of(pipeline: Pipeline, topic: str, partition: int) -> list[int]:
    """Return the times that the records of a partition are stamped with."""
    return [message.timestamp()[1] for message in pipeline.records(topic, partition)]
