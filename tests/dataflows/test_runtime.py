"""A dataflow's start: what is wrong with its surroundings is one sentence, not a traceback."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.dataflows.harness import Pipeline
from tests.dataflows.market import make_market

ROOT = Path(__file__).parents[2]
COMPLETE = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "POSTGRES_DSN": "postgresql://nobody:hidden@127.0.0.1:1/none",
}


def start(**variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "bytewax.run", "dataflows.taker_volume"],
        cwd=ROOT,
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"KAFKA_BOOTSTRAP_SERVERS": ""}, "KAFKA_BOOTSTRAP_SERVERS is not set"),
        ({"POSTGRES_DSN": ""}, "POSTGRES_DSN is not set"),
        ({"SHARD": "2/2"}, "SHARD is '2/2'"),
        ({"STOP_AT_END": "yes"}, "STOP_AT_END is 'yes'"),
        ({"PIPELINE_CONFIG": "/nowhere.yaml"}, "/nowhere.yaml: No such file"),
        ({"METRICS_PORT": "many"}, "METRICS_PORT is 'many'"),
        ({"METRICS_PORT": "70000"}, "METRICS_PORT is '70000'"),
    ],
)
def test_a_wrong_environment_ends_with_one_sentence_that_names_the_variable(
    changes: dict[str, str], said: str
) -> None:
    done = start(**{**COMPLETE, **changes})

    assert done.returncode == 1
    assert done.stderr.startswith(f"marketflow: {said}"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "hidden" not in done.stderr


def test_a_wrong_pipeline_yaml_is_refused_with_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text((ROOT / "pipeline.yaml").read_text().replace("market: OKX", "markt: OKX"))

    done = start(**COMPLETE, PIPELINE_CONFIG=str(path))

    assert done.returncode == 1
    assert done.stderr.startswith(f"marketflow: {path}: ")
    assert "unknown field `markt`" in done.stderr
    assert "$.exchanges.okx" in done.stderr


def test_a_taken_metrics_port_is_said() -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104  # every address is taken
        done = start(**COMPLETE, METRICS_PORT=str(taken.getsockname()[1]))

    assert done.returncode == 1
    assert "METRICS_PORT" in done.stderr


def test_a_broker_that_does_not_answer_ends_with_a_sentence() -> None:
    done = start(**COMPLETE)

    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert "ended: Kafka at 127.0.0.1:1 cannot be reached: " in last
    assert "Traceback" not in done.stderr
    assert "hidden" not in done.stderr


def test_tables_that_are_missing_end_with_a_sentence_that_says_what_to_do(
    make_pipeline: Callable[..., Pipeline],
) -> None:
    pipeline = make_pipeline()
    trade = make_market(count=1, symbols=1, minutes=1)[0]
    pipeline.produce(pipeline.settings.regions["NE"].topics.trade, 0, [(b"x", trade.frame())])
    with psycopg.connect(pipeline.dsn) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")

    done = start(**pipeline.variables, STOP_AT_END="1")

    assert done.returncode == 1
    assert "run `marketflow init`" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
