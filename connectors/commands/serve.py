"""`marketflow serve`: the API and its pages on one address, until it is told to stop."""

import signal
import socket

import click

from api.app import create_app, is_loopback
from api.server import listen, make_server
from connectors.process.environment import Environment, load_settings


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
    app = create_app(
        load_settings(environment),
        environment.require_postgres(),
        is_public=not is_loopback(host),
    )
    listener = listen(host, port)
    server = make_server(app, access_log=access_log)
    # Uvicorn raises the signal that stopped it once more when it has finished; by then there is
    # nothing left to stop, and having stopped as asked is a success.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: None)
    click.echo(f"API: {_url(listener)}  documentation: {_url(listener)}/docs")
    server.run(sockets=[listener])


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
