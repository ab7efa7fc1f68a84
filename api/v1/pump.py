"""What streams live: one reader of the database for all clients of the process.

Events are whole states of minutes. Those of final minutes come from the log of changes and carry
a place in it, from which a client goes on after a break; estimates carry none.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

import msgspec
import psycopg

from api.database import CONFIGURE, Database
from api.v1.markets import Market, Markets
from api.v1.rows import TakerVolumeRow, kind_of
from api.v1.statements import events_statement
from api.v1.times import EPOCH, LATEST
from schemas.errors import BusyError, UnavailableError

CHANNEL: Final = "marketflow_minutes"
MAX_STREAMS: Final = 1_000
MAX_FRAMES: Final = 8
"""How many frames wait for a slow reader before it is dropped."""
FRAME_INTERVAL_S: Final = 0.25
# A notification can be lost with its connection: the log is looked at all the same.
WAKE_S: Final = 1.0
BATCH_ROWS: Final = 500
ESTIMATES: Final = 3
"""How many of a market's newest minutes can be estimates at a time."""

_RETRY_S: Final = 1.0
# Between the batches of a burst, so that readers can keep up.
_BURST_INTERVAL_S: Final = 0.05
_log: Final = logging.getLogger("marketflow.api")
_encoder: Final = msgspec.json.Encoder()
_NUMBERS: Final = [
    field.name
    for field in msgspec.structs.fields(TakerVolumeRow)
    if kind_of(field.type) == "number"
]

_NOW: Final[LiteralString] = """
SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)::text, 9223372036854775807
"""
_IS_KEPT: Final[LiteralString] = """
SELECT (%(xid)s::text::xid8, %(seq)s::bigint) >= (cut.xid, cut.seq)
       AND %(xid)s::text::xid8 < pg_snapshot_xmax(pg_current_snapshot())
FROM taker_volume_changes_cut AS cut
"""


class Place(msgspec.Struct, frozen=True, order=True):
    """A place in the log of changes."""

    xid: int
    seq: int

    def __str__(self) -> str:
        return f"{self.xid:x}.{self.seq:x}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Return the place that an event's id names.

        Raises:
            ValueError: It names none.
        """
        xid, _, seq = text.partition(".")
        place = cls(int(xid, 16), int(seq, 16))
        if text != str(place) or not (0 <= place.xid < 1 << 63 and 0 <= place.seq < 1 << 63):
            raise ValueError(text)
        return place


class Event:
    """One state of a minute, encoded once for all that want it."""

    __slots__ = ("_texts", "market", "place", "row")

    def __init__(self, row: TakerVolumeRow, place: Place | None) -> None:
        self.row = row
        self.place = place
        self.market = Market(row.exchange, row.symbol)
        self._texts: dict[bool, bytes] = {}

    def data(self, *, as_float: bool) -> bytes:
        """Return the row as JSON."""
        text = self._texts.get(as_float)
        if text is None:
            row: Any = _with_floats(self.row) if as_float else self.row
            text = self._texts[as_float] = _encoder.encode(row)
        return text

    def sse(self, *, as_float: bool) -> bytes:
        """Return the event of a stream of server-sent events."""
        head = b"" if self.place is None else f"id: {self.place}\n".encode()
        return b"%bevent: taker_volume\ndata: %b\n\n" % (head, self.data(as_float=as_float))

    def message(self, *, as_float: bool) -> bytes:
        """Return the event as a message of a WebSocket."""
        head = "null" if self.place is None else f'"{self.place}"'
        return b'{"event":"taker_volume","id":%b,"data":%b}' % (
            head.encode(),
            self.data(as_float=as_float),
        )


def _with_floats(row: TakerVolumeRow) -> dict[str, Any]:
    fields = msgspec.structs.asdict(row)
    for name in _NUMBERS:
        if fields[name] is not None:
            fields[name] = float(fields[name])
    return fields


class Wish(msgspec.Struct, frozen=True):
    """Which markets a client follows."""

    markets: frozenset[Market]
    """Named ones; the bases come on top."""
    bases: frozenset[str] = frozenset()
    exchanges: frozenset[str] = frozenset()
    """Those that `bases` are of."""

    def wants(self, market: Market) -> bool:
        """Tell whether a market is among them."""
        return market in self.markets or (
            market.base in self.bases and market.exchange in self.exchanges
        )


class Frame(msgspec.Struct, frozen=True):
    """The events of one moment that a wish wants, and their bytes where several clients share."""

    events: Sequence[Event]
    shared: dict[tuple[str, bool], bytes]

    def sse(self, *, as_float: bool) -> bytes:
        """Return all events as one piece of server-sent events, made once."""
        key = ("sse", as_float)
        if key not in self.shared:
            self.shared[key] = b"".join(event.sse(as_float=as_float) for event in self.events)
        return self.shared[key]


class Subscription:
    """One client's place in the pump: frames that wait, or the reason why it was ended."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.ended: str | None = None
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue(MAX_FRAMES + 1)

    def offer(self, frame: Frame) -> None:
        """Leave a frame; a client that has too many waiting is ended."""
        if self.ended is not None:
            return
        if self._frames.qsize() >= MAX_FRAMES:
            self.end(f"{MAX_FRAMES} frames were waiting: read faster, or ask for fewer markets")
        else:
            self._frames.put_nowait(frame)

    def end(self, reason: str) -> None:
        """End the subscription once its frames were taken."""
        if self.ended is None:
            self.ended = reason
            self._frames.put_nowait(None)

    async def take(self, timeout_s: float) -> Frame | None:
        """Return the next frame, or None after a time or at the end."""
        try:
            return await asyncio.wait_for(self._frames.get(), timeout_s)
        except TimeoutError:
            return None


