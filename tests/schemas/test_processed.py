"""Processed records read back are what they were made of."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DecodeError
from schemas.processed import decode_taker_volume, decode_ticker, encode_taker_volume, encode_ticker
from schemas.records import TakerVolume, Ticker
from schemas.settings import parse_settings

SETTINGS = parse_settings(
    (Path(__file__).parents[2] / "pipeline.yaml").read_bytes(), "pipeline.yaml"
)
NUMBERS = st.decimals("0", "1e24", allow_nan=False, places=18)
PERHAPS = st.none() | NUMBERS
COUNTS = st.integers(0, 10**9)
TEXTS = st.sampled_from(["BTC-USDT", "ETH-KRW", "BTC-USD-PERP"])
EXCHANGES = st.sampled_from(sorted(SETTINGS.exchanges))


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
    assert decode_ticker(encode_ticker(ticker, SETTINGS), SETTINGS) == ticker


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
