"""The style of the house, where no linter knows it."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("api", "connectors", "dataflows", "schemas")
MODULES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))

# A function that does not fit on a screen has a part that wants a name.
MOST_LINES = 70
# Top down: commands, api and dataflows, connectors, schemas. What is to the right of a folder
# must not be imported there; the longest folder that fits a module is its own.
OUTSIDE = ("bytewax", "confluent_kafka", "psycopg", "boto3")
LAYERS = {
    "schemas": ("connectors", "dataflows", "api", *OUTSIDE),
    "dataflows/domain": ("connectors", "dataflows.operators", "api", *OUTSIDE),
    "dataflows": ("connectors.commands", "api"),
    "api": ("connectors.commands", "dataflows", "bytewax"),
    "connectors": ("connectors.commands", "dataflows", "api"),
    "connectors/commands": (),
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


def layer_of(path: Path) -> str:
    name = path.relative_to(ROOT).as_posix()
    return max((folder for folder in LAYERS if name.startswith(f"{folder}/")), key=len)


def imported(tree: ast.Module) -> set[str]:
    """Return the modules that are imported or named in a string, as a table of commands does."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= set(re.findall(r"^(?:api|connectors|dataflows)(?:\.\w+)+", node.value))
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_goes_up(path: Path) -> None:
    above = tuple(f"{name}." for name in LAYERS[layer_of(path)])
    for name in imported(tree_of(path)):
        assert not f"{name}.".startswith(above), f"{path}: {name}"


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
