import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import psycopg
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schemas.exchanges import EXCHANGES
from schemas.settings import Settings
from tests.api.helpers import FIRST_MINUTE, MINUTES, insert, prepare, serving

END = FIRST_MINUTE + 60 * (MINUTES - 1)
PRIMARY = {
    "upbit": "BTC-KRW",
    "bithumb": "BTC-KRW",
    "korbit": "BTC-KRW",
    "coinone": "BTC-KRW",
    "okx": "BTC-USDT",
    "bybit": "BTC-USD-PERP",
    "gateio": "BTC-USDT",
    "binance": "BTC-USDT-PERP",
    "kraken": "BTC-USD",
    "bitmex": "BTC-USD-PERP",
}
# As the API sorts them: by code point, whatever the locale of the database.
NAMES = [
    "Binance",
    "BitMEX",
    "Bithumb",
    "Bybit",
    "Coinone",
    "Gateio",
    "Korbit",
    "Kraken",
    "OKX",
    "Upbit",
]
INJECTION = "1'; DROP TABLE taker_volume; --"


def get(api: httpx.Client, path: str) -> list[dict[str, Any]]:
    response = api.get(path)
    assert response.status_code == 200, response.text
    rows: list[dict[str, Any]] = response.json()
    return rows


def times(rows: list[dict[str, Any]]) -> list[int]:
    return [row["timestamp"] for row in rows]


def test_a_row_has_exactly_the_fields_of_the_contract(api: httpx.Client) -> None:
    (row,) = get(api, f"/taker_volume/binance/from={FIRST_MINUTE}/to={FIRST_MINUTE}")
    created_at = datetime.fromisoformat(row.pop("created_at"))
    assert row == {
        "exchange_name": "Binance",
        "symbol": "BTC-USDT-PERP",
        "timestamp": FIRST_MINUTE,
        "taker_buy_volume": "0.50",
        "taker_sell_volume": "0.00000000",
    }
    assert created_at.utcoffset() == timedelta(0)
    assert timedelta(0) <= datetime.now(UTC) - created_at < timedelta(hours=1)


def test_created_at_is_utc_with_a_z(api: httpx.Client) -> None:
    (row,) = get(api, f"/taker_volume/okx/from={FIRST_MINUTE}/to={FIRST_MINUTE}")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", row["created_at"])


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_both_ends_are_inclusive(api: httpx.Client, exchange: str) -> None:
    first, last = FIRST_MINUTE + 60, FIRST_MINUTE + 180
    base = f"/taker_volume/{exchange}"
    assert times(get(api, f"{base}/from={first}/to={last}")) == [last, last - 60, first]
    assert times(get(api, f"{base}/from={first + 1}/to={last - 1}")) == [last - 60]


def test_both_ends_are_inclusive_for_every_exchange_of_all(api: httpx.Client) -> None:
    first, last = FIRST_MINUTE + 60, FIRST_MINUTE + 120
    rows = get(api, f"/taker_volume/all_exchange/from={first}/to={last}/100")
    expected = [(start, name) for start in (last, first) for name in NAMES]
    assert [(row["timestamp"], row["exchange_name"]) for row in rows] == expected


def test_the_limit_of_all_exchanges_is_that_of_the_array(api: httpx.Client) -> None:
    rows = get(api, f"/taker_volume/all_exchange/from={FIRST_MINUTE}/to={END}/15")
    expected = [(END, name) for name in NAMES] + [(END - 60, name) for name in NAMES[:5]]
    assert [(row["timestamp"], row["exchange_name"]) for row in rows] == expected


@pytest.mark.parametrize(("exchange", "symbol"), PRIMARY.items())
def test_an_exchange_shows_its_primary_symbol(
    api: httpx.Client, exchange: str, symbol: str
) -> None:
    rows = get(api, f"/taker_volume/{exchange}/from={FIRST_MINUTE}/to={END}")
    assert {row["symbol"] for row in rows} == {symbol}


def test_all_exchanges_show_each_its_own_primary_symbol(
    api: httpx.Client, settings: Settings
) -> None:
    rows = get(api, f"/taker_volume/all_exchange/from={END}/to={END}/100")
    expected = {settings.exchanges[code].market: symbol for code, symbol in PRIMARY.items()}
    assert {row["exchange_name"]: row["symbol"] for row in rows} == expected


def test_another_symbol_is_shown_when_asked_for(api: httpx.Client) -> None:
    rows = get(api, f"/taker_volume/binance/from={FIRST_MINUTE}/to={END}?symbol=ETH-USDT")
    assert [(row["symbol"], row["taker_buy_volume"]) for row in rows] == [("ETH-USDT", "7")] * 3


def test_another_symbol_is_shown_of_every_exchange_that_has_it(api: httpx.Client) -> None:
    path = f"/taker_volume/all_exchange/from={FIRST_MINUTE}/to={FIRST_MINUTE}?symbol=ETH-USDT"
    assert [row["exchange_name"] for row in get(api, path)] == ["Binance", "OKX"]


