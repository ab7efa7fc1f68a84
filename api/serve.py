"""`marketflow serve`: the API and its pages on one address, until it is told to stop."""

import signal
import socket
from typing import Final

import click
import uvicorn

from api.app import create_app
from connectors.environment import Environment, load_settings
from schemas.errors import SettingsError

_STOP_SECONDS: Final = 10


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
    listener = _listen(host, port)
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


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2_048)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another address with "
            "--host and --port, or with API_HOST and API_PORT"
        ) from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
