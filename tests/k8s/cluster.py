"""The pipeline on a real cluster: applied from nothing, killed, scaled, rolled; rows stay true.

`make test-k8s` runs it against the cluster that KUBECONFIG names, with the image
localhost/marketflow:test and the services' images there. It makes and deletes the namespace
`marketflow`, and touches nothing else.
"""

import json
import os
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.dataflows.market import MarketTrade, make_market, truth

ROOT = Path(__file__).parents[2]
OVERLAY = ROOT / "k8s" / "overlays" / "local"
SPACE = "marketflow"
TOPIC = "neSocketDataIn-trade"
PROCESSED = "Region.NE_TakerVolumePreprocessing"
FLOWS = ("taker-volume", "ticker", "orderbook", "archive")

# Runs in a pod: reads `<partition> <frame>` lines, puts them into the topic.
PRODUCE = """
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": "kafka:9092"})
for line in sys.stdin.buffer:
    partition, _, frame = line.rstrip(b"\\n").partition(b" ")
    producer.produce("%s", frame, b"binance", int(partition))
    producer.poll(0)
sys.exit(producer.flush(60))
"""

# Runs in a pod of the archive: the records of a topic's partition, and what the archive holds of
# it; both must be the same lines. Prints the records.
COMPARE = """
import sys
from confluent_kafka import Consumer, TopicPartition
from connectors.archive.objects import hours, read_objects
from connectors.process.environment import Environment
from connectors.archive.client import make_client
environment = Environment.read()
consumer = Consumer({**environment.require_kafka(), "group.id": "compare"})
where = TopicPartition("%s", 0)
low, high = consumer.get_watermark_offsets(where, 20)
consumer.assign([TopicPartition("%s", 0, low)])
records = []
while len(records) < high - low:
    records += [message.value() for message in consumer.consume(1_000, 5)]
client, bucket = make_client(environment), environment.s3_bucket
keys = [key for found in hours(client, bucket, "%s").values() for key in found]
stored = sorted(r for r in read_objects(client, bucket, keys) if r.partition == 0)
if [(r.offset, r.line) for r in stored] != list(enumerate(records)):
    sys.exit(f"{len(records)} records, {len(stored)} in the archive")
sys.stdout.buffer.write(b"\\n".join(records))
""".replace("%s", PROCESSED)

pytestmark = pytest.mark.timeout(1_800)


def kubectl(*arguments: str, stdin: bytes | None = None) -> str:
    done = subprocess.run(
        ["kubectl", *arguments], input=stdin, capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr.decode()}"
    return done.stdout.decode()


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(1)


def ready_replicas(flow: str) -> int:
    status = json.loads(kubectl("-n", SPACE, "get", "statefulset", flow, "-o", "json"))["status"]
    if status.get("updateRevision") != status.get("currentRevision"):
        return 0
    return int(status.get("readyReplicas", 0))


def has_ready(flow: str, count: int) -> bool:
    return ready_replicas(flow) == count


def is_ready(pod: str) -> bool:
    status = json.loads(kubectl("-n", SPACE, "get", "pod", pod, "-o", "json"))["status"]
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status["conditions"])


def apply_with(folder: Path, shards: int) -> None:
    """The one act of scaling: both numbers in an overlay, and apply it."""
    base = os.path.relpath(OVERLAY, folder)
    (folder / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\n"
        "kind: Kustomization\n"
        f"namespace: {SPACE}\n"
        f"resources: [{base}]\n"
        "configMapGenerator:\n"
        "  - name: shards\n"
        "    behavior: merge\n"
        f"    literals: [taker-volume={shards}]\n"
        "replicas:\n"
        f"  - {{name: taker-volume, count: {shards}}}\n"
    )
    kubectl("apply", "-k", str(folder))
    wait_for(lambda: ready_replicas("taker-volume") == shards, f"{shards} shards")


def feed(trades: list[MarketTrade]) -> None:
    """A symbol's trades are all in one of the three partitions."""
    lines = b"".join(
        b"%d %s\n" % (zlib.crc32(trade.symbol.encode()) % 3, trade.frame()) for trade in trades
    )
    kubectl(
        "-n", SPACE, "exec", "-i", "deploy/api", "--", "python", "-c", PRODUCE % TOPIC,
        stdin=lines,
    )  # fmt: skip


