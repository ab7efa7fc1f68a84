"""The WebSocket client on websockets: in pure Python where it must be, and slower."""

import asyncio
import ssl
from typing import Any, Final

from typing_extensions import override
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import Frame, Opcode

from connectors.websocket.interface import (
    Connection,
    Listener,
    Options,
    RefusedError,
    seconds_of,
)
from schemas.errors import UnavailableError

_ABNORMAL: Final = 1006


async def open_connection(url: str, listener: Listener, options: Options) -> Connection:
    """See :data:`connectors.websocket.interface.Open`."""

    def make(*arguments: Any, **keywords: Any) -> ClientConnection:
        return _Inner(listener, *arguments, **keywords)

    context = ssl.create_default_context() if url[:4] == "wss:" else None
    try:
        inner = await asyncio.wait_for(
            _connect(url, make, options, context), options.timeout_seconds
        )
    except InvalidStatus as error:
        status = error.response.status_code
        wait_seconds = seconds_of(error.response.headers.get("Retry-After"))
        raise RefusedError(f"{url}: HTTP {status}", status, wait_seconds) from error
    except TimeoutError as error:
        message = f"{url}: no handshake within {options.timeout_seconds:g} s"
        raise UnavailableError(message) from error
    except (OSError, WebSocketException, ValueError) as error:
        raise UnavailableError(f"{url}: {type(error).__name__}: {error}") from error
    except Exception as error:  # a proxy's library has exceptions of its own
        raise UnavailableError(f"{url}: {type(error).__name__}: {error}") from error
    return _Connection(inner, listener)


async def _connect(
    url: str, make: Any, options: Options, context: ssl.SSLContext | None
) -> ClientConnection:
    return await connect(
        url,
        compression=None,
        ping_interval=None,  # sessions have pings of their own
        open_timeout=None,
        close_timeout=1,
        max_size=options.max_message_bytes,
        # As picows does: names are looked up at the proxy.
        proxy=options.proxy and options.proxy.replace("socks5://", "socks5h://"),
        ssl=context,
        create_connection=make,
        user_agent_header="marketflow",
    )


class _Inner(ClientConnection):
    def __init__(self, listener: Listener, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._heard = listener.stir

    @override
    def process_event(self, event: Any) -> None:
        if isinstance(event, Frame) and event.opcode in (Opcode.PING, Opcode.PONG):
            self._heard()
        super().process_event(event)

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.protocol.parser_exc is not None or self.protocol.close_rcvd is not None:
            self.transport.close()  # the other side may never close it


class _Connection:
    def __init__(self, inner: ClientConnection, listener: Listener) -> None:
        self._inner = inner
        self._listener = listener
        self._is_reading = asyncio.Event()
        self._is_reading.set()
        self._tasks = {asyncio.create_task(self._read())}

    def send(self, message: bytes) -> None:
        self._spawn(self._inner.send(message, text=True))

    def ping(self) -> None:
        self._spawn(self._inner.ping())

    def pause(self) -> None:
        self._is_reading.clear()

    def resume(self) -> None:
        self._is_reading.set()

    def close(self) -> None:
        self._is_reading.set()
        self._spawn(self._inner.close())

    def _spawn(self, call: Any) -> None:
        task = asyncio.ensure_future(_quietly(call))
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)

    async def _read(self) -> None:
        try:
            while True:
                await self._is_reading.wait()
                self._listener.take(await self._inner.recv(decode=False), True)  # noqa: FBT003  # it is the value
        except ConnectionClosed as error:
            said = error.rcvd or error.sent
            self._listener.end(*((int(said.code), said.reason) if said else (_ABNORMAL, "")))


async def _quietly(call: Any) -> None:
    try:
        await call
    except ConnectionClosed:
        return  # the reader tells of it
