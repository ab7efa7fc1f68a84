"""The topics of ``pipeline.yaml``, made on the broker by ``marketflow init``."""

import logging
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic

from connectors.kafka.clients import ConnectionErrors, make_client
from connectors.kafka.dead_letters import SUFFIX, topic_of_dead_letters
from connectors.kafka.sink import KafkaConfig
from schemas.errors import SettingsError, UnavailableError
from schemas.feed_status import REGIONS
from schemas.settings import RAW_TOPICS, Settings

if TYPE_CHECKING:
    from concurrent.futures import Future

    from confluent_kafka.admin._metadata import ClusterMetadata

MAX_REPLICAS: Final = 3

# What a broker accepts unless told otherwise.
DEFAULT_RECORD_BYTES: Final = 1_048_588
# A record that just fitted into its topic is longer with the reason in its headers, and may be
# compressed less well.
DEAD_LETTER_ROOM: Final = 2
MAX_RECORD_BYTES: Final = 2**31 - 1

TOPIC_IDS_TIMEOUT_SECONDS: Final = 15.0

_UNKNOWN_TOPIC_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"  # all zeros, from brokers before Kafka 2.8
_LIMIT: Final = "max.message.bytes"
_POLL_SECONDS: Final = 0.05

_log: Final = logging.getLogger("marketflow.kafka")


class TopicsReport(msgspec.Struct, frozen=True):
    """What `ensure_topics` found and did."""

    created: list[str]
    present: list[str]
    notes: list[str]
    """What was changed, and what is legal but perhaps not meant."""


def needed_topics(settings: Settings) -> dict[str, int]:
    """Return the partitions of each topic that the pipeline reads or writes, by its name."""
    topics: dict[str, int] = {
        settings.feed_status: len(REGIONS),
        topic_of_dead_letters(settings.feed_status): len(REGIONS),
    }
    for region in settings.regions.values():
        counts = region.partitions
        for kind in RAW_TOPICS:
            raw = getattr(region.topics, kind)
            topics[raw] = getattr(counts, kind)
            topics[topic_of_dead_letters(raw)] = getattr(counts, kind)
        topics[region.topics.snapshot_requests] = counts.orderbook
        topics[region.processed.ticker] = counts.ticker
        topics[region.processed.orderbook] = counts.orderbook
        topics[region.processed.taker_volume] = counts.trade
        topics[region.processed.audit] = counts.kline
    return topics


def ensure_topics(
    config: KafkaConfig, settings: Settings, *, timeout_seconds: float = 15.0
) -> TopicsReport:
    """Create the topics that are missing, and let dead-letter topics follow their raw topics.

    Other topics that are there are checked, not changed. A dead-letter topic gets the partitions
    of its raw topic and room for its longest record, also when those have grown since.

    Args:
        config: How to reach the broker.
        settings: Which topics.
        timeout_seconds: For each of the few requests to the broker.

    Raises:
        SettingsError: A topic has too few partitions, or the broker refuses to make it.
        UnavailableError: The broker cannot be reached.
    """
    cluster = _Cluster(config, timeout_seconds)
    needed = needed_topics(settings)
    dead_letters = {name for name in needed if name.endswith(SUFFIX)}
    found = cluster.partition_counts()
    others = {name: count for name, count in needed.items() if name not in dead_letters}
    _check(others, found)
    created = cluster.create({name: others[name] for name in others if name not in found})
    found = cluster.wait_for(dict.fromkeys(others, 1))
    _check(others, found)
    notes = [*_notes_on_partitions(settings, others, found)]
    wanted = {name: max(needed[name], found[name.removesuffix(SUFFIX)]) for name in dead_letters}
    limits = _limits(cluster, sorted(dead_letters), notes)
    created += cluster.create(
        {name: wanted[name] for name in needed if name in dead_letters and name not in found},
        {name: {_LIMIT: str(limit)} for name, limit in limits.items()},
    )
    notes += _follow(cluster, wanted, cluster.wait_for(dict.fromkeys(wanted, 1)), limits)
    return TopicsReport(
        created=created, present=[name for name in needed if name not in created], notes=notes
    )


