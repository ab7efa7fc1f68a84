from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings

from schemas.errors import DecodeError
from schemas.exchanges import decoder_of
from schemas.feeds import Feed
from schemas.records import BookUpdate, TickerUpdate, Trade
from tests.schemas.exchanges.frames import broken, decode_all, lines, recording

bithumb = decoder_of("bithumb")

FEED = Feed("bithumb", quote="KRW")
FLAT_FEED = Feed("bithumb", coin="BTC", quote="KRW")
TRADES = lines("bithumb-trade.jsonl")
TICKERS = lines("bithumb-ticker.jsonl")
BOOKS = lines("bithumb-orderbook.jsonl")
CONTROL = lines("bithumb-control.jsonl")
LEGACY_TRADES = lines("bithumb-v1-trade.jsonl")
LEGACY_TICKERS = lines("bithumb-v1-ticker.jsonl")
LEGACY_BOOKS = lines("bithumb-v1-orderbook.jsonl")
LEGACY_CONTROL = lines("bithumb-v1-control.jsonl")
RECORDING = recording("bithumb-v1")


class TestTrades:
    def test_current_format_with_the_id_as_text(self) -> None:
        assert bithumb.decode_trades(TRADES[0], FEED) == [
            Trade(
                symbol="BTC-KRW",
                trade_id=862683813820523888,
                time_ns=1783658381_138_000_000,
                taker_buys=False,
                price=Decimal(95539000),
                size=Decimal("0.00022664"),
                notional=Decimal("21652.95896"),
            )
        ]

    def test_current_format_with_the_id_as_number(self) -> None:
        (trade,) = bithumb.decode_trades(TRADES[1], FEED)
        assert trade.trade_id == 1079953210371761700
        assert trade.taker_buys is True
        assert trade.time_ns == 1790133513_739_000_000

    def test_legacy_format_is_korean_time_and_has_no_ids(self) -> None:
        # 08:43:34 in Seoul is 23:43:34 of the day before, UTC.
        assert bithumb.decode_trades(LEGACY_TRADES[0], FEED) == [
            Trade(
                symbol="CON-KRW",
                trade_id="2021-06-02 08:43:34.555058/2/3.908/12365.191/0",
                time_ns=1622591014_555_058_000,
                taker_buys=True,
                price=Decimal("3.908"),
                size=Decimal("12365.191"),
                notional=Decimal("48323.166428"),
            )
        ]

    def test_the_order_of_legacy_keys_does_not_matter(self) -> None:
        backwards = json.dumps(dict(reversed(json.loads(LEGACY_TRADES[0]).items()))).encode()
        assert bithumb.decode_trades(backwards, FEED) == bithumb.decode_trades(
            LEGACY_TRADES[0], FEED
        )

    def test_legacy_side_one_is_a_sale(self) -> None:
        (trade,) = bithumb.decode_trades(LEGACY_TRADES[1], FEED)
        assert trade.taker_buys is False

    def test_a_legacy_frame_sent_again_gives_the_same_ids(self) -> None:
        first = bithumb.decode_trades(LEGACY_TRADES[3], FEED)
        assert first == bithumb.decode_trades(LEGACY_TRADES[3], FEED)
        assert len({trade.trade_id for trade in first}) == 4

    def test_equal_legacy_fills_of_one_frame_have_different_ids(self) -> None:
        message = json.loads(LEGACY_TRADES[1])
        message["content"]["list"] *= 2
        assert [
            trade.trade_id for trade in bithumb.decode_trades(json.dumps(message).encode(), FEED)
        ] == [
            "2021-06-02 08:43:41.416901/1/7.524/626/0",
            "2021-06-02 08:43:41.416901/1/7.524/626/1",
        ]

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            (b'"buySellGb":"2"', b'"buySellGb":"3"', "`$.content.list[0].buySellGb`"),
            (b'"3.908"', b'"x"', "`$.content.list[0].contPrice`"),
            (b'"12365.191"', b'"-1"', "size -1"),
            (b"2021-06-02 08", b"2021-06-02T25", "2021-06-02T25"),
            (b"2021-06-02 08", b"2021-02-30 08", "2021-02-30"),
            (b"CON_KRW", b"CON-KRW", "CON-KRW"),
            (b'"list"', b'"rows"', "`list`"),
        ],
    )
    def test_a_broken_legacy_field_is_named(self, old: bytes, new: bytes, named: str) -> None:
        assert old in LEGACY_TRADES[0]
        with pytest.raises(DecodeError, match="bithumb: ") as caught:
            bithumb.decode_trades(LEGACY_TRADES[0].replace(old, new), FEED)
        assert named in str(caught.value)

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            (b'"ASK"', b'"1"', "`$.ask_bid`"),
            (b'"862683813820523888"', b"1.5", "`$.sequential_id`"),
            (b'"trade_volume":0.00022664', b'"trade_volume":-1', "size -1"),
        ],
    )
    def test_a_broken_field_is_named(self, old: bytes, new: bytes, named: str) -> None:
        assert old in TRADES[0]
        with pytest.raises(DecodeError, match="bithumb: ") as caught:
            bithumb.decode_trades(TRADES[0].replace(old, new), FEED)
        assert named in str(caught.value)


