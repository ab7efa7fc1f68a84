"""The archive dataflow on real services: each record in exactly one object, whatever happens."""

import gzip
import hashlib
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from connectors.process.environment import Environment
from tests.dataflows.archive import Archive
from tests.dataflows.harness import Pipeline, wait

if TYPE_CHECKING:
    pass

MakePipeline = Callable[..., Pipeline]

HOUR = 1_729_677_600  # 2024-10-23 10:00 UTC


def book(number: int, second: int = 0) -> bytes:
    time_text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(HOUR + second))
    return (
        b'{"region":"NE","market":"Binance","coin_symbol":"BTC","highest_bid":%d,'
        b'"lowest_ask":2,"spread":1,"total_bid_volume":1,"total_ask_volume":1,'
        b'"timestamp":"%s.050791+00:00","symbol":"BTC-USDT"}' % (number, time_text.encode())
    )


def ticker(number: int) -> bytes:
    return (
        b'{"region":"NE","market":"Binance","coin_symbol":"BTC","timestamp":%d.0,'
        b'"data":[{"trade_price":"%d"}],"symbol":"BTC-USDT"}' % (HOUR * 1_000, number)
    )


def taker_volume(minute: int) -> bytes:
    return b'{"region":"NE","market":"Binance","minute":%d,"taker_buy_volume":"1.50"}' % minute


def produce(archive: Archive, topic: str, values: list[bytes]) -> None:
    archive.pipeline.produce(topic, 0, [(b"binance:BTC-USDT", value) for value in values])


def test_objects_lie_and_say_what_others_rely_on(archive: Archive) -> None:
    books = [book(number) for number in range(120)]
    produce(archive, archive.processed.orderbook, books)
    produce(archive, archive.processed.ticker, [ticker(number) for number in range(40)])
    minutes = [taker_volume(HOUR + 60 * number) for number in range(90)]
    produce(archive, archive.processed.taker_volume, minutes)

    archive.pipeline.run("archive", **archive.variables)

    objects = archive.objects()
    folder = "exchange=binance/date=2024-10-23/hour=10"
    ob, ti, tv = (
        archive.processed.orderbook,
        archive.processed.ticker,
        archive.processed.taker_volume,
    )
    assert {key: metadata["count"] for key, (_, metadata) in objects.items()} == {
        f"topics/{ob}/{folder}/{ob}+0+00000000000000000000.jsonl.gz": "50",
        f"topics/{ob}/{folder}/{ob}+0+00000000000000000050.jsonl.gz": "50",
        f"topics/{ob}/{folder}/{ob}+0+00000000000000000100.jsonl.gz": "20",
        f"topics/{ti}/{folder}/{ti}+0+00000000000000000000.jsonl.gz": "20",
        f"topics/{ti}/{folder}/{ti}+0+00000000000000000020.jsonl.gz": "20",
        # The hour ends a run before its count does.
        f"topics/{tv}/{folder}/{tv}+0+00000000000000000000.jsonl.gz": "60",
        f"topics/{tv}/exchange=binance/date=2024-10-23/hour=11/"
        f"{tv}+0+00000000000000000060.jsonl.gz": "30",
    }
    body, metadata = objects[f"topics/{ob}/{folder}/{ob}+0+00000000000000000050.jsonl.gz"]
    assert gzip.decompress(body) == b"".join(value + b"\n" for value in books[50:100])
    assert metadata == {
        "count": "50",
        "first-offset": "50",
        "last-offset": "99",
        "first-time": "2024-10-23T10:00:00+00:00",
        "last-time": "2024-10-23T10:00:00+00:00",
        "sha256": hashlib.sha256(body).hexdigest(),
    }


def test_a_second_run_from_nothing_changes_no_byte(archive: Archive) -> None:
    produce(archive, archive.processed.orderbook, [book(n, 40 * n) for n in range(333)])
    archive.pipeline.run("archive", **archive.variables)
    before = archive.objects()

    archive.pipeline.run("archive", **archive.variables)

    assert archive.objects() == before


