import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from api.server import listen

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from connectors.commands.cli import main; main()", "serve"]


@contextmanager
def started(dsn: str, *options: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, *options],
        cwd=ROOT,
        env={**os.environ, "POSTGRES_DSN": dsn, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.match(r"API: (http://\S+)", line)
    assert found is not None, line + process.communicate()[1]
    return found[1]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_quietly_until_it_is_told_to_stop(filled_dsn: str, stop: signal.Signals) -> None:
    with started(filled_dsn, "--port", "0") as process:
        url = address(process)
        assert httpx.get(f"{url}/health/ready", timeout=30).status_code == 200
        process.send_signal(stop)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (0, "", "")


def test_the_access_log_is_printed_when_asked_for(filled_dsn: str) -> None:
    with started(filled_dsn, "--port", "0", "--access-log") as process:
        httpx.get(f"{address(process)}/health/live", timeout=30)
        process.terminate()
        output, errors = process.communicate(timeout=30)
    assert '"GET /health/live HTTP/1.1" 200' in output + errors


def test_the_address_comes_from_the_environment(filled_dsn: str) -> None:
    with started(filled_dsn, API_HOST="127.0.0.2", API_PORT="0") as process:
        url = address(process)
        assert url.startswith("http://127.0.0.2:")
        assert httpx.get(f"{url}/health/live", timeout=30).status_code == 200


def test_a_taken_port_is_one_clear_sentence(filled_dsn: str) -> None:
    with started(filled_dsn, "--port", "0") as first:
        port = address(first).rpartition(":")[2]
        with started(filled_dsn, "--port", port) as second:
            output, errors = second.communicate(timeout=30)
    assert (second.returncode, output) == (1, "")
    assert len(errors.splitlines()) == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in errors
    assert "--port" in errors


def test_answers_are_not_held_back_until_their_head_is_acknowledged() -> None:
    async def has_no_delay() -> bool:
        accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            option = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            accepted.set_result(bool(option))
            writer.close()

        listener = listen("127.0.0.1", 0)
        async with await asyncio.start_server(accept, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            try:
                return await accepted
            finally:
                writer.close()
                await writer.wait_closed()

    assert asyncio.run(has_no_delay())


def test_a_host_that_is_not_there_is_one_clear_sentence(filled_dsn: str) -> None:
    with started(filled_dsn, "--host", "192.0.2.1") as process:
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (1, "")
    assert len(errors.splitlines()) == 1
    assert "cannot listen on 192.0.2.1:8000" in errors


def test_it_is_refused_without_a_database_to_use() -> None:
    with started("") as process:
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (1, "")
    assert len(errors.splitlines()) == 1
    assert "POSTGRES_DSN is not set" in errors


def test_it_serves_while_the_database_is_down() -> None:
    with started("postgresql://nobody:hunter2@127.0.0.1:1/nothing", "--port", "0") as process:
        url = address(process)
        assert httpx.get(f"{url}/health/live", timeout=30).status_code == 200
        assert httpx.get(f"{url}/health/ready", timeout=30).status_code == 503
        process.terminate()
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "hunter2" not in output + errors
