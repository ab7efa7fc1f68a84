"""An hour of the archive as one Parquet file: read as its users do, and put back byte for byte."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from connectors.archive.objects import hours, read_hour
from tests.dataflows.archive import Archive
from tests.dataflows.market import make_market, truth

HOUR = 1_729_677_600  # 2024-10-23 10:00 UTC
MARKETFLOW = Path(sys.executable).with_name("marketflow")


def marketflow(archive: Archive, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(MARKETFLOW), *arguments],
        env={**os.environ, **archive.pipeline.variables, **archive.variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def compact(archive: Archive, before: str = "2024-10-24T00") -> str:
    done = marketflow(archive, "compact", "--before", before)
    assert done.returncode == 0, done.stderr
    return done.stdout


def book(number: int, price: str) -> bytes:
    return (
        b'{"region":"NE","market":"Binance","coin_symbol":"BTC","highest_bid":%s,'
        b'"lowest_ask":70000.5,"spread":1,"total_bid_volume":1.10,"total_ask_volume":1e-05,'
        b'"timestamp":"2024-10-23 10:%02d:00.050791+00:00","symbol":"BTC-USDT","bid_levels":5,'
        b'"ask_levels":6,"is_crossed":false,"sequence":%d}' % (price.encode(), number % 60, number)
    )


def produce(archive: Archive, topic: str, values: list[bytes]) -> None:
    archive.pipeline.produce(topic, 0, [(b"binance:BTC-USDT", value) for value in values])


def parquet_files(archive: Archive, folder: Path) -> list[Path]:
    """The bucket's Parquet files on disk, below their keys: Hive partitions."""
    paths = []
    for key, (body, _) in archive.objects().items():
        if key.endswith(".parquet"):
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            paths.append(path)
    return paths


def query(folder: Path, text: str) -> list[Any]:
    found = f"read_parquet('{folder}/topics/**/*.parquet', hive_partitioning = true)"
    rows: list[Any] = duckdb.execute(text.replace("FILES", found)).fetchall()
    return rows


@pytest.fixture
def books(archive: Archive) -> list[bytes]:
    values = [book(number, f"6{number:04d}.{number:08d}") for number in range(220)]
    produce(archive, archive.processed.orderbook, values)
    archive.pipeline.run("archive", **archive.variables)
    return values


def test_an_hour_becomes_one_file_that_is_read_with_exact_decimals(
    archive: Archive, books: list[bytes], tmp_path: Path
) -> None:
    said = compact(archive)

    assert "220 records of 5 objects, 220 in the file" in said
    (path,) = parquet_files(archive, tmp_path)
    assert len(archive.objects()) == 1
    ((count, total, kind, exchange, hour),) = query(
        tmp_path,
        "SELECT count(*), sum(highest_bid), typeof(any_value(highest_bid)), "
        "any_value(exchange), any_value(hour) FROM FILES",
    )
    prices = [Decimal(f"6{n:04d}.{n:08d}") for n in range(220)]
    assert (count, total) == (220, sum(prices))
    assert kind == "DECIMAL(38,8)"
    assert (exchange, str(hour)) == ("binance", "10")
    assert query(tmp_path, "SELECT DISTINCT total_ask_volume FROM FILES") == [(Decimal("0.00001"),)]
    assert path.parent.name == "hour=10"


def test_it_can_be_repeated_and_takes_in_what_came_later(
    archive: Archive, books: list[bytes], tmp_path: Path
) -> None:
    compact(archive)
    assert "0 hours compacted" in compact(archive)
    produce(archive, archive.processed.orderbook, [book(7, "1.5")])
    archive.pipeline.run("archive", *archive.pipeline.recovery_store(), **archive.variables)

    # Without its recovery store the archive has stored all of it again: nothing is doubled.
    compact(archive)

    assert len(parquet_files(archive, tmp_path)) == 1
    rows = query(tmp_path, 'SELECT "offset", line FROM FILES ORDER BY "offset"')
    assert rows == list(enumerate([*books, book(7, "1.5")]))


def test_hours_that_are_young_are_left_alone(archive: Archive, books: list[bytes]) -> None:
    del books
    before = archive.objects()
    assert "0 hours compacted" in compact(archive, before="2024-10-23T10")
    assert archive.objects() == before


