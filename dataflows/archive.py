"""Processed records in, objects of a bucket out, each record in exactly one.

::

    Region.*_TickerPreprocessing ──────┐
    Region.*_OrderbookPreprocessing ───┼─→ read ─→ objects of 20, 50, … records
    Region.*_TakerVolumePreprocessing ─┘

Run it with ``python -m bytewax.run dataflows.archive``; add ``-r <folder> -s 10 -b 0`` to go on
after a restart. Without a recovery store it reads its topics from their beginning, finds what is
stored already, and stores the rest.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from connectors.archive.sink import ArchiveSink
from connectors.kafka.source import KafkaSource
from connectors.process.environment import Environment
from dataflows import runtime
from dataflows.domain.archive.reader import ArchiveReader
from schemas.settings import Settings


def build(environment: Environment, settings: Settings) -> Dataflow:
    """Return the dataflow, without a connection made yet."""
    environment.require_s3()
    archive = settings.archive
    max_records: dict[str, int] = {}
    groups: dict[str, str] = {}
    for name, region in settings.regions.items():
        max_records[region.processed.ticker] = archive.ticker_records
        max_records[region.processed.orderbook] = archive.orderbook_records
        max_records[region.processed.taker_volume] = archive.taker_volume_records
        for topic in (
            region.processed.ticker,
            region.processed.orderbook,
            region.processed.taker_volume,
        ):
            groups[topic] = f"{archive.group}_{name}"
    source = KafkaSource(
        environment.require_kafka(),
        groups,
        _make_reader,
        settings.kafka,
        shard=environment.shard,
        stop_at_end=environment.stop_at_end,
    )

    flow = Dataflow("archive")
    records = op.input("read", flow, source)
    op.output("objects", records, ArchiveSink(environment, max_records, archive.time_limit_ms))
    return flow


def _make_reader(topic: str, partition: int, state: None) -> ArchiveReader:
    del state  # it has none
    return ArchiveReader(topic, partition)


def __getattr__(name: str) -> Dataflow:
    # `python -m bytewax.run` asks for `flow`: made only then, so that an import connects nothing.
    if name == "flow":
        return runtime.launch(build, needs=("kafka", "minio"))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
