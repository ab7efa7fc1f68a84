"""One connection for one kind of data: subscribed, watched, renewed, and told of.

A *generation* is one WebSocket connection; a session has one after the other, and two while a
planned close is under way: the new one takes a market over with its first frame of it. All of it
runs in the loop's thread, but for `frames`, which the engine's thread takes from the left.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import IO, Final

import msgspec

from connectors.collect.generation import FIRST_DATA_SECONDS, Generation
from connectors.collect.status import StatusLog, log, now_ms
from connectors.collect.watch import Backoff, ClockOffset, Rhythm
from connectors.process import metrics
from connectors.process.budgets import Budgets
from connectors.websocket.interface import Open, Options, RefusedError
from schemas.errors import MarketflowError, UnavailableError
from schemas.feed_status import FeedEvent
from schemas.subscriptions import Stream, Subscriptions, Target

TICK_SECONDS: Final = 1.0
ACCEPT_SECONDS: Final = 5.0
HANDOVER_SECONDS: Final = 20.0
# What the exchange batches or delays at its end, between a trade and its frame.
MARGIN_MS: Final = 1_000
# How long a connection has to work for the waits to begin anew.
STEADY_SECONDS: Final = 60.0


class Gap(msgspec.Struct, frozen=True):
    """A time over which a market's data is missing."""

    stream: Stream
    last_good_ms: int
    first_good_ms: int
    reason: str


class Surroundings(msgspec.Struct, frozen=True):
    """What all sessions of a feed share."""

    exchange: str
    facts: Subscriptions
    budgets: Budgets
    options: Options
    open_connection: Open
    status: StatusLog
    clock: ClockOffset
    event_ms: Callable[[str, bytes], int | None]
    """Returns the exchange's time in a frame of a kind, if it has one."""
    origin: str
    """Names the exchange and the host in budgets."""
    on_gaps: Callable[[list[Gap]], None]


