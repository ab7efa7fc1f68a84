"""How an exchange's streams are subscribed to: frames, heartbeats and limits as values, no I/O."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from schemas.histories import Request
from schemas.instruments import List
from schemas.records import Product

StreamKind: TypeAlias = Literal["ticker", "orderbook", "trade"]


class Stream(NamedTuple):
    """One kind of data of one market."""

    kind: StreamKind
    native_symbol: str
    symbol: str
    """Canonical."""


class Reply(NamedTuple):
    """What a frame says that is no data."""

    says: Literal["accepted", "refused", "alive", "leaving", "other"]
    """`accepted`, `refused`: a subscription. `leaving`: the connection will be closed soon."""
    native_symbol: str | None = None
    """Whose subscription; `None`: of the whole request, or of an unknown one."""
    reason: str = ""
    connects_left: int | None = None
    """How often this address may connect yet, where the exchange says it."""


class Target(NamedTuple):
    """What one connection is for."""

    product: Product
    kind: StreamKind
    has_trade_ids: bool = True
    """Whether individual trades count (Binance), else aggregated ones."""


class Budget(NamedTuple):
    """No more than so many in such a time."""

    most: int
    seconds: float


class Subscriptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a session has to know of an exchange."""

    path: Callable[[Target], str] = lambda _: ""
    """Returns what comes after the address of the socket."""
    subscribe: Callable[[Target, Sequence[Stream]], list[bytes]]
    """Returns the frames that subscribe to streams."""
    renew: Callable[[Target, Sequence[Stream], Sequence[Stream]], list[bytes]]
    """Returns the frames that subscribe anew to some streams of all those of a connection."""
    replaces: bool = False
    """Whether a request ends what earlier ones have begun."""
    data: re.Pattern[bytes]
    """Found in data frames alone; its group is the market's name in frames."""
    name_in_frames: Callable[[str], str] = lambda native_symbol: native_symbol
    """Returns the market's name in frames for its native symbol."""
    read: Callable[[bytes], Reply]
    """Returns what another frame says."""
    confirms: Literal["each", "request", "nothing"]
    """Whether each stream is confirmed, each request, or nothing; unknown markets may be, too."""
    ping: bytes | None = None
    """The text of a heartbeat; `None`: a ping of the protocol."""
    pings: Mapping[Product, bytes] = {}
    """The text of a heartbeat where products differ."""
    ping_seconds: float
    """Between two heartbeats."""
    silence_seconds: float
    """Without any frame for this long, the connection is dead."""
    book_silence_seconds: float | None = 60.0
    """The least time after which a book is thought silent; `None`: heartbeats vouch for it."""
    ticker_silence_seconds: float | None = 60.0
    has_first_book: bool = True
    """Whether each book is sent at once, and not only its changes."""
    has_first_ticker: bool = True
    """Whether each ticker is sent at once, however quiet the market is."""
    max_age_seconds: float | None = None
    """After which the exchange closes a connection."""
    connects: Budget
    """For one address."""
    messages: Budget
    """For one connection."""
    max_open: int | None = None
    """Connections from one address."""
    max_streams: int
    """On one connection."""
    trade_id: Mapping[Product, re.Pattern[bytes]] = {}
    """Finds the ids of trades in a frame, where they are consecutive for each market."""
    aggregate_id: Mapping[Product, re.Pattern[bytes]] = {}
    """The same of aggregated trades."""
    trade_count: re.Pattern[bytes] | None = None
    """Finds how many ids a row stands for, the last of which it names."""
    snapshot: Callable[[Product, str], Request] | None = None
    """Asks for a whole book over REST; otherwise the stream is subscribed to anew."""
    recent: Callable[[Product, str], Request] | None = None
    """Asks for the latest trades of a market, to poll."""
    instruments: List
    rest: Budget
    """Requests from one address."""
    ban_seconds: Mapping[int, float] = {}
    """How long to ask nothing after a status that says no time: a ban, not a refusal."""
    remaining_header: str = ""
    """The response header with the requests that are left."""
    used_header: str = ""
    """The response header with the weight that is used up, of `max_weight` a minute."""
    max_weight: int = 0


def chunks(streams: Sequence[Stream], length: int) -> list[Sequence[Stream]]:
    """Return streams in runs of at most so many."""
    return [streams[at : at + length] for at in range(0, len(streams), length)]


_decode: Final = msgspec.json.Decoder().decode


def message_of(frame: bytes) -> dict[str, Any]:
    """Return the JSON object of a frame; an empty one for anything else."""
    try:
        message = _decode(frame)
    except (msgspec.MsgspecError, UnicodeError):
        return {}
    return message if isinstance(message, dict) else {}
