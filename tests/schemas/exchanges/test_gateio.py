from __future__ import annotations

import re
from decimal import Decimal

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

gateio = decoder_of("gateio")

FEED = Feed(
    "gateio",
    native_symbol="OMG_USDT",
    contract_sizes={
        "BTC_USDT": Decimal("0.0001"),
        "BTC_USD": Decimal(1),
        "MOB_USDT": Decimal(1),
    },
)

TRADES = lines("gateio-trade.jsonl")
# Recorded wire messages: crypto-crawler/crypto-msg-parser, crypto-msg-parser/tests/gate.rs.
FUTURES_TRADES = [
    (
        b'{"time":1616327545,"channel":"futures.trades","event":"update","error":null,"result":['
        b'{"size":7,"id":19910126,"create_time":1616327545,"create_time_ms":1616327545436,'
        b'"price":"56155.2","contract":"BTC_USD"}]}'
    ),
    (
        b'{"time":1616327563,"channel":"futures.trades","event":"update","error":null,"result":['
        b'{"size":50,"id":15366793,"create_time":1616327563,"create_time_ms":1616327563918,'
        b'"price":"56233.3","contract":"BTC_USDT"}]}'
    ),
    (
        b'{"time":1653808101,"channel":"futures.trades","event":"update","error":null,"result":['
        b'{"size":-7,"id":376991,"create_time":1653808101,"price":"29009.9",'
        b'"contract":"BTC_USD_20220603"},{"size":-9,"id":376992,"create_time":1653808101,'
        b'"price":"29008.7","contract":"BTC_USD_20220603"}]}'
    ),
    (
        b'{"time":1615253386,"channel":"futures.trades","event":"update","error":null,"result":['
        b'{"size":-19,"id":48081,"create_time":1615253386,"price":"53560.5",'
        b'"contract":"BTC_USDT_20210326"}]}'
    ),
    (
        b'{"time":1667469835,"channel":"futures.trades","event":"update","result":['
        b'{"contract":"MOB_USDT","create_time":1667469835,"create_time_ms":1667469835931,'
        b'"id":927273,"price":0.836,"size":-90}]}'
    ),
]
# No recorded body was found: the documented fields, all of them text, and a recorded trade.
REST_TRADES = (
    b'[{"id":"816995970","create_time":"1619093546","create_time_ms":"1619093546958.116000",'
    b'"currency_pair":"NEO_BTC","side":"buy","amount":"0.5000000000","price":"0.0018735000",'
    b'"sequence_id":"1"}]'
)
# The documented row of /futures/usdt/trades, whose milliseconds are seconds with decimals.
FUTURES_REST_TRADES = (
    b'[{"id":121234231,"create_time":1514764800,"create_time_ms":1514764800.123,'
    b'"contract":"BTC_USDT","size":-100,"price":"100.123"}]'
)
# Documented frames of futures.
FUTURES_TICKER = (
    b'{"time":1541659086,"time_ms":1541659086123,"channel":"futures.tickers","event":"update",'
    b'"result":[{"contract":"BTC_USDT","last":"118.4","change_percentage":"0.77",'
    b'"funding_rate":"-0.000114","volume_24h":"100","volume_24h_base":"50","low_24h":"99.2",'
    b'"high_24h":"132.5"}]}'
)
FUTURES_STREAM = (
    b'{"channel":"futures.obu","result":{"t":1743673026995,"full":true,"s":"ob.BTC_USDT.400",'
    b'"u":79072179673,"b":[["83705.9","30166"]],"a":[["83706","4208"]]},"time_ms":1743673026999}'
)
# Recorded: tests/recordings/gateio-linear.tsv.gz.
FUTURES_CHANGES = (
    b'{"time":1684930165,"time_ms":1684930165959,"channel":"futures.order_book_update",'
    b'"event":"update","result":{"U":3132789250,"a":[{"p":"0.7717","s":677},{"p":"1.2532","s":0}],'
    b'"b":[{"p":"0.7696","s":1056}],"s":"OMG_USDT","t":1684930165911,"u":3132789252}}'
)
FUTURES_REST_BOOK = (
    b'{"current":1684930166.668,"update":1684930166.609,"asks":[{"s":129,"p":"0.7711"}],'
    b'"bids":[{"s":50,"p":"0.7696"}],"id":3132789259}'
)
TICKERS = lines("gateio-ticker.jsonl")
LIMITED_BOOKS = lines("gateio-orderbook-limited.jsonl")
CHANGES = lines("gateio-orderbook.jsonl")
DOC_CHANGES = lines("gateio-orderbook-docs.jsonl")
STREAMS = lines("gateio-orderbook-obu.jsonl")
REST_BOOK = lines("gateio-orderbook-rest-snapshot.jsonl")
BOOKS = [*LIMITED_BOOKS, *CHANGES, *DOC_CHANGES, *STREAMS, *REST_BOOK]
REST_ERROR = b'{"label":"INVALID_CURRENCY_PAIR","message":"Invalid currency pair NOPE_USDT"}'
CONTROL = [*lines("gateio-control.jsonl"), *STUBS, REST_ERROR]

