"""Whose record it is: the envelope's market, else the key, else the owner of the partition."""

from pathlib import Path

import pytest

from schemas.errors import DecodeError
from schemas.raw import RawRecords, first_logged_ns, logged_at_ns, received_at_ns
from schemas.settings import parse_settings
from tests.raw_record import RawRecord

SETTINGS = parse_settings((Path(__file__).parents[2] / "pipeline.yaml").read_bytes(), "")
ENVELOPE = b'{"region": "KOREA", "market": "upbit", "symbol": "BTC", "data": ["{}", "[1]", "null"]}'


@pytest.fixture
def records() -> RawRecords:
    return RawRecords(SETTINGS, "NE", 0)


@pytest.mark.parametrize(
    ("key", "exchange", "product", "native_symbol"),
    [
        (None, "binance", "spot", None),
        (b"", "binance", "spot", None),
        (b"kraken", "kraken", "spot", None),
        (b"binance.linear", "binance", "linear", None),
        (b"binance.linear.BTCUSDT", "binance", "linear", "BTCUSDT"),
        (b"kraken.spot.XRP/RLUSD.x", "kraken", "spot", "XRP/RLUSD.x"),
        (b"bitmex", "bitmex", "inverse", None),
        (b'"UPBIT:ticker-BTC"', "upbit", "spot", None),
        (b"some collector's own key", "binance", "spot", None),
    ],
)
def test_the_key_names_the_feed_else_the_partition_does(
    records: RawRecords, key: bytes | None, exchange: str, product: str, native_symbol: str | None
) -> None:
    feed, _ = records.feed(key)

    assert (feed.exchange, feed.product, feed.native_symbol) == (exchange, product, native_symbol)


@pytest.mark.parametrize("key", [b"nobody.linear", b"binance.future", b"binance.future.BTCUSDT"])
def test_a_feed_that_does_not_exist_is_refused_with_what_does(
    records: RawRecords, key: bytes
) -> None:
    with pytest.raises(DecodeError, match="expected <exchange>"):
        records.feed(key)


def test_a_partition_of_nobody_needs_a_key() -> None:
    with pytest.raises(DecodeError, match="gives the partition to none"):
        RawRecords(SETTINGS, "NE", 7).feed(None)


def test_an_envelope_says_itself_whose_it_is(records: RawRecords) -> None:
    envelope = records.unwrap(b"binance", ENVELOPE)

    assert envelope is not None
    assert (envelope.feed.exchange, envelope.feed.coin, envelope.feed.quote) == (
        "upbit",
        "BTC",
        "KRW",
    )
    assert envelope.frames == [b"[1]"]
    assert envelope.skipped == 2


def test_a_frame_is_no_envelope(records: RawRecords) -> None:
    assert records.unwrap(None, b'{"e":"trade","s":"BTCUSDT"}') is None


def test_a_flood_of_keys_does_not_fill_the_memory(
    records: RawRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schemas.raw.FEEDS_REMEMBERED", 10)

    for number in range(1_000):
        records.feed(b"binance.linear.%d" % number)

    assert len(records._feeds) <= 10  # noqa: SLF001  # there is no other way to look


def test_a_record_was_received_when_its_collector_says_else_when_kafka_stamped_it() -> None:
    said = [("received_at", b"1729678800123456789")]

    assert received_at_ns(RawRecord(0, b"k", b"v", said, 5)) == 1_729_678_800_123_456_789
    assert received_at_ns(RawRecord(0, b"k", b"v", None, 1_729_678_800_123)) == (
        1_729_678_800_123_000_000
    )
    assert received_at_ns(RawRecord(0, b"k", b"v")) is None
    assert received_at_ns(RawRecord(0, b"k", b"v", [("received_at", b"soon")], 5)) is None


def test_a_record_was_logged_when_kafka_stamped_it_if_that_can_be_true() -> None:
    stamped, odd, bare = (RawRecord(0, b"k", b"v", None, ms) for ms in (1_729_678_800_123, 7, None))

    assert logged_at_ns(stamped, 5) == 1_729_678_800_123_000_000
    assert (logged_at_ns(odd, 5), logged_at_ns(bare, 5)) == (5, 5)
    assert first_logged_ns([stamped, stamped], 5) == 1_729_678_800_123_000_000
    assert first_logged_ns([stamped, odd], 9) == 9
