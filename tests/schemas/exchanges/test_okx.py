from __future__ import annotations

from decimal import Decimal
from itertools import zip_longest
from typing import TYPE_CHECKING
from zlib import crc32

import pytest
from hypothesis import given, settings

from schemas.errors import DecodeError
from schemas.exchanges import decoder_of
from schemas.feeds import Feed
from schemas.records import Salvaged, TickerUpdate, Trade
from tests.schemas.exchanges.frames import (
    NOISE,
    STUBS,
    broken,
    case_frames,
    count_records,
    decode_all,
    lines,
    recording,
    refusal,
)

if TYPE_CHECKING:
    from schemas.records import BookUpdate

okx = decoder_of("okx")

FEED = Feed(
    "okx",
    contract_sizes={
        "BTC-USD": Decimal(100),
        "BTC-USDT": Decimal("0.01"),
        "UNI-USD": Decimal(10),
    },
)
TRADES = lines("okx-trade.jsonl")
TICKERS = lines("okx-ticker.jsonl")
BOOKS = lines("okx-orderbook.jsonl", "okx-orderbook-swap.jsonl")
DOC_BOOKS = lines("okx-orderbook-docs.jsonl")
MARGINED = case_frames("okx-usd-margined-instruments")
REST = lines("rest/okx-trades.json", "rest/okx-trades-2025.json")
REST_ERROR = b'{"code":"51001","msg":"Instrument ID does not exist","data":[]}'
CONTROL = [*lines("okx-control.jsonl"), *STUBS, b"pong", REST_ERROR]

SPOT_TRADE = TRADES[0]


def only_book(frame: bytes) -> BookUpdate:
    (update,) = okx.decode_books(frame, FEED)
    return update


