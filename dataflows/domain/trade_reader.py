"""From the raw records of one partition to batches of trades by symbol: the first step of a flow.

It keeps what belongs to the partition and not to a symbol: the watermark of each exchange, the
minutes in which the exchange was alive, the symbols that it trades. That state is stored together
with the partition's offset, so that after a restart every decision falls as it did the first time.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

from dataflows.domain.minutes import MINUTE_NS, TradeBatch
from schemas.errors import DecodeError
from schemas.raw import RawMessage, RawRecords
from schemas.records import DeadLetter, Trade
from schemas.settings import Settings

STEP: Final = "trades"
STATE_VERSION: Final = 1
MS_NS: Final = 1_000_000

# A symbol without a trade for a day gets no more rows of zeros, and its state is given up.
RETIRED_AFTER_MINUTES: Final = 24 * 60

# How many problems of one record its dead letter names.
PROBLEMS_NAMED: Final = 5

NONE: Final[list[Trade]] = []

Item: TypeAlias = tuple[str, TradeBatch] | tuple[str, DeadLetter]
"""Trades by `<exchange>:<symbol>`, and dead letters by `<topic>/<partition>`."""
ClockState: TypeAlias = tuple[int, int, list[int], dict[str, int]]
ReaderState: TypeAlias = tuple[int, dict[str, ClockState]]


class ExchangeClock:
    """Event time of one exchange in one partition, and the trades collected since it last told.

    `final_before` counts minutes from the Unix epoch: those before it are final.
    """

    __slots__ = (
        "_active", "_exchange", "_last_minutes", "_lateness_ns", "_told_final_before",
        "final_before", "final_from_ns", "in_time", "items", "late", "minute_end_ns",
        "minute_start_ns", "newest_ns", "next_final_ns",
    )  # fmt: skip

    def __init__(self, exchange: str, lateness_ns: int, state: ClockState | None = None) -> None:
        self._exchange = exchange
        self._lateness_ns = lateness_ns
        self.newest_ns, self._told_final_before, active, last_minutes = state or (0, 0, [], {})
        self._active = set(active)
        self._last_minutes = dict(last_minutes)
        self.minute_start_ns = self.minute_end_ns = 0
        self.items: list[Item] = []
        self.in_time: dict[str, list[Trade]] = {}
        self.late: dict[str, list[Trade]] = {}
        self._set_final_before(self._told_final_before)

    def state(self) -> ClockState:
        """A copy to store, plain values only; to be taken between batches."""
        active, last_minutes = sorted(self._active), dict(self._last_minutes)
        return self.newest_ns, self.final_before, active, last_minutes

    def enter_minute(self, time_ns: int) -> None:
        """Notes that the exchange was alive in the minute of an in-time trade."""
        at = time_ns // MINUTE_NS
        self.minute_start_ns, self.minute_end_ns = at * MINUTE_NS, (at + 1) * MINUTE_NS
        self._active.add(at)

    def advance(self, watermark_ns: int) -> None:
        """Moves event time on: minutes that ended a lateness before it are final."""
        final_before = (watermark_ns - self._lateness_ns) // MINUTE_NS
        if final_before <= self.final_before:
            return
        self._set_final_before(final_before)
        oldest = final_before - RETIRED_AFTER_MINUTES
        if any(self._last_minute(symbol) < oldest for symbol in self._last_minutes):
            self._tell(oldest)

    def collect(self) -> list[Item]:
        """What has come since the last call, by symbol."""
        self._tell(self.final_before - RETIRED_AFTER_MINUTES)
        items, self.items = self.items, []
        return items

    def _set_final_before(self, final_before: int) -> None:
        self.final_before = final_before
        self.final_from_ns = final_before * MINUTE_NS
        self.next_final_ns = self.final_from_ns + MINUTE_NS + self._lateness_ns

    def _last_minute(self, symbol: str) -> int:
        trades = self.in_time.get(symbol)
        return trades[-1].time_ns // MINUTE_NS if trades else self._last_minutes[symbol]

    def _tell(self, oldest: int) -> None:
        """Makes an item of each symbol that has news: trades, or minutes that became final."""
        in_time, late = self.in_time, self.late
        for symbol in (*in_time, *late):
            self._last_minutes.setdefault(symbol, self.final_before)
        for symbol in in_time:
            self._last_minutes[symbol] = self._last_minute(symbol)
        has_final = self.final_before > self._told_final_before
        active: tuple[int, ...] = ()
        if has_final:
            active = tuple(sorted(at for at in self._active if at < self.final_before))
            self._active.difference_update(active)
            self._told_final_before = self.final_before
        for symbol in list(self._last_minutes) if has_final else {**in_time, **late}:
            retired = self._last_minutes[symbol] < oldest
            if retired:
                del self._last_minutes[symbol]
            key = f"{self._exchange}:{symbol}"
            trades, late_trades = in_time.get(symbol, NONE), late.get(symbol, NONE)
            batch = TradeBatch(key, trades, late_trades, self.final_before, active, retired)
            self.items.append((key, batch))
        self.in_time, self.late = {}, {}


class TradeReader:
    """Decodes one partition of a trade topic.

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
        limits = settings.taker_volume
        self._lateness_ns = limits.lateness_ms * MS_NS
        self._horizon_ns = limits.correction_horizon_ms * MS_NS // MINUTE_NS * MINUTE_NS
        self._future_ns = limits.future_limit_ms * MS_NS
        self._idle_close_ns = limits.idle_close_ms * MS_NS
        self._topic = topic
        self._partition = partition
        self._records = RawRecords(settings, region, partition)
        self._clocks = {
            exchange: ExchangeClock(exchange, self._lateness_ns, clock)
            for exchange, clock in (state[1] if state else {}).items()
        }
        self._latest_ns = 0
        self.counts: Counter[str] = Counter()
        """Trades, skipped, late and dead letters since the last time it was cleared."""

    def read(self, messages: Sequence[RawMessage], now_ns: int) -> list[Item]:
        """What a batch of records means for each symbol, and the records that mean nothing.

        Args:
            messages: In the order of the log.
            now_ns: The wall clock, against trades stamped in the future.
        """
        self._latest_ns = max(self._latest_ns, now_ns + self._future_ns)
        dead: list[Item] = []
        feed_of, take = self._records.feed, self._take
        for message in messages:
            try:
                feed, decoder = feed_of(message.key())
                trades = decoder.decode_trades(message.value() or b"", feed)
            except DecodeError as error:
                problems = self._read_envelope(message, error)
            else:
                problems = take(trades, feed.exchange) if trades else self._read_envelope(message)
            if problems:
                dead.append(self._dead_letter(message, problems))
        self.counts["dead_letters"] += len(dead)
        return [*self._collect(), *dead]

    def idle(self, silent_ns: int) -> list[Item]:
        """Moves event time on by the wall clock while a caught-up partition is silent.

        Without it, the last minute before a silence would stay an estimate for as long as the
        silence lasts. The first trade after it that is older than this is a revision.
        """
        if silent_ns < self._idle_close_ns:
            return []
        for clock in self._clocks.values():
            clock.advance(clock.newest_ns + silent_ns)
        return self._collect()

    def finish(self) -> list[Item]:
        """Makes every minute final: the input has an end, and this is it."""
        for clock in self._clocks.values():
            clock.advance(clock.newest_ns + MINUTE_NS + self._lateness_ns)
        return self._collect()

    def state(self) -> ReaderState:
        """A copy to store, plain values only."""
        return STATE_VERSION, {name: clock.state() for name, clock in self._clocks.items()}

    def _collect(self) -> list[Item]:
        return [item for clock in self._clocks.values() for item in clock.collect()]

    def _clock(self, exchange: str) -> ExchangeClock:
        clock = self._clocks.get(exchange)
        if clock is None:
            clock = self._clocks[exchange] = ExchangeClock(exchange, self._lateness_ns)
        return clock

    def _take(self, trades: list[Trade], exchange: str) -> list[str]:
        """Sorts trades into those in time and those late; what is wrong with the others."""
        problems: list[str] = []
        self.counts["trades"] += len(trades)
        clock = self._clocks.get(exchange) or self._clock(exchange)
        for trade in trades:
            time_ns = trade.time_ns
            if time_ns > clock.newest_ns:
                if time_ns > self._latest_ns:
                    problems.append(self._future(trade))
                    continue
                clock.newest_ns = time_ns
                if time_ns >= clock.next_final_ns:
                    clock.advance(time_ns)
            elif time_ns < clock.final_from_ns:
                if time_ns < clock.final_from_ns - self._horizon_ns:
                    problems.append(self._too_late(trade, clock))
                else:
                    clock.late.setdefault(trade.symbol, []).append(trade)
                    self.counts["late"] += 1
                continue
            if not clock.minute_start_ns <= time_ns < clock.minute_end_ns:
                clock.enter_minute(time_ns)
            group = clock.in_time.get(trade.symbol)
            if group is None:
                clock.in_time[trade.symbol] = [trade]
            else:
                group.append(trade)
        return problems

    def _future(self, trade: Trade) -> str:
        return (
            f"future: trade {trade.trade_id} of {trade.symbol} at {_utc(trade.time_ns)}, expected "
            f"at most {self._future_ns // MS_NS} ms after now"
        )

    def _too_late(self, trade: Trade, clock: ExchangeClock) -> str:
        return (
            f"late: trade {trade.trade_id} of {trade.symbol} at {_utc(trade.time_ns)}, expected "
            f"one since {_utc(clock.final_from_ns - self._horizon_ns)}, the correction horizon"
        )

    def _read_envelope(self, message: RawMessage, error: DecodeError | None = None) -> list[str]:
        """Reads the record as an envelope, after no exchange had a use for it as a frame."""
        try:
            envelope = self._records.unwrap(message.key(), message.value() or b"")
        except DecodeError as broken:
            return [str(broken)]
        if envelope is None:
            self.counts["skipped"] += error is None
            return [] if error is None else [str(error)]
        self.counts["skipped"] += envelope.skipped
        problems: list[str] = []
        for index, frame in enumerate(envelope.frames):
            try:
                trades = envelope.decoder.decode_trades(frame, envelope.feed)
            except DecodeError as inner:
                problems.append(f"data[{index}]: {inner}")
            else:
                self.counts["skipped"] += not trades
                problems += self._take(trades, envelope.feed.exchange)
        return problems

    def _dead_letter(self, message: RawMessage, problems: list[str]) -> Item:
        named = "; ".join(problems[:PROBLEMS_NAMED])
        more = len(problems) - PROBLEMS_NAMED
        letter = DeadLetter(
            topic=self._topic,
            partition=self._partition,
            offset=message.offset() or 0,
            key=message.key(),
            value=message.value(),
            headers=[*(message.headers() or ())],
            error=f"{named}; and {more} more" if more > 0 else named,
            step=STEP,
        )
        return f"{self._topic}/{self._partition}", letter


def _utc(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).isoformat()
