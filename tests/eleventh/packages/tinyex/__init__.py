"""Tinyex, which does not exist: all that it takes to add an exchange."""

from typing import Final

from schemas.exchanges.facts import Channel, Exchange, ExchangeDecoder, MovedFields, nothing
from schemas.histories import History, Pager, Span, recent_page

from . import decode


def _pages(span: Span) -> Pager:
    """Ask for `/trades`, the last 100."""
    return recent_page(span, "/trades", {"market": span.market.native_symbol}, 100)


EXCHANGE: Final = Exchange(
    id=11,
    code="tinyex",
    name="Tinyex",
    decoder=ExchangeDecoder(decode.kind, decode.decode_trades, nothing, nothing),
    history=History(_pages, pause_ms=100, reach="the last 100 trades", is_recent_only=True),
    native_symbols={"spot": "{base}:{quote}"},
    moved=MovedFields(times="at", trade_ids="no"),
    channels=(Channel("deals", "trade"),),
    numbering={"spot": "growing"},
)
