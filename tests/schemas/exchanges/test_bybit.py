from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from schemas.errors import DecodeError
from schemas.exchanges import decoder_of
from schemas.feeds import Feed
from schemas.records import BookUpdate, Salvaged, TickerUpdate, Trade
from tests.schemas.exchanges.frames import (
    NOISE,
    STUBS,
    broken,
    count_records,
    decode_all,
    lines,
    recording,
    refusal,
)

if TYPE_CHECKING:
    from schemas.records import Product

bybit = decoder_of("bybit")

SPOT = Feed("bybit")
LINEAR = Feed("bybit", "linear")
INVERSE = Feed("bybit", "inverse")

TRADES = lines("bybit-trade.jsonl")
V2_INVERSE_TRADES = lines("bybit-v2-inverse-trade.jsonl")
V2_LINEAR_TRADES = lines("bybit-v2-linear-trade.jsonl")
V2_TRADES = V2_INVERSE_TRADES + V2_LINEAR_TRADES
REST_V5_SPOT, REST_V5_LINEAR, REST_V2 = REST = lines(
    "rest/bybit-v5-trades.json",
    "rest/bybit-v5-trades-linear-fixture.json",
    "rest/bybit-v2-trades.json",
)
SPOT_TICKERS = lines("bybit-ticker-spot.jsonl")
LINEAR_TICKERS = lines("bybit-ticker-linear.jsonl")
INVERSE_TICKERS = lines("bybit-ticker-inverse.jsonl")
TICKERS = SPOT_TICKERS + LINEAR_TICKERS + INVERSE_TICKERS
BOOKS = lines("bybit-orderbook.jsonl")
V2_INVERSE_BOOKS = lines("bybit-v2-inverse-orderbook.jsonl")
V2_LINEAR_BOOKS = lines("bybit-v2-linear-orderbook.jsonl")
V2_BOOKS = V2_INVERSE_BOOKS + V2_LINEAR_BOOKS
REST_ERRORS = [
    b'{"retCode":10001,"retMsg":"params error: symbol invalid","result":{},"time":1672053054358}',
    b'{"ret_code":10001,"ret_msg":"params error","result":null}',
]
CONTROL = [
    *lines("bybit-control.jsonl", "bybit-v2-control.jsonl"),
    *STUBS,
    *REST_ERRORS,
    b'{"op":"pong","args":["1675418560633"],"conn_id":"cfcb4ocsvfriu23r3er0-1b"}',
]

LINEAR_TRADE = TRADES[1]


def only_trade(frame: bytes, feed: Feed) -> Trade:
    (trade,) = bybit.decode_trades(frame, feed)
    return trade


def only_book(frame: bytes, feed: Feed) -> BookUpdate:
    (update,) = bybit.decode_books(frame, feed)
    return update