class TestTrades:
    def test_spot_size_is_base_units(self) -> None:
        assert okx.decode_trades(SPOT_TRADE, FEED) == [
            Trade(
                symbol="BTC-USDT",
                trade_id=338476307,
                time_ns=1652459224818_000_000,
                taker_buys=True,
                price=Decimal(30236),
                size=Decimal("0.0002"),
                notional=Decimal("6.0472"),
            )
        ]

    def test_side_is_the_takers(self) -> None:
        (trade,) = okx.decode_trades(TRADES[9], FEED)
        assert trade.taker_buys is False

    def test_dated_inverse_contract_is_a_hundred_dollars(self) -> None:
        (trade,) = okx.decode_trades(TRADES[13], FEED)  # 30 contracts at 30229.6
        assert trade == Trade(
            symbol="BTC-USD-220527",
            trade_id=7852,
            time_ns=1652459234354_000_000,
            taker_buys=True,
            price=Decimal("30229.6"),
            size=Decimal("0.099240479530"),
            notional=Decimal(3000),
        )

    def test_inverse_swap_takes_its_contract_size_by_prefix(self) -> None:
        (trade,) = okx.decode_trades(TRADES[14], FEED)  # 100 contracts at 5.123
        assert trade.symbol == "UNI-USD-PERP"
        assert trade.size == Decimal("195.198126097989")
        assert trade.notional == Decimal(1000)

    def test_linear_swap_is_contracts_times_base_units(self) -> None:
        frame = SPOT_TRADE.replace(b"BTC-USDT", b"BTC-USDT-SWAP").replace(b"0.0002", b"3")
        (trade,) = okx.decode_trades(frame, FEED)
        assert trade.symbol == "BTC-USDT-PERP"
        assert trade.size == Decimal("0.03")
        assert trade.notional == Decimal("907.08")

    @pytest.mark.parametrize(
        ("at", "symbol"), [(0, "BTC-USDUM-PERP"), (1, "BTC-USDUM-250808"), (2, "TRX-USDUMX-310523")]
    )
    def test_contract_margined_in_stablecoins_is_linear(self, at: int, symbol: str) -> None:
        sizes = {
            "BTC-USD": Decimal(100),
            "BTC-USD_UM": Decimal("0.01"),
            "TRX-USD_UM_XPERP": Decimal(1),
        }
        (trade,) = okx.decode_trades(MARGINED[at], Feed("okx", contract_sizes=sizes))
        assert trade.symbol == symbol
        assert trade.size == sizes["BTC-USD_UM" if at < 2 else "TRX-USD_UM_XPERP"]
        assert trade.notional == 100 * trade.size

    def test_contract_margined_in_stablecoins_has_its_own_book(self) -> None:
        assert only_book(MARGINED[3]).symbol == "BTC-USDUM-PERP"

    def test_exact_symbol_wins_over_a_prefix(self) -> None:
        frame = SPOT_TRADE.replace(b"BTC-USDT", b"BTC-USDT-SWAP")
        sizes = {"BTC-USDT": Decimal("0.01"), "BTC-USDT-SWAP": Decimal(1)}
        (trade,) = okx.decode_trades(frame, Feed("okx", contract_sizes=sizes))
        assert trade.size == Decimal("0.0002")

    def test_unknown_contract_size_names_the_key_of_the_settings(self) -> None:
        with pytest.raises(
            DecodeError, match=r"pipeline\.yaml: exchanges\.okx\.contract_sizes\.UNI-USD-SWAP"
        ):
            okx.decode_trades(TRADES[14], Feed("okx"))

    def test_channel_of_all_trades(self) -> None:
        (trade,) = okx.decode_trades(TRADES[18], FEED)
        assert (trade.symbol, trade.trade_id, trade.notional) == (
            "BSV-USDT",
            84834539,
            Decimal("159.45"),
        )

    def test_rest_body_keeps_its_order(self) -> None:
        assert okx.decode_trades(REST[0], FEED) == [
            Trade(
                symbol="BTC-USDT",
                trade_id=242720720,
                time_ns=1654161646974_000_000,
                taker_buys=False,
                price=Decimal("29963.2"),
                size=Decimal("0.00001"),
                notional=Decimal("0.299632"),
                first_id=242720720,
            ),
            Trade(
                symbol="BTC-USDT",
                trade_id=242720719,
                time_ns=1654161641568_000_000,
                taker_buys=False,
                price=Decimal("29964.1"),
                size=Decimal("0.00001"),
                notional=Decimal("0.299641"),
                first_id=242720719,
            ),
        ]
        assert [t.taker_buys for t in okx.decode_trades(REST[1], FEED)] == [False, True]

    def test_an_empty_row_is_skipped(self) -> None:
        frame = case_frames("one-empty-row-refuses-its-frame")[3]
        trades = okx.decode_trades(frame, FEED)
        assert [(trade.trade_id, trade.size) for trade in trades] == [(2, Decimal(1))]
        assert isinstance(trades, Salvaged)
        assert (trades.problems, trades.skipped) == ([], 1)

    def test_a_bad_row_leaves_its_neighbours(self) -> None:
        rows = [SPOT_TRADE[SPOT_TRADE.index(b"[") + 1 : -2].replace(b"338476307", b"%d" % at)
                for at in (1, 2, 3)]  # fmt: skip
        rows[1] = rows[1].replace(b'"buy"', b'"hold"')
        trades = okx.decode_trades(
            b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[' + b",".join(rows) + b"]}",
            FEED,
        )
        assert [trade.trade_id for trade in trades] == [1, 3]
        assert isinstance(trades, Salvaged)
        (problem,) = trades.problems
        assert problem == "Invalid enum value 'hold' - at `$.data[1].side`"

    def test_an_aggregate_covers_the_ids_of_its_fills(self) -> None:
        (aggregate,) = okx.decode_trades(TRADES[17], FEED)  # count 3
        (fill,) = okx.decode_trades(TRADES[18], FEED)  # of trades-all
        (alone,) = okx.decode_trades(TRADES[16], FEED)  # count 1
        assert (aggregate.first_id, aggregate.trade_id) == (130639472, 130639474)
        assert fill.first_id == fill.trade_id
        assert alone.first_id is None

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (b'"px":"30236"', b'"px":null', r"data\[0\].*\.px"),
            (b'"px":"30236"', b'"px":"NaN"', "price NaN"),
            (b'"sz":"0.0002"', b'"sz":"-1"', "size -1"),
            (b'"side":"buy"', b'"side":"bought"', r"bought.*data\[0\].*\.side"),
            (b'"ts":"1652459224818"', b'"ts":"1652459224"', "milliseconds"),
            (b'"tradeId":"338476307"', b'"tradeId":""', r"data\[0\].*\.tradeId"),
            (b'"tradeId":"338476307",', b"", "missing required field `tradeId`"),
            (b'"instId":"BTC-USDT","t', b'"instId":"BTCUSDT","t', "instId 'BTCUSDT'"),
            (b'"instId":"BTC-USDT","t', b'"instId":"BTC-USD-220232","t', "220232"),
            (b'"instId":"BTC-USDT","t', b'"instId":"BTC-USD-220527-30000-C","t', "expected BASE"),
            (b'"instId":"BTC-USDT","t', b'"instId":"BTC-USD_XM-SWAP","t', "expected a quote"),
        ],
    )
    def test_broken_field_is_named(self, old: bytes, new: bytes, message: str) -> None:
        assert old in SPOT_TRADE
        with pytest.raises(DecodeError, match=rf"^okx: .*{message}"):
            okx.decode_trades(SPOT_TRADE.replace(old, new), FEED)


