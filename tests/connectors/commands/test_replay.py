"""`marketflow replay` on a real broker: every frame, in its place, in its order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from connectors.commands.cli import main
from connectors.kafka.topics import ensure_topics
from connectors.process.clock import now_ns
from connectors.replay.recording import read_frames, shipped
from schemas.exchanges import decoder_of
from schemas.settings import RAW_KINDS, parse_settings
from schemas.times import NS_PER_SECOND

if TYPE_CHECKING:
    from click.testing import Result

PIPELINE = Path(__file__).parents[3] / "pipeline.yaml"


class Pipeline:
    """Topics of a test's own, and the command line on them."""

    def __init__(self, servers: str, folder: Path) -> None:
        self.prefix = f"t{uuid.uuid4().hex[:12]}-"
        text = PIPELINE.read_text()
        for name in ("asiaSocket", "koraSocket", "neSocket", "Region."):
            text = text.replace(f": {name}", f": {self.prefix}{name}")
        path = folder / "pipeline.yaml"
        path.write_text(text)
        self.settings = parse_settings(text.encode(), str(path))
        self.variables = {"KAFKA_BOOTSTRAP_SERVERS": servers, "PIPELINE_CONFIG": str(path)}
        self._config = {"bootstrap.servers": servers}
        ensure_topics(self._config, self.settings)

    def replay(self, *arguments: str) -> Result:
        return CliRunner(env=self.variables).invoke(main, ["replay", *arguments])

    def read(self) -> dict[tuple[str, int], list[Message]]:
        """All records of all raw topics, by topic (without the prefix) and partition."""
        partitions = [
            TopicPartition(getattr(region.topics, kind), partition, 0)
            for region in self.settings.regions.values()
            for kind in RAW_KINDS
            for partition in range(getattr(region.partitions, kind))
        ]
        found: defaultdict[tuple[str, int], list[Message]] = defaultdict(list)
        consumer = Consumer({**self._config, "group.id": "test", "enable.partition.eof": True})
        try:
            consumer.assign(partitions)
            ended: set[tuple[str, int]] = set()
            while len(ended) < len(partitions):
                for message in consumer.consume(10_000, timeout=1):
                    place = (
                        (message.topic() or "").removeprefix(self.prefix),
                        message.partition() or 0,
                    )
                    error = message.error()
                    if error is None:
                        found[place].append(message)
                    else:
                        assert error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001  # the client's own name
                        ended.add(place)
        finally:
            consumer.close()
        for messages in found.values():
            assert [message.offset() for message in messages] == list(range(len(messages)))
        return found

    def sent(self) -> int:
        """How many records the broker has."""
        latest = {
            TopicPartition(getattr(region.topics, kind), partition): OffsetSpec.latest()  # type: ignore[no-untyped-call]
            for region in self.settings.regions.values()
            for kind in RAW_KINDS
            for partition in range(getattr(region.partitions, kind))
        }
        admin = AdminClient({**self._config})
        return sum(end.result(20).offset for end in admin.list_offsets(latest).values())


def is_subsequence(part: list[bytes], whole: list[bytes]) -> bool:
    rest = iter(whole)
    return all(each in rest for each in part)


@pytest.fixture
def pipeline(kafka: str, tmp_path: Path) -> Pipeline:
    return Pipeline(kafka, tmp_path)


def received_ns(message: Message) -> int:
    headers = dict(message.headers() or [])
    value = headers["received_at"]
    assert value is not None
    return int(value)


def test_every_frame_arrives_in_its_place_and_order(pipeline: Pipeline) -> None:
    result = pipeline.replay("--speed", "max")
    assert result.exit_code == 0, result.output
    expected: list[tuple[tuple[str, int, bytes], list[bytes]]] = []
    for recording in shipped():
        exchange = pipeline.settings.exchanges[recording.exchange]
        topics = pipeline.settings.region_of(recording.exchange).topics
        by_topic: defaultdict[str, list[bytes]] = defaultdict(list)
        for frame in read_frames(recording.path):
            kind = decoder_of(recording.exchange).kind(frame.content)
            kind = "trade" if kind == "control" else kind
            if kind != "other" and kind in exchange.kinds:
                topic = getattr(topics, kind).removeprefix(pipeline.prefix)
                by_topic[topic].append(frame.content)
        key = recording.feed.encode()
        expected += [
            ((topic, exchange.partitions[0], key), frames) for topic, frames in by_topic.items()
        ]
    found: defaultdict[tuple[str, int, bytes], list[bytes]] = defaultdict(list)
    for (topic, partition), messages in pipeline.read().items():
        for message in messages:
            found[topic, partition, message.key() or b""].append(message.value() or b"")
    wanted: defaultdict[tuple[str, int, bytes], Counter[bytes]] = defaultdict(Counter)
    for place, frames in expected:
        wanted[place].update(frames)
        assert is_subsequence(frames, found[place])
    assert {place: Counter(frames) for place, frames in found.items()} == wanted
    sent = sum(len(frames) for _, frames in expected)
    assert f"{sent:,}  frames delivered" in result.output


def test_frames_of_a_file_keep_their_order_and_exact_receive_times(pipeline: Pipeline) -> None:
    recording = next(each for each in shipped() if each.file == "okx.tsv.gz")
    result = pipeline.replay("--file", str(recording.path), "--feed", "okx", "--speed", "max")
    assert result.exit_code == 0, result.output
    recorded = {(frame.content, frame.time_ns) for frame in read_frames(recording.path)}
    for (topic, partition), messages in pipeline.read().items():
        assert topic.startswith("asiaSocketDataIn-")
        assert partition == 0
        received = [received_ns(message) for message in messages]
        assert received == sorted(received)
        assert {(message.value(), received_ns(message)) for message in messages} <= recorded