class TestTickers:
    def test_current_format(self) -> None:
        assert bithumb.decode_tickers(TICKERS[6], FEED) == [
            TickerUpdate(
                symbol="BTC-KRW",
                time_ns=1783655148_485_000_000,
                is_delta=False,
                opening_price=Decimal(94223000),
                trade_price=Decimal(95299000),
                max_price=Decimal(95465000),
                min_price=Decimal(93601000),
                prev_closing_price=Decimal(94201000),
                acc_trade_volume_24h=Decimal("310.44065227"),
                signed_change_price=Decimal(1098000),
                signed_change_rate=Decimal("0.01165593"),
            )
        ]

    def test_simple_format(self) -> None:
        (ticker,) = bithumb.decode_tickers(TICKERS[5], FEED)
        assert ticker.symbol == "ETH-BTC"
        assert ticker.time_ns == 1725927614_457_000_000
        assert ticker.signed_change_price == Decimal(-320)
        assert ticker.acc_trade_volume_24h == Decimal("19797.96498024")

    def test_legacy_rate_is_percent_and_its_change_is_not_ours(self) -> None:
        # 13:20:17 in Seoul is 04:20:17 UTC. chgAmt 610 is since the opening, so it is not taken.
        assert bithumb.decode_tickers(LEGACY_TICKERS[0], FEED) == [
            TickerUpdate(
                symbol="UNI-KRW",
                time_ns=1628655617_000_000_000,
                is_delta=False,
                opening_price=Decimal(33400),
                trade_price=Decimal(34010),
                max_price=Decimal(34510),
                min_price=Decimal(32660),
                prev_closing_price=Decimal(33530),
                acc_trade_volume_24h=Decimal("1359398.496892086826189907"),
                signed_change_price=None,
                signed_change_rate=Decimal("0.0183"),
            )
        ]

    def test_legacy_tickers_of_shorter_windows_are_left_out(self) -> None:
        half_hour = LEGACY_TICKERS[0].replace(b'"24H"', b'"30M"')
        assert bithumb.decode_tickers(half_hour, FEED) == []
        assert bithumb.kind(half_hour) == "ticker"

    def test_flattened(self) -> None:
        flat = b'{"opening_price": 1e-05, "trade_price": 116539000.0, "timestamp": 1730618524102}'
        (ticker,) = bithumb.decode_tickers(flat, FLAT_FEED)
        assert (ticker.symbol, ticker.time_ns) == ("BTC-KRW", 1730618524_102_000_000)
        assert ticker.opening_price == Decimal("0.00001")
        assert ticker.trade_price == Decimal(116539000)
        assert ticker.prev_closing_price is None

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            (b'"34010"', b'"x"', "`$.content.closePrice`"),
            (b'"1.83"', b'"NaN"', "`$.content.chgRate`"),
            (b'"132017"', b'"992017"', "992017"),
            (b'"UNI_KRW"', b"null", "`$.content.symbol`"),
        ],
    )
    def test_a_broken_legacy_field_is_named(self, old: bytes, new: bytes, named: str) -> None:
        assert old in LEGACY_TICKERS[0]
        with pytest.raises(DecodeError, match="bithumb: ") as caught:
            bithumb.decode_tickers(LEGACY_TICKERS[0].replace(old, new), FEED)
        assert named in str(caught.value)