def rows() -> dict[tuple[str, int], dict[str, Any]]:
    text = psql(
        "SELECT json_build_object('symbol', symbol, 'minute', extract(epoch FROM minute)::bigint,"
        " 'is_final', is_final, 'revision', revision, 'buy_count', buy_count,"
        " 'sell_count', sell_count, 'taker_buy_volume', taker_buy_volume::text,"
        " 'taker_sell_volume', taker_sell_volume::text) FROM taker_volume"
    )
    found = [json.loads(line) for line in text.splitlines()]
    return {(row["symbol"].replace("-", ""), row["minute"] // 60): row for row in found}


def assert_true(trades: list[MarketTrade]) -> None:
    expected = truth(trades)
    wait_for(
        lambda: (
            len(found := rows()) == len(expected) and all(row["is_final"] for row in found.values())
        ),
        "all minutes are final",
    )
    found = rows()
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        for name in ("buy_count", "sell_count"):
            assert found[key][name] == values[name], key
        for name in ("taker_buy_volume", "taker_sell_volume"):
            assert Decimal(found[key][name]) == values[name], key


def final(found: Any) -> bool:
    return bool(found["is_final"])


def assert_records_and_objects_true(trades: list[MarketTrade]) -> None:
    """Each record is in one object, and the newest state of each minute is the market's."""
    found: list[bytes] = []

    def archived() -> bool:
        done = subprocess.run(
            ["kubectl", "-n", SPACE, "exec", "archive-0", "-c", "flow", "--",
             "python", "-c", COMPARE],
            capture_output=True, check=False, timeout=120,
        )  # fmt: skip
        found[:] = done.stdout.splitlines()
        return done.returncode == 0

    wait_for(archived, "every record is archived once")
    newest: dict[tuple[str, int], dict[str, Any]] = {}
    for record in filter(final, map(json.loads, found)):
        key = record["symbol"].replace("-", ""), record["minute"] // 60
        if record["revision"] >= newest.get(key, record)["revision"]:
            newest[key] = record
    expected = truth(trades)
    assert newest.keys() == expected.keys()
    for key, values in expected.items():
        for name in ("taker_buy_volume", "taker_sell_volume", "taker_buy_notional", "high"):
            value = newest[key][name]
            assert (value and Decimal(value)) == values[name], key


def psql(statement: str) -> str:
    return kubectl(
        "-n", SPACE, "exec", "postgres-0", "--", "psql", "-qAt",
        "postgresql://marketflow:marketflow@127.0.0.1/marketflow", "-c", statement,
    )  # fmt: skip


def pods_of(flow: str) -> dict[str, str]:
    """The pods' names and ids."""
    label = f"app.kubernetes.io/component={flow}"
    items = json.loads(kubectl("-n", SPACE, "get", "pods", "-l", label, "-o", "json"))["items"]
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in items}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The local overlay, from nothing."""
    folder = tmp_path_factory.mktemp("overlay")
    kubectl("delete", "namespace", SPACE, "--ignore-not-found", "--wait")
    apply_with(folder, 1)
    kubectl("-n", SPACE, "wait", "--for=condition=complete", "job/init", "--timeout=240s")
    kubectl("-n", SPACE, "rollout", "status", "deploy/api", "--timeout=240s")
    yield folder
    kubectl("delete", "namespace", SPACE, "--wait")


def drain() -> None:
    """The node's dataflows are evicted, as far as the budgets let them, and come back."""
    (node,) = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    name = node["metadata"]["name"]
    before = {flow: pods_of(flow) for flow in FLOWS}
    # One node: what was evicted cannot come back before it may be used again, and a second pod
    # of a dataflow is not evicted before the first is back. So it does not end by itself.
    subprocess.run(
        ["kubectl", "drain", name, "--pod-selector=marketflow/role=flow", "--delete-emptydir-data",
         "--ignore-daemonsets", "--timeout=20s"],
        capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    kubectl("uncordon", name)
    for flow, pods in before.items():
        wait_for(partial(has_ready, flow, len(pods)), f"{flow} is back")
        assert pods_of(flow) != pods, f"{flow} was not evicted"


def give_up_the_volume(pod: str) -> None:
    """As the runbook says for a broken volume."""
    kubectl("-n", SPACE, "delete", "pvc", f"state-{pod}", "--wait=false")
    kubectl("-n", SPACE, "delete", "pod", pod)


def test_kills_scaling_a_drain_and_a_new_version_leave_all_true(cluster: Path) -> None:
    market = make_market(count=32_000, symbols=30, minutes=8)
    part = len(market) // 8
    feed(market[:part])

    kubectl("-n", SPACE, "delete", "pod", "taker-volume-0", "--grace-period=0", "--force")
    feed(market[part : 2 * part])
    wait_for(lambda: ready_replicas("taker-volume") == 1, "the killed pod is back")

    apply_with(cluster, 3)
    feed(market[2 * part : 3 * part])
    kubectl("-n", SPACE, "delete", "pod", "taker-volume-1", "--grace-period=0", "--force")
    feed(market[3 * part : 4 * part])

    apply_with(cluster, 2)
    feed(market[4 * part : 5 * part])

    drain()
    feed(market[5 * part : 6 * part])
    give_up_the_volume("taker-volume-1")
    feed(market[6 * part : 7 * part])
    wait_for(lambda: ready_replicas("taker-volume") == 2, "the new volume is in use")

    kubectl("-n", SPACE, "rollout", "restart", "statefulset/taker-volume", "statefulset/archive")
    feed(market[7 * part :])
    for flow in ("taker-volume", "archive"):
        kubectl("-n", SPACE, "rollout", "status", f"statefulset/{flow}", "--timeout=240s")

    assert_true(market)
    assert_records_and_objects_true(market)

    # The database is lost, and comes back from the archive, as the runbook says.
    psql("TRUNCATE taker_volume, ticker_latest")
    said = kubectl("-n", SPACE, "exec", "archive-0", "-c", "flow", "--", "marketflow", "restore")
    assert "records read into taker_volume" in said
    assert_true(market)


def test_readiness_follows_the_broker(cluster: Path) -> None:
    del cluster
    wait_for(lambda: is_ready("taker-volume-0"), "ready before")

    kubectl("-n", SPACE, "scale", "statefulset", "kafka", "--replicas=0")
    wait_for(lambda: not is_ready("taker-volume-0"), "not ready without the broker", 60)
    kubectl("-n", SPACE, "scale", "statefulset", "kafka", "--replicas=1")

    wait_for(lambda: is_ready("taker-volume-0"), "ready again")


def test_a_shard_that_there_is_not_stops_with_a_sentence(cluster: Path) -> None:
    """`kubectl scale` alone must not count anything twice: the shard says what is wrong."""
    del cluster
    kubectl("-n", SPACE, "scale", "statefulset", "taker-volume", "--replicas=3")

    def said() -> bool:
        done = subprocess.run(
            ["kubectl", "-n", SPACE, "logs", "taker-volume-2", "-c", "store"],
            capture_output=True,
            check=False,
        )
        return b"SHARD is '2/2'" in done.stdout + done.stderr

    wait_for(said, "the third shard of two refuses")
    kubectl("-n", SPACE, "scale", "statefulset", "taker-volume", "--replicas=2")


def test_one_cluster_of_three_pods_counts_as_shards_do(cluster: Path) -> None:
    del cluster
    kubectl("-n", SPACE, "scale", "statefulset", "taker-volume", "--replicas=0")
    wait_for(lambda: not pods_of("taker-volume"), "the shards are gone")
    psql("TRUNCATE taker_volume")
    kubectl("-n", SPACE, "delete", "job", "init", "--ignore-not-found")
    kubectl("apply", "-k", str(ROOT / "k8s" / "overlays" / "cluster-mode"))
    wait_for(lambda: ready_replicas("taker-volume") == 3, "three processes")
    market = make_market(count=32_000, symbols=30, minutes=8)
    feed(market)  # for the second time, if the other tests ran: nothing counts twice

    assert_true(market)
