"""Coinone: won markets.

Documents: https://docs.coinone.co.kr
"""

from typing import Final

from schemas.exchanges.coinone import decode, history, subscribe
from schemas.exchanges.coinone.klines import KLINES, decode_klines
from schemas.exchanges.facts import (
    Channel,
    Exchange,
    ExchangeDecoder,
    MovedFields,
)
from schemas.histories import History

EXCHANGE: Final = Exchange(
    id=4,
    code="coinone",
    name="Coinone",
    decoder=ExchangeDecoder(
        decode.kind, decode.decode_trades, decode.decode_tickers, decode.decode_books, decode_klines
    ),
    history=History(history.pages, pause_ms=100, reach="the last 200 trades", is_recent_only=True),
    native_symbols={"spot": "{quote}/{base}"},
    moved=MovedFields(times="timestamp t", trade_ids="id i", book_ids="id i"),
    channels=(
        Channel("TRADE", "trade"),
        Channel("TICKER", "ticker"),
        Channel("ORDERBOOK", "orderbook", depths=(16,), sequence="growing"),
    ),
    numbering={"spot": "growing"},
    subscriptions=subscribe.SUBSCRIPTIONS,
    klines=KLINES,
)
