"""Kraken spot: WebSocket v2 and v1, and REST.

Documents: https://docs.kraken.com/api
"""

from typing import Final

from schemas.exchanges.facts import (
    Channel,
    Checksum,
    Exchange,
    ExchangeDecoder,
    MovedFields,
)
from schemas.exchanges.kraken import decode, history, subscribe
from schemas.exchanges.kraken.checksum import combine, level_text
from schemas.exchanges.kraken.klines import KLINES, decode_klines
from schemas.histories import History

EXCHANGE: Final = Exchange(
    id=9,
    code="kraken",
    name="Kraken",
    decoder=ExchangeDecoder(
        decode.kind, decode.decode_trades, decode.decode_tickers, decode.decode_books, decode_klines
    ),
    history=History(history.pages, pause_ms=1_000, reach="everything"),
    native_symbols={"spot": "{base}/{quote}"},
    native_currencies={common: own for own, common in decode.COMMON_NAMES.items()},
    moved=MovedFields(
        times="timestamp",
        trade_ids="trade_id",
        # [price, volume, time, …], in trades and in the levels of a book alike.
        row_time=r'\["[0-9.]+","[0-9.]+","?',
        # […, side, order type, "", id], by REST.
        row_id='"[lm]","",',
    ),
    channels=(
        Channel("trade", "trade"),
        Channel("ticker", "ticker"),
        Channel(
            "book",
            "orderbook",
            "changes",
            decode.DEPTHS,
            snapshot="in the channel",
            has_checksum=True,
        ),
    ),
    numbering={"spot": "consecutive"},
    subscriptions=subscribe.SUBSCRIPTIONS,
    checksum=Checksum(10, level_text, combine),
    klines=KLINES,
)
