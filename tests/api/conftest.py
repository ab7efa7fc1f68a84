"""The API as users meet it: over HTTP, from a real PostgreSQL."""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
import uvicorn
from psycopg import sql

from api.app import create_app
from api.serve import listen
from connectors.environment import Environment
from connectors.postgres.migrate import migrate
from schemas.exchanges import EXCHANGES
from schemas.settings import Settings, parse_settings

FIRST_MINUTE = 1_729_678_800
MINUTES = 120
PIPELINE = Path(__file__).parents[2] / "pipeline.yaml"

Minute = tuple[str, str, int, str, str]
"""Exchange id, symbol, start, taker buy volume, taker sell volume."""


@pytest.fixture(scope="session")
def settings() -> Settings:
    return parse_settings(PIPELINE.read_bytes(), "pipeline.yaml")


@pytest.fixture(scope="session")
def filled_dsn(services: Environment, settings: Settings) -> Iterator[str]:
    """A database of two hours of every exchange's primary symbol; tests only read it."""
    server = services.require_postgres()
    name = f"test_api_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        dsn = server.rpartition("/")[0] + f"/{name}"
        prepare(dsn, settings)
        insert(dsn, *_two_hours(settings))
        yield dsn
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def api(settings: Settings, filled_dsn: str) -> Iterator[httpx.Client]:
    """The API on that database."""
    with serving(settings, filled_dsn) as client:
        yield client


@contextmanager
def serving(settings: Settings, dsn: str) -> Iterator[httpx.Client]:
    """An API of its own on a free port, and a client for it."""
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(create_app(settings, dsn), lifespan="on", ws="none", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server stopped while it started"
            time.sleep(0.01)
        port = listener.getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def prepare(dsn: str, settings: Settings) -> None:
    """Migrates a database and names the exchanges in it."""
    migrate(dsn)
    rows = [
        (number, code, settings.exchanges[code].market, settings.exchanges[code].region)
        for number, code in enumerate(EXCHANGES, start=1)
    ]
    with psycopg.connect(dsn) as connection:
        connection.cursor().executemany("INSERT INTO dim_exch VALUES (%s, %s, %s, %s)", rows)


def insert(dsn: str, *minutes: Minute, is_final: bool = True) -> None:
    """Writes minutes as the dataflow would."""
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        for start in {minute[2] for minute in minutes}:
            cursor.execute("SELECT ensure_month('taker_volume', to_timestamp(%s))", [start])
        cursor.executemany(
            """
            INSERT INTO taker_volume (
                exchange_id, symbol, minute, taker_buy_volume, taker_sell_volume,
                taker_buy_notional, taker_sell_notional, buy_count, sell_count,
                is_final, revision, late_trades, duplicate_trades
            )
            SELECT exchange_id, %s, to_timestamp(%s), %s, %s, 0, 0, 1, 1, %s, 0, 0, 0
            FROM dim_exch WHERE code = %s
            """,
            [
                (symbol, start, buy, sell, is_final, code)
                for code, symbol, start, buy, sell in minutes
            ],
        )


def _two_hours(settings: Settings) -> list[Minute]:
    return [
        (code, exchange.primary_symbol, FIRST_MINUTE + 60 * number, f"{number}.50", "0.00000000")
        for code, exchange in settings.exchanges.items()
        for number in range(MINUTES)
    ] + [
        (code, "ETH-USDT", FIRST_MINUTE + 60 * number, "7", "8")
        for code in ("binance", "okx")
        for number in range(3)
    ]
