"""The `marketflow` command: a table of the commands, one module each."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import click

from schemas.errors import MarketflowError

# Imported only when run, so that `--help` and tab completion do not wait for Kafka clients.
_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    # command: (its module beside this one, what it does)
    "run": ("run", "Run everything here, with recorded data."),
    "up": ("services", "Start Kafka, PostgreSQL and MinIO."),
    "down": ("services", "Stop what `up` started."),
    "env": ("services", "Print the services as shell variables."),
    "status": ("services", "Show the services and whether they answer."),
    "init": ("init", "Make topics, tables and the bucket."),
    "store": ("store", "Make the recovery store of a dataflow's shard."),
    "simulate": ("simulate", "Serve the ten exchanges on loopback."),
    "replay": ("replay", "Feed recorded frames into the raw topics."),
    "backfill": ("backfill", "Mend minutes from an exchange's own history."),
    "verify": ("verify", "Hold minutes against the exchange's own klines."),
    "compact": ("compact", "Merge an hour of the archive into Parquet."),
    "restore": ("restore", "Put archived rows back into PostgreSQL."),
    "dlq": ("dlq", "Count, show and replay dead letters."),
    "seed": ("seed", "Fill a database with made-up minutes."),
    "key": ("key", "Make, list and revoke keys of the API."),
    "maintain": ("maintain", "Keep sums of hours and the log of changes."),
    "serve": ("serve", "Serve the API and its documentation."),
    "doctor": ("services", "Say what is missing, and what to do."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"connectors.commands.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MarketflowError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="marketflow")
def main() -> None:
    """Exact, replayable market data: Kafka to PostgreSQL, S3 and HTTP."""
