"""The bucket is made once, and what goes wrong says which setting to look at."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from connectors.archive.client import ensure_bucket, make_client
from connectors.process.environment import Environment
from schemas.errors import SettingsError, UnavailableError

SECRET = uuid.uuid4().hex


def test_a_missing_bucket_is_made_and_then_present(minio: Environment) -> None:
    client = make_client(minio)
    bucket = f"test-{uuid.uuid4().hex}"

    assert ensure_bucket(client, bucket)
    assert not ensure_bucket(client, bucket)
    assert bucket in {known.get("Name") for known in client.list_buckets()["Buckets"]}


def test_a_bucket_is_made_once_by_many_at_the_same_time(minio: Environment) -> None:
    client = make_client(minio)
    bucket = f"test-{uuid.uuid4().hex}"

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: ensure_bucket(client, bucket), range(4)))

    assert sum(made) == 1


def test_a_wrong_secret_is_refused_without_repeating_it(minio: Environment) -> None:
    stranger = msgspec.structs.replace(minio, aws_secret_access_key=SECRET)

    with pytest.raises(SettingsError, match=r"S3_BUCKET.*AWS_SECRET_ACCESS_KEY") as caught:
        ensure_bucket(make_client(stranger), minio.s3_bucket)

    assert SECRET not in str(caught.value)


def test_a_name_that_no_bucket_may_have_is_refused(minio: Environment) -> None:
    with pytest.raises(SettingsError, match="Not A Bucket"):
        ensure_bucket(make_client(minio), "Not A Bucket")


def test_a_store_without_credentials_is_a_setting_to_correct(
    minio: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    nobody = Environment(s3_endpoint_url=minio.s3_endpoint_url)

    with pytest.raises(SettingsError, match="credentials"):
        ensure_bucket(make_client(nobody), "archive")


def test_an_unreachable_store_is_unavailable() -> None:
    environment = Environment(
        s3_endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="user",
        aws_secret_access_key=SECRET,
    )

    with pytest.raises(UnavailableError, match="cannot be reached"):
        ensure_bucket(make_client(environment), "archive")


def test_an_endpoint_that_is_no_url_is_refused() -> None:
    with pytest.raises(SettingsError, match="S3_ENDPOINT_URL"):
        make_client(Environment(s3_endpoint_url="not a url"))
