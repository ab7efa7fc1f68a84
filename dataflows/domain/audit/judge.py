"""The verdict on one minute: our sums beside the exchange's, column by column."""

from decimal import Decimal
from typing import Final, Literal, TypeAlias

import msgspec

from schemas.klines import Kline, KlineConventions
from schemas.numbers import SUM
from schemas.records import TakerVolume

Verdict: TypeAlias = Literal["equal", "explained", "different", "unknown"]

# A converted volume is rounded to 12 decimals for each trade, an exchange's to its own digits.
MAX_ROUNDING: Final = Decimal("1e-7")
ZERO: Final = Decimal(0)
NO_TRADE: Final = "no trade on either side"
INCOMPLETE: Final = "the minute is marked incomplete"


class AuditMinute(msgspec.Struct, frozen=True, gc=False):
    """One minute on both sides. A difference is ours minus theirs, `None` if a side is missing."""

    exchange: str
    symbol: str
    minute: int
    """Its start, in seconds since the Unix epoch."""
    verdict: Verdict
    reason: str
    revision: int | None
    """Of our row; `None`: we have none."""
    kline_open: Decimal | None
    kline_high: Decimal | None
    kline_low: Decimal | None
    kline_close: Decimal | None
    kline_volume: Decimal | None
    kline_notional: Decimal | None
    kline_taker_buy_volume: Decimal | None
    kline_taker_buy_notional: Decimal | None
    kline_count: int | None
    open_difference: Decimal | None
    high_difference: Decimal | None
    low_difference: Decimal | None
    close_difference: Decimal | None
    volume_difference: Decimal | None
    notional_difference: Decimal | None
    taker_buy_volume_difference: Decimal | None
    taker_buy_notional_difference: Decimal | None
    count_difference: int | None
    version: int
    """Grows with each judgement of the minute; the greatest is the newest."""


def judge(
    exchange: str,
    ours: TakerVolume | None,
    theirs: Kline | None,
    conventions: KlineConventions,
    *,
    symbol: str,
    minute_s: int,
    version: int,
) -> AuditMinute:
    """Return the verdict on a minute of which at least one side is known.

    Args:
        exchange: The exchange id.
        ours: Our final row; `None`: there is none, and none will come.
        theirs: The exchange's closed kline; `None`: there is none, and none will come.
        conventions: How the exchange counts.
        symbol: Canonical.
        minute_s: Start of the minute.
        version: Of this judgement.
    """
    kline = theirs or Kline(symbol, minute_s, is_closed=True)
    differences = _differences(ours, theirs, conventions)
    verdict, reason = _verdict(ours, theirs, conventions, differences)
    return AuditMinute(
        exchange=exchange,
        symbol=symbol,
        minute=minute_s,
        verdict=verdict,
        reason=reason,
        revision=ours.revision if ours else None,
        kline_open=kline.open,
        kline_high=kline.high,
        kline_low=kline.low,
        kline_close=kline.close,
        kline_volume=kline.volume,
        kline_notional=kline.notional,
        kline_taker_buy_volume=kline.taker_buy_volume,
        kline_taker_buy_notional=kline.taker_buy_notional,
        kline_count=kline.trade_count,
        **{f"{name}_difference": value for name, value in differences.items()},
        version=version,
    )


def _verdict(
    ours: TakerVolume | None,
    theirs: Kline | None,
    conventions: KlineConventions,
    differences: dict[str, Decimal | int | None],
) -> tuple[Verdict, str]:
    if theirs is None:
        return _without_kline(ours, conventions)
    if ours is None:
        if not theirs.volume and not theirs.trade_count:
            return "equal", NO_TRADE
        return "different", "we have no row of a minute with trades"
    wrong = {name: value for name, value in differences.items() if value}
    if not wrong:
        return "equal", ""
    if ours.is_complete is False:
        return "explained", INCOMPLETE
    if conventions.rounds_volume and all(
        name in _ROUNDED and abs(value) <= _rounding(name, theirs) for name, value in wrong.items()
    ):
        return "explained", "a converted figure is rounded differently"
    words = ", ".join(f"{name} {value:+f}" for name, value in sorted(wrong.items()))
    return "different", f"ours minus theirs: {words}"


def _without_kline(
    ours: TakerVolume | None, conventions: KlineConventions
) -> tuple[Verdict, str]:
    if ours and conventions.skips_quiet_minutes and not ours.buy_count + ours.sell_count:
        return "equal", NO_TRADE
    if ours and ours.is_complete is False:
        return "explained", INCOMPLETE
    return "unknown", "the exchange has sent no kline"


_ROUNDED: Final = frozenset({"volume", "notional", "taker_buy_volume", "taker_buy_notional"})


def _rounding(name: str, theirs: Kline) -> Decimal:
    """Return how far a figure may be off by rounding alone: in the seventh significant digit."""
    value = getattr(theirs, name) or ZERO
    return max(MAX_ROUNDING, abs(value) * MAX_ROUNDING)


def _differences(
    ours: TakerVolume | None, theirs: Kline | None, conventions: KlineConventions
) -> dict[str, Decimal | int | None]:
    names = ("open", "high", "low", "close", "volume", "notional")
    empty: dict[str, Decimal | int | None] = dict.fromkeys(
        [*names, "taker_buy_volume", "taker_buy_notional", "count"]
    )
    if ours is None or theirs is None:
        return empty
    found: dict[str, Decimal | int | None] = {
        "volume": _minus(SUM.add(ours.taker_buy_volume, ours.taker_sell_volume), theirs.volume),
        "notional": _minus(
            SUM.add(ours.taker_buy_notional, ours.taker_sell_notional), theirs.notional
        ),
        "taker_buy_volume": _minus(ours.taker_buy_volume, theirs.taker_buy_volume),
        "taker_buy_notional": _minus(ours.taker_buy_notional, theirs.taker_buy_notional),
    }
    count = ours.buy_count + ours.sell_count
    if theirs.trade_count is not None and conventions.counts_fills:
        found["count"] = count - theirs.trade_count
    if count:
        found |= {
            "high": _minus(ours.high, theirs.high),
            "low": _minus(ours.low, theirs.low),
            "close": _minus(ours.close, theirs.close),
        }
        if not conventions.opens_at_last_close:
            found["open"] = _minus(ours.open, theirs.open)
    return empty | found


def _minus(ours: Decimal | None, theirs: Decimal | None) -> Decimal | None:
    return None if ours is None or theirs is None else SUM.subtract(ours, theirs)
