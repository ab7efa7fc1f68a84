"""Judging silence: each stream against its own rhythm, clocks, volumes. Pure."""

from collections import deque
from collections.abc import Hashable, Mapping
from decimal import Decimal
from statistics import median
from typing import Final, Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)

# How much rarer than usual data must be to be missing.
_TIMES_THE_USUAL: Final = 20
_REMEMBERED_GAPS: Final = 32
_CLOCK_WINDOW_MS: Final = 60_000
CLOCK_TOLERANCE_MS: Final = 20
_EXCHANGES_AGAINST_US: Final = 3
RATE_STEP_SECONDS: Final = 10.0
_RATE_STEPS: Final = 60
_RATE_STEPS_KNOWN: Final = 12
_RATE_STEPS_LOW: Final = 3
# Of a connection with fewer frames in a step nothing is said.
_RATE_LEAST: Final = 10
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


class RateWatch(Generic[Name]):
    """Frames of each connection of an exchange, in steps of 10 s: one that falls alone is told of.

    A market that goes quiet takes its other connections along; a server that sheds load does not.
    """

    __slots__ = ("_counts", "_fallen", "_steps")

    def __init__(self) -> None:
        self._counts: dict[Name, int] = {}
        self._steps: dict[Name, deque[int]] = {}
        self._fallen: set[Name] = set()

    def note(self, counts: Mapping[Name, int]) -> set[Name]:
        """Take in how many frames each had so far; return those that have fallen just now."""
        for name in self._counts.keys() - counts.keys():
            del self._steps[name]
        for name, count in counts.items():
            steps = self._steps.setdefault(name, deque(maxlen=_RATE_STEPS))
            if name in self._counts:
                steps.append(count - self._counts[name])
        self._counts = dict(counts)
        judged = {name: self._is_low(steps) for name, steps in self._steps.items()}
        low = {name for name, is_low in judged.items() if is_low}
        normal = {name for name, is_low in judged.items() if is_low is False}
        fallen = low if len(low) == 1 and normal else set()
        new, self._fallen = fallen - self._fallen, fallen
        return new

    @staticmethod
    def _is_low(steps: deque[int]) -> bool | None:
        """Return whether the last steps are far below the usual; `None`: not known."""
        if len(steps) < _RATE_STEPS_KNOWN:
            return None
        usual = median(steps)
        if usual < _RATE_LEAST:
            return None
        return all(steps[-at] < usual / 10 for at in range(1, _RATE_STEPS_LOW + 1))


def clock_verdict(offsets_ms: Mapping[str, int]) -> tuple[str, list[str]] | None:
    """Return whose clock is wrong, `ours` or `theirs`, and by which exchanges; `None`: nobody's.

    Nothing comes before it was sent: a negative offset is a clock's. Of several exchanges at once
    it is this host's that is behind.
    """
    ahead = sorted(name for name, offset in offsets_ms.items() if offset < -CLOCK_TOLERANCE_MS)
    if len(ahead) >= _EXCHANGES_AGAINST_US:
        return "ours", ahead
    return ("theirs", ahead) if ahead else None


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
