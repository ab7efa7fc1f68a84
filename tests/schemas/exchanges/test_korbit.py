from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings

from schemas.errors import DecodeError
from schemas.exchanges import decoder_of
from schemas.feeds import Feed
from schemas.records import BookUpdate, TickerUpdate, Trade
from tests.schemas.exchanges.frames import broken, decode_all, lines

korbit = decoder_of("korbit")

FEED = Feed("korbit", quote="KRW")
REST_FEED = Feed("korbit", native_symbol="btc_krw", quote="KRW")
FLAT_FEED = Feed("korbit", coin="ETH", quote="KRW")
TRADES = lines("korbit-trade.jsonl")
TICKERS = lines("korbit-ticker.jsonl")
BOOKS = lines("korbit-orderbook.jsonl")
CONTROL = [
    *lines("korbit-control.jsonl"),
    b'{"success":false,"error":{"message":"INVALID_SYMBOL"}}',
]
(REST_TRADES,) = lines("rest/korbit-trades.json")


class TestTrades:
    def test_websocket_frame(self) -> None:
        assert korbit.decode_trades(TRADES[0], FEED) == [
            Trade(
                symbol="BTC-KRW",
                trade_id=123456,
                time_ns=1700000001_239_000_000,
                taker_buys=True,
                price=Decimal(98909000),
                size=Decimal("0.00146702"),
                notional=Decimal("145101.48118"),
            )
        ]

    def test_a_seller_who_takes(self) -> None:
        (trade,) = korbit.decode_trades(TRADES[1], FEED)
        assert trade.taker_buys is False
        assert trade.time_ns == 1790134317_520_000_000

    def test_a_rest_body_has_the_symbol_of_its_feed_and_ids_of_its_content(self) -> None:
        trades = korbit.decode_trades(REST_TRADES, REST_FEED)
        assert len(trades) == 4
        assert trades[0] == Trade(
            symbol="BTC-KRW",
            trade_id="1708057271149/sell/70507000/0.00981535/0",
            time_ns=1708057271_149_000_000,
            taker_buys=False,
            price=Decimal(70507000),
            size=Decimal("0.00981535"),
            notional=Decimal("692050.88245"),
        )

    def test_a_rest_body_with_ids_keeps_them(self) -> None:
        body = json.loads(REST_TRADES)
        body["data"][0]["tradeId"] = 1004
        (first, *_) = korbit.decode_trades(json.dumps(body).encode(), REST_FEED)
        assert first.trade_id == 1004

    def test_a_rest_body_without_a_symbol_is_refused(self) -> None:
        with pytest.raises(DecodeError, match="korbit: expected the symbol in the record's key"):
            korbit.decode_trades(REST_TRADES, FEED)

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            (b"true,", b'"true",', "`$.data[0].isBuyerTaker`"),
            (b'"isBuyerTaker":true,', b"", "`isBuyerTaker`"),
            (b'"98909000"', b'"x"', "`$.data[0].price`"),
            (b'"98909000"', b'"-1"', "price -1"),
            (b'"0.00146702"', b'"-1"', "size -1"),
            (b":1700000001239", b":1700000001", "1700000001"),
            (b":123456", b':"a"', "`$.data[0].tradeId`"),
            (b"btc_krw", b"btckrw", "BTCKRW"),
        ],
    )
    def test_a_broken_field_is_named(self, old: bytes, new: bytes, named: str) -> None:
        frame = TRADES[0].replace(b'"snapshot":true,', b"")
        assert old in frame
        with pytest.raises(DecodeError, match="korbit: ") as caught:
            korbit.decode_trades(frame.replace(old, new), FEED)
        assert named in str(caught.value)


