"""Trades in, per-minute taker buy and sell volume out.

::

    raw trades ─→ read ─┬─→ minutes ─┬─→ PostgreSQL
                        │            └─→ Region.*_TakerVolumePreprocessing
                        └─→ dead letters

Run it with ``python -m bytewax.run dataflows.taker_volume``; add ``-r <folder> -s 10 -b 0`` to
keep its state over a restart. Without a recovery store it reads its topics from their beginning,
which gives the same rows.
"""

from collections.abc import Callable

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from connectors.kafka.dead_letters import dead_letter_records
from connectors.kafka.sink import KafkaSink, OutRecord
from connectors.kafka.source import KafkaSource, MakeReader
from connectors.postgres.sink import PostgresSink
from connectors.postgres.tables import TAKER_VOLUME
from connectors.process.environment import Environment
from dataflows import runtime
from dataflows.domain.trades.minutes import TradeBatch
from dataflows.domain.trades.reader import Item, ReaderState, TradeReader
from dataflows.operators.keys import only
from dataflows.operators.minutes import minutes
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
    )

    flow = Dataflow("taker_volume")
    read = op.input("read", flow, source)
    trades = op.flat_map_batch("trades", read, only(TradeBatch))
    rows = minutes("minutes", trades, settings.taker_volume)
    records = op.map_value("encode", rows, encoder(settings))
    letters = op.flat_map_batch("dead_letters", read, only(DeadLetter))
    dead = op.map_value("encode_dead_letters", letters, dead_letter_records)

    op.output(
        "postgres",
        rows,
        PostgresSink(environment.require_postgres(), settings.postgres, TAKER_VOLUME),
    )
    op.output(
        "kafka",
        op.merge("out", records, dead),
        KafkaSink(kafka, settings.kafka.delivery_timeout_ms),
    )
    return flow


def _reader_maker(settings: Settings) -> MakeReader[Item]:
    region_of = {region.topics.trade: name for name, region in settings.regions.items()}

    def make_reader(topic: str, partition: int, state: ReaderState | None) -> TradeReader:
        return TradeReader(settings, region_of[topic], topic, partition, state)

    return make_reader


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
