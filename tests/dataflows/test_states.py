"""State that other releases stored: what an older one wrote goes on, a newer one's is refused."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from dataflows.domain.states import checked
from dataflows.domain.trades.minutes import SymbolMinutes
from schemas.errors import StateTooNewError
from tests.dataflows.harness import ROOT, Pipeline
from tests.dataflows.market import make_market, shuffle_within
from tests.dataflows.oracle import feed

MakePipeline = Callable[..., Pipeline]

# Made by the dataflow of 55ad6ad, killed when it had read 1,200 trades of this topic; without the
# id of the topic, which a broker gives anew.
STORE = ROOT / "tests/frames/state-55ad6ad"
TOPIC = "trade-of-an-older-release"
READ = 1_200


def test_a_recovery_store_of_an_older_release_goes_on(make_pipeline: MakePipeline) -> None:
    market = shuffle_within(make_market(count=2_000, symbols=6, minutes=8), 10_000, 5)
    late = market[300]._replace(trade_id=77)  # of a minute that was final in the stored state
    pipeline = make_pipeline(edit=of_older_release)
    feed(pipeline, [*market[:READ], late, *market[READ:]])
    shutil.copytree(STORE, pipeline.folder / "recovery")
    pipeline.run("taker_volume", *pipeline.recovery_store())
    went_on = pipeline.rows()

    whole = make_pipeline(raw_of=pipeline)
    whole.execute("TRUNCATE taker_volume")
    whole.run("taker_volume")

    rows = {key(row): row for row in whole.rows()}
    assert [row for row in went_on if rows[key(row)] != row] == []
    first = min(trade.time_ms // 60_000 for trade in market[READ:])
    revised = (late.symbol, late.time_ms // 60_000)
    assert {key(row) for row in went_on} == {at for at in rows if at[1] >= first} | {revised}
    assert rows[revised]["revision"] == 2


def of_older_release(config: Any) -> None:
    config["regions"]["NE"]["topics"]["trade"] = TOPIC


def key(row: dict[str, Any]) -> tuple[str, int]:
    return row["symbol"].replace("-", ""), int(row["minute"].timestamp()) // 60


@pytest.mark.parametrize("version", [0, 4, "1", None])
def test_a_state_of_a_newer_release_is_refused(version: object) -> None:
    with pytest.raises(StateTooNewError, match="expected 1 to 3"):
        checked("a book", (version, 1), 3)
    with pytest.raises(StateTooNewError, match="a newer release wrote it"):
        SymbolMinutes("okx", "A-B", 60, state=(99,))