def _check(needed: Mapping[str, int], found: Mapping[str, int]) -> None:
    for name, count in needed.items():
        if found.get(name, count) < count:
            raise SettingsError(
                f"topic {name} has {found[name]} partitions, expected at least {count}: add "
                "partitions to it, or change `partitions` of its region in pipeline.yaml"
            )


def _notes_on_partitions(
    settings: Settings, needed: Mapping[str, int], found: Mapping[str, int]
) -> Iterator[str]:
    raw = {
        getattr(region.topics, kind) for region in settings.regions.values() for kind in RAW_TOPICS
    }
    for name, count in needed.items():
        if found[name] <= count:
            continue
        use = (
            "the others are read too, and their records must name their exchange"
            if name in raw
            else "nothing is written to the others"
        )
        yield f"topic {name} has {found[name]} partitions, pipeline.yaml names {count}: {use}"


def _limits(cluster: "_Cluster", names: list[str], notes: list[str]) -> dict[str, int]:
    """Return how long a record each dead-letter topic should take."""
    try:
        raw = cluster.record_limits([name.removesuffix(SUFFIX) for name in names])
    except SettingsError as error:
        notes.append(f"{error}: a dead letter that is too large is kept as a pointer")
        raw = {}
    return {
        name: min(
            MAX_RECORD_BYTES,
            DEAD_LETTER_ROOM * raw.get(name.removesuffix(SUFFIX), DEFAULT_RECORD_BYTES),
        )
        for name in names
    }


def _follow(
    cluster: "_Cluster",
    wanted: Mapping[str, int],
    found: Mapping[str, int],
    limits: Mapping[str, int],
) -> Iterator[str]:
    """Let dead-letter topics grow where they are smaller than they should be."""
    few = {name: count for name, count in wanted.items() if found[name] < count}
    try:
        cluster.add_partitions(few)
        for name in sorted(few):
            yield f"topic {name}: {found[name]} partitions were made {wanted[name]}"
        now = cluster.record_limits(sorted(wanted))
        short = {name: limits[name] for name in now if now[name] < limits[name]}
        cluster.set_record_limits(short)
        for name in sorted(short):
            yield f"topic {name}: records of {now[name]:,} bytes were made {short[name]:,}"
    except SettingsError as error:
        # It works without: such a letter goes to another partition, or is kept as a pointer.
        yield f"{error}: left as it is"


def topic_ids(config: KafkaConfig, topics: list[str]) -> dict[str, str]:
    """Return what tells a topic from another one of its name, where the broker says it."""
    found: dict[str, str] = {}
    # Its requests end with it. What it has to say comes as an exception.
    options: dict[str, Any] = {**config, "log_level": 0, "error_cb": _say_nothing}
    admin = AdminClient(options)
    described = admin.describe_topics(
        TopicCollection(topics), request_timeout=TOPIC_IDS_TIMEOUT_SECONDS
    )
    for topic, answer in described.items():
        try:
            topic_id = str(answer.result().topic_id)
        except KafkaException as error:
            _log.warning("%s: its id is not known, nor whether it was re-created: %s", topic, error)
            continue
        if topic_id != _UNKNOWN_TOPIC_ID:
            found[topic] = topic_id
    return found


