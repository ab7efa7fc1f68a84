"""An exchange over several partitions: each reader learns of the others' activity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from connectors.postgres.tables import TAKER_VOLUME
from dataflows.domain.trades.reader import TradeReader
from dataflows.operators.minutes import MinutesLogic
from schemas.records import TakerVolume
from schemas.settings import Settings
from tests.dataflows.domain.trades.test_reader import (
    NOW_NS,
    PROPERTY,
    SETTINGS,
    START_MINUTE,
    TOPIC,
    Print,
    content,
    day,
    records,
    run,
)

PARTITIONS = (0, 1, 2)
COINS = ("BTC", "ETH", "XRP", "SOL")


def over(partitions: tuple[int, ...]) -> Settings:
    binance = replace(SETTINGS.exchanges["binance"], partitions=partitions)
    return replace(SETTINGS, exchanges={"binance": binance})


class Shards:
    """Readers of three partitions, each of which reads the others along."""

    def __init__(self) -> None:
        self.settings = over(PARTITIONS)
        self.readers = {p: TradeReader(self.settings, "NE", TOPIC, p) for p in PARTITIONS}
        self.logics: dict[str, MinutesLogic] = {}
        self.rows: dict[tuple[str, int], TakerVolume] = {}

    def read(self, partition: int, log: list[Print], *, along: bool = True) -> None:
        messages = records(log)
        if along:
            for other, reader in self.readers.items():
                if other != partition:
                    self.take(reader.note(TOPIC, partition, messages, NOW_NS))
        else:
            self.take(self.readers[partition].read(messages, NOW_NS))

    def restart(self) -> None:
        for partition, reader in self.readers.items():
            self.readers[partition] = TradeReader(
                self.settings, "NE", TOPIC, partition, reader.state()
            )

    def take(self, items: Sequence[tuple[str, Any]]) -> None:
        for key, batch in items:
            logic = self.logics.setdefault(key, MinutesLogic(self.settings.taker_volume, None))
            for rows in logic.on_batch([batch])[0]:
                for row in rows:
                    at = f"{row.exchange}:{row.symbol}", row.minute // 60
                    if row.is_final and (
                        at not in self.rows or TAKER_VOLUME.is_newer(row, self.rows[at])
                    ):
                        self.rows[at] = row


def spread(log: list[Print]) -> dict[int, list[Print]]:
    return {p: [t for t in log if COINS.index(t.coin) % 3 == p] for p in PARTITIONS}


@PROPERTY
@given(
    log=st.lists(
        st.builds(
            day, st.integers(0, 40), st.sampled_from(COINS), st.integers(1, 10**6), st.just(30.0)
        ),
        min_size=1,
        max_size=25,
        unique_by=lambda trade: trade.number,
    ),
    restart=st.booleans(),
)
def test_rows_over_partitions_are_those_of_one(log: list[Print], restart: bool) -> None:
    log.sort(key=lambda trade: trade.time_ms)
    shards = Shards()
    for partition, part in spread(log).items():
        shards.read(partition, part)
    if restart:
        shards.restart()
    for partition, part in spread(log).items():
        shards.read(partition, part, along=False)
    for reader in shards.readers.values():
        shards.take(reader.finish())

    found = {key: content(row) for key, row in shards.rows.items()}
    assert found == run(log).content()


def test_activity_heard_of_late_still_makes_rows_of_zeros() -> None:
    shards = Shards()
    shards.read(1, [day(0, "ETH", 1), day(9, "ETH", 2)], along=False)
    shards.read(0, [day(4, "BTC", 3)])
    shards.take(shards.readers[1].finish())

    eth = {at - START_MINUTE: row.buy_count for (key, at), row in shards.rows.items()}
    assert eth == {0: 1, 4: 0, 9: 1}


def test_a_silent_partition_closes_with_the_others() -> None:
    shards = Shards()
    shards.read(1, [day(0, "ETH", 1)], along=False)
    shards.read(0, [day(minute, "BTC", 10 + minute) for minute in range(5)])
    shards.take(shards.readers[1].idle(1))

    assert [at - START_MINUTE for _, at in shards.rows] == [0, 1, 2]


def test_a_busy_partition_is_not_decoded_whole() -> None:
    reader = TradeReader(over(PARTITIONS), "NE", TOPIC, 0)
    busy = [day(minute, "ETH", 1_000 * minute + n) for minute in (0, 1) for n in range(1_000)]
    broken = records(busy)
    broken[1_700] = broken[1_700].__class__(1_700, b"binance", b"{")

    assert reader.note(TOPIC, 1, broken, NOW_NS) == []
    assert not reader.counts["dead_letters"]
