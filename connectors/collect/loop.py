"""The one event loop of a process, in a thread of its own beside the engine's."""

import asyncio
import selectors
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import cache
from typing import Any, Final, TypeVar

from typing_extensions import override

T = TypeVar("T")

# Between two looks at the sockets: frames come in runs then, at half the price each.
PACE_SECONDS: Final = 0.002


class _PacedSelector(selectors.DefaultSelector):
    """Lets more come in before it says what came."""

    @override
    def select(self, timeout: float | None = None) -> Any:
        events = super().select(timeout)
        if events and timeout != 0:
            time.sleep(PACE_SECONDS)
            events = super().select(0)
        return events


class Loop:
    """A running event loop; it ends with the process."""

    def __init__(self) -> None:
        self.loop = asyncio.SelectorEventLoop(_PacedSelector())
        thread = threading.Thread(target=self.loop.run_forever, name="collect", daemon=True)
        thread.start()

    def run(self, call: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine there."""
        return asyncio.run_coroutine_threadsafe(call, self.loop)


@cache
def shared_loop() -> Loop:
    """Return the process's own."""
    return Loop()
