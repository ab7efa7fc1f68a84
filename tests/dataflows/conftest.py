"""The context of exact arithmetic, which a dataflow enters for each batch."""

from collections.abc import Iterator

import pytest

from schemas.numbers import exact


# Left again behind each module: tests outside this folder divide inexactly.
@pytest.fixture(autouse=True, scope="module")
def _exact() -> Iterator[None]:
    with exact():
        yield
