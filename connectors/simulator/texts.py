"""How exchanges write numbers: texts of integers with a known number of decimals, made once each.

The simulator counts in ticks and lots. A :class:`Texts` turns one of them into the text that an
exchange writes, and remembers it: most prices and sizes come again and again.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

Style: TypeAlias = Callable[[int, int], bytes]
"""Turns an integer and its number of decimals into text."""

# More prices than a market moves through in an hour; beyond it they are made anew.
MAX_TEXTS: Final = 50_000
# From here on Java writes a double with an exponent.
_LARGE: Final = 10_000_000
_SMALL_DECIMALS: Final = 3


def fixed(value: int, decimals: int) -> bytes:
    """Return the text with all its decimals: `65114.20`."""
    if decimals == 0:
        return b"%d" % value
    sign, digits = (b"-", -value) if value < 0 else (b"", value)
    unit: int = 10**decimals
    return b"%b%d.%0*d" % (sign, digits // unit, decimals, digits % unit)


def short(value: int, decimals: int) -> bytes:
    """Return the text without trailing zeros: `65114.2`."""
    text = fixed(value, decimals)
    return text.rstrip(b"0").rstrip(b".") if decimals else text


def padded(to: int) -> Style:
    """Return the style that always writes so many decimals: `0.35180000`."""

    def style(value: int, decimals: int) -> bytes:
        if decimals > to:
            return fixed(value, decimals)
        return fixed(value * 10 ** (to - decimals), to)

    return style


def pointed(value: int, decimals: int) -> bytes:
    """Return the text with at least one decimal: `93332000.0`, `0.5`."""
    text = short(value, decimals)
    return text if b"." in text else text + b".0"


def double(value: int, decimals: int) -> bytes:
    """Return the text that Java gives a double: `1.16539E8`, `7.9276E-4`, `0.0204`."""
    if value == 0:
        return b"0.0"
    if value < 0:
        return b"-" + double(-value, decimals)
    digits = b"%d" % value
    exponent = len(digits) - 1 - decimals
    significant = digits.rstrip(b"0")
    if exponent >= -_SMALL_DECIMALS and value < _LARGE * 10**decimals:
        return pointed(value, decimals)
    return b"%b.%bE%d" % (significant[:1], significant[1:] or b"0", exponent)


class Texts(dict[int, bytes]):
    """The texts of one market's prices or sizes, by their number of ticks or lots.

    Args:
        decimals: How many decimals one unit of the integers has.
        style: How this exchange writes a number.
        step: How many of the smallest decimals one tick is, where it is not one.
    """

    __slots__ = ("_decimals", "_step", "_style")

    def __init__(self, decimals: int, style: Style, step: int = 1) -> None:
        super().__init__()
        self._decimals = decimals
        self._style = style
        self._step = step

    def __missing__(self, count: int) -> bytes:
        if len(self) >= MAX_TEXTS:
            self.clear()
        text = self[count] = self._style(count * self._step, self._decimals)
        return text
