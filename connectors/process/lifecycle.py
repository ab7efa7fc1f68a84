"""How a process of a dataflow lives: when its loop turned last, and whether it is to stop."""

import time
from typing import Final


class StopFlag:
    """A request to stop, set by a signal handler; each partition ends at its next batch."""

    is_set = False


class Heart:
    """The time at which the process's loop turned last."""

    def __init__(self) -> None:
        self.beaten_at: float | None = None
        """By the monotonic clock; `None`: it has not begun."""

    def beat(self) -> None:
        """Note that the loop turns."""
        self.beaten_at = time.monotonic()


STOP: Final = StopFlag()
HEART: Final = Heart()
