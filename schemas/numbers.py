"""Exact numbers: the one decimal context of trade arithmetic, and the bounds of what counts.

Additions and products of prices and sizes are exact: the context raises instead of rounding.
Where a division is needed (contracts into base units), it is rounded half-even to 12 decimals.
"""

import decimal
from collections.abc import Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Final

from schemas.errors import DecodeError

# A price or size outside these bounds is a broken feed, not a market: 1e-24 is a millionth of
# the smallest unit any of the exchanges quotes (1e-18), 1e24 a million times the largest.
SMALLEST: Final = Decimal("1e-24")
LARGEST: Final = Decimal("1e24")
_ZERO: Final = Decimal(0)

# 64 digits hold every product of two real numbers of a market; a frame with longer ones is
# refused by `exact_product` before it can grow a sum without bound.
PRODUCT: Final = decimal.Context(
    prec=64, traps=[decimal.Inexact, decimal.Rounded, decimal.InvalidOperation, decimal.Overflow]
)
# Two numbers that fit this have such a product.
FACTOR: Final = decimal.Context(prec=PRODUCT.prec // 2, traps=PRODUCT.traps)
# Sums of such products: magnitude 48 digits, fraction at most 64 + 48, and room to count.
SUM: Final = decimal.Context(
    prec=256, traps=[decimal.Inexact, decimal.InvalidOperation, decimal.Overflow]
)
# Far more digits than any quotient needs, so that rounding to 12 decimals is the only rounding.
QUOTIENT: Final = decimal.Context(
    prec=256,
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
QUOTIENT_QUANTUM: Final = Decimal("1e-12")

_multiply: Final = PRODUCT.multiply


def exact() -> AbstractContextManager[decimal.Context]:
    """Return the context of sums, to be entered: what is not exact raises in it."""
    return decimal.localcontext(SUM)


def exact_product(price: Decimal, size: Decimal) -> Decimal:
    """`price * size`, after a check that both are positive numbers a market could have.

    Raises:
        DecodeError: One is not a finite number within bounds, or has too many digits.
    """
    try:
        if SMALLEST <= price <= LARGEST and SMALLEST <= size <= LARGEST:
            return _multiply(price, size)
    except decimal.DecimalException:
        pass  # a NaN, or more digits than PRODUCT holds: the same message serves
    raise DecodeError(
        f"price {price!s:.80} and size {size!s:.80}: expected two positive numbers "
        f"between {SMALLEST} and {LARGEST} whose product has at most {PRODUCT.prec} digits"
    )


def exact_products(prices: Sequence[Decimal], sizes: Sequence[Decimal]) -> list[Decimal]:
    """:func:`exact_product` of each pair, for one or more, several times as fast.

    Raises:
        DecodeError: Some pair has none; `exact_product` says which.
    """
    try:
        if _are_within_bounds(prices) and _are_within_bounds(sizes):
            return list(map(_multiply, prices, sizes))
    except decimal.DecimalException:
        pass
    raise DecodeError(f"expected {len(prices)} pairs of numbers that a market could have")


def _are_within_bounds(numbers: Sequence[Decimal]) -> bool:
    return min(numbers) >= SMALLEST and max(numbers) <= LARGEST


def are_amounts(numbers: Sequence[Decimal]) -> bool:
    """Return whether these have a :func:`sum_of_amounts`."""
    return sum_of_amounts(numbers) is not None


def sum_of_amounts(numbers: Sequence[Decimal]) -> Decimal | None:
    """Return the sum if :func:`exact_product` takes any of these with any like them, else `None`.

    The sum bounds each of them from above, and it traps where one has too many digits: two
    passes instead of four. `None` is no verdict: the sum alone may be too long.
    """
    context = decimal.getcontext()
    decimal.setcontext(FACTOR)
    try:
        total = sum(numbers, _ZERO) if min(numbers) >= SMALLEST else None
    except decimal.DecimalException:
        return None
    finally:
        decimal.setcontext(context)
    return None if total is None or total > LARGEST else total


def quotient(dividend: Decimal, divisor: Decimal) -> Decimal:
    """Return the quotient rounded half-even to 12 decimals."""
    return QUOTIENT.divide(dividend, divisor).quantize(QUOTIENT_QUANTUM, context=QUOTIENT)


def plain(number: Decimal) -> str:
    """Return the number as decimal text without an exponent, every digit kept."""
    text = str(number)  # twice as fast, and the same for most numbers
    return format(number, "f") if "E" in text else text
