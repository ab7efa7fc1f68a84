"""A dashboard of its own for scripts: PostgreSQL, a market that goes on, and the API."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from connectors.local.cache import remove
from connectors.local.stack import Stack, state_folder
from connectors.process.environment import checkout
from schemas.settings import parse_settings
from tests.api.helpers import prepare, serving
from tests.api.static.market import fill, live, this_minute, with_outages, write_events


@contextmanager
def own_site(hours: int) -> Iterator[str]:
    """Serve the dashboard of a market of some hours; return its address."""
    folder = state_folder(checkout()) / "dashboard"
    stack = Stack(folder, environment={})
    try:
        server = stack.start(["postgres"]).variables()["POSTGRES_DSN"]
        name = f"dashboard_{uuid.uuid4().hex}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        dsn = server.rpartition("/")[0] + f"/{name}"
        settings = parse_settings((checkout() / "pipeline.yaml").read_bytes(), "pipeline.yaml")
        prepare(dsn, settings)
        now = this_minute()
        market, events = with_outages(now)
        fill(dsn, market, now - hours * 3_600, now)
        with psycopg.connect(dsn) as connection:
            write_events(connection, events)
        stop = threading.Event()
        feeder = threading.Thread(target=live, args=(dsn, market, now, stop))
        feeder.start()
        try:
            with serving(settings, dsn) as client:
                yield str(client.base_url)
        finally:
            stop.set()
            feeder.join()
    finally:
        stack.stop()
        remove(Path(folder))
