"""How OKX is asked for its past trades."""

from schemas.histories import Pager, Request, Span, next_minute
from schemas.times import NS_PER_MS


def pages(span: Span) -> Pager:
    """Ask for `/api/v5/market/history-trades` backwards, from a time and then from id to id.

    https://www.okx.com/docs-v5/en/#public-data-rest-api-get-trades-history: three months. Its rows
    are single fills.
    """
    parameters: dict[str, str | int] = {"type": 2, "after": span.end_ns // NS_PER_MS}
    complete_from_ns = span.end_ns
    while True:
        page = yield Request(
            "/api/v5/market/history-trades",
            {"instId": span.market.native_symbol, "limit": 100, **parameters},
        )
        if not page.trades:
            return complete_from_ns
        oldest = min(page.trades, key=lambda trade: (trade.time_ns, int(trade.trade_id)))
        if oldest.time_ns < span.start_ns:
            return span.start_ns
        complete_from_ns = next_minute(oldest.time_ns)
        parameters = {"type": 1, "after": oldest.trade_id}
