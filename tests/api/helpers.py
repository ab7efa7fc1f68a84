"""An API of its own over HTTP, and minutes in a database for it to read."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg

from api.app import create_app
from api.server import listen, make_server
from connectors.postgres.migrate import migrate
from schemas.exchanges import EXCHANGES
from schemas.settings import Settings

FIRST_MINUTE = 1_729_678_800
MINUTES = 120

Minute = tuple[str, str, int, str, str]
"""Exchange id, symbol, start, taker buy volume, taker sell volume."""


@contextmanager
def serving(
    settings: Settings, dsn: str, *, port: int = 0, is_public: bool = False
) -> Iterator[httpx.Client]:
    """An API of its own on a free port or a given one, and a client for it."""
    listener = listen("127.0.0.1", port)
    server = make_server(create_app(settings, dsn, is_public=is_public))
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
        (exchange.id, code, settings.exchanges[code].market, settings.exchanges[code].region)
        for code, exchange in EXCHANGES.items()
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


def two_hours(settings: Settings) -> list[Minute]:
    """Two hours of the primary symbol of every exchange, three minutes of another of two."""
    return [
        (code, exchange.primary_symbol, FIRST_MINUTE + 60 * number, f"{number}.50", "0.00000000")
        for code, exchange in settings.exchanges.items()
        for number in range(MINUTES)
    ] + [
        (code, "ETH-USDT", FIRST_MINUTE + 60 * number, "7", "8")
        for code in ("binance", "okx")
        for number in range(3)
    ]
