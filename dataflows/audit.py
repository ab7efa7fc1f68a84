"""Our final minutes held against the exchanges' own klines.

::

    Region.*_TakerVolumePreprocessing ─┐
                                       ├─→ judge ─┬─→ PostgreSQL
    raw klines ─→ read ────────────────┤          └─→ Region.*_AuditPreprocessing
                                       └─→ dead letters

Run it with ``python -m bytewax.run dataflows.audit``; add ``-r <folder> -s 10 -b 0`` to keep what
still waits for its other side over a restart.
"""

from collections.abc import Callable, Sequence

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from connectors.kafka.sink import OutRecord
from connectors.kafka.source import KafkaSource
from connectors.postgres.tables import AUDIT_MINUTE
from connectors.process.environment import Environment
from dataflows import runtime
from dataflows.domain.audit.reader import AuditBatch, Item, KlineReader, RowReader
from dataflows.operators.audit import audit
from dataflows.operators.keys import keep_type
from dataflows.wiring import dead_letters, kafka_sink, processed_records, table_sink, topic_source
from schemas.processed import encode_audit_minute
from schemas.records import AuditMinute
from schemas.settings import Settings


def build(environment: Environment, settings: Settings) -> Dataflow:
    """Return the dataflow, without a connection made yet."""
    flow = Dataflow("audit")
    read = op.input("read", flow, _source(environment, settings))
    minutes = op.flat_map_batch("minutes", read, keep_type(AuditBatch))
    verdicts = audit("audit", minutes)
    records = op.map_value("encode", verdicts, _encoder(settings))
    out = op.merge("out", records, dead_letters(read))

    op.output("postgres", verdicts, table_sink(environment, settings, AUDIT_MINUTE))
    op.output("kafka", out, kafka_sink(environment, settings))
    return flow


def _source(environment: Environment, settings: Settings) -> KafkaSource[Item]:
    """Return the source of both sides: raw klines, and our own processed minutes."""
    regions = settings.regions.values()
    region_of = {region.topics.kline: name for name, region in settings.regions.items()}
    groups = {region.topics.kline: region.groups.kline for region in regions}
    groups |= {region.processed.taker_volume: region.groups.audit for region in regions}

    def make_reader(topic: str, partition: int, state: None) -> KlineReader | RowReader:
        del state  # it has none
        if topic in region_of:
            return KlineReader(settings, region_of[topic], topic, partition)
        return RowReader(settings)

    return topic_source(environment, settings, groups, make_reader)


def _encoder(settings: Settings) -> Callable[[Sequence[AuditMinute]], list[OutRecord]]:
    def encode(verdicts: Sequence[AuditMinute], settings: Settings) -> list[bytes]:
        return [encode_audit_minute(verdict, settings) for verdict in verdicts]

    return processed_records(settings, "audit", encode)


def __getattr__(name: str) -> Dataflow:
    # `python -m bytewax.run` asks for `flow`: made only then, so that an import connects nothing.
    if name == "flow":
        return runtime.launch(build)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
