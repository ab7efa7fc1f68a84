from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings

from schemas.errors import DecodeError
from schemas.exchanges import decoder_of
from schemas.feeds import Feed
from schemas.records import TickerUpdate, Trade
from tests.schemas.exchanges.frames import broken, decode_all, lines, recording

upbit = decoder_of("upbit")

FEED = Feed("upbit", quote="KRW")
FLAT_FEED = Feed("upbit", coin="BTC", quote="KRW")
TRADES = lines("upbit-trade.jsonl")
TICKERS = lines("upbit-ticker.jsonl")
BOOKS = lines("upbit-orderbook.jsonl")
CONTROL = lines("upbit-control.jsonl")
REST_TRADES = lines("rest/upbit-trades.json")
REST_TICKERS = lines("rest/upbit-ticker.json")
RECORDING = recording("upbit")
FLAT_TICKER = json.loads(lines("kafka-envelope-korea-ticker.jsonl")[0])["data"][0].encode()

SIMPLE_TRADE = TRADES[0]
DEFAULT_TRADE = TRADES[13]


class TestTrades:
    def test_simple_format(self) -> None:
        assert upbit.decode_trades(SIMPLE_TRADE, FEED) == [
            Trade(
                symbol="LAMB-KRW",
                trade_id=1618678262000003,
                time_ns=1618678262_000_000_000,
                taker_buys=True,
                price=Decimal("127.0"),
                size=Decimal("46.48838371"),
                notional=Decimal("5904.02473117"),
            )
        ]

    def test_default_format(self) -> None:
        assert upbit.decode_trades(DEFAULT_TRADE, FEED) == [
            Trade(
                symbol="BTC-KRW",
                trade_id=1621697844000001,
                time_ns=1621697844_000_000_000,
                taker_buys=True,
                price=Decimal("46769000.0"),
                size=Decimal("0.00185096"),
                notional=Decimal("86567.54824"),
            )
        ]

    def test_rest_body(self) -> None:
        assert upbit.decode_trades(REST_TRADES[0], FEED) == [
            Trade(
                symbol="BTC-KRW",
                trade_id=17732400590950000,
                time_ns=1773240059_095_000_000,
                taker_buys=False,
                price=Decimal("103460000.0"),
                size=Decimal("0.004"),
                notional=Decimal(413840),
            )
        ]

    def test_ask_means_that_the_taker_sold(self) -> None:
        (trade,) = upbit.decode_trades(TRADES[1], FEED)
        assert trade.taker_buys is False

    def test_list_formats_hold_several_messages(self) -> None:
        frame = b"[" + b",".join([SIMPLE_TRADE, BOOKS[0], DEFAULT_TRADE]) + b"]"
        assert [trade.symbol for trade in upbit.decode_trades(frame, FEED)] == [
            "LAMB-KRW",
            "BTC-KRW",
        ]
        assert [book.symbol for book in upbit.decode_books(frame, FEED)] == ["LAMB-KRW"]
        assert upbit.kind(frame) == "trade"

    def test_the_order_of_keys_does_not_matter(self) -> None:
        backwards = json.dumps(dict(reversed(json.loads(SIMPLE_TRADE).items()))).encode()
        assert upbit.decode_trades(backwards, FEED) == upbit.decode_trades(SIMPLE_TRADE, FEED)

    def test_numbers_printed_by_python_are_the_same_numbers(self) -> None:
        printed = json.dumps(json.loads(DEFAULT_TRADE)).replace("0.00185096", "1.85096e-03")
        assert upbit.decode_trades(printed.encode(), FEED) == upbit.decode_trades(
            DEFAULT_TRADE, FEED
        )

    def test_a_body_without_rows_has_no_trades(self) -> None:
        assert upbit.decode_trades(b"[]", FEED) == []
        assert upbit.kind(b"[]") == "control"

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            (b'"BID"', b'"BUY"', "`$.ab`"),
            (b'"tp":127.0', b'"tp":true', "`$.tp`"),
            (b'"tp":127.0', b'"tp":0', "price 0"),
            (b'"tp":127.0', b'"tp":"NaN"', "price NaN"),
            (b'"tv":46.48838371', b'"tv":-1', "size -1"),
            (b'"tv":46.48838371', b'"tv":1e30', "size 1E+30"),
            (b'"tv":46.48838371', b'"tv":null', "`$.tv`"),
            (b'"ttms":1618678262000', b'"ttms":1618678262', "1618678262"),
            (b'"sid":1618678262000003', b'"sid":""', "id ''"),
            (b'"sid":', b'"other":', "`sid`"),
            (b"KRW-LAMB", b"KRWLAMB", "KRWLAMB"),
            (b"KRW-LAMB", b"KRW-LA-MB", "LA-MB"),
            (b'"ty":"trade",', b"", "`type` or `ty`"),
        ],
    )
    def test_a_broken_field_is_named(self, old: bytes, new: bytes, named: str) -> None:
        assert old in SIMPLE_TRADE
        with pytest.raises(DecodeError, match="upbit: ") as caught:
            upbit.decode_trades(SIMPLE_TRADE.replace(old, new), FEED)
        assert named in str(caught.value)


