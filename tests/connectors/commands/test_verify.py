"""`marketflow verify` as a user runs it, against the simulator's exchanges."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import psycopg
import pytest

from connectors.commands.simulate import pipeline_settings
from connectors.postgres.tables import TAKER_VOLUME
from connectors.postgres.writer import TableWriter
from connectors.simulator.desk import Desk
from connectors.simulator.simulation import Simulation
from schemas.records import TakerVolume
from schemas.settings import Settings, parse_settings
from tests.api.helpers import prepare
from tests.connectors.simulator.client import START_MS, answer, simulation
from tests.connectors.simulator.test_venues import base_of, price_of

FIRST_S = (START_MS // 60_000 + 1) * 60
MINUTES = 2
SYMBOLS = 2


@pytest.fixture(scope="module")
def traded() -> Simulation:
    """Return exchanges that have traded for a few minutes, without that much time passing."""
    simulated = simulation(rate=200, coins=SYMBOLS)
    simulated.advance((FIRST_S + 60 * MINUTES) * 1_000 + 20_000)
    return simulated


@pytest.fixture(scope="module")
def port(traded: Simulation) -> Iterator[int]:
    """Serve their REST interfaces on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            _, exchange, product, rest = path.split("/", 3)
            told = answer(traded, exchange, product, f"/{rest}", dict(parse_qsl(query)))
            self.send_response(told.status)
            for name, value in {**told.headers, "content-length": str(len(told.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def config(traded: Simulation, port: int, tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    instruments = [desk.instrument for desk in traded.desks]
    path.write_bytes(msgspec.yaml.encode(pipeline_settings(port, instruments)))
    return path


def settings_of(config: Path) -> Settings:
    return parse_settings(config.read_bytes(), str(config))


def row_of(desk: Desk, minute_s: int) -> TakerVolume:
    """Return the sums of what was traded in a minute of a spot market."""
    start_ms = minute_s * 1_000
    fills = desk.tape.slice(desk.tape.at_time(start_ms), desk.tape.at_time(start_ms + 60_000))
    parts = [(fill[2], price_of(desk, fill[3]), base_of(desk, fill[3], fill[4])) for fill in fills]
    bought = [(price, base) for buys, price, base in parts if buys]
    sold = [(price, base) for buys, price, base in parts if not buys]
    prices = [price for _, price, _ in parts]
    return TakerVolume(
        exchange=desk.instrument.exchange,
        symbol=desk.instrument.symbol,
        minute=minute_s,
        taker_buy_volume=sum((base for _, base in bought), Decimal()),
        taker_sell_volume=sum((base for _, base in sold), Decimal()),
        taker_buy_notional=sum((price * base for price, base in bought), Decimal()),
        taker_sell_notional=sum((price * base for price, base in sold), Decimal()),
        buy_count=len(bought),
        sell_count=len(sold),
        open=prices[0] if prices else None,
        high=max(prices, default=None),
        low=min(prices, default=None),
        close=prices[-1] if prices else None,
        vwap=None,
        is_final=True,
        revision=1,
        late_trades=0,
        duplicate_trades=0,
        is_complete=True,
    )


def store(traded: Simulation, dsn: str, settings: Settings, exchange: str) -> None:
    """Write the minutes of an exchange's spot markets as the dataflow would."""
    prepare(dsn, settings)
    writer = TableWriter(dsn, settings.postgres, TAKER_VOLUME)
    for desk in traded.venues[exchange].listed("spot"):
        writer.put([row_of(desk, FIRST_S + 60 * number) for number in range(MINUTES)])
    writer.flush(30)
    writer.close()


def verify(
    dsn: str, config: Path, exchange: str, *options: str
) -> subprocess.CompletedProcess[str]:
    span = ("--from", str(FIRST_S), "--to", str(FIRST_S + 60 * MINUTES))
    program = str(Path(sys.executable).with_name("marketflow"))
    return subprocess.run(
        [program, "verify", "--exchange", exchange, *span, *options],
        env={"PATH": os.environ["PATH"], "POSTGRES_DSN": dsn, "PIPELINE_CONFIG": str(config)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def verdicts(dsn: str) -> list[Any]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT symbol, extract(epoch FROM minute)::bigint, verdict FROM audit_minute "
            "ORDER BY symbol, minute"
        ).fetchall()


@pytest.mark.parametrize("exchange", ["binance", "okx", "upbit", "kraken"])
def test_minutes_that_are_right_equal_the_exchanges_own(
    traded: Simulation, config: Path, postgres_dsn: str, exchange: str
) -> None:
    store(traded, postgres_dsn, settings_of(config), exchange)

    done = verify(postgres_dsn, config, exchange)

    assert done.returncode == 0, done.stdout + done.stderr
    markets = len(traded.venues[exchange].listed("spot"))
    assert f"{MINUTES * markets:>10,}  minutes equal the exchange's own" in done.stdout
    assert "         0  minutes differ" in done.stdout
    assert {verdict for _, _, verdict in verdicts(postgres_dsn)} == {"equal"}


def test_a_changed_minute_is_named_and_fails_the_command(
    traded: Simulation, config: Path, postgres_dsn: str
) -> None:
    store(traded, postgres_dsn, settings_of(config), "binance")
    symbol = traded.venues["binance"].listed("spot")[0].instrument.symbol
    changed_s = FIRST_S + 60
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute(
            "UPDATE taker_volume SET taker_buy_volume = taker_buy_volume + 0.5 "
            "WHERE symbol = %s AND minute = to_timestamp(%s)",
            [symbol, changed_s],
        )

    done = verify(postgres_dsn, config, "binance")

    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("binance ")]
    assert line.startswith(f"binance {symbol} 20")
    assert "ours minus theirs: taker_buy_volume +0.5" in line
    assert "volume +0.5" in line
    assert "         1  minutes differ" in done.stdout
    different = [row[:2] for row in verdicts(postgres_dsn) if row[2] == "different"]
    assert different == [(symbol, changed_s)]


def test_a_minute_that_is_marked_incomplete_is_explained(
    traded: Simulation, config: Path, postgres_dsn: str
) -> None:
    store(traded, postgres_dsn, settings_of(config), "binance")
    symbol = traded.venues["binance"].listed("spot")[0].instrument.symbol
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute(
            "UPDATE taker_volume SET taker_buy_volume = 0, is_complete = false "
            "WHERE symbol = %s AND minute = to_timestamp(%s)",
            [symbol, FIRST_S],
        )

    done = verify(postgres_dsn, config, "binance", "--symbol", symbol)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "         1  differ for a reason that is known" in done.stdout
    assert "         1  minutes equal the exchange's own" in done.stdout