class TestTrades:
    def test_linear_size_is_base_units(self) -> None:
        assert bybit.decode_trades(LINEAR_TRADE, LINEAR) == [
            Trade(
                symbol="LTC-USDT-PERP",
                trade_id="4c7b6bdc-b4a3-5716-9c7b-bbe01dc7072f",
                time_ns=1680688979983_000_000,
                taker_buys=True,
                price=Decimal("94.53"),
                size=Decimal("0.4"),
                notional=Decimal("37.812"),
            )
        ]

    def test_inverse_size_is_dollars(self) -> None:
        trades = bybit.decode_trades(TRADES[0], INVERSE)
        assert trades[0] == Trade(
            symbol="BTC-USD-PERP",
            trade_id="0cbf2330-952d-5d03-a462-4bf826c867af",
            time_ns=1680673823564_000_000,
            taker_buys=True,
            price=Decimal("28560.50"),
            size=Decimal("0.203882985242"),
            notional=Decimal(5823),
        )
        assert [trade.notional for trade in trades] == [Decimal(5823), Decimal(3), Decimal(5593)]

    def test_spot_ids_are_numbers_and_the_side_is_the_takers(self) -> None:
        trades = bybit.decode_trades(TRADES[2], SPOT)
        assert trades[0] == Trade(
            symbol="BTC-USDT",
            trade_id=2290000000050703789,
            time_ns=1680652847524_000_000,
            taker_buys=False,
            price=Decimal("28165.38"),
            size=Decimal("0.041732"),
            notional=Decimal("1175.39763816"),
        )
        assert len(trades) == 4

    def test_spot_and_linear_of_one_name_are_told_apart_by_the_feed(self) -> None:
        assert only_trade(TRADES[4], LINEAR).symbol == "BTC-USDT-PERP"
        assert only_trade(TRADES[5], SPOT).symbol == "BTC-USDT"
        assert only_trade(TRADES[3], SPOT).symbol == "BTC-USDC"

    @pytest.mark.parametrize("feed", [SPOT, LINEAR, INVERSE])
    def test_v2_inverse_whatever_the_feed(self, feed: Feed) -> None:
        assert bybit.decode_trades(V2_INVERSE_TRADES[2], feed) == [
            Trade(
                symbol="BTC-USD-PERP",
                trade_id="ecd3210b-82a0-5ab2-ad17-ef708059923f",
                time_ns=1618677787811_000_000,
                taker_buys=True,
                price=Decimal(60622),
                size=Decimal("0.003365114975"),
                notional=Decimal(204),
            )
        ]

    def test_v2_linear_has_its_time_as_text(self) -> None:
        assert bybit.decode_trades(V2_LINEAR_TRADES[0], LINEAR) == [
            Trade(
                symbol="UNI-USDT-PERP",
                trade_id="21e82307-f328-5fbc-8566-b3823e847b48",
                time_ns=1618677781355_000_000,
                taker_buys=True,
                price=Decimal("35.402"),
                size=Decimal("0.8"),
                notional=Decimal("28.3216"),
            )
        ]

    @pytest.mark.parametrize("feed", [SPOT, LINEAR])
    def test_rest_v5_names_its_own_product(self, feed: Feed) -> None:
        assert bybit.decode_trades(REST_V5_SPOT, feed) == [
            Trade(
                symbol="BTC-USDT",
                trade_id=2100000000007764263,
                time_ns=1672052955758_000_000,
                taker_buys=True,
                price=Decimal("16618.49"),
                size=Decimal("0.00012"),
                notional=Decimal("1.9942188"),
            )
        ]
        assert bybit.decode_trades(REST_V5_LINEAR, feed) == [
            Trade(
                symbol="BTC-USDT-PERP",
                trade_id="a905d5c3-1ed0-4f37-83e4-9c73a2fe2f01",
                time_ns=1709891679000_000_000,
                taker_buys=True,
                price=Decimal("27450.50"),
                size=Decimal("0.005"),
                notional=Decimal("137.25250"),
            )
        ]

    def test_rest_v2_is_dollars_at_a_time_in_words(self) -> None:
        assert bybit.decode_trades(REST_V2, INVERSE) == [
            Trade(
                symbol="BTC-USD-PERP",
                trade_id=7724919,
                time_ns=1574150584077_000_000,
                taker_buys=True,
                price=Decimal("9499.5"),
                size=Decimal("1.000052634349"),
                notional=Decimal(9500),
            )
        ]

    def test_rest_v2_of_linear_contracts_adds_milliseconds(self) -> None:
        frame = REST_V2.replace(b"BTCUSD", b"BTCUSDT").replace(
            b'"2019-11-19T08:03:04.077Z"', b'"2019-11-19T08:03:04Z","trade_time_ms":1574150584077'
        )
        trade = only_trade(frame, LINEAR)
        assert trade.symbol == "BTC-USDT-PERP"
        assert trade.time_ns == 1574150584077_000_000
        assert (trade.size, trade.notional) == (Decimal(9500), Decimal("90245250.0"))

    def test_rest_of_another_product_is_ignored(self) -> None:
        frame = REST_V5_SPOT.replace(b'"spot"', b'"option"')
        assert bybit.kind(frame) == "other"
        assert bybit.decode_trades(frame, SPOT) == []

    @pytest.mark.parametrize(
        ("native", "product", "symbol"),
        [
            ("ETHBTC", "spot", "ETH-BTC"),
            ("USDCUSDT", "spot", "USDC-USDT"),
            ("USD1USDT", "spot", "USD1-USDT"),
            ("1INCHEUR", "spot", "1INCH-EUR"),
            ("1000PEPEUSDT", "linear", "1000PEPE-USDT-PERP"),
            ("BTCPERP", "linear", "BTC-USDC-PERP"),
            ("BTCUSDT-02OCT26", "linear", "BTC-USDT-261002"),
            ("BTC-27DEC24", "linear", "BTC-USDC-241227"),
            ("BTC-3JAN25", "linear", "BTC-USDC-250103"),
            ("BTCUSDU23", "inverse", "BTC-USD-230929"),
            ("BTCUSDU21", "inverse", "BTC-USD-210924"),
            # Nothing of the spot market is called like these.
            ("BTCUSD", "spot", "BTC-USD-PERP"),
            ("BTCPERP", "spot", "BTC-USDC-PERP"),
            ("BTCUSDZ24", "spot", "BTC-USD-241227"),
        ],
    )
    def test_symbols_are_canonical(self, native: str, product: Product, symbol: str) -> None:
        frame = LINEAR_TRADE.replace(b"LTCUSDT", native.encode())
        assert only_trade(frame, Feed("bybit", product)).symbol == symbol

    @pytest.mark.parametrize(
        "native",
        ["USDT", "BTC", "btcusdt", "BTC_USDT", "BTC-31FEB25", "BTC-27XYZ24", "BTC-30DEC22-18000-C"],
    )
    def test_symbol_that_cannot_be_split_is_refused(self, native: str) -> None:
        frame = LINEAR_TRADE.replace(b'"s":"LTCUSDT"', f'"s":"{native}"'.encode())
        with pytest.raises(DecodeError, match=r"^bybit: (symbol|expiry) "):
            bybit.decode_trades(frame, LINEAR)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (b'"p":"94.53"', b'"p":null', r"data\[0\].*\.p"),
            (b'"p":"94.53"', b'"p":"-1"', r"price -1.*data\[0\]"),
            (b'"v":"0.4"', b'"v":"NaN"', "size NaN"),
            (b'"S":"Buy"', b'"S":"buy"', r"data\[0\].*\.S"),
            (b'"T":1680688979983', b'"T":1680688979', "milliseconds"),
            (b'"T":1680688979983', b'"T":"x"', r"data\[0\].*\.T"),
            (b'"i":"4c7b6bdc-b4a3-5716-9c7b-bbe01dc7072f"', b'"i":""', "trade id"),
            (b'"s":"LTCUSDT",', b"", "missing required field `s`"),
        ],
    )
    def test_broken_field_is_named(self, old: bytes, new: bytes, message: str) -> None:
        assert old in LINEAR_TRADE
        with pytest.raises(DecodeError, match=rf"^bybit: .*{message}"):
            bybit.decode_trades(LINEAR_TRADE.replace(old, new), LINEAR)

    @pytest.mark.parametrize(
        ("frame", "old", "new", "message"),
        [
            (V2_INVERSE_TRADES[2], b'"side":"Buy"', b'"side":1', r"data\[0\].*\.side"),
            (V2_LINEAR_TRADES[0], b'"1618677781355"', b'"x"', r"data\[0\].*\.trade_time_ms"),
            (REST_V5_SPOT, b'"size":"0.00012"', b'"size":[]', r"result\.list\[0\].*\.size"),
            (REST_V2, b'"2019-11-19T08:03:04.077Z"', b'"yesterday"', "RFC 3339"),
            (REST_V2, b'"price":9499.5', b'"price":0', "price 0"),
        ],
    )
    def test_broken_field_of_older_forms_is_named(
        self, frame: bytes, old: bytes, new: bytes, message: str
    ) -> None:
        assert old in frame
        with pytest.raises(DecodeError, match=rf"^bybit: .*{message}"):
            bybit.decode_trades(frame.replace(old, new), INVERSE)

    @pytest.mark.parametrize("frame", [TRADES[0], REST_V5_SPOT, V2_INVERSE_TRADES[2], REST_V2])
    def test_an_empty_row_is_skipped(self, frame: bytes) -> None:
        empty = re.sub(rb'"(v|size|qty)":("?)[0-9.]+("?)', rb'"\1":\g<2>0\3', frame, count=1)
        trades = bybit.decode_trades(empty, INVERSE)
        assert [*trades] == bybit.decode_trades(frame, INVERSE)[1:]
        assert isinstance(trades, Salvaged)
        assert (trades.problems, trades.skipped) == ([], 1)

    def test_a_bad_row_leaves_its_neighbours(self) -> None:
        trades = bybit.decode_trades(TRADES[0].replace(b'"v":"3"', b'"v":"-3"'), INVERSE)
        assert [trade.notional for trade in trades] == [Decimal(5823), Decimal(5593)]
        assert isinstance(trades, Salvaged)
        (problem,) = trades.problems
        assert problem.startswith("price 28560.50 and size -3")
        assert problem.endswith("at `$.data[1]`")

    def test_time_as_text(self) -> None:
        frame = LINEAR_TRADE.replace(b"1680688979983", b'"1680688979983"')
        assert bybit.decode_trades(frame, LINEAR) == bybit.decode_trades(LINEAR_TRADE, LINEAR)

    def test_letters_of_any_script_name_a_market(self) -> None:
        frame = LINEAR_TRADE.replace(b"LTCUSDT", "龙虾USDT".encode())
        assert only_trade(frame, SPOT).symbol == "龙虾-USDT"
        assert only_trade(frame, LINEAR).symbol == "龙虾-USDT-PERP"


