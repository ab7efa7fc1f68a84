"""BitMEX: trades of perpetual, dated and spot markets.

Documents: https://www.bitmex.com/app/wsAPI
"""

from typing import Final

from schemas.exchanges.bitmex import decode, history, subscribe
from schemas.exchanges.bitmex.klines import KLINES, decode_klines
from schemas.exchanges.facts import (
    Channel,
    Exchange,
    ExchangeDecoder,
    MovedFields,
    nothing,
)
from schemas.histories import History

EXCHANGE: Final = Exchange(
    id=10,
    code="bitmex",
    name="BitMEX",
    decoder=ExchangeDecoder(decode.kind, decode.decode_trades, nothing, nothing, decode_klines),
    history=History(history.pages, pause_ms=2_100, reach="everything"),
    native_symbols={"linear": "{base}{quote}", "inverse": "{base}{quote}"},
    native_currencies={common: own for own, common in decode.COMMON_NAMES.items()},
    default_product="inverse",
    moved=MovedFields(times="timestamp", trade_ids="trdMatchID"),
    channels=(Channel("trade", "trade"),),
    numbering={"spot": "unique", "linear": "unique", "inverse": "unique"},
    subscriptions=subscribe.SUBSCRIPTIONS,
    klines=KLINES,
)
