"""The simulator over real sockets: handshakes, heartbeats, faults by request, a graceful end."""

import asyncio
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from connectors.process.clock import now_ns
from connectors.simulator.server import Server
from connectors.simulator.simulation import Simulation
from connectors.simulator.truth import Truth
from connectors.simulator.websocket import client_frames, frame
from schemas.settings import parse_settings

BTC = {"op": "subscribe", "args": [{"channel": "trades", "instId": "BTC-USDT"}]}
BOOKS = {"op": "subscribe", "args": [{"channel": "books", "instId": "BTC-USDT"}]}


@asynccontextmanager
async def serving(folder: Path | None = None, rate: float = 1_000.0) -> AsyncIterator[Server]:
    with Truth(folder) as truth:
        simulation = Simulation(1, 1, rate, now_ns() // 1_000_000, truth)
        async with Server(simulation) as server:
            yield server


def okx(server: Server) -> connect:
    return connect(f"ws://127.0.0.1:{server.port}/okx/spot/ws/v5/public", compression=None)


async def asked(server: Server, path: str, body: Any = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", data)

    def get() -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  # loopback
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    return await asyncio.to_thread(get)


async def until_data(socket: ClientConnection) -> Any:
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), 10))
        if "data" in message:
            return message


async def read_on(socket: ClientConnection, patience_s: float) -> None:
    """Read until the connection ends or is silent for so long."""
    while True:
        await asyncio.wait_for(socket.recv(), patience_s)


def test_subscribers_are_sent_trades_and_status_counts_them() -> None:
    async def run() -> None:
        async with serving() as server, okx(server) as socket:
            await socket.send(json.dumps(BTC))
            acknowledged = json.loads(await socket.recv())
            assert acknowledged["event"] == "subscribe"
            message = await until_data(socket)
            assert message["arg"] == BTC["args"][0]
            _, body = await asked(server, "/status")
            status = json.loads(body)
            assert status["connections"] == {"okx": 1}
            assert status["trades"] > 0

    asyncio.run(run())


def test_rest_is_on_the_same_port() -> None:
    async def run() -> None:
        async with serving() as server:
            status, body = await asked(server, "/upbit/spot/v1/market/all")
            assert status == 200
            assert json.loads(body)[0]["market"] == "KRW-BTC"
            status, _ = await asked(server, "/upbit/linear/v1/market/all")
            assert status == 404
            status, _ = await asked(server, "/mtgox/spot")
            assert status == 404

    asyncio.run(run())


def test_a_dropped_connection_ends_with_a_close_frame(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path) as server, okx(server) as socket:
            await socket.send(json.dumps(BTC))
            await until_data(socket)
            status, body = await asked(server, "/control", {"fault": "drop", "exchange": "okx"})
            assert (status, json.loads(body)) == (200, {"applied": 1, "touched": [1]})
            with pytest.raises(ConnectionClosed) as closed:
                await read_on(socket, 10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001

    asyncio.run(run())
    events = [json.loads(line) for line in (tmp_path / "events.ndjson").read_text().splitlines()]
    assert [event["fault"] for event in events] == ["drop"]
    assert events[0]["exchange"] == "okx"


def test_an_aborted_connection_ends_without_a_word() -> None:
    async def run() -> None:
        async with serving() as server, okx(server) as socket:
            await socket.send(json.dumps(BTC))
            await until_data(socket)
            await asked(server, "/control", {"fault": "abort"})
            with pytest.raises(ConnectionClosed) as closed:
                await read_on(socket, 10)
            assert closed.value.rcvd is None

    asyncio.run(run())


def test_a_half_open_connection_is_silent_and_open() -> None:
    async def run() -> None:
        async with serving() as server, okx(server) as socket:
            await socket.send(json.dumps(BTC))
            await until_data(socket)
            await asked(server, "/control", {"fault": "half_open"})
            await asyncio.sleep(0.1)
            with pytest.raises(TimeoutError):
                await read_on(socket, 0.5)
            assert socket.close_code is None
            socket.transport.abort()

    asyncio.run(run())


def test_a_refused_upgrade_says_the_status() -> None:
    async def run() -> None:
        async with serving() as server:
            fault = {"fault": "refuse", "kind": "websocket", "status": 429, "ms": 60_000}
            await asked(server, "/control", fault)
            with pytest.raises(InvalidStatus) as refused:
                await okx(server).__aenter__()
            assert refused.value.response.status_code == 429

    asyncio.run(run())


def test_a_wrong_fault_is_refused_with_what_was_expected() -> None:
    async def run() -> None:
        async with serving() as server:
            status, body = await asked(server, "/control", {"fault": "earthquake"})
            assert status == 400
            assert "earthquake" in json.loads(body)["error"]

    asyncio.run(run())


def test_pings_are_answered_and_broken_frames_refused() -> None:
    async def run() -> None:
        async with serving() as server, okx(server) as socket:
            await asyncio.wait_for(await socket.ping(), 10)
            await socket.send("ping")
            assert await socket.recv() == "pong"
            socket.transport.write(frame(b"not masked"))
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), 10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1002

    asyncio.run(run())


def test_client_frames_are_joined_and_unmasked() -> None:
    def masked(head: int, payload: bytes) -> bytes:
        mask = b"\x01\x02\x03\x04"
        body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        return bytes((head, 0x80 | len(payload))) + mask + body

    parts = masked(0x01, b"first ") + masked(0x89, b"!") + masked(0x80, b"second")
    whole = parts + masked(0x81, b"third")
    for cut in range(len(whole) + 1):
        buffer, found = bytearray(whole[:cut]), []
        found += list(client_frames(buffer))
        buffer += whole[cut:]
        found += list(client_frames(buffer))
        texts = [item for item in found if item[0] == 1]
        assert texts == [(1, b"first second"), (1, b"third")]
        assert not buffer


def test_the_command_writes_a_whole_configuration(tmp_path: Path) -> None:
    script = tmp_path / "faults.json"
    script.write_text('[{"fault": "clock", "exchange": "okx", "ms": 70, "at_s": 0.1}]')
    config = tmp_path / "pipeline.yaml"
    code = "from connectors.commands.cli import main; main()"
    command = [sys.executable, "-c", code, "simulate", "--rate", "500", "--truth", str(tmp_path)]
    command += ["--script", str(script), "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "http://127.0.0.1:" in first
        for _ in range(200):
            if (tmp_path / "events.ndjson").read_text() and config.exists():
                break
            asyncio.run(asyncio.sleep(0.05))
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(20) == 0
    assert "binance linear: ws://127.0.0.1:" in rest
    settings = parse_settings(config.read_bytes(), str(config))
    port = first.split(":")[2].split()[0]
    urls = settings.exchanges["bybit"].urls
    assert urls.ws["linear"] == f"ws://127.0.0.1:{port}/bybit/linear/v5/public/linear"
    assert urls.rest["spot"] == f"http://127.0.0.1:{port}/bybit/spot"
    trades = (tmp_path / "trades.ndjson").read_bytes().splitlines()
    names = {"exchange", "symbol", "trade_id", "time_ms", "side", "price", "size"}
    assert set(msgspec.json.decode(trades[0])) == names
    event = msgspec.json.decode((tmp_path / "events.ndjson").read_bytes())
    assert (event["fault"], event["ms"], event["touched"]) == ("clock", 70, 1)
