"""Brings the database to the schema of this release; part of ``marketflow init``."""

from collections.abc import Sequence
from typing import Final

import psycopg

from connectors.postgres.connection import Connection, connect, describe, is_transient
from schemas.errors import SchemaTooNewError, SettingsError, UnavailableError
from schemas.migrations import Migration, migrations

# One number for all releases: "mktflow" in ASCII.
_LOCK_KEY: Final = 0x6D6B74666C6F77
_LOCK_TIMEOUT: Final = "60s"

_CREATE_HISTORY: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


def migrate(dsn: str, known: Sequence[Migration] | None = None) -> list[Migration]:
    """Apply what is missing, in order, and return that.

    Each migration is a transaction: a process that is killed leaves whole ones. Processes that
    migrate at the same time wait for each other, and the later ones find nothing to do.

    Args:
        dsn: The database.
        known: The migrations of this release; tests name others.

    Raises:
        SchemaTooNewError: The database has migrations that are not in `known`.
        SettingsError: A migration was edited after it had been applied, or was refused.
        UnavailableError: The server cannot be reached, or another process holds the lock.
    """
    known = migrations() if known is None else known
    applied: list[Migration] = []
    try:
        with connect(dsn) as connection:
            while (migration := _apply_next(connection, known)) is not None:
                applied.append(migration)
    except psycopg.Error as error:
        if is_transient(error):
            raise UnavailableError(f"PostgreSQL: {describe(error)}") from error
        raise SettingsError(f"PostgreSQL refused a migration: {describe(error)}") from error
    return applied


def _apply_next(connection: Connection, known: Sequence[Migration]) -> Migration | None:
    with connection.transaction():
        connection.execute("SELECT set_config('lock_timeout', %s, true)", [_LOCK_TIMEOUT])
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_KEY])
        connection.execute(_CREATE_HISTORY)
        migration = _next(connection, known)
        if migration is not None:
            connection.execute(migration.sql.encode())
            connection.execute(
                "INSERT INTO schema_migrations (version, name, sha256) VALUES (%s, %s, %s)",
                [migration.version, migration.name, migration.sha256],
            )
        return migration


def _next(connection: Connection, known: Sequence[Migration]) -> Migration | None:
    """Check the migrations that the database has; return the first that it lacks."""
    cursor = connection.execute("SELECT version, name, sha256 FROM schema_migrations")
    applied = {version: (name, checksum) for version, name, checksum in cursor}
    newer = sorted(applied.keys() - {migration.version for migration in known})
    if newer:
        raise SchemaTooNewError(
            f"the database has migration {newer[-1]} ({applied[newer[-1]][0]}), this release "
            f"knows migrations up to {known[-1].version}: install the newer release"
        )
    for migration in known:
        if migration.version not in applied:
            return migration
        checksum = applied[migration.version][1]
        if checksum != migration.sha256:
            raise SettingsError(
                f"migration {migration.version} ({migration.name}) was edited after it had been "
                f"applied: its checksum is {migration.sha256}, expected {checksum}"
            )
    return None
