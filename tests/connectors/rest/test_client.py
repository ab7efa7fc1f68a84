"""Requests to an exchange: patient with a busy one, plain about a refusal, silent about keys."""

import logging
import time
from collections.abc import Iterator

import pytest

from connectors.rest import client as rest
from connectors.rest.client import RestClient
from schemas.errors import SettingsError, UnavailableError
from schemas.histories import Request
from tests.histories import Past, Server

ASKED = Request("/api/v3/historicalTrades", {"symbol": "X", "fromId": 1, "limit": 5})
BUSY = (429, {"Retry-After": "1"}, b"{}")
PAST = Past("binance", {"X": []})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_BACKOFF_SECONDS", 0.01)


@pytest.fixture
def client() -> Iterator[list[RestClient]]:
    made: list[RestClient] = []
    yield made
    for each in made:
        each.close()


def test_a_busy_exchange_is_asked_again_when_it_says(client: list[RestClient]) -> None:
    with Server(PAST, [BUSY, (503, {}, b"")]).running() as server:
        client.append(RestClient(server.url, pause_ms=0))
        began = time.monotonic()

        assert client[0].get(ASKED) == b"[]"

        assert time.monotonic() - began > 0.9
        assert server.requests == 3


def test_requests_keep_their_distance(client: list[RestClient]) -> None:
    with Server(PAST).running() as server:
        client.append(RestClient(server.url, pause_ms=150))
        began = time.monotonic()
        for _ in range(3):
            client[0].get(ASKED)

    assert time.monotonic() - began > 0.29


def test_an_exchange_that_does_not_answer_is_given_up_in_the_end(
    client: list[RestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "ATTEMPTS", 3)
    client.append(RestClient("http://127.0.0.1:9", pause_ms=0))

    with pytest.raises(UnavailableError, match="no answer in 3 attempts: ConnectError"):
        client[0].get(ASKED)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 451])
def test_a_refusal_is_said_at_once_and_its_key_is_not(
    client: list[RestClient], caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    with Server(PAST, [BUSY, (status, {}, b'{"msg":"no"}')]).running() as server:
        client.append(RestClient(server.url, 0, {"X-MBX-APIKEY": "hush"}))

        with pytest.raises(SettingsError, match=f"{status} ") as refused:
            client[0].get(ASKED)

    assert server.headers[0]["X-MBX-APIKEY"] == "hush"
    assert "hush" not in str(refused.value) + caplog.text


def test_a_refusal_with_status_200_is_one(client: list[RestClient]) -> None:
    body = b'{"retCode":10001,"retMsg":"params error","result":{}}'
    with Server(PAST, [(200, {}, body)]).running() as server:
        client.append(RestClient(server.url, pause_ms=0))

        with pytest.raises(SettingsError, match="params error"):
            client[0].get(ASKED)