class _Cluster:
    """The few requests that are made of a broker, each with a time limit."""

    def __init__(self, config: KafkaConfig, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._servers = config.get("bootstrap.servers", "")
        self._errors = ConnectionErrors(self._servers)
        options = {"log_level": 0, **config, "error_cb": self._errors.note}
        self._admin = make_client(AdminClient, options)

    def partition_counts(self) -> dict[str, int]:
        return {name: len(topic.partitions) for name, topic in self._metadata().topics.items()}

    def create(
        self, topics: Mapping[str, int], configs: Mapping[str, dict[str, str]] | None = None
    ) -> list[str]:
        """Create topics and return those that nobody else created in the meantime."""
        if not topics:
            return []
        replicas = min(MAX_REPLICAS, len(self._metadata().brokers))
        results = self._admin.create_topics(
            [
                NewTopic(name, count, replicas, config=(configs or {}).get(name, {}))
                for name, count in topics.items()
            ],
            operation_timeout=self._timeout_seconds,
            request_timeout=self._timeout_seconds,
        )
        return [
            name
            for name, result in results.items()
            if self._done(name, result, unless=KafkaError.TOPIC_ALREADY_EXISTS)
        ]

    def add_partitions(self, topics: Mapping[str, int]) -> None:
        """Let topics have so many partitions, and wait until the broker shows them."""
        if not topics:
            return
        results = self._admin.create_partitions(
            [NewPartitions(name, count) for name, count in topics.items()],
            operation_timeout=self._timeout_seconds,
            request_timeout=self._timeout_seconds,
        )
        for name, result in results.items():
            # Another one may have added them meanwhile.
            self._done(name, result, unless=KafkaError.INVALID_PARTITIONS)
        self.wait_for(topics)

    def record_limits(self, topics: list[str]) -> dict[str, int]:
        """Return how long a record of each topic may be."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        if not resources:
            return {}
        found = self._admin.describe_configs(resources, request_timeout=self._timeout_seconds)
        limits = {}
        for resource, result in found.items():
            self._done(resource.name, result)
            limits[resource.name] = int(result.result()[_LIMIT].value)
        return limits

    def set_record_limits(self, limits: Mapping[str, int]) -> None:
        """Let records of topics be so long, and wait until the broker shows it."""
        if not limits:
            return
        resources = [
            ConfigResource(
                ResourceType.TOPIC,
                name,
                incremental_configs=[
                    ConfigEntry(_LIMIT, str(limit), incremental_operation=AlterConfigOpType.SET)
                ],
            )
            for name, limit in limits.items()
        ]
        results = self._admin.incremental_alter_configs(
            resources, request_timeout=self._timeout_seconds
        )
        for resource, result in results.items():
            self._done(resource.name, result)
        deadline = time.monotonic() + self._timeout_seconds
        while self.record_limits(sorted(limits)) != dict(limits):
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"{_LIMIT} of topic {min(limits)} was set, but Kafka at {self._servers} does "
                    f"not show it after {self._timeout_seconds:g} s"
                )
            time.sleep(_POLL_SECONDS)

    def wait_for(self, topics: Mapping[str, int]) -> dict[str, int]:
        """Wait until the broker that answers has heard of all topics and their partitions."""
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            found = self.partition_counts()
            missing = [name for name, count in topics.items() if found.get(name, 0) < count]
            if not missing:
                return found
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"topic {min(missing)} was made, but Kafka at {self._servers} does not "
                    f"show it after {self._timeout_seconds:g} s"
                )
            time.sleep(_POLL_SECONDS)

    def _done(self, name: str, result: "Future[Any]", *, unless: int | None = None) -> bool:
        """Wait for a request; return `False` where it was refused for the one reason."""
        try:
            result.result()
        except KafkaException as exception:
            error = _error_of(exception)
            if error.code() == unless:
                return False
            if error.retriable() or error.code() in _TIMEOUTS:
                raise self._unavailable(error) from exception
            raise SettingsError(f"topic {name}: Kafka refuses it: {error.str()}") from exception
        return True

    def _metadata(self) -> "ClusterMetadata":
        try:
            return self._admin.list_topics(timeout=self._timeout_seconds)
        except KafkaException as exception:
            raise self._unavailable(_error_of(exception)) from exception

    def _unavailable(self, error: KafkaError) -> UnavailableError:
        self._admin.poll(0)
        return self._errors.unavailable(error)


_TIMEOUTS: Final = (
    KafkaError._TIMED_OUT,  # noqa: SLF001 - the client's own names for its codes
    KafkaError._TRANSPORT,  # noqa: SLF001  # the client's own name
    KafkaError.REQUEST_TIMED_OUT,
)


def _error_of(exception: KafkaException) -> KafkaError:
    return cast("KafkaError", exception.args[0])


def _say_nothing(error: KafkaError) -> None:
    del error
