"""Real services for the whole run, a fresh database and bucket for each test that asks."""

from __future__ import annotations

import fcntl
import os
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

from connectors.local.cache import remove
from connectors.local.stack import Stack, state_folder
from connectors.process.environment import Environment, checkout
from tests.dataflows.archive import Archive
from tests.dataflows.harness import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


# No test is timed: the machine may be busy.
settings.register_profile("marketflow", deadline=None)
settings.load_profile("marketflow")


def _remove_leftovers(folder: Path) -> None:
    """Stop and delete what killed test runs left: those whose lock nobody holds any more."""
    for lock in folder.glob("*.lock"):
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            run = lock.with_suffix("")
            Stack(run, environment={}).stop()
            remove(run)
            lock.unlink()


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The services of this test run alone: a running demo and other test runs are not touched."""
    folder = state_folder(checkout()) / "test"
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    run = folder / str(os.getpid())
    lock = run.with_suffix(".lock")
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        stack = Stack(run, environment={})
        try:
            yield stack
        finally:
            stack.stop()
            remove(run)
            lock.unlink()


@pytest.fixture(scope="session")
def services(stack: Stack) -> Environment:
    """Kafka and PostgreSQL; start them with this, talk to them through the fixtures below.

    On a machine that has no MinIO yet it is built meanwhile, which takes minutes.
    """
    variables = stack.start(wait_for_minio=False).variables()
    return Environment.read(
        {name: variables[name] for name in ("KAFKA_BOOTSTRAP_SERVERS", "POSTGRES_DSN")}
    )


@pytest.fixture
def kafka(services: Environment) -> str:
    """The broker's bootstrap servers. Topics live on: a test gives its own a name of its own."""
    return services.require_kafka()["bootstrap.servers"]


@pytest.fixture
def postgres_dsn(services: Environment) -> Iterator[str]:
    """The URI of a new, empty database."""
    server = services.require_postgres()
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield server.rpartition("/")[0] + f"/{name}"
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def _minio_server(stack: Stack, services: Environment) -> Environment:
    return Environment.read(stack.start().variables())


@pytest.fixture
def minio(_minio_server: Environment) -> Environment:
    """All three services, with a new, empty bucket as the archive's."""
    environment = msgspec.structs.replace(_minio_server, s3_bucket=f"test-{uuid.uuid4().hex}")
    boto3.client(
        "s3",
        endpoint_url=environment.s3_endpoint_url,
        aws_access_key_id=environment.aws_access_key_id,
        aws_secret_access_key=environment.aws_secret_access_key,
        region_name=environment.aws_region,
    ).create_bucket(Bucket=environment.s3_bucket)
    return environment


@pytest.fixture
def make_pipeline(
    services: Environment, postgres_dsn: str, tmp_path: Path
) -> Iterator[Callable[..., Pipeline]]:
    """Makes pipelines of the test's own; the arguments are those of the class."""
    made: list[Pipeline] = []

    def make(**arguments: Any) -> Pipeline:
        made.append(Pipeline(services, postgres_dsn, tmp_path, **arguments))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.kill_all()


@pytest.fixture
def archive(make_pipeline: Callable[..., Pipeline], minio: Environment) -> Archive:
    """A pipeline with a bucket; a quiet partition's records are stored after a second."""
    return Archive(make_pipeline(changes={"archive": {"time_limit_ms": 1_000}}), minio)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test with MinIO the time to build it from source."""
    for item in items:
        if "minio" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1200))
            return
