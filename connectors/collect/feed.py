"""One exchange and product: its instruments, its sessions, and what is asked for over REST."""

import asyncio
import random
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from connectors.collect.klines import KlinePoll
from connectors.collect.ledger import Ledger
from connectors.collect.past import PastTrades, key_headers
from connectors.collect.session import MARGIN_MS, Gap, Session, Surroundings
from connectors.collect.sink import Run
from connectors.collect.status import StatusLog, log, now_ms
from connectors.collect.watch import (
    RATE_STEP_SECONDS,
    Backoff,
    ClockOffset,
    RateWatch,
    VolumeCheck,
)
from connectors.postgres.instruments import store, stored
from connectors.process import metrics
from connectors.process.budgets import Budgets
from connectors.rest.exchange import ExchangeRest
from connectors.websocket import fast, portable
from connectors.websocket.interface import Options
from schemas.errors import MarketflowError
from schemas.exchanges import decoder_of, subscriptions_of
from schemas.feed_status import REGIONS
from schemas.instruments import Instrument, choose, compare
from schemas.records import Product
from schemas.settings import ExchangeSettings, RawKind, Settings, Top
from schemas.subscriptions import Stream, StreamKind, Target
from schemas.times import NS_PER_MS, utc_text

MAX_CONCURRENT_REQUESTS: Final = 2
# REST knows a trade somewhat later than the stream.
FILL_DELAY_SECONDS: Final = 3.0
FILL_ATTEMPTS: Final = 6
# A trade that the exchange was late to tell of may have been made before the gap.
FILL_BEFORE_MS: Final = 10_000
POLL_MARGIN_MS: Final = 5_000
SNAPSHOT_INTERVAL_MS: Final = 5_000
PRESSURE_SECONDS: Final = 0.05
VOLUME_SECONDS: Final = 2.0