SPOT_TRADE = TRADES[0]


def only_book(frame: bytes) -> BookUpdate:
    (update,) = gateio.decode_books(frame, FEED)
    return update


def only_ticker(frame: bytes) -> TickerUpdate:
    (update,) = gateio.decode_tickers(frame, FEED)
    return update


class TestTrades:
    def test_fraction_of_a_millisecond_is_exact(self) -> None:
        assert gateio.decode_trades(SPOT_TRADE, FEED) == [
            Trade(
                symbol="DIS-USDT",
                trade_id=816995772,
                time_ns=1619093543708_264_200,
                taker_buys=False,
                price=Decimal("121.58"),
                size=Decimal("0.201"),
                notional=Decimal("24.43758"),
            )
        ]

    def test_side_is_the_takers(self) -> None:
        assert gateio.decode_trades(TRADES[1], FEED) == [
            Trade(
                symbol="NEO-BTC",
                trade_id=816995970,
                time_ns=1619093546958_116_000,
                taker_buys=True,
                price=Decimal("0.0018735"),
                size=Decimal("0.5"),
                notional=Decimal("0.00093675"),
            )
        ]

    def test_repeated_key_of_the_documentation(self) -> None:
        (trade,) = gateio.decode_trades(TRADES[11], FEED)
        assert (trade.symbol, trade.trade_id) == ("GT-USDT", 309143071)
        assert trade.time_ns == 1606292218213_457_800

    def test_rest_rows_are_all_text(self) -> None:
        assert gateio.decode_trades(REST_TRADES, FEED) == gateio.decode_trades(TRADES[1], FEED)

    def test_inverse_swap_is_dollars(self) -> None:
        assert gateio.decode_trades(FUTURES_TRADES[0], FEED) == [
            Trade(
                symbol="BTC-USD-PERP",
                trade_id=19910126,
                time_ns=1616327545436_000_000,
                taker_buys=True,
                price=Decimal("56155.2"),
                size=Decimal("0.000124654529"),
                notional=Decimal(7),
            )
        ]

    def test_linear_swap_is_contracts_times_base_units(self) -> None:
        assert gateio.decode_trades(FUTURES_TRADES[1], FEED) == [
            Trade(
                symbol="BTC-USDT-PERP",
                trade_id=15366793,
                time_ns=1616327563918_000_000,
                taker_buys=True,
                price=Decimal("56233.3"),
                size=Decimal("0.005"),
                notional=Decimal("281.1665"),
            )
        ]

    def test_negative_size_of_a_dated_contract_is_a_taker_who_sold(self) -> None:
        first, second = gateio.decode_trades(FUTURES_TRADES[2], FEED)
        assert first == Trade(
            symbol="BTC-USD-220603",
            trade_id=376991,
            time_ns=1653808101_000_000_000,
            taker_buys=False,
            price=Decimal("29009.9"),
            size=Decimal("0.000241296937"),
            notional=Decimal(7),
        )
        assert (second.trade_id, second.taker_buys, second.notional) == (376992, False, Decimal(9))

    def test_dated_linear_contract_takes_its_size_by_prefix(self) -> None:
        (trade,) = gateio.decode_trades(FUTURES_TRADES[3], FEED)
        assert (trade.symbol, trade.size) == ("BTC-USDT-210326", Decimal("0.0019"))
        assert trade.notional == Decimal("101.76495")

    def test_price_that_is_a_number(self) -> None:
        (trade,) = gateio.decode_trades(FUTURES_TRADES[4], FEED)
        assert (trade.size, trade.notional) == (Decimal(90), Decimal("75.24"))

    def test_trades_of_the_insurance_fund_are_left_out(self) -> None:
        frame = FUTURES_TRADES[2].replace(b'{"size":-7,', b'{"is_internal":true,"size":-7,')
        (trade,) = gateio.decode_trades(frame, FEED)
        assert trade.trade_id == 376992

    def test_rest_rows_of_futures_are_trades(self) -> None:
        assert gateio.decode_trades(FUTURES_REST_TRADES, FEED) == [
            Trade(
                symbol="BTC-USDT-PERP",
                trade_id=121234231,
                time_ns=1514764800_123_000_000,
                taker_buys=False,
                price=Decimal("100.123"),
                size=Decimal("0.01"),
                notional=Decimal("1.00123"),
            )
        ]

    def test_seconds_in_the_milliseconds_of_a_futures_trade(self) -> None:
        frame = FUTURES_TRADES[1].replace(b"1616327563918", b"1616327563.918")
        assert gateio.decode_trades(frame, FEED) == gateio.decode_trades(FUTURES_TRADES[1], FEED)

    def test_second_channel_of_spot_trades(self) -> None:
        frame = SPOT_TRADE.replace(b'"spot.trades"', b'"spot.trades_v2"')
        assert gateio.decode_trades(frame, FEED) == gateio.decode_trades(SPOT_TRADE, FEED)

    def test_contract_without_a_multiplier_is_a_dollar(self) -> None:
        feed = Feed("gateio", contract_sizes={"BTC_USD": Decimal(0)})
        assert gateio.decode_trades(FUTURES_TRADES[0], feed) == gateio.decode_trades(
            FUTURES_TRADES[0], FEED
        )

    @pytest.mark.parametrize("frame", [SPOT_TRADE, REST_TRADES, *FUTURES_TRADES[1:3]])
    def test_an_empty_row_is_skipped(self, frame: bytes) -> None:
        empty = re.sub(rb'"(amount|size)":("?)[0-9.-]+("?)', rb'"\1":\g<2>0\3', frame, count=1)
        trades = gateio.decode_trades(empty, FEED)
        assert [*trades] == gateio.decode_trades(frame, FEED)[1:]
        assert isinstance(trades, Salvaged)
        assert (trades.problems, trades.skipped) == ([], 1)

    def test_a_bad_row_leaves_its_neighbours(self) -> None:
        frame = FUTURES_TRADES[2].replace(b'"size":-7', b'"size":"x"')
        trades = gateio.decode_trades(frame, FEED)
        assert [trade.trade_id for trade in trades] == [376992]
        assert isinstance(trades, Salvaged)
        (problem,) = trades.problems
        assert problem.endswith("at `$.result[0].size`")

    def test_letters_of_any_script_name_a_market(self) -> None:
        frame = SPOT_TRADE.replace(b"DIS_USDT", "币安人生_USDT".encode())
        (trade,) = gateio.decode_trades(frame, FEED)
        assert trade.symbol == "币安人生-USDT"

    def test_unknown_contract_size_names_the_key_of_the_settings(self) -> None:
        with pytest.raises(
            DecodeError, match=r"pipeline\.yaml: exchanges\.gateio\.contract_sizes\.MOB_USDT"
        ):
            gateio.decode_trades(FUTURES_TRADES[4], Feed("gateio"))

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (b'"price":"121.5800000000"', b'"price":null', r"result\.price"),
            (b'"price":"121.5800000000"', b'"price":"0"', "price 0"),
            (b'"amount":"0.2010000000"', b'"amount":"NaN"', "size NaN"),
            (b'"side":"sell"', b'"side":"sold"', r"sold.*result\.side"),
            (b'"1619093543708.2642"', b'"1619093543.7082642"', "milliseconds"),
            (b'"1619093543708.2642"', b'"NaN"', "milliseconds"),
            (b'"DIS_USDT"', b'"DISUSDT"', "DISUSDT"),
            (b'"DIS_USDT"', b'"DIS_US_DT"', "US_DT"),
            (b'"id":816995772', b'"id":"x"', r"result\.id"),
            (b'"id":816995772,', b"", "missing required field `id`"),
            (b'"event":"update",', b"", "event"),
        ],
    )
    def test_broken_field_is_named(self, old: bytes, new: bytes, message: str) -> None:
        assert old in SPOT_TRADE
        with pytest.raises(DecodeError, match=rf"^gateio: .*{message}"):
            gateio.decode_trades(SPOT_TRADE.replace(old, new), FEED)

    @pytest.mark.parametrize(
        ("frame", "old", "new", "message"),
        [
            (FUTURES_TRADES[0], b'"size":7', b'"size":"NaN"', "size NaN"),
            (FUTURES_TRADES[0], b'"BTC_USD"', b'"BTC_USD_2022"', "BTC_USD_2022|22"),
            (FUTURES_TRADES[0], b'"BTC_USD"', b'"BTCUSD"', "contract 'BTCUSD'"),
            (REST_TRADES, b'"side":"buy"', b'"side":null', r"\[0\].*\.side"),
        ],
    )
    def test_broken_field_of_other_forms_is_named(
        self, frame: bytes, old: bytes, new: bytes, message: str
    ) -> None:
        assert old in frame
        with pytest.raises(DecodeError, match=rf"^gateio: .*{message}"):
            gateio.decode_trades(frame.replace(old, new), FEED)


