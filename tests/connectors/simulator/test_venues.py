"""Every frame of every exchange decodes to what the model did: trades, books, tickers, klines."""

from decimal import Decimal
from itertools import chain, groupby

import msgspec
import pytest

from connectors.simulator.desk import Desk
from connectors.simulator.market import Fill
from connectors.simulator.simulation import Simulation
from connectors.simulator.texts import fixed
from dataflows.domain.books.book import Book
from schemas.exchanges import decoder_of, subscriptions_of
from schemas.records import Product, Trade
from tests.connectors.simulator.client import (
    FEEDS,
    answer,
    desk_of,
    feed_of,
    listed,
    simulation,
    subscribed,
)

WITH_BOOKS = [feed for feed in FEEDS if feed[0] != "bitmex"]


def price_of(desk: Desk, tick: int) -> Decimal:
    return Decimal(fixed(tick * desk.instrument.tick, desk.instrument.price_decimals).decode())


def size_of(desk: Desk, lots: int) -> Decimal:
    return Decimal(fixed(lots * desk.instrument.lot, desk.instrument.size_decimals).decode())


def base_of(desk: Desk, tick: int, lots: int) -> Decimal:
    return Decimal(fixed(*desk.instrument.base_units(tick, lots)).decode())


def as_told(desk: Desk, fill: Fill, venue_id: bytes) -> tuple[object, ...]:
    _, time_ms, buys, tick, lots = fill
    text = venue_id.strip(b'"').decode()
    trade_id = int(text) if text.isdigit() else text
    return trade_id, time_ms, buys, price_of(desk, tick), base_of(desk, tick, lots)


def as_read(trade: Trade) -> tuple[object, ...]:
    return (
        int(trade.trade_id) if str(trade.trade_id).isdigit() else trade.trade_id,
        trade.time_ns // 1_000_000,
        trade.taker_buys,
        trade.price,
        trade.size,
    )


def joined(fills: list[Fill]) -> list[Fill]:
    """Return what one order took at one price as one: the last id, the whole size."""
    groups = [list(group) for _, group in groupby(fills, key=lambda fill: fill[1:4])]
    return [(*group[-1][:4], sum(fill[4] for fill in group)) for group in groups]


@pytest.mark.parametrize(("exchange", "product"), FEEDS)
def test_frames_hold_exactly_the_trades(exchange: str, product: Product) -> None:
    simulated = simulation(coins=2)
    client, instruments = subscribed(simulated, exchange, product, "trade")
    assert instruments
    client.take()  # snapshots of earlier trades
    began = {i.symbol: len(desk_of(simulated, exchange, i).tape) for i in instruments}
    decoder = decoder_of(exchange)
    feed = feed_of(simulated, exchange, product, None)
    read: dict[str, list[tuple[object, ...]]] = {i.symbol: [] for i in instruments}
    for frames in client.run(3_000):
        for frame in frames:
            if decoder.kind(frame) == "trade":
                for trade in decoder.decode_trades(frame, feed):
                    read[trade.symbol].append(as_read(trade))
    assert sum(map(len, read.values())) > 5
    venue = simulated.venues[exchange]
    for instrument in instruments:
        desk = desk_of(simulated, exchange, instrument)
        fills = desk.tape.slice(began[instrument.symbol], len(desk.tape))
        if exchange == "okx":
            fills = joined(fills)
        told = [as_told(desk, fill, venue.trade_id(desk, fill)) for fill in fills]
        assert read[instrument.symbol] == told


@pytest.mark.parametrize(("exchange", "product"), WITH_BOOKS)
def test_books_equal_the_model_at_each_step(exchange: str, product: Product) -> None:
    simulated = simulation()
    client, instruments = subscribed(simulated, exchange, product, "orderbook")
    decoder = decoder_of(exchange)
    feed = feed_of(simulated, exchange, product, None)
    desks = {i.symbol: desk_of(simulated, exchange, i) for i in instruments}
    books = {i.symbol: Book(exchange, i.symbol) for i in instruments}
    waiting = {i.symbol for i in instruments}
    checked = 0
    # What is sent at once shows the model before any time passes.
    for frames in chain([client.take()], client.run(1_500)):
        for frame in frames:
            for update in decoder.decode_books(frame, feed):
                book = books[update.symbol]
                book.apply(update)
                if update.is_subscription:
                    continue
                if update.symbol in waiting and update.needs_snapshot:
                    inject(simulated, exchange, product, book, update.symbol)
                waiting.discard(update.symbol)
                compare(book, desks[update.symbol], update.depth)
                checked += 1
    assert not waiting
    assert checked > 25


def inject(simulated: Simulation, exchange: str, product: Product, book: Book, symbol: str) -> None:
    """Apply the snapshot that REST gives, as the collector would."""
    instrument = next(i for i in listed(simulated, exchange, product) if i.symbol == symbol)
    ask = subscriptions_of(exchange).snapshot
    assert ask is not None
    request = ask(product, instrument.native_symbol)
    body = answer(simulated, exchange, product, request.path, request.parameters).body
    feed = feed_of(simulated, exchange, product, instrument.native_symbol)
    for update in decoder_of(exchange).decode_books(body, feed):
        book.apply(update)


def compare(book: Book, desk: Desk, depth: int | None) -> None:
    sides = ((book.bids, desk.market.bids), (book.asks, desk.market.asks))
    for side, model in sides:
        levels = sorted(side.sizes.items(), reverse=side is book.bids)
        count = len(levels) if depth is None else min(depth, len(levels))
        expected = [(price_of(desk, tick), size_of(desk, lots)) for tick, lots in model.top(count)]
        assert [(price, size) for price, size in levels[:count]] == expected
        assert count >= 10


@pytest.mark.parametrize(("exchange", "product"), WITH_BOOKS)
def test_tickers_tell_last_price_and_volume(exchange: str, product: Product) -> None:
    simulated = simulation()
    client, instruments = subscribed(simulated, exchange, product, "ticker")
    decoder = decoder_of(exchange)
    feed = feed_of(simulated, exchange, product, None)
    merged: dict[str, dict[str, object]] = {i.symbol: {} for i in instruments}
    for frames in chain([client.take()], client.run(3_000)):
        for frame in frames:
            for update in decoder.decode_tickers(frame, feed):
                fields = msgspec.structs.asdict(update)
                assert update.is_delta == bool(merged[update.symbol]) or not update.is_delta
                merged[update.symbol].update({k: v for k, v in fields.items() if v is not None})
    simulated.world.traded.clear()
    for instrument in instruments:
        desk, told = desk_of(simulated, exchange, instrument), merged[instrument.symbol]
        assert told["symbol"] == instrument.symbol
        assert isinstance(told["trade_price"], Decimal)
        day = desk.tape.day
        assert price_of(desk, day.low) <= told["trade_price"] <= price_of(desk, day.high)
        assert told["max_price"] == price_of(desk, day.high)
        assert told["min_price"] == price_of(desk, day.low)
        assert isinstance(told["acc_trade_volume_24h"], Decimal)
        assert told["acc_trade_volume_24h"] > 0
