import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from schemas.settings import Settings
from tests.api.helpers import prepare, serving
from tests.api.v1.minutes import Minute, write

START = 1_729_641_600
MINUTES = 60
ROUTES = [
    ("/v1/taker-volume", {"interval": "1m"}),
    ("/v1/taker-volume", {"interval": "15m"}),
    ("/v1/taker-volume", {"interval": "1h"}),
    ("/v1/taker-volume", {"interval": "1m", "aggregate": "true"}),
    ("/v1/premium", {"interval": "1h"}),
    ("/v1/coverage", {"interval": "1h"}),
    ("/v1/orderbook", {"interval": "5m"}),
]


@pytest.fixture
def dsn(postgres_dsn: str, settings: Settings) -> str:
    """A database whose history began two hours ago, and whose minutes were written then."""
    prepare(postgres_dsn, settings)
    write(postgres_dsn, [minute(code, number) for code in MARKETS for number in range(MINUTES)])
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("SELECT ensure_month('orderbook_minute', to_timestamp(%s))", [START])
        connection.execute(
            """
            INSERT INTO orderbook_minute (exchange_id, symbol, minute, highest_bid, lowest_ask,
                spread, spread_twa, updates, crossed, crossed_ms, gaps, valid_ms)
            SELECT exchange_id, 'BTC-KRW', to_timestamp(%s) + number * interval '1 minute',
                   10, 11, 1, 1, 1, 0, 0, 0, 60000
            FROM dim_exch, generate_series(0, 59) AS number WHERE code = 'upbit'
            """,
            [START],
        )
        connection.execute("UPDATE schema_migrations SET applied_at = now() - interval '2 hours'")
        # Without the triggers: these minutes have always been so.
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE taker_volume SET updated_at = now() - interval '1 hour'")
        connection.execute("UPDATE orderbook_minute SET updated_at = now() - interval '1 hour'")
    return postgres_dsn


MARKETS = {"upbit": "BTC-KRW", "okx": "BTC-USDT", "bithumb": "USDT-KRW"}


def minute(code: str, number: int, **changes: Any) -> Minute:
    fields: dict[str, Any] = {"buy": "1", "sell": "2", **changes}
    return Minute(code, MARKETS[code], START + 60 * number, **fields)


@pytest.fixture
def api(settings: Settings, dsn: str) -> Iterator[httpx.Client]:
    with serving(settings, dsn) as client:
        yield client


def ask(api: httpx.Client, route: str, parameters: dict[str, str], as_of: str) -> Any:
    query: dict[str, Any] = {"from": START, "to": START + 3_600, "as_of": as_of, **parameters}
    if route != "/v1/premium":
        query["base"] = "BTC"
    response = api.get(route, params=query)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    rows = response.json()["rows"]
    assert rows
    return rows


def test_an_answer_as_of_a_time_never_changes(api: httpx.Client, dsn: str) -> None:
    as_of = datetime.fromtimestamp(int(time.time()) - 1_800, UTC).isoformat()
    before = [ask(api, route, parameters, as_of) for route, parameters in ROUTES]
    chance = random.Random(7)
    for round_ in range(2, 6):
        codes = chance.choices(list(MARKETS), k=20)
        changes: dict[str, Any] = {"revision": round_, "buy": str(round_)}
        revised = [
            minute(code, chance.randrange(MINUTES), is_complete=False, **changes) for code in codes
        ]
        write(dsn, list({(each.code, each.minute_s): each for each in revised}.values()))
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "UPDATE orderbook_minute SET highest_bid = highest_bid - 1, updated_at = now()"
            )
            connection.execute("SELECT refresh_hours(1000)")
        # What is kept in the API's memory must not be what makes it right.
        time.sleep(0.1)
        for (route, parameters), expected in zip(ROUTES, before, strict=True):
            fresh = {**parameters, "limit": str(1_000 + round_)}
            assert ask(api, route, fresh, as_of) == expected
    now = api.get(
        "/v1/taker-volume", params={"base": "BTC", "from": START, "to": START + 3_600}
    ).json()["rows"]
    assert now != before[0]


def test_a_time_that_is_too_young_is_refused_with_the_reason(api: httpx.Client) -> None:
    response = api.get("/v1/taker-volume", params={"as_of": "-3s"})
    assert response.status_code == 400
    assert "too young" in response.json()["detail"]


def test_a_time_before_the_history_is_refused(api: httpx.Client) -> None:
    response = api.get("/v1/taker-volume", params={"as_of": "-3h"})
    assert response.status_code == 400
    assert "before replaced versions were kept" in response.json()["detail"]


def test_what_was_replaced_cannot_be_changed(dsn: str) -> None:
    write(dsn, [minute("upbit", 0, revision=2)])
    with psycopg.connect(dsn) as connection, pytest.raises(psycopg.errors.RaiseException):
        connection.execute("DELETE FROM taker_volume_superseded")
