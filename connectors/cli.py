"""The `marketflow` command: a table of commands, each of which lives beside what it drives."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import click

from schemas.errors import MarketflowError

# Imported only when run, so that `--help` and tab completion do not wait for Kafka clients.
_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "run": ("connectors.demonstration:run", "Run everything here, with recorded data."),
    "up": ("connectors.services.commands:up", "Start Kafka, PostgreSQL and MinIO."),
    "down": ("connectors.services.commands:down", "Stop what `up` started."),
    "env": ("connectors.services.commands:env", "Print the services as shell variables."),
    "status": ("connectors.services.commands:status", "Show the services and whether they answer."),
    "init": ("connectors.initialize:init", "Make topics, tables and the bucket."),
    "store": ("connectors.store:store", "Make the recovery store of a dataflow's shard."),
    "replay": ("connectors.replay.commands:replay", "Feed recorded frames into the raw topics."),
    "backfill": ("dataflows.backfill:backfill", "Mend minutes from an exchange's own history."),
    "compact": ("connectors.compact:compact", "Merge an hour of the archive into Parquet."),
    "restore": ("connectors.restore:restore", "Put archived rows back into PostgreSQL."),
    "dlq": ("connectors.kafka.dlq_commands:dlq", "Count, show and replay dead letters."),
    "serve": ("api.serve:serve", "Serve the API and its documentation."),
    "doctor": ("connectors.services.commands:doctor", "Say what is missing, and what to do."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
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
