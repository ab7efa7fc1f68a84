from __future__ import annotations

import json
import re
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from schemas.errors import DecodeError
from schemas.exchanges import EXCHANGES, decoder_of
from schemas.feeds import Feed
from schemas.records import Salvaged, TickerUpdate, Trade
from tests.schemas.exchanges.frames import broken, decode_all, lines, recording

if TYPE_CHECKING:
    from schemas.records import BookUpdate, Kind

kraken = decoder_of("kraken")

FEED = Feed("kraken")

TRADES = lines("kraken-trade.jsonl")
V1_TRADES = lines("kraken-v1-trade.jsonl")
TICKERS = lines("kraken-ticker.jsonl")
EDGE_TICKERS = lines("kraken-ticker-edge.jsonl")
V1_TICKERS = lines("kraken-v1-ticker.jsonl")
BOOKS = lines("kraken-orderbook.jsonl")
DOC_BOOKS = lines("kraken-orderbook-docs.jsonl")
V1_BOOKS = lines("kraken-v1-orderbook.jsonl")
V1_BOOK_VARIANTS = lines("kraken-v1-orderbook-variants.jsonl")
CONTROL = lines("kraken-control.jsonl") + lines("kraken-v1-control.jsonl")
(REST_TRADES,) = lines("rest/kraken-trades.json")
(REST_TICKER,) = lines("rest/kraken-ticker.json")
REST_ERROR = b'{"error":["EQuery:Unknown asset pair"]}'


def with_row(frame: bytes, **fields: Any) -> bytes:
    """The frame with fields of its first row replaced, or left out where they are `...`."""
    message = json.loads(frame)
    row = message["data"][0]
    row.update(fields)
    for name, value in fields.items():
        if value is ...:
            del row[name]
    return json.dumps(message).encode()


def with_cell(frame: bytes, at: int, value: Any) -> bytes:
    """The version 1 trade frame with one cell of its first row replaced."""
    message = json.loads(frame)
    message[1][0][at] = value
    return json.dumps(message).encode()


def with_rows(frame: bytes, *rows: list[str]) -> bytes:
    """The version 1 trade frame with more rows."""
    message = json.loads(frame)
    message[1] += rows
    return json.dumps(message).encode()


def only_book(frame: bytes) -> BookUpdate:
    (book,) = kraken.decode_books(frame, FEED)
    return book


def only_ticker(frame: bytes, feed: Feed = FEED) -> TickerUpdate:
    (ticker,) = kraken.decode_tickers(frame, feed)
    return ticker


