from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import DecodeError
from schemas.exchanges import decoder_of
from schemas.exchanges.binance.decode import decode_trade_run
from schemas.feeds import Feed
from schemas.records import Salvaged, TickerUpdate, Trade
from tests.schemas.exchanges.frames import broken, case_frames, decode_all, lines, recording

if TYPE_CHECKING:
    from schemas.records import BookUpdate, Kind, Product

binance = decoder_of("binance")

SPOT = Feed("binance")
LINEAR = Feed("binance", "linear")
INVERSE = Feed("binance", "inverse", contract_sizes={"BTCUSD": Decimal(100)})
SPOT_AGGREGATED = Feed("binance", trade_ids="aggTrade")
LINEAR_AGGREGATED = Feed("binance", "linear", trade_ids="aggTrade")
SPOT_REST = Feed("binance", native_symbol="BTCUSDT")
LINEAR_REST = Feed("binance", "linear", native_symbol="BTCUSDT")
INVERSE_REST = Feed(
    "binance", "inverse", native_symbol="BTCUSD_PERP", contract_sizes={"BTCUSD": Decimal(100)}
)

TRADES = lines("binance-trade.jsonl")
BLOCK_TRADE = TRADES.pop()
FUTURES_TRADES = lines("binance-futures-trade.jsonl")
AGG_TRADES = lines("binance-aggtrade.jsonl")
FUTURES_AGG_TRADES = lines("binance-futures-aggtrade.jsonl")
TICKERS = lines("binance-ticker.jsonl")
FUTURES_TICKERS = lines("binance-futures-ticker.jsonl")
BOOKS = lines("binance-orderbook.jsonl")
FUTURES_BOOKS = lines("binance-futures-orderbook.jsonl")
PARTIAL, RAW_PARTIAL = lines("binance-orderbook-partial.jsonl")
FUTURES_PARTIAL, INVERSE_PARTIAL = lines("binance-futures-orderbook-partial.jsonl")
SNAPSHOT = lines("binance-orderbook-rest-snapshot.jsonl")[0]
FUTURES_SNAPSHOT = lines("binance-futures-orderbook-rest-snapshot.jsonl")[0]
CONTROL = [*lines("binance-control.jsonl"), *lines("rest/binance-futures-error.json")]
(REST_SPOT,) = lines("rest/binance-spot-trades.json")
(REST_LINEAR,) = lines("rest/binance-futures-trades.json")
(REST_INVERSE,) = lines("rest/binance-delivery-trades.json")


# The documented row of /api/v3/aggTrades.
REST_AGG_TRADES = (
    b'[{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,'
    b'"m":true,"M":true}]'
)


def unwrapped(frame: bytes) -> bytes:
    return bytes(msgspec.json.decode(frame, type=dict[str, msgspec.Raw])["data"])


def changed(frame: bytes, **fields: Any) -> bytes:
    """The frame with fields of its event replaced, or left out where they are `...`."""
    message = json.loads(frame)
    event = message.get("data", message)
    event.update(fields)
    for name, value in fields.items():
        if value is ...:
            del event[name]
    return json.dumps(message).encode()


def in_frame(named: str) -> str:
    """Return the pattern of a field's place in a frame, wrapped or not."""
    return named.replace(r"\$\.", r"\$\.(data\.)?")


def only_trade(frame: bytes, feed: Feed) -> Trade:
    (trade,) = binance.decode_trades(frame, feed)
    return trade


def only_ticker(frame: bytes, feed: Feed) -> TickerUpdate:
    (ticker,) = binance.decode_tickers(frame, feed)
    return ticker


def only_book(frame: bytes, feed: Feed) -> BookUpdate:
    (book,) = binance.decode_books(frame, feed)
    return book


