"""What the environment says: which servers to talk to, and what this process does of the work.

Every process reads this first, then `pipeline.yaml`; nothing else decides where it connects.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from schemas.errors import SettingsError
from schemas.exchanges import EXCHANGES
from schemas.settings import Settings, parse_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

_HINT: Final = 'start local ones with `make up` and run `eval "$(.venv/bin/marketflow env)"`'
_SECRETS: Final = frozenset({"kafka", "postgres_dsn", "aws_secret_access_key", "api_keys"})


class Shard(msgspec.Struct, frozen=True):
    """This process's part: it owns the partitions ``p`` with ``p % count == index``."""

    index: int
    count: int

    def owns(self, partition: int) -> bool:
        """Tell whether this process reads a partition."""
        return partition % self.count == self.index


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The environment variables of the contract, parsed.

    Optional servers are None when they are not named; ``require_…`` raises for those a program
    cannot do without.

    Attributes:
        kafka: What librdkafka calls its configuration, ``bootstrap.servers`` among it.
        postgres_dsn: libpq URI.
        s3_endpoint_url: Of any S3-compatible store.
        s3_bucket: Bucket of the archive.
        aws_access_key_id: For that store.
        aws_secret_access_key: For that store.
        aws_region: Of that store.
        shard: The part of the partitions that this process owns; all of them by default.
        stop_at_end: Whether to read each topic only up to the end that it had at the start.
        pipeline_config: Another ``pipeline.yaml`` than the project's own.
        api_keys: By exchange, for histories that want one: ``BINANCE_API_KEY``.
    """

    kafka: dict[str, str] = {}
    postgres_dsn: str | None = None
    s3_endpoint_url: str | None = None
    s3_bucket: str = "marketflow"
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    aws_region: str = "us-east-1"
    shard: Shard = Shard(0, 1)
    stop_at_end: bool = False
    pipeline_config: Path | None = None
    api_keys: dict[str, str] = {}

    def __repr__(self) -> str:
        fields = msgspec.structs.asdict(self).items()
        shown = ", ".join(f"{name}={value!r}" for name, value in fields if name not in _SECRETS)
        return f"Environment({shown})"

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> Environment:
        """Read ``os.environ``, or the given variables.

        Raises:
            SettingsError: When a variable is malformed.
        """
        variables = os.environ if variables is None else variables
        # An empty variable is what shells and orchestrators leave for "not set".
        given = {name: value for name, value in variables.items() if value}
        config = given.get("PIPELINE_CONFIG")
        return cls(
            kafka=_librdkafka_options(given),
            postgres_dsn=given.get("POSTGRES_DSN"),
            s3_endpoint_url=given.get("S3_ENDPOINT_URL"),
            s3_bucket=given.get("S3_BUCKET", "marketflow"),
            aws_access_key_id=given.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=given.get("AWS_SECRET_ACCESS_KEY"),
            aws_region=given.get("AWS_REGION", "us-east-1"),
            shard=_shard(given.get("SHARD")),
            stop_at_end=_flag("STOP_AT_END", given.get("STOP_AT_END")),
            pipeline_config=Path(config) if config else None,
            api_keys=_api_keys(given),
        )

    def require_kafka(self) -> dict[str, str]:
        """Give librdkafka's configuration, a copy to add to.

        Raises:
            SettingsError: When no broker is named.
        """
        if "bootstrap.servers" not in self.kafka:
            raise _missing("KAFKA_BOOTSTRAP_SERVERS", "host:port, or several with commas between")
        return dict(self.kafka)

    def require_postgres(self) -> str:
        """Give the libpq URI.

        Raises:
            SettingsError: When no server is named.
        """
        if self.postgres_dsn is None:
            raise _missing("POSTGRES_DSN", "a libpq URI: postgresql://user:password@host/database")
        return self.postgres_dsn

    def require_s3(self) -> str:
        """Give the endpoint URL of the object store.

        Raises:
            SettingsError: When no store is named.
        """
        if self.s3_endpoint_url is None:
            raise _missing("S3_ENDPOINT_URL", "the URL of an S3-compatible store")
        return self.s3_endpoint_url


def _librdkafka_options(variables: Mapping[str, str]) -> dict[str, str]:
    prefix = "KAFKA_"
    return {
        name.removeprefix(prefix).lower().replace("_", "."): value
        for name, value in variables.items()
        if name.startswith(prefix)
    }


def _api_keys(variables: Mapping[str, str]) -> dict[str, str]:
    names = {
        code: f"{code.upper()}_API_KEY"
        for code, exchange in EXCHANGES.items()
        if exchange.history.api_key_header
    }
    return {code: variables[name] for code, name in names.items() if name in variables}


def _shard(text: str | None) -> Shard:
    if text is None:
        return Shard(0, 1)
    parts = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
    shard = Shard(int(parts[1]), int(parts[2])) if parts else None
    if shard is None or shard.index >= shard.count:
        raise SettingsError(
            f"SHARD is {text!r}, but must be i/n with 0 <= i < n, for instance 0/2 and 1/2 for "
            "two processes"
        )
    return shard


def _flag(name: str, text: str | None) -> bool:
    if text in {None, "0"}:
        return False
    if text == "1":
        return True
    raise SettingsError(f"{name} is {text!r}, but must be 1 or 0, or not be set")


def _missing(name: str, expected: str) -> SettingsError:
    return SettingsError(f"{name} is not set: expected {expected}; {_HINT}")


def checkout() -> Path:
    """Give the folder that holds this checkout; the current one for an installed package."""
    source = Path(__file__).parents[2]
    return source if (source / "pyproject.toml").exists() else Path.cwd()


def load_settings(environment: Environment) -> Settings:
    """Read the ``pipeline.yaml`` that ``PIPELINE_CONFIG`` names, else the project's own.

    Raises:
        SettingsError: When it cannot be read, or is wrong: names the file and the key.
    """
    path = environment.pipeline_config or checkout() / "pipeline.yaml"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}; PIPELINE_CONFIG names another pipeline.yaml"
        ) from error
    return parse_settings(text, str(path))
