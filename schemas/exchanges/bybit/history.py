"""How Bybit is asked for its past trades."""

from schemas.histories import ROWS, Pager, Span, recent_page


def pages(span: Span) -> Pager:
    """https://bybit-exchange.github.io/docs/v5/market/recent-trade: the last 60 or 1,000."""
    most = 60 if span.market.product == "spot" else ROWS
    parameters: dict[str, str | int] = {
        "category": span.market.product,
        "symbol": span.market.native_symbol,
        "limit": most,
    }
    return recent_page(span, "/v5/market/recent-trade", parameters, most)
