"""Trades in, per-minute taker buy and sell volume out.

::

    feed-status ─→ read_statuses ────────────────────┐
          ╎ ahead of the trades                      │
    raw trades ─→ read ─┬─→ minutes ─┬─→ PostgreSQL ←┘
                        │            └─→ Region.*_TakerVolumePreprocessing
                        └─→ dead letters

Run it with ``python -m bytewax.run dataflows.taker_volume``; add ``-r <folder> -s 10 -b 0`` to
keep its state over a restart. Without a recovery store it reads its topics from their beginning,
which gives the same rows.
"""

from collections.abc import Callable
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from connectors.kafka.dead_letters import dead_letter_records
from connectors.kafka.sink import KafkaSink, OutRecord
from connectors.kafka.source import KafkaSource, MakeReader, Place
from connectors.postgres.sink import PostgresSink
from connectors.postgres.tables import FEED_STATUS, TAKER_VOLUME
from connectors.process.environment import Environment
from dataflows import runtime
from dataflows.domain.statuses import Item as StatusItem
from dataflows.domain.statuses import StatusReader
from dataflows.domain.trades.minutes import TradeBatch
from dataflows.domain.trades.reader import Item, ReaderState, TradeReader
from dataflows.operators.keys import keep_type
from dataflows.operators.minutes import minutes
from schemas.feed_status import REGIONS
from schemas.processed import encode_taker_volume
from schemas.records import DeadLetter, TakerVolume
from schemas.settings import Settings


def build(environment: Environment, settings: Settings) -> Dataflow:
    """The dataflow, without a connection made yet."""
    kafka = environment.require_kafka()
    groups = {region.topics.trade: region.groups.trade for region in settings.regions.values()}
    source = KafkaSource(
        kafka,
        groups,
        _reader_maker(settings),
        settings.kafka,
        shard=environment.shard,
        stop_at_end=environment.stop_at_end,
        read_along=_read_along(settings),
    )

    flow = Dataflow("taker_volume")
    read = op.input("read", flow, source)
    trades = op.flat_map_batch("trades", read, keep_type(TradeBatch))
    rows = minutes("minutes", trades, settings.taker_volume)
    records = op.map_value("encode", rows, encoder(settings))
    letters = op.flat_map_batch("dead_letters", read, keep_type(DeadLetter))
    dead = op.map_value("encode_dead_letters", letters, dead_letter_records)
    statuses = op.input("read_statuses", flow, _status_source(environment, settings))
    told = op.flat_map_batch("statuses", statuses, keep_type(list))
    unread = op.flat_map_batch("status_dead_letters", statuses, keep_type(DeadLetter))
    unread_records = op.map_value("encode_status_dead_letters", unread, dead_letter_records)

    op.output(
        "postgres",
        rows,
        PostgresSink(environment.require_postgres(), settings.postgres, TAKER_VOLUME),
    )
    op.output(
        "postgres_statuses",
        told,
        PostgresSink(environment.require_postgres(), settings.postgres, FEED_STATUS),
    )
    op.output(
        "kafka",
        op.merge("out", records, dead, unread_records),
        KafkaSink(kafka, settings.kafka.delivery_timeout_ms),
    )
    return flow


def _reader_maker(settings: Settings) -> MakeReader[Item]:
    region_of = {region.topics.trade: name for name, region in settings.regions.items()}

    def make_reader(topic: str, partition: int, state: ReaderState | None) -> TradeReader:
        return TradeReader(settings, region_of[topic], topic, partition, state)

    return make_reader


def _read_along(settings: Settings) -> Callable[[str, int], list[Place]]:
    """Return what maps a partition of trades to the logs that its reader must know.

    Those are what the collector said, and the times of the same exchange in other partitions.
    """
    region_of = {region.topics.trade: name for name, region in settings.regions.items()}

    def read_along(topic: str, partition: int) -> list[Place]:
        region = region_of[topic]
        others = [(topic, other) for _, other in settings.other_partitions(region, partition)]
        if region in REGIONS:
            others.append((settings.feed_status, REGIONS.index(region)))
        return others

    return read_along


def _status_source(environment: Environment, settings: Settings) -> KafkaSource[StatusItem]:
    def make_reader(topic: str, partition: int, state: Any) -> StatusReader:
        del state  # it has none
        return StatusReader(settings, topic, partition)

    group = next(iter(settings.regions.values())).groups.trade
    return KafkaSource(
        environment.require_kafka(),
        {settings.feed_status: group},
        make_reader,
        settings.kafka,
        shard=environment.shard,
        stop_at_end=environment.stop_at_end,
        is_optional=True,
    )


def encoder(settings: Settings) -> Callable[[list[TakerVolume]], list[OutRecord]]:
    """Rows to records on the first partition that their exchange owns."""

    def encode(rows: list[TakerVolume]) -> list[OutRecord]:
        exchange = rows[0].exchange
        topic = settings.region_of(exchange).processed.taker_volume
        partition = settings.exchanges[exchange].partitions[0]
        key = f"{exchange}:{rows[0].symbol}".encode()
        return [
            OutRecord(topic, partition, key, encode_taker_volume(row, settings)) for row in rows
        ]

    return encode


def __getattr__(name: str) -> Dataflow:
    # `python -m bytewax.run` asks for `flow`: made only then, so that an import connects nothing.
    if name == "flow":
        return runtime.launch(build)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