class TestTickers:
    def test_default_format(self) -> None:
        assert upbit.decode_tickers(TICKERS[1], FEED) == [
            TickerUpdate(
                symbol="BTC-KRW",
                time_ns=1621697466_678_000_000,
                is_delta=False,
                opening_price=Decimal(49080000),
                trade_price=Decimal(46810000),
                max_price=Decimal(49260000),
                min_price=Decimal(43957000),
                prev_closing_price=Decimal(49112000),
                acc_trade_volume_24h=Decimal("21625.36474921"),
                signed_change_price=Decimal(-2302000),
                signed_change_rate=Decimal("-0.0468724548"),
            )
        ]

    def test_simple_format(self) -> None:
        # Bithumb's recording: Upbit documents the same keys.
        (ticker,) = upbit.decode_tickers(lines("bithumb-ticker.jsonl")[2], FEED)
        assert ticker == TickerUpdate(
            symbol="BTC-KRW",
            time_ns=1725927582_208_000_000,
            is_delta=False,
            opening_price=Decimal(484500),
            trade_price=Decimal(493100),
            max_price=Decimal(493100),
            min_price=Decimal(471300),
            prev_closing_price=Decimal(484500),
            acc_trade_volume_24h=Decimal("13501.26687512"),
            signed_change_price=Decimal(8600),
            signed_change_rate=Decimal("0.01775026"),
        )

    def test_rest_body(self) -> None:
        (ticker,) = upbit.decode_tickers(REST_TICKERS[0], FEED)
        assert (ticker.symbol, ticker.time_ns) == ("BTC-KRW", 1773240058_973_000_000)
        assert ticker.prev_closing_price == Decimal(102417000)

    def test_the_symbol_of_a_flattened_ticker_is_the_envelopes(self) -> None:
        assert upbit.kind(FLAT_TICKER) == "ticker"
        assert upbit.decode_tickers(FLAT_TICKER, FLAT_FEED) == [
            TickerUpdate(
                symbol="BTC-KRW",
                time_ns=1730618524_102_000_000,
                is_delta=False,
                opening_price=Decimal(97103000),
                trade_price=Decimal(96033000),
                max_price=Decimal(97650000),
                min_price=Decimal(95334000),
                prev_closing_price=Decimal(97102000),
                acc_trade_volume_24h=Decimal("2067.29648158"),
                signed_change_price=Decimal(-1069000),
                signed_change_rate=Decimal("-0.01100904"),
            )
        ]

    def test_a_flattened_ticker_without_an_envelope_is_refused(self) -> None:
        with pytest.raises(DecodeError, match="envelope"):
            upbit.decode_tickers(FLAT_TICKER, FEED)

    @pytest.mark.parametrize("nothing", [b"null", b'""'])
    def test_null_and_empty_are_missing(self, nothing: bytes) -> None:
        frame = TICKERS[1].replace(b'"trade_price":46810000.0', b'"trade_price":' + nothing)
        (ticker,) = upbit.decode_tickers(frame, FEED)
        assert ticker.trade_price is None
        assert ticker.opening_price == Decimal(49080000)

    @pytest.mark.parametrize("broken_price", [b"true", b'"x"', b'"Infinity"', b"1e30", b"[]"])
    def test_a_broken_field_is_named(self, broken_price: bytes) -> None:
        frame = TICKERS[1].replace(b'"trade_price":46810000.0', b'"trade_price":' + broken_price)
        with pytest.raises(DecodeError, match=r"^upbit: .*`\$\.trade_price`"):
            upbit.decode_tickers(frame, FEED)


