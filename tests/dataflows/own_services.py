"""Services of a test's own, which it may kill, and a pipeline on them."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from connectors.local.cache import remove
from connectors.local.stack import Stack
from connectors.process.environment import Environment
from connectors.process.probes import Name
from tests.dataflows.harness import Pipeline


class Ground:
    """Services of the test's own, which it may kill, and a pipeline on them."""

    def __init__(
        self,
        folder: Path,
        regions: Iterable[str] = ("NE",),
        services: Sequence[Name] = ("kafka", "postgres"),
    ) -> None:
        # Not in the folder: another run of pytest closes its parent to PostgreSQL's own user.
        self._state = Path(tempfile.mkdtemp(prefix="marketflow-"))
        self.stack = Stack(self._state, environment={})
        try:
            self.services = Environment.read(self.stack.start(services).variables())
            self.dsn = self.create_database("outage")
            self.pipeline = Pipeline(self.services, self.dsn, folder, regions=regions)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops the services and removes their data."""
        self.stack.stop()
        remove(self._state)

    def create_database(self, name: str) -> str:
        """The URI of a new, empty database."""
        server = self.services.require_postgres()
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return server.rpartition("/")[0] + f"/{name}"

    def kill(self, name: Name) -> None:
        """Ends a service as a power cut would, with everything that it started."""
        process = self.stack.state().processes[name]
        family = psutil.Process(process.pid)
        for member in [family, *family.children(recursive=True)]:
            member.kill()
        psutil.wait_procs([family], timeout=10)

    def restart(self, name: Name) -> None:
        """Starts it again, on its old port and data."""
        self.stack.start([name])
