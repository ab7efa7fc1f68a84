"""How Upbit and Bithumb, which copied its interface, are asked for their past trades."""

from typing import Final

from schemas.errors import DecodeError, SettingsError
from schemas.histories import Pager, Request, Span, utc
from schemas.times import NS_PER_DAY, utc_text

DAYS_BACK: Final = 7


def pages(span: Span) -> Pager:
    """Ask for `/v1/trades/ticks` backwards within one UTC day of the last seven.

    https://docs.upbit.com/kr/reference/recent-trades-history
    """
    days_ago = span.now_ns // NS_PER_DAY - (span.end_ns - 1) // NS_PER_DAY
    if days_ago > DAYS_BACK:
        raise SettingsError(f"{utc_text(span.start_ns)}: this exchange goes {DAYS_BACK} days back")
    parameters: dict[str, str | int] = {"market": span.market.native_symbol, "count": 500}
    if days_ago:
        parameters["days_ago"] = days_ago
    if span.end_ns % NS_PER_DAY:
        parameters["to"] = f"{utc(span.end_ns):%H:%M:%S}"
    while True:
        page = yield Request("/v1/trades/ticks", parameters)
        if not page.trades:  # of the whole day, with which the span does not begin
            return span.start_ns
        oldest = min(page.trades, key=lambda trade: (trade.time_ns, int(trade.trade_id)))
        if oldest.time_ns < span.start_ns:
            return span.start_ns
        if oldest.trade_id == parameters.get("cursor"):
            raise DecodeError(f"a page of trades before {oldest.trade_id} begins with that one")
        parameters = {**parameters, "cursor": oldest.trade_id}
