"""The WebSocket client on picows: a third of the cost of the others for each frame."""

import asyncio
import logging
import ssl
from typing import Any, Final

import picows
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport
from typing_extensions import override

from connectors.websocket.interface import (
    Connection,
    Listener,
    Options,
    RefusedError,
    seconds_of,
)
from schemas.errors import UnavailableError

# What happens to connections is told by sessions.
_log: Final = logging.getLogger("picows")
_log.setLevel(logging.WARNING)

# Compared with `is` for each frame: looked up once.
_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_CONTINUATION: Final = WSMsgType.CONTINUATION
_PING: Final = WSMsgType.PING
_PONG: Final = WSMsgType.PONG
_CLOSE: Final = WSMsgType.CLOSE
_ABNORMAL: Final = 1006
_TOO_BIG: Final = 1009
_NO_STATUS: Final = 1005


async def open_connection(url: str, listener: Listener, options: Options) -> Connection:
    """See :data:`connectors.websocket.interface.Open`."""
    inner = _Inner(listener, options.max_message_bytes)
    context = ssl.create_default_context() if url[:4] == "wss:" else None
    try:
        transport, _ = await asyncio.wait_for(
            picows.ws_connect(
                lambda: inner,
                url,
                ssl_context=context,
                logger_name=_log,
                websocket_handshake_timeout=options.timeout_seconds,
                enable_auto_pong=True,
                max_frame_size=options.max_message_bytes,
                max_redirects=0,
                # Looks names up at the proxy for either scheme, and knows only one of them.
                proxy=options.proxy and options.proxy.replace("socks5h://", "socks5://"),
            ),
            options.timeout_seconds,
        )
    except picows.WSHandshakeError as error:
        raise _refused(url, error) from error
    except TimeoutError as error:
        message = f"{url}: no handshake within {options.timeout_seconds:g} s"
        raise UnavailableError(message) from error
    except (OSError, picows.WSError, picows.WSInvalidURL) as error:
        raise UnavailableError(f"{url}: {type(error).__name__}: {error}") from error
    except Exception as error:  # a proxy's library has exceptions of its own
        raise UnavailableError(f"{url}: {type(error).__name__}: {error}") from error
    return _Connection(transport)


def _refused(url: str, error: picows.WSHandshakeError) -> UnavailableError:
    response = error.response
    if response is None:
        return UnavailableError(f"{url}: {error}")
    status = int(response.status)
    wait_seconds = seconds_of(response.headers.get("Retry-After"))
    return RefusedError(f"{url}: HTTP {status}", status, wait_seconds)


class _Connection:
    def __init__(self, transport: WSTransport) -> None:
        self._transport = transport

    def send(self, message: bytes) -> None:
        self._transport.send(_TEXT, message)

    def ping(self) -> None:
        self._transport.send_ping(b"marketflow")

    def pause(self) -> None:
        self._transport.underlying_transport.pause_reading()

    def resume(self) -> None:
        self._transport.underlying_transport.resume_reading()

    def close(self) -> None:
        if not self._transport.is_disconnected:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()


class _Inner(WSListener):
    """Joins fragments and checks lengths, which picows leaves to its user."""

    def __init__(self, listener: Listener, max_message_bytes: int) -> None:
        super().__init__()
        self._listener = listener
        self._take = listener.take
        self._max_message_bytes = max_message_bytes
        self._fragments: list[bytes] = []
        self._said: tuple[int, str] | None = None

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if (kind is _TEXT or kind is _BINARY) and frame.fin:
            message = frame.get_payload_as_bytes()
            if len(message) <= self._max_message_bytes and self._said is None:
                self._take(message, frame.last_in_buffer)
            else:
                self._refuse(transport)
        elif kind in (_TEXT, _BINARY, _CONTINUATION):
            self._join(transport, frame)
        elif kind is _CLOSE:
            payload = frame.get_payload_as_bytes()
            code = int.from_bytes(payload[:2], "big") or _NO_STATUS
            self._said = self._said or (code, payload[2:].decode(errors="replace"))
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif kind is _PING or kind is _PONG:
            # picows has answered a ping by now.
            self._listener.stir()

    def _join(self, transport: WSTransport, frame: WSFrame) -> None:
        self._fragments.append(frame.get_payload_as_bytes())
        if sum(map(len, self._fragments)) > self._max_message_bytes:
            self._refuse(transport)
        elif frame.fin:
            message, self._fragments = b"".join(self._fragments), []
            self._take(message, frame.last_in_buffer)

    def _refuse(self, transport: WSTransport) -> None:
        # What follows in the same read still comes, and is left out.
        self._fragments = []
        if self._said is None:
            self._said = (_TOO_BIG, f"a message of more than {self._max_message_bytes} bytes")
            transport.send_close(WSCloseCode.MESSAGE_TOO_BIG)
            transport.disconnect()

    @override
    def on_ws_disconnected(self, transport: WSTransport) -> None:
        said = self._said
        if said is None:
            handshake: Any = transport.close_handshake
            info = handshake and (handshake.recv or handshake.sent)
            said = (int(info.code.value), info.reason or "") if info else (_ABNORMAL, "")
        self._listener.end(*said)
