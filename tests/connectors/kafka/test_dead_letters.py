"""Dead letters keep the original exactly, say why, and go back once."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, TopicPartition

from connectors.commands.cli import main
from connectors.kafka.dead_letters import (
    MAX_HEADER_BYTES,
    Replayed,
    dead_letter_records,
    from_record,
    original_of,
    reason_of,
    to_record,
)
from connectors.kafka.sink import KafkaSink, OutRecord
from connectors.kafka.topics import ensure_topics
from connectors.process import metrics
from schemas.errors import DecodeError
from schemas.records import DeadLetter
from schemas.settings import parse_settings

if TYPE_CHECKING:
    from click.testing import Result

PIPELINE = Path(__file__).parents[3] / "pipeline.yaml"
RAW = "neSocketDataIn-trade"


def letter(
    topic: str = RAW,
    partition: int = 2,
    offset: int = 17,
    *,
    value: bytes | None = b'{"e":"trade"}',
    error: str = "field `p`: expected a number, got 'x'",
) -> DeadLetter:
    return DeadLetter(
        topic=topic,
        partition=partition,
        offset=offset,
        key=b"binance.linear",
        value=value,
        headers=[("received_at", b"1"), ("received_at", b"\xff\x00"), ("nothing", None)],
        error=error,
        step="decode",
    )


def test_a_letter_lies_beside_its_topic_and_says_why() -> None:
    record = to_record(letter())
    assert (record.topic, record.partition) == (f"{RAW}.dlq", 2)
    assert (record.key, record.value) == (b"binance.linear", b'{"e":"trade"}')
    assert record.headers == [
        *letter().headers,
        ("dlq.error", b"field `p`: expected a number, got 'x'"),
        ("dlq.topic", RAW.encode()),
        ("dlq.partition", b"2"),
        ("dlq.offset", b"17"),
        ("dlq.step", b"decode"),
    ]


def test_a_letter_comes_back_as_it_was() -> None:
    assert from_record(to_record(letter())) == letter()


def test_the_original_has_only_its_own_headers() -> None:
    original = original_of(from_record(to_record(letter())))
    assert original == OutRecord(RAW, 2, b"binance.linear", b'{"e":"trade"}', letter().headers)


def test_a_record_that_failed_twice_tells_the_newest_reason_only() -> None:
    first = to_record(letter(error="first"))
    again = letter(error="second")
    again = DeadLetter(
        **{name: getattr(again, name) for name in again.__struct_fields__}
        | {"headers": first.headers}
    )
    second = to_record(again)
    assert [v for name, v in second.headers or [] if name == "dlq.error"] == [b"second"]
    assert original_of(from_record(second)).headers == letter().headers


@pytest.mark.parametrize("error", ["x" * 5_000, "가" * 5_000, "a" + "가" * 5_000])
def test_a_long_reason_is_cut_between_characters(error: str) -> None:
    headers = dict(to_record(letter(error=error)).headers or [])
    written = headers["dlq.error"]
    assert written is not None
    assert MAX_HEADER_BYTES - 3 <= len(written) <= MAX_HEADER_BYTES
    assert error.startswith(written.decode())


def test_a_reason_that_is_no_legal_text_is_written_all_the_same() -> None:
    assert dict(to_record(letter(error="\ud800")).headers or [])["dlq.error"] == b"\\ud800"


def test_a_record_without_our_headers_can_be_replayed() -> None:
    foreign = OutRecord(f"{RAW}.dlq", 1, None, None, [("dlq.offset", b"many"), ("own", b"1")])
    found = from_record(foreign)
    assert (found.error, found.offset) == ("no reason given", -1)
    assert original_of(found) == OutRecord(RAW, 1, None, None, [("own", b"1")])


def test_a_record_of_another_topic_is_no_letter() -> None:
    with pytest.raises(DecodeError, match=r"topic other: expected .* ending in \.dlq"):
        from_record(OutRecord("other", 0, None, None))


def test_errors_of_one_kind_have_one_reason() -> None:
    first = letter(error="price 1.5 of 'BTC': expected more than 0")
    second = letter(error="price -3e4 of 'ETH': expected more than 0")
    assert reason_of(first) == reason_of(second) == "price … of …: expected more than …"


def test_replayed_offsets_survive_being_stored() -> None:
    replayed = Replayed(5).plus([(7, 8), (8, 9), (12, 13)])
    assert replayed.text == "7-9,12-13"
    assert Replayed.parse(5, replayed.text) == replayed
    assert [n for n in range(13) if n not in replayed] == [5, 6, 9, 10, 11]


def test_ranges_that_close_the_gap_become_one_offset() -> None:
    assert Replayed(5, ((7, 9),)).plus([(5, 7)]) == Replayed(9)


@pytest.mark.parametrize("text", ["", "junk", "1-2,", "-", "٣-٤"])
def test_foreign_text_beside_an_offset_is_ignored(text: str) -> None:
    assert Replayed.parse(3, text) == Replayed(3)


class Pipeline:
    """Topics of a test's own, and the command line on them."""

    def __init__(self, servers: str, folder: Path) -> None:
        self.prefix = f"t{uuid.uuid4().hex[:12]}-"
        text = PIPELINE.read_text()
        for name in ("asiaSocket", "koraSocket", "neSocket", "Region."):
            text = text.replace(f": {name}", f": {self.prefix}{name}")
        path = folder / "pipeline.yaml"
        path.write_text(text)
        self.settings = parse_settings(text.encode(), str(path))
        self.config = {"bootstrap.servers": servers}
        self._variables = {"KAFKA_BOOTSTRAP_SERVERS": servers, "PIPELINE_CONFIG": str(path)}
        self.raw = self.prefix + RAW
        ensure_topics(self.config, self.settings)

    def run(self, *arguments: str) -> Result:
        return CliRunner(env=self._variables).invoke(main, ["dlq", *arguments])

    def write(self, *records: OutRecord) -> None:
        lane = KafkaSink(self.config, 20_000).build_part("out", "0", None)
        lane.write_batch([list(records)])
        lane.snapshot()

    def originals(self, partition: int = 2) -> list[tuple[bytes | None, bytes | None, object]]:
        consumer = Consumer({**self.config, "group.id": "test"})
        at = TopicPartition(self.raw, partition, 0)
        _, end = consumer.get_watermark_offsets(at, timeout=20)
        consumer.assign([at])
        found = consumer.consume(end, timeout=20) if end else []
        consumer.close()
        return [(m.key(), m.value(), m.headers()) for m in found]


