"""`/v1/stream`: minutes as they change, as server-sent events or over a WebSocket."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from litestar import Request, WebSocket, get, websocket
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException, WebSocketDisconnect
from litestar.response import Stream

from api.v1.pump import Pump, cancelled
from api.v1.questions import Asked
from api.v1.streams import ACCEPTED, RETRY_MS, Start, messages, open_stream, parse_start, sse
from connectors.process.clock import now_ns
from schemas.errors import UnavailableError
from schemas.settings import Settings

ROUTE: Final = "/v1/stream"
_SUBSCRIBE_S: Final = 10.0
"""How long a WebSocket may take to say what it wants."""
_INVALID: Final = 4400
_UNAVAILABLE: Final = 4503
_DROPPED: Final = 4408
_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}


@get(ROUTE, operation_id="stream")
async def stream(
    *,
    request: Request[Any, Any, Any],
    pump: NamedDependency[Pump],
    settings: NamedDependency[Settings],
) -> Stream:
    """Return what happens to minutes, from now or from where a client stopped."""
    query = list(request.query_params.multi_items())
    last = request.headers.get("last-event-id")
    if last:
        # A browser that reconnects repeats the address, and says how far it has come.
        query = [*((name, value) for name, value in query if name != "after"), ("after", last)]
    start = parse_start(Asked(query, ACCEPTED), settings, _now())
    parts = await open_stream(pump, start)

    async def body() -> AsyncIterator[bytes]:
        yield f"retry: {RETRY_MS}\n\n".encode()
        async for part in parts:
            text = sse(part, as_float=start.as_float)
            if text:
                yield text

    return Stream(body(), media_type="text/event-stream", headers=_HEADERS)


@websocket(ROUTE)
async def stream_websocket(
    *,
    socket: WebSocket[Any, Any, Any],
    pump: NamedDependency[Pump],
    settings: NamedDependency[Settings],
) -> None:
    """Send what happens to minutes once the first message says which."""
    await socket.accept()
    try:
        async with asyncio.timeout(_SUBSCRIBE_S):
            first = await socket.receive_data("text")
        start = _start_of_message(first, settings)
        parts = await open_stream(pump, start)
    except (ValidationException, TimeoutError, msgspec.DecodeError) as error:
        await socket.close(_INVALID, _reason(error))
        return
    except UnavailableError as error:
        await socket.close(_UNAVAILABLE, str(error)[:120])
        return
    except WebSocketDisconnect:
        return
    gone = asyncio.ensure_future(_wait_for_end(socket))
    sending = asyncio.ensure_future(_send_all(socket, parts, as_float=start.as_float))
    await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
    await cancelled(sending)
    await cancelled(gone)


HANDLERS: Final = (stream, stream_websocket)


async def _send_all(
    socket: WebSocket[Any, Any, Any], parts: AsyncIterator[Any], *, as_float: bool
) -> None:
    async for part in parts:
        for message in messages(part, as_float=as_float):
            await socket.send_data(message, mode="text")
    await socket.close(_DROPPED, "see the last message")


async def _wait_for_end(socket: WebSocket[Any, Any, Any]) -> None:
    try:
        while True:
            await socket.receive_data("text")
    except WebSocketDisconnect:
        return


def _start_of_message(text: str | bytes, settings: Settings) -> Start:
    message = msgspec.json.decode(text, type=_Subscribe)
    query = [
        (name, str(value))
        for name, values in message.subscribe.items()
        for value in _listed(values)
    ]
    if message.after is not None:
        query.append(("after", message.after))
    return parse_start(Asked(query, ACCEPTED), settings, _now())


class _Subscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first message of a client."""

    subscribe: dict[str, str | list[str]]
    after: str | None = None


def _listed(values: str | list[str]) -> Iterable[str]:
    return [values] if isinstance(values, str) else values


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationException):
        extra: Any = error.extra or ()
        text = "; ".join(f"{item['key']}: {item['message']}" for item in extra)
    elif isinstance(error, TimeoutError):
        text = f"nothing was asked for within {_SUBSCRIBE_S:g} s"
    else:
        text = f'expected {{"subscribe": {{…}}, "after": id}}: {error}'
    # The protocol allows 123 bytes.
    return text.encode()[:120].decode(errors="ignore")


def _now() -> datetime:
    return datetime.fromtimestamp(now_ns() // 1_000_000_000, UTC)