def test_a_range_or_a_symbol_without_minutes_is_an_empty_array(api: httpx.Client) -> None:
    assert get(api, f"/taker_volume/binance/from=0/to={FIRST_MINUTE - 1}") == []
    path = f"/taker_volume/binance/from={FIRST_MINUTE}/to={END}?symbol=NO-SUCH-PERP"
    assert get(api, path) == []


@pytest.mark.parametrize(
    ("limit", "length"),
    [
        ("", 10),
        ("/9", 10),
        ("/10", 10),
        ("/11", 11),
        ("/99", 99),
        ("/100", 100),
        ("/101", 10),
        ("/0", 10),
        ("/-1", 10),
        ("/-50", 10),
        ("/050", 50),
        ("/99999999999999999999999999999999999", 10),
        (f"/{'9' * 6_000}", 10),
    ],
)
def test_the_limit_is_10_to_100_and_else_10(api: httpx.Client, limit: str, length: int) -> None:
    rows = get(api, f"/taker_volume/upbit/from={FIRST_MINUTE}/to={END}{limit}")
    assert times(rows) == [END - 60 * number for number in range(length)]


def test_the_widest_range_is_answered_newest_first(api: httpx.Client) -> None:
    rows = get(api, "/taker_volume/kraken/from=0/to=4102444800")
    assert times(rows) == [END - 60 * number for number in range(10)]


def test_percent_encoded_segments_mean_the_same(api: httpx.Client) -> None:
    rows = get(api, f"/taker_volume/kr%61ken/from%3D{END}/to%3D{END}/%31%30?symbol=BTC%2DUSD")
    assert times(rows) == [END]


def test_volumes_are_exact_plain_decimals(postgres_dsn: str, settings: Settings) -> None:
    volumes = [
        "123456789012345678901234567890.123456789012345678901234567890",
        "0.00000000",
        "0",
        "0.000000000001",
        "100000000000000000000",
        "12.3450",
    ]
    prepare(postgres_dsn, settings)
    insert(
        postgres_dsn,
        *[
            ("binance", "BTC-USDT-PERP", FIRST_MINUTE - 60 * number, volume, volume)
            for number, volume in enumerate(volumes)
        ],
    )
    with serving(settings, postgres_dsn) as api:
        rows = get(api, f"/taker_volume/binance/from=0/to={FIRST_MINUTE}")
    assert [row["taker_buy_volume"] for row in rows] == volumes
    assert [row["taker_sell_volume"] for row in rows] == volumes


def test_the_live_minute_is_there_as_an_estimate(postgres_dsn: str, settings: Settings) -> None:
    prepare(postgres_dsn, settings)
    insert(postgres_dsn, ("bitmex", "BTC-USD-PERP", FIRST_MINUTE, "1.5", "2"), is_final=False)
    with serving(settings, postgres_dsn) as api:
        rows = get(api, f"/taker_volume/bitmex/from={FIRST_MINUTE}/to={FIRST_MINUTE}")
    assert [row["taker_buy_volume"] for row in rows] == ["1.5"]


