"""The style of the house, where no linter knows it."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("api", "connectors", "dataflows", "schemas")
MODULES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))

# A function that does not fit on a screen has a part that wants a name.
MOST_LINES = 70
LAYERS = {
    # Pure: no I/O, no engine. What is to the right must not be imported.
    "schemas": ("connectors", "dataflows", "api", "bytewax", "confluent_kafka", "psycopg", "boto3"),
    "dataflows/domain": ("bytewax", "confluent_kafka", "psycopg", "boto3", "connectors"),
    "connectors": ("api",),
}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_opens_with_its_place_in_the_whole(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)) or not path.read_text().strip()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_fit_on_a_screen(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= MOST_LINES, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("folder", LAYERS)
def test_a_layer_does_not_know_what_is_above_it(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(tree_of(path)):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for name in names:
                assert name.partition(".")[0] not in LAYERS[folder], f"{path}: {name}"


def test_wall_clock_is_read_through_one_seam() -> None:
    for path in MODULES:
        if path.name == "clock.py":
            continue
        text = path.read_text()
        assert "time.time(" not in text, path
        assert "time.time_ns(" not in text, path
        assert "datetime.utcnow(" not in text, path


def test_no_file_leaves_work_behind() -> None:
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in names:
        if name.endswith((".py", ".md", ".yaml", ".sql", ".toml", "Makefile", "Dockerfile")):
            text = (ROOT / name).read_text(errors="replace")
            for mark in ("TO" + "DO", "FIX" + "ME", "X" * 3 + ":", "<" * 7):
                assert mark not in text, f"{name}: {mark}"
