"""Instrument lists: real answers of the exchanges (``tests/frames/instruments``)."""

import gzip
from decimal import Decimal
from pathlib import Path

import pytest

from schemas.errors import DecodeError
from schemas.exchanges import EXCHANGES, subscriptions_of
from schemas.histories import Request
from schemas.instruments import Instrument, choose, compare, rows_of
from schemas.records import Product

BODIES = Path(__file__).parents[1] / "frames" / "instruments"


def body(name: str) -> bytes:
    return gzip.decompress((BODIES / f"{name}.json.gz").read_bytes())


def listed(
    exchange: str, product: Product, *bodies: bytes, with_turnover: bool = False
) -> dict[str, Instrument]:
    """Return the instruments by native symbol that the answers make."""
    listing = subscriptions_of(exchange).instruments(product, with_turnover)
    assert isinstance(next(listing), Request)
    with pytest.raises(StopIteration) as stop:  # noqa: PT012  # each answer is one step
        for answer in bodies:
            listing.send(answer)
    return {instrument.native_symbol: instrument for instrument in stop.value.value}


@pytest.mark.parametrize(
    ("exchange", "product", "names", "expected"),
    [
        ("upbit", "spot", ["upbit-market-all"], ("KRW-BTC", "BTC-KRW", None, None)),
        ("upbit", "spot", ["upbit-market-all"], ("BTC-ETH", "ETH-BTC", None, None)),
        ("okx", "spot", ["okx-instruments-spot"], ("BTC-USDT", "BTC-USDT", "0.1", None)),
        (
            "okx",
            "linear",
            ["okx-instruments-swap", "okx-instruments-futures"],
            ("ETH-USDT-SWAP", "ETH-USDT-PERP", "0.01", "0.1"),
        ),
        (
            "okx",
            "inverse",
            ["okx-instruments-swap", "okx-instruments-futures"],
            ("BTC-USD-SWAP", "BTC-USD-PERP", "0.1", "100"),
        ),
        (
            "okx",
            "inverse",
            ["okx-instruments-swap", "okx-instruments-futures"],
            ("BTC-USD-220520", "BTC-USD-220520", "0.1", "100"),
        ),
        ("bybit", "spot", ["bybit-instruments-spot"], ("BTCUSDT", "BTC-USDT", "0.1", None)),
        (
            "bybit",
            "linear",
            ["bybit-instruments-linear"],
            ("BTCUSDT", "BTC-USDT-PERP", "0.1", None),
        ),
        ("gateio", "spot", ["gateio-spot-currency-pairs"], ("IHT_ETH", "IHT-ETH", "1e-9", None)),
        (
            "gateio",
            "linear",
            ["gateio-futures-contracts"],
            ("BTC_USDT", "BTC-USDT-PERP", "0.1", "0.0001"),
        ),
        (
            "binance",
            "spot",
            ["binance-spot-exchange-info"],
            ("ETHBTC", "ETH-BTC", "0.000001", None),
        ),
        (
            "binance",
            "linear",
            ["binance-linear-exchange-info"],
            ("BTCUSDT", "BTC-USDT-PERP", "0.01", None),
        ),
        (
            "binance",
            "inverse",
            ["binance-inverse-exchange-info"],
            ("BTCUSD_PERP", "BTC-USD-PERP", "0.1", "100"),
        ),
        ("kraken", "spot", ["kraken-asset-pairs"], ("BTC/USD", "BTC-USD", "0.1", None)),
    ],
)
def test_a_market_is_read_from_the_list(
    exchange: str,
    product: Product,
    names: list[str],
    expected: tuple[str, str, str | None, str | None],
) -> None:
    native, symbol, tick, size = expected
    found = listed(exchange, product, *map(body, names))[native]
    assert found.symbol == symbol
    assert found.is_trading
    assert found.tick_size == (None if tick is None else Decimal(tick))
    assert found.contract_size == (None if size is None else Decimal(size))


def test_listed_symbols_are_those_that_histories_ask_for() -> None:
    for exchange, product, names in (
        ("okx", "linear", ["okx-instruments-swap", "okx-instruments-futures"]),
        ("bybit", "linear", ["bybit-instruments-linear"]),
        ("gateio", "spot", ["gateio-spot-currency-pairs"]),
        ("binance", "spot", ["binance-spot-exchange-info"]),
        ("upbit", "spot", ["upbit-market-all"]),
    ):
        found = listed(exchange, product, *map(body, names))  # type: ignore[arg-type]
        symbol = next(
            s
            for s in ("BTC-USDT-PERP", "BTC-USDT", "BTC-KRW")
            if any(i.symbol == s for i in found.values())
        )
        market = EXCHANGES[exchange].market(symbol)
        assert found[market.native_symbol].symbol == symbol


