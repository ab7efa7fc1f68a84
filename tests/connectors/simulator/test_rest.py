"""What REST answers: instrument lists, past trades page by page, klines, limits and refusals."""

from decimal import Decimal

import pytest

from connectors.simulator.faults import Fault
from connectors.simulator.simulation import Simulation
from schemas.exchanges import EXCHANGES, decoder_of
from schemas.histories import Page, Span, refusal
from schemas.records import Product, Trade
from tests.connectors.simulator.client import (
    FEEDS,
    answer,
    desk_of,
    feed_of,
    listed,
    market_of,
    simulation,
)
from tests.connectors.simulator.test_venues import as_read, as_told, base_of, price_of

NS_PER_MS = 1_000_000


@pytest.fixture(scope="module")
def traded() -> Simulation:
    """Return exchanges that have been open for two minutes."""
    simulated = simulation(rate=1_500)
    simulated.advance(simulated.now_ms + 110_000)
    return simulated


@pytest.mark.parametrize(("exchange", "product"), FEEDS)
def test_instrument_lists_name_markets_ticks_and_contracts(
    traded: Simulation, exchange: str, product: Product
) -> None:
    found = listed(traded, exchange, product)
    desks = traded.venues[exchange].listed(product)
    assert {i.symbol for i in found} == {d.instrument.symbol for d in desks}
    for instrument in found:
        desk = desk_of(traded, exchange, instrument)
        assert instrument.is_trading
        assert instrument.turnover is not None
        if instrument.tick_size is not None:
            assert instrument.tick_size == price_of(desk, 1)
        if desk.instrument.contract is not None and exchange not in ("bitmex", "bybit"):
            assert instrument.contract_size == desk.instrument.contract


@pytest.mark.parametrize(("exchange", "product"), FEEDS)
def test_past_trades_come_whole_page_by_page(
    traded: Simulation, exchange: str, product: Product
) -> None:
    instrument = max(
        listed(traded, exchange, product), key=lambda i: len(desk_of(traded, exchange, i).tape)
    )
    desk = desk_of(traded, exchange, instrument)
    minute_ms = (traded.now_ms - 70_000) // 60_000 * 60_000
    start, end = minute_ms * NS_PER_MS, (minute_ms + 60_000) * NS_PER_MS
    span = Span(market_of(instrument), start, end, traded.now_ms * NS_PER_MS)
    read, complete_from = page_through(traded, exchange, product, span)
    venue, tape = traded.venues[exchange], desk.tape
    fills = tape.slice(tape.at_time(minute_ms), tape.at_time(minute_ms + 60_000))
    told = {as_told(desk, fill, venue.trade_id(desk, fill)) for fill in fills}
    assert told
    within = {as_read(t) for t in read if max(start, complete_from) <= t.time_ns < end}
    assert within == {trade for trade in told if int(str(trade[1])) * NS_PER_MS >= complete_from}
    history = EXCHANGES[exchange].history
    assert history.is_recent_only or complete_from <= start


def page_through(
    traded: Simulation, exchange: str, product: Product, span: Span
) -> tuple[list[Trade], int]:
    """Ask as the project's history does; return the trades and from when on they are whole."""
    for budget in traded.venues[exchange].budgets.values():
        budget.used = 0
    pager = EXCHANGES[exchange].history.pages(span)
    feed = feed_of(traded, exchange, product, span.market.native_symbol)
    read: list[Trade] = []
    request = next(pager)
    while True:
        got = answer(traded, exchange, product, request.path, request.parameters)
        assert got.status == 200, got
        assert refusal(got.body) is None, got
        trades = decoder_of(exchange).decode_trades(got.body, feed) if request.has_trades else []
        read += trades
        for budget in traded.venues[exchange].budgets.values():
            budget.used = 0  # the real pager pauses
        try:
            request = pager.send(Page(got.body, trades))
        except StopIteration as done:
            return read, int(done.value)


