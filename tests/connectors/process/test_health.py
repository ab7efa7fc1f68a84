"""What a process says of itself: it lives while it turns, it is ready while its services answer."""

import time
import urllib.error
import urllib.request
from typing import Any

import msgspec
import pytest

from connectors.local import processes
from connectors.process import health
from connectors.process.health import Health, serve
from connectors.process.lifecycle import Heart


def get(port: int, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def served(subject: Health) -> int:
    port = processes.choose_ports({"health": None})["health"]
    serve("127.0.0.1", port, subject)
    return port


def test_a_process_is_ready_once_it_reads() -> None:
    heart = Heart()
    port = served(Health({}, heart))
    status, body = get(port, "/health/ready")
    assert status == 503
    assert msgspec.json.decode(body)["failing"]["partitions"]["reason"] == "none is read yet"

    heart.beat()
    time.sleep(health.CACHED_SECONDS)

    assert get(port, "/health/ready") == (200, b'{"status":"ok"}')


def test_what_fails_is_named_with_its_reason_and_for_how_long() -> None:
    heart = Heart()
    heart.beat()
    port = served(Health({"kafka": lambda: None, "postgres": lambda: "no route"}, heart))
    get(port, "/health/ready")
    time.sleep(health.CACHED_SECONDS)

    status, body = get(port, "/health/ready")

    assert status == 503
    failing = msgspec.json.decode(body)["failing"]
    assert failing.keys() == {"postgres"}
    assert failing["postgres"]["reason"] == "no route"
    assert failing["postgres"]["for_seconds"] >= health.CACHED_SECONDS


def test_a_loop_that_stands_still_is_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LIVE_SECONDS", 0.3)
    heart = Heart()
    port = served(Health({}, heart))
    assert get(port, "/health/live")[0] == 200
    heart.beat()
    assert get(port, "/health/live")[0] == 200

    time.sleep(0.4)

    assert get(port, "/health/live")[0] == 503


def test_a_check_that_fails_does_not_make_a_process_dead() -> None:
    heart = Heart()
    heart.beat()
    port = served(Health({"kafka": lambda: "gone"}, heart))
    assert get(port, "/health/live")[0] == 200


def test_metrics_are_there_and_nothing_else_is() -> None:
    port = served(Health({}, Heart()))
    status, body = get(port, "/metrics")
    assert status == 200
    assert b"marketflow_messages" in body
    assert get(port, "/")[0] == 404
