from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from schemas.errors import DecodeError
from schemas.exchanges._common import (
    RowIds,
    changed_levels,
    decoding,
    figure,
    fraction,
    full_levels,
    messages,
    trade_id,
    underscored,
)

ONE = Decimal(1)


def test_a_long_message_keeps_its_beginning_and_the_path_at_its_end() -> None:
    long = f"Invalid enum value '{'x' * 5000}' - at `$.side`"
    with pytest.raises(DecodeError) as caught, decoding("upbit"):
        raise DecodeError(long)
    assert str(caught.value).startswith("upbit: Invalid enum value 'xxx")
    assert str(caught.value).endswith("xxx' - at `$.side`")
    assert len(str(caught.value)) <= 300


def test_what_is_not_a_failure_of_decoding_is_not_hidden() -> None:
    with pytest.raises(KeyError), decoding("upbit"):
        raise KeyError("a mistake of ours")


def test_an_array_is_its_elements() -> None:
    assert messages(b' [{"a":1}, [2]] ') == [b'{"a":1}', b"[2]"]
    assert messages(b'{"a":[1]}') == [b'{"a":[1]}']


def test_padding_is_no_level() -> None:
    zero = Decimal("0.0")
    assert full_levels([(zero, zero), (zero, ONE), (ONE, zero), (ONE, ONE)], "bids") == [(ONE, ONE)]


@pytest.mark.parametrize("wrong", ["-1", "NaN", "sNaN", "Infinity", "1e30", "1e-30", "-0.0"])
def test_a_level_of_wrong_numbers_is_refused(wrong: str) -> None:
    for level in [(Decimal(wrong), ONE), (ONE, Decimal(wrong))]:
        with pytest.raises(DecodeError, match="bids: price"):
            full_levels([level], "bids")


@pytest.mark.parametrize("wrong", ["-1", "NaN", "sNaN", "Infinity", "-0.0"])
def test_padding_of_wrong_numbers_is_refused(wrong: str) -> None:
    with pytest.raises(DecodeError, match="bids: price"):
        full_levels([(Decimal(0), Decimal(wrong))], "bids")


def test_a_change_to_size_zero_is_kept_with_the_digits_of_the_wire() -> None:
    changes = changed_levels([(Decimal("1.50"), Decimal("0.000")), (ONE, ONE)], "asks")
    assert [(str(price), str(size)) for price, size in changes] == [("1.50", "0.000"), ("1", "1")]


@pytest.mark.parametrize(
    ("price", "size"), [("0", "1"), ("0", "0"), ("1", "-1"), ("1", "NaN"), ("NaN", "0")]
)
def test_a_change_of_wrong_numbers_is_refused(price: str, size: str) -> None:
    with pytest.raises(DecodeError, match="asks: price"):
        changed_levels([(Decimal(price), Decimal(size))], "asks")


@pytest.mark.parametrize("nothing", [b"", b"null", b'""'])
def test_a_missing_figure_is_none(nothing: bytes) -> None:
    assert figure(msgspec.Raw(nothing), "$.last") is None


@pytest.mark.parametrize("text", [b"12.50", b'"12.50"', b"1.250E1"])
def test_a_figure_is_a_number_or_text(text: bytes) -> None:
    assert figure(msgspec.Raw(text), "$.last") == Decimal("12.5")


@pytest.mark.parametrize(
    "text", [b'"NaN"', b"1e25", b"0e-999999", b'"-Infinity"', b"9" * 5000, b"true", b"[]", b'"x"']
)
def test_a_broken_figure_is_named_by_its_path(text: bytes) -> None:
    with pytest.raises(DecodeError, match=r"`\$\.last`"):
        figure(msgspec.Raw(text), "$.last")


def test_percent_becomes_an_exact_fraction() -> None:
    assert fraction(Decimal("-2.22")) == Decimal("-0.0222")
    assert fraction(Decimal("1." + "7" * 60)) == Decimal("0.01" + "7" * 60)
    assert fraction(None) is None


def test_ids_are_integers_where_the_exchange_counts() -> None:
    assert trade_id("862683813820523888") == 862683813820523888
    assert trade_id("b8a1-0c") == "b8a1-0c"
    for wrong in ("", "x" * 129):
        with pytest.raises(DecodeError, match="trade id"):
            trade_id(wrong)


def test_row_ids_number_equal_rows_of_one_frame() -> None:
    ids = RowIds()
    rows = [("t", "buy", ONE, ONE), ("t", "sell", ONE, ONE), ("t", "buy", ONE, ONE)]
    assert [ids.next_id(*row) for row in rows] == ["t/buy/1/1/0", "t/sell/1/1/0", "t/buy/1/1/1"]


def test_symbols_with_an_underscore() -> None:
    assert underscored("BTC_KRW") == "BTC-KRW"
    for wrong in ("", "BTC", "BTC-KRW", "BTC_", "_KRW", "A_B_C"):
        with pytest.raises(DecodeError, match="expected"):
            underscored(wrong)
