"""`marketflow run`: the whole pipeline on one machine, and a live status.

Every part is a process that a user could start by hand. This starts them in order, shows what they
count, starts again what died, and stops all of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TypeAlias

import click
from rich.console import Console
from rich.live import Live

from connectors.commands.init import initialize
from connectors.commands.store import make_store
from connectors.local import processes, screen
from connectors.local.progress import Progress
from connectors.local.stack import BUILDER, NAMES, TITLES, Stack, state_folder
from connectors.local.supervisor import Part, Supervisor, only_one, stop_leftovers
from connectors.process.environment import Environment, checkout, load_settings
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from types import FrameType

DataSource: TypeAlias = Literal["simulator", "replay", "live", "none"]

FLOWS: Final = ("taker_volume", "ticker", "orderbook", "audit")
# Waits for the object store, which the first time takes minutes to build.
ARCHIVE: Final = "archive"

API_PORT: Final = 8000
SNAPSHOT_SECONDS: Final = 5
SENTENCE_SECONDS: Final = 5.0
START_SECONDS: Final = 30.0

_MARKETFLOW: Final = str(Path(sys.executable).with_name("marketflow"))
_SHOWS: Final[dict[DataSource, str]] = {
    "simulator": "SIMULATED data of ten exchanges; `make live` shows the real ones",
    "replay": "RECORDED data, moved to now and played in a loop",
    "live": "LIVE data of the exchanges",
    "none": "whatever another program writes into the raw topics",
}


@click.command()
@click.option("--seconds", type=float, help="Stop by itself after so long.")
@click.option(
    "--data",
    type=click.Choice(list(_SHOWS)),
    default="simulator",
    show_default=True,
    help="Where the market data comes from.",
)
@click.option("--browser/--no-browser", default=True, help="Open the page on a desktop.")
@click.option(
    "--state",
    "folder",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    default=lambda: state_folder(checkout()),
    help="Folder of the services' state.  [default: .marketflow of this checkout]",
)
def run(seconds: float | None, data: DataSource, folder: Path, *, browser: bool) -> None:
    """Run everything on this machine until Ctrl-C: services, data, dataflows, API and page."""
    with only_one(folder / "run"):
        pipeline = Pipeline(folder, data)
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, pipeline.abandon)
        pipeline.start()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        try:
            if browser and _has_desktop():
                webbrowser.open(pipeline.url)
            pipeline.show_until(stopped, seconds)
        finally:
            pipeline.stop()


class Pipeline:
    """The running pipeline.

    Args:
        folder: Where services, recovery stores and logs are.
        data: Where the market data comes from.
    """

    def __init__(self, folder: Path, data: DataSource) -> None:
        self.url = ""
        self._data = data
        self._stack = Stack(folder)
        self._supervisor = Supervisor(folder / "run")
        self._folder = folder / "run"
        self._log_folder = folder / "log"
        self._began_s = time.monotonic()
        self._watch = screen.Watch()
        self._has_said_first_row = False
        self._variables: dict[str, str] = {}
        self._has_bucket = False
        state = self._stack.state()
        self._found_running = [name for name in NAMES if state.is_running(name)]

    def start(self) -> None:
        """Start services, make what is missing, then start every part."""
        console = Console(stderr=True, highlight=False)
        with Progress(console) as progress:
            if left := stop_leftovers(self._folder):
                progress.done("marketflow", f"stopped {left} processes of a run that was killed")
            for name in self._found_running:
                progress.done(TITLES[name], "was running already, and will go on afterwards")
            self._stack.start(wait_for_minio=False, progress=progress)
            self._variables = self._stack.endpoints().variables()
            self._start_source(progress)
            progress.show("Topics and tables", "making what is missing")
            made = list(
                initialize(
                    self._environment(), load_settings(self._environment()), with_bucket=False
                )
            )
            progress.done("Topics and tables", "; ".join(made[:2]))
        self._start_api(console)
        for flow in FLOWS:
            self._add_flow(flow)
        if self._data in {"simulator", "live"}:
            self._add_flow("collect", name="collector", keeps_state=False)
            exchanges = load_settings(self._environment()).exchanges
            collected = [name for name, each in exchanges.items() if each.is_collected]
            self._watch = screen.Watch(collected)
        elif self._data == "replay":
            self._add("replay", [_MARKETFLOW, "replay", "--shift-to-now", "--loop"])

    def abandon(self, _number: int, _frame: FrameType | None) -> NoReturn:
        """End a start at once, without waiting for threads in the middle of anything."""
        click.echo("\nInterrupted: stopping what has been started.", err=True)
        self._supervisor.stop()
        if not self._found_running:
            self._stack.stop_now()
        os._exit(130)

    def show_until(self, stopped: threading.Event, seconds: float | None) -> None:
        """Show the status until told to stop, or until the time is over."""
        ends_at = None if seconds is None else time.monotonic() + seconds
        console = Console(highlight=False)
        printed_at = 0.0
        if not console.is_terminal:
            click.echo("\n".join(self._heading()))
        with Live(console=console, auto_refresh=False, transient=False) as live:
            while not stopped.wait(1.0) and (ends_at is None or time.monotonic() < ends_at):
                self._supervisor.keep_running()
                self._make_bucket()
                parts = self._supervisor.parts
                figures = self._watch.look(parts)
                problems = [*self._watch.problems(parts, figures), *self._waits()]
                if console.is_terminal:
                    shown = screen.picture(self._heading(), parts, figures, problems)
                    live.update(shown, refresh=True)
                elif time.monotonic() - printed_at >= SENTENCE_SECONDS:
                    printed_at = time.monotonic()
                    if not self._has_said_first_row and self._watch.first_row_s is not None:
                        self._has_said_first_row = True
                        click.echo(self._heading()[-1])
                    click.echo(screen.sentence(figures, problems))

    def stop(self) -> None:
        """Stop the source of data, then the flows, which drain, then the rest."""
        with Progress(Console(stderr=True, highlight=False)) as progress:
            self._supervisor.stop(lambda name: progress.show(name, "stopping"))
            if self._found_running:
                names = ", ".join(TITLES[name] for name in self._found_running)
                progress.done("Services", f"{names} go on; `make down` stops them")
            else:
                self._stack.stop(progress=progress)
            progress.done("marketflow", "stopped")

    def _environment(self) -> Environment:
        return Environment.read({**os.environ, **self._variables})

    def _start_source(self, progress: Progress) -> None:
        """Start the simulator first: it writes the settings that all others read."""
        if self._data != "simulator":
            return
        progress.show("Simulator", "starting")
        port = processes.choose_ports({"simulator": None})["simulator"]
        config = self._folder / "pipeline.yaml"
        self._folder.mkdir(parents=True, exist_ok=True)
        config.unlink(missing_ok=True)
        command = [_MARKETFLOW, "simulate", "--port", str(port), "--config", str(config)]
        part = self._add("simulator", command)
        deadline = time.monotonic() + START_SECONDS
        while not (config.exists() and processes.accepts_connections(port)):
            if not part.is_running or time.monotonic() > deadline:
                raise UnavailableError(
                    f"the simulator did not start; {part.log} ends:\n{processes.tail(part.log)}"
                )
            time.sleep(0.05)
        self._variables["PIPELINE_CONFIG"] = str(config)
        progress.done("Simulator", f"ten exchanges on 127.0.0.1:{port}")

    def _start_api(self, console: Console) -> None:
        port = int(os.environ.get("API_PORT", API_PORT))
        if not processes.port_is_free(port):
            taken, port = port, processes.choose_ports({"api": None})["api"]
            console.print(f"Port {taken} is taken: the page is on {port}")
        host = os.environ.get("API_HOST", "127.0.0.1")
        self.url = f"http://{host}:{port}"
        self._add("api", [_MARKETFLOW, "serve", "--host", host, "--port", str(port)])
        self._add("maintain", [_MARKETFLOW, "maintain"])

    def _add_flow(self, flow: str, *, name: str | None = None, keeps_state: bool = True) -> Part:
        taken = {part.variables.get("METRICS_PORT") for part in self._supervisor.parts}
        while (port := str(processes.choose_ports({flow: None})[flow])) in taken:
            pass
        command = [sys.executable, "-m", "bytewax.run", f"dataflows.{flow}"]
        if keeps_state:
            store = make_store(self._folder / flow, self._environment())
            command += ["-r", str(store), "-s", str(SNAPSHOT_SECONDS), "-b", "0"]
        return self._add(name or flow, command, METRICS_PORT=port)

    def _add(self, name: str, command: list[str], **variables: str) -> Part:
        log = self._log_folder / f"{name}.log"
        return self._supervisor.add(Part(name, command, {**self._variables, **variables}, log))

    def _make_bucket(self) -> None:
        """Start the archive once MinIO has come up: its first build takes minutes."""
        if self._has_bucket or not self._stack.endpoints().s3_endpoint_url:
            return
        self._variables |= self._stack.endpoints().variables()
        with contextlib.suppress(UnavailableError):  # it has only just started
            list(initialize(self._environment(), load_settings(self._environment())))
            self._has_bucket = True
            self._add_flow(ARCHIVE)

    def _waits(self) -> list[str]:
        if self._has_bucket:
            return []
        if self._stack.is_building_minio:
            step = processes.tail(self._stack.log(BUILDER), lines=1).strip()
            return [f"MinIO is being built, once for you, 3 to 5 minutes ({step}); the rest runs"]
        return [f"MinIO is not there, so nothing is archived; {self._stack.log(BUILDER)} says why"]

    def _heading(self) -> list[str]:
        found = self._stack.endpoints()
        first = self._watch.first_row_s
        since = (
            "none yet" if first is None else f"the first {first - self._began_s:.1f} s after start"
        )
        minutes = "from=$(($(date +%s)-600))/to=$(date +%s)"
        return [
            f"marketflow  {self.url}   documentation {self.url}/docs",
            f"shows       {_SHOWS[self._data]}",
            f'try         curl "{self.url}/taker_volume/all_exchange/{minutes}"',
            f"Kafka       {found.kafka_bootstrap_servers or 'away'}",
            f"MinIO       {found.s3_endpoint_url or 'not there yet'}",
            f"rows        {since}",
        ]


def _has_desktop() -> bool:
    """Tell whether a browser would open where the user looks."""
    return sys.stdout.isatty() and (
        sys.platform == "darwin"
        or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    )
