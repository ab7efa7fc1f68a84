"""The writer loses nothing, keeps the newest state of a minute, and says when it cannot."""

import itertools
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from psycopg import sql

from connectors.local.stack import Stack
from connectors.postgres.migrate import migrate
from connectors.postgres.tables import TAKER_VOLUME
from connectors.postgres.writer import PENDING_BATCHES, TableWriter
from schemas.errors import SettingsError, UndeliveredError
from schemas.records import TakerVolume
from schemas.settings import PostgresSettings
from tests.connectors.postgres.conftest import add_exchanges
from tests.connectors.postgres.minutes import MINUTE, minute, state, stored

few_examples = settings(
    max_examples=25,
    deadline=None,
    # Examples share the database on purpose: each has a symbol of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
symbols = (f"COIN{number}-USDT" for number in itertools.count())


@contextmanager
def writing(
    dsn: str, *, flush_rows: int = 100, flush_timeout_ms: int = 10_000
) -> Iterator[TableWriter[TakerVolume]]:
    writer = TableWriter(
        dsn,
        PostgresSettings(flush_rows=flush_rows, flush_timeout_ms=flush_timeout_ms),
        TAKER_VOLUME,
    )
    try:
        yield writer
    finally:
        writer.close()


@contextmanager
def locked_table(dsn: str) -> Iterator[None]:
    """Nobody can write while this lasts."""
    with psycopg.connect(dsn) as connection:
        connection.execute("LOCK TABLE taker_volume IN EXCLUSIVE MODE")
        yield


def rows_written() -> float:
    return REGISTRY.get_sample_value("marketflow_rows_total", {"table": "taker_volume"}) or 0.0


def test_every_field_of_a_minute_is_stored(dsn: str) -> None:
    with writing(dsn) as writer:
        writer.put([minute()])
        writer.flush(10)

    assert stored(dsn) == [minute()]


def test_a_minute_without_trades_has_no_prices(dsn: str) -> None:
    quiet = minute(open=None, high=None, low=None, close=None, vwap=None)

    with writing(dsn) as writer:
        writer.put([quiet])
        writer.flush(10)

    assert stored(dsn) == [quiet]


numbers = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=12),
    st.builds(
        lambda sign, digits, exponent: Decimal((sign, digits, exponent)),
        st.integers(0, 1),
        st.lists(st.integers(0, 9), min_size=1, max_size=60).map(tuple),
        st.integers(-200, 200),
    ),
)


@few_examples
@given(values=st.lists(st.none() | numbers, min_size=1, max_size=20))
def test_numbers_are_stored_exactly(dsn: str, values: list[Decimal | None]) -> None:
    symbol = next(symbols)
    rows = [
        minute(
            symbol=symbol,
            minute=MINUTE + 60 * number,
            open=value,
            taker_buy_volume=value if value is not None else Decimal("1E+8"),
        )
        for number, value in enumerate(values)
    ]

    with writing(dsn) as writer:
        writer.put(rows)
        writer.flush(10)

    assert [row for row in stored(dsn) if row.symbol == symbol] == rows


@pytest.mark.parametrize("symbol", ['A"B', "A\\B", "A,B", "{A}", "NULL", "A B", "", "Ä-€"])
def test_odd_symbols_are_stored_as_they_are(dsn: str, symbol: str) -> None:
    with writing(dsn) as writer:
        writer.put([minute(symbol=symbol)])
        writer.flush(10)

    assert [row.symbol for row in stored(dsn)] == [symbol]


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        (state(0, 4, 0), state(0, 5, 0)),
        (state(0, 9, 0), state(1, 5, 0)),
        (state(1, 9, 9), state(2, 10, 0)),
        (state(4, 8, 0), state(1, 10, 0)),
        (state(1, 5, 0), state(2, 5, 0)),
        (state(1, 5, 0), state(1, 5, 1)),
    ],
    ids=[
        "estimate, estimate",
        "estimate, final",
        "final, revision",
        "fewer trades of a higher revision",
        "final, completeness",
        "fewer duplicates",
    ],
)
def test_a_smaller_state_never_overwrites_a_larger_one(
    dsn: str, smaller: TakerVolume, larger: TakerVolume
) -> None:
    with writing(dsn) as writer:
        for row in (smaller, larger, smaller):
            writer.put([row])
            writer.flush(10)

    assert stored(dsn) == [larger]


states = st.builds(state, st.integers(0, 3), st.integers(0, 5), st.integers(0, 2))


@few_examples
@given(data=st.data(), sequence=st.lists(states, min_size=1, max_size=12))
def test_any_order_of_states_ends_in_the_same_row(
    dsn: str, data: st.DataObject, sequence: list[TakerVolume]
) -> None:
    symbol = next(symbols)
    with writing(dsn) as writer:
        for row in sequence:
            writer.put([minute_of(row, symbol)])
            if data.draw(st.booleans(), label="flush"):
                writer.flush(10)
        writer.flush(10)

    newest = max(sequence, key=TAKER_VOLUME.progress)
    assert [row for row in stored(dsn) if row.symbol == symbol] == [minute_of(newest, symbol)]


