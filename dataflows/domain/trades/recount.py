"""Minutes counted again from an exchange's own history: what a backfill makes of past trades.

The same clock and the same fold as in the dataflow, over trades in the order of their times; and
which of the rows say something that the stored ones do not.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from dataflows.domain.coverage import Coverage
from dataflows.domain.event_time import EventTime, Limits
from dataflows.domain.trades.minutes import SymbolMinutes
from dataflows.domain.trades.sorter import TradeSorter
from schemas.records import TakerVolume, Trade
from schemas.times import NS_PER_MINUTE

# A recounted minute replaces what the dataflow wrote with as many trades, and what it may still
# write with no more: its revisions are numbered from another million on, with each recount.
RECOUNT: Final = 1_000_000

Key: TypeAlias = tuple[str, int]
"""Symbol and minute, in seconds."""


class Stored(NamedTuple):
    """What a table has of a minute."""

    values: tuple[Decimal | int | bool | None, ...]
    """As :func:`values_of`."""
    trades: int
    revision: int
    is_complete: bool | None = None


def values_of(row: TakerVolume) -> tuple[Decimal | int | bool | None, ...]:
    """Return what has to be equal for two rows to say the same."""
    return (
        row.taker_buy_volume, row.taker_sell_volume, row.taker_buy_notional,
        row.taker_sell_notional, row.buy_count, row.sell_count, row.open, row.high, row.low,
        row.close, row.is_final,
    )  # fmt: skip


class Recount:
    """Counts minutes of one exchange again.

    Args:
        exchange: The exchange id.
        start_ns: The first minute's start.
        last_minutes: The last minute before it in which each symbol traded, from the Unix epoch:
            a symbol that is known has rows of zeros where others trade.
        active: Minutes in which the exchange is known to have been alive.
    """

    def __init__(
        self, exchange: str, start_ns: int, last_minutes: Mapping[str, int], active: Iterable[int]
    ) -> None:
        first = start_ns // NS_PER_MINUTE
        limits = Limits(lateness_ns=0, horizon_ns=0, future_ns=NS_PER_MINUTE)
        time = EventTime.starting_at(limits, first, active, last_minutes)
        self._sorter = TradeSorter(exchange, 0, limits, time, Coverage())
        self._symbols = {
            symbol: SymbolMinutes.known_since(exchange, symbol, last, first)
            for symbol, last in last_minutes.items()
        }
        self._exchange = exchange

    def fold(self, trades: list[Trade], end_ns: int, now_ns: int) -> list[TakerVolume]:
        """Return the rows of all minutes before a time.

        Args:
            trades: All of them that are newer than those of the call before, each once.
            end_ns: The end of a minute.
            now_ns: The wall clock.
        """
        in_order = sorted(trades, key=lambda trade: trade.time_ns)
        self._sorter.take_frames([(now_ns, in_order)], int)
        self._sorter.finish_until(end_ns)
        rows = []
        for batch in self._sorter.collect():
            symbol = batch.key.partition(":")[2]
            minutes = self._symbols.get(symbol)
            if minutes is None:
                minutes = self._symbols[symbol] = SymbolMinutes(self._exchange, symbol, 0)
            rows += minutes.fold(batch)
        return rows


class Verdict(NamedTuple):
    """What is to become of recounted rows."""

    changed: list[TakerVolume]
    """To be written."""
    same: int
    fewer: list[TakerVolume]
    """The exchange's history has fewer trades than the table: those are kept."""


def compare(rows: Iterable[TakerVolume], stored: Mapping[Key, Stored], revision: int) -> Verdict:
    """Return which rows say something new; those are complete, with revisions from `revision` on.

    An equal row that was known to be incomplete is new as well: the history says that it is whole.
    """
    changed, fewer, same = [], [], 0
    for row in rows:
        known = stored.get((row.symbol, row.minute))
        if known is not None and known.values == values_of(row) and known.is_complete is not False:
            same += 1
        elif known is not None and known.trades > row.buy_count + row.sell_count:
            fewer.append(row)
        else:
            changed.append(replace(row, revision=revision + row.revision, is_complete=True))
    return Verdict(changed, same, fewer)


def next_recount(stored: Iterable[Stored]) -> int:
    """Return where the revisions of this recount begin."""
    newest = max((row.revision for row in stored), default=0)
    return (newest // RECOUNT + 1) * RECOUNT
