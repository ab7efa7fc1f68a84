"""What really happened, written down for a test to compare with: trades and faults as NDJSON."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import msgspec

from connectors.simulator.instruments import Instrument
from connectors.simulator.market import Fill
from connectors.simulator.texts import fixed
from schemas.errors import MarketflowError

# Written at once when so many lines wait, and at each flush.
_LINES: Final = 2_000
_TRADE: Final = (
    b'{"exchange":"%b","symbol":"%b","trade_id":%b,"time_ms":%d,'
    b'"side":"%b","price":"%b","size":"%b"}\n'
)


class Truth:
    """The files `trades.ndjson` and `events.ndjson` of one folder.

    Args:
        folder: Where they are made, or `None`: nothing is written.

    Raises:
        MarketflowError: The folder cannot be made, or a file not be written.
    """

    def __init__(self, folder: Path | None) -> None:
        self._trades: BinaryIO | None = None
        self._events: BinaryIO | None = None
        self._lines: list[bytes] = []
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._trades = (folder / "trades.ndjson").open("wb")
            self._events = (folder / "events.ndjson").open("wb")
        except OSError as error:
            raise MarketflowError(
                f"truth {folder}: expected a folder to write in: {error}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.flush()
        for file in (self._trades, self._events):
            if file is not None:
                file.close()

    @property
    def is_written(self) -> bool:
        """Whether anybody reads it."""
        return self._trades is not None

    def add(self, instrument: Instrument, fills: Sequence[Fill], ids: Sequence[bytes]) -> None:
        """Write trades, with their ids as JSON values in the exchange's own form."""
        exchange, symbol = instrument.exchange.encode(), instrument.symbol.encode()
        decimals, tick_step = instrument.price_decimals, instrument.tick
        for (_, time_ms, buys, tick, lots), trade_id in zip(fills, ids, strict=True):
            side = b"buy" if buys else b"sell"
            price = fixed(tick * tick_step, decimals)
            size = fixed(*instrument.base_units(tick, lots))
            self._lines.append(_TRADE % (exchange, symbol, trade_id, time_ms, side, price, size))
        if len(self._lines) >= _LINES:
            self.flush()

    def event(self, event: dict[str, Any]) -> None:
        """Write a fault, or what one did."""
        if self._events is not None:
            self._events.write(msgspec.json.encode(event) + b"\n")
            self._events.flush()

    def flush(self) -> None:
        """Hand over what waits."""
        if self._trades is not None and self._lines:
            self._trades.write(b"".join(self._lines))
            self._trades.flush()
            self._lines.clear()
