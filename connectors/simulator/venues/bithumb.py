"""Bithumb's dialect: Upbit's, with Korean time, microseconds on books and errors as HTTP 200."""

from typing import Any, ClassVar, Final

from connectors.simulator.desk import Desk, Styles
from connectors.simulator.texts import short
from connectors.simulator.venues import times
from connectors.simulator.venues.base import Answer
from connectors.simulator.venues.upbit import BOOK, TICKER, TRADE, Fields, Upbit

_MAX_TICKERS: Final = 200
_LEFT_OUT: Final = ("best_ask_price", "best_ask_size", "best_bid_price", "best_bid_size")
_TRADE: Final = {field[0]: field for field in TRADE}
_TICKER: Final = {field[0]: field for field in TICKER}
_BOOK: Final = {field[0]: field for field in BOOK}


def _ordered(fields: dict[str, tuple[str, str, str]], names: str) -> Fields:
    return tuple(fields[name] for name in names.split())


class Bithumb(Upbit):
    """Bithumb: spot markets against the won."""

    exchange = "bithumb"
    styles = Styles(short, short, short, short)
    depth = 15
    units = (1, 5, 15)
    level = 1
    id_scale: ClassVar[int] = 1_000_000
    book_time_scale = 1_000
    options: ClassVar[dict[str, tuple[str, ...]]] = {
        "snapshot": ("isOnlySnapshot",),
        "realtime": ("isOnlyRealtime",),
    }
    trade = _ordered(
        _TRADE,
        "type code trade_price trade_volume ask_bid prev_closing_price change change_price "
        "trade_date trade_time trade_timestamp sequential_id timestamp stream_type",
    )
    ticker = _ordered(
        _TICKER,
        "type code opening_price high_price low_price trade_price prev_closing_price change "
        "change_price signed_change_price change_rate signed_change_rate trade_volume "
        "acc_trade_volume acc_trade_volume_24h acc_trade_price acc_trade_price_24h trade_date "
        "trade_time trade_timestamp ask_bid acc_ask_volume acc_bid_volume highest_52_week_price "
        "highest_52_week_date lowest_52_week_price lowest_52_week_date market_state "
        "is_trading_suspended delisting_date market_warning timestamp stream_type",
    )
    book = _ordered(
        _BOOK,
        "type code total_ask_size total_bid_size orderbook_units level timestamp stream_type",
    )

    def trade_clock(self, time_ms: int) -> times.Parts:  # noqa: D102  # as Venue says
        return times.kst(time_ms)

    def spend(self, group: str, now_ms: int) -> tuple[dict[str, str], Answer | None]:  # noqa: D102  # as Venue says
        budget = self.budget(group, 150, 1_000)
        is_allowed = budget.spend(now_ms)
        headers = {
            "x-ratelimit-remaining": str(budget.remaining),
            "x-ratelimit-replenish-rate": "150",
            "x-ratelimit-burst-capacity": "150",
            "x-ratelimit-requested-tokens": "1",
        }
        if is_allowed:
            return headers, None
        return headers, Answer(
            b'{"error":{"name":429,"message":"Too Many Requests"}}', 429, headers
        )

    def failure(self, status: int, name: str, text: str) -> Answer:  # noqa: D102  # as Venue says
        # Refused markets come with the status of success.
        return super().failure(200 if name == "not_found" else status, name, text)

    def market_row(self, desk: Desk, is_detailed: bool) -> dict[str, Any]:  # noqa: D102, FBT001  # as Upbit has it
        row = super().market_row(desk, is_detailed=False)
        if is_detailed:
            row["market_warning"] = "NONE"
        return row

    def day_values(self, desk: Desk) -> dict[bytes, Any]:  # noqa: D102  # as Venue says
        values = super().day_values(desk)
        rate = desk.rate(8)
        return {**values, b"rate": rate.lstrip(b"-"), b"signed_rate": rate}
