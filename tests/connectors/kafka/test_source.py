"""The Kafka source on a real broker, driven as the engine drives it."""

import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from connectors.kafka.source import KafkaPartition, KafkaSource
from connectors.local.stack import Stack
from connectors.process import metrics
from connectors.process.environment import Shard
from dataflows.domain.partition import PartitionReader
from schemas.errors import SettingsError, UnavailableError
from schemas.raw import RawMessage
from schemas.settings import KafkaSettings

SECOND_NS = 1_000_000_000
DEADLINE_SECONDS = 20


class Values(PartitionReader[bytes | None]):
    """A reader that gives the values as they are, and counts what it has seen as its state."""

    def __init__(self, state: int | None = None) -> None:
        self.seen = state or 0
        self.silences: list[int] = []
        self.counts: Counter[str] = Counter()

    @property
    def newest_ns(self) -> int:
        return 0

    def read(self, messages: Sequence[RawMessage], _now_ns: int) -> list[bytes | None]:
        self.seen += len(messages)
        return [message.value() for message in messages]

    def idle(self, silent_ns: int) -> list[bytes | None]:
        self.silences.append(silent_ns)
        return []

    def finish(self) -> list[bytes | None]:
        return [b"the end"]

    def state(self) -> int:
        return self.seen


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Stack]:
    """A broker that only this test uses, since it will be stopped."""
    stack = Stack(tmp_path / "stack", environment={})
    try:
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def topic(kafka: str) -> Iterator[str]:
    name = f"source-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(name, 3, 1)])[name].result(20)
    yield name
    admin.delete_topics([name])[name].result(20)


def source(kafka: str, topic: str, **arguments: Any) -> KafkaSource[bytes | None]:
    return KafkaSource(
        {"bootstrap.servers": kafka},
        {topic: f"group-{topic}"},
        lambda _topic, _partition, state: Values(state),
        KafkaSettings(batch_messages=7),
        **arguments,
    )


def produce(kafka: str, topic: str, values: Sequence[bytes], **config: Any) -> None:
    in_order = {"max.in.flight.requests.per.connection": 1}
    producer = Producer({"bootstrap.servers": kafka, **in_order, **config})
    if "transactional.id" in config:
        producer.init_transactions()
        producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=0)
    if "transactional.id" in config:
        producer.commit_transaction()
    assert producer.flush(20) == 0


def start_with(own_broker: Stack, topic: str, values: Sequence[bytes]) -> str:
    """Starts a broker with one topic of one partition that holds the values; where it is."""
    servers = own_broker.start(["kafka"]).kafka_bootstrap_servers
    assert servers is not None
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    produce(servers, topic, values)
    return servers


def part(kafka: str, topic: str, state: Any = None, **arguments: Any) -> KafkaPartition[Any]:
    return source(kafka, topic, **arguments).build_part("step", f"{topic}/0", state)


def read(partition: KafkaPartition[Any], count: int) -> list[Any]:
    found: list[Any] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {found} came"
        found += partition.next_batch()
    return found


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [str(number).encode() for number in range(start, start + count)]


def test_a_partition_is_read_in_order_and_goes_on_from_its_snapshot(kafka: str, topic: str) -> None:
    produce(kafka, topic, numbered(20))
    first = part(kafka, topic)
    assert read(first, 20) == numbered(20)
    snapshot = first.snapshot()

    produce(kafka, topic, numbered(5, 20))
    second = part(kafka, topic, snapshot)

    assert read(second, 5) == numbered(5, 20)
    assert second.snapshot()[1:3] == (25, 25)


def test_a_bounded_input_ends_where_the_log_ended_at_the_start(kafka: str, topic: str) -> None:
    produce(kafka, topic, numbered(10))
    partition = part(kafka, topic, stop_at_end=True)
    produce(kafka, topic, numbered(10, 10))

    assert read(partition, 11) == [*numbered(10), b"the end"]
    with pytest.raises(StopIteration):
        partition.next_batch()


def test_offsets_without_a_record_at_the_end_do_not_hold_a_bounded_input_up(
    kafka: str, topic: str
) -> None:
    # The commit marker of a transaction takes the last offset, and no client ever sees it.
    produce(kafka, topic, numbered(10), **{"transactional.id": f"t-{topic}"})
    observer = Consumer({"bootstrap.servers": kafka, "group.id": "observer"})
    deadline = time.monotonic() + DEADLINE_SECONDS
    while observer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10) != (0, 11):
        assert time.monotonic() < deadline  # the marker is written after the commit returned
    observer.close()
    partition = part(kafka, topic, stop_at_end=True)

    assert read(partition, 11) == [*numbered(10), b"the end"]
    assert partition.snapshot()[1] == 11


