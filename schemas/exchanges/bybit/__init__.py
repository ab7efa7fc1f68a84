"""Bybit: v5, and recordings of v2.

Documents: https://bybit-exchange.github.io/docs/v5/intro
"""

from typing import Final

from schemas.exchanges.bybit import decode, history, subscribe
from schemas.exchanges.bybit.klines import KLINES, decode_klines
from schemas.exchanges.facts import (
    Channel,
    Exchange,
    ExchangeDecoder,
    MovedFields,
)
from schemas.histories import History

EXCHANGE: Final = Exchange(
    id=6,
    code="bybit",
    name="Bybit",
    decoder=ExchangeDecoder(
        decode.kind,
        decode.decode_trades,
        decode.decode_tickers,
        decode.decode_books,
        decode_klines,
        decode_trade_run=decode.decode_trade_run,
    ),
    history=History(
        history.pages,
        pause_ms=100,
        reach="the last 60 trades, of derivatives 1,000",
        is_recent_only=True,
    ),
    native_symbols={
        "spot": "{base}{quote}",
        "linear": "{base}{quote}",
        "inverse": "{base}{quote}",
    },
    moved=MovedFields(
        times="ts cts T time trade_time_ms timestamp timestamp_e6 transactTimeE6 time_now",
        trade_ids="i trade_id execId id",
    ),
    channels=(
        Channel("publicTrade", "trade"),
        Channel("tickers", "ticker", "changes", snapshot="in the channel"),
        Channel(
            "orderbook",
            "orderbook",
            "changes",
            (1, 50, 200, 1000),
            sequence="plus_one",
            snapshot="in the channel",
        ),
    ),
    numbering={"spot": "consecutive", "linear": "unique", "inverse": "unique"},
    subscriptions=subscribe.SUBSCRIPTIONS,
    klines=KLINES,
)
