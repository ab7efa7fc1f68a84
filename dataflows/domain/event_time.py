"""Event time of one exchange in one partition: which minutes are final, and who must be told.

Two marks move on. `final_before` follows from the log alone: each trade moves it at its place in
the log, so that it does not depend on how the log was cut into batches, on kills or on pauses.
It decides what is late. `closed_before` may be ahead of it, by the wall clock, while the exchange
is silent: it decides when a row is published as final, and nothing else.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from schemas.times import NS_PER_MINUTE, NS_PER_MS, utc_text

# So long after its last trade a symbol has rows of zeros, and state; also the longest horizon.
QUIET_MINUTES: Final = 24 * 60

EventTimeState: TypeAlias = tuple[int, int, int, int, int, bool, list[int], dict[str, int]]
OneMarkState: TypeAlias = tuple[int, int, list[int], dict[str, int]]
"""Of order books, and of trades in the first version: one mark judges and publishes."""


class Limits(NamedTuple):
    """The times of ``pipeline.yaml`` in nanoseconds."""

    lateness_ns: int
    horizon_ns: int
    future_ns: int


def future_problem(what: str, time_ns: int, logged_ns: int, future_ns: int) -> str:
    """Return why a record is refused that is stamped too far ahead of when it was logged.

    Args:
        what: What is stamped so.
        time_ns: Its stamp.
        logged_ns: When its record was logged.
        future_ns: How far ahead a stamp may be.
    """
    return (
        f"future: {what} at {utc_text(time_ns)}, expected at most {future_ns // NS_PER_MS} ms "
        f"after its record, {utc_text(logged_ns)}"
    )


class EventTime:
    """How far the time of one exchange has come in one partition.

    Minutes are counted from the Unix epoch.

    Args:
        limits: How late is late, too late, and from the future.
        state: What :meth:`state` gave, to go on from there.

    Attributes:
        newest_ns: Newest time of the exchange.
        final_before: Minutes before this one are final by the log.
        closed_before: Minutes before this one are published as final.
        known_from: Minutes before this one are not known any more, or never were.
        began: Minute of the first thing that was read of the exchange, 0 before that.
        final_from_ns: Start of the minute `final_before`: what is older is late.
        oldest_ns: What is older than this is too late.
        next_final_ns: A time from which on another minute is final.
        has_loss: Records before the next one are gone unread.
        active: Minutes that something in time fell into, and that are not final yet.
        last_minutes: Last minute of each symbol that is known.
    """

    def __init__(self, limits: Limits, state: EventTimeState | None = None) -> None:
        self._limits = limits
        (
            self.newest_ns, final_before, self.closed_before, self.known_from, self.began,
            self.has_loss, active, last_minutes,
        ) = state or (0, 0, 0, 0, 0, False, [], {})  # fmt: skip
        self.active = set(active)
        self.last_minutes = dict(last_minutes)
        self._set_final_before(final_before)
        self._reported = (self.final_before, self.closed_before)
        # Closed minutes that every symbol has been told were active; after a restart, again.
        self._told: set[int] = set()
        if self.has_loss:
            self.lose()

    @classmethod
    def starting_at(
        cls, limits: Limits, minute: int, active: Iterable[int], last_minutes: Mapping[str, int]
    ) -> "EventTime":
        """Return the event time of an exchange whose past is known until a minute."""
        start_ns = minute * NS_PER_MINUTE
        state = (start_ns, minute, minute, 0, minute, False, sorted(active), dict(last_minutes))
        return cls(limits, state)

    @classmethod
    def with_one_mark(cls, limits: Limits, state: OneMarkState) -> "EventTime":
        """Return the event time of a state that had one mark for both purposes."""
        newest_ns, final_before, active, last_minutes = state
        known_from = final_before - limits.horizon_ns // NS_PER_MINUTE
        return cls(
            limits,
            (
                newest_ns,
                final_before,
                final_before,
                known_from,
                final_before,
                False,
                active,
                last_minutes,
            ),
        )

    def state(self) -> EventTimeState:
        """Return a copy to store, plain values only; to be taken after :meth:`report`."""
        return (
            self.newest_ns, self.final_before, self.closed_before, self.known_from, self.began,
            self.has_loss, sorted(self.active), dict(self.last_minutes),
        )  # fmt: skip

    def one_mark_state(self) -> OneMarkState:
        """Return a copy to store where nothing but :meth:`advance` has moved it."""
        return self.newest_ns, self.final_before, sorted(self.active), dict(self.last_minutes)

    def advance(self, time_ns: int) -> bool:
        """Move on to a time of the log and return whether minutes became final."""
        final_before = (time_ns - self._limits.lateness_ns) // NS_PER_MINUTE
        if final_before <= self.final_before:
            return False
        self._set_final_before(final_before)
        return True

    def pass_silence(self, silent_ns: int) -> None:
        """Close minutes by the wall clock: the exchange has been silent for this long."""
        self._close(self.newest_ns + silent_ns - self._limits.lateness_ns)

    def finish(self, newest_ns: int = 0) -> None:
        """Close every minute that has something in it: there will be no more.

        Args:
            newest_ns: Newest time of the exchange in its other partitions.
        """
        self._close(max(self.newest_ns, newest_ns) + NS_PER_MINUTE)

    def follow(self, other: "EventTime") -> None:
        """Close minutes that are final in another partition, while nothing waits in this one."""
        self.closed_before = max(self.closed_before, other.final_before)

    def lose(self) -> None:
        """Note that records before the next one are gone unread."""
        self.has_loss = True
        self.next_final_ns = 0  # the next trade that is newer takes the way of a new final minute

    def resume(self, time_ns: int) -> tuple[int, int]:
        """Go on after a loss with the first time that was read.

        What began with the loss knows nothing of earlier minutes: trades of those are too late.

        Returns:
            The span that lost records can have been of.
        """
        self.has_loss = False
        lost_from_ns = self.newest_ns - self._limits.lateness_ns
        if not self.newest_ns:
            self.advance(time_ns)
            self.known_from = self.final_before
            lost_from_ns = self.final_from_ns
        self._set_final_before(self.final_before)
        return lost_from_ns, time_ns + self._limits.lateness_ns

    def report(self) -> tuple[int, ...] | None:
        """Return the active minutes to tell every symbol of, `None` if there is no news.

        A minute that only the wall clock closed is told when something falls into it after all,
        and again when it is final by the log.
        """
        final_before, _ = self._reported
        closed = {at for at in self.active if at < self.closed_before}
        news = closed - self._told if final_before == self.final_before else closed
        if not news and self._reported == (self.final_before, self.closed_before):
            return None
        self._reported = (self.final_before, self.closed_before)
        self.active = {at for at in self.active if at >= self.final_before}
        self._told = closed & self.active
        return tuple(sorted(news))

    def retire(self, symbol: str) -> bool:
        """Forget a symbol that has been quiet for so long that nothing of it can show any more."""
        if self.last_minutes[symbol] >= self.final_before - QUIET_MINUTES:
            return False
        del self.last_minutes[symbol]
        return True

    def _close(self, until_ns: int) -> None:
        self.closed_before = max(self.closed_before, until_ns // NS_PER_MINUTE)

    def _set_final_before(self, final_before: int) -> None:
        self.final_before = final_before
        self.closed_before = max(self.closed_before, final_before)
        horizon_minutes = self._limits.horizon_ns // NS_PER_MINUTE
        self.known_from = max(self.known_from, final_before - horizon_minutes)
        self.oldest_ns = self.known_from * NS_PER_MINUTE
        self.final_from_ns = final_before * NS_PER_MINUTE
        self.next_final_ns = self.final_from_ns + NS_PER_MINUTE + self._limits.lateness_ns
