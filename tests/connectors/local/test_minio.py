from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectors.process import probes

if TYPE_CHECKING:
    from connectors.process.environment import Environment


def test_store_refuses_to_overwrite_when_asked_to(minio: Environment) -> None:
    client = probes.s3_client(minio)
    client.put_object(Bucket=minio.s3_bucket, Key="key", Body=b"first", IfNoneMatch="*")

    with pytest.raises(client.exceptions.ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=minio.s3_bucket, Key="key", Body=b"second", IfNoneMatch="*")

    assert client.get_object(Bucket=minio.s3_bucket, Key="key")["Body"].read() == b"first"
