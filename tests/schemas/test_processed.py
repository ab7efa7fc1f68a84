"""Processed records read back are what they were made of."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import DecodeError
from schemas.numbers import SUM
from schemas.processed import (
    OrderbookRecord,
    decode_taker_volume,
    decode_ticker,
    encode_orderbooks,
    encode_taker_volume,
    encode_tickers,
    orderbook_record,
)
from schemas.records import BookSummary, TakerVolume, Ticker
from schemas.settings import parse_settings

SETTINGS = parse_settings(
    (Path(__file__).parents[2] / "pipeline.yaml").read_bytes(), "pipeline.yaml"
)
NUMBERS = st.decimals("0", "1e24", allow_nan=False, places=18)
PERHAPS = st.none() | NUMBERS
COUNTS = st.integers(0, 10**9)
TEXTS = st.sampled_from(["BTC-USDT", "ETH-KRW", "BTC-USD-PERP"])
EXCHANGES = st.sampled_from(sorted(SETTINGS.exchanges))


def utc(time_ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1_000)


@given(
    st.builds(
        TakerVolume, EXCHANGES, TEXTS, st.integers(0, 10**10), NUMBERS, NUMBERS, NUMBERS, NUMBERS,
        COUNTS, COUNTS, PERHAPS, PERHAPS, PERHAPS, PERHAPS, PERHAPS, st.booleans(), COUNTS, COUNTS,
        COUNTS,
    )
)  # fmt: skip
def test_a_minute_comes_back(row: TakerVolume) -> None:
    assert decode_taker_volume(encode_taker_volume(row, SETTINGS), SETTINGS) == row


@given(
    st.builds(
        Ticker, EXCHANGES, TEXTS, st.integers(1_500_000_000_000, 1_900_000_000_000).map(
            lambda time_us: time_us * 1_000_000
        ), PERHAPS, PERHAPS, PERHAPS, PERHAPS, PERHAPS, PERHAPS, PERHAPS, PERHAPS,
    )
)  # fmt: skip
def test_a_ticker_comes_back(ticker: Ticker) -> None:
    assert decode_ticker(encode_tickers([ticker], SETTINGS)[0], SETTINGS) == ticker


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"NE"', b"5", "Expected `str`"),
        (b'"Binance"', b'"Nobody"', "market 'Nobody': expected one of Upbit"),
        (b'"1.5"', b'"one"', "'one': expected a decimal number"),
        (b'"1.5"', b'"NaN"', "'NaN': expected a finite number"),
    ],
)
def test_what_is_no_record_is_refused(old: bytes, new: bytes, said: str) -> None:
    one = Decimal("1.5")
    figures = (one,) * 4, (1, 1), (one,) * 5
    row = TakerVolume(
        "binance", "BTC-USDT", 60, *figures[0], *figures[1], *figures[2],
        is_final=True, revision=1, late_trades=0, duplicate_trades=0,
    )  # fmt: skip
    line = encode_taker_volume(row, SETTINGS)
    assert old in line

    with pytest.raises(DecodeError, match=said):
        decode_taker_volume(line.replace(old, new, 1), SETTINGS)


@st.composite
def summaries(draw: st.DrawFn) -> BookSummary:
    bid, ask = draw(PERHAPS), draw(PERHAPS)
    spread = None if bid is None or ask is None else SUM.subtract(ask, bid)
    return BookSummary(
        "okx", "BTC-USDT", draw(st.integers(15 * 10**14, 19 * 10**14)) * 1_000, bid, ask, spread,
        draw(NUMBERS), draw(NUMBERS), draw(COUNTS), draw(COUNTS), bool(spread and spread < 0),
        draw(st.none() | COUNTS),
    )  # fmt: skip


@given(st.lists(summaries(), min_size=1), st.data())
def test_states_of_a_book_are_exact_numbers_however_many_are_written_together(
    drawn: list[BookSummary], data: st.DataObject
) -> None:
    # Most states share numbers, as the same objects, with the one before.
    states = data.draw(st.lists(st.sampled_from(drawn), min_size=1))
    records = encode_orderbooks(states, SETTINGS)
    assert records == [encode_orderbooks([state], SETTINGS)[0] for state in states]
    for state, record in zip(states, records, strict=True):
        found = json.loads(record, parse_float=Decimal, parse_int=Decimal)
        for name in ("highest_bid", "lowest_ask", "spread", "total_bid_volume", "bid_levels"):
            assert found[name] == getattr(state, name)
        assert (found["is_crossed"], found["sequence"]) == (state.is_crossed, state.sequence)
        assert datetime.fromisoformat(found["timestamp"]) == utc(state.time_ns)


def test_a_state_of_a_book_reads_the_same_whatever_was_in_its_sums() -> None:
    bid, ask, spread, bids, asks = map(Decimal, ("66609.220", "5E+7", "0", "0.00160", "10.0000"))
    state = BookSummary(
        "okx", "BTC-USDT", 1_729_678_813_050_791_000, bid, ask, spread, bids, asks, 1, 2,
        is_crossed=False, sequence=None,
    )  # fmt: skip
    (record,) = encode_orderbooks([state], SETTINGS)
    assert json.loads(record, parse_float=str, parse_int=str) == {
        "region": "Asia", "market": "OKX", "coin_symbol": "BTC", "highest_bid": "66609.22",
        "lowest_ask": "50000000", "spread": "0", "total_bid_volume": "0.0016",
        "total_ask_volume": "10", "timestamp": "2024-10-23 10:20:13.050791+00:00",
        "symbol": "BTC-USDT", "bid_levels": "1", "ask_levels": "2", "is_crossed": False,
        "sequence": None,
    }  # fmt: skip


def spread_of(book: BookSummary) -> Decimal | None:
    bid, ask = book.highest_bid, book.lowest_ask
    return None if bid is None or ask is None else SUM.subtract(ask, bid)


@settings(max_examples=40)
@given(
    st.lists(
        st.builds(
            BookSummary, st.just("okx"), st.just("BTC-USDT"), st.integers(10**18, 2 * 10**18),
            PERHAPS, PERHAPS, PERHAPS, NUMBERS, NUMBERS, COUNTS, COUNTS, st.booleans(),
            st.none() | COUNTS,
        ),
        min_size=1, max_size=4,
    ),
    st.lists(st.booleans(), max_size=4),
)  # fmt: skip
def test_order_books_are_written_as_their_record_is_encoded(
    books: list[BookSummary], repeats: list[bool]
) -> None:
    for at, same in enumerate(repeats[: len(books) - 1], 1):
        if same:  # most states keep the numbers of the one before, which are not written anew
            books[at] = msgspec.structs.replace(books[at - 1], time_ns=books[at].time_ns)
    books = [msgspec.structs.replace(book, spread=spread_of(book)) for book in books]
    encode = msgspec.json.Encoder(decimal_format="number").encode
    plain = [encode(orderbook_record(book, SETTINGS)) for book in books]
    for written, expected in zip(encode_orderbooks(books, SETTINGS), plain, strict=True):
        found = json.loads(written, parse_float=Decimal, parse_int=Decimal)
        assert found == json.loads(expected, parse_float=Decimal, parse_int=Decimal)
        assert list(found) == list(OrderbookRecord.__struct_fields__)
