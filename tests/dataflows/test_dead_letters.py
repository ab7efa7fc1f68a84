"""No single record of any content ends a flow: it is kept, cut or elsewhere, and others count."""

import json
import random
from collections.abc import Callable

import pytest
from click.testing import CliRunner
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.commands.cli import main
from connectors.kafka.dead_letters import MAX_POINTER_VALUE_BYTES, dead_letter_records, hash_of
from connectors.process.clock import now_ns
from schemas.records import DeadLetter
from schemas.settings import RAW_KINDS
from tests.dataflows.harness import Pipeline
from tests.dataflows.test_exchange_checklist import reader_of
from tests.raw_record import RawRecord

MakePipeline = Callable[..., Pipeline]

MINUTE_MS = 1_790_000_040_000
TEXT = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def noise(size: int) -> bytes:
    return bytes(random.Random(1).choices(TEXT, k=size))


def good(number: int) -> bytes:
    return (
        b'{"e":"trade","E":%d,"T":%d,"s":"BTCUSDT","t":%d,"p":"100","q":"1","X":"MARKET","m":false}'
        % (MINUTE_MS, MINUTE_MS, number)
    )


def produce(
    pipeline: Pipeline,
    value: bytes,
    partition: int = 0,
    key: bytes | None = None,
    compression: str = "none",
) -> None:
    producer = Producer(
        {
            "bootstrap.servers": pipeline.bootstrap_servers,
            "message.max.bytes": 40_000_000,
            "compression.type": compression,
        }
    )
    failures: list[object] = []
    raw = pipeline.settings.regions["NE"].topics.trade
    producer.produce(
        raw, value, key, partition, lambda error, _: failures.append(error) if error else None
    )
    assert (producer.flush(30), failures) == (0, [])


def set_limit(pipeline: Pipeline, topic: str, record_bytes: int) -> None:
    entry = ConfigEntry("max.message.bytes", str(record_bytes))
    entry.incremental_operation = AlterConfigOpType.SET
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": pipeline.bootstrap_servers})
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(10)


def letters(pipeline: Pipeline) -> list[Message]:
    topic = pipeline.settings.regions["NE"].topics.trade + ".dlq"
    return [found for at in pipeline.partitions(topic) for found in pipeline.records(topic, at)]


def test_a_record_that_its_dead_letter_topic_refuses_is_kept_as_a_pointer(
    make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = make_pipeline()
    raw = pipeline.settings.regions["NE"].topics.trade
    admin = AdminClient({"bootstrap.servers": pipeline.bootstrap_servers})
    admin.create_partitions([NewPartitions(raw, 5)])[raw].result(10)
    incompressible = noise(3_000_000)
    produce(pipeline, good(1), key=b"binance.linear")
    produce(pipeline, b"0" * 18_000_000, compression="zstd")
    produce(pipeline, noise(300_000) * 12, compression="zstd")
    produce(pipeline, b"junk", partition=4)
    set_limit(pipeline, raw, 10_000_000)
    produce(pipeline, incompressible)
    produce(pipeline, good(2), key=b"binance.linear")

    pipeline.run("taker_volume")

    (row,) = pipeline.rows()
    assert (row["taker_buy_volume"], row["is_final"]) == (2, True)
    found = {dict(each.headers() or [])["dlq.offset"]: each for each in letters(pipeline)}
    assert len(found) == len(letters(pipeline)) == 4
    pointer = found[b"3"]
    headers = dict(pointer.headers() or [])
    assert pointer.value() == incompressible[:MAX_POINTER_VALUE_BYTES]
    assert headers["dlq.size"] == b"3000000"
    assert headers["dlq.sha256"] == hash_of(incompressible).encode()
    assert dict(found[b"0"].headers() or [])["dlq.partition"] == b"4"

    for name, value in pipeline.variables.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(main, ["dlq", "replay", "--topic", raw])
    assert result.exit_code == 0, result.output
    assert pipeline.records(raw, 0)[-1].value() in {incompressible, noise(300_000) * 12}
    assert [each.value() for each in pipeline.records(raw, 4)] == [b"junk", b"junk"]


@given(
    key=st.none() | st.binary(max_size=40) | st.sampled_from([b"binance", b"okx.linear.X"]),
    value=st.none() | st.binary(max_size=200) | st.text(max_size=200).map(str.encode)
    | st.recursive(
        st.none() | st.integers() | st.text() | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps(value).encode()),
    headers=st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=20))),
)  # fmt: skip
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_no_record_of_any_content_makes_a_reader_raise(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    message = RawRecord(0, key, value, headers=headers)
    for kind in RAW_KINDS:
        for _, item in reader_of("binance", kind).read([message], now_ns()):
            if isinstance(item, DeadLetter):
                (record,) = dead_letter_records(item)
                assert record.instead is not None
                assert len(record.instead.value or b"") <= MAX_POINTER_VALUE_BYTES
