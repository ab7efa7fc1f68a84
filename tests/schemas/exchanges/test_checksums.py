from __future__ import annotations

from decimal import Decimal
from zlib import crc32

from schemas.exchanges import EXCHANGES
from schemas.exchanges.kraken.checksum import combine as kraken_checksum
from schemas.exchanges.kraken.checksum import level_text as kraken_text
from schemas.exchanges.okx.checksum import combine as okx_checksum
from schemas.exchanges.okx.checksum import level_text as okx_text

# The worked example of https://docs.kraken.com/api/docs/guides/spot-ws-book-v2.
KRAKEN_ASKS = [
    *(("45285.2", "0.00100000"), ("45286.4", "1.54571953"), ("45286.6", "1.54571109")),
    *(("45289.6", "1.54560911"), ("45290.2", "0.15890660"), ("45291.8", "1.54553491")),
    *(("45294.7", "0.04454749"), ("45296.1", "0.35380000"), ("45297.5", "0.09945542")),
    ("45299.5", "0.18772827"),
]
KRAKEN_BIDS = [
    *(("45283.5", "0.10000000"), ("45283.4", "1.54582015"), ("45282.1", "0.10000000")),
    *(("45281.0", "0.10000000"), ("45280.3", "1.54592586"), ("45279.0", "0.07990000")),
    *(("45277.6", "0.03310103"), ("45277.5", "0.30000000"), ("45277.3", "1.54602737")),
    ("45276.6", "0.15445238"),
]


def kraken_texts(levels: list[tuple[str, str]]) -> list[str]:
    return [kraken_text(Decimal(price), Decimal(size)) for price, size in levels]


def test_kraken_checksum_is_that_of_its_own_guide() -> None:
    checksum = kraken_checksum(kraken_texts(KRAKEN_BIDS), kraken_texts(KRAKEN_ASKS))
    assert checksum == 3310070434


def test_kraken_checksum_differs_once_a_trailing_zero_is_lost() -> None:
    asks = [("45285.2", "0.001"), *KRAKEN_ASKS[1:]]
    assert kraken_checksum(kraken_texts(KRAKEN_BIDS), kraken_texts(asks)) != 3310070434


def test_kraken_text_has_no_dot_no_leading_zeros_and_no_exponent() -> None:
    assert kraken_text(Decimal("0.05005"), Decimal("0.00000500")) == "5005500"
    assert kraken_text(Decimal("1E+2"), Decimal("1E-8")) == "1001"


def test_okx_text_keeps_what_was_sent() -> None:
    assert okx_text(Decimal(30210), Decimal("0.50")) == "30210:0.50"
    assert okx_text(Decimal("0.00000001"), Decimal("1E-8")) == "0.00000001:0.00000001"


def test_okx_takes_bid_and_ask_in_turn_and_the_longer_side_to_its_end() -> None:
    # The layout of the example in OKX's documentation; the CRC32 of that very text.
    joined = b"3366.1:7:3366.8:9:3366:6:3368:8"
    bids, asks = ["3366.1:7", "3366:6"], ["3366.8:9", "3368:8"]
    assert okx_checksum(bids, asks) % 2**32 == crc32(joined)
    assert okx_checksum(bids[:1], asks) % 2**32 == crc32(b"3366.1:7:3366.8:9:3368:8")
    assert okx_checksum(bids, []) % 2**32 == crc32(b"3366.1:7:3366:6")


def test_okx_checksum_is_signed() -> None:
    texts = [f"{price}:1" for price in range(40)]
    checksums = [okx_checksum([text], []) for text in texts]
    assert [checksum % 2**32 for checksum in checksums] == [crc32(t.encode()) for t in texts]
    assert min(checksums) < 0 < max(checksums)
    assert all(-(2**31) <= checksum < 2**31 for checksum in checksums)


def test_recipes_cover_the_levels_that_the_exchanges_say() -> None:
    levels = {code: of.checksum.levels for code, of in EXCHANGES.items() if of.checksum}
    assert levels == {"okx": 25, "kraken": 10}
