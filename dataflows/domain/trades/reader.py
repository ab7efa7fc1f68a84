"""From the raw records of one partition to batches of trades by symbol: the first step of a flow.

It keeps what belongs to the partition and not to a symbol: the clocks of its exchanges.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final, TypeAlias

from dataflows.domain.event_time import ClockState, ExchangeClock, Limits
from dataflows.domain.frames import Batch, Decode, DecodeRun, FrameReader, Run
from dataflows.domain.trades.minutes import MINUTE_NS, TradeBatch
from schemas.exchanges import ExchangeDecoder
from schemas.raw import RawMessage, first_logged_ns, logged_at_ns
from schemas.records import DeadLetter, Trade
from schemas.settings import Settings
from schemas.times import NS_PER_MS

STATE_VERSION: Final = 1

# Records are decoded and sorted a few at a time, while they are in the processor's cache.
CHUNK: Final = 1_000

Item: TypeAlias = tuple[str, TradeBatch] | tuple[str, DeadLetter]
"""Trades by `<exchange>:<symbol>`, and dead letters by `<topic>/<partition>`."""
ReaderState: TypeAlias = tuple[int, dict[str, ClockState]]


class TradeReader:
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
        state: ReaderState | None = None,
    ) -> None:
        times = settings.taker_volume
        self._limits = Limits(
            lateness_ns=times.lateness_ms * NS_PER_MS,
            horizon_ns=times.correction_horizon_ms * NS_PER_MS // MINUTE_NS * MINUTE_NS,
            future_ns=times.future_limit_ms * NS_PER_MS,
        )
        self._idle_close_ns = times.idle_close_ms * NS_PER_MS
        self._frames: FrameReader[Trade] = FrameReader(
            settings, region, topic, partition, _decode_trades, _decode_trade_run
        )
        self._clocks = {
            exchange: ExchangeClock(exchange, self._limits, clock)
            for exchange, clock in (state[1] if state else {}).items()
        }

    @property
    def counts(self) -> Counter[str]:
        """Trades, skipped frames and dead letters since it was last cleared."""
        return self._frames.counts

    @property
    def newest_ns(self) -> int:
        """The newest time of an exchange that it has read, 0 for none."""
        return max((clock.newest_ns for clock in self._clocks.values()), default=0)

    def read(self, messages: Sequence[RawMessage], now_ns: int) -> list[Item]:
        """What a batch of records means for each symbol, and the records that mean nothing.

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
                for message, problem in self._clock(exchange).take(frames, logged_at):
                    batch.refuse(message, problem)
            letters += self._frames.dead_letters(batch)
        return [*self._collect(), *letters]

    def idle(self, silent_ns: int) -> list[Item]:
        """Moves event time on by the wall clock while a caught-up partition is silent.

        Without it, the last minute before a silence would stay an estimate for as long as the
        silence lasts. A trade that comes after it and belongs before it is a revision.
        """
        if silent_ns < self._idle_close_ns:
            return []
        for clock in self._clocks.values():
            clock.pass_time(silent_ns)
        return self._collect()

    def finish(self) -> list[Item]:
        """Makes every minute final: the input has an end, and this is it."""
        for clock in self._clocks.values():
            clock.finish()
        return self._collect()

    def state(self) -> ReaderState:
        """A copy to store, plain values only."""
        return STATE_VERSION, {name: clock.state() for name, clock in self._clocks.items()}

    def _take_run(self, batch: Batch[Trade], run: Run[Trade], now_ns: int) -> None:
        clock = self._clock(run.exchange)
        if clock.take_all(run.records, first_logged_ns(run.messages, now_ns)):
            return
        for message, problem in clock.take(
            zip(run.messages, zip(run.records), strict=True), partial(logged_at_ns, now_ns=now_ns)
        ):
            batch.refuse(message, problem)

    def _clock(self, exchange: str) -> ExchangeClock:
        clock = self._clocks.get(exchange)
        if clock is None:
            clock = self._clocks[exchange] = ExchangeClock(exchange, self._limits)
        return clock

    def _collect(self) -> list[Item]:
        batches = [batch for clock in self._clocks.values() for batch in clock.collect()]
        self.counts["trades"] += sum([len(trades) for b in batches for _, trades in b.runs])
        self.counts["late"] += sum([len(batch.late) for batch in batches])
        return [(batch.key, batch) for batch in batches]


def _decode_trades(decoder: ExchangeDecoder) -> Decode[Trade]:
    return decoder.decode_trades


def _decode_trade_run(decoder: ExchangeDecoder) -> DecodeRun[Trade] | None:
    return decoder.decode_trade_run
