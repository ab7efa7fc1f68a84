"""How Coinone is asked for its past trades."""

from schemas.histories import Pager, Span, recent_page


def pages(span: Span) -> Pager:
    """Ask for the one page that there is: the last 200 trades.

    https://docs.coinone.co.kr/reference/recent-completed-orders
    """
    path = f"/public/v2/trades/{span.market.native_symbol}"
    return recent_page(span, path, {"size": 200}, 200)