def test_the_first_frame_is_now(pipeline: Pipeline) -> None:
    before = now_ns()
    result = pipeline.replay("--shift-to-now", "--speed", "max", "--kind", "trade")
    assert result.exit_code == 0, result.output
    places = pipeline.read()
    assert {topic for topic, _ in places} == {
        "asiaSocketDataIn-trade",
        "koraSocketDataIn-trade",
        "neSocketDataIn-trade",
    }
    for messages in places.values():
        received = [received_ns(message) for message in messages]
        assert before - 2 * NS_PER_SECOND < min(received)
        assert max(received) < now_ns() + 31 * NS_PER_SECOND


def test_a_shifted_trade_is_stamped_before_it_is_received(pipeline: Pipeline) -> None:
    assert pipeline.replay("--shift-to-now", "--speed", "max").exit_code == 0
    exchanges = {
        (exchange.region, exchange.partitions[0]): name
        for name, exchange in pipeline.settings.exchanges.items()
    }
    regions = {"asia": "Asia", "kora": "Korea", "neSo": "NE"}
    checked = set()
    for (topic, partition), messages in pipeline.read().items():
        if not topic.endswith("-trade"):
            continue
        name = exchanges[regions[topic[:4]], partition]
        for message in messages:
            _, product, symbol = ((message.key() or b"").decode() + "..").split(".")[:3]
            feed = pipeline.settings.feed(name, product or None, symbol or None)  # type: ignore[arg-type]
            for trade in decoder_of(name).decode_trades(message.value() or b"", feed):
                checked.add(name)
                assert trade.time_ns < received_ns(message) + NS_PER_SECOND
    assert checked == set(pipeline.settings.exchanges)


def test_samples_without_a_receive_time_have_none(pipeline: Pipeline) -> None:
    assert pipeline.replay("--exchange", "korbit", "--speed", "max").exit_code == 0
    messages = [message for each in pipeline.read().values() for message in each]
    assert messages
    assert all(message.headers() is None for message in messages)


def test_a_loop_goes_on_until_the_limit(pipeline: Pipeline) -> None:
    arguments = ("--exchange", "korbit", "--shift-to-now", "--loop", "--speed", "max")
    result = pipeline.replay(*arguments, "--limit", "100")
    assert "100  frames delivered" in result.output
    trades = pipeline.read()["koraSocketDataIn-trade", 2]
    values = [message.value() for message in trades]
    assert len(values) > 10
    assert len(set(values)) == len(values)


def test_recorded_speed_takes_the_recorded_time(pipeline: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "frames.tsv"
    path.write_text("".join(f"{second}\tpong\n" for second in range(81)))
    for speed, least, most in (("40", 2, 40), ("80", 1, 40), ("max", 0, 40)):
        started = time.monotonic()
        result = pipeline.replay("--file", str(path), "--feed", "okx", "--speed", speed)
        assert result.exit_code == 0, result.output
        assert least <= time.monotonic() - started < most


def test_what_no_flow_needs_is_counted_and_left_out(pipeline: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "frames.tsv"
    table = '{"table":"orderBookL2","action":"partial","data":[]}'
    path.write_text(f'1\t{table}\n2\t{{"junk\n3\t{{"info":"Welcome","version":"1"}}\n')
    result = pipeline.replay("--file", str(path), "--feed", "bitmex", "--speed", "max")
    assert "1  frames delivered" in result.output
    assert "1 not understood" in result.output
    assert [len(each) for each in pipeline.read().values()] == [1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--exchange", "mtgox"], "--exchange mtgox: expected one of upbit, bithumb"),
        (["--feed", "okx"], "--file and --feed: expected both or neither"),
        (["--speed", "fast"], "expected `max` or a number"),
        (["--speed", "0"], "expected `max` or a number"),
        (["--file", str(PIPELINE), "--feed", "mtgox"], "feed mtgox: expected <exchange>"),
        (["--file", str(PIPELINE), "--feed", "okx"], r"pipeline.yaml:1: "),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], message: str) -> None:
    variables = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    result = CliRunner(env=variables).invoke(main, ["replay", *arguments])
    assert result.exit_code != 0
    assert message in result.output


def test_frames_that_do_not_arrive_end_in_an_error(tmp_path: Path) -> None:
    config = tmp_path / "pipeline.yaml"
    text = PIPELINE.read_text()
    config.write_text(text.replace("delivery_timeout_ms: 60_000", "delivery_timeout_ms: 1_000"))
    variables = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "PIPELINE_CONFIG": str(config)}
    result = CliRunner(env=variables).invoke(main, ["replay", "--speed", "max", "--limit", "5"])
    assert result.exit_code == 1
    assert "not acknowledged in time" in result.output
    assert "delivered\n" not in result.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_with_a_summary(
    pipeline: Pipeline, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", "from connectors.commands.cli import main; main()", "replay"]
    process = subprocess.Popen(
        [*command, "--loop", "--shift-to-now"],
        env={**os.environ, **pipeline.variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(4)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "frames delivered" in output
    delivered = int(output.rpartition("\n")[0].splitlines()[-1].split()[0].replace(",", ""))
    assert delivered == pipeline.sent() > 0
