"""The sink of every dataflow for PostgreSQL: an epoch is done when its rows are committed."""

from threading import Lock
from typing import Generic

from bytewax.outputs import StatefulSinkPartition
from typing_extensions import override

from connectors.postgres.tables import R, Table
from connectors.postgres.writer import TableWriter
from connectors.process.metrics import FLUSH_SECONDS
from connectors.sinks import LaneSink
from schemas.settings import PostgresSettings


class PostgresSink(LaneSink[list[R], None], Generic[R]):
    """A table that takes `(key, rows)`; the lanes of a process share one writer.

    The writer starts with the first lane that is built and ends with the last one that is
    closed. Delivery is at least once; the table keeps the newest state of a key, so the
    effect is exactly once.
    """

    def __init__(self, dsn: str, settings: PostgresSettings, table: Table[R]) -> None:
        self._dsn = dsn
        self._settings = settings
        self._table = table
        self._lock = Lock()
        self._writer: TableWriter[R] | None = None
        self._lanes_open = 0

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_Lane[R]":
        del step_id, for_part, resume_state
        with self._lock:
            if self._writer is None:
                self._writer = TableWriter(self._dsn, self._settings, self._table)
            self._lanes_open += 1
            return _Lane(self, self._writer, self._settings.flush_timeout_ms / 1_000)

    def release(self) -> None:
        """Give a lane back; the last one ends the writer."""
        with self._lock:
            self._lanes_open -= 1
            if self._lanes_open == 0 and self._writer is not None:
                self._writer.close()
                self._writer = None


class _Lane(StatefulSinkPartition[list[R], None], Generic[R]):
    def __init__(
        self, sink: PostgresSink[R], writer: TableWriter[R], timeout_seconds: float
    ) -> None:
        self._sink = sink
        self._writer = writer
        self._timeout_seconds = timeout_seconds

    def write_batch(self, values: list[list[R]]) -> None:
        for rows in values:
            self._writer.put(rows)

    def snapshot(self) -> None:
        # An exception here keeps the epoch open: it is replayed from the last durable one.
        with FLUSH_SECONDS.labels("postgres").time():
            self._writer.flush(self._timeout_seconds)

    def close(self) -> None:
        self._sink.release()
