import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
from click.testing import CliRunner

from api import server
from connectors.commands.key import key as key_command
from schemas.settings import ApiSettings, Settings
from tests.api.helpers import prepare, serving

ROWS = "/v1/taker-volume"


def with_api(settings: Settings, **changes: Any) -> Settings:
    return msgspec.structs.replace(settings, api=ApiSettings(**changes))


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/health/live", "/health/ready", "/metrics", ROWS]
)
def test_head_is_answered_like_get_without_a_body(api: httpx.Client, path: str) -> None:
    head, got = api.head(path), api.get(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


def test_other_origins_may_read_only_when_they_are_named(
    settings: Settings, filled_dsn: str, api: httpx.Client
) -> None:
    origin = {"origin": "https://charts.example"}
    assert "access-control-allow-origin" not in api.get(ROWS, headers=origin).headers
    named = with_api(settings, cors_origins=("https://charts.example",))
    with serving(named, filled_dsn) as client:
        answer = client.get(ROWS, headers=origin)
        assert answer.headers["access-control-allow-origin"] == "https://charts.example"
        other = client.get(ROWS, headers={"origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers
        preflight = client.options(ROWS, headers={**origin, "access-control-request-method": "GET"})
        assert preflight.status_code == 204
        assert "authorization" in preflight.headers["access-control-allow-headers"]


def test_a_quota_is_told_and_holds(settings: Settings, filled_dsn: str) -> None:
    few = with_api(settings, quota=5, quota_window_s=60)
    with serving(few, filled_dsn, is_public=True) as client:
        answers = [client.get("/v1/exchanges") for _ in range(8)]
        assert answers[0].headers["ratelimit-policy"] == '"units";q=5;w=60'
        assert answers[0].headers["ratelimit"].startswith('"units";r=')
        refused = answers[-1]
        assert refused.status_code == 429
        assert refused.json()["type"].endswith("#quota-exceeded")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        # Those who run it must still see that it is well.
        assert client.get("/health/live").status_code == 200
    with serving(few, filled_dsn) as client:
        assert "ratelimit" not in client.get("/v1/exchanges").headers


@contextmanager
def environment_of(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    monkeypatch.setenv("POSTGRES_DSN", dsn)
    yield CliRunner()


def test_keys_are_asked_for_once_there_are_some(
    settings: Settings, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(postgres_dsn, settings)
    with environment_of(postgres_dsn, monkeypatch) as runner:
        made = runner.invoke(key_command, ["add", "alice"]).output.strip()
        with psycopg.connect(postgres_dsn) as connection:
            stored = connection.execute("SELECT sha256 FROM api_key").fetchall()
        assert made.startswith("mf_")
        assert made not in str(stored)
        with serving(settings, postgres_dsn, is_public=True) as client:
            refused = client.get(ROWS)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert client.get("/health/ready").status_code == 200
            allowed = {"authorization": f"Bearer {made}"}
            assert client.get(ROWS, headers=allowed).status_code == 200
            assert client.get(ROWS, headers={"x-api-key": made}).status_code == 200
            assert client.get(ROWS, headers={"x-api-key": made + "x"}).status_code == 401
        # On this machine nobody needs one.
        with serving(settings, postgres_dsn) as client:
            assert client.get(ROWS).status_code == 200
        assert runner.invoke(key_command, ["revoke", "alice"]).exit_code == 0
        assert "alice" in runner.invoke(key_command, ["list"]).output
        assert "revoked" in runner.invoke(key_command, ["list"]).output


def address(client: httpx.Client) -> tuple[str, int]:
    return client.base_url.host, client.base_url.port or 80


def test_a_request_that_does_not_come_is_given_up(
    settings: Settings, filled_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_S", 0.5)
    with (
        serving(settings, filled_dsn) as client,
        socket.create_connection(address(client)) as slow,
        socket.create_connection(address(client)) as idle,
    ):
        slow.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\n")
        slow.settimeout(10)
        idle.settimeout(10)
        for connection in (slow, idle):
            with pytest.raises((ConnectionResetError, AssertionError)):
                assert connection.recv(100) != b""
        assert client.get("/health/live").status_code == 200


def test_open_connections_are_bounded(
    settings: Settings, filled_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_max_connections", lambda: 20)
    with serving(settings, filled_dsn) as client:
        assert client.get("/health/live").status_code == 200
        held = [socket.create_connection(address(client)) for _ in range(19)]
        time.sleep(0.3)
        with socket.create_connection(address(client)) as one_more:
            one_more.settimeout(10)
            assert one_more.recv(100).startswith(b"HTTP/1.1 503")
        # The connection that was there first is still served.
        assert client.get("/health/live").status_code == 200
        for connection in held:
            connection.close()


def test_broken_and_slow_connections_leave_others_served(
    settings: Settings, filled_dsn: str
) -> None:
    with serving(settings, filled_dsn) as client:
        held = [socket.create_connection(address(client)) for _ in range(400)]
        for number, connection in enumerate(held):
            connection.sendall((b"GET /v1/stream HTTP/1.1\r\n", b"\x16\x03\x01", b"G")[number % 3])
        for connection in held[::5]:
            connection.close()
        for _ in range(5):
            assert client.get(ROWS, params={"from": "-1h"}).status_code == 200
        for connection in held:
            connection.close()