def test_what_cannot_be_read_is_archived_all_the_same(archive: Archive) -> None:
    topic = archive.processed.orderbook
    odd: list[tuple[bytes | None, bytes | None]] = [
        (b"binance:BTC-USDT", b"no json"),
        (None, book(1)),
        (b"\xff", None),
        (b"binance:BTC-USDT", b'{"two":\n"lines"}'),
        (b"../../x:BTC", book(2)),
    ]
    archive.pipeline.produce(topic, 0, odd)

    archive.pipeline.run("archive", **archive.variables)

    assert archive.lines(topic) == [
        b"no json", book(1), b"null", b'{"base64":"eyJ0d28iOgoibGluZXMifQ=="}', book(2),
    ]  # fmt: skip
    assert all("/exchange=binance/" in key or "/exchange=unknown/" in key
               for key in archive.objects())  # fmt: skip


def test_kills_neither_lose_nor_double_a_record(archive: Archive) -> None:
    chance = random.Random(11)
    store = archive.pipeline.recovery_store()
    books = [book(number, number) for number in range(6_000)]
    fed = 0
    for _ in range(6):
        process = archive.pipeline.start("archive", *store, **archive.variables)
        # Little by little, so that the time limit cuts some of the runs.
        for _ in range(8):
            part = chance.randrange(1, 130)
            produce(archive, archive.processed.orderbook, books[fed : fed + part])
            fed += part
            time.sleep(0.6 * chance.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()

    archive.pipeline.run("archive", *store, **archive.variables)

    assert archive.lines(archive.processed.orderbook) == books[:fed]


def test_a_terminated_flow_drains_and_goes_on(archive: Archive) -> None:
    store = archive.pipeline.recovery_store()
    books = [book(number) for number in range(230)]
    produce(archive, archive.processed.orderbook, books[:110])
    process = archive.pipeline.start("archive", *store, **archive.variables)
    wait_for(lambda: len(archive.objects()) >= 2)

    process.send_signal(signal.SIGTERM)
    wait(process)
    produce(archive, archive.processed.orderbook, books[110:])
    archive.pipeline.run("archive", *store, **archive.variables)

    assert archive.lines(archive.processed.orderbook) == books


class Proxy:
    """Stands between the flow and the real store, and can be in its way."""

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("http://").partition(":")
        self._target = host, int(port)
        self._mode = "pass"
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def be(self, mode: str) -> None:
        """Cuts what is connected; from now on it is in this way in the way."""
        self._mode = mode
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._clients.clear()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            mode = self._mode
            if mode == "refuse":
                return
            if mode in ("500", "503", "507"):
                client.recv(65_536)
                body = b"<Error><Code>InternalError</Code><Message>no</Message></Error>"
                client.sendall(
                    b"HTTP/1.1 %s Broken\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                    % (mode.encode(), len(body), body)
                )
                return
            if mode == "slow":
                time.sleep(1.0)
            with socket.create_connection(self._target) as server:
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(minio: Environment) -> Iterator[Proxy]:
    proxy = Proxy(minio.require_s3())
    yield proxy
    proxy.close()


@pytest.mark.parametrize("mode", ["refuse", "500", "503", "507", "slow"])
def test_a_store_in_trouble_holds_the_flow_back_and_loses_nothing(
    archive: Archive, proxy: Proxy, mode: str
) -> None:
    archive.variables["S3_ENDPOINT_URL"] = proxy.url
    books = [book(number) for number in range(500)]
    produce(archive, archive.processed.orderbook, books[:200])
    process = archive.pipeline.start("archive", *archive.pipeline.recovery_store(),
                                     **archive.variables)  # fmt: skip
    wait_for(lambda: len(archive.objects()) == 4)

    proxy.be(mode)
    produce(archive, archive.processed.orderbook, books[200:])
    time.sleep(4)
    if mode != "slow":
        assert len(archive.objects()) == 4
    assert process.poll() is None
    proxy.be("pass")

    wait_for(lambda: len(archive.objects()) == 10)
    process.send_signal(signal.SIGTERM)
    wait(process)
    assert archive.lines(archive.processed.orderbook) == books


def wait_for(condition: Callable[[], Any], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)
