"""Answers as CSV, NDJSON, Parquet and Arrow: rows alone, as many as there are, streamed.

PostgreSQL writes CSV and JSON lines itself (`COPY`); Parquet and Arrow are made from its CSV in
two threads, with every decimal as exact as it came. Memory does not grow with the rows.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec
from queue import Full, Queue
from typing import Any, Final, LiteralString

import msgspec
import psycopg
from psycopg import AsyncClientCursor, errors, sql

from api.database import CONFIGURE, Database
from api.v1.plans import Plan
from api.v1.rows import kind_of
from schemas.errors import BusyError, UnavailableError

MAX_EXPORTS: Final = 2
EXPORT_S: Final = 120
"""How long an export may take: its snapshot holds vacuum back, and updates with it."""
CHUNK_BYTES: Final = 65_536
EXTRA: Final = "parquet"

_GROUP_ROWS: Final = 65_536
_WAITING_CHUNKS: Final = 8
_PUT_S: Final = 0.5
_END: Final = object()
_COPY_CSV: Final[LiteralString] = "COPY ({query}) TO STDOUT (FORMAT csv, HEADER)"
# As CSV with a quote that no JSON holds: the text format would double its backslashes.
_COPY_JSON: Final[LiteralString] = (
    "COPY (SELECT row_to_json(line) FROM ({query}) AS line) TO STDOUT "
    "(FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"
)


def can_make(format_: str) -> bool:
    """Tell whether a format needs nothing that is not installed."""
    return format_ not in {"parquet", "arrow"} or find_spec("pyarrow") is not None


class Exporter:
    """Runs a few exports at a time, each on a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._dsn = database.dsn
        self._running = 0

    async def open(self, plan: Plan) -> AsyncIterator[bytes]:
        """Start an export, and return its bytes; its first ones are there when it returns.

        Raises:
            BusyError: There are as many as there may be.
            UnavailableError: The database does not answer.
        """
        if self._running >= MAX_EXPORTS:
            raise BusyError(f"{MAX_EXPORTS} exports are running: try again later")
        chunks = self._chunks(plan)
        try:
            first = await anext(chunks, b"")
        except (errors.QueryCanceled, TimeoutError) as error:
            raise BusyError(f"the export took more than {EXPORT_S} s: ask for less") from error
        except psycopg.OperationalError as error:
            raise UnavailableError("the database cannot be reached") from error
        return _prefixed(first, chunks)

    async def _chunks(self, plan: Plan) -> AsyncIterator[bytes]:
        self._running += 1
        try:
            async with asyncio.timeout(EXPORT_S):
                lines = self._copied(plan, as_json=plan.question.format == "ndjson")
                if plan.question.format in {"parquet", "arrow"}:
                    lines = _converted(lines, plan)
                async for chunk in lines:
                    yield chunk
        finally:
            self._running -= 1

    async def _copied(self, plan: Plan, *, as_json: bool) -> AsyncIterator[bytes]:
        async with await psycopg.AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=2,
            fallback_application_name="marketflow-api-export",
            cursor_factory=AsyncClientCursor,
        ) as connection:
            await connection.execute(CONFIGURE, (str(EXPORT_S * 1_000),))
            cursor = AsyncClientCursor(connection)
            query = cursor.mogrify(_flat(plan) if not as_json else plan.statement, plan.parameters)
            template = _COPY_JSON if as_json else _COPY_CSV
            pending: list[bytes] = []
            size = 0
            async with cursor.copy(sql.SQL(template.replace("{query}", query))) as copy:  # noqa: RUF100  # S608 depends on the linter
                async for data in copy:
                    pending.append(bytes(data))
                    size += len(data)
                    if size >= CHUNK_BYTES:
                        yield b"".join(pending)
                        pending.clear()
                        size = 0
            yield b"".join(pending)


def _flat(plan: Plan) -> LiteralString:
    """Return the statement with lists as text: a cell holds one value."""
    shapes: dict[str, LiteralString] = {
        "list": 'array_to_string("{}", \' \') AS "{}"',
        "boolean": '"{}"::text AS "{}"',
    }
    names = [
        shapes.get(kind_of(field.type), '"{}"').replace("{}", field.encode_name)
        for field in msgspec.structs.fields(plan.row)
    ]
    return f"SELECT {', '.join(names)} FROM ({plan.statement}) AS flat"  # noqa: S608 - names of our own fields


