import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.exceptions import ValidationException

from api.parameters import LATEST_SECONDS, MinutesRequest, parse_minutes_request

PRIMARY = {"upbit": "BTC-KRW", "binance": "BTC-USDT-PERP"}


def parse(
    exchange: str = "binance",
    from_segment: str = "from=60",
    to_segment: str = "to=120",
    limit: str | None = None,
    query: tuple[tuple[str, str], ...] = (),
) -> MinutesRequest:
    return parse_minutes_request(
        PRIMARY,
        exchange=exchange,
        from_segment=from_segment,
        to_segment=to_segment,
        limit=limit,
        query=query,
    )


def refused(error: ValidationException) -> list[str]:
    assert isinstance(error.extra, list)
    return [item["key"] for item in error.extra]


def test_an_exchange_is_asked_for_its_primary_symbol() -> None:
    assert parse() == MinutesRequest({"binance": "BTC-USDT-PERP"}, 60, 120, 10)


def test_all_exchanges_are_asked_each_for_its_own_primary_symbol() -> None:
    assert parse("all_exchange").symbols == PRIMARY


def test_a_symbol_that_is_asked_for_holds_for_every_exchange() -> None:
    request = parse("all_exchange", query=(("symbol", "ETH-USDT"),))
    assert request.symbols == {"upbit": "ETH-USDT", "binance": "ETH-USDT"}


@pytest.mark.parametrize(
    "symbol", ["BTC-USDT", "BTC-USD-PERP", "BTC-USD-220527", "1INCH-KRW", "1000000BABYDOGE-USDT"]
)
def test_canonical_symbols_are_accepted(symbol: str) -> None:
    assert parse(query=(("symbol", symbol),)).symbols == {"binance": symbol}


@given(st.integers(0, LATEST_SECONDS), st.integers(0, 30))
def test_every_second_up_to_2100_is_accepted_with_leading_zeros(second: int, zeros: int) -> None:
    request = parse(from_segment=f"from={'0' * zeros}{second}", to_segment=f"to={second}")
    assert (request.from_seconds, request.to_seconds) == (second, second)


@given(st.integers(LATEST_SECONDS + 1) | st.integers(max_value=-1))
def test_seconds_outside_1970_to_2100_are_refused(second: int) -> None:
    with pytest.raises(ValidationException) as caught:
        parse(from_segment=f"from={second}", to_segment=f"to={second}")
    assert refused(caught.value) == ["from", "to"]


@given(st.integers())
def test_a_limit_outside_10_to_100_is_10(limit: int) -> None:
    assert parse(limit=str(limit)).limit == (limit if 10 <= limit <= 100 else 10)


@pytest.mark.parametrize("limit", ["9" * 10_000, "-" + "9" * 10_000, "0" * 10_000, "-0"])
def test_a_limit_of_any_length_is_10_when_outside(limit: str) -> None:
    assert parse(limit=limit).limit == 10


@given(st.text())
def test_a_limit_is_refused_when_it_is_not_a_number(limit: str) -> None:
    is_number = limit.isascii() and limit.removeprefix("-").isdigit()
    if is_number:
        assert 10 <= parse(limit=limit).limit <= 100
        return
    with pytest.raises(ValidationException) as caught:
        parse(limit=limit)
    assert refused(caught.value) == ["limit"]


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(ValidationException) as caught:
        parse("nyse", "from=", "until=5", "ten", (("symbol", "btc"), ("sybmol", "BTC-USDT")))
    assert sorted(refused(caught.value)) == ["exchange", "from", "limit", "sybmol", "symbol", "to"]


def test_a_message_shows_a_bounded_part_of_what_was_sent() -> None:
    with pytest.raises(ValidationException) as caught:
        parse("x" * 5_000, f"from={'9' * 5_000}", "to=1", "y" * 5_000, (("z" * 5_000, ""),))
    assert len(str(caught.value.extra)) < 1_500
