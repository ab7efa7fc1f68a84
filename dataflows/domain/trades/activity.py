"""When an exchange traded in its other partitions: what makes a silent minute a row of zeros.

An exchange may own several partitions, which several readers read, also in other processes. Each
of them reads the others' logs along, for nothing but their times. So the rows follow from the
logs alone, and no reader waits for another one.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from dataflows.domain.event_time import QUIET_MINUTES, EventTime, EventTimeState, Limits
from dataflows.domain.frames import Decode, FrameReader
from schemas.exchanges import ExchangeDecoder
from schemas.raw import RawMessage, logged_at_ns
from schemas.records import Trade
from schemas.settings import Settings
from schemas.times import NS_PER_MINUTE

# Of so many records the first and the last are decoded; those between them only if they differ.
CHUNK: Final = 500


class OtherPartition:
    """The times of one exchange in a partition that another reader reads.

    Args:
        settings: Exchanges, markets and owners.
        region: The region of the topic.
        topic: The topic.
        partition: The partition.
        exchange: Whose times.
        limits: How late is late, and from the future.
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(
        self,
        settings: Settings,
        region: str,
        topic: str,
        partition: int,
        exchange: str,
        limits: Limits,
        state: EventTimeState | None = None,
    ) -> None:
        self.time = EventTime(limits, state)
        self._limits = limits
        self.exchange = exchange
        self._frames: FrameReader[Trade] = FrameReader(
            settings, region, topic, partition, _decode_trades
        )

    def read(self, messages: Sequence[RawMessage], now_ns: int) -> set[int]:
        """Return the minutes that have become active with these records."""
        known = set(self.time.active)
        for start in range(0, len(messages), CHUNK):
            chunk = messages[start : start + CHUNK]
            if not self._skip_fast(chunk, now_ns):
                self._take(chunk, now_ns)
        oldest = self.time.final_before - QUIET_MINUTES
        new = self.time.active - known
        self.time.active = {at for at in self.time.active if at >= oldest}
        return new

    def state(self) -> EventTimeState:
        """Return a copy to store, plain values only."""
        return self.time.state()

    def _skip_fast(self, messages: Sequence[RawMessage], now_ns: int) -> bool:
        """Take only the first and the last record, if those between them can add nothing.

        A busy partition costs a hundredth of its decoding so. What is skipped is of the same
        minute, or within the lateness of it: both that minute and the one before are active.
        """
        ends = [messages[0], messages[-1]]
        times_ns = [time_ns for time_ns, _ in self._times(ends, now_ns)]
        if not times_ns:
            return False
        first, last = min(times_ns) // NS_PER_MINUTE, max(times_ns) // NS_PER_MINUTE
        if first != last or not {first, first - 1} <= self.time.active:
            return False
        self._take(ends, now_ns)
        return True

    def _take(self, messages: Sequence[RawMessage], now_ns: int) -> None:
        time = self.time
        for time_ns, logged_ns in self._times(messages, now_ns):
            if time_ns < time.final_from_ns or time_ns > logged_ns + self._limits.future_ns:
                continue
            if time_ns > time.newest_ns:
                time.newest_ns = time_ns
                time.advance(time_ns)
            time.active.add(time_ns // NS_PER_MINUTE)

    def _times(self, messages: Sequence[RawMessage], now_ns: int) -> Iterable[tuple[int, int]]:
        frames = self._frames.read(messages).frames[self.exchange]
        self._frames.counts.clear()  # the partition's own reader counts them
        return [
            (trade.time_ns, logged_at_ns(message, now_ns))
            for message, trades in frames
            for trade in trades
        ]


def _decode_trades(decoder: ExchangeDecoder) -> Decode[Trade]:
    return decoder.decode_trades
