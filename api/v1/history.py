"""Which times an answer can be given as of."""

from datetime import datetime
from typing import Final, LiteralString

import msgspec

from api.database import Database
from api.parameters import refusal
from api.v1.times import utc_text

_BOUNDS: Final[LiteralString] = """
SELECT applied_at, settled_until() FROM schema_migrations WHERE name = 'history'
"""


class _Bounds(msgspec.Struct, frozen=True):
    beginning: datetime
    settled: datetime


class History:
    """From when on replaced versions are kept, and until when nothing changes any more."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._bounds: _Bounds | None = None

    async def check(self, as_of: datetime | None) -> None:
        """Refuse a time of which an answer could later be another, or be wrong.

        Raises:
            ValidationException: It is too young, or before the history begins.
            UnavailableError: The database does not answer.
        """
        if as_of is None:
            return
        bounds = self._bounds
        if bounds is None or as_of > bounds.settled:
            (bounds,) = await self._database.fetch(_BOUNDS, {}, _Bounds)
            self._bounds = bounds
        if as_of > bounds.settled:
            message = (
                f"{utc_text(as_of)} is too young: what was written up to then may not be visible "
                f"yet; expected {utc_text(bounds.settled)} or earlier"
            )
            raise refusal([("as_of", message)])
        if as_of < bounds.beginning:
            message = (
                f"{utc_text(as_of)} is before replaced versions were kept: expected "
                f"{utc_text(bounds.beginning)} or later"
            )
            raise refusal([("as_of", message)])
