"""The archive's way into the object store: an epoch is done when its objects are stored.

An object is only ever created. Where one of its name is there already, written before a crash,
what it holds is compared: the same records are not stored again, others are of a log that began
anew, and get a key of their own generation. While the store is away the flow is held back, and
goes on by itself.
"""

import gzip
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from bytewax.outputs import StatefulSinkPartition
from typing_extensions import override

from connectors.archive.client import make_client
from connectors.archive.runs import PartitionRuns, RunState, restored
from connectors.kafka.topics import topic_ids
from connectors.process import clock, metrics
from connectors.process.environment import Environment
from connectors.process.lifecycle import HEART, STOP
from connectors.sinks import LaneSink
from schemas.archive import FIRST_GENERATION, ArchiveBatch, ArchiveObject
from schemas.errors import UndeliveredError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log: Final = logging.getLogger("marketflow.archive")

# Partitions are stored side by side; the objects of one in the order of its log.
UPLOADS: Final = 8

_BACKOFF_SECONDS: Final = 0.2
_MAX_BACKOFF_SECONDS: Final = 10.0
_EXISTS: Final = frozenset({409, 412})

X = TypeVar("X")
LaneState: TypeAlias = dict[str, RunState]


class ArchiveSink(LaneSink[ArchiveBatch, LaneState]):
    """Objects of batches by `<topic>/<partition>`.

    Args:
        environment: Names the store and the bucket.
        max_records: How many records one object of a topic holds.
        time_limit_ms: After which a quiet partition's records are stored all the same.
    """

    def __init__(
        self, environment: Environment, max_records: Mapping[str, int], time_limit_ms: int
    ) -> None:
        self._environment = environment
        self._max_records = max_records
        self._time_limit_ns = time_limit_ms * 1_000_000

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: LaneState | None) -> "_Lane":
        del step_id, for_part
        store = ObjectStore(make_client(self._environment), self._environment.s3_bucket)
        kafka = self._environment.require_kafka()

        def generation_of(topic: str) -> int:
            topic_id = topic_ids(kafka, [topic]).get(topic)
            return FIRST_GENERATION if topic_id is None else store.generation(topic, topic_id)

        return _Lane(
            store, generation_of, self._max_records, self._time_limit_ns, resume_state or {}
        )


class _Lane(StatefulSinkPartition[ArchiveBatch, LaneState]):
    def __init__(
        self,
        store: "ObjectStore",
        generation_of: Callable[[str], int],
        max_records: Mapping[str, int],
        time_limit_ns: int,
        state: LaneState,
    ) -> None:
        self._store = store
        self._generation_of = generation_of
        self._max_records = max_records
        self._time_limit_ns = time_limit_ns
        self._runs: dict[str, PartitionRuns] = {}
        for key, run_state in state.items():
            topic, _, partition = key.rpartition("/")
            self._runs[key] = self._make(topic, int(partition), restored(run_state))
        self._uploads = ThreadPoolExecutor(UPLOADS, "archive")

    def write_batch(self, values: list[ArchiveBatch]) -> None:
        now_ns = clock.now_ns()
        ending = set()
        touched: dict[str, PartitionRuns] = {}
        for batch in values:
            key = f"{batch.topic}/{batch.partition}"
            runs = touched[key] = self._runs.get(key) or self._open(batch.topic, batch.partition)
            if runs.goes_back(batch.records):
                self._store_runs(runs, ends=True)
                runs.begin_again(self._generation_of(batch.topic))
            runs.add(batch.records, now_ns)
            if batch.ends or now_ns - runs.since_ns >= self._time_limit_ns:
                ending.add(key)

        def store(key: str) -> None:
            self._store_runs(touched[key], ends=key in ending)

        list(self._uploads.map(store, touched))

    def snapshot(self) -> LaneState:
        return {key: runs.state() for key, runs in self._runs.items()}

    def close(self) -> None:
        self._uploads.shutdown()

    def _open(self, topic: str, partition: int) -> PartitionRuns:
        runs = self._runs[f"{topic}/{partition}"] = self._make(topic, partition)
        runs.begin_again(self._generation_of(topic))
        return runs

    def _make(self, topic: str, partition: int, state: RunState | None = None) -> PartitionRuns:
        return PartitionRuns(topic, partition, self._max_records[topic], state)

    def _store_runs(self, runs: PartitionRuns, *, ends: bool) -> None:
        while found := runs.next(ends=ends):
            lines, generation = self._store.create(found)
            runs.stored(lines, generation, clock.now_ns())


