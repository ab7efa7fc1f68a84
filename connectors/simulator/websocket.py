"""The server's side of RFC 6455, as far as the exchanges use it: headers, masks, handshakes."""

import base64
import hashlib
import struct
from collections.abc import Iterator
from typing import Final

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

MAX_CLIENT_FRAME: Final = 1 << 20
"""Subscriptions are short: what claims to be longer is not one."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SHORT: Final = 126
_LONG: Final = 1 << 16


class ProtocolError(Exception):
    """A client sent what no client may."""


def accept_key(key: bytes) -> bytes:
    """Return what the handshake answers to a client's key."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a whole, unmasked frame."""
    length = len(payload)
    if length < _SHORT:
        return bytes((0x80 | opcode, length)) + payload
    if length < _LONG:
        return struct.pack(">BBH", 0x80 | opcode, 126, length) + payload
    return struct.pack(">BBQ", 0x80 | opcode, 127, length) + payload


def close_frame(code: int, reason: bytes = b"") -> bytes:
    """Return a close frame."""
    return frame(struct.pack(">H", code) + reason, CLOSE)


def client_frames(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take whole frames off a buffer: their opcodes and unmasked payloads, fragments joined.

    Raises:
        ProtocolError: A frame is not masked, or too long.
    """
    parts: list[bytes] = []
    first_opcode, start = 0, 0
    at = 0
    while (found := _client_frame(buffer, at)) is not None:
        is_last, opcode, payload, at = found
        if opcode >= CLOSE or (is_last and not parts):
            yield opcode, payload
        else:
            first_opcode = first_opcode or opcode
            parts.append(payload)
            if not is_last:
                continue
            yield first_opcode, b"".join(parts)
            parts, first_opcode = [], 0
        if not parts:
            start = at
    del buffer[:start]


def _client_frame(buffer: bytearray, at: int) -> tuple[bool, int, bytes, int] | None:
    """Return whether it is final, its opcode, its payload, its end; `None` if it is not whole."""
    if len(buffer) < at + 2:
        return None
    head, second = buffer[at], buffer[at + 1]
    if not second & 0x80:
        raise ProtocolError("frame without a mask")
    length, at = second & 0x7F, at + 2
    size = {126: 2, 127: 8}.get(length, 0)
    if len(buffer) < at + size + 4:
        return None
    if size:
        length = int.from_bytes(buffer[at : at + size])
        at += size
    if length > MAX_CLIENT_FRAME:
        raise ProtocolError(f"frame of {length} bytes, expected at most {MAX_CLIENT_FRAME}")
    if len(buffer) < at + 4 + length:
        return None
    mask, payload = buffer[at : at + 4], buffer[at + 4 : at + 4 + length]
    repeated = bytes(mask) * (length // 4 + 1)
    clear = int.from_bytes(payload) ^ int.from_bytes(repeated[:length])
    return bool(head & 0x80), head & 0x0F, clear.to_bytes(length), at + 4 + length
