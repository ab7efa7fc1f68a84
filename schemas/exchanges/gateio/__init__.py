"""Gate v4: spot and futures.

Documents: https://www.gate.com/docs/developers
"""

from typing import Final

from schemas.exchanges.facts import (
    Channel,
    Exchange,
    ExchangeDecoder,
    MovedFields,
)
from schemas.exchanges.gateio import decode, history, subscribe
from schemas.exchanges.gateio.klines import KLINES, decode_klines
from schemas.histories import History

EXCHANGE: Final = Exchange(
    id=7,
    code="gateio",
    name="Gate",
    decoder=ExchangeDecoder(
        decode.kind,
        decode.decode_trades,
        decode.decode_tickers,
        decode.decode_books,
        decode_klines,
        decode_trade_run=decode.decode_trade_run,
    ),
    history=History(history.pages, pause_ms=60, reach="30 days"),
    native_symbols={
        "spot": "{base}_{quote}",
        "linear": "{base}_{quote}",
        "inverse": "{base}_{quote}",
    },
    moved=MovedFields(
        times="time time_ms create_time create_time_ms t E current update",
        trade_ids="id",
        book_ids="id lastUpdateId U u",
    ),
    channels=(
        Channel("spot.trades", "trade"),
        Channel("spot.trades_v2", "trade"),
        Channel("futures.trades", "trade"),
        Channel("spot.tickers", "ticker"),
        Channel("futures.tickers", "ticker"),
        Channel("spot.order_book", "orderbook", depths=(5, 10, 20, 50, 100), sequence="growing"),
        Channel(
            "spot.order_book_update",
            "orderbook",
            "changes",
            sequence="consecutive",
            snapshot="REST",
        ),
        Channel(
            "futures.order_book_update",
            "orderbook",
            "changes",
            (20, 50, 100),
            sequence="consecutive",
            snapshot="REST",
        ),
        Channel(
            "spot.obu",
            "orderbook",
            "changes",
            (50, 400),
            sequence="consecutive",
            snapshot="in the channel",
        ),
        Channel(
            "futures.obu",
            "orderbook",
            "changes",
            (50, 400),
            sequence="consecutive",
            snapshot="in the channel",
        ),
    ),
    numbering={"spot": "unique", "linear": "unique", "inverse": "unique"},
    subscriptions=subscribe.SUBSCRIPTIONS,
    klines=KLINES,
)
