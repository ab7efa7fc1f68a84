"""A pipeline of a test's own with a bucket behind it."""

import gzip
from typing import TYPE_CHECKING

from connectors.archive.client import make_client
from connectors.process.environment import Environment
from schemas.settings import ProcessedTopics
from tests.dataflows.harness import Pipeline

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Archive:
    """A pipeline with a bucket of its own behind it."""

    def __init__(self, pipeline: Pipeline, minio: Environment) -> None:
        self.pipeline = pipeline
        self.client: S3Client = make_client(minio)
        self.bucket = minio.s3_bucket
        self.variables = {
            "S3_ENDPOINT_URL": minio.require_s3(),
            "S3_BUCKET": minio.s3_bucket,
            "AWS_ACCESS_KEY_ID": minio.aws_access_key_id or "",
            "AWS_SECRET_ACCESS_KEY": minio.aws_secret_access_key or "",
        }

    @property
    def processed(self) -> ProcessedTopics:
        """The topics of the region that most tests have."""
        return self.pipeline.settings.regions["NE"].processed

    def objects(self, prefix: str = "topics/") -> dict[str, tuple[bytes, dict[str, str]]]:
        """Bodies and metadata by key."""
        paginator = self.client.get_paginator("list_objects_v2")
        pages = paginator.paginate(Bucket=self.bucket, Prefix=prefix)
        found = {}
        for page in pages:
            for entry in page.get("Contents", []):
                got = self.client.get_object(Bucket=self.bucket, Key=entry["Key"])
                found[entry["Key"]] = (got["Body"].read(), got["Metadata"])
        return found

    def lines(
        self,
        topic: str,
        partition: int = 0,
        objects: dict[str, tuple[bytes, dict[str, str]]] | None = None,
    ) -> list[bytes]:
        """What the objects of a partition hold, in the order of their offsets; none twice."""
        runs = []
        for key, (body, metadata) in (objects or self.objects(f"topics/{topic}/")).items():
            name = key.rpartition("/")[2]
            if name.startswith(f"{topic}+{partition}+"):
                lines = gzip.decompress(body).splitlines()
                first, last = int(metadata["first-offset"]), int(metadata["last-offset"])
                assert len(lines) == int(metadata["count"]) == last - first + 1
                runs.append((first, lines))
        runs.sort()
        at = 0
        for first, lines in runs:
            assert first == at, "a record is missing, or twice"
            at += len(lines)
        return [line for _, lines in runs for line in lines]
