"""The database schema as plain SQL files, applied in order by ``connectors.postgres.migrate``.

To change the schema, add the next file. One that was released is never edited: databases
remember the checksum of what was applied to them.
"""

from functools import cache
from hashlib import sha256
from importlib.resources import files

import msgspec


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema; it is applied in a transaction of its own."""

    version: int
    name: str
    sql: str
    sha256: str


def make_migration(file_name: str, text: str) -> Migration:
    """Read the version and the name from a file name such as `0001_exchanges.sql`."""
    version, _, name = file_name.removesuffix(".sql").partition("_")
    return Migration(int(version), name, text, sha256(text.encode()).hexdigest())


@cache
def migrations() -> tuple[Migration, ...]:
    """Return all migrations of this release, in order."""
    sources = [file for file in files(__name__).iterdir() if file.name.endswith(".sql")]
    return tuple(
        make_migration(file.name, file.read_text(encoding="utf-8"))
        for file in sorted(sources, key=lambda file: file.name)
    )
