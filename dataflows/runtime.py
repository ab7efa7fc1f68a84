"""What every dataflow does at its start: settings, signals, logs, metrics, garbage collection."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from bytewax.dataflow import Dataflow

from connectors.postgres.instruments import with_listed_sizes
from connectors.process import logs
from connectors.process.environment import Environment, load_settings
from connectors.process.health import Health, checks_of, serve
from connectors.process.lifecycle import STOP
from connectors.process.probes import Name
from connectors.process.recovery import hold_store
from schemas.errors import MarketflowError, SettingsError
from schemas.settings import Settings

# Records are made by the hundred thousand and none of them is part of a cycle: the collector
# would walk them again and again for nothing (measured: a third of a dataflow's time).
GC_THRESHOLD: Final = 200_000


def launch(
    build: Callable[[Environment, Settings], Dataflow],
    needs: tuple[Name, ...] = ("kafka", "postgres"),
) -> Dataflow:
    """Make a dataflow of the environment's settings, and its process ready to run it.

    What is wrong with either ends the process with a sentence instead of a traceback.

    Args:
        build: Makes the dataflow, without a connection.
        needs: The services without which it is not ready.
    """
    try:
        if sys.argv[0].endswith("bytewax/run.py"):
            hold_store(sys.argv[1:], os.environ)
        environment = Environment.read()
        settings = load_settings(environment)
        if "postgres" in needs:
            settings = with_listed_sizes(settings, environment.require_postgres())
        flow = build(environment, settings)
        logs.configure(flow.flow_id, environment.shard)
        _serve_health(Health(checks_of(environment, needs)))
    except MarketflowError as error:
        sys.exit(f"marketflow: {error}")
    _drain_on_signals()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    return flow


def _drain_on_signals() -> None:
    """SIGTERM and Ctrl-C end the sources at a batch boundary: everything read becomes durable."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _drain)


def _drain(number: int, frame: FrameType | None) -> None:
    del frame
    if STOP.is_set:  # asked twice: the user does not want to wait
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    STOP.is_set = True


def _serve_health(health: Health) -> None:
    port = os.environ.get("METRICS_PORT")
    # Metrics name topics and exchanges: they are for this machine unless somebody says otherwise.
    host = os.environ.get("METRICS_HOST", "127.0.0.1")
    if not port:
        return
    try:
        serve(host, int(port), health)
    except (ValueError, OverflowError, OSError) as error:
        raise SettingsError(
            f"METRICS_PORT is {port!r}: {error}; expected a free port of the address {host} "
            "(METRICS_HOST)"
        ) from error
