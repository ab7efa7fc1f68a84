"""Judging silence: each stream against its own rhythm, clocks, volumes. Pure."""

from collections import deque
from decimal import Decimal
from statistics import median
from typing import Final

# How much rarer than usual data must be to be missing.
_TIMES_THE_USUAL: Final = 20
_REMEMBERED_GAPS: Final = 32
_CLOCK_WINDOW_MS: Final = 60_000
# A trade comes before the ticker that has it, or soon after.
_VOLUME_PATIENCE_MS: Final = 10_000
# How much later than a trade the ticker that has it may come.
TICKER_LAG_MS: Final = 2_000
# How long trades may be missing before the volume says so: a collector that is killed meanwhile
# takes the knowledge with it.
UNJUDGED_MS: Final = _VOLUME_PATIENCE_MS + 2 * TICKER_LAG_MS


class Rhythm:
    """How often a stream has data.

    Args:
        floor_ms: The least silence that means something.
    """

    __slots__ = ("_floor_ms", "_gaps_ms", "last_ms")

    def __init__(self, floor_ms: float) -> None:
        self._floor_ms = floor_ms
        self._gaps_ms: deque[int] = deque(maxlen=_REMEMBERED_GAPS)
        self.last_ms: int | None = None

    def note(self, last_ms: int) -> None:
        """Take in when data came last, as often as one looks."""
        if self.last_ms is not None and last_ms > self.last_ms:
            self._gaps_ms.append(last_ms - self.last_ms)
        self.last_ms = last_ms

    @property
    def limit_ms(self) -> float:
        """The silence from which on something is wrong."""
        usual_ms = median(self._gaps_ms) if self._gaps_ms else 0
        return max(self._floor_ms, _TIMES_THE_USUAL * usual_ms)

    def is_silent(self, now_ms: int) -> bool:
        """Return whether it has been silent for too long."""
        return self.last_ms is not None and now_ms - self.last_ms > self.limit_ms


class ClockOffset:
    """The least of receive time minus event time over the last minute: latency and clocks."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque()

    def note(self, received_ms: int, event_ms: int) -> None:
        """Take in one frame."""
        offset_ms = received_ms - event_ms
        # Kept rising, so that the first one is the least.
        while self._seen and self._seen[-1][1] >= offset_ms:
            self._seen.pop()
        self._seen.append((received_ms, offset_ms))
        while self._seen[0][0] < received_ms - _CLOCK_WINDOW_MS:
            self._seen.popleft()

    @property
    def offset_ms(self) -> int | None:
        """What to take from a receive time for the time of the exchange; `None`: unknown."""
        return self._seen[0][1] if self._seen else None


class VolumeCheck:
    """Whether trades come while the ticker's volume of 24 hours rises: it can only by trades."""

    __slots__ = ("_has_risen_since", "_last_trade_ms", "_risen_ms", "_volume", "good_ms")

    def __init__(self) -> None:
        self._volume: Decimal | None = None
        self._risen_ms: int | None = None
        self._last_trade_ms: int | None = None
        self._has_risen_since = False
        self.good_ms: int | None = None
        """Until when no trade is missing by what the ticker says."""

    def note(self, now_ms: int, volume: Decimal, last_trade_ms: int | None) -> None:
        """Take in a ticker."""
        before, self._volume = self._volume, volume
        self._look_at_trade(last_trade_ms)
        if before is not None and volume > before:
            self._has_risen_since = True
            if self._risen_ms is None:
                self._risen_ms = now_ms

    def is_missing(self, now_ms: int, last_trade_ms: int | None) -> bool:
        """Return whether trades are missing, as often as one looks."""
        if self._volume is None:
            return False
        self._look_at_trade(last_trade_ms)
        if not self._has_risen_since:
            self.good_ms = max(self.good_ms or 0, now_ms - TICKER_LAG_MS)
        if self._risen_ms is None:
            return False
        if last_trade_ms is not None and last_trade_ms >= self._risen_ms - _VOLUME_PATIENCE_MS:
            self._risen_ms = None
            return False
        return now_ms - self._risen_ms > _VOLUME_PATIENCE_MS

    def forgive(self) -> None:
        """Begin anew, after something was done about it."""
        self._risen_ms = self._volume = self.good_ms = None
        self._has_risen_since = False

    def _look_at_trade(self, last_trade_ms: int | None) -> None:
        if last_trade_ms is not None and last_trade_ms != self._last_trade_ms:
            self._last_trade_ms = last_trade_ms
            self.good_ms = max(self.good_ms or 0, last_trade_ms)
            self._has_risen_since = False


class Backoff:
    """Seconds to wait before the next try: doubled each time, with full jitter."""

    __slots__ = ("_most", "_tries")

    def __init__(self, most_seconds: float = 30.0) -> None:
        self._most = most_seconds
        self._tries = 0

    def next_seconds(self, chance: float) -> float:
        """Return the next wait; `chance` is a random number from 0 to 1."""
        self._tries += 1
        return chance * min(self._most, 2.0 ** (self._tries - 1))

    def reset(self) -> None:
        """Begin anew: it has worked for a while."""
        self._tries = 0
