"""Tickers of all exchanges in, one normal form out.

::

    raw tickers ─→ read ─┬─→ merge ─┬─→ PostgreSQL, the newest
                         │          └─→ Region.*_TickerPreprocessing, all
                         └─→ dead letters

Run it with ``python -m bytewax.run dataflows.ticker``; add ``-r <folder> -s 10 -b 0`` to keep its
state over a restart.
"""

from typing import Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from connectors.postgres.tables import TICKER_LATEST
from connectors.process.environment import Environment
from dataflows import runtime
from dataflows.domain.tickers.reader import TickerReader
from dataflows.domain.tickers.ticker import TickerBatch
from dataflows.operators.keys import keep_type
from dataflows.operators.tickers import tickers
from dataflows.wiring import dead_letters, kafka_sink, processed_records, raw_source, table_sink
from schemas.processed import encode_tickers
from schemas.records import Ticker
from schemas.settings import Settings

# A ticker is a kilobyte once it is decoded; with this many each symbol of a busy feed has several.
MAX_MESSAGES: Final = 10_000


def build(environment: Environment, settings: Settings) -> Dataflow:
    """Return the dataflow, without a connection made yet."""
    flow = Dataflow("ticker")
    source = raw_source(
        environment, settings, "ticker", TickerReader, MAX_MESSAGES, reads_along=False
    )
    read = op.input("read", flow, source)
    merged = tickers("tickers", op.flat_map_batch("updates", read, keep_type(TickerBatch)))
    newest = op.map_value("newest", merged, _newest)
    records = op.map_value("encode", merged, processed_records(settings, "ticker", encode_tickers))
    out = op.merge("out", records, dead_letters(read))

    op.output("postgres", newest, table_sink(environment, settings, TICKER_LATEST))
    op.output("kafka", out, kafka_sink(environment, settings))
    return flow


def _newest(tickers: list[Ticker]) -> list[Ticker]:
    return tickers[-1:]


def __getattr__(name: str) -> Dataflow:
    # `python -m bytewax.run` asks for `flow`: made only then, so that an import connects nothing.
    if name == "flow":
        return runtime.launch(build)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
