from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote

import httpx
import psycopg
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis import checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.v1.cursors import Cursor, encode_cursor
from api.v1.plans import ACCEPTED
from schemas.settings import Settings
from tests.api.helpers import prepare, serving
from tests.api.v1.minutes import Minute, write

START = 1_729_641_600
INJECTIONS = [
    "'; DROP TABLE taker_volume; --",
    "BTC-USDT' OR '1'='1",
    "%(codes)s",
    "{source}",
    "\x00",
    "\r\nset-cookie: x=1",
    "../../etc/passwd",
    "\U0001d56d-USDT; --",
    "-" * 5_000,
    "9" * 400,
    "1e999",
    "٣",
]


@pytest.fixture(scope="module")
def api(settings: Settings, module_dsn: str) -> Iterator[httpx.Client]:
    prepare(module_dsn, settings)
    write(
        module_dsn,
        [Minute("okx", "BTC-USDT", START + 60 * number, "1", "2") for number in range(100)],
    )
    with serving(settings, module_dsn) as client:
        yield client


@pytest.mark.parametrize("route", [*ACCEPTED, "/v1/stream"])
def test_nothing_in_a_parameter_reaches_the_database_as_sql(
    api: httpx.Client, module_dsn: str, route: str
) -> None:
    names = ACCEPTED.get(route, ("exchange", "symbol", "base", "after", "numbers"))
    for name in names:
        for text in INJECTIONS:
            response = api.get(f"{route}?{name}={quote(text, safe='')}&exchange=nyse")
            assert response.status_code == 400, (name, text, response.text)
            assert "set-cookie" not in response.headers
            assert response.headers["content-type"] == "application/problem+json"
    with psycopg.connect(module_dsn) as connection:
        count = connection.execute("SELECT count(*) FROM taker_volume").fetchone()
    assert count == (100,)


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.text(max_size=60),
        st.builds(
            Cursor,
            st.text(max_size=20),
            st.integers(-(1 << 60), 1 << 60),
            st.text(max_size=20),
            st.text(max_size=20),
        ).map(encode_cursor),
    )
)
def test_a_forged_cursor_is_refused(api: httpx.Client, cursor: str) -> None:
    response = api.get("/v1/taker-volume", params={"cursor": cursor})
    assert response.status_code == 400
    assert response.json()["parameter"] == "cursor"


@pytest.mark.parametrize("route", ["/v1/taker-volume", "/v1/orderbook", "/v1/coverage"])
@pytest.mark.parametrize("interval", ["1m", "5m", "1d"])
def test_a_range_of_a_century_is_answered(api: httpx.Client, route: str, interval: str) -> None:
    query: dict[str, Any] = {"from": 0, "to": 4_102_444_800, "interval": interval, "base": "BTC"}
    response = api.get(route, params={**query, "limit": 10})
    assert response.status_code == 200, response.text


def test_what_the_document_allows_is_answered_as_it_says(api: httpx.Client) -> None:
    schema = schemathesis.openapi.from_url(f"{api.base_url}/openapi.json")
    operations: list[Any] = [found.ok() for found in cast(Any, schema.get_all_operations())]
    # An endless answer is tested elsewhere.
    strategies = [each.as_strategy() for each in operations if each.path != "/v1/stream"]

    @hypothesis_settings(
        max_examples=120,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(st.one_of(strategies))
    def check(case: Any) -> None:
        case.call_and_validate(
            checks=[
                checks.not_a_server_error,
                status_code_conformance,
                content_type_conformance,
                response_schema_conformance,
            ]
        )

    check()
