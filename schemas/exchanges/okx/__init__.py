"""OKX v5: spot, swaps and dated futures.

Documents: https://www.okx.com/docs-v5/en
"""

from typing import Final

from schemas.exchanges.facts import (
    Channel,
    Checksum,
    Exchange,
    ExchangeDecoder,
    MovedFields,
)
from schemas.exchanges.okx import decode, history, subscribe
from schemas.exchanges.okx.checksum import combine, level_text
from schemas.exchanges.okx.klines import KLINES, decode_klines
from schemas.histories import History

EXCHANGE: Final = Exchange(
    id=5,
    code="okx",
    name="OKX",
    decoder=ExchangeDecoder(
        decode.kind,
        decode.decode_trades,
        decode.decode_tickers,
        decode.decode_books,
        decode_klines,
        decode_trade_run=decode.decode_trade_run,
    ),
    history=History(history.pages, pause_ms=110, reach="3 months"),
    native_symbols={
        "spot": "{base}-{quote}",
        "linear": "{base}-{quote}-SWAP",
        "inverse": "{base}-{quote}-SWAP",
    },
    native_currencies={"USDUM": "USD_UM"},
    moved=MovedFields(times="ts", trade_ids="tradeId"),
    channels=(
        Channel("trades", "trade"),
        Channel("trades-all", "trade"),
        Channel("tickers", "ticker"),
        Channel(
            "books",
            "orderbook",
            "changes",
            (400,),
            sequence="linked",
            snapshot="in the channel",
            has_checksum=True,
        ),
        Channel(
            "books-rpi",
            "orderbook",
            "changes",
            (400,),
            sequence="linked",
            snapshot="in the channel",
        ),
        Channel("books5", "orderbook", depths=(5,)),
        Channel("bbo-tbt", "orderbook", depths=(1,)),
    ),
    numbering={"spot": "consecutive", "linear": "consecutive", "inverse": "consecutive"},
    subscriptions=subscribe.SUBSCRIPTIONS,
    checksum=Checksum(25, level_text, combine),
    klines=KLINES,
)
