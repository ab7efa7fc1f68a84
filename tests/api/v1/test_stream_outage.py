"""A stream through a restart of its database, on a server of its own."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from api.client import Client, Row
from connectors.local.cache import remove
from connectors.local.stack import Stack, state_folder
from connectors.process.environment import checkout
from schemas.settings import Settings
from tests.api.helpers import prepare, serving
from tests.api.v1.minutes import Minute, write

START = 1_729_641_600


@pytest.fixture
def stack() -> Iterator[Stack]:
    folder: Path = state_folder(checkout()) / "test-outage"
    stack = Stack(folder, environment={})
    # Of a run that was killed.
    stack.stop()
    remove(folder)
    yield stack
    stack.stop()
    remove(folder)


def minute(number: int, revision: int = 1) -> Minute:
    buy = str(10 * number + revision)
    return Minute("okx", "BTC-USDT", START + 60 * number, buy, "1", revision=revision)


def test_a_stream_and_a_question_agree_after_the_database_was_away(
    stack: Stack, settings: Settings
) -> None:
    dsn = stack.start(["postgres"]).postgres_dsn
    assert dsn is not None
    prepare(dsn, settings)
    write(dsn, [minute(0)])
    with serving(settings, dsn) as api, Client(str(api.base_url)) as client:
        rows = client.stream("BTC-USDT", exchange="okx")
        write(dsn, [minute(1)])
        seen: dict[datetime, Row] = {}
        while len(seen) < 2:
            row = next(rows)
            seen[row.time] = row
        stack.stop()
        assert stack.start(["postgres"]).postgres_dsn == dsn
        write(dsn, [minute(0, revision=2), minute(2)])
        while len(seen) < 3 or min(seen.values(), key=lambda each: each.time).revision < 2:
            row = next(rows)
            seen[row.time] = row
        asked = client.taker_volume("BTC-USDT", start=START, end=START + 600, exchange="okx")
    figures = ("taker_buy_volume", "revision", "is_final", "vwap")
    assert [[row[name] for name in figures] for row in asked] == [
        [row[name] for name in figures] for _, row in sorted(seen.items())
    ]
