"""The archive's objects, read back: which there are, and the records that they hold."""

import gzip
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from schemas.errors import DecodeError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The names of `dataflows.domain.archive`, and of `connectors.commands.compact` for whole hours.
_KEY: Final = re.compile(
    r"topics/(?P<topic>[^/]+)/exchange=(?P<exchange>[^/]+)/date=(?P<date>\d{4}-\d\d-\d\d)/"
    r"hour=(?P<hour>\d\d)/(?P<name>[^/]+\.(?:jsonl\.gz|parquet))"
)


class Hour(NamedTuple):
    """One exchange's records of one topic in one hour."""

    topic: str
    exchange: str
    date: str
    hour: str

    @property
    def folder(self) -> str:
        """Where its objects are."""
        return f"topics/{self.topic}/exchange={self.exchange}/date={self.date}/hour={self.hour}/"

    @property
    def start(self) -> str:
        """Its beginning: UTC, ISO 8601 to the hour, which sorts."""
        return f"{self.date}T{self.hour}"


class ArchivedRecord(NamedTuple):
    """One record of a processed topic, and where it was; sorts in the order of its log."""

    partition: int
    offset: int
    line: bytes


def hours(client: "S3Client", bucket: str, topic: str | None = None) -> dict[Hour, list[str]]:
    """The keys of all objects of the archive, or of a topic, by their hour."""
    prefix = f"topics/{topic}/" if topic else "topics/"
    found: dict[Hour, list[str]] = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            key = _KEY.fullmatch(entry["Key"])
            if key:
                hour = Hour(key["topic"], key["exchange"], key["date"], key["hour"])
                found.setdefault(hour, []).append(entry["Key"])
    return found


def read_objects(client: "S3Client", bucket: str, keys: Iterable[str]) -> Iterator[ArchivedRecord]:
    """The records of small objects.

    Raises:
        DecodeError: An object is not what its metadata says.
    """
    for key in keys:
        stored = client.get_object(Bucket=bucket, Key=key)
        body, metadata = stored["Body"].read(), stored["Metadata"]
        if hashlib.sha256(body).hexdigest() != metadata.get("sha256"):
            raise DecodeError(f"{key}: its SHA-256 is not the one in its metadata")
        lines = gzip.decompress(body).split(b"\n")[:-1]
        if str(len(lines)) != metadata["count"]:
            raise DecodeError(f"{key}: {len(lines)} records, expected {metadata['count']}")
        partition = int(key.rsplit("+", 2)[1])
        first_offset = int(metadata["first-offset"])
        for place, line in enumerate(lines):
            yield ArchivedRecord(partition, first_offset + place, line)
