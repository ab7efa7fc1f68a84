"""How Korbit is asked for its past trades."""

from schemas.histories import Pager, Span, recent_page


def pages(span: Span) -> Pager:
    """https://docs.korbit.co.kr/: the last 500."""
    parameters: dict[str, str | int] = {"symbol": span.market.native_symbol, "limit": 500}
    return recent_page(span, "/v2/trades", parameters, 500)
