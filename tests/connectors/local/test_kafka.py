"""A broker in folders of any name, and after a crash."""

from pathlib import Path

import pytest

from connectors.local.stack import Stack
from connectors.process import probes
from connectors.process.environment import Environment


@pytest.mark.parametrize("name", ["é 한 x"])
def test_services_run_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    stack = Stack(tmp_path / name / ".marketflow", environment={})
    try:
        environment = Environment.read(stack.start(["kafka", "postgres"]).variables())

        assert probes.failure("kafka", environment) is None
        assert probes.failure("postgres", environment) is None
        assert (stack.folder / "kafka" / "data" / "meta.properties").exists()
    finally:
        stack.stop()
