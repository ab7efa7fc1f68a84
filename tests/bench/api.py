"""The query interface over many rows, beside the same SQL in FastAPI.

Both run on one process of uvicorn with uvloop and httptools; the load comes from another process
over kept connections. `cold` asks for another range each time, so that no bytes are kept; `warm`
asks the same again.
"""

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import quantiles
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table

from connectors.commands.seed import seeded_markets
from connectors.local.cache import remove
from connectors.local.processes import choose_ports
from connectors.local.stack import Stack, state_folder
from connectors.postgres.connection import connect
from connectors.postgres.seed import seed
from connectors.process.clock import now_ns
from connectors.process.environment import Environment, checkout, load_settings
from tests.api.helpers import prepare

ROWS: Final = 50_000_000
SYMBOLS: Final = 38
CONNECTIONS: Final = 8
RATE: Final = 200
SECONDS: Final = 8.0
HOUR_S: Final = 3_600
QUESTIONS: Final = {
    # name: (exchanges, seconds of range, interval)
    "hour": ("okx", HOUR_S, "1m"),
    "day": ("okx", 24 * HOUR_S, "1m"),
    "month@1h": ("okx", 720 * HOUR_S, "1h"),
}


@contextmanager
def served(command: list[str], port: int, variables: dict[str, str]) -> Iterator[str]:
    """Run a server until it is not needed any more."""
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(command, env={**os.environ, **variables}, cwd=checkout())
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                httpx.get(f"{url}/openapi.json", timeout=5)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


class Connection:
    """One kept HTTP connection: a client that costs little beside what it measures."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def get(self, path: str) -> bool:
        """Ask, and tell whether it was answered: a machine that is too busy refuses."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await self._reader.readexactly(length)
        return head.startswith(b"HTTP/1.1 200")

    def close(self) -> None:
        self._writer.close()


async def closed_loop(port: int, paths: list[str]) -> float:
    """Return how many requests a second are answered, each connection asking when it can."""
    deadline = time.monotonic() + SECONDS
    count = 0
    numbers = itertools.count()

    async def ask() -> None:
        nonlocal count
        connection = Connection(port)
        await connection.open()
        while time.monotonic() < deadline:
            asked = next(numbers)
            count += await connection.get(paths[asked % len(paths)])
        connection.close()

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    return count / SECONDS


async def open_loop(port: int, paths: list[str]) -> float:
    """Return the p99 in milliseconds at a fixed rate, counted from when a request was due."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(4 * CONNECTIONS):
        connection = Connection(port)
        await connection.open()
        free.put_nowait(connection)
    times: list[float] = []

    async def ask(due: float, path: str) -> None:
        connection = await free.get()
        if time.monotonic() > began + 3 * SECONDS:
            # So far behind that it will not catch up: as good as never.
            times.append(float("inf"))
            free.put_nowait(connection)
            return
        is_answered = await connection.get(path)
        times.append(time.monotonic() - due if is_answered else float("inf"))
        free.put_nowait(connection)

    began = time.monotonic()
    asking = []
    for number in range(int(RATE * SECONDS)):
        due = began + number / RATE
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        asking.append(asyncio.ensure_future(ask(due, paths[number % len(paths)])))
    await asyncio.gather(*asking)
    while not free.empty():
        free.get_nowait().close()
    return quantiles(times, n=100)[98] * 1_000


def paths_of(end_s: int, exchange: str, range_s: int, interval: str, *, ours: bool) -> list[str]:
    """Return the same question about many ranges."""
    symbol = "BTC-USDT"
    found = []
    for number in range(200):
        to = end_s - 2 * HOUR_S - 60 * number
        if interval == "1h":
            to = to // HOUR_S * HOUR_S - HOUR_S * number
        start = to - range_s
        names = ("from", "to") if ours else ("start", "end")
        query = f"exchange={exchange}&symbol={symbol}&interval={interval}"
        query += f"&{names[0]}={start}&{names[1]}={to}"
        found.append(f"/v1/taker-volume?{query}" if ours else f"/rows?{query}")
    return found


def show(console: Console, rows: int = ROWS, symbols: int = SYMBOLS) -> None:
    """Measure and print the table."""
    folder = state_folder(checkout()) / "bench-api"
    remove(folder)
    stack = Stack(folder, environment={})
    try:
        variables = stack.start(["postgres"]).variables()
        variables = {"POSTGRES_DSN": variables["POSTGRES_DSN"]}
        environment = Environment.read(variables)
        end_s = now_ns() // 10**9 // HOUR_S * HOUR_S
        _fill(console, environment, end_s, rows, symbols)
        console.print(_table(variables, end_s))
    finally:
        stack.stop()
        remove(folder)


def _fill(console: Console, environment: Environment, end_s: int, rows: int, symbols: int) -> None:
    dsn = environment.require_postgres()
    settings = load_settings(environment)
    prepare(dsn, settings)
    markets = seeded_markets(settings, symbols)
    with connect(dsn) as connection:
        began = time.monotonic()
        end = datetime.fromtimestamp(end_s, UTC)
        written = seed(connection, markets, end, rows // len(markets))
        console.print(f"{written:,} rows in {time.monotonic() - began:.0f} s")


def _table(variables: dict[str, str], end_s: int) -> Table:
    ports = choose_ports({"ours": None, "theirs": None})
    ours = [sys.executable, "-c", "from connectors.commands.cli import main; main()", "serve"]
    theirs = [sys.executable, "-m", "uvicorn", "tests.bench.fastapi_peer:app"]
    options = ["--loop", "uvloop", "--http", "httptools", "--log-level", "warning"]
    table = Table("question", "cold /s", "warm /s", "FastAPI /s", "cold ratio", "warm ratio")
    for title in ("p99 ms", "FastAPI p99 ms"):
        table.add_column(title)
    with (
        served([*ours, "--port", str(ports["ours"])], ports["ours"], variables),
        served([*theirs, *options, "--port", str(ports["theirs"])], ports["theirs"], variables),
    ):
        for name, (exchange, range_s, interval) in QUESTIONS.items():
            asked = paths_of(end_s, exchange, range_s, interval, ours=True)
            warm = [f"{asked[0]}&limit=10000"]
            peer = paths_of(end_s, exchange, range_s, interval, ours=False)
            # Each once without being counted: pages of the table, plans, connections.
            asyncio.run(closed_loop(ports["ours"], asked))
            asyncio.run(closed_loop(ports["theirs"], peer))
            # Another limit is another question: nothing is kept of it yet.
            cold = [f"{asked[k % len(asked)]}&limit={2_000 + k}" for k in range(8_000)]
            rates = [
                asyncio.run(closed_loop(ports["ours"], cold)),
                asyncio.run(closed_loop(ports["ours"], warm)),
                asyncio.run(closed_loop(ports["theirs"], peer)),
            ]
            slow = [
                asyncio.run(open_loop(ports["ours"], cold)),
                asyncio.run(open_loop(ports["theirs"], peer)),
            ]
            table.add_row(
                name,
                *(f"{rate:,.0f}" for rate in rates),
                f"{rates[0] / rates[2]:.1f}",
                f"{rates[1] / rates[2]:.1f}",
                *(f"{each:.1f}" for each in slow),
            )
    return table


if __name__ == "__main__":
    show(Console(), *map(int, sys.argv[1:]))
