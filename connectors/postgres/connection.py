"""How marketflow connects to PostgreSQL, and which of its errors pass by themselves."""

from typing import Final, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from schemas.errors import SettingsError

Connection: TypeAlias = psycopg.Connection[TupleRow]

# A server that vanished without a word is noticed after about ten seconds, not after hours.
# What POSTGRES_DSN says of the same options goes first.
_DEFAULTS: Final[dict[str, str | int]] = {
    "application_name": "marketflow",
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

# Classes of SQLSTATE: connection, rollback (deadlock, serialization), out of resources,
# operator intervention (shutdown, timeout), system error.
_TRANSIENT_CLASSES: Final = frozenset({"08", "40", "53", "57", "58"})
# Read-only transaction: the server was demoted to a standby, and the address will move on.
_TRANSIENT_STATES: Final = frozenset({"25006"})


def connect(dsn: str) -> Connection:
    """Open a connection in autocommit mode.

    Raises:
        SettingsError: `dsn` is not one. The message does not repeat it: it may hold a password.
        psycopg.OperationalError: The server cannot be reached or refuses.
    """
    options = options_of(dsn)
    return psycopg.connect(make_conninfo("", **{**_DEFAULTS, **options}), autocommit=True)


def options_of(dsn: str) -> dict[str, str | int | None]:
    """Return what a connection string says, option by option.

    Raises:
        SettingsError: It is none, or its password is not percent-encoded: the part behind an `@`
            would count as the host, and be printed in every message about it.
    """
    try:
        options: dict[str, str | int | None] = dict(conninfo_to_dict(dsn))
    except psycopg.ProgrammingError:
        # libpq's message repeats what it could not read, which may be the password.
        options = {"host": "@"}
    if "@" in str(options.get("host", "")):
        raise SettingsError(
            "POSTGRES_DSN cannot be read: expected postgresql://user:password@host:port/database, "
            "with special characters percent-encoded (`@` is %40)"
        )
    return options


def is_transient(error: psycopg.Error) -> bool:
    """Return whether the same statement may succeed later, perhaps on another connection."""
    state = error.sqlstate
    if state is not None and (state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_STATES):
        return True
    # Without a SQLSTATE: the connection was never made, or broke before the server could say.
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def describe(error: psycopg.Error) -> str:
    """Return the error in one line, for a message or a log."""
    text = error.diag.message_primary or str(error).partition("\n")[0] or type(error).__name__
    return f"{text} (SQLSTATE {error.sqlstate})" if error.sqlstate else text
