"""Binance: spot, USD-M and COIN-M.

Documents: https://developers.binance.com/docs
"""

from typing import Final

from schemas.exchanges.binance import decode, history, subscribe
from schemas.exchanges.binance.klines import KLINES, decode_klines
from schemas.exchanges.facts import (
    Channel,
    Exchange,
    ExchangeDecoder,
    MovedFields,
)
from schemas.histories import History

EXCHANGE: Final = Exchange(
    id=8,
    code="binance",
    name="Binance",
    decoder=ExchangeDecoder(
        decode.kind,
        decode.decode_trades,
        decode.decode_tickers,
        decode.decode_books,
        decode_klines,
        decode_trade_run=decode.decode_trade_run,
    ),
    history=History(history.pages, pause_ms=260, reach="everything", api_key_header="X-MBX-APIKEY"),
    native_symbols={
        "spot": "{base}{quote}",
        "linear": "{base}{quote}",
        "inverse": "{base}{quote}_PERP",
    },
    moved=MovedFields(
        times="E T O C time",
        trade_ids="t a f l id",
        book_ids="lastUpdateId U u pu",
    ),
    channels=(
        Channel("trade", "trade"),
        Channel("aggTrade", "trade"),
        Channel("ticker", "ticker"),
        Channel("depth5, depth10, depth20", "orderbook", depths=(5, 10, 20), sequence="growing"),
        Channel("depth (spot)", "orderbook", "changes", sequence="consecutive", snapshot="REST"),
        Channel("depth (futures)", "orderbook", "changes", sequence="linked", snapshot="REST"),
    ),
    numbering={"spot": "consecutive", "linear": "consecutive", "inverse": "consecutive"},
    subscriptions=subscribe.SUBSCRIPTIONS,
    klines=KLINES,
)
