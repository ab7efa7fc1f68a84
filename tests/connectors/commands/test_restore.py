"""`marketflow restore`: a lost database comes back from the archive, row for row."""

import psycopg
import pytest

from tests.connectors.commands.test_compact import compact, marketflow
from tests.dataflows.archive import Archive
from tests.dataflows.market import make_market
from tests.schemas.exchanges.frames import lines

TICKERS = [*lines("binance-ticker.jsonl"), *lines("binance-futures-ticker.jsonl")]
ORDERS = {"taker_volume": "exchange_id, symbol, minute", "ticker_latest": "exchange_id, symbol"}


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_lost_database_comes_back_from_the_archive(
    archive: Archive, *, is_compacted: bool
) -> None:
    pipeline = archive.pipeline
    topics = pipeline.settings.regions["NE"].topics
    market = make_market(count=3_000, symbols=8, minutes=4)
    pipeline.produce(topics.trade, 0, [(b"binance", trade.frame()) for trade in market])
    pipeline.produce(topics.ticker, 0, [(b"binance", frame) for frame in TICKERS])
    pipeline.run("taker_volume")
    pipeline.run("ticker")
    pipeline.produce(archive.processed.taker_volume, 0, [(b"x", b"no json")])
    pipeline.run("archive", **archive.variables)
    if is_compacted:
        compact(archive)
    before = {table: pipeline.rows(table, order) for table, order in ORDERS.items()}
    with psycopg.connect(pipeline.dsn) as connection:
        connection.execute("TRUNCATE taker_volume, ticker_latest")

    nothing = marketflow(archive, "restore", "--since", "2024-10-24T00", "--until", "2024-10-25T00")
    assert "         0  records read into taker_volume" in nothing.stdout
    done = marketflow(archive, "restore", "--until", "2030-01-01T00")

    assert done.returncode == 0, done.stderr
    assert "records read into taker_volume, 1 of them left out" in done.stdout
    assert "no json" in done.stderr
    assert all(before.values())
    assert {table: pipeline.rows(table, order) for table, order in ORDERS.items()} == before
