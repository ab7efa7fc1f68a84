from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from schemas.errors import DecodeError
from schemas.exchanges import decoder_of
from schemas.feeds import Feed
from schemas.records import Trade
from tests.schemas.exchanges.frames import broken, decode_all, lines, recording

bitmex = decoder_of("bitmex")

FEED = Feed("bitmex", "inverse")

TRADES = lines("bitmex-trade.jsonl")
BOOKS = lines("bitmex-orderbook.jsonl")
CONTROL = [
    *lines("bitmex-control.jsonl"),
    b"pong",
    b'{"error":{"message":"Not Found","name":"HTTPError"}}',
]
(REST,) = lines("rest/bitmex-trades-ws-rows.json")
(REST_2018,) = lines("rest/bitmex-trades.json")
(REST_2024,) = lines("rest/bitmex-trades-nautilus-fixture.json")

LINEAR, INVERSE, QUANTO, DATED = TRADES[5], TRADES[11], TRADES[12], TRADES[13]
SETTLEMENT, INDEX = TRADES[14], TRADES[18]


def with_row(frame: bytes, **fields: Any) -> bytes:
    """The frame with fields of its first row replaced, or left out where they are `...`."""
    message = json.loads(frame)
    row = message["data"][0]
    row.update(fields)
    for name, value in fields.items():
        if value is ...:
            del row[name]
    return json.dumps(message).encode()


def only_trade(frame: bytes) -> Trade:
    (trade,) = bitmex.decode_trades(frame, FEED)
    return trade


class TestTrades:
    def test_inverse_contract_is_worth_its_home_notional_in_base(self) -> None:
        assert only_trade(INVERSE) == Trade(
            symbol="BTC-USD-PERP",
            trade_id="d1b82d61-d902-349c-936c-2588b8204aff",
            time_ns=1615514404608_000_000,
            taker_buys=False,
            price=Decimal(56927),
            size=Decimal("0.015813"),
            notional=Decimal(900),
        )

    def test_linear_contract_is_not_a_unit_of_base(self) -> None:
        assert only_trade(LINEAR) == Trade(
            symbol="UNI-USDT-PERP",
            trade_id="39744121-c20e-44ba-8cc8-a6b8cdf72885",
            time_ns=1626993370014_000_000,
            taker_buys=True,
            price=Decimal("17.297"),
            size=Decimal("16.73101673101673"),
            notional=Decimal("289.39639639639637"),
        )

    def test_quanto_contract_has_its_notionals_in_the_row(self) -> None:
        trade = only_trade(QUANTO)
        assert trade.symbol == "ETH-USD-PERP"
        assert trade.size == Decimal("0.058513750731421885")
        assert trade.notional == Decimal("106.00351082504389")

    @pytest.mark.parametrize(
        ("native", "symbol"),
        [
            ("XBTUSD", "BTC-USD-PERP"),
            ("XBTUSDT", "BTC-USDT-PERP"),
            ("XBTEUR", "BTC-EUR-PERP"),
            ("ADAUSDT", "ADA-USDT-PERP"),
            ("XBTM21", "BTC-USD-210625"),
            ("XBTU21", "BTC-USD-210924"),
            ("XBTF23", "BTC-USD-230127"),
            ("XBTZ27", "BTC-USD-271231"),
            ("XRPU21", "XRP-BTC-210924"),
            ("TRXU21", "TRX-BTC-210924"),
            ("ETHH21", "ETH-BTC-210326"),
            ("ETHUSDH21", "ETH-USD-210326"),
            ("XBTUSDTZ24", "BTC-USDT-241227"),
            ("XBT_USDT", "BTC-USDT"),
            ("ETHUSD_ETH", "ETH-USDETH-PERP"),
            ("ETHUSDH27_ETH", "ETH-USDETH-270326"),
        ],
    )
    def test_symbols_become_canonical(self, native: str, symbol: str) -> None:
        assert only_trade(with_row(INVERSE, symbol=native)).symbol == symbol

    @pytest.mark.parametrize(
        "native", ["", "USD", "NONSENSE", "ETHUSD_E-H", "XBT_", "_USDT", "XBTU2", "XBT7D_U105"]
    )
    def test_symbol_that_names_no_market_is_refused(self, native: str) -> None:
        with pytest.raises(DecodeError, match="expected"):
            bitmex.decode_trades(with_row(INVERSE, symbol=native), FEED)

    def test_settlement_is_no_trade(self) -> None:
        assert bitmex.decode_trades(SETTLEMENT, FEED) == []
        assert bitmex.decode_trades(with_row(SETTLEMENT, side="Buy"), FEED) == []

    def test_settlement_before_types_were_sent_is_told_by_its_lack_of_a_side(self) -> None:
        assert bitmex.decode_trades(with_row(SETTLEMENT, trdType=...), FEED) == []

    def test_price_of_an_index_is_no_trade(self) -> None:
        assert bitmex.decode_trades(INDEX, FEED) == []
        assert bitmex.decode_trades(with_row(INDEX, trdType=...), FEED) == []

    def test_trades_beside_a_settlement_count(self) -> None:
        rows = json.loads(SETTLEMENT)["data"] + json.loads(INVERSE)["data"]
        frame = json.dumps({"table": "trade", "action": "insert", "data": rows}).encode()
        assert bitmex.decode_trades(frame, FEED) == [only_trade(INVERSE)]

    def test_insert_holds_all_fills_of_a_taker(self) -> None:
        trades = [bitmex.decode_trades(frame, FEED) for frame in TRADES]
        assert max(map(len, trades)) > 1
        assert sum(map(len, trades)) == 27

    def test_rest_rows_are_the_rows_of_the_socket(self) -> None:
        trades = bitmex.decode_trades(REST, FEED)
        assert len(trades) == 16
        assert trades[0] == Trade(
            symbol="BTC-USD-PERP",
            trade_id="a36d1fb8-ff0c-d428-cde7-d166a181c1d2",
            time_ns=1626993359790_000_000,
            taker_buys=True,
            price=Decimal(32175),
            size=Decimal("0.03108"),
            notional=Decimal(1000),
        )
        assert len(bitmex.decode_trades(REST_2018, FEED)) == 1
        assert len(bitmex.decode_trades(REST_2024, FEED)) == 3

    def test_empty_body_has_no_trades(self) -> None:
        assert bitmex.decode_trades(b"[]", FEED) == []
        assert bitmex.kind(b"[]") == "other"

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"timestamp": "today"}, "RFC 3339"),
            ({"timestamp": ...}, "`timestamp`"),
            ({"symbol": None}, r"\$\.data\[0\]\.symbol"),
            ({"side": "buy"}, r"\$\.data\[0\]\.side"),
            ({"side": None}, r"\$\.data\[0\]\.side"),
            ({"side": ..., "trdType": "Regular"}, "`side`"),
            ({"price": -1}, "price"),
            ({"price": None}, r"\$\.data\[0\]\.price"),
            ({"homeNotional": 0}, "size 0"),
            ({"homeNotional": ...}, "`homeNotional`"),
            ({"foreignNotional": "NaN"}, "foreignNotional as the price NaN"),
            ({"foreignNotional": None}, r"\$\.data\[0\]\.foreignNotional"),
            ({"trdMatchID": ""}, "trade id ''"),
            ({"trdMatchID": 5}, r"\$\.data\[0\]\.trdMatchID"),
            ({"trdType": 5}, r"\$\.data\[0\]\.trdType"),
        ],
    )
    def test_broken_field_is_refused_and_named(self, fields: dict[str, Any], named: str) -> None:
        with pytest.raises(DecodeError, match=named) as raised:
            bitmex.decode_trades(with_row(INVERSE, **fields), FEED)
        assert str(raised.value).startswith("bitmex: ")
        assert "`$.data[0]" in str(raised.value)
        assert len(str(raised.value)) <= 300

    def test_unknown_action_is_refused(self) -> None:
        with pytest.raises(DecodeError, match=r"\$\.action"):
            bitmex.decode_trades(INVERSE.replace(b'"insert"', b'"delete"'), FEED)