class TestTickers:
    def test_price_of_a_day_ago_follows_from_the_percentage(self) -> None:
        assert only_ticker(TICKERS[0]) == TickerUpdate(
            symbol="NEO-BTC",
            time_ns=1619093533_000_000_000,
            is_delta=False,
            opening_price=Decimal("0.001818400864"),
            trade_price=Decimal("0.0018716"),
            max_price=Decimal("0.0018754"),
            min_price=Decimal("0.0017148"),
            prev_closing_price=Decimal("0.001818400864"),
            acc_trade_volume_24h=Decimal("1138.01640718"),
            signed_change_rate=Decimal("0.029256"),
        )

    def test_milliseconds_win_over_seconds(self) -> None:
        ticker = only_ticker(TICKERS[9])
        assert ticker.time_ns == 1669107766406_000_000
        assert ticker.signed_change_rate == Decimal("-0.018254")
        assert ticker.prev_closing_price == Decimal("16036.123396479334")

    def test_volume_of_a_contract_is_in_base_units(self) -> None:
        assert only_ticker(FUTURES_TICKER) == TickerUpdate(
            symbol="BTC-USDT-PERP",
            time_ns=1541659086123_000_000,
            is_delta=False,
            opening_price=Decimal("117.495286295524"),
            trade_price=Decimal("118.4"),
            max_price=Decimal("132.5"),
            min_price=Decimal("99.2"),
            prev_closing_price=Decimal("117.495286295524"),
            acc_trade_volume_24h=Decimal(50),
            signed_change_rate=Decimal("0.0077"),
        )

    @pytest.mark.parametrize("percentage", [b"-100", b"-100.5", b"", b"-1e2"])
    def test_price_of_a_day_ago_that_nobody_can_know(self, percentage: bytes) -> None:
        ticker = only_ticker(TICKERS[0].replace(b'"2.9256"', b'"' + percentage + b'"'))
        assert (ticker.opening_price, ticker.prev_closing_price) == (None, None)
        assert ticker.trade_price == Decimal("0.0018716")

    def test_flattened_ticker_takes_its_symbol_from_the_envelope(self) -> None:
        frame = (
            b'{"time_ms": 1669107766406, "last": "15743.4", "high_24h": "16280.9",'
            b' "low_24h": "15468.5", "highest_bid": "15743.5", "base_volume": "9110.473081735",'
            b' "change_percentage": "-1.8254"}'
        )
        assert gateio.kind(frame) == "ticker"
        flattened = gateio.decode_tickers(frame, Feed("gateio", coin="BTC"))
        assert flattened == [only_ticker(TICKERS[9])]
        with pytest.raises(DecodeError, match="or a coin in the envelope"):
            gateio.decode_tickers(frame, FEED)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (b'"0.0018716"', b'"x"', "last"),
            (b'"2.9256"', b'"NaN"', "change_percentage"),
            (b'"currency_pair":"NEO_BTC"', b'"currency_pair":[]', r"result\.currency_pair"),
            (b'"time":1619093533', b'"time":16190935330000', "seconds"),
        ],
    )
    def test_broken_field_is_named(self, old: bytes, new: bytes, message: str) -> None:
        assert old in TICKERS[0]
        with pytest.raises(DecodeError, match=rf"^gateio: .*{message}"):
            gateio.decode_tickers(TICKERS[0].replace(old, new), FEED)


