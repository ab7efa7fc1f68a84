"""The verdict on one minute: our sums beside the exchange's, column by column."""

from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from schemas.klines import Kline, KlineConventions
from schemas.numbers import SUM
from schemas.records import AuditMinute, AuditVerdict, KlineFigures, TakerVolume

# A converted volume is rounded to 12 decimals for each trade, an exchange's to its own digits.
MAX_ROUNDING: Final = Decimal("1e-7")
ZERO: Final = Decimal(0)
NO_TRADE: Final = "no trade on either side"
INCOMPLETE: Final = "the minute is marked incomplete"

Judgement: TypeAlias = tuple[AuditVerdict, str]


def judge(
    exchange: str,
    symbol: str,
    ours: TakerVolume | None,
    theirs: Kline | None,
    conventions: KlineConventions,
) -> AuditMinute:
    """Return the verdict on a minute of which at least one side is known.

    Args:
        exchange: The exchange id.
        symbol: Canonical.
        ours: Our final row; `None`: there is none, and none will come.
        theirs: The exchange's closed kline; `None`: there is none, and none will come.
        conventions: How the exchange counts.

    Raises:
        ValueError: Neither side is there.
    """
    difference = KlineFigures()
    count = ours.buy_count + ours.sell_count if ours else 0
    if ours is None and theirs is None:
        raise ValueError("expected a row, a kline or both")
    if ours is None:
        verdict, reason = _without_row(theirs)
    elif theirs is None:
        verdict, reason = _without_kline(ours, conventions)
    else:
        difference = _difference(ours, theirs, conventions)
        verdict, reason = _compared(ours, theirs, conventions, difference)
    return AuditMinute(
        exchange=exchange,
        symbol=symbol,
        minute=ours.minute if ours else theirs.minute_s if theirs else 0,
        verdict=verdict,
        reason=reason,
        revision=ours.revision if ours else None,
        kline=_figures(theirs) if theirs else KlineFigures(),
        difference=difference,
        known=2 * count + (theirs is not None),
    )


def _without_row(theirs: Kline | None) -> Judgement:
    if theirs and (theirs.volume or theirs.trade_count):
        return "different", "we have no row of a minute with trades"
    return "equal", NO_TRADE


def _without_kline(ours: TakerVolume, conventions: KlineConventions) -> Judgement:
    if conventions.skips_quiet_minutes and not ours.buy_count + ours.sell_count:
        return "equal", NO_TRADE
    if ours.is_complete is False:
        return "explained", INCOMPLETE
    return "unknown", "the exchange has sent no kline"


def _compared(
    ours: TakerVolume, theirs: Kline, conventions: KlineConventions, difference: KlineFigures
) -> Judgement:
    figures = msgspec.structs.asdict(difference).items()
    wrong = {name: Decimal(value) for name, value in figures if value}
    if not wrong:
        return "equal", ""
    if ours.is_complete is False:
        return "explained", INCOMPLETE
    if conventions.rounds_volume and _is_rounding(wrong, theirs):
        return "explained", "a converted figure is rounded differently"
    words = ", ".join(f"{name} {value:+f}" for name, value in sorted(wrong.items()))
    return "different", f"ours minus theirs: {words}"


def _is_rounding(wrong: dict[str, Decimal], theirs: Kline) -> bool:
    """Tell whether no figure differs by more than its seventh significant digit."""
    rounded: dict[str, Decimal | None] = {
        "volume": theirs.volume,
        "notional": theirs.notional,
        "taker_buy_volume": theirs.taker_buy_volume,
        "taker_buy_notional": theirs.taker_buy_notional,
    }
    return all(
        name in rounded
        and abs(value) <= max(MAX_ROUNDING, abs(rounded[name] or ZERO) * MAX_ROUNDING)
        for name, value in wrong.items()
    )


def _difference(ours: TakerVolume, theirs: Kline, conventions: KlineConventions) -> KlineFigures:
    count = ours.buy_count + ours.sell_count
    is_counted = theirs.trade_count is not None and conventions.counts_fills
    opens_at_trade = count and not conventions.opens_at_last_close
    volume = SUM.add(ours.taker_buy_volume, ours.taker_sell_volume)
    notional = SUM.add(ours.taker_buy_notional, ours.taker_sell_notional)
    high, low = ours.high, ours.low
    if conventions.opens_at_last_close and theirs.open is not None:
        # That price belongs to the exchange's range, whether or not it traded in this minute.
        high = high and max(high, theirs.open)
        low = low and min(low, theirs.open)
    return KlineFigures(
        volume=_minus(volume, theirs.volume),
        notional=_minus(notional, theirs.notional),
        taker_buy_volume=_minus(ours.taker_buy_volume, theirs.taker_buy_volume),
        taker_buy_notional=_minus(ours.taker_buy_notional, theirs.taker_buy_notional),
        trade_count=count - (theirs.trade_count or 0) if is_counted else None,
        # Without a trade an exchange repeats its last price, which is none of the minute's.
        open=_minus(ours.open, theirs.open) if opens_at_trade else None,
        high=_minus(high, theirs.high),
        low=_minus(low, theirs.low),
        close=_minus(ours.close, theirs.close),
    )


def _minus(ours: Decimal | None, theirs: Decimal | None) -> Decimal | None:
    return None if ours is None or theirs is None else SUM.subtract(ours, theirs)


def _figures(kline: Kline) -> KlineFigures:
    return KlineFigures(
        open=kline.open,
        high=kline.high,
        low=kline.low,
        close=kline.close,
        volume=kline.volume,
        notional=kline.notional,
        taker_buy_volume=kline.taker_buy_volume,
        taker_buy_notional=kline.taker_buy_notional,
        trade_count=kline.trade_count,
    )
