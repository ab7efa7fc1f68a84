"""What a dataflow's process says of itself over HTTP: metrics, whether it lives, whether it works.

- `/health/live`: its loop turns. It does so while a service is away: a restart would not help.
- `/health/ready`: it reads its partitions, and every service that it needs answers now.
- `/metrics`: what it counts (:mod:`connectors.process.metrics`).
"""

import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from typing_extensions import override

from connectors.process import probes
from connectors.process.environment import Environment
from connectors.process.lifecycle import HEART, Heart
from connectors.process.probes import Name

# Longer than the sinks wait for a service before they end the process by themselves.
LIVE_SECONDS: Final = 120.0
# Many may ask at once, and often; a service is asked for all of them together.
CACHED_SECONDS: Final = 2.0

Check = Callable[[], str | None]
"""Why something does not work, in a line; `None`: it works."""


class Health:
    """What works, and since when something does not.

    Args:
        checks: By the name of what they look at.
        heart: Of the loop.
    """

    def __init__(self, checks: Mapping[str, Check], heart: Heart = HEART) -> None:
        self._checks = dict(checks)
        self._heart = heart
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._failures: dict[str, tuple[float, str]] = {}

    def is_live(self) -> bool:
        """Tell whether the loop turns, or has not begun yet."""
        beaten_at = self._heart.beaten_at
        return beaten_at is None or time.monotonic() - beaten_at < LIVE_SECONDS

    def failures(self) -> dict[str, tuple[float, str]]:
        """Return what does not work: for how many seconds, and why."""
        with self._lock:
            now = time.monotonic()
            if now - self._asked_at >= CACHED_SECONDS:
                self._ask(now)
                self._asked_at = time.monotonic()
            return {name: (now - since, why) for name, (since, why) in self._failures.items()}

    def _ask(self, now: float) -> None:
        reasons = {name: check() for name, check in self._checks.items()}
        if self._heart.beaten_at is None:
            reasons["partitions"] = "none is read yet"
        self._failures = {
            name: (self._failures.get(name, (now, ""))[0], why)
            for name, why in reasons.items()
            if why is not None
        }


def checks_of(environment: Environment, services: tuple[Name, ...]) -> dict[str, Check]:
    """Return the checks of the services that a dataflow needs."""

    def check_of(name: Name) -> Check:
        return lambda: probes.failure(name, environment)

    return {name: check_of(name) for name in services}


def serve(host: str, port: int, health: Health) -> None:
    """Answer from a thread of its own.

    Raises:
        OSError: The port is taken.
        OverflowError: It is no port.
    """

    class Handler(_Handler):
        subject = health

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    subject: Health
    # Addresses that scanners try are no news, and neither is each probe.
    server_version = "marketflow"
    sys_version = ""

    def do_GET(self) -> None:  # the name that http.server calls
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, generate_latest(), CONTENT_TYPE_LATEST)
        elif path == "/health/live":
            self._answer_json(self.subject.is_live(), {})
        elif path == "/health/ready":
            failures = self.subject.failures()
            reasons = {
                name: {"reason": why, "for_seconds": round(seconds, 1)}
                for name, (seconds, why) in failures.items()
            }
            self._answer_json(not failures, {"failing": reasons} if failures else {})
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"", "text/plain")

    def _answer_json(self, is_well: bool, details: dict[str, Any]) -> None:  # noqa: FBT001  # it is the value
        status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
        body = {"status": "ok" if is_well else "failing", **details}
        self._answer(status, msgspec.json.encode(body), "application/json")

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: probes come every few seconds."""
