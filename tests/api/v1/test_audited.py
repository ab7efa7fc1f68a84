import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.client import Client
from schemas.settings import Settings
from tests.api.helpers import prepare, serving
from tests.api.v1.minutes import Minute, write, write_verdicts

START = 1_729_641_600
VERDICTS = ["equal"] * 5 + ["explained", "different", "unknown"]
QUERY: dict[str, Any] = {
    "symbol": "BTC-USDT",
    "exchange": "okx",
    "from": START,
    "to": START + 600,
    "sort": "asc",
}
EXPECTED = [*VERDICTS, None, None]


@pytest.fixture(scope="module")
def api(settings: Settings, module_dsn: str) -> Iterator[httpx.Client]:
    """Serve ten minutes of two exchanges; the first eight of one of them are judged."""
    prepare(module_dsn, settings)
    write(
        module_dsn,
        [
            Minute(code, "BTC-USDT", START + 60 * number, "2", "1")
            for code in ("okx", "binance")
            for number in range(10)
        ],
    )
    write_verdicts(module_dsn, "okx", "BTC-USDT", START, VERDICTS)
    with psycopg.connect(module_dsn, autocommit=True) as connection:
        connection.execute("UPDATE schema_migrations SET applied_at = now() - interval '2 hours'")
        # Without the triggers: these minutes have always been so.
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE taker_volume SET updated_at = now() - interval '1 hour'")
    with serving(settings, module_dsn) as client:
        yield client


def audited(api: httpx.Client, **changes: Any) -> list[str | None]:
    response = api.get("/v1/taker-volume", params={**QUERY, **changes})
    assert response.status_code == 200, response.text
    return [row["audited"] for row in response.json()["rows"]]


@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_each_minute_carries_the_verdict_of_the_audit(api: httpx.Client, sort: str) -> None:
    found = audited(api, sort=sort)
    assert found == (EXPECTED if sort == "asc" else EXPECTED[::-1])
    assert audited(api, exchange="binance") == [None] * 10


def test_a_sum_or_a_past_answer_carries_no_verdict(api: httpx.Client) -> None:
    then = (datetime.now(UTC) - timedelta(minutes=30)).isoformat()
    assert audited(api, interval="5m") == [None, None]
    assert audited(api, aggregate="true", exchange="okx,binance") == [None] * 10
    assert audited(api, as_of=then) == [None] * 10


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet", "arrow"])
def test_every_format_ends_its_rows_with_the_verdict(api: httpx.Client, format_: str) -> None:
    body = api.get("/v1/taker-volume", params={**QUERY, "format": format_}).content
    rows: list[dict[str, Any]]
    if format_ == "csv":
        rows = [dict(row) for row in csv.DictReader(io.StringIO(body.decode()))]
    elif format_ == "ndjson":
        rows = [json.loads(line) for line in body.splitlines()]
    elif format_ == "parquet":
        rows = pq.read_table(io.BytesIO(body)).to_pylist()
    else:
        rows = pa.ipc.open_stream(body).read_all().to_pylist()
    assert [row["audited"] or None for row in rows] == EXPECTED
    assert all(list(row)[-1] == "audited" for row in rows)


def test_the_client_has_verdicts_and_streams_without_them(api: httpx.Client) -> None:
    with Client(str(api.base_url)) as client:
        rows = client.taker_volume("BTC-USDT", exchange="okx", start=START, end=START + 600)
        assert [row.audited for row in sorted(rows, key=lambda row: row.time)] == EXPECTED
        streamed = client.stream("BTC-USDT", exchange="okx")
        assert next(streamed).audited is None


def test_a_minute_that_differs_is_never_kept_for_ever(api: httpx.Client) -> None:
    good = {**QUERY, "to": START + 300}
    kept = [
        api.get("/v1/taker-volume", params=query).headers["cache-control"]
        for query in (good, QUERY)
    ]
    assert "immutable" in kept[0]
    assert "immutable" not in kept[1]
