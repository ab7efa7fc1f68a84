"""Versions of stored state: what an older release stored is read, what a newer one did is not."""

from collections.abc import Sequence

from schemas.errors import StateTooNewError


def checked(what: str, state: Sequence[object], newest: int) -> int:
    """Return the version of a stored state, which is its first value.

    Args:
        what: The state, for the message.
        state: As it was stored.
        newest: The version that this release writes.

    Raises:
        StateTooNewError: A newer release stored it.
    """
    version = state[0]
    if not isinstance(version, int) or not 1 <= version <= newest:
        raise StateTooNewError(
            f"the recovery store holds {what} in version {version!r}, expected 1 to {newest}: "
            "a newer release wrote it; start that release, or begin with an empty store, which "
            "reads the topics from their beginning"
        )
    return version