class TestTrades:
    def test_version_2_buy_is_the_takers(self) -> None:
        assert kraken.decode_trades(TRADES[2], FEED)[0] == Trade(
            symbol="BTC-USD",
            trade_id=10218208,
            time_ns=1696613755440295_000,
            taker_buys=True,
            price=Decimal("105944.20"),
            size=Decimal("0.00027625"),
            notional=Decimal("29.26708525"),
        )

    def test_version_2_sell_is_the_takers(self) -> None:
        assert kraken.decode_trades(TRADES[1], FEED) == [
            Trade(
                symbol="MATIC-USD",
                trade_id=4665906,
                time_ns=1695628177708706_000,
                taker_buys=False,
                price=Decimal("0.5117"),
                size=Decimal("40.0"),
                notional=Decimal("20.468"),
            )
        ]

    def test_version_2_snapshot_holds_several_trades(self) -> None:
        trades = kraken.decode_trades(TRADES[0], FEED)
        assert [trade.trade_id for trade in trades] == [4665846, 4665847]

    def test_version_1_trade_is_stamped_in_seconds_and_has_an_id_of_its_content(self) -> None:
        assert kraken.decode_trades(V1_TRADES[0], FEED) == [
            Trade(
                symbol="XMR-USD",
                trade_id="1618678142.557535/s/354.11000000/0.89594024/0",
                time_ns=1618678142557535_000,
                taker_buys=False,
                price=Decimal("354.11"),
                size=Decimal("0.89594024"),
                notional=Decimal("317.2613983864"),
            )
        ]

    def test_version_1_bitcoin_and_buys(self) -> None:
        (trade,) = kraken.decode_trades(V1_TRADES[8], FEED)
        assert (trade.symbol, trade.taker_buys) == ("BTC-USD", True)

    def test_equal_fills_of_one_version_1_frame_both_count_and_a_resent_frame_does_not(
        self,
    ) -> None:
        message = json.loads(V1_TRADES[0])
        message[1] *= 2
        frame = json.dumps(message).encode()
        ids = [trade.trade_id for trade in kraken.decode_trades(frame, FEED)]
        assert ids == [
            "1618678142.557535/s/354.11000000/0.89594024/0",
            "1618678142.557535/s/354.11000000/0.89594024/1",
        ]
        assert [trade.trade_id for trade in kraken.decode_trades(frame, FEED)] == ids

    def test_rest_rows_carry_the_ids_of_version_2(self) -> None:
        trades = kraken.decode_trades(REST_TRADES, FEED)
        assert len(trades) == 8
        assert trades[0] == Trade(
            symbol="BTC-USDT",
            trade_id=10218208,
            time_ns=1762795433_971744_500,
            taker_buys=True,
            price=Decimal("105433.6"),
            size=Decimal("0.00027625"),
            notional=Decimal("29.126032"),
        )
        assert trades[4].taker_buys is False

    def test_rest_rows_without_ids_get_one_of_their_content(self) -> None:
        frame = REST_TRADES.replace(b',"",10218208]', b',""]')
        trade = kraken.decode_trades(frame, FEED)[0]
        assert trade.trade_id == "1762795433.9717445/b/105433.60000/0.00027625/0"

    @pytest.mark.parametrize(
        ("pair", "symbol"),
        [
            ("XXBTZUSD", "BTC-USD"),
            ("XETHXXBT", "ETH-BTC"),
            ("XXDGXXBT", "DOGE-BTC"),
            ("ZEURZUSD", "EUR-USD"),
            ("USDTZUSD", "USDT-USD"),
            ("XTZUSD", "XTZ-USD"),
            ("XDGEUR", "DOGE-EUR"),
            ("XBTUSDT", "BTC-USDT"),
            ("SOLUSDC", "SOL-USDC"),
            ("RLUSDUSD", "RLUSD-USD"),
            ("XBT/USD", "BTC-USD"),
        ],
    )
    def test_rest_pairs_become_canonical(self, pair: str, symbol: str) -> None:
        frame = REST_TRADES.replace(b'"XBTUSDT"', f'"{pair}"'.encode())
        assert kraken.decode_trades(frame, FEED)[0].symbol == symbol

    @pytest.mark.parametrize("pair", ["XRPRLUSD", "XBTPYUSD", "NONSENSE", "USD", ""])
    def test_rest_pair_that_cannot_be_split_is_refused(self, pair: str) -> None:
        frame = REST_TRADES.replace(b'"XBTUSDT"', f'"{pair}"'.encode())
        with pytest.raises(DecodeError, match="known quote currency"):
            kraken.decode_trades(frame, FEED)

    def test_pair_with_a_slash_in_the_key_decides(self) -> None:
        frame = REST_TRADES.replace(b'"XBTUSDT"', b'"XRPRLUSD"')
        feed = Feed("kraken", native_symbol="XRP/RLUSD")
        assert kraken.decode_trades(frame, feed)[0].symbol == "XRP-RLUSD"

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"symbol": "BTCUSD"}, "symbol 'BTCUSD'"),
            ({"symbol": "/USD"}, "1 to 20 letters"),
            ({"symbol": None}, r"\$\.data\[0\]\.symbol"),
            ({"side": "b"}, r"\$\.data\[0\]\.side"),
            ({"side": ...}, "`side`"),
            ({"price": 0}, "price 0"),
            ({"price": "NaN"}, "price NaN"),
            ({"qty": -1}, "size -1"),
            ({"qty": []}, r"\$\.data\[0\]\.qty"),
            ({"trade_id": "x"}, r"\$\.data\[0\]\.trade_id"),
            ({"timestamp": "yesterday"}, "RFC 3339"),
            ({"timestamp": "1970-01-01T00:00:00Z"}, "2009 to 2100"),
            ({"timestamp": 5}, r"\$\.data\[0\]\.timestamp"),
        ],
    )
    def test_broken_field_is_refused_and_named(self, fields: dict[str, Any], named: str) -> None:
        with pytest.raises(DecodeError, match=named) as raised:
            kraken.decode_trades(with_row(TRADES[1], **fields), FEED)
        assert str(raised.value).startswith("kraken: ")
        assert len(str(raised.value)) <= 300

    @pytest.mark.parametrize(
        ("at", "value", "named"),
        [
            (0, "x", r"\$\[1\]\[0\]\[0\]"),
            (1, "-1", "size -1"),
            (2, "soon", "number of seconds"),
            (2, None, r"\$\[1\]\[0\]\[2\]"),
            (3, "x", r"\$\[1\]\[0\]\[3\]"),
        ],
    )
    def test_broken_cell_of_version_1_is_refused_and_named(
        self, at: int, value: object, named: str
    ) -> None:
        with pytest.raises(DecodeError, match=named):
            kraken.decode_trades(with_cell(V1_TRADES[0], at, value), FEED)

    def test_broken_rest_rows_are_refused(self) -> None:
        with pytest.raises(DecodeError, match=r"\$\.result\.XBTUSDT\[0\]\[3\].* and 3 more"):
            kraken.decode_trades(re.sub(rb'"[bs]"', b'"x"', REST_TRADES), FEED)

    def test_a_bad_row_does_not_cost_its_neighbours(self) -> None:
        for frame, place in (
            (REST_TRADES.replace(b'"b"', b'"x"', 1), "$.result.XBTUSDT[0][3]"),
            (TRADES[0].replace(b'"buy"', b'"x"', 1), "$.data[0].side"),
            (with_rows(V1_TRADES[0], ["0", "x", "1618678142.557535", "s", "l", ""]), "$[1][1][1]"),
        ):
            trades = kraken.decode_trades(frame, FEED)
            assert isinstance(trades, Salvaged)
            (problem,) = trades.problems
            assert f"`{place}`" in problem
            assert trades.rows == len(trades) + 1 > 1

    @pytest.mark.parametrize("size", ["0", "0.00000000"])
    def test_a_trade_of_size_zero_is_none_and_counted(self, size: str) -> None:
        trades = kraken.decode_trades(with_cell(V1_TRADES[0], 1, size), FEED)
        assert isinstance(trades, Salvaged)
        assert (list(trades), trades.problems, trades.skipped) == ([], [], 1)

    def test_currencies_that_kraken_alone_names_so_get_their_common_name(self) -> None:
        for own, common in (("XBT", "BTC"), ("LUNA", "LUNC"), ("LUNA2", "LUNA"), ("UST", "USTC")):
            frame = with_row(TRADES[1], symbol=f"{own}/USD")
            assert kraken.decode_trades(frame, FEED)[0].symbol == f"{common}-USD"
            rest = REST_TRADES.replace(b"XBTUSDT", own.encode() + b"USD")
            assert kraken.decode_trades(rest, FEED)[0].symbol == f"{common}-USD"
            assert EXCHANGES["kraken"].market(f"{common}-USD").native_symbol == f"{own}/USD"


