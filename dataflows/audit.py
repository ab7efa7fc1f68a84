"""Our final minutes held against the exchanges' own klines.

::

    Region.*_TakerVolumePreprocessing ─┐
                                       ├─→ judge ─┬─→ PostgreSQL
    raw klines ─→ read ────────────────┤          └─→ Region.*_AuditPreprocessing
                                       └─→ dead letters

Run it with ``python -m bytewax.run dataflows.audit``; add ``-r <folder> -s 10 -b 0`` to keep what
still waits for its other side over a restart.
"""

from collections.abc import Callable

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from connectors.kafka.dead_letters import dead_letter_records
from connectors.kafka.readers import MakeReader
from connectors.kafka.sink import KafkaSink, OutRecord
from connectors.kafka.source import KafkaSource
from connectors.postgres.sink import PostgresSink
from connectors.postgres.tables import AUDIT_MINUTE
from connectors.process.environment import Environment
from dataflows import runtime
from dataflows.domain.audit.reader import AuditBatch, Item, KlineReader, RowReader
from dataflows.operators.audit import audit
from dataflows.operators.keys import keep_type
from schemas.processed import encode_audit_minute
from schemas.records import AuditMinute, DeadLetter
from schemas.settings import Settings


def build(environment: Environment, settings: Settings) -> Dataflow:
    """Return the dataflow, without a connection made yet."""
    kafka = environment.require_kafka()
    groups = {r.topics.kline: r.groups.kline for r in settings.regions.values()}
    groups |= {r.processed.taker_volume: r.groups.audit for r in settings.regions.values()}
    source = KafkaSource(
        kafka,
        groups,
        _reader_maker(settings),
        settings.kafka,
        shard=environment.shard,
        stop_at_end=environment.stop_at_end,
    )

    flow = Dataflow("audit")
    read = op.input("read", flow, source)
    minutes = op.flat_map_batch("minutes", read, keep_type(AuditBatch))
    verdicts = audit("audit", minutes)
    records = op.map_value("encode", verdicts, _encoder(settings))
    letters = op.flat_map_batch("dead_letters", read, keep_type(DeadLetter))
    dead = op.map_value("encode_dead_letters", letters, dead_letter_records)

    op.output(
        "postgres",
        verdicts,
        PostgresSink(environment.require_postgres(), settings.postgres, AUDIT_MINUTE),
    )
    op.output(
        "kafka",
        op.merge("out", records, dead),
        KafkaSink(kafka, settings.kafka.delivery_timeout_ms),
    )
    return flow


def _reader_maker(settings: Settings) -> MakeReader[Item]:
    region_of = {region.topics.kline: name for name, region in settings.regions.items()}

    def make_reader(topic: str, partition: int, state: None) -> KlineReader | RowReader:
        del state
        if topic in region_of:
            return KlineReader(settings, region_of[topic], topic, partition)
        return RowReader(settings)

    return make_reader


def _encoder(settings: Settings) -> Callable[[list[AuditMinute]], list[OutRecord]]:
    """Return what makes records of verdicts, on the first partition that their exchange owns."""

    def encode(verdicts: list[AuditMinute]) -> list[OutRecord]:
        exchange = verdicts[0].exchange
        topic = settings.region_of(exchange).processed.audit
        partition = settings.exchanges[exchange].partitions[0]
        key = f"{exchange}:{verdicts[0].symbol}".encode()
        return [
            OutRecord(topic, partition, key, encode_audit_minute(verdict, settings))
            for verdict in verdicts
        ]

    return encode


def __getattr__(name: str) -> Dataflow:
    # `python -m bytewax.run` asks for `flow`: made only then, so that an import connects nothing.
    if name == "flow":
        return runtime.launch(build)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
