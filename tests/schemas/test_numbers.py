"""Exact arithmetic, its bounds, and the one rounding."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DecodeError
from schemas.numbers import LARGEST, SMALLEST, are_amounts, exact_product, plain, quotient


def test_a_product_keeps_every_digit() -> None:
    assert exact_product(Decimal("66609.22000000"), Decimal("0.00160000")) == Decimal("106.574752")


@pytest.mark.parametrize("bad", ["0", "-1", "NaN", "sNaN", "Infinity", "1e400", "1e-400"])
def test_what_no_market_has_is_refused_with_its_value(bad: str) -> None:
    with pytest.raises(DecodeError, match="expected two positive numbers"):
        exact_product(Decimal(bad), Decimal(1))
    with pytest.raises(DecodeError, match="expected two positive numbers"):
        exact_product(Decimal(1), Decimal(bad))


def test_more_digits_than_a_market_has_are_refused() -> None:
    with pytest.raises(DecodeError, match="at most 64 digits"):
        exact_product(Decimal("1." + "1" * 70), Decimal(1))


@given(st.lists(st.decimals() | st.decimals(min_value=SMALLEST, max_value=1_000), min_size=1))
def test_what_passes_together_would_pass_one_by_one(numbers: list[Decimal]) -> None:
    if are_amounts(numbers):
        assert all(number.is_finite() and SMALLEST <= number <= LARGEST for number in numbers)
        assert all(len(number.as_tuple().digits) <= 64 for number in numbers)
        for number in numbers:
            exact_product(number, max(numbers, key=lambda each: len(each.as_tuple().digits)))


def test_two_amounts_whose_product_is_too_long_do_not_pass() -> None:
    long = Decimal("1." + "1" * 39)
    assert not are_amounts([long])
    with pytest.raises(DecodeError, match="at most 64 digits"):
        exact_product(long, long)


def test_amounts_of_a_market_pass_together() -> None:
    assert are_amounts([Decimal("66609.22"), Decimal("0.00160000"), Decimal("1E+3")])
    assert are_amounts([SMALLEST])
    assert are_amounts([LARGEST])


@pytest.mark.parametrize("bad", ["0", "-1", "NaN", "sNaN", "Infinity", "1e25", "1e-25"])
def test_one_bad_amount_stops_all(bad: str) -> None:
    assert not are_amounts([Decimal(1), Decimal(bad)])
    assert not are_amounts([Decimal(bad)])


@pytest.mark.parametrize(
    ("dividend", "divisor", "expected"),
    [
        ("100", "60000.5", "0.001666652778"),
        ("1", "3", "0.333333333333"),
        ("2", "3", "0.666666666667"),
        ("0.0000000000005", "1", "0.000000000000"),  # half goes to the even neighbour: down here
        ("0.0000000000015", "1", "0.000000000002"),  # and up here
    ],
)
def test_a_quotient_is_rounded_half_even_to_12_decimals(
    dividend: str, divisor: str, expected: str
) -> None:
    assert plain(quotient(Decimal(dividend), Decimal(divisor))) == expected


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_plain_text_has_no_exponent_and_loses_nothing(number: Decimal) -> None:
    assert "E" not in plain(number)
    assert Decimal(plain(number)) == number