class TestBooks:
    def test_current_format_is_in_microseconds_and_drops_size_zero(self) -> None:
        assert bithumb.decode_books(BOOKS[1], FEED) == [
            BookUpdate(
                symbol="BTC-KRW",
                time_ns=1790133505_564_033_000,
                is_snapshot=True,
                bids=[
                    (Decimal(116204000), Decimal("0.0037")),
                    (Decimal(116203000), Decimal("0.0025")),
                    (Decimal(116201000), Decimal("0.0004")),
                ],
                asks=[
                    (Decimal(116208000), Decimal("0.3313")),
                    (Decimal(116209000), Decimal("0.0001")),
                ],
            )
        ]

    def test_simple_format_without_a_time(self) -> None:
        (book,) = bithumb.decode_books(BOOKS[2], FEED)
        assert book.time_ns is None
        assert book.asks[0] == (Decimal(116279000), Decimal("0.0892"))

    def test_legacy_changes_keep_size_zero_and_need_a_snapshot(self) -> None:
        assert bithumb.decode_books(LEGACY_BOOKS[0], FEED) == [
            BookUpdate(
                symbol="XLM-KRW",
                time_ns=1628835823_604_483_000,
                is_snapshot=False,
                bids=[
                    (Decimal("399.5"), Decimal(0)),
                    (Decimal("398.2"), Decimal(0)),
                    (Decimal("399.8"), Decimal("31416.8779")),
                    (Decimal("398.5"), Decimal("34328.387")),
                ],
                asks=[
                    (Decimal("401.2"), Decimal(0)),
                    (Decimal("401.6"), Decimal("21277.735")),
                    (Decimal("403.3"), Decimal(4000)),
                ],
                needs_snapshot=True,
            )
        ]

    def test_legacy_changes_of_two_symbols_are_two_updates(self) -> None:
        message = json.loads(LEGACY_BOOKS[0])
        message["content"]["list"][2]["symbol"] = "BTC_KRW"
        updates = bithumb.decode_books(json.dumps(message).encode(), FEED)
        assert [update.symbol for update in updates] == ["XLM-KRW", "BTC-KRW"]
        assert updates[1].asks == [(Decimal("403.3"), Decimal(4000))]
        assert updates[1].bids == []

    def test_legacy_snapshot(self) -> None:
        (book,) = bithumb.decode_books(LEGACY_BOOKS[1], FEED)
        assert book.symbol == "BTC-KRW"
        assert book.time_ns == 1790133914_965_948_000
        assert book.is_snapshot
        assert len(book.asks) == 3
        assert book.bids == [
            (Decimal(116500000), Decimal("0.7074")),
            (Decimal(116475000), Decimal("0.0258")),
        ]

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            (b'"21277.735"', b'"-1"', "asks: price 401.6 and size -1"),
            (b'"399.8"', b'"0"', "bids: price 0"),
            (b'"orderType":"bid"', b'"orderType":"buy"', "`$.content.list[3].orderType`"),
            (b'"1628835823604483"', b'"x"', "'x'"),
        ],
    )
    def test_a_broken_legacy_field_is_named(self, old: bytes, new: bytes, named: str) -> None:
        assert old in LEGACY_BOOKS[0]
        with pytest.raises(DecodeError, match="bithumb: ") as caught:
            bithumb.decode_books(LEGACY_BOOKS[0].replace(old, new), FEED)
        assert named in str(caught.value)


@pytest.mark.parametrize(
    ("frames", "kind", "counts"),
    [
        (TRADES, "trade", (2, 0, 0)),
        (LEGACY_TRADES, "trade", (8, 0, 0)),
        (TICKERS, "ticker", (0, 7, 0)),
        (LEGACY_TICKERS, "ticker", (0, 1, 0)),
        (BOOKS, "orderbook", (0, 0, 3)),
        (LEGACY_BOOKS, "orderbook", (0, 0, 2)),
        (CONTROL, "control", (0, 0, 0)),
        (LEGACY_CONTROL, "control", (0, 0, 0)),
        ([b'{"type":"stat","content":{}}'], "other", (0, 0, 0)),
    ],
)
def test_every_frame_is_decoded_as_its_own_kind_only(
    frames: list[bytes], kind: str, counts: tuple[int, int, int]
) -> None:
    assert {bithumb.kind(frame) for frame in frames} == {kind}
    assert counts == (
        sum(len(bithumb.decode_trades(frame, FEED)) for frame in frames),
        sum(len(bithumb.decode_tickers(frame, FEED)) for frame in frames),
        sum(len(bithumb.decode_books(frame, FEED)) for frame in frames),
    )


def test_every_recorded_frame_is_decoded() -> None:
    assert sum(len(bithumb.decode_trades(frame, FEED)) for frame in RECORDING) == 7
    assert [bithumb.kind(frame) for frame in RECORDING].count("control") == 2
    assert len(RECORDING) == 6


@settings(max_examples=400)
@given(
    frame=broken(
        [
            *(*TRADES, *TICKERS[1:4], *BOOKS, *CONTROL),
            *(*LEGACY_TRADES, *LEGACY_TICKERS, *LEGACY_BOOKS, *LEGACY_CONTROL),
        ]
    )
)
def test_nothing_but_decode_errors_comes_out_of_broken_frames(frame: bytes) -> None:
    decode_all(bithumb, frame, FEED)
    decode_all(bithumb, frame, FLAT_FEED)
