"""`marketflow compact`: an hour's small objects become one sorted Parquet file next to them.

The file has a column for each field of the records, decimals as decimals, and the line itself,
from which the record can be put back byte for byte (`marketflow replay --from s3`). The small
objects go only after the file was read back and holds each of their records.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from connectors.archive.client import make_client
from connectors.archive.objects import HOUR_FORMAT, hours, read_objects
from connectors.archive.parquet import import_parquet, read_parquet, to_table, write_parquet
from connectors.process.clock import now_ns
from connectors.process.environment import Environment, load_settings
from schemas.archive import SMALL, Hour
from schemas.errors import SettingsError, UndeliveredError
from schemas.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Younger hours may still get records: late ones, or those of an archive that is behind.
QUIET_HOURS: Final = 2
S3_DELETES: Final = 1_000


@click.command()
@click.option("--topic", help="Only this processed topic.")
@click.option(
    "--before",
    type=click.DateTime([HOUR_FORMAT]),
    help=f"Hours that begin before this one, UTC.  [default: {QUIET_HOURS} hours ago]",
)
def compact(topic: str | None, before: datetime | None) -> None:
    """Merge an hour's small objects of the archive into one Parquet file."""
    import_parquet()
    environment = Environment.read()
    settings = load_settings(environment)
    limit = before or datetime.fromtimestamp(now_ns() // 1_000_000_000, UTC) - timedelta(
        hours=QUIET_HOURS
    )
    client, bucket = make_client(environment), environment.s3_bucket
    count = 0
    for hour, keys in hours(client, bucket, topic, until=limit):
        if any(key.endswith(SMALL) for key in keys):
            click.echo(f"{hour.folder}: {compact_hour(client, bucket, settings, hour, keys)}")
            count += 1
    click.echo(f"{count} hours compacted")


def compact_hour(
    client: "S3Client", bucket: str, settings: Settings, hour: Hour, keys: Sequence[str]
) -> str:
    """Merge what an hour has, the Parquet file of an earlier time included; say what was done.

    Raises:
        DecodeError: An object is damaged.
        UndeliveredError: The new file does not read back as what it was made of.
    """
    small = sorted(key for key in keys if key.endswith(SMALL))
    added = set(read_objects(client, bucket, small))
    target = hour.parquet_key
    records = sorted(added.union(read_parquet(client, bucket, target) if target in keys else ()))
    write_parquet(client, bucket, target, to_table(records, _kind_of(settings, hour.topic)))
    stored = sorted(read_parquet(client, bucket, target))
    if stored != records:
        raise UndeliveredError(
            f"{target}: {len(stored)} records read back, expected {len(records)} as they were; "
            "the small objects stay"
        )
    for start in range(0, len(small), S3_DELETES):
        names = [{"Key": key} for key in small[start : start + S3_DELETES]]
        client.delete_objects(Bucket=bucket, Delete={"Objects": names})  # type: ignore[typeddict-item]
    return f"{len(added)} records of {len(small)} objects, {len(records)} in the file"


def _kind_of(settings: Settings, topic: str) -> str:
    for region in settings.regions.values():
        for kind in ("ticker", "orderbook", "taker_volume"):
            if getattr(region.processed, kind) == topic:
                return kind
    raise SettingsError(f"topic {topic}: pipeline.yaml names no such processed topic")
