"""`marketflow seed`: fills a database with minutes, for `make bench` and for trying things out."""

from datetime import UTC, datetime
from typing import Final

import click

from connectors.postgres.connection import connect
from connectors.postgres.seed import seed as write_minutes
from connectors.process.clock import now_ns
from connectors.process.environment import Environment, load_settings
from schemas.settings import Settings

_NS_PER_HOUR: Final = 3_600_000_000_000


@click.command()
@click.option("--rows", type=click.IntRange(1_000), default=1_000_000, show_default=True)
@click.option("--symbols", type=click.IntRange(1, 500), default=38, show_default=True)
def seed(rows: int, symbols: int) -> None:
    """Write made-up minutes up to the last full hour, in a database that has none."""
    environment = Environment.read()
    markets = seeded_markets(load_settings(environment), symbols)
    end = datetime.fromtimestamp(now_ns() // _NS_PER_HOUR * 3_600, UTC)
    with connect(environment.require_postgres()) as connection:
        written = write_minutes(connection, markets, end, max(60, rows // len(markets)))
    click.echo(f"{written:,} minutes of {len(markets)} markets, up to {end:%Y-%m-%d %H:%M} UTC")


def seeded_markets(settings: Settings, symbols: int) -> list[tuple[str, str]]:
    """Return exchange and symbol of each market: the primary one, and others by number."""
    return [
        (code, exchange.primary_symbol if number == 0 else f"COIN{number}-{exchange.quote}")
        for code, exchange in settings.exchanges.items()
        for number in range(symbols)
    ]
