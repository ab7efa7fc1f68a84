"""What the API counts, as Prometheus metrics; `/metrics` serves them."""

import time
from typing import Final

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Histogram

REQUEST_SECONDS: Final = Histogram(
    "marketflow_http_request_seconds",
    "Time until a request was answered",
    ("route", "status"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class RequestMetrics(ASGIMiddleware):
    """The time of every request that has a route; by route, as addresses have no bound."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Pass a request on and take the time until its answer begins."""
        start_ns = time.perf_counter_ns()

        async def timed_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                seconds = (time.perf_counter_ns() - start_ns) / 1e9
                REQUEST_SECONDS.labels(scope["path_template"], message["status"]).observe(seconds)
            await send(message)

        await next_app(scope, receive, timed_send)
