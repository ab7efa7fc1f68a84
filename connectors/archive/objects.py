"""The archive's objects, read back: which there are, and the records that they hold."""

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

from connectors.archive.parquet import read_parquet
from schemas.archive import PARQUET, SMALL, ArchivedRecord, Hour, ObjectKey
from schemas.errors import DecodeError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

HOUR_FORMAT: Final = "%Y-%m-%dT%H"
"""Of an hour on the command line; also of :attr:`Hour.start`."""


def hours(
    client: "S3Client",
    bucket: str,
    topic: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[tuple[Hour, list[str]]]:
    """Return the hours of the archive in order, each with the keys of its objects.

    Args:
        client: Of the store.
        bucket: Its bucket.
        topic: Only this one.
        since: Hours that begin then or later.
        until: Hours that begin earlier.
    """
    found: dict[Hour, list[str]] = {}
    prefix = f"topics/{topic}/" if topic else "topics/"
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            hour = Hour.of_key(entry["Key"])
            if hour is None:
                continue
            is_late = since is None or hour.start >= f"{since:{HOUR_FORMAT}}"
            if is_late and (until is None or hour.start < f"{until:{HOUR_FORMAT}}"):
                found.setdefault(hour, []).append(entry["Key"])
    return sorted(found.items())


def read_hour(client: "S3Client", bucket: str, keys: Iterable[str]) -> list[ArchivedRecord]:
    """Return the records of these objects in the order of their log, each once.

    A record is in several objects while `compact` runs, and where the archive has begun anew
    after that: the same place with the same content is the same record.

    Raises:
        DecodeError: An object is not what its metadata says.
    """
    keys = list(keys)
    records = set(read_objects(client, bucket, [key for key in keys if key.endswith(SMALL)]))
    for key in keys:
        if key.endswith(PARQUET):
            records.update(read_parquet(client, bucket, key))
    return sorted(records)


def read_objects(client: "S3Client", bucket: str, keys: Iterable[str]) -> Iterator[ArchivedRecord]:
    """Yield the records of small objects.

    Raises:
        DecodeError: An object is not what its name and metadata say.
    """
    for key in keys:
        name = ObjectKey.parse(key)
        if name is None:
            raise DecodeError(f"{key}: expected <topic>+<partition>+<first offset>{SMALL}")
        stored = client.get_object(Bucket=bucket, Key=key)
        body, metadata = stored["Body"].read(), stored["Metadata"]
        if hashlib.sha256(body).hexdigest() != metadata.get("sha256"):
            raise DecodeError(f"{key}: its SHA-256 is not the one in its metadata")
        lines = gzip.decompress(body).split(b"\n")[:-1]
        if str(len(lines)) != metadata["count"]:
            raise DecodeError(f"{key}: {len(lines)} records, expected {metadata['count']}")
        for offset, line in enumerate(lines, name.first_offset):
            yield ArchivedRecord(name.generation, name.partition, offset, line)
