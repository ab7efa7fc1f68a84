"""The facts of the exchanges: stable ids, packages found by being there."""

from pathlib import Path

import pytest

import schemas.exchanges
from schemas.exchanges import EXCHANGES, discover

PACKAGE = """
from schemas.exchanges.upbit import EXCHANGE as UPBIT
import msgspec
EXCHANGE = msgspec.structs.replace(UPBIT, id={id}, code="{code}")
"""


def test_ids_are_those_of_every_database_ever_made() -> None:
    assert {code: exchange.id for code, exchange in EXCHANGES.items()} == {
        "upbit": 1,
        "bithumb": 2,
        "korbit": 3,
        "coinone": 4,
        "okx": 5,
        "bybit": 6,
        "gateio": 7,
        "binance": 8,
        "kraken": 9,
        "bitmex": 10,
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(schemas.exchanges, "__path__", [*schemas.exchanges.__path__, str(tmp_path)])
    return tmp_path


def add(folder: Path, name: str, number: int, code: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(PACKAGE.format(id=number, code=code))


def test_a_package_is_found_by_being_there(folder: Path) -> None:
    add(folder, "found_a", 11, "found_a")
    assert {code: found.id for code, found in discover([str(folder)]).items()} == {"found_a": 11}


def test_two_exchanges_with_one_id_are_refused(folder: Path) -> None:
    add(folder, "found_b", 11, "found_b")
    add(folder, "found_c", 11, "found_c")
    with pytest.raises(ValueError, match="found_c: expected an id of its own, found_b has it"):
        discover([str(folder)])


def test_a_package_that_is_not_named_like_its_exchange_is_refused(folder: Path) -> None:
    add(folder, "found_d", 11, "other")
    with pytest.raises(ValueError, match="found_d: expected its code, got 'other'"):
        discover([str(folder)])


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)
def test_every_native_form_is_of_a_product_that_is_read(exchange: object) -> None:
    assert isinstance(exchange, schemas.exchanges.Exchange)
    assert set(exchange.native_symbols) <= set(exchange.products)
    assert exchange.default_product in exchange.products
