"""Tickers of all exchanges in, one normal form out.

::

    raw tickers ─→ read ─┬─→ merge ─┬─→ PostgreSQL, the newest
                         │          └─→ Region.*_TickerPreprocessing, all
                         └─→ dead letters

Run it with ``python -m bytewax.run dataflows.ticker``; add ``-r <folder> -s 10 -b 0`` to keep its
state over a restart.
"""

from collections.abc import Callable
from typing import Any, Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from connectors.kafka.dead_letters import dead_letter_records
from connectors.kafka.sink import KafkaSink, OutRecord
from connectors.kafka.source import KafkaSource, MakeReader
from connectors.postgres.sink import PostgresSink
from connectors.postgres.tables import TICKER_LATEST
from connectors.process.environment import Environment
from dataflows import runtime
from dataflows.domain.tickers.reader import Item, TickerReader
from dataflows.domain.tickers.ticker import TickerBatch
from dataflows.operators.keys import only
from dataflows.operators.tickers import tickers
from schemas.processed import encode_tickers
from schemas.records import DeadLetter, Ticker
from schemas.settings import Settings

# A ticker is a kilobyte once it is decoded; with this many each symbol of a busy feed has several.
MOST_MESSAGES: Final = 10_000


def build(environment: Environment, settings: Settings) -> Dataflow:
    """The dataflow, without a connection made yet."""
    kafka = environment.require_kafka()
    groups = {region.topics.ticker: region.groups.ticker for region in settings.regions.values()}
    source = KafkaSource(
        kafka,
        groups,
        _reader_maker(settings),
        settings.kafka.reading(MOST_MESSAGES),
        shard=environment.shard,
        stop_at_end=environment.stop_at_end,
    )

    flow = Dataflow("ticker")
    read = op.input("read", flow, source)
    updates = op.flat_map_batch("updates", read, only(TickerBatch))
    merged = tickers("tickers", updates)
    newest = op.map_value("newest", merged, _newest)
    records = op.map_value("encode", merged, _encoder(settings))
    letters = op.flat_map_batch("dead_letters", read, only(DeadLetter))
    dead = op.map_value("encode_dead_letters", letters, dead_letter_records)

    op.output(
        "postgres",
        newest,
        PostgresSink(environment.require_postgres(), settings.postgres, TICKER_LATEST),
    )
    op.output(
        "kafka",
        op.merge("out", records, dead),
        KafkaSink(kafka, settings.kafka.delivery_timeout_ms),
    )
    return flow


def _reader_maker(settings: Settings) -> MakeReader[Item]:
    region_of = {region.topics.ticker: name for name, region in settings.regions.items()}

    def make_reader(topic: str, partition: int, state: Any) -> TickerReader:
        del state  # it has none
        return TickerReader(settings, region_of[topic], topic, partition)

    return make_reader


def _newest(tickers: list[Ticker]) -> list[Ticker]:
    return tickers[-1:]


def _encoder(settings: Settings) -> Callable[[list[Ticker]], list[OutRecord]]:
    """Tickers to records on the first partition that their exchange owns."""

    def encode(tickers: list[Ticker]) -> list[OutRecord]:
        exchange = tickers[0].exchange
        topic = settings.region_of(exchange).processed.ticker
        partition = settings.exchanges[exchange].partitions[0]
        key = f"{exchange}:{tickers[0].symbol}".encode()
        values = encode_tickers(tickers, settings)
        return [OutRecord(topic, partition, key, value) for value in values]

    return encode


def __getattr__(name: str) -> Dataflow:
    # `python -m bytewax.run` asks for `flow`: made only then, so that an import connects nothing.
    if name == "flow":
        return runtime.launch(build)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
