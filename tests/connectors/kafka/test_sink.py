"""An epoch is durable only when the broker has every record of it."""

from __future__ import annotations

import os
import threading
import time
import uuid
from typing import TYPE_CHECKING

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource, run_main
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from prometheus_client import REGISTRY

from connectors.kafka.sink import KafkaSink, OutRecord
from connectors.local.stack import Stack
from connectors.sinks import SINK_PARTITIONS
from schemas.errors import UndeliveredError
from tests.connectors.kafka.refusing_proxy import UnreadyBroker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connectors.kafka.sink import KafkaConfig

REFUSING = "127.0.0.1:1"


def new_topic(servers: str, config: dict[str, str] | None = None, suffix: str = "") -> str:
    topic = f"sink-{uuid.uuid4().hex}{suffix}"
    admin = AdminClient({"bootstrap.servers": servers})
    wanted = NewTopic(topic, 4, 1, config=config or {})
    for created in admin.create_topics([wanted]).values():
        created.result(20)
    return topic


def read(servers: str, topic: str, partition: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test"})
    try:
        at = TopicPartition(topic, partition, 0)
        _, end = consumer.get_watermark_offsets(at, timeout=20)
        consumer.assign([at])
        messages: list[Message] = []
        while len(messages) < end:
            messages += consumer.consume(end - len(messages), timeout=20)
        return messages
    finally:
        consumer.close()


def values(servers: str, topic: str, partition: int) -> list[bytes | None]:
    return [message.value() for message in read(servers, topic, partition)]


@pytest.fixture
def topic(kafka: str) -> str:
    return new_topic(kafka)


@pytest.fixture
def sink(kafka: str) -> KafkaSink:
    return KafkaSink({"bootstrap.servers": kafka}, delivery_timeout_ms=20_000)


def test_nothing_is_connected_by_making_a_sink() -> None:
    before = threading.active_count()
    sink = KafkaSink({"bootstrap.servers": REFUSING}, delivery_timeout_ms=1_000)
    assert sink.list_parts() == list(SINK_PARTITIONS)
    assert threading.active_count() == before


def test_a_record_arrives_as_it_was_given(sink: KafkaSink, kafka: str, topic: str) -> None:
    headers: list[tuple[str, bytes | None]] = [("a", b"1"), ("a", b"\xff"), ("none", None)]
    lane = sink.build_part("out", "0", None)
    lane.write_batch([[OutRecord(topic, 2, b"\x00key", b"value\xff", headers)]])
    lane.write_batch([[OutRecord(topic, 2, None, None)]])
    lane.snapshot()
    full, empty = read(kafka, topic, 2)
    assert (full.key(), full.value(), full.headers()) == (b"\x00key", b"value\xff", headers)
    assert (empty.key(), empty.value(), empty.headers()) == (None, None, None)


def test_the_explicit_partition_is_honoured(sink: KafkaSink, kafka: str, topic: str) -> None:
    lane = sink.build_part("out", "0", None)
    lane.write_batch([[OutRecord(topic, number, b"same", b"%d" % number) for number in range(4)]])
    lane.snapshot()
    for number in range(4):
        assert values(kafka, topic, number) == [b"%d" % number]


def test_records_of_a_lane_keep_their_order(sink: KafkaSink, kafka: str, topic: str) -> None:
    lane = sink.build_part("out", "0", None)
    for start in range(0, 5_000, 500):
        numbers = range(start, start + 500)
        lane.write_batch([[OutRecord(topic, 1, b"k", b"%d" % number)] for number in numbers])
    lane.snapshot()
    assert values(kafka, topic, 1) == [b"%d" % number for number in range(5_000)]


def test_more_than_the_queue_holds_waits_for_room(kafka: str, topic: str) -> None:
    small: KafkaConfig = {"bootstrap.servers": kafka, "queue.buffering.max.messages": 100}
    lane = KafkaSink(small, delivery_timeout_ms=20_000).build_part("out", "0", None)
    lane.write_batch([[OutRecord(topic, 0, None, b"%d" % number) for number in range(2_000)]])
    lane.snapshot()
    assert values(kafka, topic, 0) == [b"%d" % number for number in range(2_000)]


def test_the_lanes_of_a_process_share_one_connection(kafka: str, topic: str) -> None:
    sink = KafkaSink({"bootstrap.servers": kafka}, delivery_timeout_ms=20_000)
    first = sink.build_part("out", "0", None)
    first.write_batch([[OutRecord(topic, 0, None, b"0")]])
    first.snapshot()
    threads = threading.active_count()
    for name in SINK_PARTITIONS[1:]:
        lane = sink.build_part("out", name, None)
        lane.write_batch([[OutRecord(topic, 0, None, name.encode())]])
        lane.snapshot()
    assert threading.active_count() == threads
    assert values(kafka, topic, 0) == [b"0", b"1", b"2", b"3"]


def test_a_broker_that_refuses_fails_the_snapshot() -> None:
    sink = KafkaSink({"bootstrap.servers": REFUSING}, delivery_timeout_ms=1_500)
    lane = sink.build_part("out", "0", None)
    lane.write_batch([[OutRecord("some-topic", 3, None, b"lost")]])
    started = time.monotonic()
    with pytest.raises(
        UndeliveredError, match=r"some-topic \[3\]: not acknowledged in time .*Connection refused"
    ):
        lane.snapshot()
    assert time.monotonic() - started < 20
    with pytest.raises(UndeliveredError):
        lane.snapshot()


def test_a_full_queue_fails_at_the_deadline() -> None:
    config: KafkaConfig = {"bootstrap.servers": REFUSING, "queue.buffering.max.messages": 10}
    lane = KafkaSink(config, delivery_timeout_ms=1_000).build_part("out", "0", None)
    with pytest.raises(UndeliveredError, match=r"some-topic \[0\]: "):
        lane.write_batch([[OutRecord("some-topic", 0, None, b"x")] * 11])


def test_a_record_that_the_topic_refuses_is_an_error(sink: KafkaSink, kafka: str) -> None:
    narrow = new_topic(kafka, {"max.message.bytes": "1000"})
    lane = sink.build_part("out", "0", None)
    lane.write_batch([[OutRecord(narrow, 0, None, os.urandom(5_000))]])
    with pytest.raises(UndeliveredError, match=rf"{narrow} \[0\]: .*[Mm]essage size too large"):
        lane.snapshot()


def test_a_record_too_large_for_the_client_is_an_error(kafka: str, topic: str) -> None:
    narrow: KafkaConfig = {"bootstrap.servers": kafka, "message.max.bytes": 1_000_000}
    lane = KafkaSink(narrow, delivery_timeout_ms=20_000).build_part("out", "0", None)
    with pytest.raises(UndeliveredError, match=r"a record of 20000000 bytes: .*too large"):
        lane.write_batch([[OutRecord(topic, 0, None, bytes(20_000_000))]])


def test_a_partition_that_does_not_exist_is_an_error(sink: KafkaSink, topic: str) -> None:
    lane = sink.build_part("out", "0", None)
    with pytest.raises(UndeliveredError, match=rf"{topic} \[9\]: .*[Uu]nknown partition"):  # noqa: PT012  # both calls may raise
        lane.write_batch([[OutRecord(topic, 9, None, b"x")]])
        lane.snapshot()


def test_after_a_failure_new_lanes_deliver_again(sink: KafkaSink, kafka: str, topic: str) -> None:
    failed = sink.build_part("out", "0", None)
    with pytest.raises(UndeliveredError):  # noqa: PT012  # at once, or once the broker was asked
        failed.write_batch([[OutRecord(topic, 9, None, b"x")]])
        failed.snapshot()
    failed.close()
    lane = sink.build_part("out", "0", None)
    lane.write_batch([[OutRecord(topic, 0, None, b"again")]])
    lane.snapshot()
    assert values(kafka, topic, 0) == [b"again"]


def test_only_what_was_delivered_is_counted(sink: KafkaSink, topic: str) -> None:
    def counted() -> float | None:
        return REGISTRY.get_sample_value("marketflow_produced_total", {"topic": topic})

    lane = sink.build_part("out", "0", None)
    lane.write_batch([[OutRecord(topic, 0, None, b"x")] * 3])
    assert counted() is None
    lane.snapshot()
    lane.snapshot()
    assert counted() == 3


def test_a_dataflow_that_ends_has_delivered_all(sink: KafkaSink, kafka: str, topic: str) -> None:
    items = [
        (f"key-{number % 7}", [OutRecord(topic, number % 7 % 4, None, b"%d" % number)])
        for number in range(700)
    ]
    flow = Dataflow("sink_test")
    op.output("out", op.input("in", flow, TestingSource(items, batch_size=10)), sink)
    run_main(flow)  # type: ignore[no-untyped-call]
    arrived = [int(value or b"") for part in range(4) for value in values(kafka, topic, part)]
    assert sorted(arrived) == list(range(700))
    for part in range(4):
        for key in range(7):
            of_key = [int(v or b"") for v in values(kafka, topic, part) if int(v or b"") % 7 == key]
            assert of_key == sorted(of_key)


def test_a_partition_that_is_not_ready_yet_loses_nothing(kafka: str) -> None:
    topic = new_topic(kafka, suffix="-unready")
    unready = UnreadyBroker(kafka)
    # Each record is a request, as records are that come one after the other.
    config: KafkaConfig = {"bootstrap.servers": unready.servers, "batch.num.messages": 1}
    lane = KafkaSink(config, 30_000).build_part("out", "0", None)
    lane.write_batch([[OutRecord(topic, 0, None, b"%d" % number) for number in range(10)]])
    lane.snapshot()
    unready.close()
    assert unready.refused == 1
    assert values(kafka, topic, 0) == [b"%d" % number for number in range(10)]


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Stack]:
    """A broker that a test may stop."""
    stack = Stack(tmp_path / "stack", environment={})
    try:
        yield stack
    finally:
        stack.stop()


def test_a_restart_of_the_broker_loses_nothing(own_broker: Stack) -> None:
    servers = own_broker.start(["kafka"]).kafka_bootstrap_servers
    assert servers is not None
    topic = new_topic(servers)
    lane = KafkaSink({"bootstrap.servers": servers}, 60_000).build_part("out", "0", None)
    lane.write_batch([[OutRecord(topic, 0, None, b"before")]])
    lane.snapshot()
    own_broker.stop()
    lane.write_batch([[OutRecord(topic, 0, None, b"%d" % number) for number in range(1_000)]])
    restart = threading.Thread(target=own_broker.start, args=(["kafka"],))
    restart.start()
    lane.snapshot()
    restart.join()
    assert values(servers, topic, 0) == [b"before", *(b"%d" % number for number in range(1_000))]
