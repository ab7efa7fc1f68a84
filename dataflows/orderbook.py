"""Order books of all exchanges in, the state of each after every change out, and its minutes.

::

    raw books ─→ read ─┬─→ keep ─┬─→ minutes ─→ PostgreSQL
                       │         ├─→ Region.*_OrderbookPreprocessing
                       │         └─→ snapshot requests, for the collector
                       └─→ dead letters

Run it with ``python -m bytewax.run dataflows.orderbook``; add ``-r <folder> -s 10 -b 0`` to keep
the books over a restart, so that they go on without new snapshots.
"""

from collections.abc import Callable
from typing import Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from connectors.kafka.dead_letters import dead_letter_records
from connectors.kafka.sink import KafkaSink, OutRecord
from connectors.kafka.source import KafkaSource, MakeReader
from connectors.postgres.sink import PostgresSink
from connectors.postgres.tables import ORDERBOOK_MINUTE
from connectors.process.environment import Environment
from dataflows import runtime
from dataflows.domain.books.publisher import BookOutput
from dataflows.domain.books.reader import BookBatch, BookReader, Item, ReaderState
from dataflows.operators.books import books
from dataflows.operators.keys import only
from schemas.processed import encode_orderbooks, encode_snapshot_request
from schemas.records import BookMinute, DeadLetter
from schemas.settings import Settings

# A whole book of 20 levels is 11 kB once it is decoded: more of them fit no cache, then no pod.
MOST_MESSAGES: Final = 1_000


def build(environment: Environment, settings: Settings) -> Dataflow:
    """The dataflow, without a connection made yet."""
    kafka = environment.require_kafka()
    groups = {
        region.topics.orderbook: region.groups.orderbook for region in settings.regions.values()
    }
    source = KafkaSource(
        kafka,
        groups,
        _reader_maker(settings),
        settings.kafka.reading(MOST_MESSAGES),
        shard=environment.shard,
        stop_at_end=environment.stop_at_end,
    )

    flow = Dataflow("orderbook")
    read = op.input("read", flow, source)
    updates = op.flat_map_batch("updates", read, only(BookBatch))
    kept = books("books", updates, settings.orderbook)
    minutes = op.filter_map_value("minutes", kept, _minutes)
    records = op.filter_map_value("encode", kept, _encoder(settings))
    letters = op.flat_map_batch("dead_letters", read, only(DeadLetter))
    dead = op.map_value("encode_dead_letters", letters, dead_letter_records)

    op.output(
        "postgres",
        minutes,
        PostgresSink(environment.require_postgres(), settings.postgres, ORDERBOOK_MINUTE),
    )
    op.output(
        "kafka",
        op.merge("out", records, dead),
        KafkaSink(kafka, settings.kafka.delivery_timeout_ms),
    )
    return flow


def _reader_maker(settings: Settings) -> MakeReader[Item]:
    region_of = {region.topics.orderbook: name for name, region in settings.regions.items()}

    def make_reader(topic: str, partition: int, state: ReaderState | None) -> BookReader:
        return BookReader(settings, region_of[topic], topic, partition, state)

    return make_reader


def _minutes(output: BookOutput) -> list[BookMinute] | None:
    return output.minutes or None


def _encoder(settings: Settings) -> Callable[[BookOutput], list[OutRecord] | None]:
    """Summaries and requests to records on the first partition that their exchange owns."""

    def encode(output: BookOutput) -> list[OutRecord] | None:
        if not (output.summaries or output.requests):
            return None
        first = (output.summaries or output.requests)[0]
        region = settings.region_of(first.exchange)
        partition = settings.exchanges[first.exchange].partitions[0]
        key = f"{first.exchange}:{first.symbol}".encode()
        records = [
            OutRecord(region.processed.orderbook, partition, key, value)
            for value in (encode_orderbooks(output.summaries, settings) if output.summaries else ())
        ]
        records += [
            OutRecord(
                region.topics.snapshot_requests, partition, key, encode_snapshot_request(request)
            )
            for request in output.requests
        ]
        return records

    return encode


def __getattr__(name: str) -> Dataflow:
    # `python -m bytewax.run` asks for `flow`: made only then, so that an import connects nothing.
    if name == "flow":
        return runtime.launch(build)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
