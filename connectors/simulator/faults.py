"""What the simulator does wrong on request: what a fault is, and how one changes what is told."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec

from connectors.simulator.desk import Desk, StreamKind
from connectors.simulator.market import Fill
from schemas.errors import SettingsError
from schemas.records import Product

FaultName: TypeAlias = Literal[
    "drop",
    "abort",
    "half_open",
    "notice",
    "stall",
    "garbage",
    "skip",
    "repeat",
    "reorder",
    "withhold",
    "double",
    "wrong_side",
    "wrong_unit",
    "move",
    "restart_ids",
    "list",
    "delist",
    "clock",
    "refuse",
]

MAX_HOLD_MS: Final = 400
"""So long a trade waits for the next one that overtakes it; collectors allow for a second."""

WRONG_UNIT: Final = 1_000
"""A size in the wrong unit is so many times the right one."""


class Fault(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """One fault: what happens, to whom, when, and how much of it.

    Connections: `drop` ends them with a close frame, `abort` without a word, `half_open` leaves
    them open and silent, `notice` announces an end where the exchange does. Streams: `stall` says
    nothing of a market for `ms`, `garbage` sends no message, `skip` leaves out numbers of a book.
    Trades, the next `count` of them: `repeat`, `reorder` (each is held back for 400 ms at most),
    `withhold` (`everywhere`: from REST, too), `double` (under another id), `wrong_side`,
    `wrong_unit`, `move` (to the minute before).
    Exchanges: `restart_ids`, `list`, `delist`, `clock` (by `ms`), `refuse` (with `status`, for
    `ms`; `kind` `websocket` refuses connections instead of requests).
    """

    fault: FaultName
    at_s: float = 0.0
    """When, in seconds after the start."""
    exchange: str | None = None
    product: Product | None = None
    symbol: str | None = None
    """Canonical."""
    kind: StreamKind | Literal["websocket"] | None = None
    count: int = 1
    ms: int = 0
    status: int = 429
    everywhere: bool = False


_faults: Final = msgspec.json.Decoder(list[Fault])
_fault: Final = msgspec.json.Decoder(Fault)


def parse_faults(text: bytes) -> list[Fault]:
    """Return the faults of a JSON array, or of one object.

    Raises:
        SettingsError: They are not understood.
    """
    try:
        if text.lstrip().startswith(b"["):
            return _faults.decode(text)
        return [_fault.decode(text)]
    except msgspec.DecodeError as error:
        raise SettingsError(f"faults: {error}") from error


def read_script(path: Path) -> list[Fault]:
    """Return the faults of a file in the order of their times.

    Raises:
        SettingsError: It cannot be read, or is not understood.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    try:
        return sorted(parse_faults(text), key=lambda fault: fault.at_s)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


Change: TypeAlias = Callable[[Desk, Fill], list[Fill]]
Log: TypeAlias = Callable[[dict[str, Any]], None]


class Tampering:
    """Changes what is told of a market's next trades, and writes down of which.

    Args:
        fault: Says what and how many.
        desk: The market.
        log: Takes one event a trade.
    """

    def __init__(self, fault: Fault, desk: Desk, log: Log) -> None:
        self._fault = fault
        self._desk = desk
        self._log = log
        self._left = fault.count
        self._held: list[Fill] = []
        self._held_since_ms: int | None = None

    def __call__(self, fills: Sequence[Fill]) -> list[Fill]:
        """Return what the subscribers are told instead of the truth."""
        told: list[Fill] = []
        for fill in fills:
            if self._left == 0:
                told.append(fill)
                continue
            self._left -= 1
            told += self._change(fill)
            self._log(self._event(fill))
            if self._left == 0:
                self._desk.tampers.remove(self)
        return told

    def release(self, now_ms: int) -> list[Fill]:
        """Return what is held back once it has been for long enough, the newest first."""
        if not self._held:
            self._held_since_ms = None
        elif self._held_since_ms is None:
            self._held_since_ms = now_ms
        elif now_ms - self._held_since_ms >= MAX_HOLD_MS:
            held, self._held, self._held_since_ms = self._held, [], None
            return held[::-1]
        return []

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to change or to tell."""
        return self._left == 0 and not self._held

    def _change(self, fill: Fill) -> list[Fill]:  # noqa: PLR0911  # one a fault
        trade_id, time_ms, buys, tick, lots = fill
        match self._fault.fault:
            case "withhold":
                if self._fault.everywhere:
                    self._desk.tape.drop(trade_id)
                return []
            case "repeat":
                return [fill, fill]
            case "double":
                market = self._desk.market
                market.next_id += 1
                return [fill, (market.next_id - 1, time_ms, buys, tick, lots)]
            case "wrong_side":
                return [(trade_id, time_ms, not buys, tick, lots)]
            case "wrong_unit":
                return [(trade_id, time_ms, buys, tick, lots * WRONG_UNIT)]
            case "move":
                return [(trade_id, time_ms - time_ms % 60_000 - 1, buys, tick, lots)]
            case "reorder":
                self._held.append(fill)
                held, self._held = self._held, [] if self._left == 0 else self._held
                return held[::-1] if self._left == 0 else []
        raise ValueError(f"{self._fault.fault}: expected a fault of trades")

    def _event(self, fill: Fill) -> dict[str, Any]:
        return {
            "fault": self._fault.fault,
            "exchange": self._desk.instrument.exchange,
            "symbol": self._desk.instrument.symbol,
            "number": fill[0],
            "trade_time_ms": fill[1],
        }


OF_TRADES: Final = (
    "repeat",
    "reorder",
    "withhold",
    "double",
    "wrong_side",
    "wrong_unit",
    "move",
)
