import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from api import client as module
from api.client import ApiError, AsyncClient, Client
from schemas.settings import Settings
from tests.api.helpers import prepare, serving
from tests.api.v1.minutes import Minute, write

START = 1_729_641_600
BEGIN, END = datetime.fromtimestamp(START, UTC), datetime.fromtimestamp(START + 12_000, UTC)


def minutes() -> list[Minute]:
    return [
        Minute(code, "BTC-USDT", START + 60 * number, f"{number}.000000000001", "1")
        for code in ("okx", "binance")
        for number in range(200)
    ]


@pytest.fixture(scope="module")
def url(settings: Settings, module_dsn: str) -> Iterator[str]:
    prepare(module_dsn, settings)
    write(module_dsn, minutes())
    with serving(settings, module_dsn) as api:
        yield str(api.base_url)


def test_pages_are_hidden_and_numbers_exact(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_ROWS", 30)
    with Client(url) as client:
        answer = client.taker_volume("BTC-USDT", start=BEGIN, end=END)
    assert len(answer) == 400
    assert (answer[0].exchange, answer[0].time) == ("binance", BEGIN)
    assert answer[2].taker_buy_volume == Decimal("1.000000000001")


def test_answers_become_tables_of_exact_decimals(url: str) -> None:
    with Client(url) as client:
        answer = client.taker_volume("BTC-USDT", start=BEGIN, end=END, exchange="okx")
    expected = sum(Decimal(each.buy) for each in minutes() if each.code == "okx")
    assert sum(answer.to_pandas()["taker_buy_volume"]) == expected
    assert answer.to_polars()["taker_buy_volume"].sum() == expected
    assert sum(answer.to_arrow()["taker_buy_volume"].to_pylist()) == expected
    assert answer.to_pandas(floats=True)["taker_buy_volume"].dtype == "float64"


def test_an_answer_knows_its_coverage(url: str) -> None:
    with Client(url) as client:
        answer = client.taker_volume("BTC-USDT", start=BEGIN, end=END, exchange="okx")
        (day,) = answer.coverage
    assert day.complete_minutes == 200


def test_a_refusal_says_why(url: str) -> None:
    with Client(url) as client, pytest.raises(ApiError, match="nyse") as caught:
        client.taker_volume("BTC-USDT", exchange="nyse")
    assert caught.value.status == 400


def test_the_asynchronous_client_answers_the_same(url: str) -> None:
    async def ask() -> tuple[int, int]:
        async with AsyncClient(url) as client:
            answer = await client.taker_volume("BTC-USDT", start=BEGIN, end=END)
            return len(answer), len(await answer.coverage)

    assert asyncio.run(ask()) == (400, 2)


def test_a_stream_goes_on_where_the_history_ended_through_a_restart(
    settings: Settings, postgres_dsn: str
) -> None:
    prepare(postgres_dsn, settings)
    write(postgres_dsn, [Minute("okx", "BTC-USDT", START, "1", "1")])
    with serving(settings, postgres_dsn) as api:
        port = api.base_url.port or 0
        client = Client(str(api.base_url))
        history = client.taker_volume("BTC-USDT", start=BEGIN, end=END)
        write(postgres_dsn, [Minute("okx", "BTC-USDT", START + 60, "2", "1")])
        rows = client.stream("BTC-USDT", after=history, exchange="okx")
        seen = {row.time: row for row in history}
        row = next(rows)
        seen[row.time] = row
    # While no server is there, minutes are written and one of before is corrected.
    write(postgres_dsn, [Minute("okx", "BTC-USDT", START + 120, "3", "1")])
    write(postgres_dsn, [Minute("okx", "BTC-USDT", START, "9", "1", revision=2)])
    with serving(settings, postgres_dsn, port=port):
        write(postgres_dsn, [Minute("okx", "BTC-USDT", START + 180, "4", "1")])
        while len(seen) < 4 or seen[BEGIN].revision < 2:
            row = next(rows)
            seen[row.time] = row
        afterwards = {row.time: row for row in client.taker_volume("BTC-USDT", start=BEGIN)}
    names = ("taker_buy_volume", "taker_sell_volume", "revision", "is_final", "vwap")
    for time, row in afterwards.items():
        assert [row[name] for name in names] == [seen[time][name] for name in names]


def test_a_busy_server_is_asked_again_after_its_time() -> None:
    answers = iter([(503, "{}"), (429, "{}"), (200, '{"query": {}, "rows": [], "next": null}')])

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = next(answers)
            self.send_response(status)
            self.send_header("retry-after", "0")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever).start()
        with Client(f"http://127.0.0.1:{server.server_port}") as client:
            assert list(client.ask("/v1/ticker")) == []
        server.shutdown()
    assert next(answers, None) is None


def test_it_imports_nothing_of_the_rest() -> None:
    code = f"""
import importlib.util, sys
found = importlib.util.spec_from_file_location("marketflow_client", {module.__file__!r})
made = importlib.util.module_from_spec(found)
found.loader.exec_module(made)
print(sorted(n for n in sys.modules if n.split(".")[0] in ("api", "connectors", "schemas")))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=Path("/"), capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"
