"""Stands before a broker, and has it refuse the first records of a producer.

So does a broker that has announced a partition and is not ready for it yet, for some milliseconds
after a topic was made, or after its own start.
"""

from __future__ import annotations

import select
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PRODUCE = b"\x00\x00"
NO_SUCH_PARTITION = (999).to_bytes(4)
SECOND_REQUEST_SECONDS = 0.5


class UnreadyBroker:
    """A port of its own that clients use instead of the broker's."""

    def __init__(self, servers: str) -> None:
        host, _, port = servers.partition(":")
        self._broker = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._own_port = self._listener.getsockname()[1]
        self.servers = f"127.0.0.1:{self._own_port}"
        self.refused = 0
        """Requests of which the broker has taken no record."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            broker = socket.create_connection(self._broker)
            for pump, arguments in (
                (self._requests, (client, broker)),
                (self._responses, (broker, client)),
            ):
                threading.Thread(target=_until_closed, args=(pump, *arguments), daemon=True).start()

    def _requests(self, client: socket.socket, broker: socket.socket) -> None:
        while True:
            request = _frame(client)
            if request[4:6] == PRODUCE and not self.refused:
                # A second one that is already under way will find the partition ready.
                select.select([client], [], [], SECOND_REQUEST_SECONDS)
                request = self._of_no_partition(request)
                self.refused += 1
            broker.sendall(request)

    def _responses(self, broker: socket.socket, client: socket.socket) -> None:
        host = self._broker[0].encode()
        port, own_port = self._broker[1].to_bytes(4), self._own_port.to_bytes(4)
        while True:
            client.sendall(_frame(broker).replace(host + port, host + own_port))

    @staticmethod
    def _of_no_partition(request: bytes) -> bytes:
        """The request with another partition: its array of one follows the name of the topic."""
        before, found, after = request.partition(b"-unready\x02\x00\x00\x00\x00")
        assert found, request
        return before + found[:-4] + NO_SUCH_PARTITION + after


def _frame(connection: socket.socket) -> bytes:
    head = _exactly(connection, 4)
    return head + _exactly(connection, int.from_bytes(head))


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            raise ConnectionError
        found += part
    return found


def _until_closed(
    pump: Callable[[socket.socket, socket.socket], None],
    source: socket.socket,
    target: socket.socket,
) -> None:
    try:
        pump(source, target)
    except OSError:
        for connection in (source, target):
            connection.close()
