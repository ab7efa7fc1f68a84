"""`marketflow simulate`: the ten exchanges on loopback, until it is told to stop."""

import asyncio
import gc
import signal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import msgspec

from connectors.process.clock import now_ns
from connectors.process.environment import Environment, checkout
from connectors.simulator.faults import Fault, read_script
from connectors.simulator.instruments import Instrument
from connectors.simulator.server import Server
from connectors.simulator.simulation import Simulation
from connectors.simulator.truth import Truth
from schemas.errors import SettingsError

_GC_ALLOCATIONS: Final = 100_000


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="Of every draw.")
@click.option(
    "--symbols",
    type=click.IntRange(1, 300),
    default=3,
    show_default=True,
    help="Coins that each exchange lists.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0.1, max=1_000_000),
    default=200.0,
    show_default=True,
    help="Trades a second, of all markets together.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    show_default=True,
    help="Where it listens on loopback; 0: a free one, printed.",
)
@click.option(
    "--truth",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write down here what was really traded, and the faults.",
)
@click.option(
    "--script",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Faults by time, a JSON array.",
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a whole pipeline.yaml with its addresses and symbols here.",
)
def simulate(
    seed: int,
    symbols: int,
    rate: float,
    port: int,
    truth: Path | None,
    script: Path | None,
    config: Path | None,
) -> None:
    """Serve the WebSocket and REST interfaces of all ten exchanges on loopback.

    One seeded market model trades on all of them. POST /control takes the faults of --script
    live, /status answers what goes on.
    """
    faults = read_script(script) if script else []
    with Truth(truth) as written:
        simulation = Simulation(seed, symbols, rate, now_ns() // 1_000_000, written)
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_ALLOCATIONS)
        asyncio.run(_serve(simulation, faults, port, config))


async def _serve(
    simulation: Simulation, faults: list[Fault], port: int, config: Path | None
) -> None:
    async with Server(simulation, faults, port) as server:
        instruments = [desk.instrument for desk in simulation.desks]
        settings = pipeline_settings(server.port, instruments)
        if config is not None:
            _write(config, settings)
        click.echo(f"simulating on http://127.0.0.1:{server.port} (POST /control, GET /status)")
        for name, exchange in settings["exchanges"].items():
            for product, url in exchange["urls"]["ws"].items():
                click.echo(f"{name} {product}: {url}  {exchange['urls']['rest'][product]}")
        running = asyncio.create_task(server.run())
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signal_number, running.cancel)
        try:
            await running
        except asyncio.CancelledError:
            click.echo("stopped")


def _write(path: Path, settings: dict[str, Any]) -> None:
    try:
        path.write_bytes(msgspec.yaml.encode(settings))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error


def pipeline_settings(port: int, instruments: list[Instrument]) -> dict[str, Any]:
    """Return the shipped `pipeline.yaml` with the simulator's addresses and symbols.

    Raises:
        SettingsError: It cannot be read.
    """
    path = Environment.read().pipeline_config or checkout() / "pipeline.yaml"
    try:
        settings: dict[str, Any] = msgspec.yaml.decode(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    for name, exchange in settings["exchanges"].items():
        listed = [instrument for instrument in instruments if instrument.exchange == name]
        urls: dict[str, Any] = exchange["urls"]
        products = [p for p in urls["ws"] if any(i.product == p for i in listed)]
        exchange["urls"] = {
            scheme: {
                product: f"{protocol}://127.0.0.1:{port}/{name}/{product}{_path(given[product])}"
                for product in products
            }
            for scheme, protocol, given in (
                ("ws", "ws", urls["ws"]),
                ("rest", "http", urls["rest"]),
            )
        }
        exchange["symbols"] = {
            product: [i.symbol for i in listed if i.product == product] for product in products
        }
        sizes = {i.native: f"{i.contract:f}" for i in listed if _has_size(i)}
        if sizes:
            exchange["contract_sizes"] = sizes
    return settings


def _path(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


def _has_size(instrument: Instrument) -> bool:
    """Return whether its trades are contracts whose size no frame tells."""
    return instrument.contract is not None and instrument.exchange in ("okx", "gateio", "binance")
