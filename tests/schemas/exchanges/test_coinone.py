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

coinone = decoder_of("coinone")

FEED = Feed("coinone", quote="KRW")
FLAT_FEED = Feed("coinone", coin="BTC", quote="KRW")
TRADES = lines("coinone-trade.jsonl")
TICKERS = lines("coinone-ticker.jsonl")
BOOKS = lines("coinone-orderbook.jsonl")
CONTROL = [
    *lines("coinone-control.jsonl"),
    b'{"r":"CONNECTED"}',
    b'{"result":"error","error_code":"108"}',
]
(REST_ROW,) = lines("rest/coinone-trade-row.json")
REST_TRADES = (
    b'{"result":"success","error_code":"0","server_time":1701075265709,"quote_currency":"KRW",'
    b'"target_currency":"BTC","transactions":[' + REST_ROW + b"]}"
)
# The documented keys of the SHORT format, with the figures of the DEFAULT recording.
SHORT_TICKER = (
    b'{"r":"DATA","c":"TICKER","d":{"qc":"KRW","tc":"BTC","t":1790133796484,'
    b'"tv":"267.27610034","hi":"116470000","lo":"115570000","fi":"115650000","la":"116380000",'
    b'"yla":"115640000","i":"1790133796484001"}}'
)


class TestTrades:
    def test_default_format(self) -> None:
        assert coinone.decode_trades(TRADES[0], FEED) == [
            Trade(
                symbol="XRP-KRW",
                trade_id=1693560450996001,
                time_ns=1693560450_996_000_000,
                taker_buys=True,
                price=Decimal("688.3"),
                size=Decimal(5000),
                notional=Decimal(3441500),
            )
        ]

    def test_short_format(self) -> None:
        assert coinone.decode_trades(TRADES[1], FEED) == [
            Trade(
                symbol="XRP-KRW",
                trade_id=1693560563084003,
                time_ns=1693560563_084_000_000,
                taker_buys=False,
                price=Decimal("688.3"),
                size=Decimal("290.745"),
                notional=Decimal("200119.7835"),
            )
        ]

    def test_rest_body(self) -> None:
        assert coinone.decode_trades(REST_TRADES, FEED) == [
            Trade(
                symbol="BTC-KRW",
                trade_id=1701075265708001,
                time_ns=1701075265_708_000_000,
                taker_buys=False,
                price=Decimal(50020000),
                size=Decimal("0.00155177"),
                notional=Decimal("77619.5354"),
            )
        ]

    def test_a_seller_who_made_means_that_the_buyer_took(self) -> None:
        assert b'"is_seller_maker":true' in TRADES[3]
        (trade,) = coinone.decode_trades(TRADES[3], FEED)
        assert trade.taker_buys is True

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            (b'"is_seller_maker":true', b'"is_seller_maker":"true"', "`$.data.is_seller_maker`"),
            (b',"is_seller_maker":true', b"", "`is_seller_maker`"),
            (b'"688.3"', b'"NaN"', "price NaN"),
            (b'"5000"', b'"x"', "`$.data.qty`"),
            (b":1693560450996", b":16935604509960", "16935604509960"),
            (b'"1693560450996001"', b'""', "id '': expected a whole number"),
            (b'"1693560450996001"', b"null", "`$.data.id`"),
            (b'"XRP"', b'"X-RP"', "X-RP"),
        ],
    )
    def test_a_broken_field_is_named(self, old: bytes, new: bytes, named: str) -> None:
        assert old in TRADES[0]
        with pytest.raises(DecodeError, match="coinone: ") as caught:
            coinone.decode_trades(TRADES[0].replace(old, new), FEED)
        assert named in str(caught.value)


