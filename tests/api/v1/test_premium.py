from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import psycopg
import pytest

from schemas.settings import Settings
from tests.api.helpers import prepare, serving
from tests.api.v1.minutes import Minute, write, write_verdicts

START = 1_729_641_600


def minutes() -> list[Minute]:
    rows = []
    for number in range(120):
        at = START + 60 * number
        rows += [
            Minute("upbit", "BTC-KRW", at, "2", "1", "93000000"),
            Minute("bithumb", "BTC-KRW", at, "1", "0", "94000000"),
            Minute("okx", "BTC-USDT", at, "1", "1", "66000"),
            Minute("kraken", "BTC-USD", at, "1", "1", "66200"),
        ]
        if number != 5:
            rows.append(Minute("upbit", "USDT-KRW", at, "10", "10", "1400"))
    return rows


@pytest.fixture(scope="module")
def api(settings: Settings, module_dsn: str) -> Iterator[httpx.Client]:
    prepare(module_dsn, settings)
    write(module_dsn, minutes())
    with serving(settings, module_dsn) as client:
        yield client


def premium(api: httpx.Client, **parameters: Any) -> list[dict[str, Any]]:
    query = {"from": START, "to": START + 7_200, "sort": "asc", **parameters}
    rows: list[dict[str, Any]] = []
    response = api.get("/v1/premium", params=query)
    while True:
        assert response.status_code == 200, response.text
        rows += response.json()["rows"]
        if response.json()["next"] is None:
            return rows
        response = api.get(response.json()["next"])


@pytest.mark.parametrize("interval", ["1m", "1h"])
def test_a_premium_names_its_prices_its_rate_and_its_exchanges(
    api: httpx.Client, interval: str
) -> None:
    row = premium(api, interval=interval)[0]
    assert Decimal(row["korea_price"]) == Decimal(93250000)
    assert Decimal(row["world_price"]) == Decimal(66100)
    assert Decimal(row["rate"]) == Decimal(1400)
    assert row["rate_source"] == "USDT-KRW upbit"
    assert row["korea_exchanges"] == ["bithumb", "upbit"]
    assert row["world_exchanges"] == ["kraken", "okx"]
    expected = Decimal(93_250_000) / (Decimal(66_100) * 1_400) - 1
    assert abs(Decimal(row["premium"]) - expected) < Decimal("1e-11")
    assert row["reason"] is None


@pytest.mark.parametrize("limit", [1_000, 7])
@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_pages_of_premiums_hold_each_minute_once(api: httpx.Client, limit: int, sort: str) -> None:
    times = [row["time"] for row in premium(api, limit=limit, sort=sort)]
    assert len(times) == len(set(times)) == 120
    assert times == sorted(times, reverse=sort == "desc")


def test_a_missing_leg_is_null_with_its_reason(api: httpx.Client) -> None:
    row = premium(api)[5]
    assert (row["premium"], row["reason"]) == (None, "USDT-KRW did not trade")


def test_coverage_counts_what_is_there_and_what_is_not(
    settings: Settings, postgres_dsn: str
) -> None:
    prepare(postgres_dsn, settings)
    states = [True] * 50 + [False] * 5 + [None] * 5
    write(
        postgres_dsn,
        [
            Minute("upbit", "BTC-KRW", START + 60 * number, "1", "1", is_complete=state)
            for number, state in enumerate(states)
        ],
    )
    with serving(settings, postgres_dsn) as api:
        for _ in range(2):
            query: dict[str, Any] = {"exchange": "upbit", "from": START - 86_400}
            query["to"] = START + 86_400
            rows = api.get("/v1/coverage", params=query).json()["rows"]
            today, yesterday = rows
            assert today == {
                "exchange": "upbit",
                "symbol": "BTC-KRW",
                "time": "2024-10-23T00:00:00Z",
                "expected_minutes": 1440,
                "minutes": 60,
                "complete_minutes": 50,
                "incomplete_minutes": 5,
                "unknown_minutes": 5,
                "missing_minutes": 1380,
                "coverage": "0.034722",
                "audited_minutes": 0,
                "different_minutes": 0,
                "audited": None,
            }
            assert (yesterday["minutes"], yesterday["missing_minutes"]) == (0, 1440)
            # The second time from the sums of hours.
            with psycopg.connect(postgres_dsn, autocommit=True) as connection:
                connection.execute("SELECT refresh_hours(100)")


