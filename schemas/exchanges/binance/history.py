"""How Binance is asked for its past trades."""

from typing import Final

import msgspec

from schemas.histories import ROWS, Pager, Request, Span
from schemas.times import NS_PER_MS


class _Aggregated(msgspec.Struct):
    first_trade_id: int = msgspec.field(name="f")


_aggregated: Final = msgspec.json.Decoder(list[_Aggregated])


def pages(span: Span) -> Pager:
    """Spot and futures `historicalTrades`, from the first id that `aggTrades` knows in the span.

    https://developers.binance.com/docs/binance-spot-api-docs/rest-api: trades by id, no times.
    """
    root = {"spot": "/api/v3", "linear": "/fapi/v1", "inverse": "/dapi/v1"}[span.market.product]
    symbol = span.market.native_symbol
    first = yield Request(
        f"{root}/aggTrades",
        {
            "symbol": symbol,
            "startTime": span.start_ns // NS_PER_MS,
            "endTime": span.end_ns // NS_PER_MS - 1,
            "limit": 1,
        },
        has_trades=False,
    )
    found = _aggregated.decode(first.body)
    next_id = found[0].first_trade_id if found else None
    while next_id is not None:
        parameters: dict[str, str | int] = {"symbol": symbol, "fromId": next_id, "limit": ROWS}
        page = yield Request(f"{root}/historicalTrades", parameters)
        next_id = None
        if page.trades and max(t.time_ns for t in page.trades) < span.end_ns:
            next_id = 1 + max(int(trade.trade_id) for trade in page.trades)
    return span.start_ns