def test_an_empty_partition_ends_at_once(kafka: str, topic: str) -> None:
    partition = part(kafka, topic, stop_at_end=True)

    assert partition.next_batch() == [b"the end"]


def test_offsets_deleted_unread_are_counted_and_reading_goes_on_behind_them(
    kafka: str, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    produce(kafka, topic, numbered(10))
    admin = AdminClient({"bootstrap.servers": kafka})
    where = TopicPartition(topic, 0, 6)
    admin.delete_records([where])[TopicPartition(topic, 0)].result(20)

    partition = part(kafka, topic, (1, 2, 2))

    assert read(partition, 4) == numbered(4, 6)
    assert metrics.LOST_OFFSETS.labels(topic, "0")._value.get() == 4  # noqa: SLF001  # there is no other way to look
    assert "lost offsets 2 to 5 (4 records)" in caplog.text


def test_a_log_that_ends_before_the_snapshot_is_read_from_its_start(
    kafka: str, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    produce(kafka, topic, numbered(3))

    partition = part(kafka, topic, (1, 900, 900))

    assert read(partition, 3) == numbered(3)
    assert "wanted offset 900, but the log ends at 3" in caplog.text


def test_the_group_sees_an_offset_only_when_it_is_durable(kafka: str, topic: str) -> None:
    produce(kafka, topic, numbered(10))
    partition = part(kafka, topic)
    read(partition, 10)
    observer = Consumer({"bootstrap.servers": kafka, "group.id": f"group-{topic}"})

    def committed() -> int:
        return observer.committed([TopicPartition(topic, 0)], timeout=10)[0].offset

    partition.snapshot()
    assert committed() < 0  # the engine has yet to make the snapshot durable

    deadline = time.monotonic() + DEADLINE_SECONDS
    while committed() != 10:  # the next call says that it has
        assert time.monotonic() < deadline
        partition.next_batch()
    observer.close()


def test_a_shard_lists_its_own_partitions(kafka: str, topic: str) -> None:
    assert source(kafka, topic).list_parts() == [f"{topic}/{p}" for p in range(3)]
    assert source(kafka, topic, shard=Shard(0, 2)).list_parts() == [f"{topic}/0", f"{topic}/2"]
    assert source(kafka, topic, shard=Shard(1, 2)).list_parts() == [f"{topic}/1"]


def test_a_missing_topic_is_named_with_what_makes_it(kafka: str) -> None:
    with pytest.raises(SettingsError, match=r"topic nowhere: .* run `marketflow init`"):
        source(kafka, "nowhere").list_parts()


def test_an_unreachable_broker_is_an_error_in_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("connectors.kafka.source.METADATA_TIMEOUT_SECONDS", 1.0)
    began = time.monotonic()

    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 cannot be reached: .*make up"):
        source("127.0.0.1:1", "any").list_parts()

    assert time.monotonic() - began < DEADLINE_SECONDS


def test_a_restart_of_the_broker_is_read_over(own_broker: Stack) -> None:
    topic = "restarted"
    servers = start_with(own_broker, topic, numbered(20))
    partition = part(servers, topic)
    assert read(partition, 20) == numbered(20)

    own_broker.stop()
    for _ in range(20):  # an outage is no data, and no error
        assert partition.next_batch() == []
    own_broker.start(["kafka"])
    produce(servers, topic, numbered(20, 20))

    assert read(partition, 20) == numbered(20, 20)
    assert partition.snapshot()[1] == 40


def test_a_broker_that_is_away_is_not_an_exchange_that_is_silent(own_broker: Stack) -> None:
    topic = "silent"
    servers = start_with(own_broker, topic, numbered(5))
    reader = Values()
    made = KafkaSource(
        {"bootstrap.servers": servers}, {topic: "group"}, lambda *_: reader, KafkaSettings()
    )
    partition = made.build_part("step", f"{topic}/0", None)
    assert read(partition, 5) == numbered(5)

    def turn(seconds: float) -> list[int]:
        reader.silences.clear()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            partition.next_batch()
            time.sleep(0.02)
        return list(reader.silences)

    def first_silence(least_ns: int) -> int:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (silences := [found for found in turn(1) if found >= least_ns]):
            assert time.monotonic() < deadline
        return silences[0]

    assert first_silence(2 * SECOND_NS) < 20 * SECOND_NS
    own_broker.stop()
    turn(2)
    assert turn(3) == []
    own_broker.start(["kafka"])

    assert first_silence(0) < SECOND_NS, "what was before the broker was back does not count"
