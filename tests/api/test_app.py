import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psycopg
import pytest

from connectors.local.stack import Stack
from schemas.settings import Settings
from tests.api.helpers import FIRST_MINUTE, insert, prepare, serving

ROOT = Path(__file__).parents[2]
MINUTE = f"/taker_volume/binance/from={FIRST_MINUTE}/to={FIRST_MINUTE}"


def test_an_unknown_route_is_a_problem(api: httpx.Client) -> None:
    response = api.get("/nothing/here")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is nothing at this path: /docs lists what there is.",
        "instance": "/nothing/here",
    }


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", [MINUTE, "/", "/openapi.json", "/health/ready"])
def test_a_wrong_method_is_a_problem(api: httpx.Client, method: str, path: str) -> None:
    response = api.request(method, path, json={"taker_buy_volume": "1"})
    assert response.status_code == response.json()["status"] == 405
    assert response.headers["content-type"] == "application/problem+json"
    assert "GET" in response.headers["allow"]


def test_a_defect_is_a_problem_that_tells_nothing_of_the_inside(
    postgres_dsn: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(postgres_dsn, settings)
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("DROP TABLE taker_volume CASCADE")
        connection.execute(
            "CREATE TABLE taker_volume (exchange_id int, symbol int, minute int, "
            "taker_buy_volume int, taker_sell_volume int, created_at int)"
        )
        connection.execute("GRANT SELECT ON taker_volume TO marketflow_reader")
    with serving(settings, postgres_dsn) as api, caplog.at_level(logging.ERROR):
        response = api.get(MINUTE)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "This is a defect of the server; its log says more.",
        "instance": MINUTE,
    }
    assert "operator does not exist" in caplog.text


def test_without_tables_the_answer_says_what_to_run(postgres_dsn: str, settings: Settings) -> None:
    with serving(settings, postgres_dsn) as api:
        response = api.get(MINUTE)
    assert response.status_code == 503
    assert "marketflow init" in response.json()["detail"]


def test_large_answers_are_compressed_and_small_ones_are_not(api: httpx.Client) -> None:
    large = api.get(f"/taker_volume/upbit/from=0/to={FIRST_MINUTE + 9_999}/100")
    small = api.get(MINUTE)
    assert large.headers["content-encoding"] == "gzip"
    assert len(large.json()) == 100
    assert "content-encoding" not in small.headers


def test_it_outlives_the_database_and_recovers_by_itself(
    tmp_path: Path, settings: Settings
) -> None:
    stack = Stack(tmp_path, environment={})
    dsn = stack.start(["postgres"]).postgres_dsn
    assert dsn is not None
    try:
        prepare(dsn, settings)
        insert(dsn, ("binance", "BTC-USDT-PERP", FIRST_MINUTE, "1", "2"))
        stack.stop()
        with serving(settings, dsn) as api:
            # The first start of the API is without its database, the second outage in the middle.
            for _ in range(2):
                response = api.get(MINUTE)
                problem = response.json()
                assert response.status_code == problem["status"] == 503
                assert response.headers["content-type"] == "application/problem+json"
                assert int(response.headers["retry-after"]) > 0
                assert problem["detail"] == "the database cannot be reached"
                assert api.get("/health/live").status_code == 200
                assert stack.start(["postgres"]).postgres_dsn == dsn
                assert _seconds_until_answered(api) < 30
                stack.stop()
    finally:
        stack.stop()


def _seconds_until_answered(api: httpx.Client) -> float:
    start = time.monotonic()
    while (response := api.get(MINUTE)).status_code == 503:
        assert time.monotonic() - start < 30, response.text
    assert [row["taker_buy_volume"] for row in response.json()] == ["1"]
    return time.monotonic() - start


def _import_app(dsn: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", "from api.app import app; print(type(app).__name__)"],
        cwd=ROOT,
        env={**os.environ, "POSTGRES_DSN": dsn},
        capture_output=True,
        text=True,
        check=False,
    )


def test_any_asgi_server_finds_the_application(filled_dsn: str) -> None:
    assert _import_app(filled_dsn).stdout == "Front\n"


def test_the_application_is_refused_without_a_database_to_use() -> None:
    refused = _import_app("")
    assert refused.returncode != 0
    assert "SettingsError: POSTGRES_DSN is not set" in refused.stderr