def minute_of(row: TakerVolume, symbol: str) -> TakerVolume:
    return state(row.revision, row.buy_count + row.sell_count, row.duplicate_trades, symbol=symbol)


def test_a_newer_state_keeps_the_time_of_creation_and_moves_the_time_of_update(dsn: str) -> None:
    def times() -> tuple[object, ...]:
        with psycopg.connect(dsn) as connection:
            query = "SELECT created_at, updated_at FROM taker_volume"
            return connection.execute(query).fetchone() or ()

    with writing(dsn) as writer:
        writer.put([state(0, 1, 0)])
        writer.flush(10)
        first = times()
        writer.put([state(0, 2, 0)])
        writer.flush(10)

    assert times()[0] == first[0] == first[1]
    assert times()[1] != first[1]


def test_only_changed_rows_are_counted(dsn: str) -> None:
    before = rows_written()

    with writing(dsn) as writer:
        for row in (state(0, 1, 0), state(0, 2, 0), state(0, 1, 0)):
            writer.put([row])
            writer.flush(10)

    assert rows_written() - before == 2


def test_rows_of_any_month_find_their_partition(dsn: str) -> None:
    rows = [minute(minute=moment) for moment in (0, MINUTE, MINUTE + 86_400 * 365)]

    with writing(dsn) as writer:
        writer.put(rows)
        writer.flush(10)

    assert stored(dsn) == rows


def test_the_next_month_is_there_a_week_ahead(dsn: str) -> None:
    # 2024-10-25 00:00 UTC
    with writing(dsn) as writer:
        writer.put([minute(minute=1_729_814_400)])
        writer.flush(10)

    with psycopg.connect(dsn) as connection:
        query = "SELECT to_regclass('taker_volume_2024_11') IS NOT NULL"
        assert connection.execute(query).fetchone() == (True,)


def test_more_rows_than_one_statement_takes_are_all_written(dsn: str) -> None:
    rows = [minute(minute=MINUTE + 60 * number) for number in range(1_050)]

    with writing(dsn, flush_rows=100) as writer:
        writer.put(rows)
        writer.flush(20)

    assert stored(dsn) == rows


def test_writers_of_the_same_rows_do_not_block_each_other_for_ever(dsn: str) -> None:
    rows = [minute(minute=MINUTE + 60 * number) for number in range(500)]
    newer = [minute(minute=row.minute, revision=2) for row in rows]

    with writing(dsn) as one, writing(dsn) as other:
        for _ in range(3):
            one.put(rows)
            other.put(newer[::-1])
        one.flush(20)
        other.flush(20)

    assert stored(dsn) == newer


def test_terminated_connections_lose_nothing(dsn: str) -> None:
    rows = [minute(minute=MINUTE + 60 * number) for number in range(3_000)]
    kill = """
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'marketflow'
    """
    killed = 0

    with writing(dsn, flush_rows=50) as writer, psycopg.connect(dsn, autocommit=True) as killer:
        for start in range(0, len(rows), 300):
            writer.put(rows[start : start + 300])
            (count,) = killer.execute(kill).fetchone() or (0,)
            killed += count
        writer.flush(30)

    assert killed > 0
    assert stored(dsn) == rows


def test_a_restart_of_the_server_loses_nothing_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stack = Stack(tmp_path, environment={})
    dsn = stack.start(["postgres"]).variables()["POSTGRES_DSN"]
    rows = [minute(minute=MINUTE + 60 * number) for number in range(300)]
    caplog.set_level(logging.INFO, "marketflow.postgres")
    try:
        migrate(dsn)
        add_exchanges(dsn)
        with writing(dsn, flush_rows=50, flush_timeout_ms=30_000) as writer:
            writer.put(rows[:100])
            writer.flush(10)
            stack.stop()
            writer.put(rows[100:])
            with pytest.raises(UndeliveredError, match=r"200 rows wait.*0.5 s: .*refused"):
                writer.flush(0.5)
            stack.start(["postgres"])
            writer.flush(30)
        assert stored(dsn) == rows
    finally:
        stack.stop()

    lines = [record.message for record in caplog.records if record.name == "marketflow.postgres"]
    assert len(lines) == 2
    assert lines[0].startswith("PostgreSQL does not take rows, retrying: ")
    assert lines[1].startswith("PostgreSQL takes rows again, after ")
    password = psycopg.conninfo.conninfo_to_dict(dsn)["password"]
    assert str(password) not in caplog.text