class TestBooks:
    def test_a_frame_is_the_whole_book(self) -> None:
        (book,) = upbit.decode_books(BOOKS[11], FEED)
        assert book.symbol == "BTC-KRW"
        assert book.time_ns == 1790134773_006_000_000
        assert book.is_snapshot
        assert book.sequence_rule == "none"
        assert book.bids == [
            (Decimal(116534000), Decimal("0.00079276")),
            (Decimal(116521000), Decimal("0.01624318")),
        ]
        assert book.asks == [
            (Decimal(116606000), Decimal("0.06288509")),
            (Decimal(116609000), Decimal("0.0005")),
        ]

    def test_prices_may_have_exponents(self) -> None:
        (book,) = upbit.decode_books(BOOKS[9], FEED)
        assert book.asks[0] == (Decimal(116539000), Decimal("0.02054761"))

    def test_a_level_with_price_zero_is_padding(self) -> None:
        (book,) = upbit.decode_books(BOOKS[13], FEED)
        assert book.asks == [(Decimal(41840), Decimal("103.6"))]
        assert len(book.bids) == 2

    def test_a_timestamp_of_microseconds_is_recognised(self) -> None:
        (book,) = upbit.decode_books(BOOKS[14], FEED)
        assert book.symbol == "ETC-USDT"
        assert book.time_ns == 1691530805_062_000_000

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            (b'"as":0.06288509', b'"as":-1', "size -1"),
            (b'"as":0.06288509', b'"as":"NaN"', "size NaN"),
            (b'"bp":116534000', b'"bp":"Infinity"', "price Infinity"),
            (b'"bp":116534000', b'"bp":{}', "`$.obu[0].bp`"),
            (b'"cd":"KRW-BTC",', b"", "`code`"),
            (b'"obu"', b'"other"', "`obu`"),
        ],
    )
    def test_a_broken_field_is_named(self, old: bytes, new: bytes, named: str) -> None:
        assert old in BOOKS[11]
        with pytest.raises(DecodeError, match="upbit: ") as caught:
            upbit.decode_books(BOOKS[11].replace(old, new), FEED)
        assert named in str(caught.value)


@pytest.mark.parametrize(
    ("frames", "kind", "counts"),
    [
        (TRADES, "trade", (16, 0, 0)),
        (REST_TRADES, "trade", (1, 0, 0)),
        (TICKERS, "ticker", (0, 3, 0)),
        (REST_TICKERS, "ticker", (0, 1, 0)),
        (BOOKS, "orderbook", (0, 0, 15)),
        (CONTROL, "control", (0, 0, 0)),
        ([b'{"type":"candle.1s","code":"KRW-BTC"}'], "other", (0, 0, 0)),
    ],
)
def test_every_frame_is_decoded_as_its_own_kind_only(
    frames: list[bytes], kind: str, counts: tuple[int, int, int]
) -> None:
    assert {upbit.kind(frame) for frame in frames} == {kind}
    assert counts == (
        sum(len(upbit.decode_trades(frame, FEED)) for frame in frames),
        sum(len(upbit.decode_tickers(frame, FEED)) for frame in frames),
        sum(len(upbit.decode_books(frame, FEED)) for frame in frames),
    )


def test_every_recorded_frame_is_decoded() -> None:
    assert sum(len(upbit.decode_trades(frame, FEED)) for frame in RECORDING) == 167
    assert sum(len(upbit.decode_books(frame, FEED)) for frame in RECORDING) == 102
    assert len(RECORDING) == 269


@pytest.mark.parametrize("junk", [b"", b"x", b"1", b"null", b"{}", b"[[]]", b"\xff", b"[" * 9999])
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(DecodeError, match="upbit: "):
        upbit.kind(junk)
    with pytest.raises(DecodeError, match="upbit: "):
        upbit.decode_trades(junk, FEED)


@settings(max_examples=400)
@given(
    frame=broken(
        [SIMPLE_TRADE, DEFAULT_TRADE, *TICKERS, *BOOKS[9:14], *CONTROL, *REST_TRADES, *REST_TICKERS]
    )
)
def test_nothing_but_decode_errors_comes_out_of_broken_frames(frame: bytes) -> None:
    decode_all(upbit, frame, FEED)
    decode_all(upbit, frame, FLAT_FEED)
