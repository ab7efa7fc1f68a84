"""The windowed operator: trades in; live, final and revised minutes out."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeAlias

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream, StatefulBatchLogic
from typing_extensions import override

from connectors.process import clock, metrics
from dataflows.domain.coverage import MS_PER_MINUTE
from dataflows.domain.trades.minutes import SymbolMinutes, SymbolState, TradeBatch
from dataflows.operators.keys import split_key
from schemas.records import TakerVolume
from schemas.settings import TakerVolumeSettings
from schemas.times import NS_PER_MS, NS_PER_SECOND

LogicState: TypeAlias = tuple[str, SymbolState]


class MinutesLogic(StatefulBatchLogic[TradeBatch, list[TakerVolume], LogicState]):
    """One symbol: final and revised minutes at once, estimates at most once an interval."""

    __slots__ = ("_estimate_due_ns", "_estimated_ns", "_minutes", "_settings")

    def __init__(self, settings: TakerVolumeSettings, state: LogicState | None) -> None:
        self._settings = settings
        self._estimate_due_ns: int | None = None
        self._estimated_ns = 0
        self._minutes: SymbolMinutes | None = None
        if state is not None:
            self._minutes = self._symbol(state[0], state[1])

    @override
    def on_batch(self, values: list[TradeBatch]) -> tuple[Iterable[list[TakerVolume]], bool]:
        if self._minutes is None:
            self._minutes = self._symbol(values[0].key)
        minutes = self._minutes
        duplicates_before = minutes.duplicates
        rows: list[TakerVolume] = []
        for batch in values:
            rows += minutes.fold(batch)
        if minutes.duplicates > duplicates_before:
            new = minutes.duplicates - duplicates_before
            metrics.DUPLICATES.labels(minutes.exchange).inc(new)
        revisions = sum([row.revision > 1 for row in rows])
        if revisions:
            metrics.REVISIONS.labels(minutes.exchange).inc(revisions)
        # While the partition catches up, the minutes close faster than anybody looks at them.
        if values[-1].is_live:
            rows += self._due_estimates(minutes)
        is_over = minutes.is_over(values[-1])
        if is_over:
            metrics.SYMBOLS.labels(minutes.exchange).dec()
        return ([rows] if rows else []), is_over

    @override
    def on_notify(self) -> tuple[Iterable[list[TakerVolume]], bool]:
        rows = self._due_estimates(self._minutes) if self._minutes else []
        return ([rows] if rows else []), False

    @override
    def on_eof(self) -> tuple[Iterable[list[TakerVolume]], bool]:
        # The open minutes stay open: a drained flow goes on with them after its restart.
        rows = self._minutes.estimates() if self._minutes else []
        return ([rows] if rows else []), False

    @override
    def notify_at(self) -> datetime | None:
        if self._estimate_due_ns is None:
            return None
        return datetime.fromtimestamp(self._estimate_due_ns / NS_PER_SECOND, UTC)

    @override
    def snapshot(self) -> LogicState:
        assert self._minutes is not None  # noqa: S101  # a key exists because of a batch
        return f"{self._minutes.exchange}:{self._minutes.symbol}", self._minutes.state()

    def _symbol(self, key: str, state: SymbolState | None = None) -> SymbolMinutes:
        settings = self._settings
        metrics.SYMBOLS.labels(key.partition(":")[0]).inc()
        horizon_minutes = settings.correction_horizon_ms // MS_PER_MINUTE
        return SymbolMinutes(*split_key(key), horizon_minutes, settings.lateness_ms, state)

    def _due_estimates(self, minutes: SymbolMinutes) -> list[TakerVolume]:
        if not minutes.has_estimates:
            self._estimate_due_ns = None
            return []
        interval_ns = self._settings.estimate_interval_ms * NS_PER_MS
        now_ns = clock.now_ns()
        due_ns = self._estimated_ns + interval_ns
        if now_ns < due_ns <= now_ns + interval_ns:  # a clock set back must not silence it
            self._estimate_due_ns = due_ns
            return []
        self._estimated_ns, self._estimate_due_ns = now_ns, None
        return minutes.estimates()


@operator
def minutes(
    step_id: str,  # noqa: ARG001  # taken by the decorator
    up: KeyedStream[TradeBatch],
    settings: TakerVolumeSettings,
) -> KeyedStream[list[TakerVolume]]:
    """Folds the trades of each symbol into minutes.

    Args:
        step_id: Unique within the dataflow; part of the recovery state's key.
        up: Batches by `<exchange>:<symbol>`, as
            :class:`~dataflows.domain.trades.reader.TradeReader` makes them.
        settings: How long a minute can be corrected, how often it is estimated.

    Returns:
        The rows of each batch by the same key: live estimates, final figures, revisions.
    """

    def builder(state: LogicState | None) -> MinutesLogic:
        return MinutesLogic(settings, state)

    return op.stateful_batch("fold", up, builder)
