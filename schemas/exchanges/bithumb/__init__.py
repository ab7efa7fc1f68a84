"""Bithumb: the current API in Upbit's format, and the legacy one.

Documents: https://apidocs.bithumb.com
"""

from typing import Final

from schemas.exchanges import _upbit_format, _upbit_history, _upbit_klines
from schemas.exchanges.bithumb import decode, subscribe
from schemas.exchanges.facts import (
    Channel,
    Exchange,
    ExchangeDecoder,
    MovedFields,
)
from schemas.histories import History

EXCHANGE: Final = Exchange(
    id=2,
    code="bithumb",
    name="Bithumb",
    decoder=ExchangeDecoder(
        decode.kind,
        decode.decode_trades,
        decode.decode_tickers,
        decode.decode_books,
        _upbit_klines.decode("bithumb"),
        decode_book_columns=decode.decode_book_columns,
    ),
    history=History(_upbit_history.pages, pause_ms=120, reach="7 days"),
    native_symbols={"spot": "{quote}-{base}"},
    moved=MovedFields(
        times="timestamp trade_timestamp tms ttms contDtm datetime",
        days_and_times=(*_upbit_format.DAYS_AND_TIMES, ("date", "time")),
        trade_ids="sequential_id sid",
    ),
    channels=(
        Channel("trade", "trade"),
        Channel("ticker", "ticker"),
        Channel("orderbook", "orderbook", depths=(15,)),
        Channel("transaction", "trade"),
        Channel("orderbooksnapshot", "orderbook"),
        Channel("orderbookdepth", "orderbook", "changes", snapshot="other channel"),
    ),
    numbering={"spot": "unique"},
    subscriptions=subscribe.SUBSCRIPTIONS,
    klines=_upbit_klines.KLINES,
)
