"""What every request meets before the routes: HEAD, other origins, keys, limits.

Plain ASGI around the application, so that it also holds for addresses that have no route.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import Any, Final

import msgspec
from litestar.types import Message, Receive, Scope, Send

from api.problems import MEDIA_TYPE, Problem
from schemas.settings import ApiSettings

QUOTA_EXCEEDED: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
MAX_CLIENTS: Final = 20_000
"""How many clients' use is remembered; the one that was seen least recently is forgotten."""
ROWS_A_UNIT: Final = 1_000
"""A request costs one unit, and one more for so many bytes or rows of its answer."""
BYTES_A_UNIT: Final = 256 * ROWS_A_UNIT

_FREE: Final = ("/health/", "/metrics", "/static/")
KnownKeys = Callable[[], Awaitable[Mapping[bytes, str] | None]]
"""Gives the names of the keys that are valid, by hash; None where no key is asked for."""


class Bucket:
    """What a client may still use of its quota; it fills again evenly."""

    __slots__ = ("_filled_at_s", "_left")

    def __init__(self, quota: int, now_s: float) -> None:
        self._left = float(quota)
        self._filled_at_s = now_s

    def left(self, quota: int, window_s: int, now_s: float) -> float:
        """Return what is left now."""
        earned = (now_s - self._filled_at_s) * quota / window_s
        self._left = min(float(quota), self._left + earned)
        self._filled_at_s = now_s
        return self._left

    def take(self, cost: float) -> None:
        """Use some of it; a large answer may leave a debt."""
        self._left -= cost


