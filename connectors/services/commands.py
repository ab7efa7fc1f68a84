"""The commands `up`, `down`, `env`, `status` and `doctor`."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connectors import probes
from connectors.environment import Environment, checkout
from connectors.services.processes import ServiceError
from connectors.services.progress import Progress
from connectors.services.stack import BUILDER, NAMES, TITLES, VARIABLES, Stack, state_folder

if TYPE_CHECKING:
    from types import FrameType

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
    """Stop the services that `up` started, and nothing else."""
    with Progress() as progress:
        if not Stack(folder).stop(purge=purge, progress=progress):
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
def status(folder: Path) -> None:
    """Show where the services are, since when, and whether they answer."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(services_table(Stack(folder)))


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
    from connectors.services.doctor import examine  # noqa: PLC0415

    findings = examine(Stack(folder))
    for finding in findings:
        mark, color = _MARKS[finding.verdict]
        click.echo(f"{click.style(mark, fg=color)} {finding.subject}: {finding.detail}")
        if finding.advice:
            click.echo(f"  → {finding.advice}")
    if any(finding.verdict == "broken" for finding in findings):
        sys.exit(1)
