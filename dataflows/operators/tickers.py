"""The operator of tickers: updates in, merged tickers out."""

from collections.abc import Iterable
from typing import TypeAlias

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream, StatefulBatchLogic
from typing_extensions import override

from connectors.process import metrics
from dataflows.domain.tickers.ticker import SymbolTicker, TickerBatch, TickerState
from dataflows.operators.keys import split_key
from schemas.records import Ticker

KeyedTickerState: TypeAlias = tuple[str, TickerState | None]


class TickersLogic(StatefulBatchLogic[TickerBatch, list[Ticker], KeyedTickerState]):
    """One symbol: each update that says something new is a ticker."""

    def __init__(self, state: KeyedTickerState | None) -> None:
        self._key, self._state = state or ("", None)
        self._ticker: SymbolTicker | None = None

    @override
    def on_batch(self, values: list[TickerBatch]) -> tuple[Iterable[list[Ticker]], bool]:
        ticker = self._ticker
        if ticker is None:
            self._key = values[0].key
            ticker = self._ticker = SymbolTicker(*split_key(self._key), self._state)
        found = [
            ticker.apply(stamped.time_ns, stamped.update)
            for batch in values
            for stamped in batch.updates
        ]
        tickers = [made for made in found if made is not None]
        if len(tickers) < len(found):
            _count_left_out(ticker)
        return ([tickers] if tickers else []), False

    @override
    def snapshot(self) -> KeyedTickerState:
        return self._key, self._ticker.state() if self._ticker else self._state


def _count_left_out(ticker: SymbolTicker) -> None:
    for reason, count in ticker.left_out.items():
        metrics.TICKERS_LEFT_OUT.labels(ticker.exchange, reason).inc(count)
    ticker.left_out.clear()


@operator
def tickers(
    step_id: str,  # noqa: ARG001  # taken by the decorator
    up: KeyedStream[TickerBatch],
) -> KeyedStream[list[Ticker]]:
    """Merge the updates of each symbol into tickers.

    Args:
        step_id: Unique within the dataflow; part of the recovery state's key.
        up: Batches by `<exchange>:<symbol>`, as
            :class:`~dataflows.domain.tickers.reader.TickerReader` makes them.

    Returns:
        The tickers of each batch by the same key, in the order of the log.
    """
    return op.stateful_batch("merge", up, TickersLogic)
