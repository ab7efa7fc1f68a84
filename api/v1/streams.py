"""The course of one stream: what was missed, then what happens, in order and without a hole."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import msgspec

from api.v1.markets import Market
from api.v1.pump import BATCH_ROWS, Event, Frame, Place, Pump, Subscription, Wish
from api.v1.questions import Asked, parse_bases, parse_exchanges, parse_symbols
from api.v1.times import EPOCH, parse_time
from schemas.settings import Settings

ACCEPTED: Final = ("exchange", "symbol", "base", "after", "numbers")
HEARTBEAT_S: Final = 15.0
RETRY_MS: Final = 2_000
MAX_AGE: Final = timedelta(days=1)
"""How far back `after=<time>` reaches: what is older is history, to be asked for as such."""

_NEWEST_MINUTES: Final = 2
_MINUTES_A_DAY: Final = 1_440


class Notice(msgspec.Struct, frozen=True):
    """Something that a stream says besides minutes."""

    event: str
    """`ready`: what was missed is told; `reset`: forget what you have; `dropped`: this is the end;
    `alive`: nothing happened."""
    data: dict[str, Any]
    place: Place | None = None


Part: TypeAlias = Frame | Notice


class Start(msgspec.Struct, frozen=True):
    """Where a stream begins: a place in the log, a time, or now."""

    wish: Wish
    as_float: bool
    place: Place | None = None
    since: datetime | None = None


def parse_start(asked: Asked, settings: Settings, now: datetime) -> Start:
    """Read what a client wants to follow, and from where on.

    Raises:
        ValidationException: Names every parameter that is wrong.
    """
    exchanges = parse_exchanges(asked, settings.exchanges)
    symbols, bases = parse_symbols(asked), parse_bases(asked)
    place = since = None
    text = asked.text("after")
    if text is not None:
        try:
            place = Place.parse(text)
        except ValueError:
            since = _since(asked, now)
    as_float = asked.choice("numbers", "text", ("text", "float")) == "float"
    asked.refuse()
    markets = frozenset(
        Market(exchange, symbol)
        for exchange in exchanges
        for symbol in symbols or (() if bases else (settings.exchanges[exchange].primary_symbol,))
    )
    wish = Wish(markets, frozenset(bases), frozenset(exchanges) if bases else frozenset())
    return Start(wish, as_float, place, since)


async def open_stream(pump: Pump, start: Start) -> AsyncIterator[Part]:
    """Subscribe, and return what follows; first what was missed, which the database knows.

    Subscribing first leaves no hole between the two, only an overlap, and that is cut off.

    Raises:
        UnavailableError: The database does not answer, or there are too many streams.
    """
    subscription = pump.subscribe(start.wish)
    try:
        if start.place is not None and not await pump.is_kept(start.place):
            reason = "the log does not reach back to this id"
            first = [Notice("reset", {"reason": reason})]
            start = msgspec.structs.replace(start, place=None)
        else:
            first = []
        place = start.place or await pump.now()
        events: list[Event] = []
        if start.place is None:
            minutes = _NEWEST_MINUTES if start.since is None else _MINUTES_A_DAY
            events = await pump.newest(start.wish, minutes=minutes, since=start.since or EPOCH)
    except BaseException:
        pump.unsubscribe(subscription)
        raise
    return _follow(pump, subscription, start, place, [*first, Frame(events, {})])


async def _follow(
    pump: Pump, subscription: Subscription, start: Start, place: Place, first: list[Part]
) -> AsyncIterator[Part]:
    try:
        for part in first:
            yield part
        while start.place is not None:
            missed = await pump.after(place, start.wish)
            yield Frame(missed, {})
            place = missed[-1].place or place if missed else place
            if len(missed) < BATCH_ROWS:
                break
        yield Notice("ready", {"id": str(place)}, place)
        while True:
            frame = await subscription.take(HEARTBEAT_S)
            if frame is not None:
                yield _behind(frame, place)
            elif subscription.ended is not None:
                yield Notice("dropped", {"reason": subscription.ended})
                return
            else:
                yield Notice("alive", {}, pump.place)
    finally:
        pump.unsubscribe(subscription)


def _behind(frame: Frame, place: Place) -> Frame:
    """Return a frame without the events that the client has been told already."""
    if all(event.place is None or event.place > place for event in frame.events):
        return frame
    events = [event for event in frame.events if event.place is None or event.place > place]
    return Frame(events, {})


def sse(part: Part, *, as_float: bool) -> bytes:
    """Return a part as server-sent events."""
    if isinstance(part, Frame):
        return part.sse(as_float=as_float)
    if part.event == "alive":
        return b": alive\n\n"
    identity = "" if part.place is None else f"id: {part.place}\n"
    return f"{identity}event: {part.event}\ndata: {_json(part.data)}\n\n".encode()


def messages(part: Part, *, as_float: bool) -> list[bytes]:
    """Return a part as messages of a WebSocket."""
    if isinstance(part, Frame):
        return [event.message(as_float=as_float) for event in part.events]
    place = None if part.place is None else str(part.place)
    message = {"event": part.event, "id": place, "data": part.data}
    return [msgspec.json.encode(message)]


def _json(data: dict[str, Any]) -> str:
    return msgspec.json.encode(data).decode()


def _since(asked: Asked, now: datetime) -> datetime | None:
    since = asked.one(
        "after", None, lambda text: parse_time(text, now), "the id of an event, or a time"
    )
    if since is not None and now - since > MAX_AGE:
        asked.fail("after", "is more than a day ago: ask /v1/taker-volume for what is older")
    return since