class TestTickers:
    def test_websocket_frame(self) -> None:
        assert korbit.decode_tickers(TICKERS[1], FEED) == [
            TickerUpdate(
                symbol="ETH-KRW",
                time_ns=1730365099_072_000_000,
                is_delta=False,
                opening_price=Decimal(4390000),
                trade_price=Decimal(4357000),
                max_price=Decimal(4390000),
                min_price=Decimal(4357000),
                prev_closing_price=Decimal(4456000),
                acc_trade_volume_24h=Decimal("0.1702132"),
                signed_change_price=Decimal(-99000),
                signed_change_rate=Decimal("-0.0222"),
            )
        ]

    def test_flattened(self) -> None:
        message = json.loads(TICKERS[1])
        flat = {"timestamp": message["timestamp"], **message["data"]}
        frame = json.dumps(flat).encode()
        assert korbit.kind(frame) == "ticker"
        assert korbit.decode_tickers(frame, FLAT_FEED) == korbit.decode_tickers(TICKERS[1], FEED)
        with pytest.raises(DecodeError, match="envelope"):
            korbit.decode_tickers(frame, FEED)

    def test_a_pair_that_never_traded_has_no_figures(self) -> None:
        message = json.loads(TICKERS[0])
        message["data"] = {"open": None, "close": "", "lastTradedAt": None}
        (ticker,) = korbit.decode_tickers(json.dumps(message).encode(), FEED)
        assert ticker.trade_price is None
        assert ticker.opening_price is None
        assert ticker.signed_change_rate is None

    def test_a_broken_field_is_named(self) -> None:
        frame = TICKERS[1].replace(b'"-2.22"', b'"NaN"')
        with pytest.raises(DecodeError, match=r"korbit: .*`\$\.data\.priceChangePercent`"):
            korbit.decode_tickers(frame, FEED)


class TestBooks:
    def test_each_frame_is_the_whole_book_with_or_without_the_snapshot_mark(self) -> None:
        assert korbit.decode_books(BOOKS[2], FEED) == [
            BookUpdate(
                symbol="BTC-KRW",
                time_ns=1790134243_067_000_000,
                is_snapshot=True,
                bids=[
                    (Decimal(116455000), Decimal("0.00499")),
                    (Decimal(116453000), Decimal("0.01919775")),
                    (Decimal(116451000), Decimal("0.00059")),
                ],
                asks=[
                    (Decimal(116506000), Decimal("0.27522")),
                    (Decimal(116507000), Decimal("0.0321")),
                    (Decimal(116538000), Decimal("0.00665633")),
                ],
            )
        ]

    def test_a_stopped_pair_has_empty_sides_and_an_old_time(self) -> None:
        (book,) = korbit.decode_books(BOOKS[3], FEED)
        assert (book.symbol, book.bids, book.asks) == ("KLAY-KRW", [], [])
        assert book.time_ns == 1789456789_897_000_000

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            (b'"0.27522"', b'"-0.27522"', "$.data.asks: price 116506000 and size -0.27522"),
            (b'"116455000"', b"[]", "`$.data.bids[0].price`"),
            (b'"bids"', b'"other"', "`bids`"),
        ],
    )
    def test_a_broken_field_is_named(self, old: bytes, new: bytes, named: str) -> None:
        assert old in BOOKS[2]
        with pytest.raises(DecodeError, match="korbit: ") as caught:
            korbit.decode_books(BOOKS[2].replace(old, new), FEED)
        assert named in str(caught.value)


@pytest.mark.parametrize(
    ("frames", "kind", "counts"),
    [
        (TRADES, "trade", (2, 0, 0)),
        ([REST_TRADES], "trade", (4, 0, 0)),
        (TICKERS, "ticker", (0, 5, 0)),
        (BOOKS, "orderbook", (0, 0, 5)),
        (CONTROL, "control", (0, 0, 0)),
        ([b'{"success":true,"data":[]}', b'{"type":"myTrade"}'], "other", (0, 0, 0)),
    ],
)
def test_every_frame_is_decoded_as_its_own_kind_only(
    frames: list[bytes], kind: str, counts: tuple[int, int, int]
) -> None:
    assert {korbit.kind(frame) for frame in frames} == {kind}
    assert counts == (
        sum(len(korbit.decode_trades(frame, REST_FEED)) for frame in frames),
        sum(len(korbit.decode_tickers(frame, FEED)) for frame in frames),
        sum(len(korbit.decode_books(frame, FEED)) for frame in frames),
    )


@pytest.mark.parametrize("junk", [b"", b"x", b"1", b"null", b"{}", b"[]", b"\xff", b"[" * 9999])
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(DecodeError, match="korbit: "):
        korbit.kind(junk)
    with pytest.raises(DecodeError, match="korbit: "):
        korbit.decode_trades(junk, FEED)


@settings(max_examples=400)
@given(frame=broken([*TRADES, *TICKERS[:2], *BOOKS, *CONTROL, REST_TRADES]))
def test_nothing_but_decode_errors_comes_out_of_broken_frames(frame: bytes) -> None:
    decode_all(korbit, frame, REST_FEED)
    decode_all(korbit, frame, FLAT_FEED)
