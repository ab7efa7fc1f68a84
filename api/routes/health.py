"""`/health/…` and `/metrics`: for those who run the API rather than use it."""

from typing import Final, Literal

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.database import Database
from api.problems import UNAVAILABLE_RESPONSE
from api.queries import APPLIED_MIGRATIONS, AppliedMigration
from schemas.errors import UnavailableError
from schemas.migrations import migrations

READY_SECONDS: Final = 2.0


class Health(msgspec.Struct, frozen=True):
    """The answer of a process that is well."""

    status: Literal["ok"] = "ok"


@get(
    "/health/live",
    operation_id="live",
    summary="Whether the process is up",
    response_description="It is",
    tags=["Operations"],
)
async def live() -> Health:
    """Answer as long as the process can: a failure means that it should be restarted."""
    return Health()


@get(
    "/health/ready",
    operation_id="ready",
    summary="Whether requests can be answered",
    response_description="They can",
    tags=["Operations"],
    responses={503: UNAVAILABLE_RESPONSE},
)
async def ready(database: NamedDependency[Database]) -> Health:
    """Answer when the database does and has exactly the schema of this release."""
    applied = await database.fetch(
        APPLIED_MIGRATIONS,
        {},
        AppliedMigration,
        is_health=True,
        deadline_seconds=READY_SECONDS,
    )
    problem = _schema_problem(applied)
    if problem is not None:
        raise UnavailableError(problem)
    return Health()


@get(
    "/metrics",
    operation_id="metrics",
    summary="What this process counted",
    response_description="In the text format of Prometheus",
    tags=["Operations"],
    media_type="text/plain",
)
async def metrics() -> Response[bytes]:
    """Return what this process counted."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _schema_problem(applied: list[AppliedMigration]) -> str | None:
    known = {migration.version: migration.name for migration in migrations()}
    there = {migration.version: migration.name for migration in applied}
    missing = [f"{version:04}_{known[version]}" for version in sorted(known.keys() - there.keys())]
    if missing:
        return f"the database lacks migration {', '.join(missing)}: run `marketflow init`"
    newer = [f"{version:04}_{there[version]}" for version in sorted(there.keys() - known.keys())]
    if newer:
        return f"the database has migration {', '.join(newer)} of a newer release: update the API"
    return None