def test_flush_raises_at_its_deadline_and_nothing_is_lost(dsn: str) -> None:
    with writing(dsn) as writer:
        with locked_table(dsn):
            writer.put([minute()])
            started = time.monotonic()
            with pytest.raises(UndeliveredError, match=r"written within 0\.3 s"):
                writer.flush(0.3)
            assert time.monotonic() - started < 10
        writer.flush(10)

    assert stored(dsn) == [minute()]


def test_flush_with_nothing_to_write_does_not_need_the_server() -> None:
    with writing("postgresql://127.0.0.1:1/nowhere") as writer:
        writer.flush(0)


def test_a_full_writer_holds_the_dataflow_back_and_then_raises(dsn: str) -> None:
    rows = [minute(minute=MINUTE + 60 * number) for number in range(10 * PENDING_BATCHES + 11)]

    with (
        locked_table(dsn),
        writing(dsn, flush_rows=10, flush_timeout_ms=300) as writer,
        pytest.raises(UndeliveredError, match="210 rows wait"),
    ):
        writer.put(rows)


def test_a_full_writer_takes_rows_again_when_the_server_does(dsn: str) -> None:
    rows = [minute(minute=MINUTE + 60 * number) for number in range(20 * PENDING_BATCHES)]

    with writing(dsn, flush_rows=10) as writer:
        with locked_table(dsn):
            waiting = threading.Thread(target=writer.put, args=[rows])
            waiting.start()
            waiting.join(0.3)
            assert waiting.is_alive()
        waiting.join(10)
        writer.flush(10)

    assert stored(dsn) == rows


def test_newer_states_of_minutes_that_wait_take_no_room(dsn: str) -> None:
    with writing(dsn, flush_rows=1) as writer:
        with locked_table(dsn):
            for trades in range(50 * PENDING_BATCHES):
                writer.put([state(0, trades, 0)])
        writer.flush(10)

    assert stored(dsn) == [state(0, 50 * PENDING_BATCHES - 1, 0)]


def test_an_exchange_that_the_database_lacks_is_a_setting_to_correct(dsn: str) -> None:
    with writing(dsn) as writer:
        writer.put([minute(exchange="mtgox")])
        with pytest.raises(SettingsError, match=r"mtgox .* run `marketflow init`"):
            writer.flush(10)


def test_an_exchange_that_is_added_while_the_writer_runs_is_found(dsn: str) -> None:
    with writing(dsn) as writer:
        writer.put([minute()])
        writer.flush(10)
        with psycopg.connect(dsn) as connection:
            connection.execute("INSERT INTO dim_exch VALUES (99, 'mtgox', 'Mt. Gox', 'Asia')")
        writer.put([minute(exchange="mtgox")])
        writer.flush(10)

    assert [row.exchange for row in stored(dsn)] == ["binance", "mtgox"]


def test_a_database_without_tables_asks_for_init(postgres_dsn: str) -> None:
    with writing(postgres_dsn) as writer:
        writer.put([minute()])
        with pytest.raises(SettingsError, match="run `marketflow init`"):
            writer.flush(10)


def test_rows_that_the_table_refuses_stop_the_writer(dsn: str) -> None:
    with writing(dsn) as writer:
        writer.put([minute(minute=MINUTE + 1)])
        with pytest.raises(UndeliveredError, match="minute_is_whole"):
            writer.flush(10)
        with pytest.raises(UndeliveredError, match="minute_is_whole"):
            writer.put([minute()])

    assert stored(dsn) == []


def test_a_minute_beyond_the_calendar_stops_the_writer_and_does_not_look_slow(dsn: str) -> None:
    with writing(dsn) as writer:
        writer.put([minute(minute=10**15)])
        with pytest.raises(UndeliveredError, match="writer of taker_volume failed"):
            writer.flush(10)


@pytest.mark.parametrize(
    ("relation", "exchange", "time"),
    [("taker_volume", "exchange_id = 8", "minute"), ("binance_taker_volume", "true", "timestamp")],
)
def test_newest_first_is_the_primary_key_read_backwards(
    dsn: str, relation: LiteralString, exchange: LiteralString, time: LiteralString
) -> None:
    rows = [
        minute(symbol=symbol, minute=MINUTE + 1_800 * number)
        for symbol in ("BTC-USDT", "ETH-USDT", "XRP-USDT")
        for number in range(2_000)
    ]
    with writing(dsn, flush_rows=2_000) as writer:
        writer.put(rows)
        writer.flush(20)

    query = sql.SQL(
        "EXPLAIN SELECT * FROM {} WHERE {} AND symbol = 'BTC-USDT' ORDER BY {} DESC LIMIT 10"
    ).format(sql.Identifier(relation), sql.SQL(exchange), sql.Identifier(time))
    with psycopg.connect(dsn) as connection:
        connection.execute("ANALYZE taker_volume")
        plan = "\n".join(line for (line,) in connection.execute(query))

    assert "Index Scan Backward using taker_volume_" in plan
    assert "Sort" not in plan