class TestTickers:
    def test_version_2_closes_of_yesterday_follow_from_the_change(self) -> None:
        assert only_ticker(TICKERS[0]) == TickerUpdate(
            symbol="ALGO-USD",
            time_ns=1695632671742648_000,
            is_delta=False,
            opening_price=Decimal("0.10052"),
            trade_price=Decimal("0.10035"),
            max_price=Decimal("0.10285"),
            min_price=Decimal("0.09979"),
            prev_closing_price=Decimal("0.10052"),
            acc_trade_volume_24h=Decimal("997038.98383185"),
            signed_change_price=Decimal("-0.00017"),
            signed_change_rate=Decimal("-0.0017"),
        )

    def test_version_1_takes_the_figures_of_24_hours(self) -> None:
        assert only_ticker(V1_TICKERS[0]) == TickerUpdate(
            symbol="WAVES-EUR",
            time_ns=None,
            is_delta=False,
            opening_price=Decimal("13.4283"),
            trade_price=Decimal("13.2539"),
            max_price=Decimal("14.2112"),
            min_price=Decimal("13.0218"),
            prev_closing_price=Decimal("13.4283"),
            acc_trade_volume_24h=Decimal("72035.05488104"),
        )

    def test_one_odd_pair_does_not_cost_the_tickers_of_all_others(self) -> None:
        body = json.loads(REST_TICKER)
        (ticker,) = body["result"].values()
        odd = {"ODDPAIR": ticker, "ETHUSDT": {}, "SOLUSDT": None, "XBTUSDT": ticker}
        frame = json.dumps({"error": [], "result": odd}).encode()
        tickers = kraken.decode_tickers(frame, FEED)
        assert [ticker.symbol for ticker in tickers] == ["BTC-USDT"]
        assert isinstance(tickers, Salvaged)
        assert [problem.rpartition("`$.result.")[2] for problem in tickers.problems] == [
            "ODDPAIR`",
            "ETHUSDT`",
            "SOLUSDT`",
        ]

    def test_rest_has_one_opening_price(self) -> None:
        assert only_ticker(REST_TICKER) == TickerUpdate(
            symbol="BTC-USDT",
            time_ns=None,
            is_delta=False,
            opening_price=Decimal("106021.6"),
            trade_price=Decimal("105899.4"),
            max_price=Decimal("106613.1"),
            min_price=Decimal(104711),
            prev_closing_price=Decimal("106021.6"),
            acc_trade_volume_24h=Decimal("163.28908096"),
        )

    def test_pair_that_was_never_traded_has_no_figures_and_no_time(self) -> None:
        assert only_ticker(EDGE_TICKERS[1]) == TickerUpdate("ANETx-USD", None, is_delta=False)

    def test_ticker_without_a_stamp_has_no_time(self) -> None:
        assert only_ticker(with_row(TICKERS[0], timestamp=...)).time_ns is None

    def test_flattened_ticker_takes_its_symbol_from_the_envelope(self) -> None:
        frame = (
            b'{"last": 0.10035, "ask": 0.10036, "high": 0.10285, "low": 0.09979, '
            b'"volume": 997038.98383185, "change": -0.00017, "change_pct": -0.17}'
        )
        ticker = only_ticker(frame, Feed("kraken", coin="ALGO", quote="USD"))
        assert (ticker.symbol, ticker.time_ns) == ("ALGO-USD", None)
        assert ticker.prev_closing_price == Decimal("0.10052")
        with pytest.raises(DecodeError, match="expected a symbol"):
            kraken.decode_tickers(frame, FEED)

    @pytest.mark.parametrize("nothing", ["", None, ...])
    def test_figure_without_value_is_none(self, nothing: object) -> None:
        ticker = only_ticker(with_row(TICKERS[0], last=nothing, high=nothing, change_pct=nothing))
        assert (ticker.trade_price, ticker.max_price) == (None, None)
        assert (ticker.prev_closing_price, ticker.signed_change_rate) == (None, None)

    @pytest.mark.parametrize("key", ["last", "high", "low", "volume", "change", "change_pct"])
    def test_broken_figure_is_refused_and_named(self, key: str) -> None:
        with pytest.raises(DecodeError, match=rf"\$\.{key}"):
            kraken.decode_tickers(with_row(TICKERS[0], **{key: "NaN"}), FEED)

    @pytest.mark.parametrize("key", ["c", "v", "l", "h", "o"])
    @pytest.mark.parametrize("junk", [["x", "x"], 5, None, [[], []]])
    def test_broken_figure_of_version_1_is_refused_and_named(self, key: str, junk: object) -> None:
        message = json.loads(V1_TICKERS[0])
        message[1][key] = junk
        if key == "o" and not isinstance(junk, list):
            message[1][key] = ["1"]
        with pytest.raises(DecodeError, match=rf"\$\.{key}"):
            kraken.decode_tickers(json.dumps(message).encode(), FEED)


