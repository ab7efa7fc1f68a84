"""`marketflow init` makes what is missing, may run again and at once, and fails in one sentence."""

import os
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from connectors.kafka.topics import needed_topics
from connectors.process.environment import Environment
from schemas.exchanges import EXCHANGES
from schemas.migrations import migrations
from schemas.settings import parse_settings

PIPELINE = (Path(__file__).parents[3] / "pipeline.yaml").read_text()
TOPICS = len(needed_topics(parse_settings(PIPELINE.encode(), "pipeline.yaml")))


@pytest.fixture
def variables(kafka: str, postgres_dsn: str, tmp_path: Path) -> dict[str, str]:
    """An environment with topics and a database that no other test has, and no object store."""
    prefix = f"test-{uuid.uuid4().hex}-"
    config = tmp_path / "pipeline.yaml"
    config.write_text(
        PIPELINE.replace("SocketDataIn", f"{prefix}In")
        .replace("Region.", f"{prefix}Region.")
        .replace("feed_status: ", f"feed_status: {prefix}")
    )
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "POSTGRES_DSN": postgres_dsn,
        "PIPELINE_CONFIG": str(config),
    }


def init(variables: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("marketflow")
    return subprocess.run(
        [program, "init", *options],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_each_thing_that_was_made_is_a_line(variables: dict[str, str]) -> None:
    names = ", ".join(f"{migration.version} {migration.name}" for migration in migrations())

    done = init(variables)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"topics: {TOPICS} created, 0 present",
        f"migrations: {len(migrations())} applied ({names})",
        "exchanges: 10, 10 of them new or changed",
        "role marketflow_reader: ready",
        "bucket: skipped, S3_ENDPOINT_URL is not set",
    ]


def test_a_second_run_changes_nothing(variables: dict[str, str]) -> None:
    init(variables)

    done = init(variables)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"topics: 0 created, {TOPICS} present",
        "migrations: 0 applied, up to date",
        "exchanges: 10, 0 of them new or changed",
        "role marketflow_reader: ready",
        "bucket: skipped, S3_ENDPOINT_URL is not set",
    ]


def test_two_at_the_same_time_share_the_work(variables: dict[str, str]) -> None:
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(init, [variables] * 2))

    assert [(run.returncode, run.stderr) for run in done] == [(0, "")] * 2
    created = [int(run.stdout.removeprefix("topics: ").partition(" ")[0]) for run in done]
    assert sum(created) == TOPICS
    with psycopg.connect(variables["POSTGRES_DSN"]) as connection:
        history = connection.execute("SELECT version FROM schema_migrations ORDER BY 1")
        assert history.fetchall() == [(migration.version,) for migration in migrations()]


def test_exchange_ids_are_the_written_ones_and_names_may_change(
    variables: dict[str, str],
) -> None:
    init(variables)
    config = Path(variables["PIPELINE_CONFIG"])
    config.write_text(config.read_text().replace("market: Gateio", "market: Gate"))

    done = init(variables)

    assert "exchanges: 10, 1 of them new or changed" in done.stdout
    with psycopg.connect(variables["POSTGRES_DSN"]) as connection:
        cursor = connection.execute("SELECT exchange_id, code, name, region FROM dim_exch")
        exchanges = {number: row for number, *row in cursor}
    assert {number: row[0] for number, row in exchanges.items()} == {
        exchange.id: code for code, exchange in EXCHANGES.items()
    }
    assert exchanges[7] == ["gateio", "Gate", "Asia"]


def test_this_month_and_the_next_two_are_made(variables: dict[str, str]) -> None:
    init(variables)

    with psycopg.connect(variables["POSTGRES_DSN"]) as connection:
        cursor = connection.execute(
            """
            SELECT to_regclass('taker_volume' || to_char(
                date_trunc('month', now() AT TIME ZONE 'UTC') + ahead * interval '1 month',
                '_YYYY_MM'
            )) IS NOT NULL FROM generate_series(0, 2) AS ahead
            """
        )
        assert cursor.fetchall() == [(True,)] * 3


def test_the_bucket_is_made_unless_it_is_not_wanted_yet(
    variables: dict[str, str], minio: Environment
) -> None:
    bucket = f"test-{uuid.uuid4().hex}"
    variables |= {
        "S3_ENDPOINT_URL": minio.require_s3(),
        "S3_BUCKET": bucket,
        "AWS_ACCESS_KEY_ID": minio.aws_access_key_id or "",
        "AWS_SECRET_ACCESS_KEY": minio.aws_secret_access_key or "",
    }

    last_lines = [
        init(variables, *options).stdout.splitlines()[-1] for options in (["--no-bucket"], [], [])
    ]

    assert last_lines == [
        "bucket: skipped, as --no-bucket says",
        f"bucket {bucket}: created",
        f"bucket {bucket}: present",
    ]


def test_the_schema_of_a_newer_release_is_one_sentence_and_exit_1(
    variables: dict[str, str],
) -> None:
    init(variables)
    with psycopg.connect(variables["POSTGRES_DSN"]) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (999, 'newer', 'checksum')")

    done = init(variables)

    assert done.returncode == 1
    assert done.stderr.startswith("Error: the database has migration 999 (newer)")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("POSTGRES_DSN", "", "Error: POSTGRES_DSN is not set"),
        ("POSTGRES_DSN", "postgresql://user:hidden@127.0.0.1:1/x", "Error: PostgreSQL: "),
        ("POSTGRES_DSN", "postgresql://user:hidden@[", "Error: POSTGRES_DSN cannot be read"),
        ("S3_ENDPOINT_URL", "http://127.0.0.1:1", "Error: the object store cannot be reached"),
    ],
)
def test_what_is_wrong_is_one_sentence_without_secrets_and_exit_1(
    variables: dict[str, str], name: str, value: str, message: str
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "hidden"}

    done = init({**variables, **keys, name: value})

    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1
    assert "hidden" not in done.stdout + done.stderr
