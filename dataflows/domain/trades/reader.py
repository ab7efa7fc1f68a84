"""From the raw records of one partition to batches of trades by symbol: the first step of a flow.

It keeps what belongs to the partition and not to a symbol: the event time of its exchanges, and
what the collector said of their feeds.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from dataflows.domain.coverage import Coverage, CoverageState
from dataflows.domain.event_time import EventTime, EventTimeState, Limits
from dataflows.domain.frames import Batch, Decode, DecodeRun, FrameReader, Run
from dataflows.domain.partition import PartitionReader
from dataflows.domain.states import checked
from dataflows.domain.trades.activity import OtherPartition
from dataflows.domain.trades.minutes import TradeBatch
from dataflows.domain.trades.sorter import TradeSorter
from schemas.errors import DecodeError
from schemas.exchanges import ExchangeDecoder
from schemas.feed_status import FeedStatus, decode_feed_status
from schemas.raw import RawMessage, first_logged_ns, logged_at_ns
from schemas.records import DeadLetter, Trade
from schemas.settings import Settings
from schemas.times import NS_PER_MINUTE, NS_PER_MS

STATE_VERSION: Final = 2
KIND: Final = "trade"

# Of one exchange in one partition: ten times the largest that there is. A symbol costs a kilobyte.
MAX_SYMBOLS: Final = 50_000

# Records are decoded and sorted a few at a time, while they are in the processor's cache.
CHUNK: Final = 1_000

Item: TypeAlias = tuple[str, TradeBatch] | tuple[str, DeadLetter]
"""Trades by `<exchange>:<symbol>`, and dead letters by `<topic>/<partition>`."""
ReaderState: TypeAlias = tuple[
    int, dict[str, EventTimeState], dict[str, CoverageState], bool, dict[int, EventTimeState]
]

_Upgraded: TypeAlias = tuple[
    dict[str, EventTime], dict[str, CoverageState], bool, dict[int, EventTimeState]
]


class TradeReader(PartitionReader[Item]):
    """Reads one partition of a trade topic.

    Args:
        settings: Lateness, horizons, owners.
        region: The region of the topic.
        topic: For dead letters.
        partition: For dead letters, and for the owner of records that name none.
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(
        self,
        settings: Settings,
        region: str,
        topic: str,
        partition: int,
        state: Any = None,
    ) -> None:
        times = settings.taker_volume
        self._settings = settings
        self._topic = topic
        self._partition = partition
        self._limits = Limits(
            lateness_ns=times.lateness_ms * NS_PER_MS,
            horizon_ns=times.correction_horizon_ms * NS_PER_MS // NS_PER_MINUTE * NS_PER_MINUTE,
            future_ns=times.future_limit_ms * NS_PER_MS,
        )
        self._idle_close_ns = times.idle_close_ms * NS_PER_MS
        self._frames: FrameReader[Trade] = FrameReader(
            settings, region, topic, partition, _decode_trades, _decode_trade_run
        )
        event_times, coverages, self._has_loss, others = self._upgraded(state)
        self._coverages = {
            exchange: Coverage(coverages.get(exchange, ({}, {})))
            for exchange, known in settings.exchanges.items()
            if known.region == region
        }
        self._others = {
            other: OtherPartition(
                settings, region, topic, other, exchange, self._limits, others.get(other)
            )
            for exchange, other in settings.other_partitions(region, partition)
        }
        self._sorters: dict[str, TradeSorter] = {}
        for exchange, time in event_times.items():
            self._add_sorter(exchange, time)

    @property
    def counts(self) -> Counter[str]:
        """Trades, skipped frames and dead letters since it was last cleared."""
        return self._frames.counts

    @property
    def newest_ns(self) -> int:
        """The newest time of an exchange that it has read, 0 for none."""
        return max((sorter.time.newest_ns for sorter in self._sorters.values()), default=0)

    def read(self, messages: Sequence[RawMessage], now_ns: int) -> list[Item]:
        """Return what records mean for each symbol, and the records that mean nothing.

        Args:
            messages: In the order of the log.
            now_ns: The wall clock, for records that Kafka has not stamped.
        """
        letters: list[Item] = []
        logged_at = partial(logged_at_ns, now_ns=now_ns)
        for start in range(0, len(messages), CHUNK):
            batch = self._frames.read(messages[start : start + CHUNK])
            if batch.run is not None:
                self._take_run(batch, batch.run, now_ns)
            for exchange, frames in batch.frames.items():
                self._take_frames(batch, exchange, frames, logged_at)
            letters += self._frames.dead_letters(batch)
        return [*self._collect(), *letters]

    def note(
        self, topic: str, partition: int, messages: Sequence[RawMessage], now_ns: int
    ) -> list[Item]:
        """Note records of `feed-status`, or of another partition of the same exchange."""
        other = self._others.get(partition) if topic == self._topic else None
        if other is not None:
            self._sorter(other.exchange).note_active(other.read(messages, now_ns))
            return self._collect()
        for message in messages:
            try:
                status = decode_feed_status(message.value())
            except DecodeError:
                # The step that stores these records makes the dead letter.
                self.counts["statuses_not_understood"] += 1
                continue
            self._note(status)
        return self._collect()

    def lose(self) -> None:
        """Note that records before the next one are gone unread."""
        self._has_loss = self._has_loss or not self._sorters
        for sorter in self._sorters.values():
            sorter.time.lose()

    def idle(self, silent_ns: int) -> list[Item]:
        """Close minutes by the wall clock while a caught-up partition is silent.

        Without it, the last minute before a silence would stay an estimate for as long as the
        silence lasts.
        """
        for other in self._others.values():
            self._sorter(other.exchange).time.follow(other.time)
        if silent_ns >= self._idle_close_ns:
            for sorter in self._sorters.values():
                sorter.time.pass_silence(silent_ns)
        return self._collect()

    def finish(self) -> list[Item]:
        """Close every minute: the input has an end, and this is it."""
        for exchange, sorter in self._sorters.items():
            others = [o for o in self._others.values() if o.exchange == exchange]
            sorter.time.finish(max((other.time.newest_ns for other in others), default=0))
        return self._collect()

    def state(self) -> ReaderState:
        """Return a copy to store, plain values only."""
        return (
            STATE_VERSION,
            {exchange: sorter.time.state() for exchange, sorter in self._sorters.items()},
            {
                exchange: coverage.state()
                for exchange, coverage in self._coverages.items()
                if coverage.is_known
            },
            self._has_loss,
            {partition: other.state() for partition, other in self._others.items()},
        )

    def _note(self, status: FeedStatus) -> None:
        coverage = self._coverages.get(status.exchange)
        if coverage is None or status.kind != KIND:
            return
        coverage.apply(status)
        if status.exchange in self._sorters or self._owns(status.exchange):
            self._sorter(status.exchange).note(status)

    def _upgraded(self, state: Any) -> _Upgraded:
        if state is None:
            return {}, {}, False, {}
        if checked("a reader of trades", state, STATE_VERSION) == 1:
            first = {
                exchange: EventTime.with_one_mark(self._limits, time)
                for exchange, time in state[1].items()
            }
            return first, {}, False, {}
        _, event_times, coverages, has_loss, others = state
        times = {exchange: EventTime(self._limits, time) for exchange, time in event_times.items()}
        return times, coverages, has_loss, others

    def _take_run(self, batch: Batch[Trade], run: Run[Trade], now_ns: int) -> None:
        sorter = self._sorter(run.exchange)
        if len(sorter.time.last_minutes) < MAX_SYMBOLS and sorter.take_run(
            run.records, first_logged_ns(run.messages, now_ns)
        ):
            return
        self._take_frames(batch, run.exchange, run.frames(), partial(logged_at_ns, now_ns=now_ns))

    def _take_frames(
        self,
        batch: Batch[Trade],
        exchange: str,
        frames: Iterable[tuple[RawMessage, Sequence[Trade]]],
        logged_at: Callable[[RawMessage], int],
    ) -> None:
        sorter = self._sorter(exchange)
        if len(sorter.time.last_minutes) >= MAX_SYMBOLS:
            frames = list(self._of_known_symbols(batch, sorter, frames))
        for message, problem in sorter.take_frames(frames, logged_at):
            batch.refuse(message, problem)

    def _of_known_symbols(
        self,
        batch: Batch[Trade],
        sorter: TradeSorter,
        frames: Iterable[tuple[RawMessage, Sequence[Trade]]],
    ) -> Iterable[tuple[RawMessage, Sequence[Trade]]]:
        known = sorter.time.last_minutes
        for message, trades in frames:
            for symbol in {trade.symbol for trade in trades} - known.keys():
                batch.refuse(
                    message,
                    f"symbol {symbol}: expected one of the {len(known)} that are known, since no "
                    f"more than {MAX_SYMBOLS} of an exchange are kept",
                )
            yield message, [trade for trade in trades if trade.symbol in known]

    def _sorter(self, exchange: str) -> TradeSorter:
        sorter = self._sorters.get(exchange)
        if sorter is None:
            time = EventTime(self._limits)
            if self._has_loss:
                time.lose()
            sorter = self._add_sorter(exchange, time)
        return sorter

    def _add_sorter(self, exchange: str, time: EventTime) -> TradeSorter:
        # A key may name an exchange of another region.
        coverage = self._coverages.setdefault(exchange, Coverage())
        sorter = self._sorters[exchange] = TradeSorter(
            exchange,
            self._partition,
            self._limits,
            time,
            coverage,
            adopts=self._settings.exchanges[exchange].partitions[0] == self._partition,
        )
        return sorter

    def _owns(self, exchange: str) -> bool:
        return self._partition in self._settings.exchanges[exchange].partitions

    def _collect(self) -> list[Item]:
        batches = [
            batch
            for sorter in self._sorters.values()
            for batch in sorter.collect(is_live=self.is_live)
        ]
        self.counts["trades"] += sum([len(trades) for b in batches for _, trades in b.runs])
        self.counts["late"] += sum([len(batch.late) for batch in batches])
        return [(batch.key, batch) for batch in batches]


def _decode_trades(decoder: ExchangeDecoder) -> Decode[Trade]:
    return decoder.decode_trades


def _decode_trade_run(decoder: ExchangeDecoder) -> DecodeRun[Trade] | None:
    return decoder.decode_trade_run
