"""`marketflow store`: the folder in which a dataflow keeps its state, made before it starts.

A store belongs to one division of the partitions. After the number of shards was changed each
shard gets a new one, and reads its partitions from the log: that gives the same rows, and of
those that are there nothing is written twice (README, guarantees).
"""

from pathlib import Path

import click

from connectors.process import recovery
from connectors.process.environment import Environment
from schemas.errors import SettingsError


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def store(folder: Path) -> None:
    """Make the recovery store of this SHARD below FOLDER, unless it is there.

    Prints its path, for `python -m bytewax.run -r`.
    """
    click.echo(make_store(folder, Environment.read()))


def make_store(folder: Path, environment: Environment) -> Path:
    """Make the store of a shard; `current` beside it leads to it.

    Raises:
        SettingsError: The folder cannot be written.
    """
    shard = environment.shard
    path = folder / f"shard-{shard.index}-of-{shard.count}"
    recovery.make_store(path)
    try:
        current = folder / "current"
        current.unlink(missing_ok=True)
        current.symlink_to(path.name)
    except OSError as error:
        raise SettingsError(f"recovery store {path}: {error.strerror}") from error
    return path
