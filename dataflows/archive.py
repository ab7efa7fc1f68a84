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
from dataflows.domain.archive.reader import ArchiveReader, Item
from dataflows.wiring import topic_source
from schemas.settings import ArchiveSettings, Region, Settings


def build(environment: Environment, settings: Settings) -> Dataflow:
    """Return the dataflow, without a connection made yet."""
    environment.require_s3()
    flow = Dataflow("archive")
    records = op.input("read", flow, _source(environment, settings))
    objects = ArchiveSink(environment, _max_records(settings), settings.archive.time_limit_ms)
    op.output("objects", records, objects)
    return flow


def _source(environment: Environment, settings: Settings) -> KafkaSource[Item]:
    groups = {
        topic: f"{settings.archive.group}_{name}"
        for name, region in settings.regions.items()
        for topic in _max_records_of(region, settings.archive)
    }

    def make_reader(topic: str, partition: int, state: None) -> ArchiveReader:
        del state  # it has none
        return ArchiveReader(topic, partition)

    return topic_source(environment, settings, groups, make_reader)


def _max_records(settings: Settings) -> dict[str, int]:
    found: dict[str, int] = {}
    for region in settings.regions.values():
        found |= _max_records_of(region, settings.archive)
    return found


def _max_records_of(region: Region, archive: ArchiveSettings) -> dict[str, int]:
    """Return how many records an object of each archived topic of a region holds."""
    return {
        region.processed.ticker: archive.ticker_records,
        region.processed.orderbook: archive.orderbook_records,
        region.processed.taker_volume: archive.taker_volume_records,
    }


def __getattr__(name: str) -> Dataflow:
    # `python -m bytewax.run` asks for `flow`: made only then, so that an import connects nothing.
    if name == "flow":
        return runtime.launch(build, needs=("kafka", "minio"))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