class Front:
    """The application with its rules for all requests."""

    def __init__(
        self,
        application: Any,
        settings: ApiSettings,
        known_keys: KnownKeys,
        *,
        is_public: bool,
    ) -> None:
        self.application = application
        self.state = application.state
        self._settings = settings
        self._known_keys = known_keys
        self._is_public = is_public
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] not in {"http", "websocket"}:
            await self.application(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        added = self._cors(headers)
        if added and _is_preflight(scope, headers):
            await _respond(send, 204, b"", {**added, **_PREFLIGHT})
            return
        if not self._is_public or scope["path"].startswith(_FREE):
            await self._pass(scope, receive, send, added, None)
            return
        client, problem = await self._client(scope, headers)
        if problem is None:
            problem = self._over_quota(client, scope)
            added |= {} if problem is None else self._come_again(client)
        if problem is not None:
            await _refuse(scope, receive, send, problem, added)
            return
        await self._pass(scope, receive, send, added, client)

    async def _pass(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        added: dict[str, str],
        client: str | None,
    ) -> None:
        is_head = scope.get("method") == "HEAD"
        if is_head:
            asked: Any = {**scope, "method": "GET"}
            scope = asked

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = {**added, **(self._limits(client) if client is not None else {})}
                message["headers"] = [*message["headers"], *_encoded(extra)]
            elif message["type"] == "http.response.body":
                if client is not None:
                    self._bucket(client).take(len(message["body"]) / BYTES_A_UNIT)
                if is_head:
                    if message["more_body"]:
                        return
                    message["body"] = b""
            await send(message)

        await self.application(scope, receive, send_with_headers)

    def _cors(self, headers: Mapping[bytes, str]) -> dict[str, str]:
        origins = self._settings.cors_origins
        origin = headers.get(b"origin")
        if origin is None or not origins or (origin not in origins and "*" not in origins):
            return {}
        allowed = "*" if "*" in origins else origin
        exposed = "link, etag, ratelimit, ratelimit-policy, retry-after, stream-position"
        added = {
            "access-control-allow-origin": allowed,
            "access-control-expose-headers": exposed,
        }
        return added if allowed == "*" else {**added, "vary": "Origin"}

    async def _client(
        self, scope: Scope, headers: Mapping[bytes, str]
    ) -> tuple[str, Problem | None]:
        """Return who asks: the name of a key or an address; a problem where the key is wrong."""
        keys = await self._known_keys()
        given = headers.get(b"authorization", "")
        key = given.removeprefix("Bearer ") if given.startswith("Bearer ") else ""
        key = key or headers.get(b"x-api-key", "")
        if keys and scope["path"].startswith(("/v1/", "/taker_volume/")):
            name = keys.get(sha256(key.encode()).digest())
            if name is None:
                detail = "Send a valid key: `Authorization: Bearer <key>`."
                return "", _problem(scope, 401, "Unauthorized", detail)
            return f"key:{name}", None
        peer = scope["client"][0] if scope["client"] else "unknown"
        return _network(peer), None

    def _over_quota(self, client: str, scope: Scope) -> Problem | None:
        bucket = self._bucket(client)
        if self._left(bucket) < 1:
            quota, window_s = self._settings.quota, self._settings.quota_window_s
            detail = (
                f"{quota} units in {window_s} s are used up; a request costs one, and one more "
                f"for each {BYTES_A_UNIT // 1_000} kB of its answer."
            )
            return _problem(scope, 429, "Quota exceeded", detail, QUOTA_EXCEEDED)
        bucket.take(1)
        return None

    def _bucket(self, client: str) -> Bucket:
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = Bucket(self._settings.quota, time.monotonic())
            if len(self._buckets) > MAX_CLIENTS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(client)
        return bucket

    def _left(self, bucket: Bucket) -> float:
        settings = self._settings
        return bucket.left(settings.quota, settings.quota_window_s, time.monotonic())

    def _limits(self, client: str) -> dict[str, str]:
        """Return the fields of draft-ietf-httpapi-ratelimit-headers-11."""
        quota, window_s = self._settings.quota, self._settings.quota_window_s
        left = self._left(self._bucket(client))
        return {
            "ratelimit-policy": f'"units";q={quota};w={window_s}',
            "ratelimit": f'"units";r={max(0, int(left))};t={self._seconds_until_one(left)}',
        }

    def _seconds_until_one(self, left: float) -> int:
        rate = self._settings.quota / self._settings.quota_window_s
        return max(0, ceil((1 - left) / rate))

    def _come_again(self, client: str) -> dict[str, str]:
        """Return the headers of a refusal: what is used up, and when to come again."""
        wait_s = max(1, self._seconds_until_one(self._left(self._bucket(client))))
        return {**self._limits(client), "retry-after": str(wait_s)}


_PREFLIGHT: Final = {
    "access-control-allow-methods": "GET, HEAD",
    "access-control-allow-headers": "authorization, x-api-key, last-event-id, if-none-match",
    "access-control-max-age": "86400",
}


def _is_preflight(scope: Any, headers: Mapping[bytes, str]) -> bool:
    return scope.get("method") == "OPTIONS" and b"access-control-request-method" in headers


def _network(peer: str) -> str:
    """Return the address of a client, or the network that one client has many addresses in."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return peer


def _problem(
    scope: Scope, status: int, title: str, detail: str, type_: str = "about:blank"
) -> Problem:
    return Problem(type_, title, status, detail, scope["path"][:500])


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def _refuse(
    scope: Scope, receive: Receive, send: Send, problem: Problem, headers: Mapping[str, str]
) -> None:
    if str(scope["type"]) == "websocket":
        await receive()
        close: Any = {"type": "websocket.close", "code": 4000 + problem.status, "reason": ""}
        await send(close)
        return
    fields = {"content-type": MEDIA_TYPE, "cache-control": "no-store", **headers}
    if problem.status == 401:  # noqa: PLR2004 - Unauthorized
        fields["www-authenticate"] = "Bearer"
    await _respond(send, problem.status, msgspec.json.encode(problem), fields)


async def _respond(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    length = {"content-length": str(len(body))}
    start: Any = {
        "type": "http.response.start",
        "status": status,
        "headers": _encoded({**headers, **length}),
    }
    await send(start)
    end: Any = {"type": "http.response.body", "body": body, "more_body": False}
    await send(end)
