"""Records of `feed-status` as rows: what the collector said, at its place in the log."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeAlias

from dataflows.domain.partition import PartitionReader
from schemas.errors import DecodeError
from schemas.feed_status import FeedStatus, StoredFeedStatus, decode_feed_status
from schemas.raw import RawMessage
from schemas.records import DeadLetter
from schemas.settings import Settings
from schemas.times import NS_PER_MS, ns_of_ms

STEP: Final = "read_statuses"

Item: TypeAlias = tuple[str, list[StoredFeedStatus]] | tuple[str, DeadLetter]
"""Rows and dead letters by `<topic>/<partition>`."""


class StatusReader(PartitionReader[Item]):
    """Reads one partition of `feed-status`; it has no state.

    Args:
        settings: The exchanges that there are.
        topic: The topic.
        partition: The partition.
    """

    def __init__(self, settings: Settings, topic: str, partition: int) -> None:
        self._settings = settings
        self._topic = topic
        self._partition = partition
        self._newest_ns = 0
        self.counts: Counter[str] = Counter()
        """Dead letters since it was last cleared."""

    @property
    def newest_ns(self) -> int:
        """The newest time that a collector wrote, 0 for none."""
        return self._newest_ns

    def read(self, messages: Sequence[RawMessage], now_ns: int) -> list[Item]:
        """Return the rows of records, and those that are none."""
        del now_ns
        key = f"{self._topic}/{self._partition}"
        rows: list[StoredFeedStatus] = []
        letters: list[Item] = []
        for message in messages:
            try:
                status = decode_feed_status(message.value())
                self._check(status)
            except DecodeError as error:
                letters.append((key, self._dead_letter(message, str(error))))
                continue
            self._newest_ns = max(self._newest_ns, status.time_ms * NS_PER_MS)
            rows.append(
                StoredFeedStatus(status.exchange, self._partition, message.offset() or 0, status)
            )
        self.counts["dead_letters"] += len(letters)
        return [(key, rows), *letters] if rows else letters

    def idle(self, silent_ns: int) -> list[Item]:
        """Return nothing: rows do not depend on time."""
        del silent_ns
        return []

    def finish(self) -> list[Item]:
        """Return nothing: every record was a row at once."""
        return []

    def state(self) -> None:
        """Return nothing to store."""

    def _check(self, status: FeedStatus) -> None:
        """Refuse what the table cannot hold."""
        if status.exchange not in self._settings.exchanges:
            known = ", ".join(self._settings.exchanges)
            raise DecodeError(f"exchange {status.exchange[:40]!r}: expected one of {known}")
        for time_ms in (status.time_ms, status.last_good_ms, status.first_good_ms):
            if time_ms is not None:
                ns_of_ms(time_ms)
        texts = (status.kind, status.event, status.reason, *(status.symbols or ()))
        if any("\x00" in text for text in texts):
            raise DecodeError("a text has a NUL character, expected text that PostgreSQL can hold")

    def _dead_letter(self, message: RawMessage, problem: str) -> DeadLetter:
        return DeadLetter(
            topic=self._topic,
            partition=self._partition,
            offset=message.offset() or 0,
            key=message.key(),
            value=message.value(),
            headers=[*(message.headers() or ())],
            error=problem,
            step=STEP,
        )
