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
from pathlib import Path
from typing import Any

import pytest

from tests.dataflows.market import MarketTrade, make_market, truth

ROOT = Path(__file__).parents[2]
OVERLAY = ROOT / "k8s" / "overlays" / "local"
SPACE = "marketflow"
TOPIC = "neSocketDataIn-trade"

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

pytestmark = pytest.mark.timeout(1_200)


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
    text = kubectl(
        "-n", SPACE, "exec", "postgres-0", "--", "psql", "-qAt",
        "postgresql://marketflow:marketflow@127.0.0.1/marketflow", "-c",
        "SELECT json_build_object('symbol', symbol, 'minute', extract(epoch FROM minute)::bigint,"
        " 'is_final', is_final, 'revision', revision, 'buy_count', buy_count,"
        " 'sell_count', sell_count, 'taker_buy_volume', taker_buy_volume::text,"
        " 'taker_sell_volume', taker_sell_volume::text) FROM taker_volume",
    )  # fmt: skip
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


def test_kills_scaling_and_a_new_version_leave_the_rows_true(cluster: Path) -> None:
    market = make_market(count=24_000, symbols=30, minutes=8)
    part = len(market) // 6
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

    kubectl("-n", SPACE, "rollout", "restart", "statefulset/taker-volume")
    feed(market[5 * part :])
    kubectl("-n", SPACE, "rollout", "status", "statefulset/taker-volume", "--timeout=240s")

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
