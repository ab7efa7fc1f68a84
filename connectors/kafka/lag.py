"""How far the dataflows are behind, and how old the newest record of each partition is.

From the broker alone: any cluster can be asked, also one whose dataflows run elsewhere.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.process.clock import now_ns
from schemas.errors import UnavailableError
from schemas.settings import RAW_TOPICS, Settings
from schemas.times import NS_PER_MS

TIMEOUT_SECONDS: Final = 5.0
# The newest records of all partitions together; what is later than this is shown without an age.
NEWEST_SECONDS: Final = 3.0


class PartitionLag(msgspec.Struct, frozen=True):
    """One partition of a raw topic, as its dataflow has read it."""

    topic: str
    partition: int
    exchange: str | None
    """Who owns it, by `pipeline.yaml`."""
    end_offset: int
    committed_offset: int | None
    """Up to where it is durable; `None`: nothing was read yet."""
    lag: int
    age_seconds: float | None
    """Of the newest record, by the broker's clock; `None`: there is none."""


def lags(client_config: Mapping[str, str], settings: Settings) -> list[PartitionLag]:
    """Return all partitions of the raw topics, in the order of `pipeline.yaml`.

    Raises:
        UnavailableError: The broker does not answer, or has no such topic.
    """
    try:
        return [
            lag
            for name, region in settings.regions.items()
            for kind in RAW_TOPICS
            for lag in _of_topic(
                client_config,
                settings,
                name,
                getattr(region.topics, kind),
                getattr(region.groups, kind),
                getattr(region.partitions, kind),
            )
        ]
    except KafkaException as error:
        raise UnavailableError(f"Kafka: {error.args[0].str()}; run `marketflow init`?") from error


def _of_topic(
    client_config: Mapping[str, str],
    settings: Settings,
    region: str,
    topic: str,
    group: str,
    count: int,
) -> Iterator[PartitionLag]:
    consumer = Consumer(
        {**client_config, "group.id": group, "enable.auto.commit": False, "log_level": 0}
    )
    try:
        places = [TopicPartition(topic, partition) for partition in range(count)]
        committed = {p.partition: p.offset for p in consumer.committed(places, TIMEOUT_SECONDS)}
        ends = {
            place.partition: consumer.get_watermark_offsets(place, TIMEOUT_SECONDS)
            for place in places
        }
        ages = _ages(consumer, topic, {at: high for at, (low, high) in ends.items() if high > low})
        for at, (low, high) in ends.items():
            offset = committed[at] if committed[at] >= 0 else None
            yield PartitionLag(
                topic,
                at,
                settings.owner(region, at),
                high,
                offset,
                max(0, high - (low if offset is None else offset)),
                ages.get(at),
            )
    finally:
        consumer.close()


def _ages(consumer: Consumer, topic: str, ends: Mapping[int, int]) -> dict[int, float]:
    """Return the seconds since the newest record of each partition was written."""
    if not ends:
        return {}
    consumer.assign([TopicPartition(topic, at, high - 1) for at, high in ends.items()])
    ages: dict[int, float] = {}
    deadline = time.monotonic() + NEWEST_SECONDS
    while len(ages) < len(ends) and time.monotonic() < deadline:
        for message in consumer.consume(len(ends), 0.2):
            partition = message.partition()
            if message.error() is None and partition is not None:
                written_ns = message.timestamp()[1] * NS_PER_MS
                ages[partition] = max(0.0, (now_ns() - written_ns) / 1_000_000_000)
    return ages
