"""Readers that do not keep up: they are dropped with a reason, and the others are not held up."""

import asyncio
import socket
from contextlib import suppress

import pytest

from api import server
from api.v1.pump import MAX_FRAMES, Frame, Subscription, Wish


def test_a_reader_with_too_many_waiting_frames_is_dropped_with_a_reason() -> None:
    async def run() -> None:
        slow, quick = Subscription(Wish(frozenset())), Subscription(Wish(frozenset()))
        frames = [Frame([], {}) for _ in range(2 * MAX_FRAMES)]
        for frame in frames:
            slow.offer(frame)
            quick.offer(frame)
            assert await quick.take(1) is frame
        assert quick.ended is None
        assert (
            slow.ended == f"{MAX_FRAMES} frames were waiting: read faster, or ask for fewer markets"
        )
        # What it was promised still comes, in order; then the end.
        assert [await slow.take(1) for _ in range(MAX_FRAMES)] == frames[:MAX_FRAMES]
        assert await slow.take(1) is None

    asyncio.run(run())


def test_a_connection_whose_reader_stopped_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SEND_TIMEOUT_MS", 500)

    async def run() -> None:
        ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

        async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    writer.write(bytes(65_536))
                    await writer.drain()
            except OSError as error:
                ended.set_result(error)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

        listener = server.listen("127.0.0.1", 0)
        async with await asyncio.start_server(tell, sock=listener):
            with socket.create_connection(listener.getsockname()):
                # It never reads, and never closes either.
                error = await asyncio.wait_for(ended, 60)
        assert isinstance(error, TimeoutError | ConnectionError)

    asyncio.run(run())
