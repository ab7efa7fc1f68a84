from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from schemas.envelope import decode_envelope, is_envelope
from schemas.errors import DecodeError
from schemas.exchanges import EXCHANGES
from tests.schemas.exchanges.frames import broken, lines

FRAMES = Path(__file__).parents[1] / "frames"
(RECORDED,) = lines("kafka-envelope-korea-ticker.jsonl")


def envelope(*data: Any, market: str = "UPBIT") -> bytes:
    return json.dumps({"region": "korea", "market": market, "symbol": "BTC", "data": data}).encode()


MIXED = envelope('{"a": 1}', None, "null", "{}", '{"processed":"skip"}', "[0,{}]", market="OKX")


def test_the_recorded_envelope_holds_a_flattened_ticker() -> None:
    assert is_envelope(RECORDED)
    unwrapped = decode_envelope(RECORDED)
    assert (unwrapped.region, unwrapped.market, unwrapped.symbol) == ("korea", "upbit", "BTC")
    assert unwrapped.skipped == 0
    (item,) = unwrapped.items
    assert item.startswith(b'{"opening_price": 97103000, "high_price": 97650000')
    assert item.endswith(b'"timestamp": 1730618524102}')


def test_stubs_are_left_out_and_counted() -> None:
    unwrapped = decode_envelope(MIXED)
    assert unwrapped.items == [b'{"a": 1}', b"[0,{}]"]
    assert unwrapped.skipped == 4


@pytest.mark.parametrize(
    "stub",
    [None, "null", " null ", "{}", "{ }", {}, '{"processed":"skip"}', '{"processed": "skip"}'],
)
def test_a_stub_in_any_spelling_is_skipped(stub: Any) -> None:
    unwrapped = decode_envelope(envelope(stub))
    assert (unwrapped.items, unwrapped.skipped) == ([], 1)


@pytest.mark.parametrize("item", ['{"processed":"no"}', '{"skip":1}', "[]", '""', ""])
def test_what_only_resembles_a_stub_is_a_message(item: str) -> None:
    unwrapped = decode_envelope(envelope(item))
    assert (unwrapped.items, unwrapped.skipped) == ([item.encode()], 0)


def test_a_message_that_is_json_instead_of_text_stands_for_itself() -> None:
    assert decode_envelope(envelope({"a": "1"})).items == [b'{"a": "1"}']


def test_text_is_unescaped_to_utf8() -> None:
    assert decode_envelope(envelope('{"name":"비트코인 \U0001f680"}')).items == [
        '{"name":"비트코인 \U0001f680"}'.encode()
    ]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_markets_are_exchange_ids_but_for_their_case(exchange: str) -> None:
    for market in (exchange, exchange.upper(), exchange.title()):
        assert decode_envelope(envelope("[]", market=market)).market == exchange


def test_an_unknown_market_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DecodeError, match=r"'MTGOX': expected one of upbit, .*, bitmex$"):
        decode_envelope(envelope("[]", market="MTGOX"))


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b"", "truncated"),
        (b"[]", "`object`"),
        (envelope(1), "`$.data[0]`"),
        (envelope("{}", 1.5), "`$.data[1]`"),
        (b'{"region":"korea","market":"UPBIT","symbol":"BTC"}', "`data`"),
        (b'{"region":"korea","market":"UPBIT","symbol":"BTC","data":"x"}', "`$.data`"),
        (b'{"region":null,"market":"UPBIT","symbol":"BTC","data":[]}', "`$.region`"),
        (b'{"market":"UPBIT","symbol":"BTC","data":[]}', "`region`"),
        (b'{"region":"korea","market":"\xff","symbol":"BTC","data":[]}', "utf-8"),
        (b'{"region":"korea","market":"UPBIT","symbol":"BTC","data":["\\ud800"]}', "truncated"),
        (b'{"region":"korea","market":"UPBIT","symbol":"BTC","data":' + b"[" * 9999, "envelope"),
    ],
)
def test_a_malformed_envelope_is_refused(value: bytes, named: str) -> None:
    with pytest.raises(DecodeError, match="envelope: ") as caught:
        decode_envelope(value)
    assert named in str(caught.value)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    "value",
    [
        b'{"region":"korea","market":"UPBIT","symbol":"BTC","data":[]}',
        b' { "region" : "korea"}',
        b'{\n  "market": "UPBIT", "region": "korea"}',
        b'{"data": ["x"], "symbol": "BTC", "market": "UPBIT", "region": "korea"}',
    ],
)
def test_an_envelope_is_recognised_in_any_order_of_keys(value: bytes) -> None:
    assert is_envelope(value)


def test_no_frame_of_an_exchange_is_taken_for_an_envelope() -> None:
    names = [path.name for path in FRAMES.glob("*.jsonl") if not path.name.startswith("kafka-")]
    names += [f"rest/{path.name}" for path in FRAMES.glob("rest/*.json")]
    assert len(names) > 60
    assert [name for name in names for frame in lines(name) if is_envelope(frame)] == []
    assert not any(is_envelope(text) for text in (b"", b"pong", b"null", b'{"symbol":"btc_krw"}'))


@given(value=broken([RECORDED, MIXED]))
def test_nothing_but_decode_errors_comes_out_of_broken_envelopes(value: bytes) -> None:
    is_envelope(value)
    with suppress(DecodeError):
        decode_envelope(value)
