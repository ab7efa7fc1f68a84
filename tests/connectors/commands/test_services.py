from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from connectors.local.stack import Stack
    from connectors.process.environment import Environment

_MARKETFLOW = str(Path(sys.executable).with_name("marketflow"))


def _marketflow(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_MARKETFLOW, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_env_is_what_a_shell_evaluates(services: Environment, stack: Stack) -> None:
    printed = _marketflow("env", "--state", stack.folder)
    shell = subprocess.run(
        ["bash", "-c", f'{printed.stdout}\nprintf "%s" "$POSTGRES_DSN"'],
        capture_output=True,
        text=True,
        check=True,
    )

    assert shell.stdout == services.postgres_dsn


def test_env_passes_on_what_the_environment_names(stack: Stack, services: Environment) -> None:
    named = {"KAFKA_BOOTSTRAP_SERVERS": "broker:9092", "POSTGRES_DSN": "postgresql://a b'c/d"}

    printed = _marketflow("env", "--state", stack.folder, **named)

    assert printed.stdout.splitlines()[:2] == [
        "export KAFKA_BOOTSTRAP_SERVERS=broker:9092",
        """export POSTGRES_DSN='postgresql://a b'"'"'c/d'""",
    ]


def test_env_without_services_fails_with_a_sentence(tmp_path: Path) -> None:
    printed = _marketflow("env", "--state", tmp_path)

    assert printed.returncode == 1
    assert printed.stdout == ""
    assert "no service is running" in printed.stderr
    assert "make up" in printed.stderr


def test_status_shows_where_the_services_are(services: Environment, stack: Stack) -> None:
    shown = _marketflow("status", "--state", stack.folder).stdout

    kafka = next(line for line in shown.splitlines() if "Kafka" in line)
    assert services.kafka["bootstrap.servers"] in kafka
    assert str(stack.state().processes["kafka"].pid) in kafka
    assert kafka.rstrip().endswith("yes")
    password = (services.postgres_dsn or "").split(":")[2].split("@")[0]
    assert password not in shown


def test_doctor_reports_an_unreachable_broker(tmp_path: Path) -> None:
    started_at = time.monotonic()

    shown = _marketflow("doctor", "--state", tmp_path, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")

    assert shown.returncode == 1
    lines = shown.stdout.splitlines()
    broken = next(i for i, line in enumerate(lines) if line.startswith("✗ Kafka: 127.0.0.1:1 "))
    assert "KAFKA_BOOTSTRAP_SERVERS" in lines[broken + 1]
    assert time.monotonic() - started_at < 60


def test_doctor_says_what_init_would_make(services: Environment, stack: Stack) -> None:
    shown = _marketflow("doctor", "--state", stack.folder).stdout

    assert "✓ PostgreSQL: 127.0.0.1:" in shown
    assert "✗ Tables: missing: " in shown
    assert "→ run `marketflow init`" in shown


def test_up_and_down_say_what_they_do(tmp_path: Path) -> None:
    named = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "S3_ENDPOINT_URL": "http://127.0.0.1:1"}

    up = _marketflow("up", "--state", tmp_path, **named)
    down = _marketflow("down", "--state", tmp_path, **named)
    again = _marketflow("down", "--state", tmp_path, **named)

    assert "Kafka: the one that KAFKA_BOOTSTRAP_SERVERS names" in up.stderr
    assert "PostgreSQL: running on 127.0.0.1:" in up.stderr
    assert [up.returncode, down.returncode, again.returncode] == [0, 0, 0]
    assert "PostgreSQL: stopped" in down.stderr
    assert "nothing was running" in again.stderr


@pytest.mark.parametrize("command", ["up", "down", "env", "status", "doctor"])
def test_command_explains_itself(command: str) -> None:
    shown = _marketflow(command, "--help")

    assert shown.returncode == 0
    assert "--state" in shown.stdout
