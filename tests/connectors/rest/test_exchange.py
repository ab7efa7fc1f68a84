"""REST within limits: what is obeyed before and after an exchange refuses."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from connectors.process.budgets import Budgets
from connectors.rest.exchange import ExchangeRest
from schemas.errors import SettingsError, UnavailableError
from schemas.exchanges import subscriptions_of
from schemas.histories import Request
from schemas.subscriptions import Budget, Subscriptions

ASK = Request("/trades", {"symbol": "X"})
Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def answering(*answers: Answer) -> Iterator[tuple[str, list[str]]]:
    """Serve answers, the last one again and again; yields the address and what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = answers[min(len(asked), len(answers)) - 1]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def client(url: str, folder: Path, facts: Subscriptions) -> Iterator[ExchangeRest]:
    made = ExchangeRest("x", url, facts, Budgets(folder))
    try:
        yield made
    finally:
        made.close()


def facts_of(exchange: str, **changes: object) -> Subscriptions:
    return msgspec.structs.replace(subscriptions_of(exchange), **changes)


def test_no_more_requests_than_the_budget(tmp_path: Path) -> None:
    facts = facts_of("okx", rest=Budget(3, 0.5))
    with answering((200, {}, b"[]")) as (url, asked), client(url, tmp_path, facts) as rest:
        started = time.monotonic()
        for _ in range(7):
            assert rest.get(ASK) == b"[]"
        assert time.monotonic() - started >= 1.0
    assert asked == ["/trades?symbol=X"] * 7


@pytest.mark.parametrize(
    ("exchange", "status", "headers", "least_seconds"),
    [
        ("binance", 429, {"Retry-After": "100"}, 90),
        ("binance", 418, {"Retry-After": "7200"}, 7_000),
        ("binance", 403, {}, 290),
        ("bybit", 403, {}, 590),
        ("upbit", 418, {}, 50),
        ("bitmex", 429, {"Retry-After": "90"}, 80),
    ],
)
def test_a_ban_is_kept_to_by_everybody(
    tmp_path: Path, exchange: str, status: int, headers: dict[str, str], least_seconds: float
) -> None:
    facts = subscriptions_of(exchange)
    with answering((status, headers, b"no")) as (url, asked), client(url, tmp_path, facts) as rest:
        with pytest.raises(UnavailableError, match="to be left alone"):
            rest.get(ASK)
        with client(url, tmp_path, facts) as other, pytest.raises(UnavailableError):
            other.get(ASK)
        host = url.removeprefix("http://")
        assert Budgets(tmp_path).banned_seconds(f"x@{host}.rest") > least_seconds
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("exchange", "headers"),
    [
        ("binance", {"X-MBX-USED-WEIGHT-1M": "2000"}),
        ("gateio", {"X-Gate-RateLimit-Requests-Remain": "1"}),
        ("bitmex", {"x-ratelimit-remaining": "0"}),
    ],
)
def test_a_used_up_budget_is_seen_in_the_headers(
    tmp_path: Path, exchange: str, headers: dict[str, str]
) -> None:
    facts = subscriptions_of(exchange)
    with answering((200, headers, b"[]")) as (url, _), client(url, tmp_path, facts) as rest:
        rest.get(ASK)
        host = url.removeprefix("http://")
        assert Budgets(tmp_path).banned_seconds(f"x@{host}.rest") > 0


@pytest.mark.parametrize(
    "body",
    [
        b'{"code":"50011","msg":"Too Many Requests"}',
        b'{"retCode":10006,"retMsg":"Too many visits!"}',
        b'{"error":["EAPI:Rate limit exceeded"]}',
        b'{"result":"error","error_code":"4"}',
    ],
)
def test_a_refusal_with_status_200_is_asked_again(tmp_path: Path, body: bytes) -> None:
    facts = facts_of("okx", rest=Budget(10, 0.1))
    answers: tuple[Answer, ...] = ((200, {}, body), (200, {}, b"[1]"))
    with answering(*answers) as (url, asked), client(url, tmp_path, facts) as rest:
        assert rest.get(ASK) == b"[1]"
    assert len(asked) == 2


def test_another_refusal_is_told_at_once(tmp_path: Path) -> None:
    answer: Answer = (400, {}, b'{"code":-1121,"msg":"Invalid symbol."}')
    facts = subscriptions_of("binance")
    with (
        answering(answer) as (url, asked),
        client(url, tmp_path, facts) as rest,
        pytest.raises(SettingsError, match="Invalid symbol"),
    ):
        rest.get(ASK)
    assert len(asked) == 1
