"""How Gate is asked for its past trades."""

from typing import Final

import msgspec

from schemas.histories import ROWS, Market, Pager, Request, Span
from schemas.times import NS_PER_SECOND

_rows: Final = msgspec.json.Decoder(list[msgspec.Raw])


def pages(span: Span) -> Pager:
    """Ask for `/api/v4/spot/trades` or `/api/v4/futures/{settle}/trades` of a span, page by page.

    https://www.gate.com/docs/developers/apiv4/#query-market-transaction-records: 100 pages.
    """
    path, name = _place(span.market)
    page_number = 1
    while True:
        is_spot = span.market.product == "spot"
        place = {"page": page_number} if is_spot else {"offset": (page_number - 1) * ROWS}
        page = yield Request(
            path,
            {
                name: span.market.native_symbol,
                "from": span.start_ns // NS_PER_SECOND,
                "to": span.end_ns // NS_PER_SECOND,
                "limit": ROWS,
                **place,
            },
        )
        # Not the trades: a row of the insurance fund, or without a size, is none.
        if len(_rows.decode(page.body)) < ROWS:
            return span.start_ns
        page_number += 1


def _place(market: Market) -> tuple[str, str]:
    """Return the path of a market's trades, and the parameter that names the market."""
    if market.product == "spot":
        return "/api/v4/spot/trades", "currency_pair"
    # Contracts are listed by the currency that they settle in.
    base, _, quote = market.native_symbol.partition("_")
    settle = base if market.product == "inverse" else quote
    return f"/api/v4/futures/{settle.lower()}/trades", "contract"
