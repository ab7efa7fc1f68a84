"""Pagers against what the exchanges' documents say of pages: every trade of a span."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SettingsError
from schemas.exchanges import EXCHANGES, decoder_of
from schemas.feeds import Feed
from schemas.histories import SPAN_NS, Page, Span, refusal
from schemas.times import NS_PER_MINUTE, NS_PER_MS
from tests.histories import Past, PastTrade
from tests.schemas.exchanges.frames import lines

DAY = 20_000  # 2024-10-04
NOW_MS = (DAY + 2) * 86_400_000 + 5_000_000
SYMBOLS = {"upbit": "BTC-KRW", "bithumb": "BTC-KRW", "korbit": "BTC-KRW", "coinone": "BTC-KRW",
           "kraken": "BTC-USD", "bitmex": "BTC-USD-PERP"}  # fmt: skip


# A row of size zero is no trade, and does not end a page.
SIZES = [Decimal("0.5")] * 6 + [Decimal(0)]


def asked_as(exchange: str, native_symbol: str) -> str:
    return native_symbol.replace("/", "") if exchange == "kraken" else native_symbol


def drive(exchange: str, past: Past, span: Span) -> tuple[dict[int | str, int], int]:
    """The ids and times of the span's trades, and from when on they are whole."""
    decoder = decoder_of(exchange)
    native = span.market.native_symbol
    sizes = {native: Decimal("0.01")}
    feed = Feed(exchange, span.market.product, native, None, "USDT", span.trade_ids, sizes)
    pager = EXCHANGES[exchange].history.pages(span)
    found: dict[int | str, int] = {}
    try:
        request = next(pager)
        for _ in range(2_000):
            body = past.answer(request.path, request.parameters)
            assert refusal(body) is None
            trades = decoder.decode_trades(body, feed) if request.has_trades else []
            found |= {t.trade_id: t.time_ns for t in trades}
            request = pager.send(Page(body, trades))
    except StopIteration as stop:
        whole = {k: t for k, t in found.items() if span.start_ns <= t < span.end_ns}
        return whole, stop.value
    raise AssertionError("it does not end")


def times(counts: list[int]) -> list[int]:
    """Bursts: so many trades in one millisecond, each 20 s after the one before."""
    start_ms = (DAY + 1) * 86_400_000 - 1_800_000
    return [start_ms + 20_000 * at for at, count in enumerate(counts) for _ in range(count)]


