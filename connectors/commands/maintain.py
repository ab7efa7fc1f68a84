"""`marketflow maintain`: keeps the sums of hours and the log of changes, beside the dataflows."""

import logging
import signal
import threading
from typing import Final

import click
import psycopg

from connectors.postgres.connection import Connection, connect, describe, is_transient
from connectors.postgres.maintenance import (
    cut_changes,
    index_months,
    is_lock_timeout,
    refresh_hours,
)
from connectors.postgres.maintenance import rewrite_months as rewrite_finished_months
from connectors.process.environment import Environment
from schemas.errors import SettingsError, UnavailableError

_log: Final = logging.getLogger("marketflow.maintain")


@click.command()
@click.option("--once", is_flag=True, help="Do what is due, and end.")
@click.option(
    "--rewrite-months", is_flag=True, help="Store months that are over in the order of their keys."
)
@click.option("--every", type=click.IntRange(1), default=15, show_default=True, help="Seconds.")
def maintain(*, once: bool, rewrite_months: bool, every: int) -> None:
    """Sum hours up, bound the log of changes, index and rewrite months.

    Answers are exact without it; with it, those about long ranges are fast.
    """
    dsn = Environment.read().require_postgres()
    stop = threading.Event()
    for signal_ in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_, lambda *_: stop.set())
    while True:
        try:
            with connect(dsn) as connection:
                for line in _step(connection, rewrites=rewrite_months):
                    click.echo(line)
        except psycopg.Error as error:
            if once or not (is_transient(error) or is_lock_timeout(error)):
                raise _refusal(error) from error
            _log.warning("PostgreSQL: %s", describe(error))
        if once or stop.wait(every):
            return


def _step(connection: Connection, *, rewrites: bool) -> list[str]:
    lines = []
    if hours := refresh_hours(connection):
        lines.append(f"hours: {hours} summed")
    if rows := cut_changes(connection):
        lines.append(f"changes: {rows} cut off the log")
    lines += [f"{month}: indexed by time" for month in index_months(connection)]
    if rewrites:
        lines += [
            f"{month}: rewritten in key order" for month in rewrite_finished_months(connection)
        ]
    return lines


def _refusal(error: psycopg.Error) -> Exception:
    if isinstance(error, psycopg.errors.UndefinedFunction | psycopg.errors.UndefinedTable):
        return SettingsError("the database lacks tables of this release: run `marketflow init`")
    return UnavailableError(f"PostgreSQL: {describe(error)}")
