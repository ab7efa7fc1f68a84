"""Frames have the shape of the recorded ones: keys, their order, types, and how numbers look.

The project's decoders and the simulator could share a mistake; the recorded frames do not.
"""

import json
import re
from typing import Any, NamedTuple

import pytest

from connectors.simulator.simulation import Simulation
from schemas.records import Product
from tests.connectors.simulator.client import Client, simulation, subscribed
from tests.schemas.exchanges.frames import lines

COINONE = (
    b'{"request_type":"SUBSCRIBE","channel":"%b","topic":{"quote_currency":"KRW",'
    b'"target_currency":"BTC"},"format":"%b"}'
)
UPBIT = b'[{"ticket":"x"},{"type":"%b","codes":["KRW-BTC"]},{"format":"%b"}]'


class Case(NamedTuple):
    """Which frames to compare with which recorded line."""

    exchange: str
    product: Product
    kind: str
    file: str
    line: int
    """Of the file, from 0."""
    marks: bytes = b""
    """What the simulated frame has to hold."""
    message: bytes = b""
    """How to subscribe, where the project does it otherwise."""
    path: str = ""
    new: str = ""
    """Keys that exchanges have added since the recording, by their documents."""
    gone: str = ""
    """Keys of the recording that are not sent any more, or not by every frame."""


