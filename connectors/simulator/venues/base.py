"""What all dialects share: connections, requests, answers, and how channels are opened."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final, NamedTuple, Protocol

import msgspec

from connectors.simulator.book import Levels, View
from connectors.simulator.desk import Desk, Stream, StreamKind, Styles
from connectors.simulator.limits import Budget
from connectors.simulator.market import Fill
from connectors.simulator.tape import Candle
from connectors.simulator.websocket import TEXT, frame

MAX_ROWS: Final = 1_000


class Connection(Protocol):
    """A WebSocket connection, as far as a dialect knows it."""

    product: str
    path: str
    query: dict[str, str]
    streams: dict[Stream, None]
    opened_ms: int
    heard_ms: int
    """When the client sent anything last."""
    pinged_ms: int
    """When the server sent its last heartbeat."""
    memory: dict[str, Any]

    def queue(self, frame: bytes) -> None:
        """Send a finished frame with the next batch."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """Send what waits and a close frame, then end the connection gracefully."""
        ...

    def cut(self) -> None:
        """End the connection without a word."""
        ...


class Request(NamedTuple):
    """One request to a REST interface."""

    product: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    now_ms: int


class Answer(NamedTuple):
    """What a REST interface says to it."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = {}  # noqa: RUF012  # a NamedTuple's field, never changed


class Venue(ABC):
    """One exchange: its channels, its answers, its ways to refuse.

    Args:
        desks: Its markets, by product and native symbol.
    """

    exchange: ClassVar[str]
    styles: ClassVar[Styles] = Styles()
    opcode: ClassVar[int] = TEXT
    ticker_ms: ClassVar[int] = 1_000
    """The shortest time between two tickers of a market."""
    book_ms: ClassVar[int] = 100
    kline_ms: ClassVar[int] = 1_000
    is_periodic: ClassVar[bool] = True
    """Whether tickers come without any trade, too."""

    def __init__(self, desks: dict[tuple[str, str], Desk]) -> None:
        self.desks = desks
        self.now_ms = 0
        """By this exchange's own clock."""
        self.budgets: dict[str, Budget] = {}

    @classmethod
    def styles_of(cls, product: str) -> Styles:
        """Return how it writes the numbers of a product."""
        del product
        return cls.styles

    # -- connections ---------------------------------------------------------------------------

    def greet(self, connection: Connection) -> None:  # noqa: B027  # not every exchange does
        """Say what is said to a new connection."""

    @abstractmethod
    def receive(self, connection: Connection, message: bytes) -> None:
        """Answer a message of a client."""

    def watch(self, connection: Connection) -> None:  # noqa: B027  # not every exchange does
        """Look at a connection once a second: heartbeats, and the silence that ends it."""

    def ponged(self, connection: Connection, payload: bytes) -> None:  # noqa: B027  # not every exchange does
        """Take the answer to a server's ping."""

    def announce(self, connection: Connection) -> None:  # noqa: B027  # not every exchange does
        """Say that the connection will be ended, where this exchange does."""

    def say(self, connection: Connection, message: Any) -> None:
        """Send one message to one client: bytes as they are, anything else as JSON."""
        payload = message if isinstance(message, bytes) else msgspec.json.encode(message)
        connection.queue(frame(payload, self.opcode))

    def open(self, connection: Connection, desk: Desk, kind: StreamKind, form: str) -> Stream:
        """Let a connection listen to a channel."""
        stream = desk.stream(kind, form)
        stream.listeners[connection] = None
        connection.streams[stream] = None
        return stream

    def leave(self, connection: Connection, stream: Stream) -> None:
        """Let a connection listen no longer; the last to leave closes the channel."""
        stream.listeners.pop(connection, None)
        connection.streams.pop(stream, None)
        if not stream.listeners:
            stream.desk.close(stream)

    def forget(self, connection: Connection) -> None:
        """Let a connection leave everything."""
        for stream in list(connection.streams):
            self.leave(connection, stream)

    def of(self, product: str, native: str) -> Desk | None:
        """Return a listed market."""
        desk = self.desks.get((product, native))
        return desk if desk is not None and desk.market.is_listed else None

    def listed(self, product: str) -> list[Desk]:
        """Return the listed markets of a product."""
        return [
            desk
            for (of_product, _), desk in self.desks.items()
            if of_product == product and desk.market.is_listed
        ]

    # -- channels ------------------------------------------------------------------------------

    @abstractmethod
    def trade_frames(self, stream: Stream, fills: Sequence[Fill]) -> Iterable[bytes]:
        """Return the messages of what was traded."""

    @abstractmethod
    def ticker_frames(self, stream: Stream) -> Iterable[bytes]:
        """Return the messages of the ticker as it is now."""

    @abstractmethod
    def book_frames(self, stream: Stream) -> Iterable[bytes]:
        """Return the messages of what changed in the book since the last ones."""

    def kline_frames(self, stream: Stream) -> Iterable[bytes]:
        """Return the messages of the running minute."""
        del stream
        return ()

    def kline_end(self, stream: Stream, start_ms: int, candle: Candle) -> Iterable[bytes]:
        """Return the messages of a minute that is over."""
        del stream, start_ms, candle
        return ()

    def trade_id(self, desk: Desk, fill: Fill) -> bytes:
        """Return the id of a trade as a JSON value in this exchange's own form."""
        del desk
        return b"%d" % fill[0]

    # -- REST ----------------------------------------------------------------------------------

    @abstractmethod
    def rest(self, request: Request) -> Answer:
        """Answer a request."""

    def refuse(self, status: int, retry_after_s: int) -> Answer:
        """Answer as an exchange does that wants no more requests."""
        return Answer(b"{}", status, {"Retry-After": str(retry_after_s)})

    def budget(self, name: str, limit: int, window_ms: int) -> Budget:
        """Return the budget of this name."""
        found = self.budgets.get(name)
        if found is None:
            found = self.budgets[name] = Budget(limit, window_ms)
        return found


def shown(stream: Stream, depth: int) -> View:
    """Return what a channel has shown of its book; at first, what it shows from now on."""
    if stream.view is None:
        desk = stream.desk
        stream.view = View(depth)
        stream.view.move_to(desk.market.bids, desk.market.asks)
        stream.view.last_id = desk.count_updates()
        stream.view.version = desk.market.version
    return stream.view


def pairs(desk: Desk, levels: Levels) -> bytes:
    """Return levels as JSON, each an array of two texts."""
    price, size = desk.price, desk.size
    return b",".join([b'["%b","%b"]' % (price[tick], size[lots]) for tick, lots in levels])


def integer(query: dict[str, str], name: str, default: int, most: int) -> int:
    """Return a number of a request, cut to what the exchange allows."""
    text = query.get(name, "")
    value = int(text) if text.lstrip("-").isdigit() else default
    return max(0, min(value, most))


def parsed(message: bytes) -> Any:
    """Return the JSON of a client's message, `None` where it is none."""
    try:
        return msgspec.json.decode(message)
    except msgspec.DecodeError:
        return None


def uuid(desk: Desk, trade_id: int) -> bytes:
    """Return a name that looks random and is always the same for one trade."""
    mixed = (trade_id + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835
    mixed = (mixed ^ desk.salt) & (2**128 - 1)
    text = b"%032x" % mixed
    return b"%b-%b-%b-%b-%b" % (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
