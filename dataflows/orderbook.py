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

from connectors.kafka.sink import OutRecord
from connectors.postgres.tables import ORDERBOOK_MINUTE
from connectors.process.environment import Environment
from dataflows import runtime
from dataflows.domain.books.publisher import BookOutput
from dataflows.domain.books.reader import BookBatch, BookReader
from dataflows.operators.books import books
from dataflows.operators.keys import keep_type
from dataflows.wiring import dead_letters, kafka_sink, processed_records, raw_source, table_sink
from schemas.processed import encode_orderbooks, encode_snapshot_request
from schemas.records import BookMinute, SnapshotRequest
from schemas.settings import Settings

# A whole book of 20 levels is 11 kB once it is decoded: more of them fit no cache, then no pod.
MAX_MESSAGES: Final = 1_000


def build(environment: Environment, settings: Settings) -> Dataflow:
    """Return the dataflow, without a connection made yet."""
    flow = Dataflow("orderbook")
    source = raw_source(environment, settings, "orderbook", BookReader, MAX_MESSAGES)
    read = op.input("read", flow, source)
    updates = op.flat_map_batch("updates", read, keep_type(BookBatch))
    kept = books("books", updates, settings.orderbook)
    minutes = op.filter_map_value("minutes", kept, _minutes)
    records = op.filter_map_value("encode", kept, _encoder(settings))
    out = op.merge("out", records, dead_letters(read))

    op.output("postgres", minutes, table_sink(environment, settings, ORDERBOOK_MINUTE))
    op.output("kafka", out, kafka_sink(environment, settings))
    return flow


def _minutes(output: BookOutput) -> list[BookMinute] | None:
    return output.minutes or None


def _encoder(settings: Settings) -> Callable[[BookOutput], list[OutRecord] | None]:
    """Return what makes records of summaries and of requests, in one step for both."""
    encode_summaries = processed_records(settings, "orderbook", encode_orderbooks)

    def encode(output: BookOutput) -> list[OutRecord] | None:
        records = encode_summaries(output.summaries) if output.summaries else []
        records += [_request_record(request, settings) for request in output.requests]
        return records or None

    return encode


def _request_record(request: SnapshotRequest, settings: Settings) -> OutRecord:
    return OutRecord(
        settings.region_of(request.exchange).topics.snapshot_requests,
        settings.exchanges[request.exchange].partitions[0],
        f"{request.exchange}:{request.symbol}".encode(),
        encode_snapshot_request(request),
    )


def __getattr__(name: str) -> Dataflow:
    # `python -m bytewax.run` asks for `flow`: made only then, so that an import connects nothing.
    if name == "flow":
        return runtime.launch(build)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
