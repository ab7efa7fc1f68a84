"""The audit of one symbol: rows and klines come in any order, a verdict leaves for each pair."""

from typing import Final, TypeAlias

import msgspec

from dataflows.domain.audit.judge import judge
from schemas.klines import Kline, KlineConventions
from schemas.records import AuditMinute, TakerVolume

SECONDS: Final = 60
# A kline that is polled once a minute is there by then, and a final row as well.
MAX_WAIT_S: Final = 5 * SECONDS
# As long as a late trade may revise a row, with some room.
MAX_KEPT_S: Final = 75 * SECONDS

AuditState: TypeAlias = tuple[int, int, dict[int, bytes], dict[int, bytes], list[int]]
STATE_VERSION: Final = 1

_encode: Final = msgspec.json.Encoder().encode
_row: Final = msgspec.json.Decoder(TakerVolume).decode
_kline: Final = msgspec.json.Decoder(Kline).decode


class SymbolAudit:
    """Our final rows and the exchange's closed klines of one symbol.

    Args:
        exchange: The exchange id.
        symbol: Canonical.
        conventions: How the exchange counts.
        state: What :meth:`state` gave, to go on from there.
    """

    def __init__(
        self,
        exchange: str,
        symbol: str,
        conventions: KlineConventions,
        state: AuditState | None = None,
    ) -> None:
        self._exchange = exchange
        self._symbol = symbol
        self._conventions = conventions
        _, self._newest_s, waiting, klines, answered = state or (STATE_VERSION, 0, {}, {}, [])
        self._waiting = dict(waiting)
        """Rows by minute that no kline has answered yet."""
        self._klines = dict(klines)
        """Closed klines by minute, kept for as long as a revision may come."""
        self._answered = set(answered)
        """Minutes of which a row has come, or a verdict said that none has."""

    def take_row(self, row: TakerVolume) -> list[AuditMinute]:
        """Take a state of one of our minutes, and return the verdicts that follow."""
        if not row.is_final:
            return []
        self._answered.add(row.minute)
        packed = self._klines.get(row.minute)
        if packed is None:
            self._waiting[row.minute] = _encode(row)
            return self._advance(row.minute)
        return [self._judged(row, _kline(packed)), *self._advance(row.minute)]

    def take_kline(self, kline: Kline) -> list[AuditMinute]:
        """Take a kline of the exchange, and return the verdicts that follow."""
        if not kline.is_closed or kline.minute_s < self._newest_s - MAX_KEPT_S:
            return []
        self._klines[kline.minute_s] = _encode(kline)
        packed = self._waiting.pop(kline.minute_s, None)
        judged = [] if packed is None else [self._judged(_row(packed), kline)]
        return judged + self._advance(kline.minute_s)

    def state(self) -> AuditState:
        """Return a copy to store, of plain values."""
        return (
            STATE_VERSION,
            self._newest_s,
            dict(self._waiting),
            dict(self._klines),
            sorted(self._answered),
        )

    def _advance(self, minute_s: int) -> list[AuditMinute]:
        """Judge what has waited too long for its other side, and forget what is too old."""
        if minute_s <= self._newest_s:
            return []
        self._newest_s = minute_s
        due_s = minute_s - MAX_WAIT_S
        rows = [(_row(self._waiting.pop(at)), None) for at in sorted(self._waiting) if at <= due_s]
        alone = sorted(at for at in self._klines if self._first_s <= at <= due_s)
        klines = [(None, _kline(self._klines[at])) for at in alone if at not in self._answered]
        self._answered.update(alone)
        oldest_s = minute_s - MAX_KEPT_S
        self._klines = {at: packed for at, packed in self._klines.items() if at >= oldest_s}
        self._answered = {at for at in self._answered if at >= oldest_s}
        return [self._judged(row, kline) for row, kline in (*rows, *klines)]

    @property
    def _first_s(self) -> float:
        """The first minute of ours that is known: before it no row is expected."""
        return min(self._answered, default=float("inf"))

    def _judged(self, row: TakerVolume | None, kline: Kline | None) -> AuditMinute:
        return judge(self._exchange, self._symbol, row, kline, self._conventions)
