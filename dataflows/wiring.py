"""What the dataflows share: their source, their sinks, and what becomes of refused records."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

import bytewax.operators as op
from bytewax.operators import KeyedStream

from connectors.kafka.dead_letters import dead_letter_records
from connectors.kafka.readers import MakeReader, Reader
from connectors.kafka.sink import KafkaSink, OutRecord
from connectors.kafka.source import KafkaSource, Place
from connectors.postgres.sink import PostgresSink
from connectors.postgres.tables import R, Table
from connectors.process.environment import Environment
from dataflows.operators.keys import keep_type
from schemas.feed_status import REGIONS
from schemas.records import DeadLetter
from schemas.settings import RawKind, Settings

X = TypeVar("X")
Row = TypeVar("Row", bound="OfSymbol")

ProcessedKind: TypeAlias = Literal["ticker", "orderbook", "taker_volume", "audit"]

MakeRawReader: TypeAlias = Callable[[Settings, str, str, int, Any], Reader[X]]
"""Makes a reader of settings, region, topic, partition and stored state."""

NO_LIMIT: Final = 100_000


class OfSymbol(Protocol):
    """A record of one symbol."""

    @property
    def exchange(self) -> str:
        """The exchange id."""
        ...

    @property
    def symbol(self) -> str:
        """The canonical symbol."""
        ...


def topic_source(
    environment: Environment,
    settings: Settings,
    groups: Mapping[str, str],
    make_reader: MakeReader[X],
    *,
    max_messages: int = NO_LIMIT,
    read_along: Callable[[str, int], list[Place]] | None = None,
    is_optional: bool = False,
) -> KafkaSource[X]:
    """Return the source of topics that are read from their beginning, or from a stored offset.

    Args:
        environment: Names the broker, the shard and the end.
        settings: Batch sizes and limits.
        groups: The consumer group for each topic.
        make_reader: Makes the reader of a partition.
        max_messages: How many records are read at once, at most.
        read_along: Which other logs the reader of a partition must know, and ahead of it.
        is_optional: A topic that is missing has nothing to read, instead of being an error.
    """
    return KafkaSource(
        environment.require_kafka(),
        groups,
        make_reader,
        settings.kafka.with_batch_messages(max_messages),
        shard=environment.shard,
        stop_at_end=environment.stop_at_end,
        read_along=read_along,
        is_optional=is_optional,
    )


def raw_source(
    environment: Environment,
    settings: Settings,
    kind: RawKind,
    make_reader: MakeRawReader[X],
    max_messages: int = NO_LIMIT,
    *,
    reads_along: bool = True,
) -> KafkaSource[X]:
    """Return the source of the raw topics of one kind, in all regions.

    Args:
        environment: Names the broker, the shard and the end.
        settings: Name topics and groups.
        kind: Of the raw data.
        make_reader: Makes the reader of a partition.
        max_messages: How many records are read at once, at most.
        reads_along: Whether the reader is told, ahead of its own records, what the collector said
            of its region, and what the same exchange has in other partitions.
    """
    regions = settings.regions.items()
    region_of = {getattr(region.topics, kind): name for name, region in regions}

    def reader_of(topic: str, partition: int, state: Any) -> Reader[X]:
        return make_reader(settings, region_of[topic], topic, partition, state)

    return topic_source(
        environment,
        settings,
        {getattr(region.topics, kind): getattr(region.groups, kind) for _, region in regions},
        reader_of,
        max_messages=max_messages,
        read_along=_read_along(settings, region_of) if reads_along else None,
    )


def _read_along(
    settings: Settings, region_of: Mapping[str, str]
) -> Callable[[str, int], list[Place]]:
    def read_along(topic: str, partition: int) -> list[Place]:
        region = region_of[topic]
        places = [(topic, other) for _, other in settings.other_partitions(region, partition)]
        if region in REGIONS:
            places.append((settings.feed_status, REGIONS.index(region)))
        return places

    return read_along


def dead_letters(read: KeyedStream[Any], prefix: str = "") -> KeyedStream[list[OutRecord]]:
    """Return the records of what a reader refused, for the dead-letter topics.

    Args:
        read: What the reader made.
        prefix: Of the steps' names, where a dataflow has two sources.
    """
    letters = op.flat_map_batch(f"{prefix}dead_letters", read, keep_type(DeadLetter))
    return op.map_value(f"encode_{prefix}dead_letters", letters, dead_letter_records)


def processed_records(
    settings: Settings,
    kind: ProcessedKind,
    encode: Callable[[Sequence[Row], Settings], list[bytes]],
) -> Callable[[Sequence[Row]], list[OutRecord]]:
    """Return what makes Kafka records of one symbol's rows.

    They go to the processed topic of their region, on the first partition that their exchange
    owns.

    Args:
        settings: Name topics and partitions.
        kind: Of the processed data.
        encode: Makes the values.
    """

    def records(rows: Sequence[Row]) -> list[OutRecord]:
        exchange = rows[0].exchange
        topic = getattr(settings.region_of(exchange).processed, kind)
        partition = settings.exchanges[exchange].partitions[0]
        key = f"{exchange}:{rows[0].symbol}".encode()
        return [OutRecord(topic, partition, key, value) for value in encode(rows, settings)]

    return records


def kafka_sink(environment: Environment, settings: Settings) -> KafkaSink:
    """Return the sink of all topics."""
    return KafkaSink(environment.require_kafka(), settings.kafka.delivery_timeout_ms)


def table_sink(environment: Environment, settings: Settings, table: Table[R]) -> PostgresSink[R]:
    """Return the sink of a table."""
    return PostgresSink(environment.require_postgres(), settings.postgres, table)
