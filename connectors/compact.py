"""`marketflow compact`: an hour's small objects become one sorted Parquet file next to them.

The file has a column for each field of the records, decimals as decimals, and the line itself,
from which the record can be put back byte for byte (`marketflow replay --from s3`). The small
objects go only after the file was read back and holds each of their records.
"""

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from connectors.archive_files import ArchivedRecord, Hour, hours, read_objects
from connectors.clock import now_ns
from connectors.environment import Environment, load_settings
from connectors.s3 import make_client
from schemas.errors import SettingsError, UndeliveredError
from schemas.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from mypy_boto3_s3 import S3Client

SMALL: Final = ".jsonl.gz"
PARQUET: Final = ".parquet"

# Younger hours may still get records: late ones, or those of an archive that is behind.
QUIET_HOURS: Final = 2
MOST_DIGITS: Final = {"decimal128": 38, "decimal256": 76}
S3_DELETES: Final = 1_000

_decode: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)

# Fields of the records by what they are; all others stay in the line.
_TEXTS: Final = ("region", "market", "coin_symbol", "symbol")
_NUMBERS: Final[dict[str, tuple[str, ...]]] = {
    "ticker": (
        "opening_price",
        "trade_price",
        "max_price",
        "min_price",
        "prev_closing_price",
        "acc_trade_volume_24h",
        "signed_change_price",
        "signed_change_rate",
    ),
    "orderbook": (
        "highest_bid",
        "lowest_ask",
        "spread",
        "total_bid_volume",
        "total_ask_volume",
    ),
    "taker_volume": (
        "taker_buy_volume",
        "taker_sell_volume",
        "taker_buy_notional",
        "taker_sell_notional",
        "open",
        "high",
        "low",
        "close",
        "vwap",
    ),
}
_COUNTS: Final[dict[str, tuple[str, ...]]] = {
    "ticker": (),
    "orderbook": ("bid_levels", "ask_levels", "sequence"),
    "taker_volume": ("buy_count", "sell_count", "revision", "late_trades", "duplicate_trades"),
}
_FLAGS: Final[dict[str, tuple[str, ...]]] = {
    "ticker": (),
    "orderbook": ("is_crossed",),
    "taker_volume": ("is_final",),
}


@click.command()
@click.option("--topic", help="Only this processed topic.")
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%dT%H"]),
    help=f"Hours that begin before this one, UTC.  [default: {QUIET_HOURS} hours ago]",
)
def compact(topic: str | None, before: datetime | None) -> None:
    """Merge an hour's small objects of the archive into one Parquet file."""
    _parquet()
    environment = Environment.read()
    settings = load_settings(environment)
    limit = before or datetime.fromtimestamp(now_ns() // 1_000_000_000, UTC) - timedelta(
        hours=QUIET_HOURS
    )
    client, bucket = make_client(environment), environment.s3_bucket
    count = 0
    for hour, keys in sorted(hours(client, bucket, topic).items()):
        if hour.start < f"{limit:%Y-%m-%dT%H}" and any(key.endswith(SMALL) for key in keys):
            click.echo(f"{hour.folder}: {compact_hour(client, bucket, settings, hour, keys)}")
            count += 1
    click.echo(f"{count} hours compacted")


def compact_hour(
    client: "S3Client", bucket: str, settings: Settings, hour: Hour, keys: Sequence[str]
) -> str:
    """Merges what an hour has, the Parquet file of an earlier time included; says what it did.

    Raises:
        DecodeError: An object is damaged.
        UndeliveredError: The new file does not read back as what it was made of.
    """
    small = sorted(key for key in keys if key.endswith(SMALL))
    target = f"{hour.folder}{hour.topic}+{hour.date}T{hour.hour}{PARQUET}"
    records = {(r.partition, r.offset): r for r in read_objects(client, bucket, small)}
    added = len(records)
    if target in keys:
        merged = {(r.partition, r.offset): r for r in read_parquet(client, bucket, target)}
        records = {**merged, **records}
    table = to_table(list(records.values()), _kind_of(settings, hour.topic))
    _write(client, bucket, target, table)
    stored = {(r.partition, r.offset): r for r in read_parquet(client, bucket, target)}
    if stored != records:
        raise UndeliveredError(
            f"{target}: {len(stored)} records read back, expected {len(records)} as they were; "
            "the small objects stay"
        )
    for start in range(0, len(small), S3_DELETES):
        names = [{"Key": key} for key in small[start : start + S3_DELETES]]
        client.delete_objects(Bucket=bucket, Delete={"Objects": names})  # type: ignore[typeddict-item]
    return f"{added} records of {len(small)} objects, {len(records)} in the file"


