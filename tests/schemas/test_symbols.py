"""Canonical symbols are the same for every exchange, and nothing odd becomes one."""

import re

import pytest

from schemas.errors import DecodeError
from schemas.symbols import SYMBOL_PATTERN, currency, dated, perpetual, spot


def test_a_spot_market_is_base_and_quote() -> None:
    assert spot("BTC", "USDT") == "BTC-USDT"


def test_a_perpetual_swap_ends_in_perp() -> None:
    assert perpetual("ETH", "USD") == "ETH-USD-PERP"


def test_a_dated_contract_ends_in_its_day() -> None:
    assert dated("BTC", "USD", "220527") == "BTC-USD-220527"


@pytest.mark.parametrize("name", ["币안人生", "é", "ß", "Ǆ", "٣", "AAPLx", "β2", "비트"])
def test_letters_and_digits_of_any_script_stay_as_they_are(name: str) -> None:
    assert spot(name, "USDT") == f"{name}-USDT"
    assert re.fullmatch(SYMBOL_PATTERN, f"{name}-USDT-PERP")


def test_names_with_digits_are_legal() -> None:
    assert perpetual("1000SHIB", "USDT") == "1000SHIB-USDT-PERP"


@pytest.mark.parametrize(
    "name",
    ["", " BTC", "BTC-USD", "BTC\n", "B_C", "B/C", "B.C", "B\u200b", "B\x00", "币\u2028", "B" * 21],
)
def test_a_name_that_is_no_currency_is_refused(name: str) -> None:
    with pytest.raises(DecodeError, match="1 to 20 letters and digits"):
        currency(name)
    with pytest.raises(DecodeError, match="1 to 20 letters and digits"):
        spot("BTC", name)


@pytest.mark.parametrize("day", ["", "220532", "221301", "2205271", "22052", "2205²7", "ABCDEF"])
def test_a_day_that_is_not_in_the_calendar_is_refused(day: str) -> None:
    with pytest.raises(DecodeError, match="expected a day as YYMMDD"):
        dated("BTC", "USD", day)


def test_a_symbol_has_a_longest_length() -> None:
    assert len(spot("A" * 20, "B" * 19)) == 40
    with pytest.raises(DecodeError, match="at most 40 characters"):
        spot("A" * 20, "B" * 20)


def test_a_message_never_repeats_a_huge_name() -> None:
    with pytest.raises(DecodeError) as raised:
        spot("A" * 1_000_000, "USD")
    assert len(str(raised.value)) < 300
