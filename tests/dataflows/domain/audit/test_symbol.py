"""The audit of one symbol, whatever order rows and klines come in."""

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from dataflows.domain.audit.symbol import SymbolAudit
from schemas.klines import Kline, KlineConventions
from schemas.records import AuditMinute, TakerVolume

START_S = 1_786_310_760
PLAIN = KlineConventions()
SKIPS = KlineConventions(skips_quiet_minutes=True)


def row(minute: int, volume: int, *, is_complete: bool | None = None) -> TakerVolume:
    size, count = Decimal(volume), int(volume > 0)
    price = Decimal(10) if volume else None
    return TakerVolume(
        "okx", "BTC-USDT", START_S + 60 * minute, size, Decimal(0), size * 10, Decimal(0), count, 0,
        price, price, price, price, price, is_final=True, revision=1, late_trades=0,
        duplicate_trades=0, is_complete=is_complete,
    )  # fmt: skip


def kline(minute: int, volume: int) -> Kline:
    size, price = Decimal(volume), Decimal(10)
    return Kline(
        symbol="BTC-USDT",
        minute_s=START_S + 60 * minute,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=size,
        notional=size * 10,
    )


def play(
    events: list[TakerVolume | Kline], conventions: KlineConventions = PLAIN
) -> dict[int, AuditMinute]:
    """Return the last verdict on each minute, with the audit stored and restored in between."""
    audit = SymbolAudit("okx", "BTC-USDT", conventions)
    newest: dict[int, AuditMinute] = {}
    for event in events:
        taken = audit.take_row(event) if isinstance(event, TakerVolume) else audit.take_kline(event)
        for verdict in taken:
            newest[(verdict.minute - START_S) // 60] = verdict
        audit = SymbolAudit("okx", "BTC-USDT", conventions, audit.state())
    return newest


@given(st.permutations([*(row(m, m % 3) for m in range(4)), *(kline(m, m % 3) for m in range(4))]))
def test_equal_sides_are_equal_in_any_order(events: list[TakerVolume | Kline]) -> None:
    verdicts = play(events)

    assert {m: v.verdict for m, v in verdicts.items()} == dict.fromkeys(range(4), "equal")


def test_a_difference_in_an_incomplete_minute_is_explained() -> None:
    verdicts = play([row(0, 1, is_complete=False), kline(0, 2)])

    assert verdicts[0].verdict == "explained"
    assert verdicts[0].difference.volume == Decimal(-1)


def test_a_quiet_minute_needs_no_kline_where_the_exchange_sends_none() -> None:
    events: list[TakerVolume | Kline] = [row(minute, 0) for minute in range(8)]

    assert play(events, SKIPS)[0].verdict == "equal"
    assert play(events, PLAIN)[0].verdict == "unknown"


def test_a_kline_with_trades_and_without_a_row_is_different() -> None:
    events: list[TakerVolume | Kline] = [row(0, 1), *(kline(m, 1) for m in range(8))]

    verdicts = play(events)

    assert (verdicts[0].verdict, verdicts[1].verdict) == ("equal", "different")
    assert verdicts[1].revision is None


def test_minutes_before_our_first_row_are_not_expected() -> None:
    events: list[TakerVolume | Kline] = [
        kline(0, 1),
        row(1, 1),
        *(kline(m, 1) for m in range(1, 9)),
    ]

    assert 0 not in play(events)


def test_rounding_of_converted_figures_is_told_from_a_lost_trade() -> None:
    converted = KlineConventions(rounds_volume=True)
    near = msgspec.structs.replace(kline(0, 3), volume=Decimal("3.00000001"))

    assert play([row(0, 3), near], converted)[0].verdict == "explained"
    assert play([row(0, 3), kline(0, 4)], converted)[0].verdict == "different"
