"""The schema is brought up whole, in order, by one process at a time, or it is refused."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql

from connectors.postgres.migrate import migrate
from schemas.errors import SchemaTooNewError, SettingsError, UnavailableError
from schemas.exchanges import EXCHANGES
from schemas.migrations import make_migration, migrations

SLOW = make_migration("0099_slow.sql", "CREATE TABLE half_done (); SELECT pg_sleep(60);")


def history(dsn: str) -> list[tuple[int, str, str]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT version, name, sha256 FROM schema_migrations ORDER BY version"
        ).fetchall()


def has_table(dsn: str, name: str) -> bool:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT to_regclass(%s)", [name]).fetchone() != (None,)


def test_all_migrations_are_applied_and_recorded(postgres_dsn: str) -> None:
    applied = migrate(postgres_dsn)

    assert applied == list(migrations())
    assert history(postgres_dsn) == [
        (migration.version, migration.name, migration.sha256) for migration in migrations()
    ]


def test_a_second_run_finds_nothing_to_do(postgres_dsn: str) -> None:
    migrate(postgres_dsn)

    assert migrate(postgres_dsn) == []


def test_processes_that_migrate_at_the_same_time_share_the_work(postgres_dsn: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(migrate, [postgres_dsn] * 4))

    assert sorted(migration.version for share in shares for migration in share) == [
        migration.version for migration in migrations()
    ]


def test_a_migration_that_is_killed_halfway_leaves_nothing(postgres_dsn: str) -> None:
    migrate(postgres_dsn)
    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(migrate, postgres_dsn, [*migrations(), SLOW])
        with psycopg.connect(postgres_dsn, autocommit=True) as connection:
            sleeping = """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event = 'PgSleep'
            """
            while connection.execute(sleeping).fetchone() is None:
                threading.Event().wait(0.02)
        with pytest.raises(UnavailableError, match="terminating connection"):
            killed.result(timeout=30)

    assert not has_table(postgres_dsn, "half_done")
    assert len(history(postgres_dsn)) == len(migrations())
    assert migrate(postgres_dsn) == []


def test_a_migration_that_fails_leaves_the_ones_before_it(postgres_dsn: str) -> None:
    broken = make_migration("0099_broken.sql", "CREATE TABLE half_done (); SELECT 1 / 0;")

    with pytest.raises(SettingsError, match=r"division by zero"):
        migrate(postgres_dsn, [*migrations(), broken])

    assert not has_table(postgres_dsn, "half_done")
    assert len(history(postgres_dsn)) == len(migrations())


def test_the_schema_of_a_newer_release_is_refused(postgres_dsn: str) -> None:
    newer = make_migration("0099_newer.sql", "CREATE TABLE newer ();")
    migrate(postgres_dsn, [*migrations(), newer])

    with pytest.raises(SchemaTooNewError, match=r"migration 99 \(newer\).*up to \d+"):
        migrate(postgres_dsn)


def test_a_migration_that_was_edited_after_it_was_applied_is_refused(postgres_dsn: str) -> None:
    migrate(postgres_dsn)
    first, *others = migrations()
    edited = make_migration("0001_exchanges.sql", first.sql + "-- edited")

    with pytest.raises(SettingsError, match=r"migration 1 \(exchanges\) was edited"):
        migrate(postgres_dsn, [edited, *others])


def test_an_unreachable_server_is_unavailable_and_the_password_stays_secret() -> None:
    with pytest.raises(UnavailableError) as caught:
        migrate("postgresql://user:hidden@127.0.0.1:1/nowhere")

    assert "Connection refused" in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("dsn", ["postgresql://user:hidden@[", "user:hidden"])
def test_a_malformed_dsn_is_refused_without_repeating_it(dsn: str) -> None:
    with pytest.raises(SettingsError, match="POSTGRES_DSN") as caught:
        migrate(dsn)

    assert "hidden" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_month_is_made_once_by_many_at_the_same_time(dsn: str) -> None:
    def ensure(_: int) -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute("SELECT ensure_month('taker_volume', '2024-10-23 10:25+00')")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ensure, range(16)))

    assert months(dsn) == ["taker_volume_2024_10"]


def test_months_begin_at_midnight_utc_whatever_the_session_says(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("SET timezone = 'America/New_York'")
        for moment in ("2024-02-29 23:59:59+00", "2024-03-01 00:00:00+00"):
            connection.execute("SELECT ensure_month('taker_volume', %s::timestamptz)", [moment])
        bounds = connection.execute(
            """
            SELECT pg_get_expr(relpartbound, oid) FROM pg_class
            WHERE relname = 'taker_volume_2024_03'
            """
        ).fetchone()

    assert months(dsn) == ["taker_volume_2024_02", "taker_volume_2024_03"]
    # Shown in New York's time: midnight UTC, before and after its change to summer time.
    assert bounds == ("FOR VALUES FROM ('2024-02-29 19:00:00-05') TO ('2024-03-31 20:00:00-04')",)


def months(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        cursor = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent = 'taker_volume'::regclass ORDER BY 1"
        )
        return [name for (name,) in cursor]


def test_a_month_is_made_while_others_read_and_write_the_table(dsn: str) -> None:
    with psycopg.connect(dsn) as busy, psycopg.connect(dsn) as connection:
        busy.execute("LOCK TABLE taker_volume IN ROW EXCLUSIVE MODE")
        connection.execute("SET lock_timeout = '1s'")
        connection.execute("SELECT ensure_month('taker_volume', '2024-10-23 10:25+00')")

    assert months(dsn) == ["taker_volume_2024_10"]


def test_a_time_inside_a_minute_is_refused_by_the_table(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT ensure_month('taker_volume', '2024-10-23 10:25+00')")
        with pytest.raises(psycopg.errors.CheckViolation, match="minute_is_whole"):
            connection.execute(INSERT, ["2024-10-23 10:25:01+00"])


INSERT = """
    INSERT INTO taker_volume (
        exchange_id, symbol, minute, taker_buy_volume, taker_sell_volume, taker_buy_notional,
        taker_sell_notional, buy_count, sell_count, is_final, revision, late_trades,
        duplicate_trades
    ) VALUES (8, 'BTC-USDT', %s, 12.3450, 9.87, 0, 0, 1, 1, true, 1, 0, 0)
