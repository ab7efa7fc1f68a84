"""pipeline.yaml: what ships is the contract's, and each mistake is refused with its place."""

from pathlib import Path

import pytest

from schemas.errors import SettingsError
from schemas.settings import Settings, Top, parse_settings

SHIPPED = (Path(__file__).parents[2] / "pipeline.yaml").read_text()


@pytest.fixture(scope="module")
def settings() -> Settings:
    return parse_settings(SHIPPED.encode(), "pipeline.yaml")


@pytest.mark.parametrize(
    ("region", "prefix", "ticker", "orderbook", "trade"),
    [("Korea", "kora", 4, 4, 4), ("Asia", "asia", 3, 3, 3), ("NE", "ne", 2, 2, 3)],
)
def test_topics_groups_and_partitions_are_those_of_the_contract(
    settings: Settings, region: str, prefix: str, ticker: int, orderbook: int, trade: int
) -> None:
    found = settings.regions[region]
    assert found.topics.ticker == f"{prefix}SocketDataIn-ticker"
    assert found.topics.orderbook == f"{prefix}SocketDataIn-Orderbook"
    assert found.topics.trade == f"{prefix}SocketDataIn-trade"
    assert found.processed.ticker == f"Region.{region}_TickerPreprocessing"
    assert found.processed.orderbook == f"Region.{region}_OrderbookPreprocessing"
    assert found.processed.taker_volume == f"Region.{region}_TakerVolumePreprocessing"
    assert found.groups.ticker == f"Ticker_group_id_{region}"
    assert found.groups.orderbook == f"Orderbook_group_id_{region}"
    assert found.groups.trade == f"Trade_group_id_{region}"
    counts = found.partitions
    assert (counts.ticker, counts.orderbook, counts.trade) == (ticker, orderbook, trade)


