"""The topics of ``pipeline.yaml``, made on the broker by ``marketflow init``."""

import time
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from connectors.kafka.dead_letters import SUFFIX, topic_of_dead_letters
from connectors.kafka.sink import KafkaConfig
from schemas.errors import SettingsError, UnavailableError
from schemas.settings import Settings

if TYPE_CHECKING:
    from concurrent.futures import Future

    from confluent_kafka.admin._metadata import ClusterMetadata

MOST_REPLICAS: Final = 3

# Twice what a broker accepts unless told otherwise.
DEAD_LETTER_BYTES: Final = 2 * 1_048_588

_POLL_SECONDS: Final = 0.05


class TopicsReport(msgspec.Struct, frozen=True):
    """What `ensure_topics` found and did."""

    created: list[str]
    present: list[str]
    notes: list[str]
    """Topics with more partitions than the settings need: legal, but perhaps not meant."""


def needed_topics(settings: Settings) -> dict[str, int]:
    """The partitions of each topic that the pipeline reads or writes, by its name."""
    topics: dict[str, int] = {}
    for region in settings.regions.values():
        counts = region.partitions
        for raw, count in (
            (region.topics.ticker, counts.ticker),
            (region.topics.orderbook, counts.orderbook),
            (region.topics.trade, counts.trade),
        ):
            topics[raw] = count
            topics[topic_of_dead_letters(raw)] = count
        topics[region.topics.snapshot_requests] = counts.orderbook
        topics[region.processed.ticker] = counts.ticker
        topics[region.processed.orderbook] = counts.orderbook
        topics[region.processed.taker_volume] = counts.trade
    return topics


def ensure_topics(
    config: KafkaConfig, settings: Settings, *, timeout_seconds: float = 15.0
) -> TopicsReport:
    """Creates the topics that are missing; those that are there are checked, not changed.

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
    found = cluster.partition_counts()
    _check(needed, found)
    created = cluster.create({name: needed[name] for name in needed if name not in found})
    found = cluster.wait_for(needed) if len(found.keys() & needed.keys()) < len(needed) else found
    _check(needed, found)
    return TopicsReport(
        created=created,
        present=[name for name in needed if name not in created],
        notes=[
            f"topic {name} has {found[name]} partitions, {count} are used"
            for name, count in needed.items()
            if found[name] > count
        ],
    )


def _check(needed: dict[str, int], found: dict[str, int]) -> None:
    for name, count in needed.items():
        if found.get(name, count) < count:
            raise SettingsError(
                f"topic {name} has {found[name]} partitions, expected at least {count}: add "
                "partitions to it, or change `partitions` of its region in pipeline.yaml"
            )


class _Cluster:
    """The few questions that are asked of a broker, each with a time limit."""

    def __init__(self, config: KafkaConfig, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._servers = config.get("bootstrap.servers", "")
        self._last_error = ""
        options: dict[str, Any] = {"log_level": 0, **config, "error_cb": self._note_error}
        try:
            self._admin = AdminClient(options)
        except KafkaException as error:
            raise SettingsError(f"KAFKA_*: {_error_of(error).str()}") from error

    def partition_counts(self) -> dict[str, int]:
        return {name: len(topic.partitions) for name, topic in self._metadata().topics.items()}

    def create(self, topics: dict[str, int]) -> list[str]:
        """Creates topics and returns those that nobody else created in the meantime."""
        if not topics:
            return []
        replicas = min(MOST_REPLICAS, len(self._metadata().brokers))
        results = self._admin.create_topics(
            [_new_topic(name, count, replicas) for name, count in topics.items()],
            operation_timeout=self._timeout_seconds,
            request_timeout=self._timeout_seconds,
        )
        return [name for name, result in results.items() if self._was_created(name, result)]

    def wait_for(self, topics: dict[str, int]) -> dict[str, int]:
        """Waits until the broker that answers has heard of all topics."""
        deadline = time.monotonic() + self._timeout_seconds
        while missing := topics.keys() - (found := self.partition_counts()).keys():
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"topic {min(missing)} was created, but Kafka at {self._servers} does not "
                    f"show it after {self._timeout_seconds:g} s"
                )
            time.sleep(_POLL_SECONDS)
        return found

    def _was_created(self, name: str, result: "Future[None]") -> bool:
        try:
            result.result()
        except KafkaException as exception:
            error = _error_of(exception)
            if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
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
        return UnavailableError(
            f"Kafka at {self._servers} cannot be reached: {self._last_error or error.str()}; "
            "is it running (`make up`), and does KAFKA_BOOTSTRAP_SERVERS name it?"
        )

    def _note_error(self, error: KafkaError) -> None:
        # "All brokers are down" follows the reason and says less.
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - the client's own name
            self._last_error = error.str()


def _new_topic(name: str, partition_count: int, replicas: int) -> NewTopic:
    config = {}
    if name.endswith(SUFFIX):
        # A record that just fitted into its topic is longer with the reason in its headers.
        config["max.message.bytes"] = str(DEAD_LETTER_BYTES)
    return NewTopic(name, partition_count, replicas, config=config)


_TIMEOUTS: Final = (
    KafkaError._TIMED_OUT,  # noqa: SLF001 - the client's own names for its codes
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError.REQUEST_TIMED_OUT,
)


def _error_of(exception: KafkaException) -> KafkaError:
    return cast("KafkaError", exception.args[0])
