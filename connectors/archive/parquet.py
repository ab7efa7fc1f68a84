"""Parquet files of the archive: an hour of records as typed columns, and back.

Needs pyarrow, which few processes need: it is imported where it is used.
"""

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas.archive import FIRST_GENERATION, ArchivedRecord
from schemas.errors import SettingsError
from schemas.processed import OrderbookRecord
from schemas.records import TakerVolume, Ticker, kinds_of

if TYPE_CHECKING:
    import pyarrow as pa
    from mypy_boto3_s3 import S3Client

MAX_DIGITS: Final = {"decimal128": 38, "decimal256": 76}

_decode: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)

_TEXTS: Final = ("region", "market", "coin_symbol", "symbol")
# Their times are one column, `time`; what is in no column is in the line.
_TIMES: Final = ("minute", "time_ns")
_RECORDS: Final[dict[str, type[msgspec.Struct]]] = {
    "ticker": Ticker,
    "orderbook": OrderbookRecord,
    "taker_volume": TakerVolume,
}


def _names(kind: str, held: type) -> list[str]:
    """Return the fields of a kind's records that hold numbers, counts or flags."""
    kinds = kinds_of(_RECORDS[kind])
    return [name for name, found in kinds.items() if found is held and name not in _TIMES]


def read_parquet(client: "S3Client", bucket: str, key: str) -> list[ArchivedRecord]:
    """Return the records of a Parquet file."""
    pq = import_parquet()
    body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    file = pq.ParquetFile(io.BytesIO(body))
    names = ["partition", "offset", "line"]
    # Files of earlier releases do not say: they have the first one only.
    has_generations = "generation" in file.schema_arrow.names
    table = file.read(columns=[*names, "generation"] if has_generations else names)
    columns = [table.column(name).to_pylist() for name in names]
    generations = (
        table.column("generation").to_pylist()
        if has_generations
        else [FIRST_GENERATION] * table.num_rows
    )
    return list(map(ArchivedRecord, generations, *columns))


def to_table(records: Sequence[ArchivedRecord], kind: str) -> "pa.Table":
    """Return columns of records, sorted by symbol and then as in the log."""
    import pyarrow as pa  # noqa: PLC0415  # few processes need it, and it is slow to import

    rows = [(_fields(record.line, kind), record) for record in records]
    rows.sort(key=lambda row: (str(row[0].get("symbol") or ""), row[1]))
    fields = [row[0] for row in rows]
    columns: dict[str, Any] = {
        "generation": pa.array([record.generation for _, record in rows], pa.int32()),
        "partition": pa.array([record.partition for _, record in rows], pa.int32()),
        "offset": pa.array([record.offset for _, record in rows], pa.int64()),
        "time": pa.array([_time(f) for f in fields], pa.timestamp("us", tz="UTC")),
    }
    for name in _TEXTS:
        columns[name] = pa.array([_of_type(f.get(name), str) for f in fields], pa.string())
    for name in _names(kind, Decimal):
        columns[name] = _decimals([_decimal(f.get(name)) for f in fields])
    for name in _names(kind, int):
        columns[name] = pa.array([_of_type(f.get(name), int) for f in fields], pa.int64())
    for name in _names(kind, bool):
        columns[name] = pa.array([_of_type(f.get(name), bool) for f in fields], pa.bool_())
    columns["line"] = pa.array([record.line for _, record in rows], pa.binary())
    return pa.table(columns)


def write_parquet(client: "S3Client", bucket: str, key: str, table: "pa.Table") -> None:
    """Store a table as a Parquet file."""
    pq = import_parquet()
    body = io.BytesIO()
    pq.write_table(table, body, compression="zstd")
    client.put_object(
        Bucket=bucket,
        Key=key,
        Body=body.getvalue(),
        Metadata={"count": str(table.num_rows)},
        ContentType="application/vnd.apache.parquet",
    )


def import_parquet() -> Any:
    """Return `pyarrow.parquet`.

    Raises:
        SettingsError: It is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: PLC0415  # few processes need it, and it is slow to import
    except ModuleNotFoundError:
        raise SettingsError(
            "Parquet files need pyarrow, which is not installed: pip install 'marketflow[parquet]'"
        ) from None
    return pyarrow.parquet


def _fields(line: bytes, kind: str) -> dict[str, Any]:
    try:
        fields = _decode.decode(line)
        return {**fields, **fields["data"][0]} if kind == "ticker" else fields
    except (msgspec.MsgspecError, UnicodeError, LookupError, TypeError):
        return {}  # it stays in the line


def _time(fields: dict[str, Any]) -> datetime | None:
    value = fields.get("minute", fields.get("timestamp"))
    try:
        if isinstance(value, str):
            return datetime.fromisoformat(value).astimezone(UTC)
        if value is None:
            return None
        unit = 1_000_000 if "minute" in fields else 1_000
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(value * unit))
    except (ValueError, OverflowError, TypeError):
        return None


def _of_type(value: Any, wanted: type) -> Any:
    if wanted is int and (isinstance(value, bool) or not -(2**63) <= (value or 0) < 2**63):
        return None
    return value if isinstance(value, wanted) else None


def _decimal(value: Any) -> Decimal | None:
    if not isinstance(value, str | int | Decimal) or isinstance(value, bool):
        return None
    try:
        number = Decimal(value)
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


def _decimals(values: Sequence[Decimal | None]) -> "pa.Array":
    """Return an array of the narrowest decimal type that holds all of them exactly."""
    import pyarrow as pa  # noqa: PLC0415  # few processes need it, and it is slow to import

    scale = whole = 0
    for value in values:
        if value is not None:
            _, digits, exponent = value.as_tuple()
            scale = max(scale, -int(exponent))
            whole = max(whole, len(digits) + int(exponent))
    for name, most in MAX_DIGITS.items():
        if scale + whole <= most:
            return pa.array(values, getattr(pa, name)(most, scale))
    # Longer than any decimal type of Parquet: as text it is exact, and still readable.
    return pa.array([None if value is None else format(value, "f") for value in values])