class TestTrades:
    def test_spot_trade_whose_buyer_is_maker_was_sold_by_the_taker(self) -> None:
        assert only_trade(TRADES[2], SPOT) == Trade(
            symbol="ETH-USDT",
            trade_id=705291099,
            time_ns=1639351062243_000_000,
            taker_buys=False,
            price=Decimal("4149.74"),
            size=Decimal("0.4387"),
            notional=Decimal("1820.490938"),
        )

    def test_spot_trade_whose_buyer_is_not_maker_was_bought_by_the_taker(self) -> None:
        assert only_trade(TRADES[0], SPOT) == Trade(
            symbol="BNB-BTC",
            trade_id=40756030,
            time_ns=1554076800940_000_000,
            taker_buys=True,
            price=Decimal("0.0042699"),
            size=Decimal("33.82"),
            notional=Decimal("0.144408018"),
        )

    def test_raw_event_without_wrapper_is_the_same(self) -> None:
        assert only_trade(unwrapped(TRADES[2]), SPOT) == only_trade(TRADES[2], SPOT)

    def test_event_with_any_order_of_keys_and_spaces_is_the_same(self) -> None:
        message = json.loads(TRADES[2])
        turned = {
            "data": dict(reversed(message["data"].items())),
            "stream": message["stream"],
        }
        frame = b" \n" + json.dumps(turned, indent=1).encode()
        assert only_trade(frame, SPOT) == only_trade(TRADES[2], SPOT)

    def test_linear_trade_is_of_a_perpetual(self) -> None:
        assert only_trade(FUTURES_TRADES[0], LINEAR) == Trade(
            symbol="BTC-USDT-PERP",
            trade_id=8097313955,
            time_ns=1789893896920_000_000,
            taker_buys=False,
            price=Decimal("80227.00"),
            size=Decimal("0.010"),
            notional=Decimal("802.27"),
        )

    def test_linear_trade_of_2019_without_a_mark_counts(self) -> None:
        trade = only_trade(FUTURES_TRADES[1], LINEAR)
        assert (trade.trade_id, trade.taker_buys) == (10934580, True)

    @pytest.mark.parametrize("mark", ["INSURANCE_FUND", "ADL", "NA"])
    def test_transfer_inside_the_exchange_is_no_trade(self, mark: str) -> None:
        assert b"INSURANCE_FUND" in FUTURES_TRADES[2]
        frame = FUTURES_TRADES[2].replace(b"INSURANCE_FUND", mark.encode())
        assert binance.decode_trades(frame, LINEAR) == []
        assert binance.kind(frame) == "trade"

    def test_aggregated_trade_counts_where_the_feed_says_so(self) -> None:
        assert only_trade(FUTURES_AGG_TRADES[3], LINEAR_AGGREGATED) == Trade(
            symbol="SUSHI-USDT-PERP",
            trade_id=87353230,
            time_ns=1626992744108_000_000,
            taker_buys=True,
            price=Decimal("7.6120"),
            size=Decimal(297),
            notional=Decimal("2260.764"),
        )

    def test_spot_aggregated_trade(self) -> None:
        assert only_trade(AGG_TRADES[0], SPOT_AGGREGATED) == Trade(
            symbol="NKN-USDT",
            trade_id=15683430,
            time_ns=1633998523963_000_000,
            taker_buys=True,
            price=Decimal("0.3528"),
            size=Decimal(58),
            notional=Decimal("20.4624"),
        )

    def test_only_one_of_the_two_numberings_counts(self) -> None:
        assert binance.decode_trades(AGG_TRADES[0], SPOT) == []
        assert binance.decode_trades(TRADES[0], SPOT_AGGREGATED) == []
        rest = Feed("binance", native_symbol="BTCUSDT", trade_ids="aggTrade")
        assert binance.decode_trades(REST_SPOT, rest) == []

    def test_block_trade_has_ids_of_its_own_and_is_left_out(self) -> None:
        assert binance.decode_trades(BLOCK_TRADE, SPOT) == []

    def test_time_in_microseconds_is_understood(self) -> None:
        frame = changed(TRADES[2], T=1639351062243_517)
        assert only_trade(frame, SPOT).time_ns == 1639351062243_517_000

    def test_rest_rows_take_their_symbol_from_the_feed(self) -> None:
        trades = binance.decode_trades(REST_SPOT, SPOT_REST)
        assert len(trades) == 6
        assert trades[0] == Trade(
            symbol="BTC-USDT",
            trade_id=445560530,
            time_ns=1603947130084_000_000,
            taker_buys=False,
            price=Decimal("13260.72"),
            size=Decimal("0.018104"),
            notional=Decimal("240.07207488"),
        )

    def test_rest_notional_is_exact_where_the_exchange_rounds_it(self) -> None:
        trade = binance.decode_trades(REST_LINEAR, LINEAR_REST)[0]  # its quoteQty is 80.45
        assert trade.symbol == "BTC-USDT-PERP"
        assert trade.notional == Decimal("80.45842")

    def test_rest_rows_of_every_year_decode(self) -> None:
        (rows_2023,) = lines("rest/binance-futures-trades-2023.json")
        (rows_docs,) = lines("rest/binance-futures-trades-docs.json")
        assert len(binance.decode_trades(REST_LINEAR, LINEAR_REST)) == 5
        assert len(binance.decode_trades(rows_2023, LINEAR_REST)) == 5
        assert len(binance.decode_trades(rows_docs, LINEAR_REST)) == 1

    def test_coin_margined_contracts_become_base_units(self) -> None:
        trades = binance.decode_trades(REST_INVERSE, INVERSE_REST)
        assert len(trades) == 6
        assert trades[0] == Trade(
            symbol="BTC-USD-PERP",
            trade_id=604904882,
            time_ns=1679280473800_000_000,
            taker_buys=True,
            price=Decimal("27465.8"),
            size=Decimal("0.076458723212"),  # the exchange says 0.07645872
            notional=Decimal(2100),
        )

    def test_coin_margined_event_of_a_dated_contract(self) -> None:
        frame = changed(FUTURES_TRADES[0], s="BTCUSD_220624", q="21", p="27465.8")
        trade = only_trade(frame, INVERSE)
        assert trade.symbol == "BTC-USD-220624"
        assert (trade.size, trade.notional) == (Decimal("0.076458723212"), Decimal(2100))

    def test_contract_of_unknown_size_names_the_setting(self) -> None:
        frame = changed(FUTURES_TRADES[0], s="ETHUSD_PERP", q="21")
        with pytest.raises(DecodeError, match=r"exchanges\.binance\.contract_sizes\.ETHUSD_PERP"):
            binance.decode_trades(frame, INVERSE)

    def test_rest_rows_take_their_symbol_from_the_envelope(self) -> None:
        feed = Feed("binance", coin="BTC", quote="USDT")
        assert binance.decode_trades(REST_SPOT, feed)[0].symbol == "BTC-USDT"
        feed = Feed("binance", "linear", coin="BTC", quote="USDT")
        assert binance.decode_trades(REST_LINEAR, feed)[0].symbol == "BTC-USDT-PERP"

    def test_rest_rows_without_any_symbol_are_refused(self) -> None:
        with pytest.raises(DecodeError, match="expected a symbol"):
            binance.decode_trades(REST_SPOT, SPOT)

    def test_empty_rest_body_has_no_trades(self) -> None:
        assert binance.decode_trades(b"[]", SPOT_REST) == []
        assert binance.kind(b"[]") == "other"

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"p": None}, r"\$\.p"),
            ({"p": "x"}, r"\$\.p"),
            ({"p": ...}, "`p`"),
            ({"p": "0"}, "price 0"),
            ({"p": "-1"}, "price -1"),
            ({"p": "NaN"}, "price NaN"),
            ({"p": "1e25"}, "price 1E"),
            ({"q": []}, r"\$\.q"),
            ({"q": "Infinity"}, "size Infinity"),
            ({"m": "true"}, r"\$\.m"),
            ({"m": 1}, r"\$\.m"),
            ({"m": ...}, "`m`"),
            ({"t": "12"}, r"\$\.t"),
            ({"t": ...}, "`t`"),
            ({"T": 1.5}, r"\$\.T"),
            ({"T": 12}, "time of the trade"),
            ({"s": ""}, "expected a symbol"),
            ({"s": "BTC-USDT"}, "1 to 20 letters"),
            ({"s": "NONSENSE"}, "symbol 'NONSENSE'"),
            ({"s": "BTCUSDT_220624"}, "spot market"),
            ({"e": None}, r"\$\.e"),
            ({"e": ...}, "`e`"),
            ({"X": 5}, r"\$\.X"),
        ],
    )
    def test_broken_field_is_refused_and_named(self, fields: dict[str, Any], named: str) -> None:
        for frame in (TRADES[2], unwrapped(TRADES[2])):
            with pytest.raises(DecodeError, match=in_frame(named)) as raised:
                binance.decode_trades(changed(frame, **fields), SPOT)
            assert str(raised.value).startswith("binance: ")
            assert len(str(raised.value)) <= 300

    @pytest.mark.parametrize("field", ["id", "price", "qty", "time", "isBuyerMaker"])
    def test_a_bad_rest_row_leaves_its_neighbours(self, field: str) -> None:
        rows = json.loads(REST_SPOT)
        rows[3][field] = None
        trades = binance.decode_trades(json.dumps(rows).encode(), SPOT_REST)
        good = binance.decode_trades(REST_SPOT, SPOT_REST)
        assert [*trades] == good[:3] + good[4:]
        assert isinstance(trades, Salvaged)
        (problem,) = trades.problems
        assert f"`$[3].{field}`" in problem

    def test_an_empty_trade_is_skipped(self) -> None:
        trades = binance.decode_trades(changed(TRADES[2], q="0.00000000"), SPOT)
        assert isinstance(trades, Salvaged)
        assert ([*trades], trades.problems, trades.skipped) == ([], [], 1)

    def test_aggregated_rest_rows_count_where_the_feed_says_so(self) -> None:
        assert binance.kind(REST_AGG_TRADES) == "trade"
        assert binance.decode_trades(REST_AGG_TRADES, SPOT_REST) == []
        feed = Feed("binance", native_symbol="BNBBTC", trade_ids="aggTrade")
        assert binance.decode_trades(REST_AGG_TRADES, feed) == [
            Trade(
                symbol="BNB-BTC",
                trade_id=26129,
                time_ns=1498793709153_000_000,
                taker_buys=False,
                price=Decimal("0.01633102"),
                size=Decimal("4.70443515"),
                notional=Decimal("0.0768282245233530"),
            )
        ]

    def test_names_of_any_script(self) -> None:
        spot, linear, book, tickers = case_frames("symbols-that-are-not-ascii")
        assert only_trade(spot, SPOT).symbol == "币安人生-USDT"
        assert only_trade(linear, LINEAR).symbol == "龙虾-USDT-PERP"
        assert only_book(book, SPOT).symbol == "币安人生-USDT"
        assert [ticker.symbol for ticker in binance.decode_tickers(tickers, LINEAR)] == [
            "BTC-USDT-PERP",
            "龙虾-USDT-PERP",
            "ETH-USDT-PERP",
        ]