class TestBooks:
    def test_limited_book_is_whole_every_time(self) -> None:
        assert only_book(LIMITED_BOOKS[2]) == BookUpdate(
            symbol="SOL-USD",
            time_ns=1790134390437_000_000,
            is_snapshot=True,
            bids=[
                (Decimal("118.91"), Decimal("13.548")),
                (Decimal("118.89"), Decimal("13.134")),
                (Decimal("118.87"), Decimal("11.925")),
            ],
            asks=[
                (Decimal("118.99"), Decimal("43.704")),
                (Decimal("119.05"), Decimal("13.633")),
                (Decimal("119.07"), Decimal("13.303")),
            ],
            sequence_rule="growing",
            last_id=48123154,
        )

    def test_changes_need_the_snapshot_of_rest(self) -> None:
        assert only_book(CHANGES[1]) == BookUpdate(
            symbol="OMG-USDT",
            time_ns=1619093533661_000_000,
            is_snapshot=False,
            bids=[
                (Decimal("7.892"), Decimal("65.675")),
                (Decimal("7.89"), Decimal(0)),
                (Decimal("7.878"), Decimal("2185.647")),
                (Decimal("7.875"), Decimal(0)),
            ],
            asks=[],
            sequence_rule="consecutive",
            first_id=59231870,
            last_id=59231873,
            needs_snapshot=True,
        )

    def test_snapshot_of_rest_takes_its_symbol_from_the_key(self) -> None:
        book = only_book(REST_BOOK[0])
        assert (book.symbol, book.is_snapshot, book.needs_snapshot) == ("OMG-USDT", True, False)
        assert (book.last_id, book.sequence_rule) == (59231869, "consecutive")
        assert (len(book.bids), len(book.asks), book.time_ns) == (100, 100, None)
        assert book.asks[0] == (Decimal("7.927"), Decimal("316.6"))

    def test_snapshot_of_rest_takes_its_symbol_from_the_envelope(self) -> None:
        (book,) = gateio.decode_books(REST_BOOK[0], Feed("gateio", coin="OMG"))
        assert book.symbol == "OMG-USDT"
        with pytest.raises(DecodeError, match="expected a symbol"):
            gateio.decode_books(REST_BOOK[0], Feed("gateio"))

    def test_recorded_changes_follow_on_the_snapshot_without_a_gap(self) -> None:
        last_id = only_book(REST_BOOK[0]).last_id
        assert last_id == only_book(CHANGES[0]).last_id
        for frame in CHANGES[1:]:
            book = only_book(frame)
            assert last_id is not None
            assert book.first_id == last_id + 1
            last_id = book.last_id

    def test_changes_that_are_a_whole_book(self) -> None:
        assert only_book(DOC_CHANGES[0]) == BookUpdate(
            symbol="BTC-USDT",
            time_ns=1606294781123_000_000,
            is_snapshot=True,
            bids=[(Decimal("19137.74"), Decimal("0.0001"))],
            asks=[(Decimal("19137.75"), Decimal("0.6135"))],
            sequence_rule="consecutive",
            first_id=48776301,
            last_id=48776306,
            depth=100,
        )

    def test_stream_sends_its_own_snapshot(self) -> None:
        snapshot, update = only_book(STREAMS[0]), only_book(STREAMS[1])
        assert (snapshot.symbol, snapshot.is_snapshot, snapshot.depth) == ("BTC-USDT", True, 50)
        assert (snapshot.first_id, snapshot.last_id) == (None, 73777715168)
        assert (update.is_snapshot, update.needs_snapshot) == (False, False)
        assert (update.first_id, update.last_id) == (73777715169, 73777715212)
        assert update.asks == [
            (Decimal("104027.2"), Decimal(0)),
            (Decimal("104027.4"), Decimal(0)),
        ]
        assert only_book(STREAMS[3]).depth == 400

    def test_changes_of_a_contract_need_the_snapshot_of_rest(self) -> None:
        assert only_book(FUTURES_CHANGES) == BookUpdate(
            symbol="OMG-USDT-PERP",
            time_ns=1684930165911_000_000,
            is_snapshot=False,
            bids=[(Decimal("0.7696"), Decimal(1056))],
            asks=[(Decimal("0.7717"), Decimal(677)), (Decimal("1.2532"), Decimal(0))],
            sequence_rule="consecutive",
            first_id=3132789250,
            last_id=3132789252,
            needs_snapshot=True,
        )

    def test_snapshot_of_a_contract_is_timed_in_seconds(self) -> None:
        feed = Feed("gateio", "linear", "OMG_USDT")
        assert gateio.decode_books(FUTURES_REST_BOOK, feed) == [
            BookUpdate(
                symbol="OMG-USDT-PERP",
                time_ns=1684930166_609_000_000,
                is_snapshot=True,
                bids=[(Decimal("0.7696"), Decimal(50))],
                asks=[(Decimal("0.7711"), Decimal(129))],
                sequence_rule="consecutive",
                last_id=3132789259,
            )
        ]

    def test_stream_of_a_contract_sends_its_own_snapshot(self) -> None:
        book = only_book(FUTURES_STREAM)
        assert (book.symbol, book.is_snapshot, book.depth) == ("BTC-USDT-PERP", True, 400)
        assert book.bids == [(Decimal("83705.9"), Decimal(30166))]

    def test_stream_leaves_out_a_side_without_changes(self) -> None:
        frame = STREAMS[1].replace(b',"a":[["104027.2","0"],["104027.4","0"]]', b"")
        book = only_book(frame)
        assert (len(book.bids), book.asks) == (2, [])

    @pytest.mark.parametrize(
        ("frame", "old", "new", "message"),
        [
            (LIMITED_BOOKS[2], b'"13.548"', b'"-1"', r"result\.bids: price 118.91 and size -1"),
            (LIMITED_BOOKS[2], b'"lastUpdateId":48123154,', b"", "lastUpdateId"),
            (CHANGES[1], b'"7.892"', b'"NaN"', r"result\.b: price NaN"),
            (CHANGES[1], b'"U":59231870,', b"", "missing field `U`"),
            (CHANGES[1], b',"a":[]', b"", "missing field `b` or `a`"),
            (DOC_CHANGES[0], b',"a":[["19137.75","0.6135"]]', b"", "missing field `b` or `a`"),
            (STREAMS[0], b"ob.BTC_USDT.50", b"ob.BTC_USDT.7", "stream 'ob.BTC_USDT.7'"),
            (STREAMS[0], b'"u":73777715168', b'"u":null', r"result\.u"),
            (REST_BOOK[0], b'"id":59231869', b'"id":{}', r"\.id"),
            (REST_BOOK[0], b'"bids"', b'"bid"', "missing required field `bids`"),
        ],
    )
    def test_broken_field_is_named(
        self, frame: bytes, old: bytes, new: bytes, message: str
    ) -> None:
        assert old in frame
        with pytest.raises(DecodeError, match=rf"^gateio: .*{message}"):
            gateio.decode_books(frame.replace(old, new), FEED)


