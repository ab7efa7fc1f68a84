"""Processes that die and come back in other numbers: the rows are those of the market's truth."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from connectors.kafka.lag import lags
from tests.dataflows.harness import Pipeline, wait
from tests.dataflows.market import START_MS, MarketTrade, make_market, shuffle_within
from tests.dataflows.oracle import assert_true, by_minute, feed

MakePipeline = Callable[..., Pipeline]

READ_SECONDS = 60

# Runs before anything of the project: its one clock then jumps by hours, each second another way.
STEPPING_CLOCK = """
import time
from connectors.process import clock
real = clock.now_ns
steps = (0, -7_200, 7_200, -30, 86_400)
clock.now_ns = lambda: real() + 1_000_000_000 * steps[int(time.monotonic()) % len(steps)]
"""

# What a full disk is to the clients of a server: SQLSTATE 53100 for each row that needs room.
QUOTA = """
CREATE TABLE quota (is_full boolean);
INSERT INTO quota VALUES (false);
CREATE FUNCTION check_quota() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT is_full FROM quota) THEN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER quota BEFORE INSERT OR UPDATE ON taker_volume
    FOR EACH ROW EXECUTE FUNCTION check_quota();
"""


@pytest.fixture(scope="module")
def market() -> list[MarketTrade]:
    return make_market(count=9_000, symbols=25, minutes=6)


def spread(pipeline: Pipeline, trades: list[MarketTrade]) -> None:
    """Each symbol in one of the partitions, so that two workers have work."""
    for partition in range(3):
        feed(pipeline, [t for t in trades if int(t.symbol[1:-4]) % 3 == partition], partition)


def has_read_all(pipeline: Pipeline) -> bool:
    """The dataflow has read the trade topic, and what it made of it is durable."""
    topic = pipeline.settings.regions["NE"].topics.trade
    config = {"bootstrap.servers": pipeline.bootstrap_servers}
    found = [lag for lag in lags(config, pipeline.settings) if lag.topic == topic]
    return all(lag.lag == 0 for lag in found)


def run_and_drain(pipeline: Pipeline, *arguments: str) -> None:
    """Reads what there is; minutes that are open stay so."""
    process = pipeline.start("taker_volume", *arguments, *pipeline.recovery_store())
    deadline = time.monotonic() + READ_SECONDS
    while not has_read_all(pipeline):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the trades are not read"
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    wait(process)


def test_many_kills_in_one_run_leave_the_rows_true(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    chance = random.Random(7)
    pipeline = make_pipeline(changes={"kafka": {"batch_messages": 100}})
    store = pipeline.recovery_store()
    messy = shuffle_within(market, 9_000, 7)
    size = len(messy) // 8
    for part in range(0, len(messy), size):
        spread(pipeline, messy[part : part + size])
        process = pipeline.start("taker_volume", *store)
        time.sleep(0.8 + 1.5 * chance.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()

    pipeline.run("taker_volume", *store)

    assert_true(pipeline.rows(), market, with_quiet=False)


def test_one_process_of_a_cluster_dies_and_the_cluster_goes_on_where_it_was(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline(changes={"kafka": {"batch_messages": 100}})
    store = pipeline.recovery_store()
    half = len(market) // 2
    spread(pipeline, market[:half])
    both = pipeline.start_cluster("taker_volume", 2, *store)
    time.sleep(4)
    both[1].send_signal(signal.SIGKILL)
    time.sleep(1)
    for process in both:
        process.send_signal(signal.SIGKILL)
        process.communicate()

    spread(pipeline, market[half:])
    pipeline.run_cluster("taker_volume", 2, *store)

    assert_true(pipeline.rows(), market, with_quiet=False)


def test_another_number_of_workers_after_a_drain_changes_no_row(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline(changes={"kafka": {"batch_messages": 100}})
    store = pipeline.recovery_store()
    third = len(market) // 3
    for part, workers in ((0, "1"), (third, "3")):
        spread(pipeline, market[part : part + third])
        run_and_drain(pipeline, "-w", workers)
    spread(pipeline, market[2 * third :])

    pipeline.run("taker_volume", "-w", "2", *store)

    assert_true(pipeline.rows(), market, with_quiet=False)


def test_a_clock_that_steps_changes_no_row(
    make_pipeline: MakePipeline, market: list[MarketTrade], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(STEPPING_CLOCK)
    # Trades of now: against a clock two hours back, they would all be of the future.
    minute_ms = time.time_ns() // 60_000_000_000 * 60_000
    live = [t._replace(time_ms=t.time_ms - START_MS + minute_ms - 360_000) for t in market]
    pipeline = make_pipeline(changes={"kafka": {"batch_messages": 100}})
    store = pipeline.recovery_store()
    process = pipeline.start("taker_volume", *store, PYTHONPATH=str(tmp_path))
    for part in range(0, len(live), 1_000):
        spread(pipeline, live[part : part + 1_000])
        time.sleep(0.7)
    process.send_signal(signal.SIGTERM)
    wait(process)

    pipeline.run("taker_volume", *store, PYTHONPATH=str(tmp_path))

    assert_true(pipeline.rows(), live, with_quiet=False)
    dead = pipeline.settings.regions["NE"].topics.trade + ".dlq"
    assert [pipeline.records(dead, partition) for partition in range(3)] == [[], [], []]


def test_a_full_disk_holds_the_rows_back_until_there_is_room(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline()
    with psycopg.connect(pipeline.dsn, autocommit=True) as connection:
        connection.execute(QUOTA)
        process = pipeline.start("taker_volume", *pipeline.recovery_store())
        for part, is_full in ((0, False), (3_000, True), (6_000, False)):
            connection.execute("UPDATE quota SET is_full = %s", [is_full])
            spread(pipeline, market[part : part + 3_000])
            time.sleep(3)
            assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "PostgreSQL does not take rows, retrying: could not extend file" in output
    assert "PostgreSQL takes rows again" in output
    pipeline.run("taker_volume", *pipeline.recovery_store())
    assert_true(pipeline.rows(), market, with_quiet=False)


def test_offsets_that_were_deleted_unread_are_a_gap_of_a_said_size(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline()
    topic = pipeline.settings.regions["NE"].topics.trade
    mine = [t for t in market if int(t.symbol[1:-4]) % 3 == 0]
    third = len(mine) // 3
    spread(pipeline, mine[:third])
    run_and_drain(pipeline)
    spread(pipeline, mine[third:])
    admin = AdminClient({"bootstrap.servers": pipeline.bootstrap_servers})
    admin.delete_records([TopicPartition(topic, 0, 2 * third)])[
        TopicPartition(topic, 0, 2 * third)
    ].result(20)

    process = pipeline.start("taker_volume", *pipeline.recovery_store(), STOP_AT_END="1")
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert f"lost offsets {third} to {2 * third - 1} ({third} records)" in output
    rows = pipeline.rows()
    assert_true(rows, mine[:third] + mine[2 * third :], with_quiet=False)
    touched = {t.time_ms // 60_000 for t in (mine[third - 1], mine[2 * third])}
    assert touched <= {
        at for (_, at), row in by_minute(rows).items() if row["is_complete"] is False
    }


def test_a_topic_that_was_created_again_is_read_from_its_start(
    make_pipeline: MakePipeline, market: list[MarketTrade]
) -> None:
    pipeline = make_pipeline()
    topic = pipeline.settings.regions["NE"].topics.trade
    mine = [t for t in market if int(t.symbol[1:-4]) % 3 == 0]
    third = len(mine) // 3
    spread(pipeline, mine[:third])
    run_and_drain(pipeline)
    admin = AdminClient({"bootstrap.servers": pipeline.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(20)
    deadline = time.monotonic() + 20
    while topic in admin.list_topics(timeout=10).topics:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    admin.create_topics([NewTopic(topic, 3, 1)])[topic].result(20)
    spread(pipeline, mine[third:])  # more than were read: the old offset is one of the new log

    process = pipeline.start("taker_volume", *pipeline.recovery_store(), STOP_AT_END="1")
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    assert f"{topic}/0: the topic was re-created since offset {third} was read of it" in output
    assert_true(pipeline.rows(), mine, with_quiet=False)
