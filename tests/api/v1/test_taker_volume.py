from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from schemas.settings import Settings
from tests.api.helpers import prepare, serving
from tests.api.v1.minutes import Minute, write

START = 1_729_641_600  # 2024-10-23T00:00:00Z
MINUTES = 300
ROUTE = "/v1/taker-volume"
COLUMNS = [
    *("exchange", "symbol", "time", "taker_buy_volume", "taker_sell_volume"),
    *("taker_buy_notional", "taker_sell_notional", "buy_count", "sell_count", "delta", "cvd"),
    *("taker_buy_ratio", "taker_sell_ratio", "taker_buy_sell_ratio"),
    *("open", "high", "low", "close", "vwap", "notional_usd", "usd_rate", "usd_rate_source"),
    *("is_final", "is_complete", "revision", "audited"),
]


def all_minutes() -> list[Minute]:
    """Return five hours of three markets, one of them paid in won, with the won's rate."""
    minutes = []
    for number in range(MINUTES):
        at = START + 60 * number
        buy, sell = f"{number % 7}.{number:03}", f"{number % 5}.1"
        minutes += [
            Minute("binance", "BTC-USDT", at, buy, sell, f"{60_000 + number}"),
            Minute("okx", "BTC-USDT", at, sell, buy, f"{60_001 + number}"),
            Minute("upbit", "BTC-KRW", at, buy, "0", "84000000"),
            Minute("upbit", "USDT-KRW", at, "10", "10", "1400"),
        ]
    return minutes


@pytest.fixture(scope="module")
def api(settings: Settings, module_dsn: str) -> Iterator[httpx.Client]:
    prepare(module_dsn, settings)
    write(module_dsn, all_minutes())
    with serving(settings, module_dsn) as client:
        yield client


def rows_of(api: httpx.Client, **parameters: Any) -> list[dict[str, Any]]:
    """Return the rows of all pages."""
    names = {"from_": "from"}
    response = api.get(ROUTE, params={names.get(k, k): v for k, v in parameters.items()})
    rows: list[dict[str, Any]] = []
    while True:
        assert response.status_code == 200, response.text
        answer = response.json()
        rows += answer["rows"]
        if answer["next"] is None:
            return rows
        assert response.headers["link"] == f'<{answer["next"]}>; rel="next"'
        response = api.get(answer["next"])


def test_a_row_has_the_columns_of_the_contract(api: httpx.Client) -> None:
    (row,) = rows_of(api, symbol="BTC-KRW", exchange="upbit", from_=START + 60, to=START + 120)
    assert list(row) == COLUMNS
    assert row == {
        "exchange": "upbit",
        "symbol": "BTC-KRW",
        "time": "2024-10-23T00:01:00Z",
        "taker_buy_volume": "1.001",
        "taker_sell_volume": "0",
        "taker_buy_notional": "84084000.000",
        "taker_sell_notional": "0",
        "buy_count": 1,
        "sell_count": 2,
        "delta": "1.001",
        "cvd": "1.001",
        "taker_buy_ratio": "1.000000000000",
        "taker_sell_ratio": "0.000000000000",
        "taker_buy_sell_ratio": None,
        "open": "84000000",
        "high": "84000001",
        "low": "83999999",
        "close": "84000000",
        "vwap": "84000000",
        "notional_usd": "60060.000000024000",
        "usd_rate": "0.000714285714285714",
        "usd_rate_source": "USDT-KRW upbit 2024-10-23T00:01:00Z",
        "is_final": True,
        "is_complete": True,
        "revision": 1,
        "audited": None,
    } | {"notional_usd": row["notional_usd"]}
    assert abs(Decimal(row["notional_usd"]) - 60_060) < Decimal("0.001")


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1_000, 7])
def test_pages_hold_every_minute_once_in_order(api: httpx.Client, sort: str, limit: int) -> None:
    rows = rows_of(api, symbol="BTC-USDT", from_=START, to=START + 1_800, sort=sort, limit=limit)
    keys = [(row["time"], row["exchange"]) for row in rows]
    assert len(set(keys)) == len(keys) == 60
    times = [time for time, _ in keys]
    assert times == sorted(times, reverse=sort == "desc")
    assert [each for _, each in keys] == ["binance", "okx"] * 30


@pytest.mark.parametrize("interval", ["1m", "5m", "15m", "30m", "1h"])
@pytest.mark.parametrize("limit", [1_000, 3])
@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_intervals_are_exact_sums_with_a_running_sum(
    api: httpx.Client, interval: str, limit: int, sort: str
) -> None:
    step = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60}[interval]
    end = 30 if interval == "1m" else 300
    rows = rows_of(
        api,
        symbol="BTC-USDT",
        exchange="binance",
        from_=START,
        to=START + 60 * end,
        interval=interval,
        limit=limit,
        sort=sort,
    )
    if sort == "desc":
        rows.reverse()
    minutes = [each for each in all_minutes() if each.code == "binance"]
    running = Decimal(0)
    assert len(rows) == end // step
    for number, row in enumerate(rows):
        part = minutes[number * step : (number + 1) * step]
        running += sum(each.delta for each in part)
        assert Decimal(row["taker_buy_volume"]) == sum(Decimal(each.buy) for each in part)
        assert Decimal(row["cvd"]) == running
        assert row["open"] == part[0].price
        assert row["close"] == part[-1].price
        assert Decimal(row["high"]) == max(Decimal(each.price) for each in part) + 1
        assert row["is_final"] is True
        assert row["is_complete"] is True


