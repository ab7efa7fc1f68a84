"""How Bybit is asked for its past trades."""

from schemas.histories import ROWS, Pager, Span, recent_page


def pages(span: Span) -> Pager:
    """Ask for the one page that there is: the last 60 trades, of contracts 1,000.

    https://bybit-exchange.github.io/docs/v5/market/recent-trade
    """
    most = 60 if span.market.product == "spot" else ROWS
    parameters: dict[str, str | int] = {
        "category": span.market.product,
        "symbol": span.market.native_symbol,
        "limit": most,
    }
    return recent_page(span, "/v5/market/recent-trade", parameters, most)