def test_coverage_says_how_many_minutes_equal_the_exchanges_own(
    settings: Settings, postgres_dsn: str
) -> None:
    prepare(postgres_dsn, settings)
    write(postgres_dsn, [Minute("upbit", "BTC-KRW", START + 60 * n, "1", "1") for n in range(8)])
    verdicts = ["equal"] * 6 + ["different", "unknown"]
    write_verdicts(postgres_dsn, "upbit", "BTC-KRW", START, verdicts)
    with serving(settings, postgres_dsn) as api:
        query = {"exchange": "upbit", "from": str(START), "to": str(START + 3_600)}
        (row,) = api.get("/v1/coverage", params={**query, "interval": "1h"}).json()["rows"]

    assert (row["audited_minutes"], row["different_minutes"]) == (7, 1)
    assert row["audited"] == "0.857143"


_STATUS = """
INSERT INTO feed_status (kafka_partition, kafka_offset, exchange_id, product, kind, event,
                         symbols, "time", last_good, first_good, reason)
SELECT 0, %s, exchange_id, 'spot', 'trade', %s, %s, to_timestamp(%s), to_timestamp(%s),
       to_timestamp(%s), %s FROM dim_exch WHERE code = 'upbit'
"""


def test_incidents_are_paired_with_their_end(settings: Settings, postgres_dsn: str) -> None:
    prepare(postgres_dsn, settings)
    records: list[tuple[Any, ...]] = [
        (1, "connected", None, START, None, START, ""),
        (2, "disconnected", None, START + 100, START + 95, None, "reset by peer"),
        (3, "connected", None, START + 130, None, START + 128, ""),
        (4, "filled", None, START + 140, START + 95, START + 128, ""),
        (5, "gap", ["BTC-KRW"], START + 200, START + 190, START + 195, "ids"),
        (6, "disconnected", None, START + 300, START + 299, None, "timeout"),
    ]
    with psycopg.connect(postgres_dsn) as connection:
        connection.cursor().executemany(_STATUS, records)
    with serving(settings, postgres_dsn) as api:
        rows = api.get(
            "/v1/incidents", params={"from": START, "to": START + 3_600, "sort": "asc"}
        ).json()["rows"]
    assert [(row["event"], row["from"][14:], row["until"], row["filled_at"]) for row in rows] == [
        ("disconnected", "01:35Z", "2024-10-23T00:02:08Z", "2024-10-23T00:02:20Z"),
        ("gap", "03:10Z", "2024-10-23T00:03:15Z", None),
        ("disconnected", "04:59Z", None, None),
    ]
    assert rows[1]["symbols"] == ["BTC-KRW"]


def test_minutes_that_differ_from_the_exchange_are_incidents(
    settings: Settings, postgres_dsn: str
) -> None:
    prepare(postgres_dsn, settings)
    verdicts = ["equal", "different", "different", "explained", "unknown", "different", "equal"]
    reason = "ours minus theirs: volume +1"
    write_verdicts(postgres_dsn, "okx", "BTC-USDT-PERP", START, verdicts, reason)
    write_verdicts(postgres_dsn, "upbit", "BTC-KRW", START, ["different"], reason)
    query = {"from": str(START), "to": str(START + 3_600), "sort": "asc"}
    with serving(settings, postgres_dsn) as api:
        rows = api.get("/v1/incidents", params=query).json()["rows"]
        only = api.get("/v1/incidents", params={**query, "symbol": "BTC-KRW"}).json()["rows"]
        later = {"from": str(START + 300), "to": str(START + 3_600)}
        last = api.get("/v1/incidents", params=later).json()["rows"]

    assert {(row["kind"], row["event"], row["filled_at"]) for row in rows} == {
        ("audit", "different", None)
    }
    names = ("exchange", "product", "symbols", "from", "until", "reason")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("upbit", "spot", ["BTC-KRW"], *_span(0, 1), reason),
        ("okx", "linear", ["BTC-USDT-PERP"], *_span(1, 3), f"2 minutes; in the first, {reason}"),
        ("okx", "linear", ["BTC-USDT-PERP"], *_span(5, 6), reason),
    ]
    assert [row["exchange"] for row in only] == ["upbit"]
    assert [row["from"] for row in last] == [_span(5, 6)[0]]


def _span(first: int, after: int) -> tuple[str, str]:
    return f"2024-10-23T00:{first:02}:00Z", f"2024-10-23T00:{after:02}:00Z"