def test_a_damaged_object_is_named_and_nothing_is_deleted(
    archive: Archive, books: list[bytes]
) -> None:
    del books
    key = next(iter(archive.objects()))
    metadata = archive.objects()[key][1]
    archive.client.put_object(Bucket=archive.bucket, Key=key, Body=b"broken", Metadata=metadata)

    done = marketflow(archive, "compact", "--before", "2024-10-24T00")

    assert done.returncode == 1
    assert key in done.stderr
    assert len(archive.objects()) == 5


def test_what_is_no_record_stays_as_a_line(archive: Archive, tmp_path: Path) -> None:
    odd = [b"no json", b'{"highest_bid":"x"}', b'{"highest_bid":1e400,"sequence":1e3}', b"[]"]
    produce(archive, archive.processed.orderbook, [book(1, "1"), *odd])
    archive.pipeline.run("archive", **archive.variables)

    done = marketflow(archive, "compact", "--before", "2100-01-01T00")

    assert done.returncode == 0, done.stderr
    parquet_files(archive, tmp_path)
    lines = query(tmp_path, 'SELECT line FROM FILES ORDER BY "offset"')
    assert [line for (line,) in lines] == [book(1, "1"), *odd]


@pytest.mark.parametrize("is_compacted", [False, True])
def test_archived_minutes_put_back_say_what_the_table_says(
    archive: Archive, is_compacted: bool
) -> None:
    pipeline = archive.pipeline
    market = make_market(count=4_000, symbols=10, minutes=4)
    raw = pipeline.settings.regions["NE"].topics.trade
    pipeline.produce(raw, 0, [(b"binance", trade.frame()) for trade in market])
    pipeline.run("taker_volume")
    pipeline.run("archive", **archive.variables)
    if is_compacted:
        compact(archive)
        found = hours(archive.client, archive.bucket)
        assert all(key.endswith(".parquet") for _, keys in found for key in keys)

    topic = archive.processed.taker_volume
    target = archive.processed.ticker  # of the same partitions, and empty
    done = marketflow(archive, "replay", "--from", "s3", "--topic", topic, "--to-topic", target)

    assert done.returncode == 0, done.stderr
    put_back = pipeline.records(target)
    assert [(m.key(), m.value()) for m in put_back] == [
        (m.key(), m.value()) for m in pipeline.records(topic)
    ]
    last = {(v["symbol"].replace("-", ""), v["minute"] // 60): v for v in pipeline.values(target)}
    expected = truth(market)
    assert last.keys() == expected.keys()
    for place, values in expected.items():
        assert Decimal(last[place]["taker_buy_volume"]) == values["taker_buy_volume"]
        assert last[place]["buy_count"] == values["buy_count"]


def recreate(archive: Archive, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": archive.pipeline.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(10)
    while topic in admin.list_topics(timeout=10).topics:
        time.sleep(0.1)
    for _ in range(100):  # the broker still deletes
        with suppress(KafkaException):
            admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(10)
            break
        time.sleep(0.1)
    while topic not in admin.list_topics(timeout=10).topics:
        time.sleep(0.1)


def found_lines(archive: Archive) -> list[tuple[int, int, bytes]]:
    """Generation, offset and line of each record, in whatever object."""
    return [
        (record.generation, record.offset, record.line)
        for _, keys in hours(archive.client, archive.bucket, archive.processed.orderbook)
        for record in read_hour(archive.client, archive.bucket, keys)
    ]


@pytest.mark.parametrize("with_store", [False, True])
@pytest.mark.parametrize("before", [0, 10])
def test_a_topic_created_again_keeps_the_records_of_both(
    archive: Archive, *, with_store: bool, before: int
) -> None:
    topic = archive.processed.orderbook
    store = archive.pipeline.recovery_store() if with_store else []
    first = [book(number, "1") for number in range(30)]
    second = [book(number, "2") for number in range(before + 20)]
    second[:before] = [line.replace(b" 10:", b" 09:") for line in second[:before]]
    produce(archive, topic, first)
    archive.pipeline.run("archive", *store, **archive.variables)
    recreate(archive, topic)
    produce(archive, topic, second)

    archive.pipeline.run("archive", *store, **archive.variables)

    expected = [(1, at, line) for at, line in enumerate(first)]
    expected += [(2, at, line) for at, line in enumerate(second)]
    assert sorted(found_lines(archive)) == expected
    compact(archive)
    assert sorted(found_lines(archive)) == expected

    # Without its recovery store the archive stores all of the log again: nothing is doubled.
    archive.pipeline.run("archive", **archive.variables)
    compact(archive)
    assert sorted(found_lines(archive)) == expected
