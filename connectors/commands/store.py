"""`marketflow store`: the folder in which a dataflow keeps its state, made before it starts.

A store belongs to one division of the partitions. After the number of shards was changed each
shard gets a new one, and reads its partitions from the log: that gives the same rows, and of
those that are there nothing is written twice (README, guarantees).
"""

import subprocess
import sys
from pathlib import Path

import click

from connectors.process.environment import Environment
from schemas.errors import SettingsError

# More workers than this in one process will not share a store.
PARTITIONS = 4


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def store(folder: Path) -> None:
    """Make the recovery store of this SHARD below FOLDER, unless it is there.

    Prints its path, for `python -m bytewax.run -r`.
    """
    click.echo(make_store(folder, Environment.read()))


def make_store(folder: Path, environment: Environment) -> Path:
    """Makes the store of a shard; `current` beside it leads to it.

    Raises:
        SettingsError: The folder cannot be written.
    """
    shard = environment.shard
    path = folder / f"shard-{shard.index}-of-{shard.count}"
    try:
        if not any(path.glob("part-*.sqlite3")):
            path.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "bytewax.recovery", str(path), str(PARTITIONS)]
            subprocess.run(command, check=True)  # noqa: S603  # our own words
        current = folder / "current"
        current.unlink(missing_ok=True)
        current.symlink_to(path.name)
    except OSError as error:
        raise SettingsError(f"recovery store {path}: {error.strerror}") from error
    return path
