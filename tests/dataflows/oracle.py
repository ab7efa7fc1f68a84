"""A market into a pipeline's topic, and its rows against the market's truth."""

from collections.abc import Sequence
from typing import Any

from tests.dataflows.harness import Pipeline
from tests.dataflows.market import MarketTrade, truth

Rows = dict[tuple[str, int], dict[str, Any]]


def feed(pipeline: Pipeline, trades: list[MarketTrade], partition: int = 0) -> None:
    """Puts the trades' frames into a partition, in this order."""
    topic = pipeline.settings.regions["NE"].topics.trade
    pipeline.produce(topic, partition, [(b"binance", trade.frame()) for trade in trades])


def by_minute(rows: Sequence[dict[str, Any]]) -> Rows:
    """Rows by the market's name of their symbol, and their minute from the Unix epoch."""
    return {
        (row["symbol"].replace("-", ""), int(row["minute"].timestamp()) // 60): row for row in rows
    }


def assert_true(
    rows: Sequence[dict[str, Any]],
    trades: list[MarketTrade],
    *,
    with_quiet: bool = True,
    besides: frozenset[str] = frozenset(),
) -> None:
    """Every row says what the market was.

    Args:
        rows: Of the table.
        trades: The market.
        with_quiet: Also rows of zeros. In partitions of their own, whether there is one depends
            on what else traded there.
        besides: Columns that may differ.
    """
    found, expected = by_minute(rows), truth(trades)
    if not with_quiet:
        found, expected = _busy(found), _busy(expected)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        names = values.keys() - besides
        differs = {n: (found[key][n], values[n]) for n in names if found[key][n] != values[n]}
        assert not differs, (key, differs)


def _busy(rows: Rows) -> Rows:
    return {key: row for key, row in rows.items() if row["buy_count"] + row["sell_count"]}