def test_a_list_of_several_pages_is_read_to_its_end() -> None:
    page = b'{"result":{"list":[{"symbol":"%sUSDT","baseCoin":"%s","quoteCoin":"USDT",'
    page += b'"contractType":"LinearPerpetual","status":"Trading"}],"nextPageCursor":"%s"}}'
    found = listed("bybit", "linear", page % (b"BTC", b"BTC", b"p2"), page % (b"ETH", b"ETH", b""))
    assert {i.symbol for i in found.values()} == {"BTC-USDT-PERP", "ETH-USDT-PERP"}


def test_turnover_is_asked_for_only_when_needed() -> None:
    markets = b'[{"market":"KRW-BTC"},{"market":"KRW-ETH"}]'
    tickers = b'[{"market":"KRW-ETH","acc_trade_price_24h":1.5E9}]'
    found = listed("upbit", "spot", markets, tickers, with_turnover=True)
    assert found["KRW-ETH"].turnover == Decimal("1.5E9")
    assert found["KRW-BTC"].turnover is None


def test_bitmex_lists_swaps_by_what_they_are_margined_in() -> None:
    answer = (
        b'[{"symbol":"XBTUSD","underlying":"XBT","quoteCurrency":"USD","typ":"FFWCSX",'
        b'"state":"Open","tickSize":0.1,"foreignNotional24h":100,"expiry":null},'
        b'{"symbol":"ETHUSDT","underlying":"ETH","quoteCurrency":"USDT","typ":"FFWCSX",'
        b'"state":"Open","tickSize":0.01},'
        b'{"symbol":"XBTH27","underlying":"XBT","quoteCurrency":"USD","typ":"FFCCSX",'
        b'"state":"Open","tickSize":0.5,"expiry":"2027-03-26T12:00:00.000Z"},'
        b'{"symbol":".BXBT","underlying":"XBT","quoteCurrency":"USD","typ":"MRCXXX"}]'
    )
    inverse = listed("bitmex", "inverse", answer)
    assert {name: i.symbol for name, i in inverse.items()} == {
        "XBTUSD": "BTC-USD-PERP",
        "XBTH27": "BTC-USD-270326",
    }
    assert [i.symbol for i in listed("bitmex", "linear", answer).values()] == ["ETH-USDT-PERP"]


def make(symbol: str, **fields: object) -> Instrument:
    return Instrument(product="spot", native_symbol=symbol, symbol=symbol, **fields)  # type: ignore[arg-type]


def test_wanted_symbols_that_are_not_listed_are_told() -> None:
    found = choose([make("A-USDT"), make("B-USDT", status="halted")], ["A-USDT", "B-USDT"], "USDT")
    assert [i.symbol for i in found.instruments] == ["A-USDT"]
    assert found.missing == ["B-USDT"]


def test_top_is_by_turnover_in_the_quote_currency() -> None:
    instruments = [
        make("A-USDT", turnover=Decimal(1)),
        make("B-USDT", turnover=Decimal(3)),
        make("C-BTC", turnover=Decimal(9)),
        make("D-USDT"),
    ]
    assert [i.symbol for i in choose(instruments, 2, "USDT").instruments] == ["B-USDT", "A-USDT"]
    assert len(choose(instruments, "all", "USDT").instruments) == 4


def test_a_changed_contract_size_is_found() -> None:
    before = [make("A", contract_size=Decimal(1)), make("B")]
    after = [make("A", contract_size=Decimal(10)), make("C")]
    change = compare(before, after)
    assert [i.symbol for i in change.listed] == ["C"]
    assert [i.symbol for i in change.delisted] == ["B"]
    assert change.resized == [(before[0], after[0])]


@pytest.mark.parametrize("junk", [b"", b"{}", b"[", b'{"data":1}', b"\xff"])
def test_an_answer_of_another_form_is_refused(junk: bytes) -> None:
    with pytest.raises(DecodeError, match="expected"):
        rows_of(junk, "data")
