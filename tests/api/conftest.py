"""The API as users meet it: over HTTP, from a real PostgreSQL."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql

from connectors.local.stack import Stack
from connectors.process.environment import Environment
from schemas.settings import Settings, parse_settings
from tests.api.helpers import insert, prepare, serving, two_hours

PIPELINE = Path(__file__).parents[2] / "pipeline.yaml"


@pytest.fixture(scope="session")
def services(stack: Stack) -> Environment:
    """PostgreSQL alone: the API talks to nothing else."""
    variables = stack.start(["postgres"]).variables()
    return Environment.read({"POSTGRES_DSN": variables["POSTGRES_DSN"]})


@pytest.fixture(scope="session")
def settings() -> Settings:
    return parse_settings(PIPELINE.read_bytes(), "pipeline.yaml")


@contextmanager
def new_database(services: Environment) -> Iterator[str]:
    """Make an empty database for the time of a `with`."""
    server = services.require_postgres()
    name = f"test_api_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield server.rpartition("/")[0] + f"/{name}"
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def module_dsn(services: Environment) -> Iterator[str]:
    """An empty database for the tests of one module."""
    with new_database(services) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def filled_dsn(services: Environment, settings: Settings) -> Iterator[str]:
    """A database of two hours of every exchange's primary symbol; tests only read it."""
    with new_database(services) as dsn:
        prepare(dsn, settings)
        insert(dsn, *two_hours(settings))
        yield dsn


@pytest.fixture(scope="session")
def api(settings: Settings, filled_dsn: str) -> Iterator[httpx.Client]:
    """The API on that database."""
    with serving(settings, filled_dsn) as client:
        yield client
