"""The context of exact arithmetic, which a dataflow enters for each batch."""

from collections.abc import Iterator

import pytest

from schemas.numbers import exact


@pytest.fixture(autouse=True, scope="session")
def _exact() -> Iterator[None]:
    with exact():
        yield
