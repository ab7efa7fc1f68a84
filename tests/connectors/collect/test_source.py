"""How the exchanges are shared out among the shards."""

from pathlib import Path

import pytest

from connectors.collect.source import CollectSource
from connectors.process.environment import Shard
from schemas.settings import parse_settings

PIPELINE = Path(__file__).parents[3] / "pipeline.yaml"


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_an_exchange_belongs_to_one_shard_with_its_limits(count: int) -> None:
    settings = parse_settings(PIPELINE.read_bytes(), str(PIPELINE))
    owners: dict[str, set[int]] = {}
    parts: list[str] = []
    for index in range(count):
        mine = CollectSource({}, settings, Shard(index, count), None).list_parts()
        parts += mine
        for part in mine:
            owners.setdefault(part.partition(".")[0], set()).add(index)
    assert len(parts) == len(set(parts))
    assert owners.keys() == settings.exchanges.keys()
    assert all(len(indexes) == 1 for indexes in owners.values())