@pytest.fixture
def pipeline(kafka: str, tmp_path: Path) -> Pipeline:
    return Pipeline(kafka, tmp_path)


def test_nothing_to_do_is_said(pipeline: Pipeline) -> None:
    assert pipeline.run("count").output == "no dead letters\n"
    assert pipeline.run("show").output == "no dead letters\n"
    assert pipeline.run("replay").output == "nothing to replay\n"


def test_replay_puts_originals_back_exactly_and_once(pipeline: Pipeline) -> None:
    first, second = letter(pipeline.raw, value=b"\x00\xff"), letter(pipeline.raw, value=None)
    pipeline.write(to_record(first), to_record(second))
    assert pipeline.run("replay").output == f"replayed 2 into {pipeline.raw} [2]\n"
    expected = [(each.key, each.value, each.headers) for each in (first, second)]
    assert pipeline.originals() == expected
    assert pipeline.run("replay").output == "nothing to replay\n"
    third = letter(pipeline.raw, value=b"third")
    pipeline.write(to_record(third))
    assert pipeline.run("replay").output == f"replayed 1 into {pipeline.raw} [2]\n"
    assert pipeline.originals() == [*expected, (third.key, b"third", third.headers)]


def test_replay_of_all_starts_over(pipeline: Pipeline) -> None:
    pipeline.write(to_record(letter(pipeline.raw)))
    pipeline.run("replay")
    assert pipeline.run("replay", "--all").output == f"replayed 1 into {pipeline.raw} [2]\n"
    assert len(pipeline.originals()) == 2


def test_a_dry_run_sends_and_remembers_nothing(pipeline: Pipeline) -> None:
    pipeline.write(to_record(letter(pipeline.raw)))
    for _ in range(2):
        result = pipeline.run("replay", "--dry-run")
        assert result.output == f"would replay 1 into {pipeline.raw} [2]\n"
    assert pipeline.originals() == []


def test_a_replay_of_one_reason_leaves_the_others_for_later(pipeline: Pipeline) -> None:
    errors = ["late", "bad price", "late", "bad size", "late"]
    pipeline.write(
        *(
            to_record(letter(pipeline.raw, value=b"%d" % number, error=error))
            for number, error in enumerate(errors)
        )
    )
    assert "replayed 3" in pipeline.run("replay", "--reason", "LATE").output
    assert "nothing to replay" in pipeline.run("replay", "--reason", "late").output
    assert "replayed 2" in pipeline.run("replay").output
    assert "nothing to replay" in pipeline.run("replay").output
    assert [value for _, value, _ in pipeline.originals()] == [b"0", b"2", b"4", b"1", b"3"]