class TestSymbols:
    @pytest.mark.parametrize(
        ("native", "product", "expected"),
        [
            ("BTCUSDT", "spot", "BTC-USDT"),
            ("btcusdt", "spot", "BTC-USDT"),
            ("LRCBTC", "spot", "LRC-BTC"),
            ("USDCUSDT", "spot", "USDC-USDT"),
            ("BTCFDUSD", "spot", "BTC-FDUSD"),
            ("BTCTUSD", "spot", "BTC-TUSD"),
            ("USDTTRY", "spot", "USDT-TRY"),
            ("FDUSDTRY", "spot", "FDUSD-TRY"),
            ("BETHETH", "spot", "BETH-ETH"),
            ("ADAEUR", "spot", "ADA-EUR"),
            ("BTCAEUR", "spot", "BTC-AEUR"),
            ("EURAEUR", "spot", "EUR-AEUR"),
            ("AEURUSDT", "spot", "AEUR-USDT"),
            ("ETHBTC", "linear", "ETH-BTC-PERP"),
            ("1000SHIBUSDT", "linear", "1000SHIB-USDT-PERP"),
            ("BTCUSDC", "linear", "BTC-USDC-PERP"),
            ("BTCUSDT_220624", "linear", "BTC-USDT-220624"),
            ("BTCUSD_PERP", "inverse", "BTC-USD-PERP"),
            ("RUNEUSD_PERP", "inverse", "RUNE-USD-PERP"),
            ("BTCUSD_220624", "inverse", "BTC-USD-220624"),
        ],
    )
    def test_native_symbols_become_canonical(
        self, native: str, product: Product, expected: str
    ) -> None:
        feed = Feed("binance", product, contract_sizes={native: Decimal(10)})
        assert only_trade(changed(FUTURES_TRADES[0], s=native), feed).symbol == expected

    @pytest.mark.parametrize(
        ("native", "product"),
        [
            ("BTCUSD", "spot"),
            ("USDT", "spot"),
            ("BTCUSDT_220624", "spot"),
            ("BTCUSDT_220699", "linear"),
            ("BTCUSD_PERP", "linear"),
            ("BTCUSDT", "inverse"),
            ("BTCUSD", "inverse"),
            ("USD_PERP", "inverse"),
            ("BTCUSD_", "inverse"),
            ("币安人生USDX", "spot"),
        ],
    )
    def test_symbol_that_is_none_of_the_product_is_refused(
        self, native: str, product: Product
    ) -> None:
        feed = Feed("binance", product, contract_sizes={native: Decimal(10)})
        with pytest.raises(DecodeError, match="expected"):
            binance.decode_trades(changed(FUTURES_TRADES[0], s=native), feed)


