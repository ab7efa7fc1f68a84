"""An epoch of a real dataflow is done when its minutes are committed, and not before."""

from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSource, cluster_main

from connectors.postgres.migrate import migrate
from connectors.postgres.sink import PostgresSink
from connectors.postgres.tables import TAKER_VOLUME
from schemas.errors import MarketflowError, SettingsError, UndeliveredError
from schemas.records import TakerVolume
from schemas.settings import PostgresSettings
from tests.connectors.postgres.conftest import add_exchanges
from tests.connectors.postgres.minutes import MINUTE, minute, stored

SETTINGS = PostgresSettings(flush_rows=100, flush_timeout_ms=2_000)
ROWS = [
    minute(symbol=f"COIN{coin}-USDT", minute=MINUTE + 60 * number)
    for coin in range(10, 30)
    for number in range(100)
]


def flow_of(sink: PostgresSink[TakerVolume], rows: list[TakerVolume] = ROWS) -> Dataflow:
    flow = Dataflow("minutes")
    items = [(row.symbol, [row]) for row in rows]
    op.output("postgres", op.input("items", flow, TestingSource(items, batch_size=20)), sink)
    return flow


def run(flow: Dataflow, *, workers: int = 1, recovery: RecoveryConfig | None = None) -> None:
    cluster_main(  # type: ignore[no-untyped-call]
        flow, [], 0, worker_count_per_proc=workers, recovery_config=recovery
    )


def failure_of(flow: Dataflow, recovery: RecoveryConfig | None = None) -> BaseException | None:
    """What the flow fails with; Bytewax wraps it in an error of its own in some places."""
    with pytest.raises((MarketflowError, BytewaxRuntimeError)) as caught:
        run(flow, recovery=recovery)
    wrapped = isinstance(caught.value, BytewaxRuntimeError)
    return caught.value.__cause__ if wrapped else caught.value


def test_all_rows_are_committed_when_the_flow_ends(dsn: str) -> None:
    run(flow_of(PostgresSink(dsn, SETTINGS, TAKER_VOLUME)))

    assert stored(dsn) == ROWS


def test_the_workers_of_a_process_share_the_sink(dsn: str) -> None:
    run(flow_of(PostgresSink(dsn, SETTINGS, TAKER_VOLUME)), workers=3)

    assert stored(dsn) == ROWS


def test_a_sink_can_be_used_again_after_it_was_closed(dsn: str) -> None:
    sink = PostgresSink(dsn, SETTINGS, TAKER_VOLUME)

    run(flow_of(sink, ROWS[:100]))
    run(flow_of(sink, ROWS[100:]))

    assert stored(dsn) == ROWS


def test_rows_of_an_epoch_that_failed_come_again(postgres_dsn: str, tmp_path: Path) -> None:
    init_db_dir(tmp_path, 1)  # type: ignore[no-untyped-call]
    recovery = RecoveryConfig(str(tmp_path))  # type: ignore[no-untyped-call]
    flow = flow_of(PostgresSink(postgres_dsn, SETTINGS, TAKER_VOLUME))

    # The database has no tables yet.
    assert isinstance(failure_of(flow, recovery), SettingsError)
    migrate(postgres_dsn)
    add_exchanges(postgres_dsn)
    run(flow, recovery=recovery)

    assert stored(postgres_dsn) == ROWS


def test_an_unreachable_server_fails_the_epoch_at_the_deadline() -> None:
    sink = PostgresSink(
        "postgresql://127.0.0.1:1/nowhere", PostgresSettings(flush_timeout_ms=300), TAKER_VOLUME
    )

    failure = failure_of(flow_of(sink))

    assert isinstance(failure, UndeliveredError)
    assert "within 0.3 s: connection failed" in str(failure)


def test_a_key_has_the_same_lane_in_every_process() -> None:
    sink = PostgresSink("", SETTINGS, TAKER_VOLUME)

    assert [sink.part_fn(key) % 4 for key in ("binance:BTC-USDT", "okx:BTC-USDT")] == [2, 0]


def test_the_lanes_never_change_as_the_recovery_store_names_them() -> None:
    assert PostgresSink("", SETTINGS, TAKER_VOLUME).list_parts() == ["0", "1", "2", "3"]