class TestTickers:
    def test_spot_is_always_full(self) -> None:
        assert bybit.decode_tickers(SPOT_TICKERS[0], SPOT) == [
            TickerUpdate(
                symbol="BTC-USDT",
                time_ns=1673853746003_000_000,
                is_delta=False,
                opening_price=Decimal("20704.93"),
                trade_price=Decimal("21109.77"),
                max_price=Decimal("21426.99"),
                min_price=Decimal(20575),
                prev_closing_price=Decimal("20704.93"),
                acc_trade_volume_24h=Decimal("6780.866843"),
                signed_change_rate=Decimal("0.0196"),
            )
        ]

    def test_delta_has_only_what_was_sent(self) -> None:
        assert bybit.decode_tickers(INVERSE_TICKERS[3], INVERSE) == [
            TickerUpdate(
                symbol="BTC-USD-PERP",
                time_ns=1680673822776_000_000,
                is_delta=True,
                signed_change_rate=Decimal("0.023362"),
            )
        ]

    def test_time_as_text(self) -> None:
        frame = SPOT_TICKERS[0].replace(b"1673853746003", b'"1673853746003"')
        assert bybit.decode_tickers(frame, SPOT) == bybit.decode_tickers(SPOT_TICKERS[0], SPOT)

    def test_dated_contract(self) -> None:
        (ticker,) = bybit.decode_tickers(INVERSE_TICKERS[4], INVERSE)
        assert (ticker.symbol, ticker.is_delta) == ("BTC-USD-230929", False)
        assert ticker.trade_price == Decimal("29026.00")

    def test_time_that_lost_a_digit_leaves_the_ticker_unstamped(self) -> None:
        (ticker,) = bybit.decode_tickers(LINEAR_TICKERS[3], LINEAR)
        assert (ticker.symbol, ticker.time_ns) == ("BTC-USDC-PERP", None)

    def test_flattened_ticker_takes_its_symbol_from_the_envelope(self) -> None:
        frame = (
            b'{"ts": 1673853746003, "lastPrice": "21109.77", "highPrice24h": "21426.99",'
            b' "lowPrice24h": "20575", "prevPrice24h": "20704.93", "volume24h": "6780.866843",'
            b' "price24hPcnt": "0.0196"}'
        )
        assert bybit.kind(frame) == "ticker"
        flattened = bybit.decode_tickers(frame, Feed("bybit", coin="BTC"))
        assert flattened == bybit.decode_tickers(SPOT_TICKERS[0], SPOT)
        with pytest.raises(DecodeError, match="or a coin in the envelope"):
            bybit.decode_tickers(frame, SPOT)

    @pytest.mark.parametrize("frame", [b'{"ts": 1673853746003}', b'{"lastPrice": "1.5"}'])
    def test_flattened_ticker_of_few_columns_is_a_delta(self, frame: bytes) -> None:
        (ticker,) = bybit.decode_tickers(frame, Feed("bybit", coin="BTC"))
        assert (ticker.symbol, ticker.is_delta) == ("BTC-USDT", True)

    @pytest.mark.parametrize("nothing", [b'""', b"null"])
    def test_empty_text_and_null_are_nothing(self, nothing: bytes) -> None:
        frame = SPOT_TICKERS[0].replace(b'"20704.93"', nothing)
        (ticker,) = bybit.decode_tickers(frame, SPOT)
        assert (ticker.opening_price, ticker.prev_closing_price) == (None, None)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (b'"21109.77"', b'"x"', "lastPrice"),
            (b'"0.0196"', b"NaN", "JSON is malformed"),
            (b'"0.0196"', b'"NaN"', "price24hPcnt"),
            (b'"type":"snapshot"', b'"type":"x"', r"\.type"),
            (b'"ts":1673853746003', b'"ts":"x"', "ts"),
        ],
    )
    def test_broken_field_is_named(self, old: bytes, new: bytes, message: str) -> None:
        assert old in SPOT_TICKERS[0]
        with pytest.raises(DecodeError, match=rf"^bybit: .*{message}"):
            bybit.decode_tickers(SPOT_TICKERS[0].replace(old, new), SPOT)


