"""A recovery store is made whole, held by one process, and refused in a sentence when damaged."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.process.recovery import RECOVERY_PARTITIONS, hold_store, make_store
from schemas.errors import SettingsError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    make_store(tmp_path / "store")
    return tmp_path / "store"


def hold(folder: Path, *more: str) -> None:
    hold_store(["dataflows.ticker", "-r", str(folder), "-s", "1", "-b", "0", *more], {})


def holder(folder: Path) -> "subprocess.Popen[str]":
    """Start a process that holds a store until its input ends."""
    program = (
        "import sys; from connectors.process.recovery import hold_store\n"
        f"hold_store(['-r', {str(folder)!r}], {{}}); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_with_the_pid_of_the_first(store: Path) -> None:
    first = holder(store)
    with pytest.raises(SettingsError, match=rf"store: process {first.pid} uses it"):
        hold(store)
    hold(store, "-i", "1", "-a", "127.0.0.1:1;127.0.0.1:2")  # a cluster shares it
    first.kill()
    first.communicate()
    hold(store)


def test_a_store_that_was_not_made_whole_is_made_anew(store: Path) -> None:
    (store / "part-3.sqlite3").unlink()
    (store / "part-2.sqlite3").write_bytes(b"")
    with pytest.raises(SettingsError, match="part-2"):
        hold(store)
    make_store(store)
    assert len([*store.glob("part-*.sqlite3")]) == RECOVERY_PARTITIONS
    hold(store)


def test_a_killed_creation_leaves_no_half_store(tmp_path: Path) -> None:
    program = f"from pathlib import Path; from connectors.process.recovery import make_store\nmake_store(Path({str(tmp_path / 'store')!r}))"  # noqa: E501  # one program
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    while process.poll() is None and not [*tmp_path.glob(".store.*/part-0.sqlite3")]:
        time.sleep(0.001)
    process.kill()
    process.wait()
    make_store(tmp_path / "store")
    hold(tmp_path / "store")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda store: (store / "part-1.sqlite3").write_bytes(b"junk" * 5_000), "not a database"),
        (lambda store: (store / "part-1.sqlite3").unlink(), "has 3 of 4 parts"),
        (lambda store: [part.unlink() for part in store.glob("part-*")], "marketflow store"),
    ],
    ids=["junk", "missing", "empty"],
)
def test_a_damaged_store_is_refused_in_a_sentence(
    store: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(store)
    with pytest.raises(SettingsError, match=message):
        hold(store)


def test_a_folder_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is none; make it with `marketflow store`"):
        hold(tmp_path / "nothing")


def run_flow(*arguments: str, **variables: str) -> str:
    """Run a dataflow that cannot start; return its last line."""
    known = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "POSTGRES_DSN": "postgresql://x@127.0.0.1:1/x",
        "RUST_BACKTRACE": "0",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "bytewax.run", "dataflows.ticker", *arguments],
        cwd=ROOT, env={**os.environ, **known, **variables}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_a_dataflow_on_a_store_that_is_held_ends_at_once(store: Path) -> None:
    first = holder(store)
    said = run_flow("-r", str(store), "-s", "1", "-b", "0")
    assert f"process {first.pid} uses it" in said
    first.communicate()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"KAFKA_HEAP_OPTS": "-Xmx1g"}, "KAFKA_HEAP_OPTS: librdkafka has no option heap.opts"),
        ({"KAFKA_PORT_9092_TCP": "tcp://10.0.0.1:9092"}, "KAFKA_PORT_9092_TCP: librdkafka has"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CA_LOCATION": "/nowhere"},
            "KAFKA_SSL_CA_LOCATION: ",
        ),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSH"}, "KAFKA_SECURITY_PROTOCOL: Invalid value"),
    ],
    ids=["another program", "a service", "a missing CA", "a wrong value"],
)
def test_a_wrong_kafka_option_is_named_without_a_traceback(
    variables: dict[str, str], message: str
) -> None:
    assert message in run_flow(**variables)


def test_a_full_disk_at_the_creation_of_a_store_is_said(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, 4_096))

    program = str(Path(sys.executable).with_name("marketflow"))
    done = subprocess.run(
        [program, "store", str(tmp_path)], preexec_fn=limit, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "recovery store" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [*tmp_path.glob("shard*")]
