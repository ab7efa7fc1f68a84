"""Korbit, since 2026 Digital X: version 2 of its API.

Documents: https://docs.korbit.co.kr
"""

from typing import Final

from schemas.exchanges.facts import (
    Channel,
    Exchange,
    ExchangeDecoder,
    MovedFields,
)
from schemas.exchanges.korbit import decode, history, subscribe
from schemas.exchanges.korbit.klines import KLINES, decode_klines
from schemas.histories import History

EXCHANGE: Final = Exchange(
    id=3,
    code="korbit",
    name="Korbit",
    decoder=ExchangeDecoder(
        decode.kind, decode.decode_trades, decode.decode_tickers, decode.decode_books, decode_klines
    ),
    history=History(history.pages, pause_ms=100, reach="the last 500 trades", is_recent_only=True),
    native_symbols={"spot": "{base}_{quote}"},
    is_lower_case=True,
    moved=MovedFields(times="timestamp lastTradedAt", trade_ids="tradeId"),
    channels=(
        Channel("trade", "trade"),
        Channel("ticker", "ticker"),
        Channel("orderbook", "orderbook", depths=(30,)),
    ),
    numbering={"spot": "growing"},
    subscriptions=subscribe.SUBSCRIPTIONS,
    klines=KLINES,
)
