"""The server under the application: its socket, its limits, how it stops."""

import asyncio
import resource
import socket
from functools import cache
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from schemas.errors import SettingsError

STOP_S: Final = 10
REQUEST_S: Final = 10.0
"""How long a client may take to send a request."""
MAX_CONNECTIONS: Final = 4_000
"""Fewer where the process may not open twice as many files."""
SEND_TIMEOUT_MS: Final = 20_000
"""How long the network may not take what was sent, before the connection is given up."""
_BACKLOG: Final = 2_048
_TOO_MANY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n"
    b"content-length: 0\r\n\r\n"
)


class BoundedProtocol(HttpToolsProtocol):
    """HTTP of which there are so many connections, and each request comes within a time."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or refuse it where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > _max_connections():
            transport.write(_TOO_MANY)
            transport.close()
            return
        self._start_deadline()

    def data_received(self, data: bytes) -> None:
        """Take what came; the first bytes of a request start its time."""
        is_between = self.cycle is None or self.cycle.response_complete
        if is_between and self._deadline is None:
            self._start_deadline()
        super().data_received(data)

    def on_message_complete(self) -> None:
        """Note that a request is whole."""
        self._end_deadline()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_deadline()
        super().connection_lost(exc)

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Server(uvicorn.Server):
    """Uvicorn that ends the streams before it waits for the connections."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: streams would otherwise go on until the time for it is over."""
        application: Any = self.config.app
        application.state.pump.end_all("the server stops: connect again")
        await super().shutdown(sockets)


def make_server(app: Any, *, access_log: bool = False) -> Server:
    """Return a server for the application, with the limits of the API."""
    return Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http=BoundedProtocol,
            ws="websockets-sansio",
            lifespan="on",
            access_log=access_log,
            log_level="info" if access_log else "warning",
            server_header=False,
            timeout_graceful_shutdown=STOP_S,
            ws_max_size=65_536,
        )
    )


@cache
def _max_connections() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files < 0 else min(MAX_CONNECTIONS, files // 2)


def listen(host: str, port: int) -> socket.socket:
    """Take an address, so that one that cannot be had is known before anything starts.

    Raises:
        SettingsError: The port is taken, or the host is not one of this machine.
    """
    try:
        # With its protocol named: asyncio turns Nagle's algorithm off only then, and without that
        # an answer waits 40 ms for the client to acknowledge its head.
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Connections inherit it. Without it, one whose reader stopped would stay for ever.
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT_MS)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another address with "
            "--host and --port, or with API_HOST and API_PORT"
        ) from error
    return listener
