"""``marketflow run``: the whole pipeline on one machine, fed with recorded data, and a live status.

Every part is a process that a user could start by hand; this only starts them in order, shows
what they count, starts again what died, and stops all of it.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Final

import click
import msgspec
from prometheus_client.parser import text_string_to_metric_families
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from connectors.commands.init import initialize
from connectors.local import processes
from connectors.local.processes import Process
from connectors.local.progress import Progress
from connectors.local.stack import BUILDER, NAMES, Stack, state_folder
from connectors.process.environment import Environment, checkout, load_settings
from schemas.errors import UnavailableError

FLOWS: Final = ("taker_volume", "ticker", "orderbook")
# Waits for the object store, which the first time takes minutes to build.
ARCHIVE: Final = "archive"

API_PORT: Final = 8000
# One process a flow here; the store may later be shared by as many.
RECOVERY_PARTITIONS: Final = 4
SNAPSHOT_SECONDS: Final = 5
STOP_SECONDS: Final = 20.0
LONGEST_PAUSE_SECONDS: Final = 30.0
PLAIN_INTERVAL_SECONDS: Final = 5.0
METRICS_TIMEOUT_SECONDS: Final = 1.0

_MARKETFLOW: Final = str(Path(sys.executable).with_name("marketflow"))


@click.command()
@click.option("--seconds", type=float, help="Stop by itself after so long.")
@click.option("--replay/--no-replay", "with_replay", default=True, help="Feed recorded data.")
@click.option(
    "--state",
    "folder",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    default=lambda: state_folder(checkout()),
    help="Folder of the services' state.  [default: .marketflow of this checkout]",
)
def run(seconds: float | None, folder: Path, *, with_replay: bool) -> None:
    """Run everything on this machine, fed with recorded data, until Ctrl-C."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    demonstration = Demonstration(folder)
    try:
        demonstration.start(with_replay=with_replay)
        demonstration.show_until(stopped, seconds)
    finally:
        demonstration.stop()


class Part:
    """One process of the demonstration: how to start it, and what became of it."""

    def __init__(
        self, name: str, command: list[str], variables: dict[str, str], log: Path, *, stays: bool
    ) -> None:
        self.name = name
        self.command = command
        self.variables = variables
        self.log = log
        self.stays = stays
        """It must not end by itself: if it does, it is started again."""
        self.process: Process | None = None
        self.restarts = 0
        self.due_at = 0.0

    @property
    def is_running(self) -> bool:
        """Whether it runs now."""
        return self.process is not None and self.process.is_running

    @property
    def metrics_url(self) -> str | None:
        """Where it says what it counts."""
        port = self.variables.get("METRICS_PORT")
        return port and f"http://127.0.0.1:{port}/metrics"


