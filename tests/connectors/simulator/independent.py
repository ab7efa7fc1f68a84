"""Whether ccxt and cryptofeed read from the simulator's frames what it traded.

They decode in an environment of their own, with the versions of `decoders.lock`; it takes minutes
to install the first time, so that this is run by `make fuzz` and not by `make test`. Korbit has no
independent decoder, nor have the others all kinds: `test_shapes.py` compares those with recorded
frames.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from connectors.local.stack import state_folder
from connectors.process.environment import checkout
from connectors.simulator.desk import Desk
from connectors.simulator.texts import fixed
from schemas.exchanges import subscriptions_of
from schemas.records import Product
from schemas.subscriptions import Stream, Target
from tests.connectors.simulator.client import Client, desk_of, listed, simulation

UPBIT = (
    b'[{"ticket":"x"},{"type":"%b","codes":["KRW-BTC"],"is_only_realtime":true},{"format":"%b"}]'
)


class Case(NamedTuple):
    judge: str
    exchange: str
    product: Product
    kind: str
    message: bytes = b""
    path: str = ""


# Each execution by itself; the other channel joins what one order took at one price.
OKX_ALL = b'{"op":"subscribe","args":[{"channel":"trades-all","instId":"%b"}]}'
ALL = "trade ticker orderbook"


def cases(judge: str, exchange: str, product: Product, kinds: str) -> list[Case]:
    return [Case(judge, exchange, product, kind) for kind in kinds.split()]


CASES = [
    Case("ccxt", "okx", "spot", "trade", OKX_ALL, "/ws/v5/business"),
    Case("ccxt", "okx", "linear", "trade", OKX_ALL, "/ws/v5/business"),
    *cases("ccxt", "okx", "spot", "ticker orderbook"),
    *cases("ccxt", "bybit", "spot", ALL),
    *cases("ccxt", "bybit", "linear", ALL),
    *cases("ccxt", "bybit", "inverse", "trade"),
    *cases("ccxt", "gateio", "spot", "trade ticker"),
    *cases("ccxt", "binance", "spot", "trade ticker"),
    *cases("ccxt", "binance", "linear", "trade ticker"),
    *cases("ccxt", "kraken", "spot", "trade ticker"),
    *cases("ccxt", "bitmex", "inverse", "trade"),
    *cases("ccxt", "upbit", "spot", ALL),
    *cases("ccxt", "coinone", "spot", ALL),
    Case("cryptofeed", "okx", "spot", "trade", OKX_ALL, "/ws/v5/business"),
    *cases("cryptofeed", "okx", "spot", "ticker orderbook"),
    *cases("cryptofeed", "bybit", "linear", "trade ticker"),
    *cases("cryptofeed", "bybit", "spot", "trade orderbook"),
    *cases("cryptofeed", "gateio", "spot", "trade ticker"),
    *cases("cryptofeed", "bitmex", "inverse", "trade"),
    Case("cryptofeed", "upbit", "spot", "trade", UPBIT % (b"trade", b"SIMPLE")),
    Case("cryptofeed", "upbit", "spot", "orderbook", UPBIT % (b"orderbook", b"SIMPLE")),
]


class Heard(NamedTuple):
    """What a case was sent, and what is true at its end."""

    case: Case
    frames: list[bytes]
    desk: Desk
    start: int
    now_ms: int


@pytest.fixture(scope="session")
def python() -> Path:
    """Return the Python of an environment with the two decoders, made the first time."""
    root = checkout()
    folder = state_folder(root) / "decoders"
    lock, mark = Path(__file__).with_name("decoders.lock"), folder / "installed"
    if not mark.exists() or mark.stat().st_mtime < lock.stat().st_mtime:
        uv = str(root / ".marketflow" / "bootstrap" / "bin" / "uv")
        make = [uv, "venv", "--quiet", "--clear", "--python", interpreter(), str(folder)]
        subprocess.run(make, check=True)
        inside = ["--python", str(folder / "bin" / "python"), "--require-hashes", str(lock)]
        subprocess.run([uv, "pip", "sync", "--quiet", *inside], check=True)
        mark.touch()
    return folder / "bin" / "python"


def interpreter() -> str:
    """Return a Python that cryptofeed 2.5.0 can use, or what uv should look for.

    A shim of pyenv answers only for versions that are switched on, which uv takes for an error.
    """
    versions = Path.home() / ".pyenv" / "versions"
    names = [shutil.which("python3.12"), shutil.which("python3.13")]
    names += [str(path) for path in sorted(versions.glob("3.1[23].*/bin/python3"))]
    for name in filter(None, names):
        if subprocess.run([name, "--version"], capture_output=True, check=False).returncode == 0:
            return name
    return ">=3.12,<3.14"


def hear(case: Case) -> Heard:
    simulated = simulation(rate=3_000, coins=1)
    instrument = next(
        i for i in listed(simulated, case.exchange, case.product) if "BTC" in i.symbol
    )
    desk = desk_of(simulated, case.exchange, instrument)
    words = subscriptions_of(case.exchange)
    target = Target(case.product, case.kind)  # type: ignore[arg-type]
    client = Client(simulated, case.exchange, case.product, case.path or words.path(target))
    client.take()
    if case.message:
        client.send(case.message.replace(b"%b", desk.native))
    else:
        stream = Stream(case.kind, instrument.native_symbol, instrument.symbol)  # type: ignore[arg-type]
        for message in words.subscribe(target, [stream]):
            client.send(message)
    frames = client.take() if case.kind != "trade" else []
    client.take()
    start = len(desk.tape)
    for more in client.run(2_000):
        frames += more
    # A book's last frame shows the model's present.
    while case.kind == "orderbook" and not (more := client.take()):
        simulated.step(simulated.now_ms + 1)
    frames += more if case.kind == "orderbook" else []
    return Heard(case, frames, desk, start, simulated.now_ms)


def as_line(heard: Heard) -> str:
    case, instrument = heard.case, heard.desk.instrument
    url = {
        "bybit": f"wss://stream.bybit.com/v5/public/{case.product}",
        "gateio": "wss://api.gateio.ws/ws/v4/",
        "binance": "wss://stream.binance.com/ws",
    }.get(case.exchange, "wss://localhost")
    market = {
        "native": f"KRW-{instrument.base}" if case.exchange == "upbit" else instrument.native,
        "base": instrument.base,
        "quote": instrument.quote,
        "product": case.product,
        "contract": instrument.contract and f"{instrument.contract:f}",
        "precision": {"price": 10.0**-instrument.price_decimals, "amount": 1e-8},
    }
    return json.dumps(
        {
            "judge": case.judge,
            "exchange": case.exchange,
            "product": case.product,
            "kind": case.kind,
            "url": url,
            "market": market,
            "now": heard.now_ms / 1_000,
            "frames": [frame.decode() for frame in heard.frames],
        }
    )


@pytest.fixture(scope="session")
def verdicts(python: Path) -> dict[Case, tuple[Heard, dict[str, Any]]]:
    heard = [hear(case) for case in CASES]
    judged = subprocess.run(
        [python, Path(__file__).with_name("judge.py")],
        input="\n".join(map(as_line, heard)),
        capture_output=True,
        text=True,
        check=True,
    )
    results = [json.loads(line) for line in judged.stdout.splitlines()]
    return dict(zip(CASES, zip(heard, results, strict=True), strict=True))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(case[:4]))
def test_an_independent_decoder_reads_the_truth(
    verdicts: dict[Case, tuple[Heard, dict[str, Any]]], case: Case
) -> None:
    heard, told = verdicts[case]
    assert "error" not in told, (told, heard.frames[:2])
    desk = heard.desk
    if case.kind == "trade":
        fills = desk.tape.slice(heard.start, len(desk.tape))
        truth = [
            (fill[1], "buy" if fill[2] else "sell", price_of(desk, fill[3]), size_of(desk, fill))
            for fill in fills
        ]
        read = [(time_ms, side, price, size) for _, time_ms, side, price, size in told["trades"]]
        if case[:2] == ("ccxt", "coinone"):  # it tells the maker's side
            other = {"buy": "sell", "sell": "buy"}
            read = [(time_ms, other[side], price, size) for time_ms, side, price, size in read]
        if case[:2] == ("ccxt", "upbit"):  # it tells the time of sending
            assert [trade[0] >= true[0] for trade, true in zip(read, truth, strict=True)]
            read = [(true[0], *trade[1:]) for trade, true in zip(read, truth, strict=True)]
        assert len(read) > 10
        assert read == truth
    elif case.kind == "ticker":
        assert told["last"]
    else:
        for side, model in (("bids", desk.market.bids), ("asks", desk.market.asks)):
            expected = [
                [price_of(desk, t), size_of(desk, (0, 0, True, t, n))] for t, n in model.top(10)
            ]
            assert told[side] == expected


def price_of(desk: Desk, tick: int) -> float:
    return float(fixed(tick * desk.instrument.tick, desk.instrument.price_decimals))


def size_of(desk: Desk, fill: tuple[int, int, bool, int, int]) -> float:
    """Return a size as both libraries have it: contracts stay contracts."""
    return float(fixed(fill[4] * desk.instrument.lot, desk.instrument.size_decimals))
