"""How Kraken is asked for its past trades."""

from schemas.errors import DecodeError
from schemas.histories import ROWS, Pager, Request, Span


def pages(span: Span) -> Pager:
    """Ask for `/0/public/Trades` from a time on, oldest first.

    https://docs.kraken.com/api/docs/rest-api/get-recent-trades
    """
    pair = span.market.native_symbol.replace("/", "")
    since_ns = span.start_ns - 1
    while True:
        page = yield Request("/0/public/Trades", {"pair": pair, "since": since_ns, "count": ROWS})
        newest_ns = max((trade.time_ns for trade in page.trades), default=since_ns)
        if newest_ns >= span.end_ns or page.rows < ROWS:
            return span.start_ns
        if newest_ns - 1 <= since_ns:
            raise DecodeError("kraken: 1,000 trades of one time, expected the next page to go on")
        since_ns = newest_ns - 1  # a trade of the same time may be on the next page
