"""`marketflow serve`: the API and its pages on one address, until it is told to stop."""

import signal
import socket
from typing import Final

import click
import uvicorn

from api.app import create_app
from connectors.process.environment import Environment, load_settings
from schemas.errors import SettingsError

_STOP_SECONDS: Final = 10
_BACKLOG: Final = 2_048


@click.command()
@click.option("--host", envvar="API_HOST", default="127.0.0.1", show_default=True, show_envvar=True)
@click.option(
    "--port",
    envvar="API_PORT",
    type=click.IntRange(0, 65_535),
    default=8000,
    show_default=True,
    show_envvar=True,
    help="0 takes a free one.",
)
@click.option("--access-log", is_flag=True, help="Print a line for each request.")
def serve(host: str, port: int, *, access_log: bool) -> None:
    """Serve the API and its documentation over HTTP."""
    environment = Environment.read()
    app = create_app(load_settings(environment), environment.require_postgres())
    listener = listen(host, port)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="on",
            access_log=access_log,
            log_level="info" if access_log else "warning",
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    )
    # Uvicorn raises the signal that stopped it once more when it has finished; by then there is
    # nothing left to stop, and having stopped as asked is a success.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: None)
    click.echo(f"API: {_url(listener)}  documentation: {_url(listener)}/docs")
    server.run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Takes an address, so that one that cannot be had is known before anything starts.

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


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
