"""Both WebSocket clients against one server that speaks the protocol byte by byte."""

import asyncio
import base64
import contextlib
import hashlib
import ssl
import struct
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.websocket import fast, portable
from connectors.websocket.interface import Connection, Open, Options, RefusedError
from schemas.errors import UnavailableError

CLIENTS = pytest.mark.parametrize(
    "open_connection",
    [fast.open_connection, portable.open_connection],
    ids=["picows", "websockets"],
)
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(kind: int, payload: bytes, *, is_final: bool = True) -> bytes:
    head = bytes([kind | 0x80 * is_final])
    length = len(payload)
    if length < 126:
        return head + bytes([length]) + payload
    if length < 65_536:
        return head + b"\x7e" + struct.pack(">H", length) + payload
    return head + b"\x7f" + struct.pack(">Q", length) + payload


class Peer:
    """The server's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.head = b""

    async def accept(self) -> None:
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        key = next(
            line.split(b": ")[1]
            for line in self.head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        proof = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # noqa: S324  # what RFC 6455 asks for
        self.writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(proof) + b"\r\n\r\n"
        )

    async def receive(self) -> tuple[int, bytes]:
        first, second = await self.reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", await self.reader.readexactly(2))
        mask = await self.reader.readexactly(4)
        masked = await self.reader.readexactly(length)
        return first & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(masked))


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.stirred = 0
        self.ended: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    def take(self, message: bytes, is_last: bool) -> None:
        del is_last
        self.messages.append(message)

    def stir(self) -> None:
        self.stirred += 1

    def end(self, code: int, reason: str) -> None:
        self.ended.set_result((code, reason))

    async def until(self, count: int) -> list[bytes]:
        async with asyncio.timeout(10):
            while len(self.messages) < count:  # noqa: ASYNC110  # what is called is a plain method
                await asyncio.sleep(0.005)
        return self.messages


def talk(
    open_connection: Open,
    serve: Callable[[Peer], Awaitable[None]],
    use: Callable[[Connection, Heard], Awaitable[None]],
    **options: Any,
) -> None:
    """Run a server and a client until the client is done."""

    async def run() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve(Peer(reader, writer))
            except (asyncio.IncompleteReadError, ConnectionError):
                pass  # the client has gone
            finally:
                writer.close()
                over.set()

        over = asyncio.Event()
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        heard = Heard()
        try:
            connection = await open_connection(
                f"ws://127.0.0.1:{port}/ws", heard, Options(**options)
            )
            await use(connection, heard)
            connection.close()
            async with asyncio.timeout(10):
                await over.wait()
            await asyncio.sleep(0.05)
        finally:
            server.close()

    asyncio.run(run())


@CLIENTS
def test_messages_arrive_whole_and_in_order(open_connection: Open) -> None:
    async def serve(peer: Peer) -> None:
        await peer.accept()
        peer.writer.write(
            frame(TEXT, b"one")
            + frame(BINARY, b"two")
            + frame(TEXT, b"thr", is_final=False)
            + frame(PING, b"between")
            + frame(CONTINUATION, b"", is_final=False)
            + frame(CONTINUATION, b"ee")
            + frame(TEXT, b"x" * 70_000)
        )
        await peer.reader.read()

    async def use(connection: Connection, heard: Heard) -> None:
        del connection
        assert await heard.until(4) == [b"one", b"two", b"three", b"x" * 70_000]

    talk(open_connection, serve, use)


@CLIENTS
def test_the_handshake_has_neither_origin_nor_extensions(open_connection: Open) -> None:
    async def serve(peer: Peer) -> None:
        await peer.accept()
        peer.writer.write(frame(TEXT, peer.head.lower()))
        await peer.reader.read()

    async def use(connection: Connection, heard: Heard) -> None:
        del connection
        (head,) = await heard.until(1)
        assert b"origin" not in head
        assert b"extensions" not in head

    talk(open_connection, serve, use)


@CLIENTS
def test_messages_and_pings_are_sent_and_pings_answered(open_connection: Open) -> None:
    async def serve(peer: Peer) -> None:
        await peer.accept()
        assert await peer.receive() == (TEXT, b"PING")
        assert (await peer.receive())[0] == PING
        peer.writer.write(frame(PONG, b"") + frame(PING, b"payload"))
        assert await peer.receive() == (PONG, b"payload")
        peer.writer.write(frame(TEXT, b"all right"))
        await peer.reader.read()

    async def use(connection: Connection, heard: Heard) -> None:
        connection.send(b"PING")
        await asyncio.sleep(0.05)
        connection.ping()
        assert await heard.until(1) == [b"all right"]
        assert heard.stirred >= 1

    talk(open_connection, serve, use)


@CLIENTS
@pytest.mark.parametrize(
    "parts",
    [[frame(TEXT, b"x" * 1_001)],
     [frame(TEXT, b"x" * 600, is_final=False), frame(CONTINUATION, b"x" * 600)]],
    ids=["whole", "in fragments"],
)  # fmt: skip
def test_an_oversize_message_ends_the_connection(open_connection: Open, parts: list[bytes]) -> None:
    async def serve(peer: Peer) -> None:
        await peer.accept()
        peer.writer.write(frame(TEXT, b"x" * 1_000) + b"".join(parts) + frame(TEXT, b"late"))
        await peer.reader.read()

    async def use(connection: Connection, heard: Heard) -> None:
        del connection
        async with asyncio.timeout(10):
            code, _ = await heard.ended
        assert code == 1009
        assert heard.messages == [b"x" * 1_000]

    talk(open_connection, serve, use, max_message_bytes=1_000)


@CLIENTS
def test_the_close_code_and_reason_are_told(open_connection: Open) -> None:
    async def serve(peer: Peer) -> None:
        await peer.accept()
        peer.writer.write(frame(CLOSE, struct.pack(">H", 4290) + b"too many connections"))
        await peer.reader.read()

    async def use(connection: Connection, heard: Heard) -> None:
        del connection
        async with asyncio.timeout(10):
            assert await heard.ended == (4290, "too many connections")

    talk(open_connection, serve, use)


@CLIENTS
def test_a_cut_connection_ends_with_1006(open_connection: Open) -> None:
    async def serve(peer: Peer) -> None:
        await peer.accept()
        await peer.writer.drain()
        peer.writer.transport.abort()

    async def use(connection: Connection, heard: Heard) -> None:
        del connection
        async with asyncio.timeout(10):
            assert (await heard.ended)[0] == 1006

    talk(open_connection, serve, use)


@CLIENTS
def test_a_paused_connection_loses_nothing(open_connection: Open) -> None:
    sent = [b"%d" % n + b"x" * 500 for n in range(2_000)]

    async def serve(peer: Peer) -> None:
        await peer.accept()
        await peer.receive()
        peer.writer.write(b"".join(frame(TEXT, message) for message in sent))
        await peer.writer.drain()
        await peer.reader.read()

    async def use(connection: Connection, heard: Heard) -> None:
        connection.pause()
        connection.send(b"go")
        await asyncio.sleep(0.3)
        assert len(heard.messages) <= 1  # one that was being waited for
        connection.resume()
        assert await heard.until(len(sent)) == sent

    talk(open_connection, serve, use)


@CLIENTS
def test_a_refusal_says_its_status_and_how_long_to_wait(open_connection: Open) -> None:
    async def serve(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.writer.write(
            b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
        )
        await peer.writer.drain()

    async def use(connection: Connection, heard: Heard) -> None:
        raise AssertionError("expected no connection")

    with pytest.raises(RefusedError, match="HTTP 429") as refused:
        talk(open_connection, serve, use)
    assert refused.value.status == 429
    assert refused.value.retry_after_seconds == 7


@CLIENTS
def test_a_silent_server_is_given_up_in_time(open_connection: Open) -> None:
    async def serve(peer: Peer) -> None:
        await peer.reader.read()

    async def use(connection: Connection, heard: Heard) -> None:
        raise AssertionError("expected no connection")

    with pytest.raises(UnavailableError, match=r"no handshake within 0\.2 s"):
        talk(open_connection, serve, use, timeout_seconds=0.2)


@CLIENTS
def test_a_closed_port_is_unavailable(open_connection: Open) -> None:
    async def run() -> None:
        await open_connection("ws://127.0.0.1:1/", Heard(), Options())

    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
        asyncio.run(run())


@CLIENTS
def test_a_proxy_is_gone_through(open_connection: Open) -> None:
    async def run() -> None:
        asked: list[bytes] = []

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            asked.append(head.split(b" ")[1])
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            peer = Peer(reader, writer)
            await peer.accept()
            writer.write(frame(TEXT, b"through"))
            await reader.read()
            writer.close()
            over.set()

        over = asyncio.Event()
        server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        heard = Heard()
        options = Options(proxy=f"http://127.0.0.1:{port}")
        connection = await open_connection("ws://exchange.invalid:8080/ws", heard, options)
        assert await heard.until(1) == [b"through"]
        assert asked == [b"exchange.invalid:8080"]
        connection.close()
        async with asyncio.timeout(10):
            await over.wait()
        await asyncio.sleep(0.05)
        server.close()

    asyncio.run(run())


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a self-signed certificate for a host; its file and that of its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-addext", "keyUsage=critical,digitalSignature,keyCertSign",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def talk_over_tls(open_connection: Open, certificate: Path, key: Path) -> list[bytes]:
    """Return what comes from a server with a certificate, asked for as localhost."""

    async def run() -> list[bytes]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await Peer(reader, writer).accept()
            writer.write(frame(TEXT, b"in secret"))
            await reader.read()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            over.set()

        over = asyncio.Event()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        heard = Heard()
        try:
            connection = await open_connection(f"wss://localhost:{port}/ws", heard, Options())
            messages = await heard.until(1)
            connection.close()
            async with asyncio.timeout(10):
                await over.wait()
            return messages
        finally:
            server.close()
            await asyncio.sleep(0.2)  # for the server's end of a handshake that failed

    return asyncio.run(run())


@CLIENTS
def test_a_self_signed_certificate_is_refused(open_connection: Open, tmp_path: Path) -> None:
    files = make_certificate(tmp_path, "localhost")
    with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        talk_over_tls(open_connection, *files)


@CLIENTS
def test_a_certificate_in_ssl_cert_file_is_trusted(
    open_connection: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make_certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    assert talk_over_tls(open_connection, *files) == [b"in secret"]


@CLIENTS
def test_a_trusted_certificate_of_another_host_is_refused(
    open_connection: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make_certificate(tmp_path, "exchange.invalid")
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    with pytest.raises(UnavailableError, match=r"(?i)hostname mismatch"):
        talk_over_tls(open_connection, *files)


@CLIENTS
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_is_gone_through(open_connection: Open, scheme: str) -> None:
    async def run() -> None:
        asked: list[bytes] = []

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            _, methods = await reader.readexactly(2)
            await reader.readexactly(methods)
            writer.write(b"\x05\x00")  # no password
            asked.append(await reader.readexactly(4))
            (length,) = await reader.readexactly(1)
            asked.append(await reader.readexactly(length))
            asked.append(await reader.readexactly(2))
            writer.write(b"\x05\x00\x00\x01" + bytes(6))
            await Peer(reader, writer).accept()
            writer.write(frame(TEXT, b"through"))
            await reader.read()
            writer.close()
            over.set()

        over = asyncio.Event()
        server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        heard = Heard()
        options = Options(proxy=f"{scheme}://127.0.0.1:{port}")
        try:
            connection = await open_connection("ws://exchange.invalid:8080/ws", heard, options)
            assert await heard.until(1) == [b"through"]
            assert asked == [b"\x05\x01\x00\x03", b"exchange.invalid", struct.pack(">H", 8080)]
            connection.close()
            async with asyncio.timeout(10):
                await over.wait()
            await asyncio.sleep(0.05)
        finally:
            server.close()

    asyncio.run(run())