class TestTickers:
    EXPECTED = TickerUpdate(
        symbol="BTC-KRW",
        time_ns=1790133796_484_000_000,
        is_delta=False,
        opening_price=Decimal(115650000),
        trade_price=Decimal(116380000),
        max_price=Decimal(116470000),
        min_price=Decimal(115570000),
        prev_closing_price=Decimal(115640000),
        acc_trade_volume_24h=Decimal("267.27610034"),
        signed_change_price=None,
        signed_change_rate=None,
    )

    def test_default_format_leaves_the_changes_to_be_derived(self) -> None:
        assert coinone.decode_tickers(TICKERS[0], FEED) == [self.EXPECTED]

    def test_short_format(self) -> None:
        assert coinone.decode_tickers(SHORT_TICKER, FEED) == [self.EXPECTED]

    def test_flattened(self) -> None:
        data = json.loads(TICKERS[0])["data"]
        names = ("timestamp", "first", "last", "high", "low", "yesterday_last", "target_volume")
        frame = json.dumps({name: data[name] for name in names}).encode()
        assert coinone.kind(frame) == "ticker"
        assert coinone.decode_tickers(frame, FLAT_FEED) == [self.EXPECTED]
        with pytest.raises(DecodeError, match="envelope"):
            coinone.decode_tickers(frame, FEED)

    def test_no_previous_close_is_no_error(self) -> None:
        for nothing in (b"null", b'""', b'"0"'):
            (ticker,) = coinone.decode_tickers(TICKERS[0].replace(b'"115640000"', nothing), FEED)
            assert not ticker.prev_closing_price

    def test_a_broken_field_is_named(self) -> None:
        with pytest.raises(DecodeError, match=r"coinone: .*`\$\.data\.last`"):
            coinone.decode_tickers(TICKERS[0].replace(b'"116380000"', b'"1e99"'), FEED)


class TestBooks:
    def test_asks_keep_the_wires_order_with_the_best_last(self) -> None:
        assert coinone.decode_books(BOOKS[2], FEED) == [
            BookUpdate(
                symbol="BTC-KRW",
                time_ns=1790134177_753_000_000,
                is_snapshot=True,
                bids=[
                    (Decimal(116450000), Decimal("0.0118")),
                    (Decimal(116440000), Decimal("0.04695328")),
                    (Decimal(116250000), Decimal("0.01325806")),
                ],
                asks=[
                    (Decimal(116650000), Decimal("0.01198956")),
                    (Decimal(116640000), Decimal("0.000657")),
                    (Decimal(116470000), Decimal("0.00171821")),
                    (Decimal(116460000), Decimal("0.0232")),
                ],
                sequence_rule="growing",
                last_id=1790134177753001,
            )
        ]

    def test_short_format(self) -> None:
        (book,) = coinone.decode_books(BOOKS[4], FEED)
        assert book.symbol == "BTC-KRW"
        assert book.last_id == 1790134177753001
        assert book.asks[-1] == (Decimal(116460000), Decimal("0.0232"))
        assert book.bids == [(Decimal(116450000), Decimal("0.0118"))]

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            (b'"0.0232"', b'"-1"', "$.data.asks: price 116460000 and size -1"),
            (b'"116450000"', b"true", "`$.data.bids[0].price`"),
            (b'"1790134177753001"', b'"abc"', "id 'abc'"),
        ],
    )
    def test_a_broken_field_is_named(self, old: bytes, new: bytes, named: str) -> None:
        assert old in BOOKS[2]
        with pytest.raises(DecodeError, match="coinone: ") as caught:
            coinone.decode_books(BOOKS[2].replace(old, new), FEED)
        assert named in str(caught.value)


@pytest.mark.parametrize(
    ("frames", "kind", "counts"),
    [
        (TRADES, "trade", (4, 0, 0)),
        ([REST_TRADES], "trade", (1, 0, 0)),
        (TICKERS, "ticker", (0, 2, 0)),
        (BOOKS, "orderbook", (0, 0, 5)),
        (CONTROL, "control", (0, 0, 0)),
        (
            [b'{"response_type":"DATA","channel":"CHART"}', b'{"result":"success"}'],
            "other",
            (0, 0, 0),
        ),
    ],
)
def test_every_frame_is_decoded_as_its_own_kind_only(
    frames: list[bytes], kind: str, counts: tuple[int, int, int]
) -> None:
    assert {coinone.kind(frame) for frame in frames} == {kind}
    assert counts == (
        sum(len(coinone.decode_trades(frame, FEED)) for frame in frames),
        sum(len(coinone.decode_tickers(frame, FEED)) for frame in frames),
        sum(len(coinone.decode_books(frame, FEED)) for frame in frames),
    )


@pytest.mark.parametrize("junk", [b"", b"x", b"1", b"null", b"{}", b"[]", b"\xff", b"[" * 9999])
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(DecodeError, match="coinone: "):
        coinone.kind(junk)
    with pytest.raises(DecodeError, match="coinone: "):
        coinone.decode_trades(junk, FEED)


@settings(max_examples=400)
@given(frame=broken([*TRADES, *TICKERS, SHORT_TICKER, *BOOKS, *CONTROL, REST_TRADES]))
def test_nothing_but_decode_errors_comes_out_of_broken_frames(frame: bytes) -> None:
    decode_all(coinone, frame, FEED)
    decode_all(coinone, frame, FLAT_FEED)