class Demonstration:
    """The running pipeline.

    Args:
        folder: Where services, recovery stores and logs are.
    """

    def __init__(self, folder: Path) -> None:
        self._stack = Stack(folder)
        self._folder = folder / "run"
        self._log_folder = folder / "log"
        self._began_at = time.monotonic()
        self._parts: list[Part] = []
        self._seen: dict[str, tuple[float, float]] = {}
        self._first_row_seconds: float | None = None
        self._api_url = ""
        self._variables: dict[str, str] = {}
        self._has_bucket = False
        self._has_said_addresses = False
        state = self._stack.state()
        self._found_running = any(state.is_running(name) for name in NAMES)

    def start(self, *, with_replay: bool) -> None:
        """Starts services, makes what is missing, then starts every part."""
        self._stop_leftovers()
        console = Console(stderr=True, highlight=False)
        with Progress(console) as progress:
            self._stack.start(wait_for_minio=False, progress=progress)
            progress.show("Topics and tables", "making what is missing")
            self._variables = self._stack.endpoints().variables()
            environment = Environment.read({**os.environ, **self._variables})
            made = list(initialize(environment, load_settings(environment), with_bucket=False))
            progress.done("Topics and tables", "; ".join(made[:2]))
        for flow in FLOWS:
            self._add_flow(flow)
        port = int(os.environ.get("API_PORT", API_PORT))
        if not processes.port_is_free(port):
            taken, port = port, processes.choose_ports({"api": None})["api"]
            console.print(f"Port {taken} is taken: the API listens on {port}")
        host = os.environ.get("API_HOST", "127.0.0.1")
        self._api_url = f"http://{host}:{port}"
        self._add("api", [_MARKETFLOW, "serve", "--host", host, "--port", str(port)], stays=True)
        if with_replay:
            self._add("replay", [_MARKETFLOW, "replay", "--shift-to-now", "--loop"], stays=True)
        for part in self._parts:
            self._launch(part)

    def show_until(self, stopped: threading.Event, seconds: float | None) -> None:
        """Shows the status until it is told to stop, or the time is over."""
        ends_at = None if seconds is None else time.monotonic() + seconds
        console = Console(highlight=False)
        printed_at = 0.0
        with Live(console=console, auto_refresh=False, transient=False) as live:
            while not stopped.wait(1.0) and (ends_at is None or time.monotonic() < ends_at):
                self._keep_running()
                figures = {
                    part.name: self._figures(part) for part in self._parts if part.metrics_url
                }
                if console.is_terminal:
                    live.update(self._picture(figures), refresh=True)
                elif time.monotonic() - printed_at >= PLAIN_INTERVAL_SECONDS:
                    printed_at = time.monotonic()
                    for line in self._lines(figures):
                        click.echo(line)
        if not console.is_terminal:
            click.echo(self._rows())

    def stop(self) -> None:
        """Stops the feed, then the flows, which drain, then the rest."""
        console = Console(stderr=True, highlight=False)
        with Progress(console) as progress:
            for part in reversed(self._parts):
                if part.process is not None:
                    progress.show(part.name, "stopping")
                    _stop(part.process)
            self._record(None)
            if not self._found_running:
                self._stack.stop(progress=progress)
            progress.done("marketflow", "stopped")

    def _add_flow(self, flow: str) -> Part:
        taken = {part.variables.get("METRICS_PORT") for part in self._parts}
        while (port := str(processes.choose_ports({flow: None})[flow])) in taken:
            pass
        store = self._folder / flow
        if not any(store.glob("part-*.sqlite3")):
            store.mkdir(parents=True, exist_ok=True)
            make_store = [sys.executable, "-m", "bytewax.recovery", str(store)]
            subprocess.run([*make_store, str(RECOVERY_PARTITIONS)], check=True)  # noqa: S603
        recovery = ["-r", str(store), "-s", str(SNAPSHOT_SECONDS), "-b", "0"]
        command = [sys.executable, "-m", "bytewax.run", f"dataflows.{flow}", *recovery]
        return self._add(flow, command, stays=True, METRICS_PORT=port)

    def _add(self, name: str, command: list[str], *, stays: bool, **variables: str) -> Part:
        log = self._log_folder / f"{name}.log"
        part = Part(name, command, {**self._variables, **variables}, log, stays=stays)
        self._parts.append(part)
        return part

    def _launch(self, part: Part) -> None:
        def record(process: Process) -> None:
            part.process = process
            self._record(process)

        processes.spawn(part.command, log=part.log, record=record, environment=part.variables)

    def _keep_running(self) -> None:
        now = time.monotonic()
        for part in self._parts:
            if part.is_running or not part.stays:
                continue
            if part.due_at == 0.0:
                part.due_at = now + min(2.0**part.restarts, LONGEST_PAUSE_SECONDS)
            elif now >= part.due_at:
                part.restarts, part.due_at = part.restarts + 1, 0.0
                self._launch(part)
        self._make_bucket()

    def _make_bucket(self) -> None:
        """MinIO may have come up since: its first build takes minutes."""
        if self._has_bucket or not self._stack.endpoints().s3_endpoint_url:
            return
        self._variables = self._stack.endpoints().variables()
        environment = Environment.read({**os.environ, **self._variables})
        try:
            list(initialize(environment, load_settings(environment)))
        except UnavailableError:
            return  # it has only just started
        self._has_bucket = True
        self._launch(self._add_flow(ARCHIVE))

    def _figures(self, part: Part) -> dict[str, float]:
        """What a dataflow has counted; empty while it does not answer."""
        try:
            with urllib.request.urlopen(  # noqa: S310  # an address of our own
                part.metrics_url or "", timeout=METRICS_TIMEOUT_SECONDS
            ) as answer:
                text = answer.read().decode()
        except OSError:
            return {}
        sums: defaultdict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                sums[sample.name + sample.labels.get("what", "")] += sample.value
        now, messages = time.monotonic(), sums["marketflow_messages_total"]
        before_at, before = self._seen.get(part.name, (now, messages))
        self._seen[part.name] = (now, messages)
        rows = sums["marketflow_rows_total"]
        written = rows + sums["marketflow_objects_total"]
        if rows and self._first_row_seconds is None:
            self._first_row_seconds = now - self._began_at
        return {
            "messages": messages,
            "rate": max(0.0, messages - before) / (now - before_at) if now > before_at else 0.0,
            "lag": sums["marketflow_lag"],
            "written": written,
            "dead letters": sums["marketflow_reader_totaldead_letters"],
        }

    def _picture(self, figures: dict[str, dict[str, float]]) -> Group:
        table = Table("dataflow", box=SIMPLE_HEAD)
        for column in (
            "messages",
            "a second",
            "lag",
            "written",
            "dead letters",
            "restarts",
        ):
            table.add_column(column, justify="right")
        table.add_column("state")
        for part in self._parts:
            counted = figures.get(part.name, {})
            state = Text("running", "green") if part.is_running else Text("starting again", "red")
            names = ("messages", "rate", "lag", "written", "dead letters")
            cells = [f"{counted[name]:,.0f}" if name in counted else "" for name in names]
            table.add_row(part.name, *cells, str(part.restarts or ""), state)
        return Group(
            table, *(Text(line) for line in (*self._services(), *self._addresses(), self._rows()))
        )

    def _lines(self, figures: dict[str, dict[str, float]]) -> list[str]:
        lines = []
        for name, counted in figures.items():
            shown = ", ".join(f"{value:,.0f} {what}" for what, value in counted.items())
            lines.append(f"{name}: {shown or 'starting'}")
        if not self._has_said_addresses:
            self._has_said_addresses = True
            lines += [*self._services(), *self._addresses()]
        return lines

    def _services(self) -> list[str]:
        found = self._stack.endpoints()
        minio = found.s3_endpoint_url
        if minio is None and self._stack.is_building_minio:
            minio = f"is being built, see {self._stack.log(BUILDER)}"
        return [f"services   Kafka {found.kafka_bootstrap_servers}   MinIO {minio or 'not there'}"]

    def _addresses(self) -> list[str]:
        minutes = "from=$(($(date +%s)-600))/to=$(date +%s)"
        return [
            f"API        {self._api_url}   documentation {self._api_url}/docs",
            *(
                f'try        curl "{self._api_url}/taker_volume/{exchange}/{minutes}"'
                for exchange in ("binance", "all_exchange")
            ),
        ]

    def _rows(self) -> str:
        first = self._first_row_seconds
        return f"rows       {'none yet' if first is None else f'the first one after {first:.1f} s'}"

    @property
    def _state_file(self) -> Path:
        return self._folder / "processes.json"

    def _record(self, process: Process | None) -> None:
        """Writes down what runs, for the next start, should this one be killed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        running = [] if process is None else [p.process for p in self._parts if p.process]
        self._state_file.write_bytes(msgspec.json.encode(running))

    def _stop_leftovers(self) -> None:
        try:
            left = msgspec.json.decode(self._state_file.read_bytes(), type=list[Process])
        except (OSError, msgspec.MsgspecError):
            return
        for process in left:
            _stop(process)


def _stop(process: Process) -> None:
    processes.stop(process, with_signal=signal.SIGTERM, timeout_seconds=STOP_SECONDS)
