"""A pipeline for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.process.environment import Environment
from tests.dataflows.archive import Archive
from tests.dataflows.harness import Pipeline


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
