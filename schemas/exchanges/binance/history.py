"""How Binance is asked for its past trades."""

from typing import Final

import msgspec

from schemas.histories import ROWS, Pager, Request, Span
from schemas.times import NS_PER_HOUR, NS_PER_MS


class _Aggregated(msgspec.Struct):
    """A row of `aggTrades`, with the first of the single trades in it.

    `{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true,
    "M":true}`
    """

    aggregate_id: int = msgspec.field(name="a")
    first_trade_id: int = msgspec.field(name="f")


_aggregated: Final = msgspec.json.Decoder(list[_Aggregated])
_LONGEST_NS: Final = NS_PER_HOUR - NS_PER_MS
_ROOTS: Final = {"spot": "/api/v3", "linear": "/fapi/v1", "inverse": "/dapi/v1"}


def pages(span: Span) -> Pager:
    """Ask by id for `historicalTrades`, or for `aggTrades` where those count.

    https://developers.binance.com/docs/binance-spot-api-docs/rest-api: the first id of the span is
    found by time. Of futures, `historicalTrades` wants a key, `aggTrades` does not.
    """
    root, symbol = _ROOTS[span.market.product], span.market.native_symbol
    are_aggregated = span.trade_ids == "aggTrade"
    path = f"{root}/{'aggTrades' if are_aggregated else 'historicalTrades'}"
    found: list[_Aggregated] = []
    start_ns = span.start_ns
    while not found and start_ns < span.end_ns:
        # Futures answer for less than an hour.
        end_ns = min(start_ns + _LONGEST_NS, span.end_ns)
        first = yield Request(
            f"{root}/aggTrades",
            {
                "symbol": symbol,
                "startTime": start_ns // NS_PER_MS,
                "endTime": end_ns // NS_PER_MS - 1,
                "limit": 1,
            },
            has_trades=False,
        )
        found, start_ns = _aggregated.decode(first.body), end_ns
    next_id: int | None = None
    if found:
        next_id = found[0].aggregate_id if are_aggregated else found[0].first_trade_id
    while next_id is not None:
        parameters: dict[str, str | int] = {"symbol": symbol, "fromId": next_id, "limit": ROWS}
        page = yield Request(path, parameters)
        next_id = None
        if page.trades and max(t.time_ns for t in page.trades) < span.end_ns:
            next_id = 1 + max(int(trade.trade_id) for trade in page.trades)
    return span.start_ns
