"""How Korbit is asked for its past trades."""

from schemas.histories import Pager, Span, recent_page


def pages(span: Span) -> Pager:
    """Ask for the one page that there is: the last 500 trades. https://docs.korbit.co.kr."""
    parameters: dict[str, str | int] = {"symbol": span.market.native_symbol, "limit": 500}
    return recent_page(span, "/v2/trades", parameters, 500)
