"""Bithumb: subscriptions, instruments and limits. Facts: https://apidocs.bithumb.com."""

from typing import Final

from schemas.exchanges import _upbit_subscribe as common
from schemas.histories import Request
from schemas.instruments import Listing, rows_of
from schemas.records import Product
from schemas.subscriptions import Budget, Subscriptions

# Of one request for tickers.
_MAX_MARKETS: Final = 200


def instruments(product: Product, with_turnover: bool) -> Listing:  # noqa: FBT001  # one interface
    """List the markets."""
    body = yield Request("/v1/market/all", {"isDetails": "true"}, has_trades=False)
    rows = rows_of(body)
    markets = [str(row["market"]) for row in rows]
    turnover: dict[str, object] = {}
    for at in range(0, len(markets) if with_turnover else 0, _MAX_MARKETS):
        names = ",".join(markets[at : at + _MAX_MARKETS])
        body = yield Request("/v1/ticker", {"markets": names}, has_trades=False)
        turnover |= {str(row["market"]): row.get("acc_trade_price_24h") for row in rows_of(body)}
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
    connects=Budget(10, 1),
    messages=Budget(5, 1),
    max_streams=500,
    instruments=instruments,
    rest=Budget(100, 1),
    ban_seconds={429: 600},
    remaining_header="x-ratelimit-remaining",
)
