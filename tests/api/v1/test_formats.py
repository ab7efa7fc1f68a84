import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.v1 import exports
from schemas.settings import Settings
from tests.api.helpers import prepare, serving
from tests.api.v1.minutes import Minute, write

START = 1_729_641_600
ROUTE = "/v1/taker-volume"
RANGE: dict[str, Any] = {
    "symbol": "BTC-USDT",
    "exchange": "okx,binance",
    "from": START,
    "to": START + 12_000,
    "sort": "asc",
}
MEDIA_TYPES = {
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}


@pytest.fixture(scope="module")
def api(settings: Settings, module_dsn: str) -> Iterator[httpx.Client]:
    prepare(module_dsn, settings)
    write(
        module_dsn,
        [
            Minute(code, "BTC-USDT", START + 60 * number, f"{number}.00000000000{number % 10}", "0")
            for code in ("okx", "binance")
            for number in range(200)
        ],
    )
    with serving(settings, module_dsn) as client:
        yield client


def json_rows(api: httpx.Client, **changes: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = api.get(ROUTE, params={**RANGE, **changes}).json()["rows"]
    return rows


def rows_of(format_: str, body: bytes) -> list[dict[str, Any]]:
    if format_ == "csv":
        return list(csv.DictReader(io.StringIO(body.decode())))
    if format_ == "ndjson":
        return [json.loads(line) for line in body.splitlines()]
    table = (
        pq.read_table(io.BytesIO(body))
        if format_ == "parquet"
        else pa.ipc.open_stream(body).read_all()
    )
    assert str(table.schema.field("taker_buy_volume").type) == "decimal128(38, 18)"
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


@pytest.mark.parametrize("format_", MEDIA_TYPES)
@pytest.mark.parametrize("by_header", [True, False])
def test_every_format_has_the_same_exact_rows(
    api: httpx.Client, format_: str, by_header: bool
) -> None:
    media_type = MEDIA_TYPES[format_]
    response = (
        api.get(ROUTE, params=RANGE, headers={"accept": media_type})
        if by_header
        else api.get(ROUTE, params={**RANGE, "format": format_})
    )
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].partition(";")[0] == media_type
    rows = rows_of(format_, response.content)
    expected = json_rows(api)
    assert len(rows) == len(expected) == 400
    for row, wanted in zip(rows, expected, strict=True):
        assert list(row) == list(wanted)
        assert (row["exchange"], row["symbol"]) == (wanted["exchange"], wanted["symbol"])
        for name in ("taker_buy_volume", "cvd", "vwap", "notional_usd"):
            assert Decimal(row[name]) == Decimal(wanted[name])


@pytest.mark.parametrize("format_", MEDIA_TYPES)
@pytest.mark.parametrize(
    ("route", "parameters"),
    [
        (ROUTE, {"aggregate": "true"}),
        ("/v1/orderbook", {}),
        ("/v1/coverage", {"interval": "1h"}),
    ],
)
def test_every_route_has_every_format(
    api: httpx.Client, route: str, format_: str, parameters: dict[str, str]
) -> None:
    query: dict[str, Any] = {**RANGE, **parameters, "format": format_, "numbers": "float"}
    response = api.get(route, params=query)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].partition(";")[0] == MEDIA_TYPES[format_]


def test_a_limit_holds_for_a_format_too(api: httpx.Client) -> None:
    response = api.get(ROUTE, params={**RANGE, "format": "ndjson", "limit": 5})
    assert len(response.content.splitlines()) == 5


def test_a_format_that_nobody_knows_is_refused(api: httpx.Client) -> None:
    assert api.get(ROUTE, headers={"accept": "image/png"}).status_code == 406
    assert api.get(ROUTE, params={"format": "xml"}).status_code == 400


def test_without_its_package_a_format_is_refused_by_name(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "find_spec", lambda _: None)
    response = api.get(ROUTE, params={**RANGE, "format": "parquet"})
    assert response.status_code == 406
    assert "marketflow[parquet]" in response.json()["detail"]


def test_what_does_not_fit_is_an_error_not_a_rounded_number(
    settings: Settings, postgres_dsn: str
) -> None:
    prepare(postgres_dsn, settings)
    write(postgres_dsn, [Minute("okx", "BTC-USDT", START, "0.0000000000000000001", "1")])
    with serving(settings, postgres_dsn) as api:
        assert api.get(ROUTE, params={**RANGE, "format": "csv"}).status_code == 200
        assert api.get(ROUTE, params={**RANGE, "format": "arrow"}).status_code == 500


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_each_coding_has_a_strong_tag_of_its_own(api: httpx.Client, coding: str) -> None:
    headers = {"accept-encoding": coding}
    first = api.get(ROUTE, params=RANGE, headers=headers)
    tag = first.headers["etag"]
    assert tag.endswith('-gzip"') is (coding == "gzip")
    assert first.headers.get("content-encoding") == ("gzip" if coding == "gzip" else None)
    again = api.get(ROUTE, params=RANGE, headers={**headers, "if-none-match": f'"x", W/{tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert again.headers["vary"] == "Accept, Accept-Encoding"


def test_only_what_can_hardly_change_is_immutable(api: httpx.Client) -> None:
    def caching(**changes: Any) -> str:
        return api.get(ROUTE, params={**RANGE, **changes}).headers["cache-control"]

    assert caching() == "public, max-age=31536000, immutable"
    assert caching(to=START + 24_000) == "public, max-age=60, stale-while-revalidate=60"
    assert caching(to="now", **{"from": "-1h"}) == "no-cache"
    assert api.get("/v1/exchanges").headers["cache-control"] == "no-cache"