class TestBooks:
    def test_snapshot(self) -> None:
        assert bybit.decode_books(BOOKS[7], SPOT) == [
            BookUpdate(
                symbol="BTC-USDT",
                time_ns=1680652808065_000_000,
                is_snapshot=True,
                bids=[(Decimal("28162.57"), Decimal("0.07562"))],
                asks=[(Decimal("28162.58"), Decimal("0.506829"))],
                sequence_rule="plus_one",
                last_id=59438060,
                depth=50,
            )
        ]

    def test_delta_keeps_the_deleted_levels(self) -> None:
        assert bybit.decode_books(BOOKS[8], LINEAR) == [
            BookUpdate(
                symbol="BTC-USDT-PERP",
                time_ns=1680652808085_000_000,
                is_snapshot=False,
                bids=[
                    (Decimal("28161.04"), Decimal("0.177474")),
                    (Decimal("28145.71"), Decimal(0)),
                ],
                asks=[(Decimal("28184.33"), Decimal(0))],
                sequence_rule="plus_one",
                last_id=59438061,
                depth=50,
            )
        ]

    def test_numbers_as_text(self) -> None:
        frame = BOOKS[8].replace(b"1680652808085", b'"1680652808085"')
        frame = frame.replace(b'"u":59438061', b'"u":"59438061"')
        assert bybit.decode_books(frame, SPOT) == bybit.decode_books(BOOKS[8], SPOT)

    def test_first_update_after_a_restart_is_a_whole_book(self) -> None:
        assert only_book(BOOKS[8].replace(b'"u":59438061', b'"u":1'), SPOT).is_snapshot is True

    def test_depth_is_that_of_the_topic(self) -> None:
        assert only_book(BOOKS[0], LINEAR).depth == 1
        assert only_book(BOOKS[0].replace(b"orderbook.1.", b"orderbook.200."), LINEAR).depth == 200

    def test_book_of_an_unknown_depth_is_ignored(self) -> None:
        frame = BOOKS[0].replace(b"orderbook.1.", b"orderbook.rpi.")
        assert bybit.kind(frame) == "other"
        assert bybit.decode_books(frame, LINEAR) == []

    def test_v2_snapshot_of_an_inverse_contract_is_a_list(self) -> None:
        book = only_book(V2_INVERSE_BOOKS[0], INVERSE)
        assert (book.symbol, book.is_snapshot) == ("BTC-USD-PERP", True)
        assert book.time_ns == 1618677785357289_000
        assert (book.last_id, book.sequence_rule, book.depth) == (5938954538, "growing", 25)
        assert (len(book.bids), len(book.asks)) == (25, 25)
        assert book.bids[0] == (Decimal("60591.00"), Decimal(14431))
        assert book.asks[-1] == (Decimal("60630.00"), Decimal(77065))

    def test_v2_snapshot_of_a_linear_contract_is_an_object(self) -> None:
        book = only_book(V2_LINEAR_BOOKS[0], LINEAR)
        assert (book.symbol, book.is_snapshot) == ("UNI-USDT-PERP", True)
        assert (book.last_id, book.time_ns) == (916952241, 1618677786242744_000)
        assert (len(book.bids), len(book.asks)) == (25, 25)
        assert book.bids[0] == (Decimal("35.356"), Decimal("25.900002"))

    def test_v2_delta_deletes_updates_and_inserts(self) -> None:
        assert bybit.decode_books(V2_INVERSE_BOOKS[6], INVERSE) == [
            BookUpdate(
                symbol="BTC-USD-PERP",
                time_ns=1618677785537926_000,
                is_snapshot=False,
                bids=[
                    (Decimal("60604.00"), Decimal(0)),
                    (Decimal("60616.50"), Decimal(8297714)),
                    (Decimal("60590.50"), Decimal(7500)),
                ],
                asks=[],
                sequence_rule="growing",
                last_id=5938954563,
                depth=25,
            )
        ]
        assert only_book(V2_LINEAR_BOOKS[2], LINEAR).bids == [
            (Decimal("35.377"), Decimal(0)),
            (Decimal("35.374"), Decimal("18.7")),
            (Decimal("35.373"), Decimal("29.8")),
            (Decimal("35.375"), Decimal("42.300003")),
            (Decimal("35.355"), Decimal("36.4")),
        ]

    @pytest.mark.parametrize(
        ("frame", "old", "new", "message"),
        [
            (BOOKS[7], b'"0.07562"', b'"-0.07562"', r"data\.b: price .* size -0.07562"),
            (BOOKS[8], b'"0.177474"', b'"Infinity"', r"data\.b: .*Infinity"),
            (BOOKS[7], b'"28162.58"', b"{}", r"data\.a\[0\]\[0\]"),
            (BOOKS[7], b'"u":59438060', b'"u":null', r"data\.u"),
            (BOOKS[7], b'"ts":1680652808065', b'"ts":1', "milliseconds"),
            (V2_INVERSE_BOOKS[6], b'"size":7500', b'"size":-7500', "bids: "),
            (V2_INVERSE_BOOKS[6], b'"side":"Buy"', b'"side":"Bid"', r"delete\[0\]\.side"),
            (V2_LINEAR_BOOKS[2], b'"delta"', b'"x"', "type"),
            (V2_LINEAR_BOOKS[2], b'"insert"', b'"inserted"', "missing required field `insert`"),
        ],
    )
    def test_broken_field_is_named(
        self, frame: bytes, old: bytes, new: bytes, message: str
    ) -> None:
        assert old in frame
        with pytest.raises(DecodeError, match=rf"^bybit: .*{message}"):
            bybit.decode_books(frame.replace(old, new), INVERSE)