class TestTickers:
    def test_spot_ticker_has_all_figures(self) -> None:
        assert only_ticker(TICKERS[0], SPOT) == TickerUpdate(
            symbol="ETH-USDT",
            time_ns=1653812650349_000_000,
            is_delta=False,
            opening_price=Decimal("1764.61"),
            trade_price=Decimal("1792.84"),
            max_price=Decimal("1808.98"),
            min_price=Decimal("1748.94"),
            prev_closing_price=Decimal("1764.61"),
            acc_trade_volume_24h=Decimal("471703.5311"),
            signed_change_price=Decimal("28.23"),
            signed_change_rate=Decimal("0.016"),
        )

    def test_previous_close_of_spot_is_the_last_trade_before_the_window(self) -> None:
        ticker = only_ticker(TICKERS[2], SPOT)
        assert ticker.prev_closing_price == Decimal("0.0009")
        assert ticker.opening_price == Decimal("0.0010")

    def test_futures_open_stands_in_for_their_previous_close(self) -> None:
        assert only_ticker(FUTURES_TICKERS[0], LINEAR) == TickerUpdate(
            symbol="BTC-USDT-220624",
            time_ns=1653814783325_000_000,
            is_delta=False,
            opening_price=Decimal(28926),
            trade_price=Decimal("29122.5"),
            max_price=Decimal(29335),
            min_price=Decimal("28834.4"),
            prev_closing_price=Decimal(28926),
            acc_trade_volume_24h=Decimal("1047.859"),
            signed_change_price=Decimal("196.5"),
            signed_change_rate=Decimal("0.00679"),
        )

    def test_a_bad_ticker_leaves_its_neighbours(self) -> None:
        rows = [json.loads(unwrapped(FUTURES_TICKERS[0])) for _ in range(3)]
        rows[1]["c"] = "x"
        tickers = binance.decode_tickers(json.dumps(rows).encode(), LINEAR)
        assert [*tickers] == [only_ticker(FUTURES_TICKERS[0], LINEAR)] * 2
        assert isinstance(tickers, Salvaged)
        (problem,) = tickers.problems
        assert "`$[1].c`" in problem

    @pytest.mark.parametrize("figures", [{}, {"v": ""}])
    def test_tickers_of_the_other_family_are_skipped(self, figures: dict[str, str]) -> None:
        ours = {**json.loads(unwrapped(FUTURES_TICKERS[0])), **figures, "st": 1}
        rows = [ours, {**ours, "s": "BTCUSD_PERP", "st": 2}]
        for wrap in (rows, {"stream": "!ticker@arr", "data": rows}):
            frame = json.dumps(wrap, separators=(",", ":")).encode()
            for feed, symbol in ((LINEAR, "BTC-USDT-220624"), (INVERSE, "BTC-USD-PERP")):
                (ticker,) = found = binance.decode_tickers(frame, feed)
                assert ticker.symbol == symbol
                assert isinstance(found, Salvaged)
                assert (found.problems, found.skipped) == ([], 1)

    def test_array_of_all_tickers_is_one_update_each(self) -> None:
        events = b"[" + b",".join(map(unwrapped, TICKERS[:2])) + b"]"
        expected = [only_ticker(TICKERS[0], SPOT), only_ticker(TICKERS[1], SPOT)]
        wrapped = b'{"stream":"!ticker@arr","data":' + events + b"}"
        assert binance.decode_tickers(events, SPOT) == expected
        assert binance.decode_tickers(wrapped, SPOT) == expected
        assert binance.kind(events) == binance.kind(wrapped) == "ticker"

    def test_flattened_ticker_takes_its_symbol_from_the_envelope(self) -> None:
        event = json.loads(TICKERS[0])["data"]
        flat = {key: event[key] for key in ("E", "o", "c", "h", "l", "x", "v", "p", "P")}
        frame = json.dumps(flat).encode()
        feed = Feed("binance", coin="ETH", quote="USDT")
        assert only_ticker(frame, feed) == only_ticker(TICKERS[0], SPOT)
        assert binance.kind(frame) == "ticker"
        with pytest.raises(DecodeError, match="expected a symbol"):
            binance.decode_tickers(frame, SPOT)

    @pytest.mark.parametrize("nothing", ["", None, ...])
    def test_figure_without_value_is_none(self, nothing: object) -> None:
        ticker = only_ticker(changed(TICKERS[0], h=nothing, P=nothing, E=nothing), SPOT)
        assert ticker.max_price is None
        assert ticker.signed_change_rate is None
        assert ticker.time_ns is None

    @pytest.mark.parametrize("key", ["o", "c", "h", "l", "x", "v", "p", "P", "E"])
    @pytest.mark.parametrize("junk", ["NaN", "x", [], "1e400", True])
    def test_broken_figure_is_refused_and_named(self, key: str, junk: object) -> None:
        with pytest.raises(DecodeError, match=in_frame(rf"\$\.{key}")):
            binance.decode_tickers(changed(TICKERS[0], **{key: junk}), SPOT)