BEST = "best_ask_price best_ask_size best_bid_price best_bid_size"
CASES = [
    Case("upbit", "spot", "trade", "upbit-trade.jsonl", 13, b"", b"", "", BEST),
    Case("upbit", "spot", "trade", "upbit-trade.jsonl", 0, b'"ty"', UPBIT % (b"trade", b"SIMPLE"),
         "", "bap bas bbp bbs"),
    Case("upbit", "spot", "ticker", "upbit-ticker.jsonl", 0),
    Case("upbit", "spot", "orderbook", "upbit-orderbook.jsonl", 9),
    Case("upbit", "spot", "orderbook", "upbit-orderbook.jsonl", 11, b'"ty"',
         UPBIT % (b"orderbook", b"SIMPLE")),
    Case("bithumb", "spot", "trade", "bithumb-trade.jsonl", 1, b"", b"", "",
         "prev_closing_price change change_price"),
    Case("bithumb", "spot", "ticker", "bithumb-ticker.jsonl", 6),
    Case("bithumb", "spot", "ticker", "bithumb-ticker.jsonl", 5, b'"ty"',
         UPBIT % (b"ticker", b"SIMPLE")),
    Case("bithumb", "spot", "orderbook", "bithumb-orderbook.jsonl", 1),
    Case("korbit", "spot", "trade", "korbit-trade.jsonl", 1, b"snapshot"),
    Case("korbit", "spot", "ticker", "korbit-ticker.jsonl", 2),
    Case("korbit", "spot", "ticker", "korbit-ticker.jsonl", 4, b"snapshot"),
    Case("korbit", "spot", "orderbook", "korbit-orderbook.jsonl", 2),
    Case("coinone", "spot", "trade", "coinone-trade.jsonl", 3),
    Case("coinone", "spot", "trade", "coinone-trade.jsonl", 1, b'"c":"TRADE"',
         COINONE % (b"TRADE", b"SHORT")),
    Case("coinone", "spot", "ticker", "coinone-ticker.jsonl", 0),
    Case("coinone", "spot", "orderbook", "coinone-orderbook.jsonl", 2),
    Case("coinone", "spot", "orderbook", "coinone-orderbook.jsonl", 4, b'"c":"ORDERBOOK"',
         COINONE % (b"ORDERBOOK", b"SHORT")),
    Case("okx", "spot", "trade", "okx-trade.jsonl", 17, b'"channel":"trades"',
         b'{"op":"subscribe","args":[{"channel":"trades","instId":"BTC-USDT"}]}',
         "/ws/v5/public"),
    Case("okx", "spot", "trade", "okx-trade.jsonl", 18, b'"channel":"trades-all"',
         b'{"op":"subscribe","args":[{"channel":"trades-all","instId":"BTC-USDT"}]}',
         "/ws/v5/business", "source"),
    Case("okx", "spot", "ticker", "okx-ticker.jsonl", 9),
    Case("okx", "linear", "ticker", "okx-ticker.jsonl", 11),
    Case("okx", "spot", "orderbook", "okx-orderbook-docs.jsonl", 1, b'"update"'),
    Case("bybit", "spot", "trade", "bybit-trade.jsonl", 5),
    Case("bybit", "linear", "trade", "bybit-trade.jsonl", 4, b"", b"", "", "RPI"),
    Case("bybit", "spot", "ticker", "bybit-ticker-spot.jsonl", 0),
    Case("bybit", "linear", "ticker", "bybit-ticker-linear.jsonl", 4, b'"snapshot"'),
    Case("bybit", "inverse", "ticker", "bybit-ticker-inverse.jsonl", 2, b'"snapshot"'),
    Case("bybit", "linear", "orderbook", "bybit-orderbook.jsonl", 9, b'"delta"'),
    Case("bybit", "spot", "orderbook", "bybit-orderbook.jsonl", 7, b'"snapshot"', b"", "", "cts"),
    Case("gateio", "spot", "trade", "gateio-trade.jsonl", 10, b"", b"", "", "id_market range"),
    Case("gateio", "spot", "ticker", "gateio-ticker.jsonl", 11),
    Case("gateio", "spot", "orderbook", "gateio-orderbook-docs.jsonl", 1, b"depthUpdate",
         b'{"channel":"spot.order_book_update","event":"subscribe","payload":["BTC_USDT","100ms"]}'),
    Case("gateio", "spot", "orderbook", "gateio-orderbook-limited.jsonl", 1, b"lastUpdateId",
         b'{"channel":"spot.order_book","event":"subscribe","payload":["BTC_USDT","5","100ms"]}'),
    Case("gateio", "spot", "orderbook", "gateio-orderbook-obu.jsonl", 2, b'"full"',
         b'{"channel":"spot.obu","event":"subscribe","payload":["ob.BTC_USDT.400"]}'),
    Case("binance", "spot", "trade", "binance-trade.jsonl", 2, b"", b"", "", "", "b a"),
    Case("binance", "linear", "trade", "binance-futures-trade.jsonl", 0, b'"trade"',
         b'{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}', "/public/ws"),
    Case("binance", "linear", "trade", "binance-futures-aggtrade.jsonl", 0, b'"aggTrade"',
         b'{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":1}', "/market/stream"),
    Case("binance", "spot", "trade", "binance-aggtrade.jsonl", 0, b'"aggTrade"',
         b'{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":1}', "/stream"),
    Case("binance", "spot", "ticker", "binance-ticker.jsonl", 0),
    Case("binance", "linear", "ticker", "binance-futures-ticker.jsonl", 0),
    Case("binance", "spot", "orderbook", "binance-orderbook.jsonl", 0),
    Case("binance", "linear", "orderbook", "binance-futures-orderbook.jsonl", 0),
    Case("kraken", "spot", "trade", "kraken-trade.jsonl", 1, b'"update"'),
    Case("kraken", "spot", "ticker", "kraken-ticker.jsonl", 1, b'"update"'),
    Case("kraken", "spot", "orderbook", "kraken-orderbook.jsonl", 0, b'"snapshot"', b"", "",
         "timestamp"),
    Case("kraken", "spot", "orderbook", "kraken-orderbook.jsonl", 1, b'"update"'),
    Case("bitmex", "inverse", "trade", "bitmex-trade.jsonl", 10, b'"insert"', b"", "", "trdType"),
]  # fmt: skip


class Number(str):
    """A JSON number by its text."""

    __slots__ = ()


Members = list[tuple[str, Any]]


