"""`marketflow key`: make, list and revoke the keys of the API."""

import re
import secrets
from hashlib import sha256
from typing import Final

import click
import psycopg

from connectors.postgres.connection import Connection, connect, describe
from connectors.process.environment import Environment
from schemas.errors import SettingsError

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,60}")
_KEY_BYTES: Final = 32


@click.group()
def key() -> None:
    """Make, list and revoke keys of the API.

    An API that listens beyond this machine asks for a key as soon as there is one.
    """


@key.command()
@click.argument("name")
def add(name: str) -> None:
    """Make a key called NAME and print it: it cannot be shown again."""
    if _NAME.fullmatch(name) is None:
        raise SettingsError(f"key name {name!r}: expected 1 to 60 letters, digits, `.`, `_`, `-`")
    made = f"mf_{secrets.token_urlsafe(_KEY_BYTES)}"
    with _connected() as connection:
        try:
            connection.execute(
                "INSERT INTO api_key (name, sha256) VALUES (%s, %s)",
                [name, sha256(made.encode()).digest()],
            )
        except psycopg.errors.UniqueViolation:
            raise SettingsError(
                f"a key called {name} is there already: take another name"
            ) from None
    click.echo(made)


@key.command(name="list")
def list_keys() -> None:
    """List the names of the keys."""
    with _connected() as connection:
        rows = connection.execute(
            "SELECT name, created_at, revoked_at FROM api_key ORDER BY name"
        ).fetchall()
    for name, created_at, revoked_at in rows:
        state = "valid" if revoked_at is None else f"revoked {revoked_at:%Y-%m-%d %H:%M} UTC"
        click.echo(f"{name}  made {created_at:%Y-%m-%d %H:%M} UTC  {state}")


@key.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke the key called NAME; the API refuses it within seconds."""
    with _connected() as connection:
        count = connection.execute(
            "UPDATE api_key SET revoked_at = now() WHERE name = %s AND revoked_at IS NULL", [name]
        ).rowcount
    if count == 0:
        raise SettingsError(f"no valid key is called {name}: `marketflow key list` shows them")


def _connected() -> Connection:
    try:
        connection = connect(Environment.read().require_postgres())
        connection.execute("SELECT set_config('TimeZone', 'UTC', false) FROM api_key LIMIT 1")
    except psycopg.errors.UndefinedTable:
        raise SettingsError("the database has no table api_key: run `marketflow init`") from None
    except psycopg.OperationalError as error:
        raise SettingsError(f"PostgreSQL: {describe(error)}") from error
    return connection