class TestBooks:
    def test_spot_delta_follows_the_one_before_without_a_gap(self) -> None:
        book = only_book(BOOKS[1], SPOT)
        assert book.symbol == "NKN-USDT"
        assert book.time_ns == 1633998512568_000_000
        assert not book.is_snapshot
        assert book.needs_snapshot
        assert book.bids == [(Decimal("0.35170000"), Decimal("4265.00000000"))]
        assert book.asks == [(Decimal("0.35290000"), Decimal("10968.00000000"))]
        assert book.sequence_rule == "consecutive"
        assert (book.first_id, book.last_id, book.prev_id) == (499869753, 499869754, None)
        assert (book.depth, book.checksum) == (None, None)

    def test_recorded_spot_deltas_are_consecutive(self) -> None:
        books = [only_book(frame, SPOT) for frame in BOOKS]
        assert len(books) == 30
        for before, book in pairwise(books):
            assert book.first_id == (before.last_id or 0) + 1

    def test_size_zero_of_a_delta_is_kept_because_it_deletes(self) -> None:
        assert only_book(BOOKS[6], SPOT).asks == [(Decimal("0.3534"), Decimal(0))]

    def test_futures_delta_names_the_one_before(self) -> None:
        book = only_book(FUTURES_BOOKS[1], LINEAR)
        assert book.symbol == "KEEP-USDT-PERP"
        assert book.time_ns == 1626992741379_000_000
        assert (book.is_snapshot, book.needs_snapshot) == (False, True)
        assert book.sequence_rule == "linked"
        assert (book.first_id, book.last_id) == (600859606259, 600859607807)
        assert book.prev_id == 600859603268

    def test_recorded_futures_deltas_are_linked(self) -> None:
        books = [only_book(frame, LINEAR) for frame in FUTURES_BOOKS]
        assert len(books) == 30
        for before, book in pairwise(books):
            assert book.prev_id == before.last_id

    def test_spot_partial_book_takes_symbol_and_depth_from_its_stream(self) -> None:
        book = only_book(PARTIAL, SPOT)
        assert book.symbol == "ETH-USDT"
        assert book.time_ns is None
        assert (book.is_snapshot, book.needs_snapshot) == (True, False)
        assert book.bids == [
            (Decimal("1782.00"), Decimal("6.483")),
            (Decimal("1781.95"), Decimal("0.03")),
        ]
        assert book.sequence_rule == "growing"
        assert (book.last_id, book.depth) == (17044571457, 20)

    def test_unwrapped_partial_book_takes_its_symbol_from_the_feed(self) -> None:
        book = only_book(RAW_PARTIAL, Feed("binance", native_symbol="BNBBTC"))
        assert (book.symbol, book.is_snapshot, book.last_id) == ("BNB-BTC", True, 160)
        assert only_book(RAW_PARTIAL, Feed("binance", coin="BNB")).symbol == "BNB-USDT"
        with pytest.raises(DecodeError, match="expected a symbol"):
            binance.decode_books(RAW_PARTIAL, SPOT)

    def test_futures_partial_book_is_told_by_its_stream(self) -> None:
        book = only_book(FUTURES_PARTIAL, LINEAR)
        assert (book.symbol, book.is_snapshot, book.depth) == ("ETH-USDT-PERP", True, 20)
        assert (book.sequence_rule, book.last_id) == ("growing", 1437010882721)
        unnamed = only_book(unwrapped(FUTURES_PARTIAL), LINEAR)
        assert (unnamed.is_snapshot, unnamed.sequence_rule) == (False, "linked")

    def test_coin_margined_partial_book_may_have_an_empty_side(self) -> None:
        book = only_book(INVERSE_PARTIAL, INVERSE)
        assert (book.symbol, book.depth) == ("RUNE-USD-PERP", 5)
        assert (book.bids, book.asks) == ([], [(Decimal("8.4400"), Decimal(2))])

    def test_rest_snapshot_of_spot_bridges_the_deltas(self) -> None:
        book = only_book(SNAPSHOT, Feed("binance", native_symbol="NKNUSDT"))
        assert (book.symbol, book.time_ns) == ("NKN-USDT", None)
        assert (book.is_snapshot, book.needs_snapshot) == (True, False)
        assert (book.sequence_rule, book.last_id) == ("consecutive", 499869752)
        assert book.bids[0] == (Decimal("0.35210000"), Decimal("672.00000000"))

    def test_rest_snapshot_of_futures_is_stamped(self) -> None:
        book = only_book(FUTURES_SNAPSHOT, Feed("binance", "linear", native_symbol="KEEPUSDT"))
        assert (book.symbol, book.time_ns) == ("KEEP-USDT-PERP", 1626992742018_000_000)
        assert (book.is_snapshot, book.sequence_rule) == (True, "linked")
        assert book.last_id == 600859619434

    def test_padding_of_a_full_book_is_dropped(self) -> None:
        frame = changed(PARTIAL, bids=[["0", "0"], ["1.5", "2"], ["1.4", "0.000"]])
        assert only_book(frame, SPOT).bids == [(Decimal("1.5"), Decimal(2))]

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"b": [["1", "-2"]]}, r"\$\.b"),
            ({"b": [["0", "0"]]}, r"\$\.b"),
            ({"a": [["1", "NaN"]]}, r"\$\.a"),
            ({"a": [["1"]]}, r"\$\.a"),
            ({"a": None}, r"\$\.a"),
            ({"U": None}, r"\$\.U"),
            ({"u": "5"}, r"\$\.u"),
            ({"pu": None}, r"\$\.pu"),
            ({"E": 5}, "time 5"),
            ({"s": 5}, r"\$\.s"),
        ],
    )
    def test_broken_field_is_refused_and_named(self, fields: dict[str, Any], named: str) -> None:
        with pytest.raises(DecodeError, match=in_frame(named)):
            binance.decode_books(changed(FUTURES_BOOKS[0], **fields), LINEAR)


