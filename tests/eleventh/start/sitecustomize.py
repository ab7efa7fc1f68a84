"""Python imports this at its start: the dataflow's processes find Tinyex beside the ten others."""

from pathlib import Path

import schemas.exchanges

folder = str(Path(__file__).parents[1] / "packages")
schemas.exchanges.__path__.append(folder)
schemas.exchanges.EXCHANGES.update(schemas.exchanges.discover([folder]))