class ObjectStore:
    """A bucket that objects are created in, each once.

    Args:
        client: Of the store; threads share it.
        bucket: Its name.
    """

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def create(self, found: ArchiveObject) -> tuple[list[bytes], int]:
        """Create an object, unless it is there; wait while the store does not take it.

        Returns:
            The lines that the store has from the object's first offset on, more or fewer than
            those given, and the generation in which it has them.

        Raises:
            UndeliveredError: The flow is to end before the store took it.
        """
        key = found.key
        while True:
            text = key.text
            stored = self._patiently(text, lambda text=text: self._create(text, found))  # type: ignore[misc]
            shared = min(len(stored), len(found.lines))
            if shared and stored[:shared] == found.lines[:shared]:
                return stored, key.generation
            log.warning("%s holds other records: the log began anew, a new generation", text)
            key = key._replace(generation=key.generation + 1)

    def generation(self, topic: str, topic_id: str) -> int:
        """Return how often the topic had been created when it got this id, from one on."""
        folder = f"generations/{topic}/"
        return self._patiently(folder, lambda: self._generation(folder, topic_id))

    def _create(self, key: str, found: ArchiveObject) -> list[bytes]:
        """Create an object of this key; return the lines of the one that has it then."""
        is_new = self._put(
            key,
            found.body,
            Metadata=found.metadata,
            ContentType="application/x-ndjson",
            ContentEncoding="gzip",
        )
        if not is_new:
            return self._lines(key)
        metrics.OBJECTS.labels(found.key.hour.topic).inc()
        return found.lines

    def _lines(self, key: str) -> list[bytes]:
        """Return what an object holds; nothing where it is damaged."""
        stored = self._client.get_object(Bucket=self._bucket, Key=key)
        body = stored["Body"].read()
        if hashlib.sha256(body).hexdigest() != stored["Metadata"].get("sha256"):
            return []
        return gzip.decompress(body).split(b"\n")[:-1]

    def _generation(self, folder: str, topic_id: str) -> int:
        while True:
            known = {}
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=folder
            )
            for entry in (entry for page in pages for entry in page.get("Contents", [])):
                number = int(entry["Key"].removeprefix(folder))
                stored = self._client.get_object(Bucket=self._bucket, Key=entry["Key"])
                known[stored["Body"].read().decode()] = number
            if topic_id in known:
                return known[topic_id]
            number = max(known.values(), default=FIRST_GENERATION - 1) + 1
            # Another shard may have been quicker: then look again.
            if self._put(f"{folder}{number:04d}", topic_id.encode(), ContentType="text/plain"):
                return number

    def _put(self, key: str, body: bytes, **options: Any) -> bool:
        """Create an object; return `False` where it is there already."""
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*", **options
            )
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in _EXISTS:
                raise
            return False
        return True

    def _patiently(self, key: str, request: Callable[[], X]) -> X:
        backoff_seconds = _BACKOFF_SECONDS
        since: float | None = None
        while True:
            try:
                answer = request()
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
                backoff_seconds = min(2 * backoff_seconds, _MAX_BACKOFF_SECONDS)
            else:
                if since is not None:
                    outage_seconds = time.monotonic() - since
                    log.warning(
                        "the object store takes objects again, after %.1f s", outage_seconds
                    )
                return answer
