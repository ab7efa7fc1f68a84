"""From the raw records of one partition to ticker updates by symbol."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TypeAlias

from dataflows.domain.frames import Decode, FrameReader, with_times
from dataflows.domain.partition import PartitionReader
from dataflows.domain.tickers.ticker import StampedUpdate, TickerBatch
from schemas.exchanges import ExchangeDecoder
from schemas.raw import RawMessage, first_logged_ns
from schemas.records import DeadLetter, TickerUpdate
from schemas.settings import Settings
from schemas.times import NS_PER_MS

Item: TypeAlias = tuple[str, TickerBatch] | tuple[str, DeadLetter]
"""Updates by `<exchange>:<symbol>`, and dead letters by `<topic>/<partition>`."""


class TickerReader(PartitionReader[Item]):
    """The reader of one partition of a ticker topic; all state is with the symbols.

    Args:
        settings: Exchanges, markets and owners.
        region: The region of the topic.
        topic: For dead letters.
        partition: For dead letters, and for the owner of records that name none.
        state: Nothing: the offset says where to go on.
    """

    def __init__(
        self, settings: Settings, region: str, topic: str, partition: int, state: None = None
    ) -> None:
        del state
        self._future_ns = settings.taker_volume.future_limit_ms * NS_PER_MS
        self._newest_ns = 0
        self._frames: FrameReader[TickerUpdate] = FrameReader(
            settings, region, topic, partition, _decode_tickers
        )

    @property
    def counts(self) -> Counter[str]:
        """Tickers, skipped frames and dead letters since it was last cleared."""
        return self._frames.counts

    @property
    def newest_ns(self) -> int:
        """The newest time of an exchange that it has read, 0 for none."""
        return self._newest_ns

    def read(self, messages: Sequence[RawMessage], now_ns: int) -> list[Item]:
        """Return the updates of each symbol in the order of the log, and the dead letters.

        Args:
            messages: In the order of the log.
            now_ns: The wall clock, for records that Kafka has not stamped.
        """
        batch = self._frames.read(messages)
        first_ns = first_logged_ns(messages, now_ns)
        items: list[Item] = []
        for exchange in batch.frames:
            updates: defaultdict[str, list[StampedUpdate]] = defaultdict(list)
            timed = with_times(batch, exchange, "ticker", first_ns, now_ns, self._future_ns)
            for _, update, time_ns in timed:
                self._newest_ns = max(self._newest_ns, time_ns)
                updates[update.symbol].append(StampedUpdate(time_ns, update))
            self.counts["tickers"] += sum(map(len, updates.values()))
            for symbol, stamped in updates.items():
                key = f"{exchange}:{symbol}"
                items.append((key, TickerBatch(key, stamped)))
        return [*items, *self._frames.dead_letters(batch)]

    def idle(self, silent_ns: int) -> list[Item]:
        """Return nothing: tickers do not depend on time."""
        del silent_ns
        return []

    def finish(self) -> list[Item]:
        """Return nothing: tickers do not depend on an end."""
        return []

    def state(self) -> None:
        """Return nothing: the offset says where to go on."""


def _decode_tickers(decoder: ExchangeDecoder) -> Decode[TickerUpdate]:
    return decoder.decode_tickers