class TestTickers:
    def test_spot_volume_is_base_units(self) -> None:
        assert okx.decode_tickers(TICKERS[0], FEED) == [
            TickerUpdate(
                symbol="BTC-USDT",
                time_ns=1652459224956_000_000,
                is_delta=False,
                opening_price=Decimal("29700.4"),
                trade_price=Decimal(30236),
                max_price=Decimal(31073),
                min_price=Decimal("28020.3"),
                prev_closing_price=Decimal("29700.4"),
                acc_trade_volume_24h=Decimal("17602.13085371"),
            )
        ]

    @pytest.mark.parametrize(
        ("line", "symbol", "volume"),
        [
            (6, "BTC-USD-220527", "2620.289"),
            (8, "UNI-USD-PERP", "577730.7823"),
            (11, "BTC-USDT-PERP", "108540.53"),
        ],
    )
    def test_contract_volume_is_the_one_in_base_units(
        self, line: int, symbol: str, volume: str
    ) -> None:
        (ticker,) = okx.decode_tickers(TICKERS[line], FEED)
        assert (ticker.symbol, ticker.acc_trade_volume_24h) == (symbol, Decimal(volume))

    def test_flattened_ticker_takes_its_symbol_from_the_envelope(self) -> None:
        frame = (
            b'{"ts": "1729678813578", "open24h": "67006.4", "last": "66199.8",'
            b' "high24h": "67838.0", "low24h": "66568.8", "vol24h": "7828.8"}'
        )
        assert okx.kind(frame) == "ticker"
        assert okx.decode_tickers(frame, Feed("okx", coin="BTC")) == [
            TickerUpdate(
                symbol="BTC-USDT",
                time_ns=1729678813578_000_000,
                is_delta=False,
                opening_price=Decimal("67006.4"),
                trade_price=Decimal("66199.8"),
                max_price=Decimal("67838.0"),
                min_price=Decimal("66568.8"),
                prev_closing_price=Decimal("67006.4"),
                acc_trade_volume_24h=Decimal("7828.8"),
            )
        ]
        with pytest.raises(DecodeError, match="expected a symbol in the message, or a coin"):
            okx.decode_tickers(frame, FEED)

    @pytest.mark.parametrize("nothing", [b'""', b"null"])
    def test_empty_text_and_null_are_nothing(self, nothing: bytes) -> None:
        frame = TICKERS[0].replace(b'"29700.4"', nothing).replace(b'"1652459224956"', nothing)
        (ticker,) = okx.decode_tickers(frame, FEED)
        assert (ticker.opening_price, ticker.prev_closing_price, ticker.time_ns) == (None,) * 3
        assert ticker.trade_price == Decimal(30236)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (b'"30236"', b'"x"', "last"),
            (b'"30236"', b'"Infinity"', "last"),
            (b'"instId":"BTC-USDT","l', b'"instId":7,"l', r"data\[0\].*\.instId"),
        ],
    )
    def test_broken_field_is_named(self, old: bytes, new: bytes, message: str) -> None:
        assert old in TICKERS[0]
        with pytest.raises(DecodeError, match=rf"^okx: .*{message}"):
            okx.decode_tickers(TICKERS[0].replace(old, new), FEED)