def parsed(text: bytes) -> Any:
    return json.loads(
        text,
        parse_int=Number,
        parse_float=Number,
        object_pairs_hook=lambda pairs: ("object", pairs),
    )


def looks(value: Any) -> str:
    """Return what a value looks like: its type, and for texts whether they are numbers or ids."""
    if isinstance(value, Number):
        return "number"
    if not isinstance(value, str):
        return type(value).__name__
    if re.fullmatch(r"-?\d+(\.\d+)?", value):
        return "digits"
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value):
        return "uuid"
    if re.match(r"\d{4}-\d\d-\d\dT", value):
        fraction = value.partition(".")[2]
        return f"time of {len(fraction)}"
    return "text"


def differences(sent: Any, recorded: Any, case: Case, at: str = "$") -> list[str]:
    if isinstance(sent, tuple) and isinstance(recorded, tuple):
        return of_objects(sent[1], recorded[1], case, at)
    if isinstance(sent, list) and isinstance(recorded, list):
        if not sent or not recorded:
            return []
        rows = zip(sent[:3], (recorded * 3)[:3], strict=False)
        if isinstance(sent[0], list):  # a level: each of its columns
            rows = zip(sent, (recorded * len(sent))[: len(sent)], strict=False)
        return [text for row in rows for text in differences(*row, case, f"{at}[]")]
    kinds = {looks(sent), looks(recorded)}
    # Nothing, and an empty text, stand for any value.
    if len(kinds) == 1 or "NoneType" in kinds or "" in (sent, recorded):
        return []
    return [f"{at}: sent {sent!r}, recorded {recorded!r}"]


def of_objects(sent: Members, recorded: Members, case: Case, at: str) -> list[str]:
    names, recorded_names = [name for name, _ in sent], [name for name, _ in recorded]
    new, gone = set(case.new.split()), set(case.gone.split())
    found = [f"{at}.{name}: not recorded" for name in names if name not in {*recorded_names, *new}]
    found += [f"{at}.{name}: not sent" for name in recorded_names if name not in {*names, *gone}]
    common = [name for name in names if name in recorded_names]
    if common != [name for name in recorded_names if name in names]:
        found.append(f"{at}: sent in the order {names}, recorded {recorded_names}")
    texts, others = dict(sent), dict(recorded)
    for name in common:
        found += differences(texts[name], others[name], case, f"{at}.{name}")
    return found


@pytest.fixture(scope="module")
def simulated() -> Simulation:
    return simulation(rate=4_000, coins=1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}:{case.line}")
def test_frames_look_like_the_recorded_ones(simulated: Simulation, case: Case) -> None:
    if case.message:
        client = Client(simulated, case.exchange, case.product, case.path)
        client.send(case.message)
    else:
        client, _ = subscribed(simulated, case.exchange, case.product, case.kind)  # type: ignore[arg-type]
    frames = client.take()
    for more in client.run(1_200):
        frames += more
    client.venue.forget(client)
    recorded = parsed(lines(case.file)[case.line])
    is_wrapped = b'"stream"' in lines(case.file)[case.line]
    data = [frame for frame in frames if case.marks in frame and is_data(frame, case)]
    assert data
    for frame in data:
        sent = parsed(frame)
        if not is_wrapped and isinstance(sent, tuple) and sent[1][0][0] == "stream":
            sent = sent[1][1][1]
        assert not differences(sent, recorded, case), frame[:600]


def is_data(frame: bytes, case: Case) -> bool:
    """Tell data from answers and other types of the same channel."""
    answers = (b'"event":"subscribe"', b'"result":null', b'"success"', b'"method"', b'"status"')
    greetings = (b"CONNECTED", b"SUBSCRIBED", b"heartbeat", b'"info"', b'"channel":"status"')
    if any(mark in frame for mark in (*answers, *greetings)):
        return False
    if not case.marks and b'"snapshot"' in frame and case.exchange == "korbit":
        return False
    return b'"partial"' not in frame
