"""The commands `up`, `down`, `env`, `status` and `doctor`."""

from __future__ import annotations

import os
import shlex
import signal
from typing import TYPE_CHECKING, NoReturn

import click

from connectors.environment import checkout
from connectors.services.processes import ServiceError
from connectors.services.progress import Progress
from connectors.services.stack import NAMES, TITLES, VARIABLES, Stack, state_folder

if TYPE_CHECKING:
    from types import FrameType


def _stack() -> Stack:
    return Stack(state_folder(checkout()))


@click.command()
@click.option(
    "--wait-minio/--no-wait-minio",
    default=True,
    help="Wait while MinIO is built from source (minutes, once for you), or let it go on alone.",
)
def up(*, wait_minio: bool) -> None:
    """Start Kafka, PostgreSQL and MinIO in the background, and wait until they answer.

    A server that KAFKA_BOOTSTRAP_SERVERS, POSTGRES_DSN or S3_ENDPOINT_URL names is used instead
    of a local one, and left as it is.
    """
    stack = _stack()
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
            progress.done(
                "MinIO", f"is being built in the background, see {stack.log('minio-builder')}"
            )


@click.command()
@click.option("--purge", is_flag=True, help="Also delete their data, credentials and logs.")
def down(*, purge: bool) -> None:
    """Stop the services that `up` started, and nothing else."""
    with Progress() as progress:
        if not _stack().stop(purge=purge, progress=progress):
            progress.done("Services", "nothing was running")


@click.command()
def env() -> None:
    """Print `export NAME=value` lines, for `eval "$(marketflow env)"`."""
    variables = _stack().endpoints().variables()
    if not variables:
        raise ServiceError("no service is running, and the environment names none: run `make up`")
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