class TestKinds:
    def test_every_sample_decodes_as_its_kind(self) -> None:
        assert count_records(gateio, [*TRADES, *FUTURES_TRADES], FEED) == {"trade": 17}
        futures = [FUTURES_REST_TRADES, FUTURES_TICKER, FUTURES_CHANGES, FUTURES_STREAM]
        counts = {"trade": 1, "ticker": 1, "orderbook": 2}
        assert count_records(gateio, futures, FEED) == counts
        assert count_records(gateio, TICKERS, FEED) == {"ticker": 12}
        assert count_records(gateio, BOOKS, FEED) == {"orderbook": 51}

    def test_the_recording_decodes(self) -> None:
        assert count_records(gateio, recording("gateio"), FEED) == {
            "trade": 3,
            "ticker": 12,
            "orderbook": 95,
            "other": 11,
            "control": 22,
        }

    def test_control_frames_carry_nothing(self) -> None:
        assert count_records(gateio, CONTROL, FEED) == {"control": len(CONTROL)}

    @pytest.mark.parametrize("frame", NOISE)
    def test_noise_is_refused(self, frame: bytes) -> None:
        assert refusal(gateio, frame, FEED).startswith("gateio: ")


@settings(max_examples=500)
@given(
    broken(
        [
            *(*TRADES, *FUTURES_TRADES, REST_TRADES, *TICKERS, *BOOKS),
            *(FUTURES_REST_TRADES, FUTURES_TICKER, FUTURES_STREAM, FUTURES_CHANGES),
            FUTURES_REST_BOOK,
        ]
    )
)
def test_a_broken_frame_raises_nothing_but_decode_errors(frame: bytes) -> None:
    decode_all(gateio, frame, FEED)