class TestFrames:
    @pytest.mark.parametrize(
        ("frames", "feed", "kind", "records"),
        [
            (TRADES, SPOT, "trade", 4),
            (FUTURES_TRADES, LINEAR, "trade", 3),  # and one of the insurance fund
            (AGG_TRADES, SPOT_AGGREGATED, "trade", 3),
            (FUTURES_AGG_TRADES, LINEAR_AGGREGATED, "trade", 12),
            ([REST_SPOT], SPOT_REST, "trade", 6),
            (TICKERS, SPOT, "ticker", 3),
            (FUTURES_TICKERS, LINEAR, "ticker", 3),
            (BOOKS, SPOT, "orderbook", 30),
            (FUTURES_BOOKS, LINEAR, "orderbook", 30),
            ([PARTIAL, RAW_PARTIAL], SPOT_REST, "orderbook", 2),
            ([FUTURES_PARTIAL], LINEAR, "orderbook", 1),
            ([INVERSE_PARTIAL], INVERSE, "orderbook", 1),
        ],
    )
    def test_frames_decode_as_their_kind_and_as_no_other(
        self, frames: list[bytes], feed: Feed, kind: Kind, records: int
    ) -> None:
        counts = dict.fromkeys(("trade", "ticker", "orderbook"), 0)
        for frame in frames:
            assert binance.kind(frame) == kind
            counts["trade"] += len(binance.decode_trades(frame, feed))
            counts["ticker"] += len(binance.decode_tickers(frame, feed))
            counts["orderbook"] += len(binance.decode_books(frame, feed))
        assert counts == {"trade": 0, "ticker": 0, "orderbook": 0} | {kind: records}

    @pytest.mark.parametrize(
        ("name", "feed", "trades", "books", "others"),
        [
            ("binance-spot", SPOT_AGGREGATED, 2, 177, 86),
            ("binance-linear", LINEAR_AGGREGATED, 58, 443, 420),
        ],
    )
    def test_recordings_decode_to_the_last_frame(
        self, name: str, feed: Feed, trades: int, books: int, others: int
    ) -> None:
        frames = recording(name)
        assert sum(len(binance.decode_trades(frame, feed)) for frame in frames) == trades
        assert sum(len(binance.decode_books(frame, feed)) for frame in frames) == books
        assert [binance.kind(frame) for frame in frames].count("other") == others

    @pytest.mark.parametrize("frame", CONTROL)
    def test_control_frames_are_no_data(self, frame: bytes) -> None:
        assert binance.kind(frame) == "control"
        assert binance.decode_trades(frame, SPOT) == []
        assert binance.decode_tickers(frame, SPOT) == []
        assert binance.decode_books(frame, SPOT) == []

    @pytest.mark.parametrize(
        "frame", [b"", b"{", b"null", b"5", b"[5]", b"{}", b"\xff", b"[" * 9999]
    )
    def test_what_is_no_message_is_refused(self, frame: bytes) -> None:
        for decode in (binance.decode_trades, binance.decode_tickers, binance.decode_books):
            with pytest.raises(DecodeError, match="binance: "):
                decode(frame, SPOT)
        with pytest.raises(DecodeError, match="binance: "):
            binance.kind(frame)