def test_count_groups_by_partition_and_reason(pipeline: Pipeline) -> None:
    pipeline.write(
        to_record(letter(pipeline.raw, 0, error="price 1: [bad]")),
        to_record(letter(pipeline.raw, 0, error="price 2: [bad]")),
        to_record(letter(pipeline.raw, 1, error="late")),
    )
    lines = [line.split() for line in pipeline.run("count").output.splitlines()]
    words = [[word for word in line if word not in "│┃"] for line in lines]
    assert ["price", "…", "[bad]", "2"] in words
    assert ["late", "1"] in words


def test_show_is_readable_and_safe_on_a_terminal(pipeline: Pipeline) -> None:
    pipeline.write(to_record(letter(pipeline.raw, value=b"\x1b[31m\x00" + b"x" * 5_000)))
    shown = pipeline.run("show").output
    assert f"{pipeline.raw} [2] offset 17" in shown
    assert "why    field `p`: expected a number, got 'x' (step decode)" in shown
    assert "\\x1b[31m\\x00xxx" in shown
    assert "\x1b" not in shown
    assert "… (5,006 bytes)" in shown
    assert len(shown) < 1_000


def test_show_gives_the_newest_that_match(pipeline: Pipeline) -> None:
    pipeline.write(
        *(
            to_record(letter(pipeline.raw, number % 3, value=b"%d" % number, error=f"e{number}"))
            for number in range(30)
        )
    )
    shown = pipeline.run("show", "--limit", "2", "--reason", "e1", "--json").output
    assert len(shown.splitlines()) == 2
    assert all(json.loads(line)["error"].startswith("e1") for line in shown.splitlines())
    assert len(pipeline.run("show", "--limit", "5", "--json").output.splitlines()) == 5


def test_json_holds_the_whole_record(pipeline: Pipeline) -> None:
    pipeline.write(to_record(letter(pipeline.raw, value=b"\xff")))
    shown = json.loads(pipeline.run("show", "--json").output)
    assert shown.pop("time").endswith("+00:00")
    assert shown == {
        "topic": pipeline.raw,
        "partition": 2,
        "offset": 17,
        "dead_letter_offset": 0,
        "error": "field `p`: expected a number, got 'x'",
        "step": "decode",
        "key": "binance.linear",
        "value_base64": "/w==",
        "headers": [
            {"name": "received_at", "value": "1"},
            {"name": "received_at", "value_base64": "/wA="},
            {"name": "nothing", "value": None},
        ],
    }


def test_a_topic_can_be_chosen_by_either_name(pipeline: Pipeline) -> None:
    other = pipeline.raw.replace("-trade", "-ticker")
    pipeline.write(to_record(letter(pipeline.raw)), to_record(letter(other, 1)))
    for name in (other, f"{other}.dlq"):
        shown = pipeline.run("show", "--json", "--topic", name).output
        assert [json.loads(line)["topic"] for line in shown.splitlines()] == [other]


def test_an_unknown_topic_is_refused_with_those_that_exist(pipeline: Pipeline) -> None:
    result = pipeline.run("count", "--topic", "trades")
    assert result.exit_code == 1
    assert "--topic trades: expected one of the raw topics" in result.output
    assert pipeline.raw in result.output


def test_an_unreachable_broker_is_said_in_time(tmp_path: Path) -> None:
    variables = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "PIPELINE_CONFIG": str(PIPELINE)}
    result = CliRunner(env=variables).invoke(main, ["dlq", "count"])
    assert result.exit_code == 1
    assert "dead-letter topics not listed" in result.output


def test_dead_letters_are_counted_by_exchange_and_reason() -> None:
    def counted(why: str) -> float:
        return float(metrics.DEAD_LETTERS.labels("nobody", why)._value.get())  # noqa: SLF001  # there is no other way to look

    for error in ("nobody: expected JSON", "late: trade 1", "future: book of X", "late: trade 2"):
        refused = DeadLetter("t", 0, 1, b"k", b"v", [], error, "decode", "nobody")
        (record,) = dead_letter_records(refused)
        assert record.topic == "t.dlq"

    assert [counted(why) for why in ("decode", "late", "future")] == [1, 2, 1]
