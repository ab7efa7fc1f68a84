"""The commands `up`, `down`, `env`, `status` and `doctor`."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click
import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from connectors.kafka.lag import PartitionLag, lags
from connectors.local.processes import ServiceError
from connectors.local.progress import Progress
from connectors.local.stack import BUILDER, NAMES, TITLES, VARIABLES, Stack, state_folder
from connectors.local.supervisor import stop_leftovers
from connectors.process import probes
from connectors.process.environment import Environment, checkout, load_settings
from schemas.errors import MarketflowError

if TYPE_CHECKING:
    from types import FrameType

WATCH_SECONDS: Final = 2.0

_MARKS: Final = {"ok": ("✓", "green"), "note": ("•", "yellow"), "broken": ("✗", "red")}


_with_state = click.option(
    "--state",
    "folder",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    default=lambda: state_folder(checkout()),
    help="Folder of the services' state.  [default: .marketflow of this checkout]",
)


@click.command()
@_with_state
@click.option(
    "--wait-minio/--no-wait-minio",
    default=True,
    help="Wait while MinIO is built from source (minutes, once for you), or let it go on alone.",
)
def up(folder: Path, *, wait_minio: bool) -> None:
    """Start Kafka, PostgreSQL and MinIO in the background, and wait until they answer.

    A server that KAFKA_BOOTSTRAP_SERVERS, POSTGRES_DSN or S3_ENDPOINT_URL names is used instead
    of a local one, and left as it is.
    """
    stack = Stack(folder)
    with Progress() as progress:

        def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
            # Threads may be in the middle of anything: the next start is made for that.
            progress.__exit__()
            click.echo("Interrupted. `make up` goes on, `make down` stops what runs.", err=True)
            os._exit(130)

        signal.signal(signal.SIGINT, interrupt)
        for name in NAMES:
            if stack.is_external(name):
                progress.done(TITLES[name], f"the one that {VARIABLES[name][0]} names")
        stack.start(wait_for_minio=wait_minio, progress=progress)
        if stack.is_building_minio:
            progress.done("MinIO", f"is being built in the background, see {stack.log(BUILDER)}")
        elif not stack.endpoints().s3_endpoint_url:
            progress.done("MinIO", f"could not be built, see {stack.log(BUILDER)}")


@click.command()
@_with_state
@click.option("--purge", is_flag=True, help="Also delete their data, credentials and logs.")
def down(folder: Path, *, purge: bool) -> None:
    """Stop the services that `up` started, and what a killed `run` left; nothing else."""
    with Progress() as progress:
        left = stop_leftovers(folder / "run")
        if left:
            progress.done("marketflow", f"stopped {left} processes of `run`")
        if not Stack(folder).stop(purge=purge, progress=progress) and not left:
            progress.done("Services", "nothing was running")


@click.command()
@_with_state
def env(folder: Path) -> None:
    """Print `export NAME=value` lines, for `eval "$(marketflow env)"`."""
    variables = Stack(folder).endpoints().variables()
    if not variables:
        raise ServiceError("no service is running, and the environment names none: run `make up`")
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@click.command()
@_with_state
@click.option("--watch", is_flag=True, help="Go on showing it, every two seconds.")
@click.option("--json", "as_json", is_flag=True, help="The lag of each partition, for programs.")
def status(folder: Path, *, watch: bool, as_json: bool) -> None:
    """Show the services, and how far the dataflows are behind in each partition."""
    stack = Stack(folder)
    if as_json:
        click.echo(msgspec.json.encode(_lags(stack)))
        return
    console = Console(width=None if sys.stdout.isatty() else 160)
    if not watch:
        console.print(_picture(stack))
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(_picture(stack), refresh=True)
            time.sleep(WATCH_SECONDS)


def _picture(stack: Stack) -> Group:
    try:
        found: Table | Text = lag_table(_lags(stack))
    except MarketflowError as error:
        found = Text(f"lag: {error}", style="yellow")
    return Group(services_table(stack), found)


def _lags(stack: Stack) -> list[PartitionLag]:
    environment = Environment.read({**os.environ, **stack.endpoints().variables()})
    return lags(environment.require_kafka(), load_settings(environment))


def lag_table(found: list[PartitionLag]) -> Table:
    """Return a table with a line for each partition of a raw topic."""
    table = Table("Topic", "Exchange", box=SIMPLE_HEAD)
    for column in ("End", "Durable", "Lag", "Newest"):
        table.add_column(column, justify="right")
    for lag in found:
        is_behind = lag.lag > 0
        table.add_row(
            f"{lag.topic}/{lag.partition}",
            lag.exchange or "-",
            f"{lag.end_offset:,}",
            "-" if lag.committed_offset is None else f"{lag.committed_offset:,}",
            Text(f"{lag.lag:,}", style="yellow" if is_behind else "green"),
            "-" if lag.age_seconds is None else f"{lag.age_seconds:,.1f} s ago",
        )
    return table


def services_table(stack: Stack) -> Table:
    """Ask every service whether it answers, and show what is known of it."""
    environment = Environment.read({**os.environ, **stack.endpoints().variables()})
    state = stack.state()
    table = Table("Service", "Endpoint", "Pid", "Up since", "Reachable", box=SIMPLE_HEAD)
    with ThreadPoolExecutor() as pool:
        failures = pool.map(
            lambda name: probes.address(name, environment) and probes.failure(name, environment),
            NAMES,
        )
    for name, failure in zip(NAMES, failures, strict=True):
        where = probes.address(name, environment)
        process = state.processes.get(name) if state.is_running(name) else None
        pid, since = "-", "-"
        if stack.is_external(name):
            pid = "not ours"
        elif process:
            started = datetime.fromtimestamp(process.started_at).astimezone()
            pid = str(process.pid)
            since = f"{started:%Y-%m-%d %H:%M:%S} ({probes.age(process.started_at)})"
        if where is None:
            building = name == "minio" and stack.is_building_minio
            reachable = Text("is being built" if building else "not running", style="yellow")
        else:
            reachable = Text(failure, style="red") if failure else Text("yes", style="green")
        table.add_row(TITLES[name], where or "-", pid, since, reachable)
    return table


@click.command()
@_with_state
def doctor(folder: Path) -> None:
    """Say what is missing or unreachable, and what to do about it.

    Exits with 1 when something is broken that the pipeline needs.
    """
    from connectors.local.doctor import examine  # noqa: PLC0415  # few processes need it, and it is slow to import

    findings = examine(Stack(folder))
    for finding in findings:
        mark, color = _MARKS[finding.verdict]
        click.echo(f"{click.style(mark, fg=color)} {finding.subject}: {finding.detail}")
        if finding.advice:
            click.echo(f"  → {finding.advice}")
    if any(finding.verdict == "broken" for finding in findings):
        sys.exit(1)
