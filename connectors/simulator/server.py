"""One port for everything: WebSocket and REST of all exchanges, `/status` and `/control`."""

import asyncio
import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from connectors.process.clock import now_ns
from connectors.simulator.desk import Stream
from connectors.simulator.faults import Fault, parse_faults
from connectors.simulator.simulation import Simulation
from connectors.simulator.venues.base import Answer, Request, Venue
from connectors.simulator.websocket import (
    CLOSE,
    PING,
    PONG,
    ProtocolError,
    accept_key,
    client_frames,
    close_frame,
    frame,
)
from schemas.errors import SettingsError

TICK_S: Final = 0.01
"""Between two batches: one write for each connection."""
MAX_UNSENT: Final = 64 * 1024 * 1024
"""A client that reads slower than this bound allows is closed, as exchanges do."""
MAX_HEAD: Final = 64 * 1024
_DRAIN_S: Final = 5.0
_REASONS: Final = {
    101: "Switching Protocols",
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    418: "I'm a teapot",
    429: "Too Many Requests",
}


class Session(asyncio.Protocol):
    """One connection: requests first, then perhaps a WebSocket.

    Args:
        server: Whose it is.
    """

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._is_frozen = False
        self._is_closing = False
        self.venue: Venue | None = None
        self.exchange = ""
        self.product = ""
        self.path = ""
        self.query: dict[str, str] = {}
        self.streams: dict[Stream, None] = {}
        self.opened_ms = 0
        self.heard_ms = 0
        self.pinged_ms = 0
        self.memory: dict[str, Any] = {}

    # -- what asyncio calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102  # asyncio calls it
        self._transport = transport  # type: ignore[assignment]
        self._server.sessions[self] = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102  # asyncio calls it
        del exc
        self._server.sessions.pop(self, None)
        self._transport = None
        if self.venue is not None:
            self.venue.forget(self)

    def data_received(self, data: bytes) -> None:  # noqa: D102  # asyncio calls it
        if self._is_frozen or self._is_closing:
            return
        self._buffer += data
        if self.venue is not None:
            self._read_frames(self.venue)
        else:
            self._read_requests()

    # -- what a venue calls --------------------------------------------------------------------

    def queue(self, frame: bytes) -> None:
        """Send a finished frame with the next batch."""
        self._out.append(frame)

    def close(self, code: int, reason: str = "") -> None:
        """Send what waits and a close frame, shut the sending side down, then wait for the peer.

        A socket that is closed while the client's bytes lie unread resets the connection, and the
        client loses frames that it has not read yet.
        """
        if self._is_closing:
            return
        self._out.append(close_frame(code, reason.encode()))
        self.flush()
        self._is_closing = True
        if self.venue is not None:
            self.venue.forget(self)
        if self._transport is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._transport.write_eof()
            asyncio.get_running_loop().call_later(_DRAIN_S, self.cut)

    def cut(self) -> None:
        """End the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def freeze(self) -> None:
        """Neither read nor write any more, as a peer behind a broken link."""
        self._is_frozen = True
        if self._transport is not None:
            self._transport.pause_reading()

    def flush(self) -> int:
        """Write what waits at once; return how many frames it was."""
        count = len(self._out)
        if not count or self._transport is None or self._is_frozen or self._is_closing:
            self._out.clear()
            return 0
        self._transport.write(b"".join(self._out))
        self._out.clear()
        if self._transport.get_write_buffer_size() > MAX_UNSENT:
            self._server.simulation.event({"fault": "slow_reader", "exchange": self.exchange})
            self.cut()
        return count

    # -- WebSocket -----------------------------------------------------------------------------

    def _read_frames(self, venue: Venue) -> None:
        self.heard_ms = venue.now_ms
        try:
            for opcode, payload in client_frames(self._buffer):
                if opcode == PING:
                    self._out.append(frame(payload, PONG))
                elif opcode == PONG:
                    venue.ponged(self, payload)
                elif opcode == CLOSE:
                    code = int.from_bytes(payload[:2]) if payload else 1000
                    self.close(code)
                    return
                else:
                    venue.receive(self, payload)
                if self._is_closing:
                    return
        except ProtocolError as error:
            self.close(1002, str(error))

    def _upgrade(self, venue: Venue, headers: dict[str, str]) -> None:
        refused = self._server.simulation.refusal(self.exchange, is_upgrade=True)
        if refused is not None:
            self._respond(venue.refuse(*refused), keeps=False)
            return
        key = accept_key(headers["sec-websocket-key"].encode()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Accept: {key}", "", ""]
        if self._transport is not None:
            self._transport.write("\r\n".join(lines).encode())
        self.venue = venue
        self.opened_ms = self.heard_ms = self.pinged_ms = venue.now_ms
        venue.greet(self)
        if self._buffer:
            self._read_frames(venue)

    # -- HTTP ----------------------------------------------------------------------------------

    def _read_requests(self) -> None:
        while self.venue is None and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).decode("latin-1")
            first, *rest = head.split("\r\n")
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(":") for line in rest)
            }
            length = int(headers.get("content-length") or 0)
            if length > MAX_HEAD:
                self.cut()
                return
            if len(self._buffer) < end + 4 + length:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + length])
            del self._buffer[: end + 4 + length]
            method, _, target = first.partition(" ")
            self._answer(method, target.partition(" ")[0], headers, body)
        if self.venue is None and len(self._buffer) > MAX_HEAD:
            self.cut()

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        url = urlsplit(target)
        self.path = unquote(url.path)
        self.query = dict(parse_qsl(url.query, keep_blank_values=True))
        _, _, rest = self.path.partition("/")
        self.exchange, _, rest = rest.partition("/")
        if self.exchange in ("", "status"):
            self._respond(Answer(msgspec.json.encode(self._server.status())))
        elif self.exchange == "control" and method == "POST":
            self._respond(self._server.control(body))
        else:
            self._answer_venue(rest, headers)

    def _answer_venue(self, rest: str, headers: dict[str, str]) -> None:
        simulation = self._server.simulation
        self.product, _, path = rest.partition("/")
        venue = simulation.venues.get(self.exchange)
        if venue is None or not venue.listed(self.product):
            self._respond(Answer(b'{"error":"no such exchange or product"}', 404))
            return
        self.path = "/" + path
        if headers.get("upgrade", "").lower() == "websocket":
            self._upgrade(venue, headers)
            return
        refused = simulation.refusal(self.exchange, is_upgrade=False)
        if refused is not None:
            self._respond(venue.refuse(*refused))
            return
        request = Request(self.product, self.path, self.query, headers, venue.now_ms)
        self._respond(venue.rest(request))

    def _respond(self, answer: Answer, *, keeps: bool = True) -> None:
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(answer.body)),
            "Connection": "keep-alive" if keeps else "close",
            **answer.headers,
        }
        lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Error')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self._transport is not None:
            self._transport.write("\r\n".join([*lines, "", ""]).encode() + answer.body)
            if not keeps:
                self._transport.close()


class Server:
    """Serves a simulation until it is closed; use it with `async with`.

    Args:
        simulation: What is served.
        script: Faults by time.
        port: Where it listens, on loopback alone; 0: a free one.
    """

    def __init__(self, simulation: Simulation, script: Sequence[Fault] = (), port: int = 0) -> None:
        self.simulation = simulation
        self.sessions: dict[Session, None] = {}
        self.frames = 0
        self.port = port
        self._script = list(script)
        self._start_ms = simulation.now_ms
        self._listener: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Session(self), "127.0.0.1", self.port, backlog=256
        )
        self.port = self._listener.sockets[0].getsockname()[1]
        self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
        for session in list(self.sessions):
            if session.venue is None:
                session.cut()
            else:
                session.close(1001, "shutdown")
        for _ in range(100):
            if not self.sessions:
                break
            await asyncio.sleep(0.01)
        for session in list(self.sessions):
            session.cut()
        await asyncio.sleep(0)

    async def run(self) -> None:
        """Serve until cancelled, or until the simulation fails."""
        if self._ticking is not None:
            await asyncio.shield(self._ticking)

    async def _tick(self) -> None:
        simulation, next_watch_ms = self.simulation, 0
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            now_ms = now_ns() // 1_000_000
            simulation.step(min(now_ms, simulation.now_ms + 500))
            while self._script and now_ms - self._start_ms >= self._script[0].at_s * 1_000:
                self.apply(self._script.pop(0))
            if now_ms >= next_watch_ms:
                next_watch_ms = now_ms + 1_000
                for session in list(self.sessions):
                    if session.venue is not None:
                        session.venue.watch(session)
            for session in list(self.sessions):
                self.frames += session.flush()
            await asyncio.sleep(max(0.001, TICK_S - (loop.time() - began_s)))

    def apply(self, fault: Fault) -> int:
        """Do what a fault says, and write it down; return how much it touched."""
        if fault.fault in ("drop", "abort", "half_open", "notice"):
            touched = self._disturb(fault)
        else:
            touched = self.simulation.apply(fault)
        event = msgspec.to_builtins(fault)
        self.simulation.event({**event, "touched": touched})
        return touched

    def _disturb(self, fault: Fault) -> int:
        """Do what a fault of connections says."""
        chosen = [
            session
            for session in self.sessions
            if session.venue is not None
            and fault.exchange in (None, session.exchange)
            and fault.product in (None, session.product)
            and fault.kind in (None, *(stream.kind for stream in session.streams))
        ]
        for session in chosen:
            if fault.fault == "drop":
                session.close(1001, "going away")
            elif fault.fault == "abort":
                session.cut()
            elif fault.fault == "half_open":
                session.freeze()
            elif session.venue is not None:
                session.venue.announce(session)
        return len(chosen)

    def control(self, body: bytes) -> Answer:
        """Do the faults of a request."""
        try:
            faults = parse_faults(body)
        except SettingsError as error:
            return Answer(msgspec.json.encode({"error": str(error)}), 400)
        touched = [self.apply(fault) for fault in faults]
        return Answer(msgspec.json.encode({"applied": len(faults), "touched": touched}))

    def status(self) -> dict[str, Any]:
        """Return what there is to know at a glance."""
        connections: dict[str, int] = {}
        for session in self.sessions:
            if session.venue is not None:
                connections[session.exchange] = connections.get(session.exchange, 0) + 1
        behind_ms = now_ns() // 1_000_000 - self.simulation.now_ms
        return {
            **self.simulation.status(),
            "frames": self.frames,
            "behind_ms": behind_ms,
            "connections": connections,
        }
