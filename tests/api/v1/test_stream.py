import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from schemas.settings import Settings
from tests.api.helpers import prepare, serving
from tests.api.v1.minutes import Minute, write

START = 1_729_641_600
ROUTE = "/v1/stream"


@pytest.fixture
def dsn(postgres_dsn: str, settings: Settings) -> str:
    prepare(postgres_dsn, settings)
    return postgres_dsn


@pytest.fixture
def api(settings: Settings, dsn: str) -> Iterator[httpx.Client]:
    with serving(settings, dsn) as client:
        yield client


Event = tuple[str, str | None, Any]
"""Name, id, data."""


def events_of(lines: Iterator[str]) -> Iterator[Event]:
    name, identity, data = "message", None, ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "id":
            identity = value
        elif field == "data":
            data = value
        elif not line and data:
            yield name, identity, json.loads(data)
            name, identity, data = "message", None, ""


@contextmanager
def following(
    api: httpx.Client, headers: dict[str, str] | None = None, **parameters: str
) -> Iterator[Callable[[], Event]]:
    """Follow a stream; gives a function that returns the next event."""
    with api.stream("GET", ROUTE, params=parameters, headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        events = events_of(response.iter_lines())
        yield lambda: next(events)


def minute(number: int, **changes: Any) -> Minute:
    fields = {"buy": "1", "sell": "2", **changes}
    return Minute("upbit", "BTC-KRW", START + 60 * number, **fields)


def test_finals_estimates_and_revisions_arrive_as_whole_rows(api: httpx.Client, dsn: str) -> None:
    with following(api, exchange="upbit") as next_event:
        assert next_event()[0] == "ready"
        write(dsn, [minute(0, is_final=False, revision=0)])
        name, identity, row = next_event()
        assert (name, identity, row["is_final"]) == ("taker_volume", None, False)
        write(dsn, [minute(0)])
        name, identity, row = next_event()
        assert (name, row["is_final"], row["revision"]) == ("taker_volume", True, 1)
        assert identity is not None
        assert row["time"] == "2024-10-23T00:00:00Z"
        write(dsn, [minute(0, buy="3", revision=2)])
        _, _, row = next_event()
        assert (row["taker_buy_volume"], row["revision"]) == ("3", 2)


def test_only_the_markets_that_were_asked_for_arrive(api: httpx.Client, dsn: str) -> None:
    with following(api, symbol="ETH-USDT", exchange="okx,binance") as next_event:
        assert next_event()[0] == "ready"
        write(dsn, [minute(0), Minute("okx", "ETH-USDT", START, "1", "1")])
        _, _, row = next_event()
        assert (row["exchange"], row["symbol"]) == ("okx", "ETH-USDT")


def test_a_client_goes_on_where_it_stopped(api: httpx.Client, dsn: str) -> None:
    with following(api, exchange="upbit") as next_event:
        next_event()
        write(dsn, [minute(0)])
        _, last, _ = next_event()
    assert last is not None
    for number in range(1, 6):
        write(dsn, [minute(number)])
    with following(api, headers={"last-event-id": last}, exchange="upbit") as next_event:
        missed = [next_event() for _ in range(5)]
        assert [row["time"][14:16] for _, _, row in missed] == ["01", "02", "03", "04", "05"]
        assert next_event()[0] == "ready"


def test_a_new_client_gets_the_newest_minutes_first(api: httpx.Client, dsn: str) -> None:
    write(dsn, [minute(number) for number in range(10)])
    with following(api, exchange="upbit") as next_event:
        assert [next_event()[2]["time"][14:16] for _ in range(2)] == ["08", "09"]
        assert next_event()[0] == "ready"


def test_an_id_that_the_log_no_longer_reaches_is_a_reset(api: httpx.Client, dsn: str) -> None:
    write(dsn, [minute(0)])
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM taker_volume_changes")
        connection.execute("UPDATE taker_volume_changes_cut SET xid = pg_current_xact_id()")
    with following(api, exchange="upbit", after="1.0") as next_event:
        assert next_event()[0] == "reset"
        assert next_event()[2]["time"] == "2024-10-23T00:00:00Z"
        assert next_event()[0] == "ready"


def test_a_wrong_wish_is_refused_before_anything_is_sent(api: httpx.Client) -> None:
    response = api.get(ROUTE, params={"exchange": "nyse", "after": "x", "limit": "3"})
    assert response.status_code == 400
    assert {error["parameter"] for error in response.json()["errors"]} == {
        "exchange",
        "after",
        "limit",
    }


def test_a_websocket_gets_the_same_and_goes_on_too(api: httpx.Client, dsn: str) -> None:
    url = f"ws://{api.base_url.netloc.decode()}{ROUTE}"
    with connect(url) as socket:
        socket.send('{"subscribe": {"exchange": "upbit"}}')
        assert json.loads(socket.recv())["event"] == "ready"
        write(dsn, [minute(0)])
        first = json.loads(socket.recv())
        assert (first["event"], first["data"]["taker_sell_volume"]) == ("taker_volume", "2")
    write(dsn, [minute(1)])
    with connect(url) as socket:
        socket.send(json.dumps({"subscribe": {"exchange": ["upbit"]}, "after": first["id"]}))
        assert json.loads(socket.recv())["data"]["time"] == "2024-10-23T00:01:00Z"


def test_a_websocket_that_asks_nonsense_is_told_why(api: httpx.Client) -> None:
    with connect(f"ws://{api.base_url.netloc.decode()}{ROUTE}") as socket:
        socket.send('{"subscribe": {"exchange": "nyse"}}')
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4400
    assert "nyse" in caught.value.rcvd.reason


def test_writers_that_end_in_any_order_lose_no_event(api: httpx.Client, dsn: str) -> None:
    def write_some(code: str) -> None:
        for number in range(40):
            write(dsn, [Minute(code, "BTC-USDT", START + 60 * number, "1", "1")])

    codes = ("okx", "binance", "bybit", "gateio")
    with following(api, symbol="BTC-USDT") as next_event:
        next_event()
        writers = [threading.Thread(target=write_some, args=(code,)) for code in codes]
        for writer in writers:
            writer.start()
        seen: set[tuple[str, str]] = set()
        while len(seen) < 40 * len(codes):
            _, _, row = next_event()
            seen.add((row["exchange"], row["time"]))
        for writer in writers:
            writer.join()


def test_a_stopping_server_says_so(settings: Settings, dsn: str) -> None:
    with httpx.Client(timeout=30) as client:
        with serving(settings, dsn) as api:
            request = client.build_request("GET", f"{api.base_url}{ROUTE}")
            events = events_of(client.send(request, stream=True).iter_lines())
            assert next(events)[0] == "ready"
        # The server has ended here: it did not wait for the client to leave.
        assert [name for name, _, _ in events] == ["dropped"]