@pytest.mark.parametrize(("exchange", "product"), FEEDS)
def test_klines_are_the_sums_of_the_trades(
    traded: Simulation, exchange: str, product: Product
) -> None:
    source = EXCHANGES[exchange].klines
    assert source is not None
    instrument = listed(traded, exchange, product)[0]
    desk = desk_of(traded, exchange, instrument)
    minute_s = (traded.now_ms - 65_000) // 60_000 * 60
    path, query = source.request(market_of(instrument), minute_s, minute_s + 60)
    body = answer(traded, exchange, product, path, query).body
    feed = feed_of(traded, exchange, product, instrument.native_symbol)
    kline = next(
        k for k in decoder_of(exchange).decode_klines(body, feed) if k.minute_s == minute_s
    )
    tape = desk.tape
    fills = tape.slice(tape.at_time(minute_s * 1_000), tape.at_time(minute_s * 1_000 + 60_000))
    bought = [fill for fill in fills if fill[2]]
    base = [base_of(desk, fill[3], fill[4]) for fill in fills]
    assert kline.symbol == instrument.symbol
    assert kline.high == max(price_of(desk, fill[3]) for fill in fills)
    assert kline.low == min(price_of(desk, fill[3]) for fill in fills)
    assert kline.close == price_of(desk, fills[-1][3])
    is_rounded = source.conventions[product].rounds_volume
    check_sum(kline.volume, sum(base, Decimal()), is_rounded)
    check_sum(
        kline.taker_buy_volume,
        sum((base_of(desk, fill[3], fill[4]) for fill in bought), Decimal()),
        is_rounded,
    )
    assert kline.trade_count in (None, len(fills))
    if product != "inverse":
        notional = sum((price_of(desk, f[3]) * base_of(desk, f[3], f[4]) for f in fills), Decimal())
        check_sum(kline.notional, notional, is_rounded)


def check_sum(told: Decimal | None, expected: Decimal, is_rounded: bool) -> None:
    if told is None:
        return
    if is_rounded:
        assert abs(told - expected) <= Decimal("1e-4") * expected
    else:
        assert told == expected


def _path_of(exchange: str) -> tuple[str, dict[str, str]]:
    return {
        "upbit": ("/v1/market/all", {}),
        "bithumb": ("/v1/market/all", {}),
        "korbit": ("/v2/currencyPairs", {}),
        "coinone": ("/public/v2/markets/KRW", {}),
        "okx": ("/api/v5/public/instruments", {"instType": "SPOT"}),
        "bybit": ("/v5/market/instruments-info", {"category": "spot"}),
        "gateio": ("/api/v4/spot/currency_pairs", {}),
        "binance": ("/api/v3/exchangeInfo", {}),
        "kraken": ("/0/public/AssetPairs", {}),
        "bitmex": ("/api/v1/instrument/active", {}),
    }[exchange]


@pytest.fixture(scope="module")
def quiet() -> Simulation:
    return simulation(rate=1, coins=1)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_too_many_requests_are_refused_in_its_own_way(quiet: Simulation, exchange: str) -> None:
    path, query = _path_of(exchange)
    product = "inverse" if exchange == "bitmex" else "spot"
    answers = [answer(quiet, exchange, product, path, query) for _ in range(1_300)]
    assert answers[0].status == 200
    assert refusal(answers[0].body) is None
    last = answers[-1]
    assert last.status in (403, 418, 429) or refusal(last.body) is not None
    quiet.venues[exchange].now_ms += 60_000
    again = answer(quiet, exchange, product, path, query)
    assert again.status == 200
    assert refusal(again.body) is None


def test_a_refusal_on_request_ends_by_itself(quiet: Simulation) -> None:
    for status in (429, 418, 403):
        assert quiet.apply(Fault(fault="refuse", exchange="okx", status=status, ms=2_000)) == 1
        assert quiet.refusal("okx", is_upgrade=False) == (status, 2)
        assert quiet.refusal("okx", is_upgrade=True) is None
        assert quiet.refusal("bybit", is_upgrade=False) is None
        assert quiet.venues["okx"].refuse(status, 2).status == status
        quiet.advance(quiet.now_ms + 2_001)
        assert quiet.refusal("okx", is_upgrade=False) is None
