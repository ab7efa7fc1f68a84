"""Canonical symbols are the same for every exchange, and nothing odd becomes one."""

import pytest

from schemas.errors import DecodeError
from schemas.symbols import currency, dated, perpetual, spot


def test_a_spot_market_is_base_and_quote() -> None:
    assert spot("BTC", "USDT") == "BTC-USDT"


def test_a_perpetual_swap_ends_in_perp() -> None:
    assert perpetual("ETH", "USD") == "ETH-USD-PERP"


def test_a_dated_contract_ends_in_its_day() -> None:
    assert dated("BTC", "USD", "220527") == "BTC-USD-220527"


def test_lower_case_is_raised() -> None:
    assert spot("btc", "krw") == "BTC-KRW"


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        (spot("XBT", "USD"), "BTC-USD"),
        (spot("XDG", "XBT"), "DOGE-BTC"),
        (perpetual("XBT", "USDT"), "BTC-USDT-PERP"),
        (dated("XBT", "USD", "210924"), "BTC-USD-210924"),
    ],
)
def test_aliases_get_their_common_name(symbol: str, expected: str) -> None:
    assert symbol == expected


def test_names_with_digits_are_legal() -> None:
    assert perpetual("1000SHIB", "USDT") == "1000SHIB-USDT-PERP"


@pytest.mark.parametrize("name", ["币安人生", "1000龙虾", "é", "ß", "٣"])
def test_letters_and_digits_of_any_script_are_legal(name: str) -> None:
    assert spot(name, "USDT") == f"{name}-USDT"


def test_only_ascii_is_folded() -> None:
    assert (currency("btc"), currency("ß"), currency("é")) == ("BTC", "ß", "é")


@pytest.mark.parametrize(
    "name", ["", " BTC", "BTC-USD", "A_B", "BTC\n", "BTC\0", "币 安", "B" * 21]
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
