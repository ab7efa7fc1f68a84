"""The exchanges in, raw topics out.

::

    sockets, REST ─→ frames ─→ {asia,kora,ne}SocketDataIn-{ticker,Orderbook,trade}
                  └─→ what the feeds say of themselves ─→ feed-status

Run it with ``python -m bytewax.run dataflows.collect``. It has no state to keep: after a restart
it says what is missing, and fetches what the exchanges still have. Its REST requests and its
sockets take the proxies of ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from connectors.collect.sink import RunSink
from connectors.collect.source import CollectSource
from connectors.process.environment import Environment
from dataflows import runtime
from schemas.settings import Settings


def build(environment: Environment, settings: Settings) -> Dataflow:
    """Build the dataflow, without a connection yet."""
    kafka = environment.require_kafka()
    source = CollectSource(kafka, settings, environment.shard, environment.postgres_dsn)

    flow = Dataflow("collect")
    frames = op.input("exchanges", flow, source)
    op.output("kafka", frames, RunSink(kafka, settings.kafka.delivery_timeout_ms))
    return flow


def __getattr__(name: str) -> Dataflow:
    # `python -m bytewax.run` asks for `flow`: made only then, so that an import connects nothing.
    if name == "flow":
        return runtime.launch(build, needs=("kafka",))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