@pytest.mark.parametrize(
    ("exchange", "symbol"),
    [
        *((exchange, SYMBOLS.get(exchange, "BTC-USDT")) for exchange in EXCHANGES),
        ("gateio", "BTC-USDT-PERP"),
    ],
)
@given(
    counts=st.lists(st.sampled_from([0, 1, 3, 40, 120, 700]), min_size=1, max_size=180),
    span_at=st.integers(0, 5),
)
def test_a_pager_gets_every_trade_of_its_span(
    exchange: str, symbol: str, counts: list[int], span_at: int
) -> None:
    stamps = times(counts)
    trades = [
        PastTrade(10_000 + at, time_ms, Decimal("5.25"), SIZES[at % 7], at % 2 == 0)
        for at, time_ms in enumerate(stamps)
    ]
    market = EXCHANGES[exchange].market(symbol)
    past = Past(exchange, {asked_as(exchange, market.native_symbol): trades}, NOW_MS)
    start_ns = ((DAY + 1) * 86_400_000 - 1_800_000) * NS_PER_MS + span_at * SPAN_NS
    span = Span(market, start_ns, start_ns + SPAN_NS, NOW_MS * NS_PER_MS)

    found, complete_from_ns = drive(exchange, past, span)

    from_ns = max(start_ns, complete_from_ns)
    expected = [
        t.time_ms for t in trades if t.size and from_ns <= t.time_ms * NS_PER_MS < span.end_ns
    ]
    assert sorted(t // NS_PER_MS for t in found.values() if t >= from_ns) == expected
    assert complete_from_ns % NS_PER_MINUTE == 0
    if exchange not in ("bybit", "korbit", "coinone", "okx"):
        assert complete_from_ns == start_ns


def test_aggregated_trades_of_a_day_are_asked_for_by_id() -> None:
    day_ms = DAY * 86_400_000
    trades = [PastTrade(at, day_ms + 9_000_000 + at, Decimal(1), Decimal(1), taker_buys=True)
              for at in range(1_500)]  # fmt: skip
    market = EXCHANGES["binance"].market("BTC-USDT-PERP")
    span = Span(market, day_ms * NS_PER_MS, (day_ms + 86_400_000) * NS_PER_MS, 0, "aggTrade")

    found, _ = drive("binance", Past("binance", {"BTCUSDT": trades}), span)

    assert sorted(found) == list(range(1_500))


def test_a_page_with_a_row_that_is_no_trade_is_not_the_last() -> None:
    pager = EXCHANGES["gateio"].history.pages(
        Span(EXCHANGES["gateio"].market("BTC-USD-PERP"), 0, SPAN_NS, NOW_MS * NS_PER_MS)
    )
    first = next(pager)

    second = pager.send(Page(b"[" + b",".join([b"{}"] * 1_000) + b"]", []))

    assert first.path == "/api/v4/futures/btc/trades"
    assert (second.parameters["contract"], second.parameters["offset"]) == ("BTC_USD", 1_000)


def test_an_exchange_with_one_page_says_from_when_on_it_is_whole() -> None:
    trades = [PastTrade(at, 1_000 * at, Decimal(1), Decimal(1), taker_buys=True)
              for at in range(1_728_000_000, 1_728_000_900)]  # fmt: skip
    market = EXCHANGES["coinone"].market("BTC-KRW")
    past = Past("coinone", {"KRW/BTC": trades})

    found, complete_from_ns = drive(
        "coinone", past, Span(market, 0, 1_728_000_900 * 10**9, 1_728_001_000 * 10**9)
    )

    assert len(found) == 200
    assert complete_from_ns == 1_728_000_720 * 10**9  # 700 s, and the minute that this cuts


@pytest.mark.parametrize(
    ("exchange", "symbol", "native", "product"),
    [
        ("binance", "BTC-USDT", "BTCUSDT", "spot"),
        ("binance", "BTC-USDT-PERP", "BTCUSDT", "linear"),
        ("binance", "BTC-USD-PERP", "BTCUSD_PERP", "inverse"),
        ("kraken", "DOGE-USD", "XDG/USD", "spot"),
        ("bitmex", "BTC-USD-PERP", "XBTUSD", "inverse"),
        ("okx", "ETH-USDT-PERP", "ETH-USDT-SWAP", "linear"),
        ("okx", "BTC-USDUM-PERP", "BTC-USD_UM-SWAP", "linear"),
        ("gateio", "BTC-USD-PERP", "BTC_USD", "inverse"),
        ("upbit", "BTC-KRW", "KRW-BTC", "spot"),
        ("korbit", "BTC-KRW", "btc_krw", "spot"),
    ],
)
def test_a_market_has_its_exchange_s_own_name(
    exchange: str, symbol: str, native: str, product: str
) -> None:
    market = EXCHANGES[exchange].market(symbol)

    assert (market.native_symbol, market.product) == (native, product)


@pytest.mark.parametrize("symbol", ["BTC", "", "BTC-KRW-PERP", "BTC-KRW-241227", "-KRW"])
def test_a_symbol_that_cannot_be_asked_for_is_refused(symbol: str) -> None:
    with pytest.raises(SettingsError, match="expected BASE-QUOTE"):
        EXCHANGES["upbit"].market(symbol)


def test_what_no_exchange_keeps_so_long_is_refused() -> None:
    span = Span(EXCHANGES["upbit"].market("BTC-KRW"), 0, SPAN_NS, NOW_MS * NS_PER_MS)

    with pytest.raises(SettingsError, match="goes 7 days back"):
        next(EXCHANGES["upbit"].history.pages(span))


@pytest.mark.parametrize(
    "body",
    [
        lines("rest/binance-futures-error.json")[0],
        b'{"error":["EQuery:Unknown asset pair"]}',
        b'{"retCode":10001,"retMsg":"params error","result":{},"time":1}',
        b'{"code":"51001","msg":"Instrument ID does not exist","data":[]}',
        b'{"success":false,"error":{"message":"BAD_REQUEST"}}',
        b'{"result":"error","error_code":"108","error_msg":"Unknown CryptoCurrency"}',
        b"{",
    ],
)
def test_a_refusal_with_status_200_is_not_taken_for_an_empty_page(body: bytes) -> None:
    assert refusal(body) is not None


@pytest.mark.parametrize(
    "name",
    ["binance-spot-trades", "bitmex-trades", "bybit-v5-trades", "korbit-trades", "kraken-trades",
     "okx-trades", "upbit-trades"],
)  # fmt: skip
def test_a_recorded_page_is_no_refusal(name: str) -> None:
    assert refusal(b"\n".join(lines(f"rest/{name}.json"))) is None
