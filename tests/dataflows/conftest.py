"""A pipeline for each test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.environment import Environment
from tests.dataflows.archive import Archive
from tests.dataflows.harness import Pipeline


@pytest.fixture
def make_pipeline(
    services: Environment, postgres_dsn: str, tmp_path: Path
) -> Callable[..., Pipeline]:
    """Makes pipelines of the test's own; the arguments are those of the class."""

    def make(**arguments: Any) -> Pipeline:
        return Pipeline(services, postgres_dsn, tmp_path, **arguments)

    return make


@pytest.fixture
def archive(make_pipeline: Callable[..., Pipeline], minio: Environment) -> Archive:
    """A pipeline with a bucket; a quiet partition's records are stored after a second."""
    return Archive(make_pipeline(changes={"archive": {"time_limit_ms": 1_000}}), minio)