class TestFrames:
    def test_trade_tables_are_trades_and_nothing_else(self) -> None:
        for frame in [*TRADES, REST, REST_2018, REST_2024]:
            assert bitmex.kind(frame) == "trade"
            assert bitmex.decode_tickers(frame, FEED) == []
            assert bitmex.decode_books(frame, FEED) == []

    def test_books_are_not_taken(self) -> None:
        for frame in BOOKS:
            assert bitmex.kind(frame) == "other"
            assert bitmex.decode_books(frame, FEED) == []
            assert bitmex.decode_trades(frame, FEED) == []

    def test_recording_decodes_to_the_last_frame(self) -> None:
        frames = recording("bitmex")
        kinds = [bitmex.kind(frame) for frame in frames]
        assert (kinds.count("trade"), kinds.count("control"), kinds.count("other")) == (
            14,
            31,
            1227,
        )
        assert sum(len(bitmex.decode_trades(frame, FEED)) for frame in frames) == 17

    @pytest.mark.parametrize("frame", CONTROL)
    def test_control_frames_are_no_data(self, frame: bytes) -> None:
        assert bitmex.kind(frame) == "control"
        assert bitmex.decode_trades(frame, FEED) == []
        assert bitmex.decode_tickers(frame, FEED) == []
        assert bitmex.decode_books(frame, FEED) == []

    @pytest.mark.parametrize(
        "frame", [b"", b"{", b"[", b"null", b"5", b"[5]", b"{}", b"\xff", b"ping", b"[" * 9999]
    )
    def test_what_is_no_message_is_refused(self, frame: bytes) -> None:
        with pytest.raises(DecodeError, match="bitmex: "):
            bitmex.decode_trades(frame, FEED)


@given(broken([*TRADES, *BOOKS[1:9], *CONTROL[:3], REST, REST_2024]))
@settings(max_examples=400)
def test_broken_frames_raise_nothing_but_decode_errors(frame: bytes) -> None:
    decode_all(bitmex, frame, FEED)
    with suppress(DecodeError):
        bitmex.kind(frame)
