"""Upbit: won, Bitcoin and Tether markets.

Documents: https://docs.upbit.com/kr/reference
"""

from typing import Final

from schemas.exchanges import _upbit_format, _upbit_history, _upbit_klines
from schemas.exchanges.facts import (
    Channel,
    Exchange,
    ExchangeDecoder,
    MovedFields,
)
from schemas.exchanges.upbit import decode, subscribe
from schemas.histories import History

EXCHANGE: Final = Exchange(
    id=1,
    code="upbit",
    name="Upbit",
    decoder=ExchangeDecoder(
        decode.kind,
        decode.decode_trades,
        decode.decode_tickers,
        decode.decode_books,
        _upbit_klines.decode("upbit"),
        decode_book_columns=decode.decode_book_columns,
    ),
    history=History(_upbit_history.pages, pause_ms=120, reach="7 days"),
    native_symbols={"spot": "{quote}-{base}"},
    moved=MovedFields(
        times="timestamp trade_timestamp tms ttms",
        days_and_times=_upbit_format.DAYS_AND_TIMES,
        trade_ids="sequential_id sid",
    ),
    channels=(
        Channel("trade", "trade"),
        Channel("ticker", "ticker"),
        Channel("orderbook", "orderbook", depths=(1, 5, 15, 30)),
    ),
    numbering={"spot": "unique"},
    subscriptions=subscribe.SUBSCRIPTIONS,
    klines=_upbit_klines.KLINES,
)