def test_months_follow_each_other_without_a_seam(postgres_dsn: str, settings: Settings) -> None:
    november = int(datetime(2024, 11, 1, tzinfo=UTC).timestamp())
    starts = [november + 60 * number for number in (1, 0, -1, -2)]
    prepare(postgres_dsn, settings)
    insert(postgres_dsn, *[("okx", "BTC-USDT", start, "1", "1") for start in starts])
    with serving(settings, postgres_dsn) as api:
        assert times(get(api, "/taker_volume/okx/from=0/to=4102444800")) == starts


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("nyse/from=1/to=2", "exchange"),
        ("Binance/from=1/to=2", "exchange"),
        ("%20/from=1/to=2", "exchange"),
        ("binance%00/from=1/to=2", "exchange"),
        ("binance/from=2/to=1", "from"),
        ("binance/from=/to=2", "from"),
        ("binance/from=x/to=2", "from"),
        ("binance/from=-1/to=2", "from"),
        ("binance/from=+1/to=2", "from"),
        ("binance/from=1.5/to=2", "from"),
        ("binance/from=1e3/to=2000", "from"),
        ("binance/from=1_000/to=2000", "from"),
        ("binance/from=%201/to=2", "from"),
        ("binance/from=1%0A/to=2", "from"),
        ("binance/from=0x10/to=20", "from"),
        ("binance/from=NaN/to=2", "from"),
        ("binance/from=1=1/to=2", "from"),
        ("binance/from=%D9%A1/to=2", "from"),
        ("binance/from=%EF%BC%91/to=2", "from"),
        ("binance/from=%C2%B2/to=2", "from"),
        ("binance/from=4102444801/to=2", "from"),
        ("binance/from=1729678800000/to=2", "from"),
        (f"binance/from={'9' * 6_000}/to=2", "from"),
        ("binance/1/to=2", "from"),
        ("binance/FROM=1/to=2", "from"),
        ("binance/start=1/to=2", "from"),
        ("binance/from=1/to=", "to"),
        ("binance/from=1/to=2.0", "to"),
        ("binance/from=1/until=2", "to"),
        ("binance/from=1/to=99999999999999999999", "to"),
        ("binance/from=1/to=2/ten", "limit"),
        ("binance/from=1/to=2/10.5", "limit"),
        ("binance/from=1/to=2/1e2", "limit"),
        ("binance/from=1/to=2/%D9%A1%D9%A0", "limit"),
        ("binance/from=1/to=2/--10", "limit"),
        ("binance/from=1/to=2/limit=20", "limit"),
        ("binance/from=1/to=2?symbol=", "symbol"),
        ("binance/from=1/to=2?symbol=BTC", "symbol"),
        ("binance/from=1/to=2?symbol=BTCUSDT", "symbol"),
        ("binance/from=1/to=2?symbol=btc_usdt", "symbol"),
        ("binance/from=1/to=2?symbol=BTC-USDT-SWAP", "symbol"),
        ("binance/from=1/to=2?symbol=BTC-USDT%0A", "symbol"),
        ("binance/from=1/to=2?symbol=BTC-USDT-%D9%A1%D9%A1%D9%A1%D9%A1%D9%A1%D9%A1", "symbol"),
        (f"binance/from=1/to=2?symbol={'A' * 20}-{'B' * 20}-PERP", "symbol"),
        ("binance/from=1/to=2?symbol=BTC-USDT&symbol=ETH-USDT", "symbol"),
        ("binance/from=1/to=2?sybmol=BTC-USDT", "sybmol"),
        ("binance/from=1/to=2?limit=20", "limit"),
        (f"{quote(INJECTION, safe='')}/from=1/to=2", "exchange"),
        (f"binance/from={quote(INJECTION, safe='')}/to=2", "from"),
        (f"binance/from=1/to={quote(INJECTION, safe='')}", "to"),
        (f"binance/from=1/to=2/{quote(INJECTION, safe='')}", "limit"),
        (f"binance/from=1/to=2?symbol={quote(INJECTION, safe='')}", "symbol"),
        (f"binance/from=1/to=2?{quote(INJECTION, safe='')}=1", INJECTION),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    api: httpx.Client, filled_dsn: str, path: str, parameter: str
) -> None:
    response = api.get(f"/taker_volume/{path}")
    problem = response.json()
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == 400
    assert problem["parameter"] == parameter
    assert problem["title"] == "Invalid parameter"
    assert problem["detail"].startswith(f"{parameter}: ")
    assert problem["instance"].startswith("/taker_volume/")
    assert "errors" not in problem
    with psycopg.connect(filled_dsn) as connection:
        count = connection.execute("SELECT count(*) FROM taker_volume").fetchone()
    assert count == (len(EXCHANGES) * MINUTES + 6,)


def test_an_unknown_exchange_is_answered_with_the_known_ones(api: httpx.Client) -> None:
    detail = api.get("/taker_volume/nyse/from=1/to=2").json()["detail"]
    assert all(exchange in detail for exchange in (*EXCHANGES, "all_exchange"))


def test_several_mistakes_are_all_named(api: httpx.Client) -> None:
    problem = api.get("/taker_volume/nyse/from=x/to=2/ten").json()
    assert [error["parameter"] for error in problem["errors"]] == ["exchange", "from", "limit"]
    assert problem["parameter"] == "exchange"
    assert all(error["detail"] in problem["detail"] for error in problem["errors"])


@pytest.mark.parametrize(
    "path", ["/taker_volume", "/taker_volume/binance", "/taker_volume/binance/from=1"]
)
def test_a_path_that_is_too_short_is_not_found(api: httpx.Client, path: str) -> None:
    assert api.get(path).status_code == 404


segments = st.text(max_size=60) | st.sampled_from(
    ["", "all_exchange", "binance", "from=1", "to=2", "from=9e9", "%", "..", "\x00", INJECTION]
)


@hypothesis_settings(deadline=None, max_examples=200)
@given(st.lists(segments, max_size=6), st.lists(st.tuples(segments, segments), max_size=2))
@example(["binance", "from=0", "to=4102444800", "100"], [])
@example(["all_exchange", "from=1", "to=2", "3"], [("symbol", "\ud7ff")])
def test_no_address_makes_the_server_fail(
    api: httpx.Client, parts: list[str], query: list[tuple[str, str]]
) -> None:
    path = "/".join(["/taker_volume", *(quote(part, safe="=") for part in parts)])
    response = api.get(path, params=urlencode(query))
    assert response.status_code in {200, 400, 404}
    if response.status_code != 200:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == response.status_code
