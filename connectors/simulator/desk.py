"""Where one market meets its subscribers: its streams, its texts, its record of trades."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from connectors.simulator.book import View
from connectors.simulator.instruments import Instrument
from connectors.simulator.market import Fill, Market
from connectors.simulator.tape import Candle, Tape
from connectors.simulator.texts import Style, Texts, fixed

StreamKind: TypeAlias = Literal["ticker", "orderbook", "trade", "kline", "instrument"]
KINDS: Final[tuple[StreamKind, ...]] = ("ticker", "orderbook", "trade", "kline", "instrument")

Tamper: TypeAlias = Callable[[Sequence[Fill]], list[Fill]]
"""Changes what the subscribers are told was traded."""


class Listener(Protocol):
    """A connection, as far as a stream knows it."""

    def queue(self, frame: bytes) -> None:
        """Send a finished frame with the next batch."""
        ...


class Stream:
    """One channel of one market in one form, and who listens to it.

    Args:
        desk: The market.
        kind: What it carries.
        form: What else tells two channels of a kind apart: format, depth, wrapper.
    """

    __slots__ = (
        "desk",
        "due_ms",
        "form",
        "kind",
        "listeners",
        "muted_until_ms",
        "seen",
        "state",
        "view",
    )

    def __init__(self, desk: "Desk", kind: StreamKind, form: str) -> None:
        self.desk = desk
        self.kind = kind
        self.form = form
        self.listeners: dict[Listener, None] = {}
        self.due_ms = 0
        """When the next frame of a timed channel may go out."""
        self.muted_until_ms = 0
        self.seen = -1
        """Trades of the day when the last ticker was sent."""
        self.view: View | None = None
        self.state: Any = None
        """What a venue remembers of it."""

    def send(self, frame: bytes) -> None:
        """Give a finished frame to everybody who listens."""
        for listener in self.listeners:
            listener.queue(frame)


class Styles(NamedTuple):
    """How an exchange writes numbers, and how it writes them elsewhere."""

    price: Style = fixed
    size: Style = fixed
    other_price: Style = fixed
    other_size: Style = fixed


class Desk:
    """One market as an exchange shows it.

    Args:
        market: The model.
        styles: How this exchange writes prices and sizes.
        max_trades: How many trades are kept for its REST interface.
    """

    def __init__(self, market: Market, styles: "Styles", max_trades: int) -> None:
        self.market = market
        self.instrument: Instrument = market.instrument
        instrument = market.instrument
        self.native = instrument.native.encode()
        self.salt = _salt(instrument.key)
        """A number of its own that is the same in every run."""
        self.price = Texts(instrument.price_decimals, styles.price, instrument.tick)
        self.size = Texts(instrument.size_decimals, styles.size, instrument.lot)
        self.other_price = Texts(instrument.price_decimals, styles.other_price, instrument.tick)
        self.other_size = Texts(instrument.size_decimals, styles.other_size, instrument.lot)
        self.size_style = styles.size
        self.tape = Tape(instrument, market.bids.best()[0], market.day_lots, max_trades)
        self.streams: dict[tuple[StreamKind, str], Stream] = {}
        self.of_kind: dict[StreamKind, list[Stream]] = {kind: [] for kind in KINDS}
        self.tampers: list[Tamper] = []
        self.update_id = market.next_id * 3
        """The exchange's number of the book's last change."""
        self._counted_version = market.version

    def stream(self, kind: StreamKind, form: str) -> Stream:
        """Return the channel; the first to ask opens it."""
        stream = self.streams.get((kind, form))
        if stream is None:
            stream = self.streams[kind, form] = Stream(self, kind, form)
            self.of_kind[kind].append(stream)
        return stream

    def close(self, stream: Stream) -> None:
        """Forget a channel that nobody listens to."""
        if self.streams.pop((stream.kind, stream.form), None) is not None:
            self.of_kind[stream.kind].remove(stream)

    def count_updates(self) -> int:
        """Return the number of the book's last change, as many more as there were changes."""
        self.update_id += self.market.version - self._counted_version
        self._counted_version = self.market.version
        return self.update_id

    def skip_updates(self, count: int) -> None:
        """Leave numbers out, as a lost update would."""
        self.update_id += count

    def value(self, ticks_times_lots: int, decimals: int | None = None) -> bytes:
        """Return the text of a turnover in the quote currency of a spot or linear market."""
        instrument = self.instrument
        value = ticks_times_lots * instrument.tick * instrument.lot
        places = instrument.price_decimals + instrument.size_decimals
        if instrument.product == "linear" and instrument.contract is not None:
            sign, digits, exponent = instrument.contract.as_tuple()
            value *= int("".join(map(str, digits)))
            places -= int(exponent)
            del sign
        if places < 0:
            value, places = value * 10**-places, 0
        if decimals is not None and places > decimals:
            value, places = value // 10 ** (places - decimals), decimals
        return self.size_style(value, places)

    def base_volume(self, lots: int, base: int) -> tuple[int, int]:
        """Return what lots are in base units: an integer and its decimals."""
        if self.instrument.product == "inverse":
            return base, self.instrument.base_units(1, 1)[1]
        return self.instrument.base_units(1, lots)

    def change(self) -> tuple[int, int, int]:
        """Return the opening, the last and the difference of the day's prices, in ticks."""
        day = self.tape.day
        return day.open, day.close, day.close - day.open

    def rate(self, decimals: int) -> bytes:
        """Return the day's change as a fraction of its opening, cut to so many decimals."""
        opening, _, change = self.change()
        scaled = abs(change) * 10**decimals // opening
        return fixed(-scaled if change < 0 else scaled, decimals)

    def minute(self, time_ms: int) -> tuple[int, Candle]:
        """Return the start and the sums of the minute that a time is in."""
        start_ms = time_ms - time_ms % 60_000
        return start_ms, self.tape.minutes.get(start_ms) or Candle(self.tape.day.close)


def _salt(key: str) -> int:
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    return int.from_bytes(digest)