class TestBooks:
    def test_version_2_snapshot_is_the_whole_book_of_a_depth(self) -> None:
        book = only_book(BOOKS[0])
        assert book.symbol == "BTC-USD"
        assert (book.is_snapshot, book.depth, book.sequence_rule) == (True, 10, "none")
        assert (len(book.bids), len(book.asks)) == (10, 10)
        assert book.bids[2] == (Decimal("62621.6"), Decimal("0.00005100"))
        assert str(book.bids[2][1]) == "0.00005100"  # the checksum needs the zeros

    def test_version_2_update_keeps_the_order_and_the_deletes(self) -> None:
        book = only_book(BOOKS[2])
        assert (book.is_snapshot, book.depth) == (False, None)
        assert book.time_ns == 1783247859092410_000
        assert book.checksum == 1152716144
        assert book.bids == [
            (Decimal("62619.8"), Decimal(0)),
            (Decimal("62612.3"), Decimal("0.013")),
            (Decimal("62620.0"), Decimal("0.03190752")),
        ]
        assert book.asks == []

    def test_one_update_may_touch_a_price_twice(self) -> None:
        frame = DOC_BOOKS[3].replace(b"62818.8", b"62807.0")
        assert only_book(frame).asks == [
            (Decimal(62807), Decimal(0)),
            (Decimal(62807), Decimal("0.65540712")),
        ]

    def test_levels_in_quotes_are_the_same(self) -> None:
        book = only_book(DOC_BOOKS[2])
        assert book.bids[0] == (Decimal("45283.5"), Decimal("0.1"))
        assert (book.time_ns, book.checksum) == (None, 3310070434)

    @pytest.mark.parametrize(
        ("levels", "depth", "deeper"), [(1, None, None), (10, 10, 25), (12, None, None)]
    )
    def test_depth_of_a_snapshot_is_known_from_a_full_one_only(
        self, levels: int, depth: int | None, deeper: int | None
    ) -> None:
        message = json.loads(BOOKS[0])
        (book,) = message["data"]
        book["bids"] = book["bids"][:1]
        book["asks"] = (book["asks"] * 2)[:levels]
        found = only_book(json.dumps(message).encode())
        assert (found.depth, found.deeper) == (depth, deeper)

    def test_the_answer_to_a_subscription_says_the_depth(self) -> None:
        book = only_book(CONTROL[4])
        assert (book.symbol, book.depth, book.is_subscription) == ("ALGO-USD", 10, True)
        assert (book.bids, book.asks, book.is_snapshot) == ([], [], False)

    def test_version_1_snapshot_has_no_checksum(self) -> None:
        book = only_book(V1_BOOK_VARIANTS[2])
        assert book.symbol == "BTC-USD"
        assert (book.is_snapshot, book.depth) == (True, 25)
        assert book.time_ns == 1622714255963942_000
        assert book.asks[0] == (Decimal("39090.6"), Decimal("0.00007039"))
        assert book.bids[2] == (Decimal("39071.2"), Decimal("0.76"))
        assert book.checksum is None

    def test_version_1_snapshot_may_be_empty(self) -> None:
        book = only_book(V1_BOOK_VARIANTS[1])
        assert (book.symbol, book.is_snapshot, book.time_ns) == ("PERP-EUR", True, None)
        assert (book.bids, book.asks) == ([], [])

    def test_version_1_update_of_one_side(self) -> None:
        book = only_book(V1_BOOKS[1])
        assert book.symbol == "GRT-ETH"
        assert (book.is_snapshot, book.depth) == (False, 1000)
        assert book.time_ns == 1618678138004670_000
        assert book.asks == [(Decimal("0.0008361"), Decimal("1035.63462897"))]
        assert book.bids == []
        assert book.checksum == 2922705373

    def test_version_1_update_of_both_sides_has_five_elements(self) -> None:
        book = only_book(V1_BOOK_VARIANTS[0])
        assert book.symbol == "SC-EUR"
        assert book.time_ns == 1618678145920708_000
        assert book.asks == [(Decimal("0.04299"), Decimal("364630.28272081"))]
        assert book.bids == [(Decimal("0.04299"), Decimal(0))]
        assert book.checksum == 4105471083

    def test_republished_levels_are_levels(self) -> None:
        book = only_book(V1_BOOK_VARIANTS[5])
        assert book.asks == [
            (Decimal("5541.3"), Decimal("2.507")),
            (Decimal("5542.5"), Decimal("0.401")),
        ]

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            (b'"0.00000000"', b'"-1"', "bids"),
            (b'"0.042990","0.0', b'"0","0.0', "bids"),
            (b'"364630.28272081"', b'"NaN"', "asks"),
            (b'"1618678145.920470"', b'"x"', "seconds"),
            (b'"4105471083"', b'"4294967296"', "checksum"),
            (b'"4105471083"', b'"x"', "checksum"),
            (b"book-1000", b"book-7", "channel 'book-7'"),
            (b"SC/EUR", b"SCEUR", "symbol 'SCEUR'"),
            (b'{"a"', b'"a",{"a"', "two payloads"),
        ],
    )
    def test_broken_field_of_version_1_is_refused_and_named(
        self, old: bytes, new: bytes, named: str
    ) -> None:
        frame = V1_BOOK_VARIANTS[0]
        assert old in frame
        with pytest.raises(DecodeError, match=named):
            kraken.decode_books(frame.replace(old, new), FEED)

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"bids": [{"price": 1, "qty": -1}]}, r"\$\.bids"),
            ({"asks": [{"price": 0, "qty": 0}]}, r"\$\.asks"),
            ({"asks": [{"price": 1}]}, "`qty`"),
            ({"checksum": -1}, "checksum -1"),
            ({"checksum": None}, r"\.checksum"),
            ({"timestamp": ""}, "RFC 3339"),
        ],
    )
    def test_broken_field_of_version_2_is_refused_and_named(
        self, fields: dict[str, Any], named: str
    ) -> None:
        with pytest.raises(DecodeError, match=named):
            kraken.decode_books(with_row(BOOKS[1], **fields), FEED)


