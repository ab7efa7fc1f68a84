"""How Gate is asked for its past trades."""

from schemas.histories import ROWS, Pager, Request, Span
from schemas.times import NS_PER_SECOND


def pages(span: Span) -> Pager:
    """`/api/v4/spot/trades` of a span, page by page.

    https://www.gate.com/docs/developers/apiv4/#query-market-transaction-records: 100 pages.
    """
    page_number = 1
    while True:
        page = yield Request(
            "/api/v4/spot/trades",
            {
                "currency_pair": span.market.native_symbol,
                "from": span.start_ns // NS_PER_SECOND,
                "to": span.end_ns // NS_PER_SECOND,
                "limit": ROWS,
                "page": page_number,
            },
        )
        if len(page.trades) < ROWS:
            return span.start_ns
        page_number += 1