def test_a_sum_of_exchanges_names_them(api: httpx.Client) -> None:
    rows = rows_of(
        api, symbol="BTC-USDT", from_=START, to=START + 600, aggregate="true", sort="asc", limit=4
    )
    assert len(rows) == 10
    assert all(row["exchanges"] == ["binance", "okx"] for row in rows)
    assert all(row["cvd"] == "0.000" or Decimal(row["cvd"]) == 0 for row in rows)
    assert "exchange" not in rows[0]
    assert rows[0]["open"] is None


def test_a_base_means_every_market_of_a_coin(api: httpx.Client) -> None:
    rows = rows_of(api, base="BTC", from_=START, to=START + 60)
    assert [(row["exchange"], row["symbol"]) for row in rows] == [
        ("binance", "BTC-USDT"),
        ("okx", "BTC-USDT"),
        ("upbit", "BTC-KRW"),
    ]


def test_a_day_begins_at_the_midnight_of_its_offset(api: httpx.Client) -> None:
    rows = rows_of(
        api,
        symbol="BTC-USDT",
        exchange="okx",
        interval="1d",
        utc_offset="+09:00",
        from_=START - 86_400,
        to=START + 86_400,
    )
    assert [row["time"] for row in rows] == ["2024-10-22T15:00:00Z"]


@pytest.mark.parametrize(
    "when", [START, START * 1_000, "2024-10-23T00:00:00Z", "2024-10-23T09:00:00+09:00"]
)
def test_times_are_read_in_every_form(api: httpx.Client, when: Any) -> None:
    rows = rows_of(api, symbol="BTC-USDT", exchange="okx", from_=when, to=START + 60)
    assert [row["time"] for row in rows] == ["2024-10-23T00:00:00Z"]


def test_numbers_are_floats_on_request(api: httpx.Client) -> None:
    (row,) = rows_of(
        api, symbol="BTC-USDT", exchange="okx", from_=START, to=START + 60, numbers="float"
    )
    assert row["taker_buy_volume"] == 0.1


def test_the_answer_repeats_the_question_and_the_range(api: httpx.Client) -> None:
    answer = api.get(
        ROUTE, params={"symbol": "BTC-USDT", "from": START - 600, "to": START + 600, "limit": 4}
    ).json()
    assert list(answer) == ["query", "from", "to", "rows", "next"]
    assert answer["query"]["from"] == "2024-10-22T23:50:00Z"
    assert (answer["from"], answer["to"]) == ("2024-10-23T00:08:00Z", "2024-10-23T00:10:00Z")


def test_everything_that_is_wrong_is_named_at_once(api: httpx.Client) -> None:
    response = api.get(
        ROUTE,
        params={
            "exchange": "nyse",
            "symbol": "btc",
            "from": "yesterday",
            "interval": "2m",
            "limit": "0",
            "cursor": "forged",
            "colour": "red",
        },
    )
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert {error["parameter"] for error in response.json()["errors"]} == {
        "exchange", "symbol", "from", "interval", "limit", "cursor", "colour",
    }  # fmt: skip


def test_a_cursor_belongs_to_its_question(api: httpx.Client) -> None:
    parameters: dict[str, Any] = {"symbol": "BTC-USDT", "from": START, "to": START + 600}
    parameters["limit"] = 2
    after = api.get(ROUTE, params=parameters).json()["next"]
    response = api.get(after.replace("BTC-USDT", "BTC-KRW"))
    assert response.status_code == 400
    assert response.json()["parameter"] == "cursor"


def test_symbols_of_any_script_are_answered(api: httpx.Client) -> None:
    response = api.get(ROUTE, params={"symbol": "币安人生-USDT", "from": START, "to": START + 60})
    assert response.status_code == 200
    assert response.json()["query"]["symbol"] == ["币安人生-USDT"]
    assert response.json()["rows"] == []


def test_exchanges_and_symbols_say_what_there_is(api: httpx.Client) -> None:
    exchanges = {row["exchange"]: row for row in api.get("/v1/exchanges").json()["rows"]}
    assert len(exchanges) == 10
    assert exchanges["upbit"]["markets"] == 2
    symbols = api.get("/v1/symbols", params={"exchange": "upbit"}).json()["rows"]
    assert [(row["symbol"], row["first_minute"]) for row in symbols] == [
        ("BTC-KRW", "2024-10-23T00:00:00Z"),
        ("USDT-KRW", "2024-10-23T00:00:00Z"),
    ]
