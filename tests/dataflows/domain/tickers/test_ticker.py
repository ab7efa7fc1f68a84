"""A ticker is the last whole one with every delta after it, and what follows from its prices."""

import pickle
from collections.abc import Iterable
from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from dataflows.domain.tickers.ticker import SymbolTicker
from schemas.records import TICKER_FIGURES, Ticker, TickerUpdate


def update(**figures: str | None) -> TickerUpdate:
    numbers = {name: None if text is None else Decimal(text) for name, text in figures.items()}
    return TickerUpdate("BTC-USDT", None, is_delta=False, **numbers)


def delta(**figures: str | None) -> TickerUpdate:
    return msgspec.structs.replace(update(**figures), is_delta=True)


def whole(**figures: str | None) -> TickerUpdate:
    return update(
        **{"opening_price": "90", "trade_price": "110", "prev_closing_price": "100"} | figures
    )


def applied(updates: Iterable[tuple[int, TickerUpdate]]) -> list[Ticker | None]:
    symbol = SymbolTicker("bybit", "BTC-USDT")
    return [symbol.apply(time_ns, each) for time_ns, each in updates]


def only(ticker: TickerUpdate) -> Ticker:
    (made,) = applied([(1, ticker)])
    assert made is not None
    return made


class TestDerived:
    def test_a_change_that_was_not_sent_is_price_minus_previous_close(self) -> None:
        assert only(whole(trade_price="99.5")).signed_change_price == Decimal("-0.5")

    def test_a_rate_that_was_not_sent_is_change_by_previous_close(self) -> None:
        assert only(whole(trade_price="99.5")).signed_change_rate == Decimal("-0.005")

    def test_a_rate_is_rounded_half_even_to_12_decimals(self) -> None:
        ticker = only(whole(trade_price="1.0000000000005", prev_closing_price="1"))
        assert ticker.signed_change_rate == Decimal("0E-12")
        assert ticker.signed_change_price == Decimal("5E-13")

    def test_what_the_exchange_sent_stands(self) -> None:
        ticker = only(whole(signed_change_price="9", signed_change_rate="0.0899"))
        assert ticker.signed_change_price == Decimal(9)
        assert ticker.signed_change_rate == Decimal("0.0899")

    def test_a_previous_close_of_zero_has_no_rate_even_if_one_was_sent(self) -> None:
        ticker = only(whole(prev_closing_price="0.00", signed_change_rate="0"))
        assert ticker.signed_change_price == Decimal(110)
        assert ticker.signed_change_rate is None

    def test_without_a_previous_close_there_is_neither_change_nor_rate(self) -> None:
        ticker = only(whole(prev_closing_price=None))
        assert (ticker.signed_change_price, ticker.signed_change_rate) == (None, None)

    def test_a_ticker_of_an_untraded_market_says_nothing(self) -> None:
        ticker = only(update())
        assert {getattr(ticker, name) for name in TICKER_FIGURES} == {None}


class TestDeltas:
    def test_a_delta_changes_what_it_names_and_what_follows_from_it(self) -> None:
        _, merged = applied([(1, whole()), (2, delta(trade_price="90"))])
        assert merged == Ticker(
            "bybit", "BTC-USDT", 2, Decimal(90), Decimal(90), None, None, Decimal(100), None,
            Decimal(-10), Decimal("-0.1"),
        )  # fmt: skip

    def test_a_delta_waits_for_the_first_whole_ticker(self) -> None:
        symbol = SymbolTicker("bybit", "BTC-USDT")
        assert symbol.apply(1, delta(trade_price="90")) is None
        assert symbol.left_out["waiting"] == 1
        assert symbol.apply(1, whole()) is not None

    def test_a_whole_ticker_forgets_what_was_before(self) -> None:
        _, second = applied([(1, whole(max_price="120")), (2, whole())])
        assert second is not None
        assert second.max_price is None


class TestOrder:
    def test_an_older_ticker_is_left_out(self) -> None:
        symbol = SymbolTicker("okx", "BTC-USDT")
        symbol.apply(5, whole())
        assert symbol.apply(4, whole(trade_price="111")) is None
        assert symbol.left_out["late"] == 1

    def test_the_same_ticker_again_is_left_out(self) -> None:
        symbol = SymbolTicker("okx", "BTC-USDT")
        symbol.apply(5, whole())
        assert symbol.apply(5, whole()) is None
        assert symbol.left_out["duplicates"] == 1

    def test_another_ticker_of_the_same_time_counts(self) -> None:
        _, second = applied([(5, whole()), (5, whole(trade_price="111"))])
        assert second is not None


PRICES = st.sampled_from([None, "0", "1", "2.50", "100"])
UPDATES = st.lists(
    st.tuples(
        st.integers(1, 8),
        st.one_of(
            st.builds(update, trade_price=PRICES, prev_closing_price=PRICES),
            st.builds(delta, trade_price=PRICES, prev_closing_price=PRICES),
        ),
    ),
    max_size=20,
)


@given(UPDATES, st.integers(0, 20))
def test_a_restart_does_not_show_in_any_ticker(
    updates: list[tuple[int, TickerUpdate]], cut: int
) -> None:
    first = SymbolTicker("bybit", "BTC-USDT")
    tickers = [first.apply(*each) for each in updates[:cut]]
    state = pickle.loads(pickle.dumps(first.state()))  # noqa: S301  # our own
    second = SymbolTicker("bybit", "BTC-USDT", state)
    tickers += [second.apply(*each) for each in updates[cut:]]
    assert tickers == applied(updates)