class TestFrames:
    @pytest.mark.parametrize(
        ("frames", "kind", "records"),
        [
            (TRADES, "trade", 5),
            (V1_TRADES, "trade", 12),
            ([REST_TRADES], "trade", 8),
            (TICKERS, "ticker", 3),
            (EDGE_TICKERS, "ticker", 2),
            (V1_TICKERS, "ticker", 12),
            ([REST_TICKER], "ticker", 1),
            (BOOKS, "orderbook", 11),
            (DOC_BOOKS, "orderbook", 4),
            (V1_BOOKS, "orderbook", 21),
            (V1_BOOK_VARIANTS, "orderbook", 6),
        ],
    )
    def test_frames_decode_as_their_kind_and_as_no_other(
        self, frames: list[bytes], kind: Kind, records: int
    ) -> None:
        counts = dict.fromkeys(("trade", "ticker", "orderbook"), 0)
        for frame in frames:
            assert kraken.kind(frame) == kind
            counts["trade"] += len(kraken.decode_trades(frame, FEED))
            counts["ticker"] += len(kraken.decode_tickers(frame, FEED))
            counts["orderbook"] += len(kraken.decode_books(frame, FEED))
        assert counts == {"trade": 0, "ticker": 0, "orderbook": 0} | {kind: records}

    def test_recording_decodes_to_the_last_frame(self) -> None:
        books = [
            book
            for frame in recording("kraken-v1-book")
            for book in kraken.decode_books(frame, FEED)
        ]
        assert len(books) == 2560
        assert sum(book.is_snapshot for book in books) == 10

    @pytest.mark.parametrize("frame", [*CONTROL, REST_ERROR])
    def test_control_frames_are_no_data(self, frame: bytes) -> None:
        assert kraken.kind(frame) == "control"
        assert kraken.decode_trades(frame, FEED) == []
        assert kraken.decode_tickers(frame, FEED) == []
        assert all(book.is_subscription for book in kraken.decode_books(frame, FEED))

    @pytest.mark.parametrize(
        "frame", [b"", b"{", b"[", b"null", b"5", b"[5]", b"[]", b"{}", b"\xff", b"[" * 9999]
    )
    def test_what_is_no_message_is_refused(self, frame: bytes) -> None:
        for decode in (kraken.decode_trades, kraken.decode_tickers, kraken.decode_books):
            with pytest.raises(DecodeError, match="kraken: "):
                decode(frame, FEED)
        with pytest.raises(DecodeError, match="kraken: "):
            kraken.kind(frame)


@given(
    broken(
        [
            *(TRADES + V1_TRADES + TICKERS + EDGE_TICKERS + V1_TICKERS + BOOKS + DOC_BOOKS),
            *(V1_BOOKS[1:] + V1_BOOK_VARIANTS + CONTROL),
            *(REST_TRADES, REST_TICKER),
        ]
    )
)
@settings(max_examples=400)
def test_broken_frames_raise_nothing_but_decode_errors(frame: bytes) -> None:
    decode_all(kraken, frame, FEED)
    with suppress(DecodeError):
        kraken.kind(frame)
