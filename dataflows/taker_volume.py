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

from collections.abc import Callable, Sequence
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from connectors.kafka.sink import OutRecord
from connectors.kafka.source import KafkaSource
from connectors.postgres.tables import FEED_STATUS, TAKER_VOLUME
from connectors.process.environment import Environment
from dataflows import runtime
from dataflows.domain.statuses import Item as StatusItem
from dataflows.domain.statuses import StatusReader
from dataflows.domain.trades.minutes import TradeBatch
from dataflows.domain.trades.reader import TradeReader
from dataflows.operators.keys import keep_type
from dataflows.operators.minutes import minutes
from dataflows.wiring import (
    dead_letters,
    kafka_sink,
    processed_records,
    raw_source,
    table_sink,
    topic_source,
)
from schemas.processed import encode_taker_volume
from schemas.records import TakerVolume
from schemas.settings import Settings


def build(environment: Environment, settings: Settings) -> Dataflow:
    """Return the dataflow, without a connection made yet."""
    flow = Dataflow("taker_volume")
    read = op.input("read", flow, raw_source(environment, settings, "trade", TradeReader))
    trades = op.flat_map_batch("trades", read, keep_type(TradeBatch))
    rows = minutes("minutes", trades, settings.taker_volume)
    records = op.map_value("encode", rows, encoder(settings))
    statuses = op.input("read_statuses", flow, _status_source(environment, settings))
    told = op.flat_map_batch("statuses", statuses, keep_type(list))
    out = op.merge("out", records, dead_letters(read), dead_letters(statuses, "status_"))

    op.output("postgres", rows, table_sink(environment, settings, TAKER_VOLUME))
    op.output("postgres_statuses", told, table_sink(environment, settings, FEED_STATUS))
    op.output("kafka", out, kafka_sink(environment, settings))
    return flow


def encoder(settings: Settings) -> Callable[[Sequence[TakerVolume]], list[OutRecord]]:
    """Return what makes records of rows."""

    def encode(rows: Sequence[TakerVolume], settings: Settings) -> list[bytes]:
        return [encode_taker_volume(row, settings) for row in rows]

    return processed_records(settings, "taker_volume", encode)


def _status_source(environment: Environment, settings: Settings) -> KafkaSource[StatusItem]:
    def make_reader(topic: str, partition: int, state: Any) -> StatusReader:
        del state  # it has none
        return StatusReader(settings, topic, partition)

    group = next(iter(settings.regions.values())).groups.trade
    groups = {settings.feed_status: group}
    return topic_source(environment, settings, groups, make_reader, is_optional=True)


def __getattr__(name: str) -> Dataflow:
    # `python -m bytewax.run` asks for `flow`: made only then, so that an import connects nothing.
    if name == "flow":
        return runtime.launch(build)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
