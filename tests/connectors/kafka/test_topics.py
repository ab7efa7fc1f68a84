"""Topics are made once, with the partitions of pipeline.yaml; wrong ones are refused."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic

from connectors.kafka.topics import ensure_topics, needed_topics
from schemas.errors import SettingsError, UnavailableError
from schemas.settings import Settings, parse_settings

PIPELINE = (Path(__file__).parents[3] / "pipeline.yaml").read_text()


@pytest.fixture
def settings() -> Settings:
    """The project's own, with topics that no other test has."""
    prefix = f"test-{uuid.uuid4().hex}-"
    text = PIPELINE.replace("SocketDataIn", f"{prefix}In").replace("Region.", f"{prefix}Region.")
    text = text.replace("feed_status: ", f"feed_status: {prefix}")
    return parse_settings(text.encode(), "pipeline.yaml")


def partitions(kafka: str) -> dict[str, int]:
    topics = AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics
    return {name: len(topic.partitions) for name, topic in topics.items()}


def create(kafka: str, name: str, count: int) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(name, count, 1)])[name].result(timeout=10)
    # The broker may list a topic some milliseconds after it says that it was made.
    while name not in partitions(kafka):
        time.sleep(0.02)


def test_the_topics_are_those_of_the_contract() -> None:
    topics = needed_topics(parse_settings(PIPELINE.encode(), "pipeline.yaml"))

    korea = {"ticker": 4, "Orderbook": 4, "trade": 4, "kline": 4}
    asia = {"ticker": 3, "Orderbook": 3, "trade": 3, "kline": 3}
    ne = {"ticker": 2, "Orderbook": 2, "trade": 3, "kline": 3}
    expected: dict[str, int] = {"feed-status": 3, "feed-status.dlq": 3}
    for prefix, region, counts in (
        ("kora", "Korea", korea),
        ("asia", "Asia", asia),
        ("ne", "NE", ne),
    ):
        for kind, count in counts.items():
            expected[f"{prefix}SocketDataIn-{kind}"] = count
            expected[f"{prefix}SocketDataIn-{kind}.dlq"] = count
        # Not of the contract: where the order book dataflow asks the collector for snapshots.
        expected[f"{prefix}SocketDataIn-Orderbook.requests"] = counts["Orderbook"]
        expected[f"Region.{region}_TickerPreprocessing"] = counts["ticker"]
        expected[f"Region.{region}_OrderbookPreprocessing"] = counts["Orderbook"]
        expected[f"Region.{region}_TakerVolumePreprocessing"] = counts["trade"]
        # Not of the contract: the verdicts of the audit.
        expected[f"Region.{region}_AuditPreprocessing"] = counts["kline"]
    assert topics == expected


def test_missing_topics_are_made_with_their_partitions(kafka: str, settings: Settings) -> None:
    report = ensure_topics({"bootstrap.servers": kafka}, settings)

    needed = needed_topics(settings)
    assert sorted(report.created) == sorted(needed)
    assert (report.present, report.notes) == ([], [])
    assert needed.items() <= partitions(kafka).items()


def test_a_second_run_finds_all_topics_present(kafka: str, settings: Settings) -> None:
    ensure_topics({"bootstrap.servers": kafka}, settings)

    report = ensure_topics({"bootstrap.servers": kafka}, settings)

    assert report.created == []
    assert sorted(report.present) == sorted(needed_topics(settings))


def test_two_at_the_same_time_make_each_topic_once(kafka: str, settings: Settings) -> None:
    with ThreadPoolExecutor(2) as pool:
        reports = list(
            pool.map(lambda _: ensure_topics({"bootstrap.servers": kafka}, settings), range(2))
        )

    created = [name for report in reports for name in report.created]
    assert sorted(created) == sorted(needed_topics(settings))


def test_a_topic_with_too_few_partitions_is_refused_before_anything_is_made(
    kafka: str, settings: Settings
) -> None:
    name = settings.regions["Korea"].processed.taker_volume
    create(kafka, name, 3)

    with pytest.raises(SettingsError, match=f"{name} has 3 partitions, expected at least 4"):
        ensure_topics({"bootstrap.servers": kafka}, settings)

    assert partitions(kafka).keys() & needed_topics(settings).keys() == {name}


def test_a_topic_with_more_partitions_is_left_alone_and_noted(
    kafka: str, settings: Settings
) -> None:
    name = settings.regions["NE"].topics.trade
    create(kafka, name, 7)

    report = ensure_topics({"bootstrap.servers": kafka}, settings)

    assert report.notes == [
        (
            f"topic {name} has 7 partitions, pipeline.yaml names 3: the others are read too, "
            "and their records must name their exchange"
        )
    ]
    assert report.present == [name]
    assert partitions(kafka)[f"{name}.dlq"] == 7
    assert partitions(kafka)[name] == 7


def limit_of(kafka: str, topic: str) -> int:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": kafka})
    (found,) = admin.describe_configs([resource]).values()
    return int(found.result()["max.message.bytes"].value)


def test_dead_letter_topics_follow_raw_topics_that_have_grown(
    kafka: str, settings: Settings
) -> None:
    ensure_topics({"bootstrap.servers": kafka}, settings)
    raw = settings.regions["NE"].topics.trade
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_partitions([NewPartitions(raw, 5)])[raw].result(10)
    larger = ConfigEntry("max.message.bytes", "9000000")
    larger.incremental_operation = AlterConfigOpType.SET
    resource = ConfigResource(ResourceType.TOPIC, raw, incremental_configs=[larger])
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(10)
    # The broker may show a change some milliseconds after it says that it was made.
    while partitions(kafka)[raw] != 5 or limit_of(kafka, raw) != 9_000_000:
        time.sleep(0.02)

    notes = ensure_topics({"bootstrap.servers": kafka}, settings).notes

    assert partitions(kafka)[f"{raw}.dlq"] == 5
    assert limit_of(kafka, f"{raw}.dlq") == 18_000_000
    assert notes[1:] == [
        f"topic {raw}.dlq: 3 partitions were made 5",
        f"topic {raw}.dlq: records of 2,097,176 bytes were made 18,000,000",
    ]
    assert ensure_topics({"bootstrap.servers": kafka}, settings).notes == notes[:1]


def test_an_unreachable_broker_is_unavailable_in_bounded_time(settings: Settings) -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 .*refused.*make up"):
        ensure_topics({"bootstrap.servers": "127.0.0.1:1"}, settings, timeout_seconds=1)


def test_an_option_that_librdkafka_does_not_know_is_refused(settings: Settings) -> None:
    config = {"bootstrap.servers": "127.0.0.1:1", "securty.protocol": "SASL_SSL"}

    with pytest.raises(SettingsError, match=r"securty\.protocol"):
        ensure_topics(config, settings)


def test_a_dead_letter_topic_takes_the_longest_record_with_its_reason(
    kafka: str, settings: Settings
) -> None:
    ensure_topics({"bootstrap.servers": kafka}, settings)
    raw = next(iter(settings.regions.values())).topics.trade
    longest = b"x" * (1_048_588 - 200)
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": kafka, "message.max.bytes": 16_777_216})

    def note(error: object, message: object) -> None:
        del message
        failures.append(error)

    producer.produce(raw, longest, partition=0, on_delivery=note)
    headers: dict[str, str | bytes | None] = {"dlq.error": "y" * 1_024, "dlq.topic": raw}
    producer.produce(raw + ".dlq", longest, partition=0, headers=headers, on_delivery=note)
    producer.flush(10)

    assert failures == [None, None]