class Pump:
    """Reads what changed, four times a second at most, and hands it to the subscriptions."""

    def __init__(self, database: Database, markets: Markets) -> None:
        self._database = database
        self._markets = markets
        self._subscriptions: set[Subscription] = set()
        self._estimates: dict[tuple[Market, str], tuple[Any, ...]] = {}
        self.place: Place | None = None
        """Everything up to here was handed out, and can be read by whoever asks now."""

    async def run(self) -> None:
        """Pump until cancelled; a database that is away is tried again."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, UnavailableError, OSError) as error:
                _log.info("the stream waits for the database: %s", type(error).__name__)
            await asyncio.sleep(_RETRY_S)

    def subscribe(self, wish: Wish) -> Subscription:
        """Start to collect what a wish wants.

        Raises:
            BusyError: There are too many streams.
        """
        if len(self._subscriptions) >= MAX_STREAMS:
            raise BusyError(f"{MAX_STREAMS} streams are open: try again later")
        subscription = Subscription(wish)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        self._subscriptions.discard(subscription)

    def end_all(self, reason: str) -> None:
        """End every stream, as the server stops."""
        for subscription in self._subscriptions:
            subscription.end(reason)

    async def now(self) -> Place:
        """Return the newest settled place in the log."""
        ((xid, seq),) = await self._database.fetch(_NOW, {}, lambda *row: row)
        return Place(int(xid), seq)

    async def is_kept(self, place: Place) -> bool:
        """Tell whether the log has everything after a place."""
        parameters = {"xid": str(place.xid), "seq": place.seq}
        return any(await self._database.fetch(_IS_KEPT, parameters, bool))

    async def after(self, place: Place, wish: Wish | None) -> list[Event]:
        """Return the next events of the log behind a place; of all markets without a wish."""
        markets = [] if wish is None else await self._markets_of(wish)
        rates = await self._markets.rate_parameters(
            await self._markets.all() if wish is None else markets
        )
        statement = events_statement(
            is_log=True, of_all=wish is None, has_rates=bool(rates["rate_codes"])
        )
        log = {"xid": str(place.xid), "seq": place.seq, "limit": BATCH_ROWS}
        parameters = {**_wanted(markets, EPOCH), **rates, **_INTERVAL, **log}
        return await self._database.fetch(statement, parameters, _event)

    async def newest(
        self, wish: Wish, *, minutes: int, since: datetime = EPOCH, with_final: bool = True
    ) -> list[Event]:
        """Return the newest states of the markets of a wish."""
        markets = await self._markets_of(wish)
        if not markets:
            return []
        rates = await self._markets.rate_parameters(markets)
        statement = events_statement(
            is_log=False, of_all=False, has_rates=bool(rates["rate_codes"])
        )
        parameters = {**_wanted(markets, since), **rates, **_INTERVAL}
        parameters |= {"limit": minutes, "with_final": with_final}
        return await self._database.fetch(statement, parameters, _event)

    async def _markets_of(self, wish: Wish) -> list[Market]:
        known = await self._markets.all() if wish.bases else ()
        return sorted({*wish.markets, *(market for market in known if wish.wants(market))})

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._database.dsn,
            autocommit=True,
            connect_timeout=2,
            fallback_application_name="marketflow-api-stream",
        )
        async with connection:
            await connection.execute(CONFIGURE, ("5000",))
            await connection.execute("LISTEN marketflow_minutes")
            if self.place is None:
                self.place = await self.now()
            while True:
                # Also without a notification, since one may have been lost.
                async for _ in connection.notifies(timeout=WAKE_S, stop_after=1):
                    pass
                started = asyncio.get_running_loop().time()
                await self._tick()
                elapsed = asyncio.get_running_loop().time() - started
                await asyncio.sleep(max(0.0, FRAME_INTERVAL_S - elapsed))

    async def _tick(self) -> None:
        if not self._subscriptions:
            place = await self.now()
            # Whoever subscribed meanwhile may have read less: then nothing may be passed over.
            if not self._subscriptions:
                self.place = place
                return
        self._hand_out(await self._changed_estimates())
        while self.place is not None:
            batch = await self.after(self.place, None)
            self._hand_out(batch)
            if batch:
                self.place = batch[-1].place
            if len(batch) < BATCH_ROWS:
                return
            await asyncio.sleep(_BURST_INTERVAL_S)

    async def _changed_estimates(self) -> list[Event]:
        """Return the estimates that differ from what was handed out last."""
        wishes = {subscription.wish for subscription in self._subscriptions}
        everything = Wish(
            frozenset().union(*(wish.markets for wish in wishes)),
            frozenset().union(*(wish.bases for wish in wishes)),
            frozenset().union(*(wish.exchanges for wish in wishes)),
        )
        found = await self.newest(everything, minutes=ESTIMATES, with_final=False)
        states = {(event.market, event.row.time): _state(event.row) for event in found}
        changed = [
            event
            for event in found
            if self._estimates.get((event.market, event.row.time))
            != states[(event.market, event.row.time)]
        ]
        self._estimates = states
        return changed

    def _hand_out(self, events: Sequence[Event]) -> None:
        if not events:
            return
        frames: dict[Wish, Frame | None] = {}
        for subscription in tuple(self._subscriptions):
            wish = subscription.wish
            if wish not in frames:
                wanted = [event for event in events if wish.wants(event.market)]
                frames[wish] = Frame(wanted, {}) if wanted else None
            frame = frames[wish]
            if frame is not None:
                subscription.offer(frame)


def _state(row: TakerVolumeRow) -> tuple[Any, ...]:
    return (
        row.taker_buy_volume,
        row.taker_sell_volume,
        row.buy_count,
        row.sell_count,
        row.close,
        row.is_complete,
    )


def _event(xid: str | None, seq: int, *columns: Any) -> Event:
    place = None if xid is None else Place(int(xid), seq)
    return Event(TakerVolumeRow(*columns), place)


_INTERVAL: Final[dict[str, Any]] = {"step": "1 minute", "origin": EPOCH}


def _wanted(markets: Iterable[Market], since: datetime) -> dict[str, Any]:
    markets = tuple(markets)
    return {
        "codes": [market.exchange for market in markets],
        "symbols": [market.symbol for market in markets],
        "los": [since] * len(markets),
        "his": [LATEST] * len(markets),
    }


async def cancelled(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
