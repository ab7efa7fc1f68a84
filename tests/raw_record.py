"""As much of a Kafka message as a reader looks at."""

from collections.abc import Sequence


class RawRecord:
    """One record of a raw topic, without a broker."""

    def __init__(
        self,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        self._fields = offset, key, value, headers, timestamp_ms

    def offset(self) -> int:
        return self._fields[0]

    def key(self) -> bytes | None:
        return self._fields[1]

    def value(self) -> bytes | None:
        return self._fields[2]

    def headers(self) -> Sequence[tuple[str, bytes]] | None:
        return self._fields[3]

    def timestamp(self) -> tuple[int, int]:
        stamp_ms = self._fields[4]
        return (0, 0) if stamp_ms is None else (1, stamp_ms)
