"""One WebSocket connection of a session: what it is told, and what it makes of that."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from connectors.collect.status import log, now_ms
from connectors.process import metrics
from connectors.websocket.interface import Connection

if TYPE_CHECKING:
    from connectors.collect.session import Session

FIRST_DATA_SECONDS: Final = 15.0
# Where an exchange says how many connects are left: when to save them up, and for how long.
MIN_CONNECTS_LEFT: Final = 2
SPARING_SECONDS: Final = 300.0
_ABNORMAL: Final = 1006


class Generation:
    """One WebSocket connection of a session; it listens to it."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._facts = session.around.facts
        self.url = session.url + self._facts.path(session.target)
        self.connection: Connection | None = None
        self.opened_ms = self.heard_ms = now_ms()
        self.asked_ms: int | None = None
        self.accepted_ms: int | None = None
        self.first_ms: dict[bytes, int] = {}
        self.whole_ms: dict[bytes, int] = {}
        self.accepted: set[bytes] = set()
        self.is_over = False
        self.is_leaving = False
        self.why_leaving = ""
        self.why_over = ""
        self.successor: Generation | None = None
        self._ended = asyncio.Event()
        self._unconfirmed = 0
        self._refused: set[bytes] = set()
        self._now_ms = self.opened_ms
        self._is_new_read = True
        self._beaten_ms = self.opened_ms
        self._sample: bytes | None = None
        self._sample_ms = 0
        self._sending: deque[bytes] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._search = self._facts.data.search
        product, kind = session.target.product, session.target.kind
        ids = self._facts.trade_id if session.target.has_trade_ids else self._facts.aggregate_id
        pattern = ids.get(product) if kind == "trade" else None
        self._find_ids = None if pattern is None else pattern.findall
        self._keeps_frames = kind == "ticker"
        self._is_book = kind == "orderbook"
        counts = (product, kind)
        self._frames = metrics.FRAMES.labels(session.around.exchange, *counts)
        self._bytes = metrics.FRAME_BYTES.labels(session.around.exchange, *counts)
        self._counted = (session.frames_in, session.bytes_in)

    async def open(self) -> None:
        """Connect and subscribe.

        Raises:
            UnavailableError: It was not to be had.
        """
        around = self._session.around
        self.connection = await around.open_connection(self.url, self, around.options)
        self.opened_ms = self.heard_ms = self._beaten_ms = now_ms()
        self.asked_ms = self.opened_ms
        streams = list(self._session.streams.values())
        self.send(self._facts.subscribe(self._session.target, streams))

    def send(self, frames: Iterable[bytes]) -> None:
        """Send messages, no more in a second than the exchange allows."""
        self._sending.extend(frames)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        most, seconds = self._facts.messages
        sent: deque[float] = deque(maxlen=most)
        time = asyncio.get_running_loop().time
        while self._sending and self.connection is not None and not self.is_over:
            if len(sent) == most and sent[0] + seconds > time():
                await asyncio.sleep(sent[0] + seconds - time())
                continue
            sent.append(time())
            self.connection.send(self._sending.popleft())
            self._unconfirmed += 1
            self.asked_ms = now_ms()

    # -- what the connection tells -------------------------------------------------------------

    def take(self, message: bytes, is_last: bool) -> None:  # noqa: FBT001  # a hot call
        """Take a message: data goes on, anything else is read here."""
        if self._is_new_read:
            self._now_ms = self.heard_ms = now_ms()
        self._is_new_read = is_last
        found = self._search(message)
        if found is None:
            self._read(message)
            return
        name, received_ms, session = found[1], self._now_ms, self._session
        if name not in self.first_ms:
            self.first_ms[name] = received_ms
        else:  # the first one may be old: a snapshot
            self._sample, self._sample_ms = message, received_ms
        if self.successor is not None and self._is_book and name in self.successor.first_ms:
            return  # of the new connection; trades of both are told apart by their ids
        if self._find_ids is not None:
            self._check_ids(name, message, received_ms)
        session.last_ms[name] = received_ms
        session.frames.append((received_ms, message))
        session.bytes_in += len(message)
        session.frames_in += 1
        if self._keeps_frames:
            session.tickers[name] = message

    def stir(self) -> None:
        """Note a ping or a pong."""
        self.heard_ms = now_ms()

    def end(self, code: int, reason: str) -> None:
        """Note the end, or make one."""
        if self.is_over:
            return
        self.is_over = True
        self.why_over = (
            reason if code == _ABNORMAL and reason else f"closed with {code} {reason}".strip()
        )
        if self._sender is not None:
            self._sender.cancel()
        if self.connection is not None:
            self.connection.close()
        self._ended.set()

    # -- the rest ------------------------------------------------------------------------------

    async def has_ended(self, seconds: float) -> bool:
        """Wait for the end, no longer than this."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        return self.is_over

    def has(self, name: bytes) -> bool:
        """Return whether a market's data is whole from here on."""
        if name in self.first_ms:
            return True
        session = self._session
        is_doubted = name in session.lost_ms and name in session.complaints
        if session.has_first_data() or is_doubted or name in self._refused:
            return False
        if self._facts.confirms == "nothing":
            # A market without trades: the others prove that the request was understood.
            return bool(self.first_ms) or self.age_seconds() > FIRST_DATA_SECONDS
        if self._facts.confirms == "request":
            return self.accepted_ms is not None and self._unconfirmed <= 0
        return name in self.accepted

    def forget(self, name: bytes) -> None:
        """Wait for data of a market again."""
        self.first_ms.pop(name, None)
        self.accepted.discard(name)

    def has_all(self) -> bool:
        """Return whether the data of all markets is whole."""
        return all(self.has(name) for name in self._session.streams)

    def age_seconds(self) -> float:
        """Return how long it has been open."""
        return (now_ms() - self.opened_ms) / 1_000

    def leave(self, why: str) -> None:
        """Have it replaced soon."""
        if not self.is_leaving:
            self.is_leaving, self.why_leaving = True, why

    def retire(self) -> None:
        """Close it, for another one has all of its markets."""
        self.is_over = True
        if self._sender is not None:
            self._sender.cancel()
        if self.connection is not None:
            self.connection.close()

    def beat(self, now: int) -> None:
        """Send a heartbeat when its time has come, and count what came."""
        frames, size = self._session.frames_in, self._session.bytes_in
        self._frames.inc(frames - self._counted[0])
        self._bytes.inc(size - self._counted[1])
        self._counted = (frames, size)
        if self.connection is None or now - self._beaten_ms < self._facts.ping_seconds * 1_000:
            return
        self._beaten_ms = now
        ping = self._facts.pings.get(self._session.target.product, self._facts.ping)
        if ping is None:
            self.connection.ping()
        else:
            self.connection.send(ping)

    def sample_clock(self) -> None:
        """Compare a frame's time with the clock, once in a while."""
        sample, self._sample = self._sample, None
        if sample is None:
            return
        event_ms = self._session.around.event_ms(self._session.target.kind, sample)
        if event_ms is not None:
            self._session.around.clock.note(self._sample_ms, event_ms)

    def _check_ids(self, name: bytes, message: bytes, received_ms: int) -> None:
        assert self._find_ids is not None  # noqa: S101  # the caller has looked
        ids = self._find_ids(message)
        if len(ids) == 1:  # nearly always
            first_id = newest_id = int(ids[0])
        elif ids:
            numbers = [int(found) for found in ids]
            first_id, newest_id = min(numbers), max(numbers)
        else:
            return
        if self._facts.trade_count is not None:
            counts = self._facts.trade_count.findall(message)
            if counts:
                first_id -= int(counts[0]) - 1
        last_id = self._session.last_id.get(name)
        if last_id is not None and first_id > last_id + 1:
            self._session.id_gap(name, last_id, first_id, received_ms)
        if last_id is None or newest_id > last_id:
            self._session.last_id[name] = newest_id

    def _read(self, message: bytes) -> None:
        reply = self._facts.read(message)
        session = self._session
        if reply.connects_left is not None and reply.connects_left <= MIN_CONNECTS_LEFT:
            around = session.around
            around.budgets.ban(f"{around.origin}.connect", SPARING_SECONDS)
        if reply.says == "accepted":
            self.accepted_ms = self._now_ms
            self._unconfirmed -= 1
            if reply.native_symbol is not None:
                self.accepted.add(reply.native_symbol.encode())
        elif reply.says == "refused":
            self._unconfirmed -= 1
            if reply.native_symbol is not None:
                name = self._facts.name_in_frames(reply.native_symbol)
                self._refused.add(name.encode())
            log.error(
                "%s %s %s: refused: %s %s", session.around.exchange, session.target.product,
                session.target.kind, reply.native_symbol or "", reply.reason,
            )  # fmt: skip
        elif reply.says == "leaving":
            self.leave(reply.reason or "the exchange says so")
        elif reply.says == "other":
            # Not known here: the dataflows count it, or put it aside.
            session.frames.append((self._now_ms, message))
            session.bytes_in += len(message)