@pytest.mark.parametrize("feed", [SPOT, LINEAR_REST, INVERSE_REST, SPOT_AGGREGATED])
@given(
    broken(
        [
            *(TRADES + FUTURES_TRADES + AGG_TRADES + TICKERS + FUTURES_TICKERS + CONTROL),
            *(BOOKS[:9] + FUTURES_BOOKS[:9]),
            *(PARTIAL, RAW_PARTIAL, FUTURES_PARTIAL, REST_SPOT, REST_INVERSE),
        ]
    )
)
@settings(max_examples=150)
def test_broken_frames_raise_nothing_but_decode_errors(feed: Feed, frame: bytes) -> None:
    decode_all(binance, frame, feed)
    with suppress(DecodeError):
        binance.kind(frame)


@pytest.mark.parametrize("feed", [SPOT, LINEAR_REST, INVERSE_REST, SPOT_AGGREGATED])
@given(st.lists(st.one_of(st.sampled_from(TRADES), broken([*TRADES, *AGG_TRADES])), min_size=1))
@settings(max_examples=150)
def test_a_run_of_frames_is_each_of_them_or_nothing(feed: Feed, frames: list[bytes]) -> None:
    found = decode_trade_run(frames, feed)
    if found is not None:
        assert found == ([only_trade(frame, feed) for frame in frames], None)


@pytest.mark.parametrize(
    ("frames", "feed"),
    [
        (TRADES[:-1], SPOT),
        ([unwrapped(frame) for frame in TRADES[:-1]], SPOT),
        (FUTURES_AGG_TRADES, LINEAR_AGGREGATED),
    ],
)
def test_a_run_of_plain_trades_decodes_at_once(frames: list[bytes], feed: Feed) -> None:
    expected = [only_trade(frame, feed) for frame in frames]
    assert decode_trade_run(frames, feed) == (expected, None)


@pytest.mark.parametrize(
    "cut", [b'{"e":"trade","s":"BTC', b'{"e":"trade","p":"1', b'{"e":"trade",', b"", b" ", b"[]"]
)
def test_a_frame_cut_short_does_not_swallow_its_neighbour(cut: bytes) -> None:
    whole = TRADES[0]
    assert decode_trade_run([whole, cut, whole], SPOT) is None
    assert decode_trade_run([cut, whole, whole], SPOT) is None
