"""What a WebSocket client offers to a session, and what it tells it.

Two libraries are behind it: :mod:`connectors.websocket.fast` (picows) and
:mod:`connectors.websocket.portable` (websockets). Both join fragments, refuse messages that are
too long, answer pings, verify TLS (against `SSL_CERT_FILE`, else the system's certificates), send
no `Origin` and do not offer compression.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeAlias

import msgspec

from schemas.errors import UnavailableError


class Listener(Protocol):
    """What a session does with what comes."""

    def take(self, message: bytes, is_last: bool, /) -> None:  # noqa: FBT001  # a hot call
        """Take a whole message; `is_last`: nothing more has been read by now."""
        ...

    def stir(self) -> None:
        """Note that a ping or a pong came: the transport lives."""
        ...

    def end(self, code: int, reason: str, /) -> None:
        """Note that the connection is over, once; 1006 where nobody said why."""
        ...


class Connection(Protocol):
    """An open connection."""

    def send(self, message: bytes, /) -> None:
        """Send a text message."""
        ...

    def ping(self) -> None:
        """Send a ping."""
        ...

    def pause(self) -> None:
        """Stop reading from the socket; pings are not answered meanwhile."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def close(self) -> None:
        """Close it, without waiting for the other side."""
        ...


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to connect."""

    timeout_seconds: float = 10.0
    """For the whole handshake."""
    max_message_bytes: int = 16_777_216
    """A longer message ends the connection with 1009."""
    proxy: str | None = None
    """The URL of an HTTP or SOCKS5 proxy, which looks names up."""


Open: TypeAlias = Callable[[str, Listener, Options], Coroutine[Any, Any, Connection]]
"""Opens a connection to a URL.

Raises:
    RefusedError: The server answers, but not with a WebSocket.
    UnavailableError: It cannot be reached.
"""


class RefusedError(UnavailableError):
    """The server answered the handshake with another status than 101.

    Args:
        status: The HTTP status.
        retry_after_seconds: What the server asks to wait, if it says so.
    """

    def __init__(self, message: str, status: int, retry_after_seconds: float | None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


def seconds_of(retry_after: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header; a date is not read."""
    text = (retry_after or "").strip()
    return float(text) if text.isascii() and text.isdigit() else None