class Session:
    """One connection, over all of its generations.

    Args:
        around: What it shares.
        target: What it is for.
        url: Where to connect.
        streams: What to subscribe to.
    """

    def __init__(
        self, around: Surroundings, target: Target, url: str, streams: Iterable[Stream]
    ) -> None:
        self.around = around
        self.target = target
        self.url = url
        self.frames: deque[tuple[int, bytes]] = deque()
        self.bytes_in = 0
        self.bytes_out = 0
        """Counted by the engine's thread."""
        self.is_paused = False
        self.streams: dict[bytes, Stream] = {}
        self.last_ms: dict[bytes, int] = {}
        """When data of a market came last, by its name in frames."""
        self.good: set[bytes] = set()
        """The markets whose data is whole by now."""
        self.lost_ms: dict[bytes, int] = {}
        """Until when, by the exchange's clock, the others were whole."""
        self.last_id: dict[bytes, int] = {}
        self.agreed_ms: dict[bytes, int] = {}
        """When the tickers' volumes last agreed with the trades."""
        self.tickers: dict[bytes, bytes] = {}
        self.rhythms: dict[bytes, Rhythm] = {}
        self.current: Generation | None = None
        self.frames_in = 0
        self._backoff = Backoff()
        self.complaints: dict[bytes, int] = {}
        self._is_stopping = False
        self._paused_ms = 0
        self._task: asyncio.Task[None] | None = None
        self.add(streams)

    # -- what others ask of it -----------------------------------------------------------------

    def start(self) -> None:
        """Connect, and stay connected."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self, reason: str) -> None:
        """Close for good, and say until when everything was whole."""
        self._is_stopping = True
        if self.current is not None:
            self.current.end(1000, reason)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def add(self, streams: Iterable[Stream]) -> None:
        """Subscribe to more markets."""
        new = {self._name(stream): stream for stream in streams}
        self.streams |= new
        for name in new:
            self.rhythms[name] = Rhythm(self._floor_seconds() * 1_000)
        if self.current is not None and self.current.connection is not None:
            facts = self.around.facts
            asked = self.streams if facts.replaces else new
            frames = facts.subscribe(self.target, list(asked.values()))
            self.current.send(frames)

    def remove(self, symbols: Iterable[str], reason: str) -> None:
        """Expect no more of markets that have gone."""
        gone = set(symbols)
        names = [name for name, stream in self.streams.items() if stream.symbol in gone]
        was_good = [name for name in names if name in self.good]
        self._report("disconnected", was_good, reason, last_good_ms=self._until_now_ms())
        for name in names:
            del self.streams[name]
            self.good.discard(name)
            times = (self.last_ms, self.lost_ms, self.agreed_ms)
            for known in (*times, self.last_id, self.rhythms, self.tickers):
                known.pop(name, None)

    def renew(self, names: Iterable[bytes], reason: str) -> None:
        """Subscribe anew to some markets."""
        again = [self.streams[name] for name in names if name in self.streams]
        if not again or self.current is None:
            return
        self.around.status.report(
            self.target.kind, "resubscribed", [stream.symbol for stream in again], reason
        )
        self.current.send(self.around.facts.renew(self.target, list(self.streams.values()), again))

    def lose(self, names: Iterable[bytes], reason: str, until_ms: int | None = None) -> None:
        """Say that data of some markets is missing from now on, until it comes again."""
        until_ms = self._until_now_ms() if until_ms is None else until_ms
        untils: dict[int, list[bytes]] = {}
        for name in [name for name in names if name in self.good]:
            self.good.discard(name)
            self.lost_ms[name] = self._agreed_before_ms(name, until_ms)
            untils.setdefault(self.lost_ms[name], []).append(name)
            self.agreed_ms.pop(name, None)
            self.last_ms.pop(name, None)
            if self.current is not None:
                self.current.forget(name)
        for last_good_ms, lost in untils.items():
            self._report("disconnected", lost, reason, last_good_ms=last_good_ms)

    def complain(self, names: Iterable[bytes], reason: str) -> None:
        """Do something about silent markets: subscribe anew, then connect anew, then report."""
        levels = {name: self.complaints.get(name, 0) for name in names}
        self.complaints |= {name: level + 1 for name, level in levels.items()}
        for name, level in levels.items():
            if level == 2:  # noqa: PLR2004  # the last step, taken once
                self._report("no_data", [name], reason, last_good_ms=self.lost_ms.get(name))
        if 1 in levels.values():
            self.reconnect(reason)
        else:
            self.renew([name for name, level in levels.items() if level == 0], reason)

    def reconnect(self, reason: str) -> None:
        """Give the connection up."""
        if self.current is not None:
            self.current.end(1006, reason)

    def pause(self, *, is_needed: bool) -> None:
        """Stop reading from the socket, or read on."""
        if is_needed == self.is_paused:
            return
        self.is_paused = is_needed
        connection = None if self.current is None else self.current.connection
        if connection is None:
            return
        if is_needed:
            self._paused_ms = now_ms()
            connection.pause()
            self._report("paused", self.good, "the broker is slow: reading is held back")
        else:
            connection.resume()
            held_ms = now_ms() - self._paused_ms
            self._report("other", self.good, f"reading on after {held_ms} ms")

    @property
    def queued_bytes(self) -> int:
        """What waits for the engine's thread."""
        return self.bytes_in - self.bytes_out

    # -- generations ---------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._is_stopping:
            place = await self._place()
            try:
                await self._live()
            except UnavailableError as error:
                await self._wait_after(error)
            finally:
                if place is not None:
                    place.close()

    async def _live(self) -> None:
        generation = await self._open()
        self.current = generation
        gauge = metrics.CONNECTED.labels(*self._labels)
        gauge.inc()
        try:
            await self._serve(generation)
        finally:
            gauge.dec()
        await asyncio.sleep(self._backoff.next_seconds(random.random()))  # noqa: S311  # jitter

    async def _place(self) -> IO[bytes] | None:
        """Take one of the places that an exchange has for an address."""
        most = self.around.facts.max_open
        while most is not None:
            place = self.around.budgets.occupy(f"{self.around.origin}.open", most)
            if place is not None:
                return place
            log.warning("%s: %d connections are open already", self.around.exchange, most)
            await asyncio.sleep(TICK_SECONDS)
        return None

    async def _open(self) -> Generation:
        facts, name = self.around.facts, self.around.origin
        while True:
            wait_seconds = self.around.budgets.banned_seconds(f"{name}.connect")
            wait_seconds = wait_seconds or self.around.budgets.take(
                f"{name}.connect", facts.connects.most, facts.connects.seconds
            )
            if not wait_seconds:
                break
            await asyncio.sleep(min(wait_seconds, 30.0) + random.random() / 10)  # noqa: S311  # jitter
        generation = Generation(self)
        await generation.open()
        return generation

    async def _wait_after(self, error: UnavailableError) -> None:
        seconds = self._backoff.next_seconds(random.random())  # noqa: S311  # jitter
        if isinstance(error, RefusedError):
            banned = self.around.facts.ban_seconds.get(error.status, 0.0)
            banned = error.retry_after_seconds or banned
            if banned:
                self.around.budgets.ban(f"{self.around.origin}.connect", banned)
            seconds = max(seconds, min(banned, 30.0))
        log.warning("%s: %s; again in %.1f s", self.around.exchange, error, seconds)
        await asyncio.sleep(seconds)

    async def _serve(self, generation: Generation) -> None:
        """Watch a generation until it ends; replace it before its planned end."""
        while not await generation.has_ended(TICK_SECONDS):
            self._tick(generation)
            if generation.is_leaving and not generation.is_over:
                generation = await self._replace(generation)
        self._over(generation)

    async def _replace(self, old: Generation) -> Generation:
        """Open a new connection, wait for its data, then close the old one."""
        old.is_leaving = False
        try:
            new = await self._open()
        except MarketflowError as error:
            log.warning("%s: no new connection yet: %s", self.around.exchange, error)
            return old
        self.current = new
        old.successor = new
        for _ in range(int(HANDOVER_SECONDS / TICK_SECONDS)):
            if await new.has_ended(TICK_SECONDS) or old.is_over or new.has_all():
                break
        if new.is_over:
            old.successor, self.current = None, old
            return old
        old.retire()
        self._report("other", self.good, "a new connection has taken over: " + old.why_leaving)
        return new

    def _over(self, generation: Generation) -> None:
        if self.current is not generation:
            return
        metrics.SILENCE.labels(*self._labels).set(0)
        if generation.age_seconds() > STEADY_SECONDS:
            self._backoff.reset()
        until_ms = self._sent_before_ms(generation.heard_ms)
        self.is_paused = False
        self.lose(list(self.good), generation.why_over or "closed", until_ms)
        self.last_ms.clear()
        self.last_id.clear()
        self.current = None

    # -- judging -------------------------------------------------------------------------------

    def _tick(self, generation: Generation) -> None:
        now = now_ms()
        facts = self.around.facts
        generation.sample_clock()
        if self.is_paused:
            return
        if now - generation.heard_ms > facts.silence_seconds * 1_000:
            generation.end(1006, f"nothing was heard for {facts.silence_seconds:g} s")
            return
        generation.beat(now)
        self._settle(generation, now)
        self._judge_first_data(generation, now)
        self._judge_rhythms(now)
        age_seconds = generation.age_seconds()
        if facts.max_age_seconds is not None and age_seconds > facts.max_age_seconds:
            generation.leave("its time is up soon")

    def _settle(self, generation: Generation, now: int) -> None:
        """Say of which markets the data is whole from now on."""
        fresh: list[bytes] = []
        for name in self.streams:
            if name in self.good or not generation.has(name):
                continue
            fresh.append(name)
            since_ms = generation.first_ms.get(name, generation.accepted_ms or now)
            generation.whole_ms[name] = self._sent_after_ms(since_ms)
            self.complaints.pop(name, None)
        if not fresh:
            return
        self.good.update(fresh)
        first_good_ms = max(generation.whole_ms[name] for name in fresh)
        self._report("connected", fresh, generation.url, first_good_ms=first_good_ms)
        reason = "from one connection to the next"
        self.around.on_gaps(
            [
                Gap(self.streams[name], self.lost_ms.pop(name), first_good_ms, reason)
                for name in fresh
                if name in self.lost_ms
            ]
        )

    def _judge_first_data(self, generation: Generation, now: int) -> None:
        asked_ms = generation.asked_ms
        if asked_ms is None:
            return
        confirms = self.around.facts.confirms != "nothing"
        heard = generation.accepted_ms is not None or bool(generation.first_ms)
        if confirms and not heard and now - asked_ms > ACCEPT_SECONDS * 1_000:
            generation.end(1006, f"no subscription was confirmed within {ACCEPT_SECONDS:g} s")
            return
        if now - asked_ms < FIRST_DATA_SECONDS * 1_000 or not self.has_first_data():
            return
        missing = [name for name in self.streams if name not in self.last_ms]
        if missing:
            generation.asked_ms = now
            self.complain(missing, f"no data within {FIRST_DATA_SECONDS:g} s of the subscription")

    def has_first_data(self) -> bool:
        """Return whether each market has data at once, however quiet it is."""
        facts, kind = self.around.facts, self.target.kind
        if kind == "orderbook":
            return facts.has_first_book
        return kind == "ticker" and facts.has_first_ticker

    def _judge_rhythms(self, now: int) -> None:
        floor_seconds = self._floor_seconds()
        most_ms = 0
        silent: list[bytes] = []
        for name, last_ms in self.last_ms.items():
            rhythm = self.rhythms.get(name)
            if rhythm is None:
                continue
            rhythm.note(last_ms)
            most_ms = max(most_ms, now - last_ms)
            if floor_seconds and name in self.good and rhythm.is_silent(now):
                silent.append(name)
        metrics.SILENCE.labels(*self._labels).set(most_ms / 1_000)
        for name in silent:
            last_ms = self.last_ms[name]
            limit_seconds = self.rhythms[name].limit_ms / 1_000
            reason = f"silent for {limit_seconds:.0f} s"
            self.lose([name], reason, self._sent_before_ms(last_ms))
            self.complain([name], reason)

    def _floor_seconds(self) -> float:
        facts, kind = self.around.facts, self.target.kind
        if kind == "orderbook":
            return facts.book_silence_seconds or 0.0
        return (facts.ticker_silence_seconds or 0.0) if kind == "ticker" else 0.0

    # -- small things --------------------------------------------------------------------------

    def id_gap(self, name: bytes, last_id: int, first_id: int, received_ms: int) -> None:
        """Say that trades between two ids have not come."""
        if name not in self.good:
            return  # a gap of the connection's, which is told of already
        stream = self.streams[name]
        before_ms = self.last_ms.get(name, received_ms)
        reason = f"{first_id - last_id - 1} trades after id {last_id} have not come"
        gap = Gap(
            stream,
            self._sent_before_ms(before_ms),
            self._sent_after_ms(received_ms),
            reason,
        )
        self.around.on_gaps([gap])

    @property
    def _labels(self) -> tuple[str, str, str]:
        return self.around.exchange, self.target.product, self.target.kind

    def _name(self, stream: Stream) -> bytes:
        return self.around.facts.name_in_frames(stream.native_symbol).encode()

    def _until_now_ms(self) -> int:
        heard_ms = self.current.heard_ms if self.current is not None else now_ms()
        return self._sent_before_ms(heard_ms)

    def _agreed_before_ms(self, name: bytes, until_ms: int) -> int:
        """Return a time, or an earlier one if trades may be missing by the ticker's volume."""
        agreed_ms = self.agreed_ms.get(name)
        if agreed_ms is None:
            return until_ms
        return min(until_ms, self._sent_before_ms(max(agreed_ms, self.last_ms.get(name, 0))))

    def _sent_before_ms(self, received_ms: int) -> int:
        """Return a time of the exchange's clock by which it had sent what came then."""
        return received_ms - max(0, self.around.clock.offset_ms or 0) - MARGIN_MS

    def _sent_after_ms(self, received_ms: int) -> int:
        """Return a time of the exchange's clock after it had sent what came then.

        How long frames take does not count: it is only known from those that came late.
        """
        offset_ms = self.around.clock.offset_ms
        return received_ms + (MARGIN_MS if offset_ms is None else max(0, -offset_ms))

    def _report(
        self,
        event: FeedEvent,
        names: Iterable[bytes],
        reason: str,
        last_good_ms: int | None = None,
        first_good_ms: int | None = None,
    ) -> None:
        symbols = [self.streams[name].symbol for name in names if name in self.streams]
        self.around.status.report(
            self.target.kind,
            event,
            symbols,
            reason,
            last_good_ms,
            first_good_ms,
        )
