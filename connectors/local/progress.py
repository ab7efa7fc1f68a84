"""Shows what several services are doing at once: live lines on a terminal, plain ones elsewhere."""

from __future__ import annotations

import threading
import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

_PLAIN_INTERVAL_SECONDS = 10.0


class Progress:
    """One line for each service, from its first step until it is done.

    ::

        with Progress() as progress:
            progress.show("Kafka", "starting")
            progress.done("Kafka", "127.0.0.1:9092")
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._lock = threading.Lock()
        self._steps: dict[str, Spinner] = {}
        self._printed_at: dict[str, float] = {}
        self._live = Live(console=self._console, transient=True, refresh_per_second=8)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def done(self, name: str, result: str) -> None:
        """Replace a service's line by its result, for good."""
        with self._lock:
            self._steps.pop(name, None)
            self._printed_at.pop(name, None)
            self._redraw()
            self._console.print(Text(f"{name}: {result}"), soft_wrap=True)

    def show(self, name: str, step: str) -> None:
        """Tell what one service is doing at the moment."""
        with self._lock:
            if self._console.is_terminal:
                self._steps[name] = Spinner("dots", Text(f"{name}: {step}"))
                self._redraw()
                return
            now = time.monotonic()
            if now - self._printed_at.get(name, -_PLAIN_INTERVAL_SECONDS) < _PLAIN_INTERVAL_SECONDS:
                return
            self._printed_at[name] = now
            self._console.print(Text(f"{name}: {step}"), soft_wrap=True)

    def _redraw(self) -> None:
        lines = Table.grid()
        for spinner in self._steps.values():
            lines.add_row(spinner)
        self._live.update(lines)
