"""How Coinone is asked for its past trades."""

from schemas.histories import Pager, Span, recent_page


def pages(span: Span) -> Pager:
    """https://docs.coinone.co.kr/reference/recent-completed-orders: the last 200."""
    path = f"/public/v2/trades/{span.market.native_symbol}"
    return recent_page(span, path, {"size": 200}, 200)
