"""Budgets of requests, as the exchanges count them for one address."""

from typing import Final

BLOCK_AFTER: Final = 50
"""So many refused requests in one window, and 429 becomes a block."""


class Budget:
    """So much in each window of time.

    Args:
        limit: The weight that a window allows.
        window_ms: Its length.
    """

    __slots__ = ("_started_ms", "limit", "refused", "used", "window_ms")

    def __init__(self, limit: int, window_ms: int) -> None:
        self.limit = limit
        self.window_ms = window_ms
        self.used = 0
        self.refused = 0
        self._started_ms = 0

    def spend(self, now_ms: int, weight: int = 1) -> bool:
        """Take from the window; return whether there was enough."""
        start_ms = now_ms - now_ms % self.window_ms
        if start_ms != self._started_ms:
            self._started_ms, self.used, self.refused = start_ms, 0, 0
        if self.used + weight > self.limit:
            self.refused += 1
            return False
        self.used += weight
        return True

    @property
    def remaining(self) -> int:
        """What the window still allows."""
        return max(0, self.limit - self.used)

    def reset_ms(self, now_ms: int) -> int:
        """Return how long the window still lasts."""
        return self.window_ms - now_ms % self.window_ms
