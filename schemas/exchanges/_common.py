"""What the decoders share: error messages, rows, levels of books, figures of tickers, ids.

Nothing here knows an exchange. A decoder tries the frame that comes most often straight away;
what fails there goes a second, slower way inside :func:`decoding`, which finds the words for it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal, DecimalException
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from schemas.errors import DecodeError
from schemas.numbers import FACTOR, PRODUCT, SUM, are_amounts, exact_product
from schemas.records import Kind, Level, Salvaged, TradeId
from schemas.symbols import CACHED, spot

R = TypeVar("R")
W = TypeVar("W")

FAILURES: Final = (msgspec.MsgspecError, UnicodeError, RecursionError, DecodeError)
"""All that decoding a frame may raise, whatever its bytes are."""

DATA_KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {"ticker": "ticker", "trade": "trade", "orderbook": "orderbook"}
)
"""Where an exchange names its kinds of data as this project does."""

# A dead letter's reason is read by a person and travels in a Kafka header.
LONGEST_MESSAGE: Final = 300

# How many bad rows a refusal names.
MAX_PROBLEMS: Final = 5

_ONE: Final = Decimal(1)
_NOTHING: Final = frozenset({b"", b"null", b'""'})
# Figures beyond 1e24 and below 1e-48 are a broken feed; as plain text they would fill memory.
_SMALLEST_EXPONENT: Final = -48
_LARGEST_EXPONENT: Final = 24
_DIGITS: Final = re.compile(r"[0-9]{1,40}")
_LONGEST_ID: Final = 128

_figure: Final = msgspec.json.Decoder(Decimal)
_rows: Final = msgspec.json.Decoder(list[msgspec.Raw])


@contextmanager
def decoding(exchange: str) -> Iterator[None]:
    """Turn every failure of the block into a `DecodeError` that names the exchange.

    Raises:
        DecodeError: The block raised one of :data:`FAILURES`.
    """
    try:
        yield
    except RecursionError:
        raise DecodeError(f"{exchange}: expected JSON, got too many nested levels") from None
    except UnicodeError as error:
        raise DecodeError(f"{exchange}: expected UTF-8 text, got {error!s:.160}") from None
    except FAILURES as error:
        raise DecodeError(f"{exchange}: {_shortened(str(error))}") from error


def _shortened(message: str) -> str:
    # msgspec quotes the value first and names the path last: keep both ends.
    room = LONGEST_MESSAGE - 40
    if len(message) <= room:
        return message
    return f"{message[: room // 2]} … {message[-room // 2 :]}"


def decode_together(decoder: msgspec.json.Decoder[list[R]], frames: Sequence[bytes]) -> list[R]:
    """Decode frames of one kind, one row each, as one array, and return the rows.

    The line break keeps frames apart where one of them was cut off inside a string: JSON has no
    line breaks in strings.

    Raises:
        msgspec.MsgspecError: A frame is something else.
        DecodeError: The frames are not one row each.
    """
    rows = decoder.decode(b"[" + b",\n".join(frames) + b"]")
    if len(rows) != len(frames):
        raise DecodeError(f"{len(frames)} frames: expected one row each, got {len(rows)} rows")
    return rows


def numbered(rows: Iterable[W], path: str) -> Iterator[tuple[str, W]]:
    """Yield rows with their names in problems, like `$.data[3]`."""
    return ((f"{path}[{at}]", row) for at, row in enumerate(rows))


def salvage(rows: Iterable[tuple[str, W]], decode: Callable[[W], R | None]) -> list[R]:
    """Decode rows one by one, so that a bad one does not cost its neighbours.

    This is the slow way, for frames that the fast one refused.

    Args:
        rows: Each with its name in problems.
        decode: Return the record of a row, or `None` for a legal row that is no record.

    Raises:
        DecodeError: Rows are bad and none is good.
    """
    records: list[R] = []
    problems: list[str] = []
    skipped = 0
    for name, row in rows:
        try:
            record = decode(row)
        except FAILURES as error:
            problems.append(_shortened(placed(str(error), name)))
        else:
            if record is None:
                skipped += 1
            else:
                records.append(record)
    if problems and not records:
        more = len(problems) - MAX_PROBLEMS
        named = "; ".join(problems[:MAX_PROBLEMS])
        raise DecodeError(f"{named}; and {more} more" if more > 0 else named)
    return Salvaged(records, problems, skipped) if problems or skipped else records


def placed(message: str, name: str) -> str:
    """Return the message of an error with its place in the frame, not in the row."""
    text, at, path = message.rpartition(" - at `$")
    return f"{text}{at[:-1]}{name}{path}" if at else f"{message} - at `{name}`"


def messages(frame: bytes) -> list[bytes]:
    """Return the messages of a frame: the elements of a JSON array, else the frame itself."""
    if frame.lstrip()[:1] != b"[":
        return [frame]
    return [bytes(row) for row in _rows.decode(frame)]


@lru_cache(maxsize=CACHED)
def underscored(native_symbol: str) -> str:
    """Return the canonical symbol of a spot market that is spelled `BTC_KRW`.

    Raises:
        DecodeError: It is not two currencies with an underscore between them.
    """
    base, underscore, quote = native_symbol.partition("_")
    if not underscore:
        raise DecodeError(f"symbol {native_symbol[:40]!r}: expected BASE_QUOTE, like BTC_KRW")
    return spot(base, quote)


def full_levels(levels: Iterable[Level], path: str) -> list[Level]:
    """Return the levels of one side of a whole book, without the padding of an exchange.

    Padding is a level whose price or size is zero.

    Raises:
        DecodeError: A price or size is negative, not finite or out of bounds.
    """
    found = list(levels)
    if _are_levels(found):
        return found
    try:
        return [level for level in found if _is_level(*level)]
    except DecodeError as error:
        raise DecodeError(f"{path}: {error}") from error


def changed_levels(levels: Iterable[Level], path: str) -> list[Level]:
    """Return the levels of one side of a delta, in order; size zero removes the price.

    Raises:
        DecodeError: A price is not positive, or a size negative, not finite or out of bounds.
    """
    changed = list(levels)
    try:
        for price, size in changed:
            exact_product(price, size or _ONE)
    except DecodeError as error:
        raise DecodeError(f"{path}: {error}") from error
    return changed


def _are_levels(levels: list[Level]) -> bool:
    """Return whether all are levels for sure, much faster than one by one."""
    return not levels or are_amounts(list(chain.from_iterable(levels)))


def _is_level(price: Decimal, size: Decimal) -> bool:
    if price and size:
        # The check is the point: a sum of such levels stays exact, and they are all positive.
        exact_product(price, size)
        return True
    if price.is_finite() and size.is_finite() and not (price.is_signed() or size.is_signed()):
        return False
    raise DecodeError(f"price {price!s:.80} and size {size!s:.80}: expected no negative numbers")


def figure(raw: msgspec.Raw, path: str) -> Decimal | None:
    """Return a number of a ticker, from JSON number or string; missing, null and "" are `None`.

    Raises:
        DecodeError: It is not a finite number of a size that a market could have.
    """
    text = bytes(raw)
    if text in _NOTHING:
        return None
    try:
        value = _figure.decode(text)
    except msgspec.MsgspecError as error:
        raise DecodeError(f"{str(error)[:120]} - at `{path}`") from error
    if value.is_finite() and _SMALLEST_EXPONENT <= value.adjusted() <= _LARGEST_EXPONENT:
        if len(text) <= PRODUCT.prec:
            return value
        try:
            PRODUCT.plus(value)
        except DecimalException:
            pass  # more digits than a number of a market has: the same message serves
        else:
            return value
    raise DecodeError(
        f"number {value!s:.80} at `{path}`: expected a finite one between "
        f"1e{_SMALLEST_EXPONENT} and 1e{_LARGEST_EXPONENT} of at most {PRODUCT.prec} digits"
    )


def is_figure(number: Decimal) -> bool:
    """Return whether :func:`figure` accepts a number for sure."""
    try:
        FACTOR.plus(number)
    except DecimalException:
        return False
    return number.is_finite() and abs(number.adjusted()) <= _LARGEST_EXPONENT


def are_figures(amounts: Sequence[Decimal], *others: Decimal) -> bool:
    """Return whether :func:`figure` accepts numbers for sure.

    Amounts, which are positive nearly always, are checked together: a third of the time.
    """
    are_sure = are_amounts(amounts) or all(map(is_figure, amounts))
    return are_sure and all(map(is_figure, others))


def fraction(percent: Decimal | None) -> Decimal | None:
    """Return a rate as a fraction, exactly: 1.83 percent is 0.0183."""
    return None if percent is None else percent.scaleb(-2, SUM)


def trade_id(text: str) -> TradeId:
    """Return an id as the records have it: an integer where the exchange counts.

    Raises:
        DecodeError: It is empty or longer than any exchange's ids.
    """
    if _DIGITS.fullmatch(text) is not None:
        return int(text)
    if 0 < len(text) <= _LONGEST_ID:
        return text
    raise DecodeError(f"trade id {text[:80]!r}: expected 1 to {_LONGEST_ID} characters")


def counted_id(text: str, path: str) -> int:
    """Return the id of an exchange that counts, sent as text.

    Raises:
        DecodeError: It is not 1 to 40 digits.
    """
    if _DIGITS.fullmatch(text) is not None:
        return int(text)
    raise DecodeError(f"id {text[:80]!r}: expected a whole number - at `{path}`")


class RowIds:
    """Ids for the trades of one frame of an exchange that sends none.

    They are the trade's own content, so that a frame sent twice gives the same ids; the
    ordinal tells equal fills of one frame apart.
    """

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def next_id(self, time: str, side: str, price: Decimal, size: Decimal) -> str:
        """Return the id of the next row: `time/side/price/size/ordinal`, the ordinal from 0."""
        row = f"{time}/{side}/{price}/{size}"
        ordinal = self._seen.get(row, 0)
        self._seen[row] = ordinal + 1
        return f"{row}/{ordinal}"
