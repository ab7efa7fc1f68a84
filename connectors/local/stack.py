"""Starts and stops the local services of one checkout, and remembers what it started.

Everything lies in one folder::

    .marketflow/
        services.json      processes with their start times, and ports
        credentials.json   of PostgreSQL and MinIO, readable by the owner alone
        lock               held while services start or stop
        log/               one file for each service
        kafka/ postgres/ minio/
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import msgspec
from rich.console import Console

from connectors.local import kafka, minio, postgres
from connectors.local.cache import remove
from connectors.local.processes import (
    Launch,
    Process,
    ServiceError,
    choose_ports,
    locked,
    spawn,
    stop,
    tail,
)
from connectors.local.progress import Progress
from connectors.process.probes import Name

if TYPE_CHECKING:
    import signal
    from collections.abc import Collection, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path


NAMES: Final[tuple[Name, ...]] = ("kafka", "postgres", "minio")
TITLES: Final[dict[str, str]] = {"kafka": "Kafka", "postgres": "PostgreSQL", "minio": "MinIO"}
# The first one names the server, the others belong to it.
VARIABLES: Final[dict[Name, tuple[str, ...]]] = {
    "kafka": ("KAFKA_BOOTSTRAP_SERVERS",),
    "postgres": ("POSTGRES_DSN",),
    "minio": (
        "S3_ENDPOINT_URL",
        "S3_BUCKET",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
    ),
}
BUCKET: Final = "marketflow"
REGION: Final = "us-east-1"

# The detached process that builds MinIO is stopped like a service.
BUILDER: Final = "minio-builder"
# What an interrupted start gives each server to end in.
ABANDON_SECONDS: Final = 5.0
_PORTS: Final[dict[Name, tuple[str, ...]]] = {
    "kafka": ("kafka", "kafka-controller"),
    "postgres": ("postgres",),
    "minio": ("minio",),
}
# What other work of this checkout keeps in the same folder, and data of services does not reach.
_NOT_PURGED: Final = frozenset({"bootstrap", "install.lock", "lock", "test"})
_HOW_TO_STOP: Final[dict[str, tuple[signal.Signals, float]]] = {
    # It deletes what it has built so far.
    BUILDER: (minio.STOP_SIGNAL, 15.0),
    "minio": (minio.STOP_SIGNAL, minio.STOP_TIMEOUT_SECONDS),
    "postgres": (postgres.STOP_SIGNAL, postgres.STOP_TIMEOUT_SECONDS),
    "kafka": (kafka.STOP_SIGNAL, kafka.STOP_TIMEOUT_SECONDS),
}


class State(msgspec.Struct):
    """What this checkout started, as its file says."""

    processes: dict[str, Process] = {}
    ports: dict[str, int] = {}

    def is_running(self, name: str) -> bool:
        """Tell whether the service runs that was started under this name."""
        process = self.processes.get(name)
        return process is not None and process.is_running


class Credentials(msgspec.Struct, frozen=True):
    """Random secrets of one checkout."""

    postgres_password: str
    s3_access_key: str
    s3_secret_key: str

    def __repr__(self) -> str:
        return "Credentials(...)"


class Endpoints(msgspec.Struct, frozen=True):
    """Where the services are, as environment variables; None for one that does not run."""

    kafka_bootstrap_servers: str | None = None
    postgres_dsn: str | None = None
    s3_endpoint_url: str | None = None
    s3_bucket: str | None = None
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    aws_region: str | None = None

    def variables(self) -> dict[str, str]:
        """Give them under the names that every program reads."""
        values = msgspec.structs.asdict(self)
        return {name.upper(): value for name, value in values.items() if value is not None}

    def __repr__(self) -> str:
        return f"Endpoints({', '.join(self.variables())})"


def state_folder(root: Path) -> Path:
    """Give the one folder below a checkout that everything local lies in."""
    return root.resolve() / ".marketflow"


class Stack:
    """The local services of one state folder."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._environment = os.environ if environment is None else environment
        # Services start side by side, each in a thread that writes down its process.
        self._writing = threading.Lock()

    def start(
        self,
        wanted: Collection[Name] = NAMES,
        *,
        wait_for_minio: bool = True,
        progress: Progress | None = None,
    ) -> Endpoints:
        """Start what is wanted and does not run, and wait until it answers.

        A service that the environment names is left alone. One that an interrupted start left
        behind is taken over.

        Args:
            wanted: Which services.
            wait_for_minio: Whether to wait while MinIO is built from source, which takes minutes;
                otherwise that goes on in a process of its own, which then starts it.
            progress: Where to show what happens.
        """
        shown = progress or Progress(Console(quiet=True))
        names = [name for name in NAMES if name in wanted and not self.is_external(name)]
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked(shown), ThreadPoolExecutor() as pool:
            self._make_credentials()
            self._choose_ports(names)
            list(pool.map(lambda name: self._start(name, shown), names))
        if "minio" in names and wait_for_minio and not self.state().is_running("minio"):
            self._wait_for_minio(shown)
        return self.endpoints()

    def stop(self, *, purge: bool = False, progress: Progress | None = None) -> list[str]:
        """Stop what this folder's services.json says was started, and nothing else.

        Args:
            purge: Also delete data, credentials and logs.
            progress: Where to show what happens.

        Returns:
            The names of what was running.
        """
        if not self.folder.exists():
            return []
        shown = progress or Progress(Console(quiet=True))
        with self._locked(shown), ThreadPoolExecutor() as pool:
            running = [name for name in _HOW_TO_STOP if self.state().is_running(name)]
            list(pool.map(lambda name: self._stop(name, shown), running))
            if purge:
                self._purge()
        return running

    def stop_now(self) -> None:
        """Stop what was started without waiting for a start that is still under way."""
        for name, process in self.state().processes.items():
            stop(process, with_signal=_HOW_TO_STOP[name][0], timeout_seconds=ABANDON_SECONDS)

    def state(self) -> State:
        """Read what was started, as far as anything was."""
        try:
            return msgspec.json.decode(self._state_file.read_bytes(), type=State)
        except FileNotFoundError:
            return State()
        except msgspec.DecodeError as error:
            raise ServiceError(
                f"{self._state_file} is damaged ({error}): stop what still runs, and delete it"
            ) from error

    def endpoints(self) -> Endpoints:
        """Give where the running services are, and those that the environment names."""
        state = self.state()
        variables: dict[str, str] = {}
        for name in NAMES:
            if self.is_external(name):
                named = {key: self._environment.get(key) for key in VARIABLES[name]}
                variables |= {key: value for key, value in named.items() if value}
            elif state.is_running(name):
                variables |= self._own_variables(name, state.ports)
        return Endpoints(**{key.lower(): value for key, value in variables.items()})

    def is_external(self, name: Name) -> bool:
        """Tell whether the environment names another server than this folder's."""
        key = VARIABLES[name][0]
        named = self._environment.get(key)
        # `eval "$(marketflow env)"` names our own: those are still ours to start and stop.
        return bool(named) and named != self._own_variables(name, self.state().ports).get(key)

    @property
    def is_building_minio(self) -> bool:
        """Whether MinIO is being built, or waits for its turn."""
        return self.state().is_running(BUILDER)

    def log(self, name: str) -> Path:
        """Give the file with what a service prints."""
        return self.folder / "log" / f"{name}.log"

    def build_and_start_minio(self) -> None:
        """Do what takes minutes; this is the work of the detached process."""
        minio.build(report=print)
        shown = Progress(Console(quiet=True))
        with self._locked(shown):
            self._start("minio", shown)

    @property
    def _state_file(self) -> Path:
        return self.folder / "services.json"

    def _locked(self, shown: Progress) -> AbstractContextManager[None]:
        return locked(
            self.folder / "lock",
            waiting=lambda: shown.show("services", "waiting for another `up` or `down` to finish"),
        )

    def _own_variables(self, name: Name, ports: dict[str, int]) -> dict[str, str]:
        if not ports.keys() >= set(_PORTS[name]):
            return {}
        if name == "kafka":
            return {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers(ports)}
        credentials = self._credentials()
        if name == "postgres":
            return {"POSTGRES_DSN": postgres.dsn(ports, credentials.postgres_password)}
        return {
            "S3_ENDPOINT_URL": minio.endpoint_url(ports),
            "S3_BUCKET": BUCKET,
            "AWS_ACCESS_KEY_ID": credentials.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.s3_secret_key,
            "AWS_REGION": REGION,
        }

    @property
    def _credentials_file(self) -> Path:
        return self.folder / "credentials.json"

    def _credentials(self) -> Credentials:
        return msgspec.json.decode(self._credentials_file.read_bytes(), type=Credentials)

    def _make_credentials(self) -> None:
        if self._credentials_file.exists():
            return
        made = Credentials(
            postgres_password=secrets.token_urlsafe(18),
            s3_access_key=f"marketflow-{secrets.token_hex(4)}",
            s3_secret_key=secrets.token_urlsafe(30),
        )
        _write(self._credentials_file, msgspec.json.encode(made))

    def _choose_ports(self, names: list[Name]) -> None:
        """Keep the ports of the last start where they are free, and choose the others anew."""
        state = self.state()
        wanted = [port for name in names if not state.is_running(name) for port in _PORTS[name]]
        state.ports |= choose_ports({name: state.ports.get(name) for name in wanted})
        self._write_state(state)

    def _record(self, name: str, process: Process | None) -> None:
        with self._writing:
            state = self.state()
            if process is None:
                state.processes.pop(name, None)
            else:
                state.processes[name] = process
            self._write_state(state)

    def _write_state(self, state: State) -> None:
        _write(self._state_file, msgspec.json.format(msgspec.json.encode(state)))

    def _start(self, name: Name, shown: Progress) -> None:
        state = self.state()
        log = self.log(name)
        launch = Launch(
            folder=self.folder / name,
            log=log,
            ports=state.ports,
            record=lambda process: self._record(name, process),
            report=lambda step: shown.show(TITLES[name], step),
            note=lambda text: shown.done(TITLES[name], text),
        )
        credentials = self._credentials()
        process = state.processes.get(name) if state.is_running(name) else None
        if name == "minio" and process is None and minio.find_program() is None:
            self._start_builder(shown)
            return
        if process is None and log.exists():
            log.replace(log.with_suffix(".log.old"))
        if name == "kafka":
            kafka.start(launch, process)
        elif name == "postgres":
            postgres.start(launch, process, password=credentials.postgres_password)
        else:
            minio.start(
                launch,
                process,
                access_key=credentials.s3_access_key,
                secret_key=credentials.s3_secret_key,
            )
        shown.done(TITLES[name], f"running on 127.0.0.1:{state.ports[name]}")

    def _start_builder(self, shown: Progress) -> None:
        if self.is_building_minio:
            return
        log = self.log(BUILDER)
        log.unlink(missing_ok=True)
        spawn(
            [sys.executable, "-u", "-m", "connectors.local.builder", str(self.folder)],
            log=log,
            record=lambda process: self._record(BUILDER, process),
        )
        shown.show(TITLES["minio"], "building from source, once for you; takes 3 to 5 minutes")

    def _wait_for_minio(self, shown: Progress) -> None:
        log = self.log(BUILDER)
        since = time.monotonic()
        while not self.state().is_running("minio"):
            if not self.is_building_minio and not self.state().is_running("minio"):
                raise ServiceError(f"MinIO was not built; {log} ends:\n{tail(log)}")
            step = tail(log, lines=1).strip()
            shown.show(
                TITLES["minio"],
                f"building from source, once for you; {time.monotonic() - since:.0f} s of 3 to 5 "
                f"minutes ({step})",
            )
            time.sleep(0.5)
        with self._locked(shown):
            self._start("minio", shown)

    def _stop(self, name: str, shown: Progress) -> None:
        process = self.state().processes[name]
        title = TITLES.get(name, "MinIO's build")
        shown.show(title, "stopping")
        with_signal, timeout_seconds = _HOW_TO_STOP[name]
        stop(process, with_signal=with_signal, timeout_seconds=timeout_seconds)
        self._record(name, None)
        shown.done(title, "stopped")

    def _purge(self) -> None:
        for path in self.folder.iterdir():
            if path.name in _NOT_PURGED:
                continue
            if path.is_dir():
                remove(path)
            else:
                path.unlink()


def _write(path: Path, content: bytes) -> None:
    """Replace a file as a whole, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    unfinished.touch(0o600)
    unfinished.write_bytes(content)
    unfinished.replace(path)
