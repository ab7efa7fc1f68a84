"""Which keys are valid, read again every few seconds."""

import time
from collections.abc import Mapping
from typing import Final, LiteralString

from api.database import Database

MAX_AGE_S: Final = 5.0
_KEYS: Final[LiteralString] = "SELECT sha256, name FROM api_key WHERE revoked_at IS NULL"


class Keys:
    """The valid keys by their hashes; none where the table is empty."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: Mapping[bytes, str] | None = None
        self._read_at_s = 0.0

    async def known(self) -> Mapping[bytes, str]:
        """Return the names of the valid keys by hash.

        Raises:
            UnavailableError: The database does not answer, and has not yet.
        """
        if self._known is None or time.monotonic() - self._read_at_s > MAX_AGE_S:
            rows = await self._database.fetch(_KEYS, {}, lambda *row: row, is_health=True)
            self._known = {bytes(hash_): name for hash_, name in rows}
            self._read_at_s = time.monotonic()
        return self._known
