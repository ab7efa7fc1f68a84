"""The table of instruments: kept by the collector, read for contract sizes."""

import logging
from decimal import Decimal

import psycopg
import pytest

from connectors.postgres.instruments import ListedSizes, store, stored
from schemas.instruments import Instrument
from schemas.symbols import perpetual


def contract(name: str, size: str | None, **fields: object) -> Instrument:
    return Instrument(
        product="linear",
        native_symbol=f"{name}-USDT-SWAP",
        symbol=perpetual(name, "USDT"),
        contract_size=None if size is None else Decimal(size),
        **fields,  # type: ignore[arg-type]
    )


def test_a_list_is_kept_as_it_was_given(dsn: str) -> None:
    given = [
        contract("BTC", "0.01", tick_size=Decimal("0.1"), turnover=Decimal("1e9")),
        contract("ETH", "0.1", status="suspend", listed_at_ms=1_700_000_000_000),
    ]
    store(dsn, "okx", "linear", given)
    store(dsn, "okx", "linear", given)
    found = stored(dsn, "okx", "linear")
    assert {i.symbol: i.contract_size for i in found} == {
        "BTC-USDT-PERP": Decimal("0.01"),
        "ETH-USDT-PERP": Decimal("0.1"),
    }
    assert {i.symbol: i.status for i in found} == {
        "BTC-USDT-PERP": "trading",
        "ETH-USDT-PERP": "suspend",
    }
    assert stored(dsn, "okx", "spot") == []


def test_what_leaves_the_list_is_delisted(dsn: str) -> None:
    store(dsn, "okx", "linear", [contract("BTC", "0.01"), contract("ETH", "0.1")])
    store(dsn, "okx", "linear", [contract("BTC", "0.01")])
    assert {i.symbol: i.status for i in stored(dsn, "okx", "linear")} == {
        "BTC-USDT-PERP": "trading",
        "ETH-USDT-PERP": "delisted",
    }
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT delisted_at IS NOT NULL FROM instrument ORDER BY symbol")
        assert rows.fetchall() == [(False,), (True,)]


def test_a_changed_contract_size_is_not_followed(dsn: str) -> None:
    store(dsn, "okx", "linear", [contract("BTC", "0.01")])
    store(dsn, "okx", "linear", [contract("BTC", "0.1")])
    assert stored(dsn, "okx", "linear")[0].contract_size == Decimal("0.01")


def test_sizes_are_read_when_a_contract_is_asked_for(dsn: str) -> None:
    sizes = ListedSizes(dsn, "okx", {})
    assert sizes.get("BTC-USDT-SWAP") is None
    store(dsn, "okx", "linear", [contract("BTC", "0.01")])
    later = ListedSizes(dsn, "okx", {})
    assert later.get("BTC-USDT-SWAP") == Decimal("0.01")
    assert later.get("DOGE-USDT-SWAP") is None


def test_the_size_of_the_settings_goes_first_and_the_difference_is_told(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    store(dsn, "okx", "linear", [contract("BTC", "0.01"), contract("ETH", "0.1")])
    sizes = ListedSizes(dsn, "okx", {"BTC-USDT-SWAP": Decimal("0.5")})
    with caplog.at_level(logging.ERROR):
        assert sizes["ETH-USDT-SWAP"] == Decimal("0.1")
    assert sizes["BTC-USDT-SWAP"] == Decimal("0.5")
    assert "a contract of 0.01 by the exchange's list, but 0.5 is used here" in caplog.text


def test_a_server_that_is_away_is_no_contract_size() -> None:
    sizes = ListedSizes("postgresql://nobody@127.0.0.1:1/none", "okx", {})
    assert sizes.get("BTC-USDT-SWAP") is None