def read_parquet(client: "S3Client", bucket: str, key: str) -> list[ArchivedRecord]:
    """The records of a Parquet file."""
    pq = _parquet()
    body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    table = pq.read_table(io.BytesIO(body), columns=["partition", "offset", "line"])
    return [
        ArchivedRecord(partition, offset, line)
        for partition, offset, line in zip(*(c.to_pylist() for c in table.columns), strict=True)
    ]


def to_table(records: Sequence[ArchivedRecord], kind: str) -> "pa.Table":
    """Columns of records, sorted by symbol and then as in the log."""
    import pyarrow as pa  # noqa: PLC0415

    rows = [(_fields(record.line, kind), record) for record in records]
    rows.sort(key=lambda row: (str(row[0].get("symbol") or ""), row[1].partition, row[1].offset))
    fields = [row[0] for row in rows]
    columns: dict[str, Any] = {
        "partition": pa.array([record.partition for _, record in rows], pa.int32()),
        "offset": pa.array([record.offset for _, record in rows], pa.int64()),
        "time": pa.array([_time(f) for f in fields], pa.timestamp("us", tz="UTC")),
    }
    for name in _TEXTS:
        columns[name] = pa.array([_of_type(f.get(name), str) for f in fields], pa.string())
    for name in _NUMBERS[kind]:
        columns[name] = _decimals([_decimal(f.get(name)) for f in fields])
    for name in _COUNTS[kind]:
        columns[name] = pa.array([_of_type(f.get(name), int) for f in fields], pa.int64())
    for name in _FLAGS[kind]:
        columns[name] = pa.array([_of_type(f.get(name), bool) for f in fields], pa.bool_())
    columns["line"] = pa.array([record.line for _, record in rows], pa.binary())
    return pa.table(columns)


def _write(client: "S3Client", bucket: str, key: str, table: "pa.Table") -> None:
    pq = _parquet()
    body = io.BytesIO()
    pq.write_table(table, body, compression="zstd")
    client.put_object(
        Bucket=bucket,
        Key=key,
        Body=body.getvalue(),
        Metadata={"count": str(table.num_rows)},
        ContentType="application/vnd.apache.parquet",
    )


def _parquet() -> Any:
    try:
        import pyarrow.parquet  # noqa: PLC0415
    except ModuleNotFoundError:
        raise SettingsError(
            "Parquet files need pyarrow, which is not installed: pip install 'marketflow[parquet]'"
        ) from None
    return pyarrow.parquet


def _kind_of(settings: Settings, topic: str) -> str:
    for region in settings.regions.values():
        for kind in _NUMBERS:
            if getattr(region.processed, kind) == topic:
                return kind
    raise SettingsError(f"topic {topic}: pipeline.yaml names no such processed topic")


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
    """The narrowest decimal type that holds all of them exactly."""
    import pyarrow as pa  # noqa: PLC0415

    scale = whole = 0
    for value in values:
        if value is not None:
            _, digits, exponent = value.as_tuple()
            scale = max(scale, -int(exponent))
            whole = max(whole, len(digits) + int(exponent))
    for name, most in MOST_DIGITS.items():
        if scale + whole <= most:
            return pa.array(values, getattr(pa, name)(most, scale))
    # Longer than any decimal type of Parquet: as text it is exact, and still readable.
    return pa.array([None if value is None else format(value, "f") for value in values])
