"""The short form of `make soak`: four faults within half a minute."""

from pathlib import Path

import pytest

from tests.dataflows.soak import FLOWS, Soak


@pytest.mark.timeout(300)  # a minute alone on two cores, and more beside other tests
def test_a_short_soak_ends_with_true_rows(tmp_path: Path) -> None:
    report = Soak(tmp_path, seconds=24, fault_seconds=5, seed=3).run()

    assert sum(report.faults.values()) == 4
    assert report.rows > 1_000
    for flow in FLOWS:
        assert report.peak_memory_mb[flow] < 400
        assert report.file_descriptors_late[flow] < 400
