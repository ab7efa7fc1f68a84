import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from connectors.postgres.connection import Connection, connect
from connectors.postgres.maintenance import (
    cut_changes,
    index_months,
    months,
    refresh_hours,
    rewrite_months,
)
from schemas.settings import parse_settings
from tests.api.helpers import prepare
from tests.api.v1.minutes import Minute, write

START = 1_729_641_600
PIPELINE = Path(__file__).parents[3] / "pipeline.yaml"


@pytest.fixture
def connection(postgres_dsn: str) -> Iterator[Connection]:
    """A database with two hours of two markets of a month that is long over."""
    prepare(postgres_dsn, parse_settings(PIPELINE.read_bytes(), "pipeline.yaml"))
    # Minute after minute, as a live writer does.
    write(
        postgres_dsn,
        [
            Minute(code, "BTC-USDT", START + 60 * number, str(number), "1")
            for number in range(120)
            for code in ("okx", "binance")
        ],
    )
    with connect(postgres_dsn) as found:
        yield found


def test_hours_that_are_over_are_summed_once(connection: Connection) -> None:
    assert refresh_hours(connection) == 4
    assert refresh_hours(connection) == 0
    sums = connection.execute("SELECT sum(taker_buy_volume) FROM taker_volume_hour").fetchone()
    assert sums == (2 * sum(range(120)),)


def test_the_log_is_cut_behind_two_days_and_says_where(connection: Connection) -> None:
    assert cut_changes(connection) == 0
    connection.execute(
        "UPDATE taker_volume_changes SET recorded_at = now() - interval '3 days' WHERE seq <= 100"
    )
    assert cut_changes(connection) == 100
    assert connection.execute("SELECT seq FROM taker_volume_changes_cut").fetchone() == (100,)
    assert connection.execute("SELECT min(seq) FROM taker_volume_changes").fetchone() == (101,)


def test_months_of_before_get_their_index(connection: Connection) -> None:
    connection.execute("DROP INDEX taker_volume_2024_10_minute_brin")
    assert list(index_months(connection)) == ["taker_volume_2024_10"]
    assert list(index_months(connection)) == []


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (
            "LOCK TABLE ONLY taker_volume IN ROW EXCLUSIVE MODE",
            "UPDATE taker_volume SET late_trades = late_trades",
        ),
        ("SELECT FROM dim_exch", "SELECT FROM taker_volume"),
    ],
)
def test_rewriting_gives_way_to_readers_and_writers(
    connection: Connection, postgres_dsn: str, first: LiteralString, then: LiteralString
) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT granted"
    with ThreadPoolExecutor(1) as pool, connect(postgres_dsn) as watcher:
        with connect(postgres_dsn) as other, other.transaction():
            other.execute(first)
            rewriting = pool.submit(lambda: list(rewrite_months(connection)))
            while watcher.execute(waiting, [connection.info.backend_pid]).fetchone() == (0,):
                assert not rewriting.done()
            assert other.execute(then).rowcount == 240
        assert "taker_volume_2024_10" in rewriting.result()


def test_a_rewritten_month_has_its_rows_in_order_and_its_late_writes(
    connection: Connection, postgres_dsn: str
) -> None:
    stop = threading.Event()

    def revise() -> None:
        revision = 1
        while not stop.is_set():
            revision += 1
            late = Minute("okx", "BTC-USDT", START + 60 * 7, "1", "1", revision=revision)
            write(postgres_dsn, [late])
            written.append(revision)

    written: list[int] = []
    writer = threading.Thread(target=revise)
    writer.start()
    try:
        rewritten = list(rewrite_months(connection))
    finally:
        stop.set()
        writer.join()
    assert "taker_volume_2024_10" in rewritten
    assert list(rewrite_months(connection)) == []
    with psycopg.connect(postgres_dsn) as reader:
        found = reader.execute(
            "SELECT count(*), max(revision), sum(taker_buy_volume) FROM taker_volume"
        ).fetchone()
    assert found == (240, written[-1], 2 * sum(range(120)) - 7 + 1)
    by_place = connection.execute(
        "SELECT exchange_id, symbol, minute FROM taker_volume_2024_10 "
        "WHERE revision = 1 ORDER BY ctid"
    ).fetchall()
    assert by_place == sorted(by_place)
    assert next(each for each in months(connection, "taker_volume")).is_in_order
