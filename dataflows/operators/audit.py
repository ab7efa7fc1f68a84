"""The operator of the audit: our final minutes and the exchanges' klines in, verdicts out."""

import logging
from collections.abc import Iterable
from typing import Final, TypeAlias

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream, StatefulBatchLogic
from typing_extensions import override

from connectors.process import metrics
from dataflows.domain.audit.reader import AuditBatch
from dataflows.domain.audit.symbol import AuditState, SymbolAudit
from dataflows.operators.keys import split_key
from schemas.exchanges import EXCHANGES
from schemas.records import AuditMinute

log: Final = logging.getLogger("marketflow.audit")

KeyedAuditState: TypeAlias = tuple[str, AuditState]


class AuditLogic(StatefulBatchLogic[AuditBatch, list[AuditMinute], KeyedAuditState]):
    """One symbol: a verdict on each minute that both sides have."""

    def __init__(self, state: KeyedAuditState | None) -> None:
        self._key = ""
        self._audit: SymbolAudit | None = None
        if state is not None:
            self._open(*state)

    @override
    def on_batch(self, values: list[AuditBatch]) -> tuple[Iterable[list[AuditMinute]], bool]:
        audit = self._audit or self._open(values[0].key)
        verdicts: list[AuditMinute] = []
        for batch in values:
            for row in batch.rows:
                verdicts += audit.take_row(row)
            for kline in batch.klines:
                verdicts += audit.take_kline(kline)
        for verdict in verdicts:
            metrics.AUDITED.labels(verdict.exchange, verdict.verdict).inc()
            if verdict.verdict == "different":
                where = f"{verdict.exchange} {verdict.symbol} at {verdict.minute}"
                log.warning("%s: %s", where, verdict.reason)
        return ([verdicts] if verdicts else []), False

    @override
    def snapshot(self) -> KeyedAuditState:
        assert self._audit is not None  # noqa: S101  # a key exists because of a batch
        return self._key, self._audit.state()

    def _open(self, key: str, state: AuditState | None = None) -> SymbolAudit:
        self._key = key
        exchange, symbol = split_key(key)
        conventions = EXCHANGES[exchange].kline_conventions(symbol)
        self._audit = SymbolAudit(exchange, symbol, conventions, state)
        return self._audit


@operator
def audit(
    step_id: str,  # noqa: ARG001  # taken by the decorator
    up: KeyedStream[AuditBatch],
) -> KeyedStream[list[AuditMinute]]:
    """Hold each final minute against the exchange's own kline.

    Args:
        step_id: Unique within the dataflow; part of the recovery state's key.
        up: Batches by `<exchange>:<symbol>`.

    Returns:
        The verdicts of each batch by the same key.
    """
    return op.stateful_batch("judge", up, AuditLogic)
