"""The archive's way into the object store: an epoch is done when its objects are stored.

An object is only ever created. Where one of its name is there already, written before a crash, it
stands, and what it holds is not stored again (:mod:`dataflows.domain.archive`). While the store is
away the flow is held back, and goes on by itself.
"""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeAlias

from botocore.exceptions import BotoCoreError, ClientError
from bytewax.outputs import StatefulSinkPartition
from typing_extensions import override

from connectors.archive.client import make_client
from connectors.archive.runs import PartitionRuns, RunState
from connectors.process import clock, metrics
from connectors.process.environment import Environment
from connectors.process.lifecycle import HEART, STOP
from connectors.sinks import LaneSink
from schemas.archive import ArchiveBatch, ArchiveObject
from schemas.errors import UndeliveredError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log: Final = logging.getLogger("marketflow.archive")

# Partitions are stored side by side; the objects of one in the order of its log.
UPLOADS: Final = 8

_BACKOFF_SECONDS: Final = 0.2
_BACKOFF_LIMIT_SECONDS: Final = 10.0
_EXISTS: Final = frozenset({409, 412})

LaneState: TypeAlias = dict[str, RunState]


class ArchiveSink(LaneSink[ArchiveBatch, LaneState]):
    """Takes batches by `<topic>/<partition>`.

    Args:
        environment: Names the store and the bucket.
        most_records: How many records one object of a topic holds.
        time_limit_ms: After which a quiet partition's records are stored all the same.
    """

    def __init__(
        self, environment: Environment, most_records: Mapping[str, int], time_limit_ms: int
    ) -> None:
        self._environment = environment
        self._most_records = most_records
        self._time_limit_ns = time_limit_ms * 1_000_000

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: LaneState | None) -> "_Lane":
        del step_id, for_part
        store = ObjectStore(make_client(self._environment), self._environment.s3_bucket)
        return _Lane(store, self._most_records, self._time_limit_ns, resume_state or {})


class _Lane(StatefulSinkPartition[ArchiveBatch, LaneState]):
    def __init__(
        self,
        store: "ObjectStore",
        most_records: Mapping[str, int],
        time_limit_ns: int,
        state: LaneState,
    ) -> None:
        self._store = store
        self._most_records = most_records
        self._time_limit_ns = time_limit_ns
        self._runs: dict[str, PartitionRuns] = {}
        for key, run_state in state.items():
            topic, _, partition = key.rpartition("/")
            self._open(topic, int(partition), run_state)
        self._uploads = ThreadPoolExecutor(UPLOADS, "archive")

    def write_batch(self, values: list[ArchiveBatch]) -> None:
        now_ns = clock.now_ns()
        ending = set()
        touched: dict[str, PartitionRuns] = {}
        for batch in values:
            key = f"{batch.topic}/{batch.partition}"
            runs = touched[key] = self._runs.get(key) or self._open(batch.topic, batch.partition)
            runs.add(batch.records, now_ns)
            if batch.ends or now_ns - runs.since_ns >= self._time_limit_ns:
                ending.add(key)
        list(self._uploads.map(lambda key: self._store_runs(touched[key], key in ending), touched))

    def snapshot(self) -> LaneState:
        return {key: runs.state() for key, runs in self._runs.items()}

    def close(self) -> None:
        self._uploads.shutdown()

    def _open(self, topic: str, partition: int, state: RunState | None = None) -> PartitionRuns:
        runs = PartitionRuns(topic, partition, self._most_records[topic], state)
        self._runs[f"{topic}/{partition}"] = runs
        return runs

    def _store_runs(self, runs: PartitionRuns, ends: bool) -> None:  # noqa: FBT001  # mapped over
        while found := runs.next(ends=ends):
            last_offset = self._store.create(found)
            runs.skip_to(last_offset + 1, clock.now_ns())


class ObjectStore:
    """A bucket that objects are created in, each once.

    Args:
        client: Of the store; threads share it.
        bucket: Its name.
    """

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def create(self, found: ArchiveObject) -> int:
        """Creates an object, unless it is there; the last offset that the one in the store holds.

        It waits for as long as the store does not take it.

        Raises:
            UndeliveredError: The flow is to end before the store took it.
        """
        return self._patiently(found.key, lambda: self._create(found))

    def _create(self, found: ArchiveObject) -> int:
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=found.key,
                Body=found.body,
                Metadata=found.metadata,
                ContentType="application/x-ndjson",
                ContentEncoding="gzip",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in _EXISTS:
                raise
            stored = self._client.head_object(Bucket=self._bucket, Key=found.key)
            last_offset = int(stored["Metadata"]["last-offset"])
            if last_offset != found.last_offset:
                log.info("%s is there, to offset %d", found.key, last_offset)
            return last_offset
        metrics.OBJECTS.labels(found.key.split("/")[1]).inc()
        return found.last_offset

    def _patiently(self, key: str, create: Callable[[], int]) -> int:
        backoff_seconds = _BACKOFF_SECONDS
        since: float | None = None
        while True:
            try:
                last_offset = create()
            except (BotoCoreError, ClientError) as error:
                if since is None:
                    since = time.monotonic()
                    log.warning("the object store does not take %s, retrying: %s", key, error)
                if STOP.is_set:
                    raise UndeliveredError(
                        f"{key}: not stored before the end of the flow: {error}"
                    ) from error
                HEART.beat()  # it waits, and does not hang
                time.sleep(backoff_seconds)
                backoff_seconds = min(2 * backoff_seconds, _BACKOFF_LIMIT_SECONDS)
            else:
                if since is not None:
                    outage_seconds = time.monotonic() - since
                    log.warning(
                        "the object store takes objects again, after %.1f s", outage_seconds
                    )
                return last_offset
