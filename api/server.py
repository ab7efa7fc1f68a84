"""The server under the application: its socket, its limits, how it stops."""

import socket
from typing import Any, Final

import uvicorn

from schemas.errors import SettingsError

STOP_S: Final = 10
SEND_TIMEOUT_MS: Final = 20_000
"""How long the network may not take what was sent, before the connection is given up."""
_BACKLOG: Final = 2_048


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
            http="httptools",
            ws="websockets-sansio",
            lifespan="on",
            access_log=access_log,
            log_level="info" if access_log else "warning",
            server_header=False,
            timeout_graceful_shutdown=STOP_S,
            ws_max_size=65_536,
        )
    )


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
