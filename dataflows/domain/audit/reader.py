"""From the records of one partition to what the audit compares: final rows, and closed klines."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from dataflows.domain.frames import Decode, FrameReader
from dataflows.domain.partition import PartitionReader
from schemas.errors import DecodeError
from schemas.exchanges import ExchangeDecoder
from schemas.klines import Kline
from schemas.processed import decode_taker_volume
from schemas.raw import RawMessage, logged_at_ns
from schemas.records import DeadLetter, TakerVolume
from schemas.settings import Settings
from schemas.times import NS_PER_SECOND

MINUTE_S = 60


class AuditBatch(msgspec.Struct, frozen=True, gc=False):
    """What one batch of a partition brings for one symbol."""

    key: str
    """`<exchange>:<symbol>`"""
    rows: list[TakerVolume]
    klines: list[Kline]


Item: TypeAlias = tuple[str, AuditBatch] | tuple[str, DeadLetter]
"""Batches by `<exchange>:<symbol>`, and dead letters by `<topic>/<partition>`."""


class KlineReader(PartitionReader[Item]):
    """Reads one partition of a topic of klines.

    Args:
        settings: Exchanges, markets and owners.
        region: The region of the topic.
        topic: For dead letters.
        partition: For dead letters, and for the owner of records that name none.
    """

    def __init__(self, settings: Settings, region: str, topic: str, partition: int) -> None:
        self._frames: FrameReader[Kline] = FrameReader(
            settings, region, topic, partition, _decode_klines
        )
        self.newest_ns = 0
        """The newest minute that was read."""

    @property
    def counts(self) -> Counter[str]:
        """Klines, skipped frames and dead letters since it was last cleared."""
        return self._frames.counts

    def read(self, messages: Sequence[RawMessage], now_ns: int) -> list[Item]:
        """Return the closed klines of each symbol, and the records without any."""
        batch = self._frames.read(messages)
        found: defaultdict[str, list[Kline]] = defaultdict(list)
        for exchange, frames in batch.frames.items():
            for message, klines in frames:
                logged_s = logged_at_ns(message, now_ns) // NS_PER_SECOND
                for kline in klines:
                    self.newest_ns = max(self.newest_ns, kline.minute_s * NS_PER_SECOND)
                    # A poll may have met a minute that was still running.
                    if kline.is_closed and kline.minute_s + MINUTE_S <= logged_s:
                        found[f"{exchange}:{kline.symbol}"].append(kline)
        self.counts["klines"] += sum(map(len, found.values()))
        items: list[Item] = [(key, AuditBatch(key, [], klines)) for key, klines in found.items()]
        return [*items, *self._frames.dead_letters(batch)]

    def idle(self, silent_ns: int) -> list[Item]:
        """Return nothing: time passes with the data."""
        del silent_ns
        return []

    def finish(self) -> list[Item]:
        """Return nothing: what waits for its other side goes on waiting."""
        return []

    def state(self) -> None:
        """Return nothing: the offset says where to go on."""


class RowReader(PartitionReader[Item]):
    """Reads one partition of a topic of processed taker volumes.

    Args:
        settings: Names of markets.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.counts: Counter[str] = Counter()
        """Rows and skipped records since it was last cleared."""
        self.newest_ns = 0
        """The newest minute that was read."""

    def read(self, messages: Sequence[RawMessage], now_ns: int) -> list[Item]:
        """Return the final states of each symbol's minutes; estimates are not judged."""
        del now_ns
        found: defaultdict[str, list[TakerVolume]] = defaultdict(list)
        for message in messages:
            try:
                row = decode_taker_volume(message.value() or b"", self._settings)
            except DecodeError:
                # Our own topic, which the archive keeps whole: a foreign record there is no minute.
                self.counts["skipped"] += 1
                continue
            self.newest_ns = max(self.newest_ns, row.minute * NS_PER_SECOND)
            if row.is_final:
                found[f"{row.exchange}:{row.symbol}"].append(row)
        self.counts["rows"] += sum(map(len, found.values()))
        return [(key, AuditBatch(key, rows, [])) for key, rows in found.items()]

    def idle(self, silent_ns: int) -> list[Item]:
        """Return nothing: time passes with the data."""
        del silent_ns
        return []

    def finish(self) -> list[Item]:
        """Return nothing: what waits for its other side goes on waiting."""
        return []

    def state(self) -> None:
        """Return nothing: the offset says where to go on."""


def _decode_klines(decoder: ExchangeDecoder) -> Decode[Kline]:
    return decoder.decode_klines