class TestBooks:
    def test_recorded_snapshot_has_a_checksum_and_no_sequence(self) -> None:
        book = only_book(BOOKS[0])
        assert (book.symbol, book.is_snapshot, book.depth) == ("BTC-USDT", True, 400)
        assert (len(book.bids), len(book.asks)) == (400, 400)
        assert book.asks[0] == (Decimal("30243.5"), Decimal("1.44679"))
        assert (book.sequence_rule, book.last_id, book.prev_id) == ("none", None, None)
        assert book.checksum == 47640993

    def test_update_keeps_the_deleted_levels(self) -> None:
        book = only_book(lines("okx-orderbook-swap.jsonl")[1])
        assert (book.symbol, book.is_snapshot) == ("UNI-USD-PERP", False)
        assert book.time_ns == 1652459225464_000_000
        assert book.asks == [
            (Decimal("5.158"), Decimal(129)),
            (Decimal("5.233"), Decimal(240)),
        ]
        assert book.bids[-1] == (Decimal("5.117"), Decimal(0))
        assert book.checksum == 1361161687

    def test_sequence_is_linked_and_a_zero_checksum_is_none(self) -> None:
        snapshot, update = only_book(DOC_BOOKS[0]), only_book(DOC_BOOKS[1])
        assert (snapshot.sequence_rule, snapshot.last_id, snapshot.prev_id) == (
            "linked",
            123456,
            None,
        )
        assert (update.sequence_rule, update.last_id, update.prev_id) == ("linked", 123457, 123456)
        assert snapshot.checksum is None

    @pytest.mark.parametrize(
        ("line", "symbol", "depth", "last_id"),
        [
            (2, "BCH-USDT-PERP", 1, 363996337),
            (3, "BCH-USDT-PERP", 5, 363996337),
            (4, "BTC-USDT-PERP", 1, None),
        ],
    )
    def test_limited_channels_are_whole_books(
        self, line: int, symbol: str, depth: int, last_id: int | None
    ) -> None:
        book = only_book(DOC_BOOKS[line])
        assert (book.symbol, book.is_snapshot, book.depth) == (symbol, True, depth)
        assert (book.last_id, book.sequence_rule) == (last_id, "none")
        assert len(book.bids) == len(book.asks) == depth

    def test_digits_are_kept_for_the_checksum(self) -> None:
        frame = DOC_BOOKS[2].replace(b'"111.06"', b'"111.060"')
        assert str(only_book(frame).asks[0][0]) == "111.060"

    def test_padding_of_a_whole_book_is_dropped(self) -> None:
        frame = DOC_BOOKS[2].replace(b'"111.06","55154"', b'"0","0"')
        assert only_book(frame).asks == []

    @pytest.mark.parametrize("name", ["okx-orderbook.jsonl", "okx-orderbook-swap.jsonl"])
    def test_recorded_checksums_hold_at_the_stated_depth(self, name: str) -> None:
        sides: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = ({}, {})
        for frame in lines(name):
            book = only_book(frame)
            for side, levels in zip(sides, (book.bids, book.asks), strict=True):
                if book.is_snapshot:
                    side.clear()
                side.update(levels)
                for price in [price for price, size in side.items() if not size]:
                    del side[price]
            bids = sorted(sides[0].items(), reverse=True)[: book.depth]
            asks = sorted(sides[1].items())[: book.depth]
            ranks = zip_longest(bids[:25], asks[:25], fillvalue=())
            numbers = [str(number) for bid, ask in ranks for number in (*bid, *ask)]
            assert crc32(":".join(numbers).encode()) == (book.checksum or 0) % 2**32

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (b'"111.06","55154"', b'"111.06","-1"', "asks: price 111.06 and size -1"),
            (b'"111.05","57745"', b'"NaN","57745"', "bids: price NaN"),
            (b'"111.06","55154"', b'"1e-30","1"', "asks: "),
            (b'"asks":[["111.06"', b'"asks":[[null', r"data\[0\].*\.asks\[0\]\[0\]"),
            (b'"ts":"1670324386802"', b'"ts":"x"', r"data\[0\].*\.ts"),
            (b'"bbo-tbt"', b'"books"', "action"),
            (b',"instId":"BCH-USDT-SWAP"', b"", r"instId.*arg"),
        ],
    )
    def test_broken_field_is_named(self, old: bytes, new: bytes, message: str) -> None:
        assert old in DOC_BOOKS[2]
        with pytest.raises(DecodeError, match=rf"^okx: .*{message}"):
            okx.decode_books(DOC_BOOKS[2].replace(old, new), FEED)


class TestKinds:
    def test_every_sample_decodes_as_its_kind(self) -> None:
        assert count_records(okx, [*TRADES, *REST], FEED) == {"trade": 21}
        assert count_records(okx, TICKERS, FEED) == {"ticker": 12}
        assert count_records(okx, [*BOOKS, *DOC_BOOKS], FEED) == {"orderbook": 43}

    def test_the_recording_decodes(self) -> None:
        assert count_records(okx, recording("okx"), FEED) == {
            "trade": 74,
            "ticker": 28,
            "orderbook": 290,
            "control": 18,
        }

    def test_control_frames_carry_nothing(self) -> None:
        assert count_records(okx, CONTROL, FEED) == {"control": len(CONTROL)}

    def test_other_channels_are_ignored(self) -> None:
        frame = SPOT_TRADE.replace(b'"trades"', b'"mark-price"')
        assert count_records(okx, [frame], FEED) == {"other": 1}

    @pytest.mark.parametrize("frame", NOISE)
    def test_noise_is_refused(self, frame: bytes) -> None:
        assert refusal(okx, frame, FEED).startswith("okx: ")


@settings(max_examples=400)
@given(broken([*TRADES, *TICKERS, *REST, *DOC_BOOKS, *BOOKS[-6:]]))
def test_a_broken_frame_raises_nothing_but_decode_errors(frame: bytes) -> None:
    decode_all(okx, frame, FEED)