"""


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_exchange_has_its_view(dsn: str, exchange: str) -> None:
    view = sql.Identifier(f"{exchange}_taker_volume")
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT ensure_month('taker_volume', '2024-10-23 10:25+00')")
        connection.execute(INSERT, ["2024-10-23 10:25+00"])
        cursor = connection.execute(sql.SQL("SELECT * FROM {}").format(view))
        columns = [column.name for column in cursor.description or ()]
        rows = cursor.fetchall()

    assert columns == [
        "exchange_name",
        "symbol",
        "timestamp",
        "taker_buy_volume",
        "taker_sell_volume",
        "created_at",
    ]
    # Only Binance, whose id is 8, has a row.
    assert [row[:3] for row in rows] == (
        [("Binance", "BTC-USDT", datetime(2024, 10, 23, 10, 25, tzinfo=UTC))]
        if exchange == "binance"
        else []
    )


def test_the_reader_reads_everything_also_later_months_and_writes_nothing(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT ensure_month('taker_volume', '2024-10-23 10:25+00')")
        connection.execute(INSERT, ["2024-10-23 10:25+00"])
        connection.execute("SET ROLE marketflow_reader")

        for table in ("taker_volume", "taker_volume_2024_10", "binance_taker_volume"):
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
            assert connection.execute(query).fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM taker_volume")


def test_a_role_without_rights_over_roles_migrates_without_the_reader(postgres_dsn: str) -> None:
    owner = f"owner_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'plain'").format(sql.Identifier(owner))
        )
        connection.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(
                sql.Identifier(connection.info.dbname), sql.Identifier(owner)
            )
        )
    dsn = psycopg.conninfo.make_conninfo(postgres_dsn, user=owner, password="plain")  # noqa: S106  # a role of the test

    assert len(migrate(dsn)) == len(migrations())

    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT ensure_reader()").fetchone() == (False,)
