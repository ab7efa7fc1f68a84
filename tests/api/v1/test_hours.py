import random
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schemas.settings import Settings
from tests.api.helpers import prepare, serving
from tests.api.v1.minutes import Minute, write

START = 1_729_641_600
HOURS = 6

Change = tuple[int, int, bool, bool | None, bool]
"""Minute, revision, is it final, is it complete, are sums refreshed afterwards."""


def rows_of(api: httpx.Client, interval: str) -> list[dict[str, Any]]:
    query: dict[str, Any] = {
        "symbol": "BTC-KRW",
        "exchange": "upbit",
        "from": START,
        "to": START + 3_600 * HOURS,
        "interval": interval,
        "sort": "asc",
        "limit": 10_000,
    }
    answer = api.get("/v1/taker-volume", params=query)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["rows"]
    return rows


def test_sums_of_hours_equal_the_minutes_under_any_revisions(
    settings: Settings, postgres_dsn: str
) -> None:
    prepare(postgres_dsn, settings)
    with (
        serving(settings, postgres_dsn) as api,
        psycopg.connect(postgres_dsn, autocommit=True) as connection,
    ):
        # From minutes alone: the same statement over a table of hours that is empty.
        plain = """
            SELECT date_bin('1 hour', minute, '1970-01-01Z'), sum(taker_buy_volume),
                   sum(taker_sell_volume), max(high), max(revision), bool_and(is_final)
            FROM taker_volume GROUP BY 1 ORDER BY 1
        """

        @hypothesis_settings(max_examples=15)
        @given(
            st.lists(
                st.tuples(
                    st.integers(0, 60 * HOURS - 1),
                    st.integers(0, 3),
                    st.booleans(),
                    st.sampled_from([True, False, None]),
                    st.booleans(),
                ),
                max_size=12,
            )
        )
        def check(changes: list[Change]) -> None:
            connection.execute("TRUNCATE taker_volume, taker_volume_hour, taker_volume_hour_dirty")
            chance = random.Random(len(changes))
            for number, revision, is_final, is_complete, refreshes in changes:
                write(
                    postgres_dsn,
                    [
                        Minute(
                            "upbit",
                            "BTC-KRW",
                            START + 60 * number,
                            str(chance.randrange(100)),
                            str(chance.randrange(100)),
                            str(chance.randrange(1, 100)),
                            # A final minute never becomes an estimate again.
                            is_final=is_final or revision > 0,
                            is_complete=is_complete,
                            revision=revision + is_final,
                        )
                    ],
                )
                if refreshes:
                    connection.execute("SELECT refresh_hours(100)")
                found = [
                    (
                        datetime.fromisoformat(row["time"]).astimezone(UTC),
                        *(row[name] for name in ("taker_buy_volume", "taker_sell_volume", "high")),
                        row["revision"],
                        row["is_final"],
                    )
                    for row in rows_of(api, "1h")
                ]
                expected = [
                    (row[0], str(row[1]), str(row[2]), str(row[3]), *row[4:])
                    for row in connection.execute(plain).fetchall()
                ]
                assert found == expected

        check()


def test_an_hour_that_changes_while_it_is_summed_stays_marked(
    settings: Settings, postgres_dsn: str
) -> None:
    prepare(postgres_dsn, settings)
    write(postgres_dsn, [Minute("upbit", "BTC-KRW", START, "1", "1")])
    marks = "SELECT count(*) FROM taker_volume_hour_dirty"
    with (
        psycopg.connect(postgres_dsn) as writer,
        psycopg.connect(postgres_dsn, autocommit=True) as refresher,
    ):
        writer.execute(
            "UPDATE taker_volume SET taker_buy_volume = 9, revision = 2, updated_at = now()"
        )
        # The writer's mark is locked: the hour is left alone until the writer has ended.
        assert refresher.execute("SELECT refresh_hours(100)").fetchone() == (0,)
        writer.commit()
        assert refresher.execute("SELECT refresh_hours(100)").fetchone() == (1,)
        assert refresher.execute(marks).fetchone() == (0,)
        hour = refresher.execute("SELECT taker_buy_volume FROM taker_volume_hour").fetchone()
        assert hour is not None
        assert hour[0] == 9