@pytest.mark.parametrize(
    ("exchange", "market", "region", "partition", "primary_symbol"),
    [
        ("upbit", "Upbit", "Korea", 0, "BTC-KRW"),
        ("bithumb", "Bithumb", "Korea", 1, "BTC-KRW"),
        ("korbit", "Korbit", "Korea", 2, "BTC-KRW"),
        ("coinone", "Coinone", "Korea", 3, "BTC-KRW"),
        ("okx", "OKX", "Asia", 0, "BTC-USDT"),
        ("bybit", "Bybit", "Asia", 1, "BTC-USD-PERP"),
        ("gateio", "Gateio", "Asia", 2, "BTC-USDT"),
        ("binance", "Binance", "NE", 0, "BTC-USDT-PERP"),
        ("kraken", "Kraken", "NE", 1, "BTC-USD"),
        ("bitmex", "BitMEX", "NE", 2, "BTC-USD-PERP"),
    ],
)
def test_exchanges_are_those_of_the_contract(
    settings: Settings,
    exchange: str,
    market: str,
    region: str,
    partition: int,
    primary_symbol: str,
) -> None:
    found = settings.exchanges[exchange]
    assert (found.market, found.region, found.partitions) == (market, region, (partition,))
    assert found.primary_symbol == primary_symbol
    assert settings.owner(region, partition) == exchange


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("market: OKX", "markt: OKX", ["unknown field `markt`", "market", "$.exchanges.okx"]),
        ("lateness_ms: 10_000", "late: 1", ["unknown field `late`", "$.taker_volume"]),
        ("\ntaker_volume:", "\nvolume:", ["unknown field `volume`", "taker_volume", "`$`"]),
        ("lateness_ms: 10_000", "lateness_ms: soon", ["`int`", "`str`", "lateness_ms"]),
        ("lateness_ms: 10_000", "lateness_ms: 0", [">= 1", "$.taker_volume.lateness_ms"]),
        ("horizon_ms: 3_600_000", "horizon_ms: 5", ["at least lateness_ms (10000)", "horizon_ms"]),
        ("{ticker: 4,", "{ticker: 3,", ["3 partitions", "4 exchanges", "Korea.partitions.ticker"]),
        ("  upbit:", "  upbits:", ["unknown exchange `upbits`", "expected one of upbit", "bitmex"]),
        ("region: NE", "region: Mars", ["unknown region `Mars`", "Korea, Asia, NE", "binance"]),
        ("[1]\n    quote: KRW", "[0]\n    quote: KRW", ["0 belongs to upbit already", "bithumb"]),
        (
            "[1]\n    quote: KRW",
            "[9]\n    quote: KRW",
            ["partition 9", "below 4", "bithumb.partitions"],
        ),
        ("asiaSocketDataIn-trade", "neSocketDataIn-trade", ["`neSocketDataIn-trade`", "already"]),
        ("Trade_group_id_NE", "a group", ["regex", "$.regions.NE.groups.trade"]),
        ("spot: trade,", "spot: trades,", ["'trades'", "$.exchanges.binance.trade_ids"]),
        ('BTC-USD: "100"', 'BTC-USD: "x"', ["decimal", "$.exchanges.okx.contract_sizes"]),
        ('BTC-USD: "100"', 'BTC-USD: "0"', ["positive", "okx.contract_sizes.BTC-USD"]),
        (
            "spot: wss://api.upbit",
            "spot: https://api.upbit",
            ["regex", "$.exchanges.upbit.urls.ws"],
        ),
        (
            "ws: {spot: wss://api.up",
            "ws: {linear: wss://api.up",
            ["product `linear`", "expected one of spot", "$.exchanges.upbit.urls.ws"],
        ),
        ("    urls:", "    url:", ["unknown field `url`", "urls", "$.exchanges.upbit"]),
        (
            "symbols: {spot: [BTC-KRW,",
            "symbols: {spot: [BTC/KRW,",
            ["regex", "$.exchanges.upbit.symbols"],
        ),
        (
            "symbols: {spot: [BTC-KRW, ETH-KRW, XRP-KRW]}",
            "symbols: {spot: every}",
            ["every", "$.exchanges.upbit.symbols"],
        ),
        (
            "symbols: {spot: [BTC-KRW, ETH-KRW, XRP-KRW]}",
            "symbols: {spot: {top: 0}}",
            [">= 1", "$.exchanges.upbit.symbols"],
        ),
        (
            "primary_symbol: BTC-KRW",
            "primary_symbol: BTC-KRW\n    collect: sockets",
            ["sockets", "$.exchanges.upbit.collect"],
        ),
        ("regions:", "regions: [", ["not YAML"]),
    ],
)
def test_a_mistake_is_refused_with_file_key_and_what_was_expected(
    right: str, wrong: str, said: list[str]
) -> None:
    assert right in SHIPPED

    with pytest.raises(SettingsError) as refused:
        parse_settings(SHIPPED.replace(right, wrong, 1).encode(), "my.yaml")

    message = str(refused.value)
    assert message.startswith("my.yaml: ")
    assert [word for word in said if word not in message] == [], message


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"7", b"\xff"])
def test_what_is_no_settings_at_all_is_refused(text: bytes) -> None:
    with pytest.raises(SettingsError, match=r"my\.yaml: "):
        parse_settings(text, "my.yaml")


def test_older_spellings_of_topics_can_be_set() -> None:
    older = SHIPPED.replace("koraSocketDataIn-Orderbook", "koreaSocketDataIn-orderbook")

    settings = parse_settings(older.encode(), "pipeline.yaml")

    assert settings.regions["Korea"].topics.orderbook == "koreaSocketDataIn-orderbook"


def test_symbols_are_a_list_all_or_the_largest_ones() -> None:
    text = SHIPPED.replace("[BTC-KRW, ETH-KRW, XRP-KRW]", "all", 1)
    text = text.replace("[BTC-KRW, ETH-KRW, XRP-KRW]", "{top: 20}", 1)

    found = parse_settings(text.encode(), "pipeline.yaml").exchanges

    assert found["upbit"].symbols == {"spot": "all"}
    assert found["bithumb"].symbols == {"spot": Top(20)}
    assert found["korbit"].symbols == {"spot": ("BTC-KRW", "ETH-KRW", "XRP-KRW")}
    assert found["upbit"].collect == "websocket"


def collecting(value: str) -> bytes:
    head = "    market: Upbit\n"
    text = (Path(__file__).parents[2] / "pipeline.yaml").read_text()
    return text.replace(head, f"{head}    collect: {value}\n").encode()


def test_a_bare_off_of_yaml_collects_nothing() -> None:
    settings = parse_settings(collecting("off"), "pipeline.yaml")
    assert not settings.exchanges["upbit"].is_collected
    assert settings.exchanges["bithumb"].is_collected


def test_collect_true_is_refused() -> None:
    with pytest.raises(SettingsError, match="expected websocket, rest, both or off"):
        parse_settings(collecting("on"), "pipeline.yaml")
