from __future__ import annotations

import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource

from connectors.local.processes import ServiceError
from connectors.local.stack import Stack
from connectors.process import probes
from connectors.process.environment import Environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connectors.local.stack import Endpoints


def _answers(endpoints: Endpoints) -> bool:
    environment = Environment.read(endpoints.variables())
    return not (probes.failure("kafka", environment) or probes.failure("postgres", environment))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Another checkout, so deep that no Unix socket could lie in it; its first start is killed."""
    stack = Stack(tmp_path_factory.mktemp("o") / ("deep" * 25) / ".marketflow", environment={})
    script = (
        "import pathlib, sys; from connectors.local.stack import Stack; "
        "Stack(pathlib.Path(sys.argv[1]), environment={}).start(['kafka', 'postgres'])"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(stack.folder)]) as killed:
        # PostgreSQL runs by then, Kafka's first JVM still formats its folder.
        deadline = time.monotonic() + 60
        while not (stack.folder / "postgres" / "data" / "postmaster.pid").exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        killed.kill()
    yield stack
    stack.stop()


@pytest.fixture
def running(other: Stack) -> Stack:
    other.start(["kafka", "postgres"])
    return other


def test_start_takes_over_what_a_killed_one_began(other: Stack) -> None:
    begun = other.state().processes

    endpoints = other.start(["kafka", "postgres"])

    assert begun
    assert begun.items() <= other.state().processes.items()
    assert _answers(endpoints)


def test_second_checkout_does_not_collide(services: Environment, running: Stack) -> None:
    endpoints = running.endpoints()

    assert endpoints.kafka_bootstrap_servers != services.kafka["bootstrap.servers"]
    assert endpoints.postgres_dsn != services.postgres_dsn
    assert _answers(endpoints)
    assert probes.failure("kafka", services) is None


def test_second_start_changes_nothing(running: Stack) -> None:
    before = running.state()

    endpoints = running.start(["kafka", "postgres"])

    assert running.state() == before
    assert _answers(endpoints)


def test_own_services_stay_own_when_the_environment_names_them(running: Stack) -> None:
    shell = Stack(running.folder, environment=running.endpoints().variables())

    assert not shell.is_external("kafka")
    assert not shell.is_external("postgres")
    assert shell.endpoints() == running.endpoints()


def test_secrets_are_readable_by_their_owner_alone(running: Stack) -> None:
    modes = [path.stat().st_mode for path in running.folder.glob("*.json")]

    assert [stat.S_IMODE(mode) for mode in modes] == [0o600, 0o600]
    assert "postgresql://" not in repr(running.endpoints())


def test_killed_server_is_started_again_on_the_same_port(running: Stack) -> None:
    before = running.state()
    server = before.processes["postgres"].find()
    assert server is not None
    server.kill()
    server.wait(10)
    assert running.endpoints().postgres_dsn is None

    endpoints = running.start(["kafka", "postgres"])

    assert running.state().ports == before.ports
    assert running.state().processes["kafka"] == before.processes["kafka"]
    assert _answers(endpoints)


def test_stop_stops_its_own_processes_and_keeps_data(
    services: Environment, stack: Stack, running: Stack
) -> None:
    dsn = running.endpoints().postgres_dsn
    assert dsn is not None
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept ()")
    own = running.state().processes.values()

    stopped = running.stop()

    assert sorted(stopped) == ["kafka", "postgres"]
    assert not any(process.is_running for process in own)
    assert running.state().processes == {}
    assert stack.state().is_running("kafka")
    assert stack.state().is_running("postgres")
    assert running.start(["postgres"]).postgres_dsn == dsn
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchone() == ("kept",)


def test_service_that_the_environment_names_is_used_and_left_alone(
    services: Environment, stack: Stack, tmp_path: Path
) -> None:
    named = {"KAFKA_BOOTSTRAP_SERVERS": services.kafka["bootstrap.servers"]}
    user = Stack(tmp_path / ".marketflow", environment=named)

    endpoints = user.start(["kafka"])

    assert endpoints.variables() == named
    assert user.state().processes == {}
    assert user.stop() == []
    assert stack.state().is_running("kafka")


def test_credentials_of_another_store_are_not_taken_for_the_own_one(tmp_path: Path) -> None:
    shell = Stack(tmp_path, environment={"AWS_ACCESS_KEY_ID": "theirs", "S3_BUCKET": "theirs"})

    assert not shell.is_external("minio")
    assert shell.endpoints().variables() == {}


def test_broker_keeps_recorded_data_however_old_it_is(kafka: str) -> None:
    broker = ConfigResource(ConfigResource.Type.BROKER, "1")
    admin = AdminClient({"bootstrap.servers": kafka})

    config = admin.describe_configs([broker])[broker].result(timeout=20)

    assert config["log.retention.ms"].value == "-1"
    assert config["auto.create.topics.enable"].value == "false"


def test_purge_deletes_data_but_not_what_make_installed(tmp_path: Path) -> None:
    stack = Stack(tmp_path / ".marketflow", environment={})
    stack.start(["postgres"])
    (stack.folder / "bootstrap").mkdir()

    assert stack.stop(purge=True) == ["postgres"]

    assert sorted(path.name for path in stack.folder.iterdir()) == ["bootstrap", "lock"]


def test_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "services.json").write_text("{")

    with pytest.raises(ServiceError, match=r"services\.json is damaged"):
        Stack(tmp_path, environment={}).state()
