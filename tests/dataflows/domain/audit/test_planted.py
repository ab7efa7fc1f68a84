"""Faults planted among an exchange's trades are found beside its own kline, for each exchange."""

from collections.abc import Callable

import msgspec
import pytest

from connectors.simulator.simulation import Simulation
from dataflows.domain.audit.judge import judge
from dataflows.domain.trades.recount import Recount
from schemas.exchanges import EXCHANGES, decoder_of, subscriptions_of
from schemas.klines import Kline
from schemas.records import AuditMinute, Product, Trade
from tests.connectors.simulator.client import (
    FEEDS,
    answer,
    feed_of,
    listed,
    market_of,
    simulation,
    subscribed,
)

NS_PER_S = 1_000_000_000
MINUTE_S = 60


class Minute(msgspec.Struct):
    """One whole minute of a market: its trades as they are read, and the exchange's kline."""

    exchange: str
    symbol: str
    start_s: int
    trades: list[Trade]
    kline: Kline

    def verdict(self, trades: list[Trade]) -> AuditMinute:
        """Return the verdict on these trades, folded as the dataflow folds them."""
        start_ns = self.start_s * NS_PER_S
        end_ns = start_ns + MINUTE_S * NS_PER_S
        recount = Recount(self.exchange, start_ns, {}, set())
        rows = recount.fold(trades, end_ns, end_ns)
        row = next((row for row in rows if row.minute == self.start_s), None)
        conventions = EXCHANGES[self.exchange].kline_conventions(self.symbol)
        return judge(self.exchange, self.symbol, row, self.kline, conventions)


@pytest.fixture(scope="module")
def minutes() -> dict[tuple[str, str], Minute]:
    """Return a whole minute of each product of each exchange, heard on its own socket."""
    simulated = simulation(rate=400)
    clients = {feed: subscribed(simulated, *feed, "trade")[0] for feed in FEEDS}
    end_ms = (simulated.now_ms // 60_000 + 2) * 60_000 + 12_000
    while simulated.now_ms < end_ms:
        simulated.advance(simulated.now_ms + 500)
        for (exchange, _), client in clients.items():
            ping = subscriptions_of(exchange).ping
            if ping is not None:
                client.send(ping if isinstance(ping, bytes) else ping())
    return {feed: minute_of(simulated, *feed, client.take()) for feed, client in clients.items()}


@pytest.fixture(params=FEEDS, ids=".".join)
def minute(minutes: dict[tuple[str, str], Minute], request: pytest.FixtureRequest) -> Minute:
    return minutes[request.param]


def minute_of(
    simulated: Simulation, exchange: str, product: Product, frames: list[bytes]
) -> Minute:
    start_s = (simulated.now_ms // 60_000 - 1) * MINUTE_S
    decoder, source = decoder_of(exchange), EXCHANGES[exchange].klines
    assert source is not None
    feed = feed_of(simulated, exchange, product, None)
    found: dict[str, list[Trade]] = {}
    for frame in frames:
        for trade in decoder.decode_trades(frame, feed):
            if trade.time_ns // NS_PER_S // MINUTE_S * MINUTE_S == start_s:
                found.setdefault(trade.symbol, []).append(trade)
    symbol = max(found, key=lambda symbol: len(found[symbol]))
    (instrument,) = [i for i in listed(simulated, exchange, product) if i.symbol == symbol]
    path, query = source.request(market_of(instrument), start_s, start_s + MINUTE_S)
    body = answer(simulated, exchange, product, path, query).body
    keyed = msgspec.structs.replace(feed, native_symbol=instrument.native_symbol)
    klines = decoder.decode_klines(body, keyed)
    kline = next(kline for kline in klines if kline.minute_s == start_s)
    return Minute(exchange, symbol, start_s, found[symbol], kline)


def test_trades_as_they_were_equal_the_kline(minute: Minute) -> None:
    verdict = minute.verdict(minute.trades)

    assert verdict.verdict in ("equal", "explained"), verdict.reason
    assert verdict.verdict == "equal" or "rounded" in verdict.reason


def kept_back(trades: list[Trade]) -> list[Trade]:
    return trades[:1] + trades[2:]


def doubled(trades: list[Trade]) -> list[Trade]:
    again = msgspec.structs.replace(trades[1], trade_id="again", first_id=None)
    return [*trades, again]


def moved_over_the_edge(trades: list[Trade]) -> list[Trade]:
    moved = msgspec.structs.replace(trades[1], time_ns=trades[1].time_ns + MINUTE_S * NS_PER_S)
    return [*kept_back(trades), moved]


def in_wrong_units(trades: list[Trade]) -> list[Trade]:
    wrong = msgspec.structs.replace(trades[1], size=trades[1].size * 1_000)
    return [*kept_back(trades), wrong]


@pytest.mark.parametrize("plant", [kept_back, doubled, moved_over_the_edge, in_wrong_units])
def test_a_planted_fault_is_found(
    minute: Minute, plant: Callable[[list[Trade]], list[Trade]]
) -> None:
    assert minute.verdict(plant(minute.trades)).verdict == "different"


def test_a_wrong_side_is_found_where_the_exchange_says_the_takers(minute: Minute) -> None:
    first, second, *others = minute.trades
    turned = msgspec.structs.replace(second, taker_buys=not second.taker_buys)

    verdict = minute.verdict([first, turned, *others])

    says_it = minute.kline.taker_buy_volume is not None
    assert (verdict.verdict == "different") == says_it
    assert says_it == (minute.exchange == "binance")