async def _prefixed(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in rest:
        yield chunk


class _Outlet:
    """A file that hands what is written to it over to another thread, a few pieces ahead."""

    closed = False

    def __init__(self) -> None:
        self.chunks: Queue[Any] = Queue(_WAITING_CHUNKS)
        self.is_abandoned = threading.Event()
        self._pending: list[bytes] = []
        self._size = 0

    def write(self, data: Any) -> int:
        """Take bytes; wait while too many wait.

        Raises:
            BrokenPipeError: Nobody wants them any more.
        """
        self._pending.append(bytes(data))
        self._size += len(self._pending[-1])
        if self._size >= CHUNK_BYTES:
            self.flush_pending()
        return len(self._pending[-1]) if self._pending else len(bytes(data))

    def flush_pending(self) -> None:
        """Hand over what was collected."""
        if self._pending:
            self.put(b"".join(self._pending))
            self._pending.clear()
            self._size = 0

    def put(self, piece: object) -> None:
        """Hand over a piece, an error or the end."""
        while not self.is_abandoned.is_set():
            try:
                self.chunks.put(piece, timeout=_PUT_S)
            except Full:
                continue
            return
        raise BrokenPipeError

    def flush(self) -> None:
        """Do nothing: pieces leave when they are large enough."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


async def _converted(lines: AsyncIterator[bytes], plan: Plan) -> AsyncIterator[bytes]:
    """Return CSV as Parquet or Arrow: a pipe leads into a thread, a queue out of it."""
    outlet = _Outlet()
    source, sink = os.pipe()
    thread = threading.Thread(
        target=_convert, args=(source, outlet, plan), name="export", daemon=True
    )
    thread.start()
    feeding = asyncio.ensure_future(_feed(lines, sink))
    try:
        while (piece := await asyncio.to_thread(outlet.chunks.get)) is not _END:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
        await feeding
    finally:
        outlet.is_abandoned.set()
        feeding.cancel()


async def _feed(lines: AsyncIterator[bytes], sink: int) -> None:
    with os.fdopen(sink, "wb") as pipe:
        async for chunk in lines:
            await asyncio.to_thread(pipe.write, chunk)
        await asyncio.to_thread(pipe.flush)


def _convert(source: int, outlet: _Outlet, plan: Plan) -> None:
    try:
        with os.fdopen(source, "rb") as pipe:
            _write_table(pipe, outlet, plan)
        outlet.flush_pending()
        outlet.put(_END)
    except BrokenPipeError:
        pass
    except Exception as error:  # noqa: BLE001 - it is raised where the export is read
        outlet.put(error)


def _write_table(pipe: Any, outlet: _Outlet, plan: Plan) -> None:
    import pyarrow as pa  # noqa: PLC0415 - an extra
    from pyarrow import csv, parquet  # noqa: PLC0415 - an extra

    schema = _schema(plan)
    options = csv.ConvertOptions(
        column_types=schema, strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    reader = csv.open_csv(pipe, convert_options=options)
    if plan.question.format == "arrow":
        with pa.ipc.new_stream(outlet, schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
        return
    with parquet.ParquetWriter(outlet, schema, compression="zstd") as writer:
        waiting: list[Any] = []
        for batch in reader:
            waiting.append(batch)
            if sum(each.num_rows for each in waiting) >= _GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(waiting, schema))
                waiting.clear()
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema))


def _schema(plan: Plan) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    as_float = plan.question.numbers == "float"
    types: dict[str, Callable[[], Any]] = {
        # A value that does not fit is an error, never rounded.
        "number": pa.float64 if as_float else lambda: pa.decimal128(38, 18),
        "time": lambda: pa.timestamp("us", tz="UTC"),
        "integer": pa.int64,
        "boolean": pa.bool_,
    }
    return pa.schema(
        [
            (field.encode_name, types.get(kind_of(field.type), pa.string)())
            for field in msgspec.structs.fields(plan.row)
        ]
    )
