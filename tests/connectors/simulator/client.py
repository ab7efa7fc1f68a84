"""A client of the simulator without a network: the project's own requests, step by step in time."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from connectors.commands.simulate import pipeline_settings
from connectors.simulator.desk import Desk
from connectors.simulator.simulation import Simulation
from connectors.simulator.truth import Truth
from connectors.simulator.venues.base import Answer, Request, Venue
from schemas.exchanges import EXCHANGES, subscriptions_of
from schemas.feeds import Feed
from schemas.histories import Market
from schemas.instruments import Instrument
from schemas.instruments import List as InstrumentList
from schemas.records import Product
from schemas.subscriptions import Stream, StreamKind, Target

START_MS = 1_790_000_000_000

# Every product of every exchange.
PRODUCTS: dict[str, tuple[Product, ...]] = {
    "upbit": ("spot",),
    "bithumb": ("spot",),
    "korbit": ("spot",),
    "coinone": ("spot",),
    "okx": ("spot", "linear", "inverse"),
    "bybit": ("spot", "linear", "inverse"),
    "gateio": ("spot", "linear"),
    "binance": ("spot", "linear", "inverse"),
    "kraken": ("spot",),
    "bitmex": ("inverse", "linear"),
}
FEEDS = [(exchange, product) for exchange, products in PRODUCTS.items() for product in products]


def simulation(
    rate: float = 2_000.0, seed: int = 7, coins: int = 3, truth: Truth | None = None
) -> Simulation:
    return Simulation(seed, coins, rate, START_MS, truth or Truth(None))


def payload_of(frame: bytes) -> tuple[int, bytes]:
    length = frame[1]
    start = {126: 4, 127: 10}.get(length, 2)
    return frame[0] & 0x0F, frame[start:]


class Client:
    """A connection that keeps what it was sent, as a WebSocket client would see it."""

    def __init__(
        self, simulated: Simulation, exchange: str, product: Product, url: str = ""
    ) -> None:
        parts = urlsplit(url)
        self.simulation = simulated
        self.venue: Venue = simulated.venues[exchange]
        self.exchange = exchange
        self.product: str = product
        self.path = parts.path or "/"
        self.query = dict(parse_qsl(parts.query))
        self.streams: dict[Any, None] = {}
        self.opened_ms = self.heard_ms = self.pinged_ms = self.venue.now_ms
        self.memory: dict[str, Any] = {}
        self.received: list[bytes] = []
        self.opcodes: set[int] = set()
        self.closed: int | None = None
        self.is_cut = False
        self.venue.greet(self)

    def queue(self, frame: bytes) -> None:
        opcode, payload = payload_of(frame)
        self.opcodes.add(opcode)
        if opcode <= 2:
            self.received.append(payload)

    def close(self, code: int, reason: str = "") -> None:
        del reason
        self.closed = code
        self.venue.forget(self)

    def cut(self) -> None:
        self.is_cut = True
        self.venue.forget(self)

    def send(self, message: bytes) -> None:
        self.heard_ms = self.venue.now_ms
        self.venue.receive(self, message)

    def take(self) -> list[bytes]:
        taken, self.received = self.received, []
        return taken

    def run(self, ms: int, step_ms: int = 10) -> Iterator[list[bytes]]:
        """Let the time pass; yield what came in each step."""
        for _ in range(0, ms, step_ms):
            self.simulation.step(self.simulation.now_ms + step_ms)
            yield self.take()


def answer(simulated: Simulation, exchange: str, product: str, path: str, query: Any) -> Answer:
    venue = simulated.venues[exchange]
    texts = {name: str(value) for name, value in query.items()}
    return venue.rest(Request(product, path, texts, {"x-mbx-apikey": "x"}, venue.now_ms))


def listed(simulated: Simulation, exchange: str, product: Product) -> list[Instrument]:
    """Return the instruments that an exchange lists, as the project reads the lists."""
    list_of: InstrumentList = subscriptions_of(exchange).instruments
    listing = list_of(product, True)  # noqa: FBT003  # one interface
    request = next(listing)
    while True:
        body = answer(simulated, exchange, product, request.path, request.parameters).body
        try:
            request = listing.send(body)
        except StopIteration as done:
            found: list[Instrument] = done.value
            return found


def desk_of(simulated: Simulation, exchange: str, instrument: Instrument) -> Desk:
    return next(
        desk
        for desk in simulated.desks
        if (desk.instrument.exchange, desk.instrument.product, desk.instrument.symbol)
        == (exchange, instrument.product, instrument.symbol)
    )


def feed_of(simulated: Simulation, exchange: str, product: Product, native: str | None) -> Feed:
    settings = pipeline_settings(1, [desk.instrument for desk in simulated.desks])
    sizes = settings["exchanges"][exchange].get("contract_sizes", {})
    return Feed(
        exchange=exchange,
        product=product,
        native_symbol=native,
        quote="KRW" if EXCHANGES[exchange].id <= 4 else "USDT",  # the Korean ones
        contract_sizes={name: Decimal(size) for name, size in sizes.items()},
    )


def subscribed(
    simulated: Simulation, exchange: str, product: Product, kind: StreamKind
) -> tuple[Client, list[Instrument]]:
    """Connect and subscribe to every market, in the project's own words."""
    words = subscriptions_of(exchange)
    target = Target(product, kind)
    client = Client(simulated, exchange, product, words.path(target))
    instruments = listed(simulated, exchange, product)
    streams = [Stream(kind, each.native_symbol, each.symbol) for each in instruments]
    for message in words.subscribe(target, streams):
        client.send(message)
    return client, instruments


def market_of(instrument: Instrument) -> Market:
    return Market(instrument.symbol, instrument.product, instrument.native_symbol)
