"""Upbit: subscriptions, instruments and limits.

Facts: https://docs.upbit.com/kr/reference/websocket-guide and its page on rate limits.
"""

from typing import Final

from schemas.exchanges import _upbit_subscribe as common
from schemas.histories import Request
from schemas.instruments import Listing, rows_of
from schemas.records import Product
from schemas.subscriptions import Budget, Subscriptions


def instruments(product: Product, with_turnover: bool) -> Listing:  # noqa: FBT001  # one interface
    """List the markets."""
    body = yield Request("/v1/market/all", {"is_details": "true"}, has_trades=False)
    rows = rows_of(body)
    markets = [str(row["market"]) for row in rows]
    turnover: dict[str, object] = {}
    if with_turnover:
        quotes = ",".join(sorted({market.partition("-")[0] for market in markets}))
        body = yield Request("/v1/ticker/all", {"quote_currencies": quotes}, has_trades=False)
        turnover = {str(row["market"]): row.get("acc_trade_price_24h") for row in rows_of(body)}
    return common.instruments(product, rows, turnover)


SUBSCRIPTIONS: Final = Subscriptions(
    subscribe=common.subscribe,
    renew=common.renew,
    replaces=True,
    data=common.DATA,
    read=common.read,
    confirms="nothing",
    ping=b"PING",
    ping_seconds=10,
    silence_seconds=25,
    connects=Budget(5, 1),
    messages=Budget(5, 1),
    max_streams=800,
    instruments=instruments,
    rest=Budget(10, 1),
    ban_seconds={418: 60},
)
