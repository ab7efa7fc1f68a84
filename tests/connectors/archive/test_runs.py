"""Runs of a log as objects: each record in one of them, whatever is in the store already."""

from hypothesis import given
from hypothesis import strategies as st

from connectors.archive.runs import PartitionRuns, restored
from schemas.archive import ArchiveObject, LogRecord, ObjectKey

HOUR_NS = 3_600_000_000_000


def record(offset: int, line: bytes | None = None) -> LogRecord:
    return LogRecord(offset, 500_000 * HOUR_NS, "binance", line or b"%d" % offset)


def store(runs: PartitionRuns, held: dict[str, list[bytes]], *, ends: bool = False) -> None:
    """Do what the sink does, into a dictionary."""
    while found := runs.next(ends=ends):
        key = found.key
        while True:
            lines = held.setdefault(key.text, found.lines)
            shared = min(len(lines), len(found.lines))
            if lines[:shared] == found.lines[:shared]:
                break
            key = key._replace(generation=key.generation + 1)
        runs.stored(lines, key.generation, 0)


@given(
    first=st.lists(st.integers(1, 30), min_size=1),
    second=st.lists(st.integers(1, 30), min_size=1),
    changed_from=st.integers(0, 200),
)
def test_a_log_read_again_in_other_parts_stores_what_differs_and_nothing_twice(
    first: list[int], second: list[int], changed_from: int
) -> None:
    held: dict[str, list[bytes]] = {}
    logs = []
    for parts, since in ((first, sum(first)), (second, changed_from)):
        log = [record(n, b"new %d" % n if n >= since else None) for n in range(sum(parts))]
        logs.append(log)
        runs = PartitionRuns("topic", 0, 20)
        at = 0
        for count in parts:
            runs.add(log[at : at + count], 0)
            at += count
            store(runs, held, ends=count % 3 == 0)
        store(runs, held, ends=True)
    stored = [
        (key.generation, offset, line)
        for key, lines in ((ObjectKey.parse(text), lines) for text, lines in held.items())
        if key
        for offset, line in enumerate(lines, key.first_offset)
    ]
    assert len(stored) == len(set(stored))
    everything = {(offset, line) for _, offset, line in stored}
    assert everything == {(record.offset, record.line) for log in logs for record in log}


def test_a_log_that_goes_back_is_noticed() -> None:
    runs = PartitionRuns("topic", 0, 20)
    runs.add([record(0), record(1)], 0)
    assert not runs.goes_back([record(2)])
    assert runs.goes_back([record(1)])
    assert not runs.goes_back([])


def test_a_state_of_the_first_version_goes_on() -> None:
    fields = [(r.offset, r.time_ns, r.exchange, r.line) for r in (record(5), record(6))]
    runs = PartitionRuns("topic", 0, 20, restored((5, 7, fields)))
    runs.add([record(7)], 9)
    found = runs.next(ends=True)
    assert isinstance(found, ArchiveObject)
    assert (found.key.first_offset, found.lines) == (5, [b"5", b"6", b"7"])
    assert PartitionRuns("topic", 0, 20, runs.state()).state() == runs.state()