class Feed:
    """Everything that is collected of one product of an exchange.

    Args:
        settings: Where, what and how.
        exchange: The exchange id.
        product: Which product.
        postgres_dsn: Where instruments are kept, if anywhere.
        queue_bytes: What may wait for Kafka.
        ledger: What its feeds said of themselves last.
        budgets: The host's limits.
        options: How to connect.
    """

    def __init__(
        self,
        settings: Settings,
        exchange: str,
        product: Product,
        *,
        postgres_dsn: str | None,
        queue_bytes: int,
        ledger: Ledger,
        budgets: Budgets,
        options: Options,
    ) -> None:
        self._settings = settings
        self._exchange: ExchangeSettings = settings.exchanges[exchange]
        self._name, self._product = exchange, product
        self._dsn = postgres_dsn
        self._queue_bytes = queue_bytes
        self._ledger = ledger
        self._facts = subscriptions_of(exchange)
        self._status = StatusLog(exchange, product)
        self._bodies: deque[Run] = deque()
        self._rest = ExchangeRest(
            exchange, self._exchange.urls.rest[product], self._facts, budgets, key_headers(exchange)
        )
        feed = settings.feed(exchange, product)
        self._past = PastTrades(exchange, product, self._facts, self._rest, feed)
        self._feed = feed
        client = settings.collect.websocket_client
        url = self._exchange.urls.ws.get(product, "")
        self._around = Surroundings(
            exchange=exchange,
            facts=self._facts,
            budgets=budgets,
            options=options,
            open_connection=(fast if client == "picows" else portable).open_connection,
            status=self._status,
            clock=ClockOffset(),
            event_ms=self._event_ms,
            on_gaps=self._on_gaps,
            origin=f"{exchange}@{urlsplit(url).netloc}",
        )
        self._listed: list[Instrument] = []
        self._chosen: dict[str, Instrument] = {}
        self._sessions: list[Session] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._requests = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)
        self._volumes: dict[bytes, VolumeCheck] = {}
        self._snapshots_ms: dict[str, int] = {}
        self._polled_until_ms: dict[str, int] = {}
        self.epochs = 0
        """Epochs that the engine has ended: what was queued two of them ago is in Kafka."""
        region = settings.region_of(exchange)
        self._topics: dict[str, str] = {
            "ticker": region.topics.ticker,
            "orderbook": region.topics.orderbook,
            "trade": region.topics.trade,
            "kline": region.topics.kline,
        }
        self._partition = self._exchange.partitions[0]
        self._key = f"{exchange}.{product}".encode()

    # -- the loop's thread ---------------------------------------------------------------------

    async def start(self) -> None:
        """Begin; nothing is waited for."""
        self._spawn(self._run())

    async def stop(self) -> None:
        """Close every connection, and say until when everything was whole."""
        for task in list(self._tasks):
            task.cancel()
        reason = "the collector was stopped"
        await asyncio.gather(*(session.stop(reason) for session in self._sessions))
        for symbol, until_ms in self._polled_until_ms.items():
            self._status.report("trade", "disconnected", [symbol], reason, until_ms)
        self._rest.close()

    def request_snapshot(self, symbol: str, reason: str) -> None:
        """Publish a whole book soon, once for many requests."""
        now = now_ms()
        instrument = self._chosen.get(symbol)
        if instrument is None or now - self._snapshots_ms.get(symbol, 0) < SNAPSHOT_INTERVAL_MS:
            return
        self._snapshots_ms[symbol] = now
        if self._facts.snapshot is not None:
            self._spawn(self._snapshot(instrument))
            return
        for session in self._sessions:
            names = [n for n, stream in session.streams.items() if stream.symbol == symbol]
            if names and session.target.kind == "orderbook":
                session.renew(names, f"a snapshot was asked for: {reason}"[:300])

    @property
    def clock_offset_ms(self) -> int | None:
        """The least of receive time minus event time of late, if known."""
        return self._around.clock.offset_ms

    # -- the engine's thread -------------------------------------------------------------------

    def take(self) -> list[Run]:
        """Return what has come since the last call."""
        runs: list[Run] = []
        for session in self._sessions:
            count = len(session.frames)
            if count:
                pop = session.frames.popleft
                records = [pop() for _ in range(count)]
                session.bytes_out += sum([len(value) for _, value in records])
                topic = self._topics[session.target.kind]
                runs.append(Run(topic, self._partition, self._key, records))
        while self._bodies:
            runs.append(self._bodies.popleft())
        waiting = self._status.waiting
        if waiting:
            records = [
                (status.time_ms, msgspec.json.encode(status))
                for status in (waiting.popleft() for _ in range(len(waiting)))
            ]
            partition = REGIONS.index(self._exchange.region)
            key = self._name.encode()
            runs.append(Run(self._settings.feed_status, partition, key, records))
        return runs

    # -- instruments and sessions --------------------------------------------------------------

    async def _run(self) -> None:
        backoff = Backoff()
        while not await self._list():  # noqa: ASYNC110  # nothing tells when it would succeed
            await asyncio.sleep(backoff.next_seconds(random.random()))  # noqa: S311  # jitter
        self._open_sessions()
        self._spawn(self._watch_pressure())
        self._spawn(self._watch_volumes())
        self._spawn(self._watch_rates())
        self._spawn(self._ask_klines())
        if self._exchange.collect in ("rest", "both") and self._facts.recent is not None:
            for instrument in self._chosen.values():
                self._spawn(self._poll(instrument))
        while True:
            await asyncio.sleep(self._settings.collect.instruments_interval_ms / 1_000)
            await self._refresh()

    async def _list(self) -> bool:
        """Read the exchange's list, else the one that was kept; say what is wanted and missing."""
        try:
            self._listed = await self._call(self._ask_list)
        except MarketflowError as error:
            log.warning("%s %s: no instruments: %s", self._name, self._product, error)
            if self._dsn is None:
                return False
            try:
                self._listed = await self._call(stored, self._dsn, self._name, self._product)
            except MarketflowError:
                return False
            if not self._listed:
                return False
        else:
            await self._keep(self._listed)
        self._past.know(self._listed)
        self._choose()
        return True

    def _ask_list(self) -> list[Instrument]:
        listing = self._facts.instruments(self._product, self._needs_turnover)
        request = next(listing)
        while True:
            body = self._rest.get(request)
            try:
                request = listing.send(body)
            except StopIteration as stop:
                found: list[Instrument] = stop.value
                return found

    @property
    def _needs_turnover(self) -> bool:
        return isinstance(self._exchange.symbols.get(self._product), Top)

    def _choose(self) -> list[str]:
        wanted = self._exchange.symbols.get(self._product, ())
        choice = choose(
            self._listed, wanted.top if isinstance(wanted, Top) else wanted, self._exchange.quote
        )
        if choice.missing:
            log.error(
                "%s %s: not listed, or not trading: %s",
                self._name, self._product, ", ".join(choice.missing),
            )  # fmt: skip
        self._chosen = {i.symbol: i for i in choice.instruments}
        return choice.missing

    async def _keep(self, instruments: list[Instrument]) -> None:
        """Write the list to PostgreSQL, and say what differs from what is there."""
        if self._dsn is None:
            return
        try:
            before = await self._call(stored, self._dsn, self._name, self._product)
            self._complain_of_sizes(before, instruments)
            await self._call(store, self._dsn, self._name, self._product, instruments)
        except MarketflowError as error:
            log.warning("%s %s: instruments not kept: %s", self._name, self._product, error)

    def _complain_of_sizes(self, before: list[Instrument], after: list[Instrument]) -> None:
        for old, new in compare(before, after).resized:
            if old.contract_size is None:
                continue
            reason = (
                f"a contract of {new.native_symbol} was {old.contract_size} and is "
                f"{new.contract_size} by the exchange's list: not followed"
            )
            log.error("%s %s: %s", self._name, self._product, reason)
            self._status.report("trade", "other", [new.symbol], reason)

    def _open_sessions(self) -> None:
        if self._exchange.collect not in ("websocket", "both"):
            return
        for kind in self._exchange.kinds:
            streams = [self._stream(kind, i) for i in self._chosen.values()]
            self._resume(kind)
            for at in range(0, len(streams), self._facts.max_streams):
                self._open_session(kind, streams[at : at + self._facts.max_streams])

    def _open_session(self, kind: RawKind, streams: list[Stream]) -> None:
        has_trade_ids = self._feed.trade_ids == "trade"
        target = Target(self._product, kind, has_trade_ids)
        session = Session(self._around, target, self._exchange.urls.ws[self._product], streams)
        for name, stream in session.streams.items():
            until_ms = self._ledger.whole_until_ms.get((kind, stream.symbol))
            if until_ms is not None:
                session.lost_ms[name] = until_ms
        # Appended whole: the engine's thread may be in the middle of the old list.
        self._sessions = [*self._sessions, session]
        session.start()

    def _resume(self, kind: RawKind) -> None:
        """Say of feeds that ended without a word until when they were whole."""
        ended: dict[int, list[str]] = {}
        for known_kind, symbol in self._ledger.ended_silently:
            if known_kind == kind:
                until_ms = self._ledger.whole_until_ms[kind, symbol]
                ended.setdefault(until_ms, []).append(symbol)
        for until_ms, symbols in ended.items():
            reason = "the collector ended without a word"
            self._status.report(kind, "disconnected", symbols, reason, until_ms)

    def _stream(self, kind: RawKind, instrument: Instrument) -> Stream:
        return Stream(kind, instrument.native_symbol, instrument.symbol)

    async def _refresh(self) -> None:
        """Follow listings and delistings."""
        before = self._chosen
        listed_before = self._listed
        if not await self._list():
            return
        self._complain_of_sizes(listed_before, self._listed)
        new = [i for symbol, i in self._chosen.items() if symbol not in before]
        gone = [symbol for symbol in before if symbol not in self._chosen]
        for session in self._sessions:
            session.remove(gone, "not listed any more, or not trading")
        if not new or self._exchange.collect not in ("websocket", "both"):
            return
        for kind in self._exchange.kinds:
            streams = [self._stream(kind, i) for i in new]
            for session in self._sessions:
                if session.target.kind == kind:
                    room = max(0, self._facts.max_streams - len(session.streams))
                    session.add(streams[:room])
                    streams = streams[room:]
            if streams:
                self._open_session(kind, streams)

    # -- watching ------------------------------------------------------------------------------

    async def _watch_pressure(self) -> None:
        gauge = metrics.QUEUED_BYTES.labels(self._name, self._product)
        is_held = False
        while True:
            await asyncio.sleep(PRESSURE_SECONDS)
            queued = sum(session.queued_bytes for session in self._sessions)
            gauge.set(queued)
            if queued > self._queue_bytes:
                is_held = True
            elif queued < self._queue_bytes // 2:
                is_held = False
            for session in self._sessions:
                session.pause(is_needed=is_held)

    async def _watch_volumes(self) -> None:
        """Compare the tickers' volumes with the trades that came."""
        while True:
            await asyncio.sleep(VOLUME_SECONDS)
            offset_ms = self._around.clock.offset_ms
            if offset_ms is not None:
                metrics.CLOCK_OFFSET.labels(self._name).set(offset_ms / 1_000)
            trades = [s for s in self._sessions if s.target.kind == "trade"]
            for tickers in self._sessions:
                for name, frame in list(tickers.tickers.items()):
                    del tickers.tickers[name]
                    for session in trades:
                        if name in session.good:
                            self._note_volume(name, frame, session)
            for session in trades:
                for name in session.good & self._volumes.keys():
                    self._judge_volume(name, session)

    async def _watch_rates(self) -> None:
        """Report a connection whose frames become few while those of the others go on."""
        watch: RateWatch[Session] = RateWatch()
        while True:
            await asyncio.sleep(RATE_STEP_SECONDS)
            for session in watch.note({each: each.frames_in for each in self._sessions}):
                if isinstance(session, Session):
                    symbols = [stream.symbol for stream in session.streams.values()]
                    reason = (
                        "for 30 s less than a tenth of the usual frames; other connections go on"
                    )
                    self._status.report(session.target.kind, "other", symbols, reason)

    def _note_volume(self, name: bytes, frame: bytes, session: Session) -> None:
        try:
            updates = decoder_of(self._name).decode_tickers(frame, self._feed)
        except MarketflowError:
            return
        check = self._volumes.setdefault(name, VolumeCheck())
        for update in updates:
            if update.acc_trade_volume_24h is not None:
                check.note(now_ms(), update.acc_trade_volume_24h, session.last_ms.get(name))

    def _judge_volume(self, name: bytes, session: Session) -> None:
        check = self._volumes[name]
        is_missing = check.is_missing(now_ms(), session.last_ms.get(name))
        if check.good_ms is not None:
            session.agreed_ms[name] = check.good_ms
        if is_missing:
            reason = "trade_stream_silent: the ticker's volume rose, and no trade came"
            check.forgive()
            session.lose([name], reason)
            session.complain([name], reason)

    def _event_ms(self, kind: str, frame: bytes) -> int | None:
        decoder = decoder_of(self._name)
        try:
            if kind == "trade":
                times = [t.time_ns for t in decoder.decode_trades(frame, self._feed)[-1:]]
            elif kind == "ticker":
                times = [t.time_ns or 0 for t in decoder.decode_tickers(frame, self._feed)[-1:]]
            else:
                times = [b.time_ns or 0 for b in decoder.decode_books(frame, self._feed)[-1:]]
        except MarketflowError:
            return None
        return times[0] // NS_PER_MS if times and times[0] else None

    # -- REST ----------------------------------------------------------------------------------

    def _on_gaps(self, gaps: list[Gap]) -> None:
        """Say what is missing, of many markets at once where it is one time, and fetch trades."""
        together: dict[tuple[StreamKind, int, int, str], list[str]] = {}
        for gap in gaps:
            if gap.first_good_ms > gap.last_good_ms:
                kind, symbol = gap.stream.kind, gap.stream.symbol
                span = (kind, gap.last_good_ms, gap.first_good_ms, gap.reason)
                together.setdefault(span, []).append(symbol)
                if kind == "trade" and symbol in self._chosen:
                    self._mend(gap, self._chosen[symbol])
        for (kind, last_good_ms, first_good_ms, reason), symbols in together.items():
            self._status.report(kind, "gap", symbols, reason, last_good_ms, first_good_ms)

    def _mend(self, gap: Gap, instrument: Instrument) -> None:
        horizon_ms = self._settings.taker_volume.correction_horizon_ms
        if now_ms() - gap.last_good_ms > horizon_ms:
            log.warning(
                "%s %s: a gap is older than what trades can correct; `marketflow backfill` can",
                self._name, instrument.symbol,
            )  # fmt: skip
        else:
            self._spawn(self._fill(gap, instrument))

    async def _fill(self, gap: Gap, instrument: Instrument) -> None:
        """Fetch the trades of a gap, and say so once they are in Kafka."""
        await asyncio.sleep(FILL_DELAY_SECONDS)
        backoff = Backoff()
        reason = ""
        for _ in range(FILL_ATTEMPTS):
            try:
                found = await self._call(
                    self._past.between,
                    instrument,
                    gap.last_good_ms - FILL_BEFORE_MS,
                    gap.first_good_ms + 1,
                )
                break
            except MarketflowError as error:
                reason = str(error)
            await asyncio.sleep(backoff.next_seconds(random.random()))  # noqa: S311  # jitter
        else:
            log.warning("%s %s: a gap stays: %s", self._name, instrument.symbol, reason)
            return
        self._publish("trade", found.native_symbol, found.bodies)
        filled_from_ms = gap.last_good_ms
        if found.whole_from_ms > gap.last_good_ms + MARGIN_MS:
            filled_from_ms = found.whole_from_ms - 1
            log.warning(
                "%s %s: a part of a gap stays: the exchange's trades go back to %s only",
                self._name, instrument.symbol, utc_text(found.whole_from_ms * NS_PER_MS),
            )  # fmt: skip
        if filled_from_ms >= gap.first_good_ms:
            return
        queued_at = self.epochs
        while self.epochs < queued_at + 2:  # noqa: ASYNC110  # counted in another thread
            await asyncio.sleep(0.1)
        self._status.report(
            "trade", "filled", [instrument.symbol], f"{len(found.bodies)} answers over REST",
            filled_from_ms, gap.first_good_ms,
        )  # fmt: skip

    async def _snapshot(self, instrument: Instrument) -> None:
        assert self._facts.snapshot is not None  # noqa: S101  # the caller has looked
        request = self._facts.snapshot(self._product, instrument.native_symbol)
        try:
            body = await self._call(self._rest.get, request)
        except MarketflowError as error:
            log.warning("%s %s: no snapshot: %s", self._name, instrument.symbol, error)
            return
        self._publish("orderbook", instrument.native_symbol, [body])

    async def _poll(self, instrument: Instrument) -> None:
        """Ask for the latest trades again and again; a poll that does not reach back is a gap."""
        budget = self._facts.rest
        # All markets of the exchange share its budget.
        least_seconds = len(self._chosen) * budget.seconds / budget.most
        interval = max(self._settings.collect.poll_interval_ms / 1_000, least_seconds)
        seen: set[int | str] = set()
        newest_ms = 0
        is_alone = self._exchange.collect == "rest"
        while True:
            asked_ms = now_ms()
            try:
                recent = await self._call(self._past.recent, instrument)
            except MarketflowError as error:
                metrics.POLLS.labels(self._name, self._product, "failed").inc()
                log.warning("%s %s: poll: %s", self._name, instrument.symbol, error)
                await asyncio.sleep(interval)
                continue
            self._publish("trade", instrument.native_symbol, [recent.body])
            ids = {trade.trade_id for trade in recent.trades}
            times_ms = [trade.time_ns // NS_PER_MS for trade in recent.trades]
            is_whole = not newest_ms or not ids or bool(seen & ids)
            metrics.POLLS.labels(self._name, self._product, "whole" if is_whole else "gap").inc()
            if is_alone and not newest_ms:
                first_ms = min(times_ms, default=asked_ms) + 1
                self._status.report(
                    "trade", "connected", [instrument.symbol], "polled over REST",
                    first_good_ms=first_ms,
                )  # fmt: skip
            if is_alone and not is_whole:
                stream = self._stream("trade", instrument)
                reason = "a poll did not reach back to the one before"
                self._on_gaps([Gap(stream, newest_ms, min(times_ms), reason)])
            seen = ids or seen
            newest_ms = max([*times_ms, newest_ms])
            if is_alone:
                until_ms = max(newest_ms - 1, asked_ms - POLL_MARGIN_MS)
                self._polled_until_ms[instrument.symbol] = until_ms
            await asyncio.sleep(interval)

    async def _ask_klines(self) -> None:
        """Ask for the exchange's own minutes, soon after each is over."""
        poll = KlinePoll(
            self._name,
            self._rest,
            self._call,
            lambda native_symbol, body: self._publish("kline", native_symbol, [body]),
        )
        while True:
            await poll.ask(self._chosen.values())
            # Not all exchanges at once.
            await asyncio.sleep(poll.wait_seconds() + 5 * random.random())  # noqa: S311  # jitter

    def _publish(self, kind: str, native_symbol: str, bodies: list[bytes]) -> None:
        if bodies:
            key = self._key + f".{native_symbol}".encode()
            now = now_ms()
            records = [(now, body) for body in bodies]
            self._bodies.append(Run(self._topics[kind], self._partition, key, records))

    # -- small things --------------------------------------------------------------------------

    async def _call(self, function: Any, *arguments: Any) -> Any:
        """Run something that blocks in a thread, few at a time."""
        async with self._requests:
            return await asyncio.to_thread(function, *arguments)

    def _spawn(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(call)
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s %s", self._name, self._product, exc_info=task.exception())
