"""Single fills and their aggregates: the same fill counts once, whichever row brings it first."""

import copy
import json
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from dataflows.domain.trades.minutes import SymbolMinutes, TradeBatch
from schemas.exchanges import decoder_of
from schemas.feeds import Feed
from schemas.records import TakerVolume, Trade
from schemas.times import NS_PER_MINUTE

CASE = Path(__file__).parents[3] / "frames/cases/okx-aggregated-and-single-trades-count-twice.jsonl"
AT = 29_000_000
FIRST_ID = 200


class Order(NamedTuple):
    """A taker order that was filled at one price."""

    price: int
    sizes: tuple[str, ...]
    buys: bool = True


class Row(NamedTuple):
    """What arrives: one fill of an order by its place, or all of them as one row."""

    order: int
    fill: int | None


ORDERS = st.lists(
    st.builds(
        Order,
        price=st.integers(1, 2),
        buys=st.booleans(),
        sizes=st.lists(st.sampled_from(["1", "0.25", "3.50"]), min_size=1, max_size=4).map(tuple),
    ),
    min_size=1,
    max_size=5,
)


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Order], list[list[Row]]]:
    """Draw orders, and rows of them in batches: in any order, repeated, perhaps not all."""
    orders = draw(ORDERS)
    known = [Row(at, None) for at in range(len(orders))]
    known += [Row(at, fill) for at, order in enumerate(orders) for fill in range(len(order.sizes))]
    return orders, draw(st.lists(st.lists(st.sampled_from(known), max_size=6), max_size=8))


def last_id(orders: list[Order], at: int) -> int:
    return FIRST_ID - 1 + sum(len(order.sizes) for order in orders[: at + 1])


def trade_of(orders: list[Order], row: Row) -> Trade:
    order, trade_id = orders[row.order], last_id(orders, row.order)
    first_id: int | None = trade_id - len(order.sizes) + 1
    size = sum(map(Decimal, order.sizes), Decimal(0))
    if row.fill is not None:
        trade_id = first_id = last_id(orders, row.order) - len(order.sizes) + 1 + row.fill
        size = Decimal(order.sizes[row.fill])
    elif len(order.sizes) == 1:
        first_id = None
    time_ns = AT * NS_PER_MINUTE + row.order
    price = Decimal(order.price)
    return Trade("A-B", trade_id, time_ns, order.buys, price, size, size * price, first_id)


def folded(orders: list[Order], batches: list[list[Row]], *, restart: bool) -> TakerVolume | None:
    minutes = SymbolMinutes("okx", "A-B", 5)
    for rows in batches:
        if rows:
            trades = [trade_of(orders, row) for row in rows]
            minutes.fold(TradeBatch("okx:A-B", [(AT, trades)], [], AT))
        if restart:
            minutes = SymbolMinutes("okx", "A-B", 5, state=copy.deepcopy(minutes.state()))
    final = minutes.fold(TradeBatch("okx:A-B", [], [], AT + 1))
    return final[0] if final else None


def expected(orders: list[Order], batches: list[list[Row]]) -> tuple[Decimal, Decimal, int, int]:
    """Return the volumes and counts by side of all fills that some row covers."""
    covered = set()
    for row in (row for rows in batches for row in rows):
        fills = range(len(orders[row.order].sizes)) if row.fill is None else (row.fill,)
        covered |= {(row.order, fill) for fill in fills}
    volumes, counts = [Decimal(0), Decimal(0)], [0, 0]
    for at, fill in covered:
        side = 0 if orders[at].buys else 1
        volumes[side] += Decimal(orders[at].sizes[fill])
        counts[side] += 1
    return volumes[0], volumes[1], counts[0], counts[1]


GAP = [Order(100, ("1",)), Order(100, ("1", "0.25", "3.50"))]


@given(arrivals())
@example((GAP, [[Row(0, None)], [Row(1, None)], [Row(1, 2), Row(1, 1), Row(1, 0), Row(0, 0)]]))
@example((GAP, [[Row(1, 0), Row(1, 1)], [Row(1, None)], [Row(1, 2)]]))
def test_each_fill_counts_once_whatever_rows_bring_it(
    drawn: tuple[list[Order], list[list[Row]]],
) -> None:
    orders, batches = drawn
    row = folded(orders, batches, restart=False)
    assert folded(orders, batches, restart=True) == row
    if row is None:
        assert not any(batches)
        return
    assert expected(orders, batches) == (
        row.taker_buy_volume, row.taker_sell_volume, row.buy_count, row.sell_count,
    )  # fmt: skip
    assert row.taker_buy_notional + row.taker_sell_notional == sum(
        Decimal(orders[at].sizes[fill]) * orders[at].price
        for at, fill in {
            (each.order, fill)
            for rows in batches
            for each in rows
            for fill in range(len(orders[each.order].sizes))
            if each.fill in (None, fill)
        }
    )


def test_state_keeps_only_fills_that_an_aggregate_may_complete() -> None:
    orders = [Order(price, ("1",)) for price in (1, 1, 2, 1, 1)]
    minutes = SymbolMinutes("okx", "A-B", 5)
    trades = [trade_of(orders, Row(at, 0)) for at in range(len(orders))]
    minutes.fold(TradeBatch("okx:A-B", [(AT, trades)], [], AT))
    packed = minutes.state()[3][AT]
    assert packed.count(b"true") == 4  # the two at either end, not the one between them


def test_fills_of_an_aggregate_count_once_when_a_gap_is_filled() -> None:
    lines = map(json.loads, CASE.read_text().splitlines())
    frames = [json.dumps(line["frame"]).encode() for line in lines]
    for case, volume in ((frames[:4], 3), (frames[4:], 5)):
        minutes = SymbolMinutes("okx", "BTC-USDT", 5)
        for frame in case:
            trades = decoder_of("okx").decode_trades(frame, Feed("okx"))
            at = trades[0].time_ns // NS_PER_MINUTE
            minutes.fold(TradeBatch("okx:BTC-USDT", [(at, trades)], [], at))
        (row,) = minutes.fold(TradeBatch("okx:BTC-USDT", [], [], at + 1))
        assert row.taker_buy_volume == row.buy_count == volume
