"""How BitMEX is asked for its past trades."""

from schemas.histories import ROWS, Pager, Request, Span, iso_text


def pages(span: Span) -> Pager:
    """Ask for `/api/v1/trade` of a span by offset, because all rows of a sweep have one time.

    https://www.bitmex.com/api/explorer/#!/Trade/Trade_get
    """
    start = 0
    while True:
        page = yield Request(
            "/api/v1/trade",
            {
                "symbol": span.market.native_symbol,
                "startTime": iso_text(span.start_ns),
                "endTime": iso_text(span.end_ns),
                "count": ROWS,
                "start": start,
            },
        )
        rows = page.body.count(b'"timestamp"')  # settlements are rows, and no trades
        if rows < ROWS:
            return span.start_ns
        start += rows