class TestKinds:
    def test_every_sample_decodes_as_its_kind(self) -> None:
        assert count_records(bybit, [*TRADES, *V2_TRADES, *REST], SPOT) == {"trade": 20}
        assert count_records(bybit, SPOT_TICKERS, SPOT) == {"ticker": 2}
        assert count_records(bybit, LINEAR_TICKERS + INVERSE_TICKERS, LINEAR) == {"ticker": 12}
        assert count_records(bybit, BOOKS + V2_BOOKS, LINEAR) == {"orderbook": 50}

    def test_the_recording_decodes(self) -> None:
        assert count_records(bybit, recording("bybit-v2-inverse"), INVERSE) == {
            "trade": 44,
            "orderbook": 610,
            "control": 4,
        }

    def test_control_frames_carry_nothing(self) -> None:
        assert count_records(bybit, CONTROL, SPOT) == {"control": len(CONTROL)}

    def test_other_topics_are_ignored(self) -> None:
        frame = LINEAR_TRADE.replace(b"publicTrade.", b"allLiquidation.")
        assert count_records(bybit, [frame], LINEAR) == {"other": 1}

    @pytest.mark.parametrize("frame", NOISE)
    def test_noise_is_refused(self, frame: bytes) -> None:
        assert refusal(bybit, frame, SPOT).startswith("bybit: ")


@settings(max_examples=500)
@given(broken([*TRADES, *V2_TRADES, *REST, *TICKERS, *BOOKS, *V2_BOOKS]))
def test_a_broken_frame_raises_nothing_but_decode_errors(frame: bytes) -> None:
    decode_all(bybit, frame, LINEAR)
