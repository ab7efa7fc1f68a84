"""The object store: any that speaks S3."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnectedError

from connectors.process.environment import Environment
from schemas.errors import SettingsError, UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# S3's first region: it must not be named as the place of a bucket.
_REGION_WITHOUT_NAME: Final = "us-east-1"


def make_client(environment: Environment) -> "S3Client":
    """Return a client with time limits; threads may share it.

    Raises:
        SettingsError: `S3_ENDPOINT_URL` is not set, or not a URL.
    """
    endpoint_url = environment.require_s3()
    try:
        client: S3Client = boto3.client(
            "s3",
            endpoint_url=endpoint_url,
            aws_access_key_id=environment.aws_access_key_id,
            aws_secret_access_key=environment.aws_secret_access_key,
            region_name=environment.aws_region,
            config=Config(
                connect_timeout=5,
                read_timeout=30,
                retries={"mode": "standard", "total_max_attempts": 3},
                # MinIO and most other stores do not resolve a bucket's name as a host.
                s3={"addressing_style": "path"},
            ),
        )
    except ValueError as error:
        raise SettingsError(f"S3_ENDPOINT_URL: {error}") from error
    return client


def ensure_bucket(client: "S3Client", bucket: str) -> bool:
    """Create the bucket unless it is there; return whether that was done.

    Raises:
        SettingsError: The store refuses.
        UnavailableError: The store cannot be reached.
    """
    try:
        return not _has_bucket(client, bucket) and _create_bucket(client, bucket)
    except ClientError as error:
        reason = error.response["Error"].get("Message", "no reason given")
        if error.response["ResponseMetadata"]["HTTPStatusCode"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnavailableError(f"the object store is not ready: {reason}") from error
        raise SettingsError(
            f"S3_BUCKET: the object store refuses the bucket {bucket}: {reason}; "
            "are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY those of its owner?"
        ) from error
    except (NotConnectedError, HTTPClientError) as error:
        raise UnavailableError(f"the object store cannot be reached: {error}") from error
    except BotoCoreError as error:
        # The client itself refuses: no credentials, or a name that no bucket may have.
        raise SettingsError(f"S3_BUCKET {bucket}: {' '.join(str(error).split())}") from error


def _has_bucket(client: "S3Client", bucket: str) -> bool:
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
            return False
        raise
    return True


def _create_bucket(client: "S3Client", bucket: str) -> bool:
    region = client.meta.region_name
    try:
        if region == _REGION_WITHOUT_NAME:
            client.create_bucket(Bucket=bucket)
        else:
            client.create_bucket(
                Bucket=bucket,
                CreateBucketConfiguration={"LocationConstraint": cast("Any", region)},
            )
    except client.exceptions.BucketAlreadyOwnedByYou:
        return False
    return True
