"""What a fault changes of what is told, and that the truth is left alone and written down."""

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pytest

from connectors.simulator.book import Levels
from connectors.simulator.faults import MAX_HOLD_MS, WRONG_UNIT, Fault, parse_faults, read_script
from connectors.simulator.instruments import instruments
from connectors.simulator.market import Fill, World
from connectors.simulator.simulation import Simulation
from connectors.simulator.truth import Truth
from dataflows.domain.books.book import Book
from schemas.errors import SequenceGapError, SettingsError
from schemas.exchanges import EXCHANGES, decoder_of
from schemas.records import Product, Trade
from tests.connectors.simulator.client import (
    START_MS,
    Client,
    desk_of,
    feed_of,
    listed,
    simulation,
    subscribed,
)
from tests.connectors.simulator.test_venues import as_read, as_told

EXCHANGE_IDS = list(EXCHANGES)


def trades_under(
    fault: str, exchange: str, folder: Path, count: int = 3
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]], list[dict[str, object]]]:
    """Return what was told of one market and what was traded there, and the faults' events."""
    with Truth(folder) as written:
        read, truth = _told_and_true(fault, exchange, written, count)
    events = [json.loads(line) for line in (folder / "events.ndjson").read_text().splitlines()]
    return read, truth, events


def _told_and_true(
    fault: str, exchange: str, written: Truth, count: int
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    product: Product = "inverse" if exchange == "bitmex" else "spot"
    simulated = simulation(rate=4_000, coins=1, truth=written)
    client, found = subscribed(simulated, exchange, product, "trade")
    client.take()
    instrument = found[0]
    desk = desk_of(simulated, exchange, instrument)
    start = len(desk.tape)
    wanted = Fault(
        fault=fault,  # type: ignore[arg-type]
        exchange=exchange,
        symbol=instrument.symbol,
        count=count,
    )
    assert simulated.apply(wanted) == 1
    feed = feed_of(simulated, exchange, product, None)
    told: list[Trade] = []
    for frames in client.run(1_500):
        for frame in frames:
            if decoder_of(exchange).kind(frame) == "trade":
                told += decoder_of(exchange).decode_trades(frame, feed)
    venue = simulated.venues[exchange]
    fills = desk.tape.slice(start, len(desk.tape))
    truth = [as_told(desk, fill, venue.trade_id(desk, fill)) for fill in fills]
    return [as_read(trade) for trade in told if trade.symbol == instrument.symbol], truth


def total(trades: list[tuple[object, ...]]) -> object:
    return sum(trade[4] for trade in trades)  # type: ignore[misc]


@pytest.mark.parametrize("exchange", EXCHANGE_IDS)
def test_withheld_trades_are_in_the_truth_alone(exchange: str, tmp_path: Path) -> None:
    read, truth, events = trades_under("withhold", exchange, tmp_path)
    assert total(read) == total(truth[3:])
    assert [event["trade_time_ms"] for event in events] == [trade[1] for trade in truth[:3]]
    assert {event["fault"] for event in events} == {"withhold"}


@pytest.mark.parametrize("exchange", EXCHANGE_IDS)
def test_doubled_trades_have_other_ids(exchange: str, tmp_path: Path) -> None:
    read, truth, _ = trades_under("double", exchange, tmp_path)
    assert total(read) == total([*truth, *truth[:3]])
    if exchange != "okx":  # which joins the two in one row
        assert len({trade[0] for trade in read}) == len(read) == len(truth) + 3


@pytest.mark.parametrize("exchange", EXCHANGE_IDS)
def test_wrong_sides_units_and_minutes_are_told(exchange: str, tmp_path: Path) -> None:
    read, truth, _ = trades_under("wrong_side", exchange, tmp_path / "side", count=1)
    assert read[0][2] is not truth[0][2]
    read, truth, _ = trades_under("wrong_unit", exchange, tmp_path / "unit", count=1)
    assert read[0][4] == WRONG_UNIT * truth[0][4]  # type: ignore[operator]
    read, truth, _ = trades_under("move", exchange, tmp_path / "move", count=1)
    told_ms, true_ms = int(str(read[0][1])), int(str(truth[0][1]))
    assert told_ms // 60_000 == true_ms // 60_000 - 1


@pytest.mark.parametrize("exchange", [e for e in EXCHANGE_IDS if e != "okx"])
def test_repeated_and_reordered_trades_are_the_same_trades(exchange: str, tmp_path: Path) -> None:
    read, truth, _ = trades_under("repeat", exchange, tmp_path / "repeat")
    assert len(read) == len(truth) + 3
    assert set(read) == set(truth)
    read, truth, _ = trades_under("reorder", exchange, tmp_path / "reorder", count=9)
    assert read[:9] == truth[8::-1]
    assert read[9:] == truth[9:]


@pytest.mark.parametrize("exchange", ["bitmex", "upbit"])
def test_a_reordered_trade_is_told_soon_though_none_follows(exchange: str, tmp_path: Path) -> None:
    read, truth, _ = trades_under("reorder", exchange, tmp_path, count=1_000_000)
    told_until_ms = int(str(truth[-1][1])) - MAX_HOLD_MS - 100
    due = {trade for trade in truth if int(str(trade[1])) <= told_until_ms}
    assert due
    assert due <= set(read)


def books(simulated: Simulation, exchange: str) -> tuple[Client, Book]:
    client, _ = subscribed(simulated, exchange, "spot", "orderbook")
    return client, Book(exchange, "BTC-USDT")


@pytest.mark.parametrize("exchange", ["okx", "bybit"])
def test_skipped_updates_are_seen_as_a_gap(exchange: str) -> None:
    simulated = simulation(coins=1)
    client, book = books(simulated, exchange)

    def follow(frames: Iterable[bytes]) -> None:
        feed = feed_of(simulated, exchange, "spot", None)
        for frame in frames:
            for update in decoder_of(exchange).decode_books(frame, feed):
                book.apply(update)

    follow(client.take())
    follow(chain.from_iterable(client.run(500)))
    simulated.step(simulated.now_ms + 50)
    client.take()
    assert simulated.apply(Fault(fault="skip", exchange=exchange, count=4)) > 0
    with pytest.raises(SequenceGapError):
        follow(chain.from_iterable(client.run(500)))


def test_a_stalled_stream_says_nothing_for_a_while() -> None:
    simulated = simulation(coins=1)
    client, _ = subscribed(simulated, "kraken", "spot", "trade")
    client.take()
    fault = Fault(fault="stall", exchange="kraken", kind="trade", symbol="BTC-USD", ms=2_000)
    assert simulated.apply(fault) == 1
    silent = [frame for frames in client.run(1_900) for frame in frames]
    assert not any(b'"BTC/USD"' in frame for frame in silent)
    assert any(b'"BTC/USD"' in frame for frames in client.run(3_000) for frame in frames)


def test_markets_come_and_go_on_request() -> None:
    simulated = simulation(coins=1)
    client, before = subscribed(simulated, "bybit", "linear", "trade")
    simulated.apply(Fault(fault="list", exchange="bybit", product="linear", symbol="NEW-USDT-PERP"))
    names = {i.symbol for i in listed(simulated, "bybit", "linear")}
    assert names == {*(i.symbol for i in before), "NEW-USDT-PERP"}
    simulated.apply(
        Fault(fault="delist", exchange="bybit", product="linear", symbol="BTC-USDT-PERP")
    )
    assert {i.symbol for i in listed(simulated, "bybit", "linear")} == {"NEW-USDT-PERP"}
    client.take()
    assert not [frame for frames in client.run(1_000) for frame in frames]
    client.send(b'{"op":"subscribe","args":["publicTrade.NEWUSDT"]}')
    assert any(b"NEWUSDT" in frame for frames in client.run(2_000) for frame in frames)


def test_a_shifted_clock_moves_all_times_of_an_exchange() -> None:
    simulated = simulation(coins=1)
    client, _ = subscribed(simulated, "upbit", "spot", "trade")
    client.take()
    simulated.apply(Fault(fault="clock", exchange="upbit", ms=-5_000))
    times_ms = [
        trade.time_ns // 1_000_000
        for frames in client.run(2_000)
        for frame in frames
        for trade in decoder_of("upbit").decode_trades(
            frame, feed_of(simulated, "upbit", "spot", None)
        )
    ]
    assert times_ms
    assert all(-7_000 <= time_ms - simulated.now_ms <= -5_000 for time_ms in times_ms)


def test_restarted_ids_begin_low_again() -> None:
    simulated = simulation(coins=1)
    client, _ = subscribed(simulated, "kraken", "spot", "trade")
    client.take()
    simulated.apply(Fault(fault="restart_ids", exchange="kraken"))
    frame = next(frame for frames in client.run(2_000) for frame in frames if b"trade_id" in frame)
    trades = decoder_of("kraken").decode_trades(frame, feed_of(simulated, "kraken", "spot", None))
    assert trades[0].trade_id == 1_000


def test_scripts_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('[{"fault":"drop","at_s":2},{"fault":"stall","at_s":1,"ms":5}]')
    assert [fault.fault for fault in read_script(path)] == ["stall", "drop"]
    path.write_text('[{"fault":"drop","when":2}]')
    with pytest.raises(SettingsError, match=r"script.json.*when"):
        read_script(path)
    assert parse_faults(b'{"fault":"drop"}') == [Fault(fault="drop")]


def test_one_seed_gives_the_same_trades_however_time_is_cut() -> None:
    def run(seed: int, steps: list[int]) -> list[tuple[list[Fill], Levels]]:
        world = World(instruments(2), seed, START_MS, 2_000, 2)
        for step_ms in steps:
            world.advance(world.now_ms + step_ms)
        return [(market.take_fresh(), market.bids.top(50)) for market in world.markets]

    once = run(3, [3_000])
    assert once == run(3, [7] * 428 + [4])
    assert once != run(4, [3_000])
    assert sum(len(fills) for fills, _ in once) > 2_000
