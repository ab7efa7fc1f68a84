import httpx
import psycopg

from connectors.postgres.migrate import migrate
from schemas.migrations import migrations
from schemas.settings import Settings
from tests.api.helpers import serving

NOWHERE = "postgresql://nobody:secret@127.0.0.1:1/nothing"


def unready(dsn: str, settings: Settings) -> str:
    """The detail of the 503 that a database gets."""
    with serving(settings, dsn) as api:
        response = api.get("/health/ready")
        assert api.get("/health/live").json() == {"status": "ok"}
    problem = response.json()
    assert response.status_code == problem["status"] == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "5"
    detail: str = problem["detail"]
    return detail


def test_it_is_live_and_ready_with_a_migrated_database(api: httpx.Client) -> None:
    for path in ("/health/live", "/health/ready"):
        response = api.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_it_is_live_but_not_ready_without_a_database(settings: Settings) -> None:
    detail = unready(NOWHERE, settings)
    assert detail == "the database cannot be reached"


def test_it_is_not_ready_before_the_first_migration(postgres_dsn: str, settings: Settings) -> None:
    assert "marketflow init" in unready(postgres_dsn, settings)


def test_it_is_not_ready_when_a_migration_is_missing(postgres_dsn: str, settings: Settings) -> None:
    newest = migrations()[-1]
    migrate(postgres_dsn)
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("DELETE FROM schema_migrations WHERE version = %s", [newest.version])
    detail = unready(postgres_dsn, settings)
    assert f"{newest.version:04}_{newest.name}" in detail
    assert "marketflow init" in detail


def test_it_is_not_ready_when_the_database_is_of_a_newer_release(
    postgres_dsn: str, settings: Settings
) -> None:
    migrate(postgres_dsn)
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute(
            "INSERT INTO schema_migrations (version, name, sha256) VALUES (9999, 'future', '')"
        )
    assert "9999_future" in unready(postgres_dsn, settings)


def test_metrics_count_requests_by_route_and_status(api: httpx.Client) -> None:
    series = (
        "marketflow_http_request_seconds_count{"
        'route="/taker_volume/{exchange}/{from_segment}/{to_segment}",status="400"}'
    )

    def count() -> float:
        response = api.get("/metrics")
        assert response.headers["content-type"].startswith("text/plain; version=")
        lines = dict(line.rsplit(" ", 1) for line in response.text.splitlines())
        return float(lines.get(series, 0))

    before = count()
    api.get("/taker_volume/nyse/from=1/to=2")
    assert count() == before + 1
