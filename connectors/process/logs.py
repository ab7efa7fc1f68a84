"""Logs: for a person on a terminal, one JSON object a line anywhere else."""

import logging
import re
import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

import msgspec
from typing_extensions import override

from connectors.process.environment import Shard
from schemas.errors import MarketflowError

log: Final = logging.getLogger("marketflow")

# How the engine tells that SQLite failed: it ends by a panic, with this in its text.
_STORE_FAILURE: Final = re.compile(r'SqliteFailure\(.*Some\(\\?"(.*?)\\?"\)\)')

HUMAN: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """One event as one line.

    Args:
        flow: The dataflow, in every line.
        shard: Its part of the partitions, likewise.
    """

    def __init__(self, flow: str, shard: Shard) -> None:
        super().__init__()
        self._fixed = {"flow": flow, "shard": f"{shard.index}/{shard.count}"}

    @override
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._fixed,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def configure(flow: str, shard: Shard) -> None:
    """Send the process's logs, and Python's warnings, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    human = logging.Formatter(HUMAN)
    handler.setFormatter(human if sys.stderr.isatty() else JsonFormatter(flow, shard))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _say_why


def _say_why(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log why the process ends, in a sentence where the project has one for it.

    The engine wraps what a step raised into errors of its own, several times.
    """
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, MarketflowError):
        reason = reason.__cause__ or reason.__context__
    if reason is None and (failure := _STORE_FAILURE.search(str(error))):
        log.critical(
            "ended: the recovery store cannot be read or written: %s; is its disk full, or the "
            "store damaged? After the remedy the dataflow goes on where it was",
            failure[1],
        )
    elif reason is None:
        log.critical("ended by %s", kind.__name__, exc_info=(kind, error, trace))
    else:
        log.critical("ended: %s", reason)
