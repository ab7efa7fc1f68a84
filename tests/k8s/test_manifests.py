"""The manifests without a cluster: by the schemas of Kubernetes, and by the rules of the house."""

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from connectors.kafka.topics import needed_topics
from connectors.process import metrics
from schemas.settings import parse_settings

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
VERSION = "1.34"
KUSTOMIZE = ("kustomization.yaml", "alerts.yaml", "pipeline.yaml")
FLOWS = ("collect", "taker-volume", "ticker", "orderbook", "audit", "archive")


def documents() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path in sorted(K8S.rglob("*.yaml")):
        if path.name in KUSTOMIZE:
            continue
        for document in yaml.safe_load_all(path.read_text()):
            name = f"{path.relative_to(K8S)}:{document['kind']}/{document['metadata']['name']}"
            found.append((name, document))
    return found


DOCUMENTS = documents()
COMPONENT = next(d for name, d in DOCUMENTS if name.startswith("components/flow/"))


def merged(name: str) -> dict[str, Any]:
    """A dataflow's StatefulSet with the component over it, as far as these tests look."""
    own = next(d for n, d in DOCUMENTS if n == f"base/{name}.yaml:StatefulSet/{name}")
    spec, common = own["spec"]["template"]["spec"], COMPONENT["spec"]["template"]["spec"]
    pod = {**common, **{k: v for k, v in spec.items() if k not in ("containers", "initContainers")}}
    for kind in ("containers", "initContainers"):
        (mine,), (shared,) = spec[kind], common[kind]
        environment = {e["name"]: e for e in [*shared["env"], *mine.get("env", [])]}
        pod[kind] = [{**shared, **mine, "env": list(environment.values())}]
    return {
        **own,
        "spec": {
            **COMPONENT["spec"],
            **own["spec"],
            "template": {**own["spec"]["template"], "spec": pod},
        },
    }


def workloads() -> list[tuple[str, dict[str, Any]]]:
    plain = [
        (name, d)
        for name, d in DOCUMENTS
        if d["kind"] in ("Deployment", "Job", "StatefulSet")
        and not name.startswith("components/")
        and d["metadata"]["name"] not in FLOWS
    ]
    return [*plain, *((name, merged(name)) for name in FLOWS)]


WORKLOADS = workloads()
IDS = [name for name, _ in WORKLOADS]


@pytest.mark.parametrize(
    "document",
    [d for name, d in DOCUMENTS if not name.startswith("components/")
     and d["metadata"]["name"] not in FLOWS] + [merged(name) for name in FLOWS],
    ids=lambda d: f"{d['kind']}/{d['metadata']['name']}",
)  # fmt: skip
def test_every_manifest_is_valid(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, VERSION, strict=True)


@pytest.mark.parametrize("workload", [d for _, d in WORKLOADS], ids=IDS)
def test_pods_have_no_rights_that_they_do_not_need(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["imagePullPolicy"] == "IfNotPresent"
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", FLOWS)
def test_a_dataflow_gets_its_signals_and_the_time_to_drain(name: str) -> None:
    spec = merged(name)["spec"]
    pod = spec["template"]["spec"]
    (flow,) = pod["containers"]
    # Exec form: a shell between would keep SIGTERM to itself.
    assert flow["command"][:3] == ["python", "-m", "bytewax.run"]
    epoch_seconds = int(flow["command"][flow["command"].index("-s") + 1])
    assert pod["terminationGracePeriodSeconds"] > 60 + epoch_seconds
    assert spec["podManagementPolicy"] == "Parallel"
    assert {probe for probe in flow if probe.endswith("Probe")} == {
        "startupProbe", "livenessProbe", "readinessProbe",
    }  # fmt: skip
    assert flow["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert flow["livenessProbe"]["httpGet"]["path"] == "/health/live"


@pytest.mark.parametrize("name", FLOWS)
def test_a_shard_is_its_ordinal_and_keeps_its_own_state(name: str) -> None:
    spec = merged(name)["spec"]
    for container in [
        *spec["template"]["spec"]["containers"], *spec["template"]["spec"]["initContainers"],
    ]:  # fmt: skip
        variables = [variable["name"] for variable in container["env"]]
        assert variables.index("POD_INDEX") < variables.index("SHARD")
        assert variables.index("SHARD_COUNT") < variables.index("SHARD")
        counted = {v["name"]: v for v in container["env"]}
        assert counted["SHARD"]["value"] == "$(POD_INDEX)/$(SHARD_COUNT)"
        assert counted["SHARD_COUNT"]["valueFrom"]["configMapKeyRef"]["key"] == name
    assert [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]] == ["state"]


@pytest.mark.parametrize("name", FLOWS)
def test_a_dataflow_has_a_budget_and_a_headless_service(name: str) -> None:
    kinds = {d["kind"]: d for n, d in DOCUMENTS if n.startswith(f"base/{name}.yaml")}
    assert kinds["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert kinds["Service"]["spec"]["clusterIP"] == "None"


def test_replicas_and_shards_say_the_same_in_every_overlay() -> None:
    base = yaml.safe_load((K8S / "base" / "kustomization.yaml").read_text())
    shards = dict(x.split("=") for x in base["configMapGenerator"][0]["literals"])
    assert shards == {name: str(merged(name)["spec"]["replicas"]) for name in FLOWS}
    production = yaml.safe_load(
        (K8S / "overlays" / "production" / "kustomization.yaml").read_text()
    )
    shards = dict(x.split("=") for x in production["configMapGenerator"][0]["literals"])
    assert shards == {r["name"]: str(r["count"]) for r in production["replicas"]}


def test_the_processes_of_one_cluster_read_every_partition() -> None:
    overlay = yaml.safe_load((K8S / "overlays" / "cluster-mode" / "kustomization.yaml").read_text())
    pod = yaml.safe_load(overlay["patches"][0]["patch"])["spec"]["template"]["spec"]
    (flow,), (store,) = pod["containers"], pod["initContainers"]
    for container in (flow, store):  # their ordinals are no shards
        assert {"name": "SHARD", "value": "0/1"} in container["env"]
    addresses = flow["command"][flow["command"].index("-a") + 1].split(";")
    assert len(addresses) == overlay["replicas"][0]["count"]


def test_the_pipeline_of_the_cluster_is_that_of_the_project() -> None:
    copied = (K8S / "base" / "pipeline.yaml").read_bytes()
    assert copied == (ROOT / "pipeline.yaml").read_bytes()


def test_the_topics_of_the_operators_are_those_of_the_pipeline() -> None:
    settings = parse_settings((ROOT / "pipeline.yaml").read_bytes(), "pipeline.yaml")
    topics = [d for name, d in DOCUMENTS if name.startswith("components/operators/kafka")]
    assert {t["spec"]["topicName"]: t["spec"]["partitions"] for t in topics} == needed_topics(
        settings
    )
    horizon_ms = settings.taker_volume.correction_horizon_ms
    for topic in topics:
        assert topic["apiVersion"] == "kafka.strimzi.io/v1"
        assert topic["spec"]["config"]["retention.ms"] > 24 * horizon_ms
        is_dead = topic["spec"]["topicName"].endswith(".dlq")
        assert ("max.message.bytes" in topic["spec"]["config"]) == is_dead
    assert len({topic["metadata"]["name"] for topic in topics}) == len(topics)


def test_everything_is_denied_but_what_is_named() -> None:
    policies = [d for _, d in DOCUMENTS if d["kind"] == "NetworkPolicy"]
    (deny,) = [p for p in policies if p["metadata"]["name"] == "default-deny"]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_every_manifest_of_the_base_is_applied() -> None:
    base = yaml.safe_load((K8S / "base" / "kustomization.yaml").read_text())
    files = {path.name for path in (K8S / "base").glob("*.yaml")} - {"kustomization.yaml"}
    assert {*base["resources"], "pipeline.yaml"} == files


def test_one_maintenance_process_keeps_the_tables() -> None:
    (found,) = [d for name, d in WORKLOADS if name == "base/maintain.yaml:Deployment/maintain"]
    assert found["spec"]["replicas"] == 1
    assert found["spec"]["strategy"] == {"type": "Recreate"}
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["marketflow", "maintain"]


def test_no_manifest_of_production_holds_a_secret() -> None:
    for name, document in DOCUMENTS:
        assert document["kind"] != "Secret", name
    for folder in ("base", "overlays/production"):
        text = "".join(p.read_text() for p in (K8S / folder).glob("*.yaml"))
        assert "PASSWORD" not in text
        assert "postgresql://" not in text


def known_metrics() -> set[str]:
    return {
        metric._name  # noqa: SLF001  # prometheus_client has no other way
        for metric in vars(metrics).values()
        if isinstance(metric, Counter | Gauge | Histogram)
    }


def names_in(expression: str) -> set[str]:
    words = "".join(c if c.isalnum() or c == "_" else " " for c in expression).split()
    found = {word for word in words if word.startswith("marketflow_")}
    return {name.removesuffix("_total").removesuffix("_bucket") for name in found}


def test_alerts_say_what_to_do_and_name_metrics_that_there_are() -> None:
    rules = yaml.safe_load((K8S / "monitoring" / "alerts.yaml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert alerts
    for alert in alerts:
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["action"].endswith(".")
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert names_in(alert["expr"]) <= known_metrics(), alert["alert"]
        assert names_in(alert["expr"]) or "up{" in alert["expr"]


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    dashboard = json.loads((K8S / "monitoring" / "grafana-dashboard.json").read_text())
    shown = set()
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            assert names_in(target["expr"]) <= known_metrics(), panel["title"]
            shown |= names_in(target["expr"])
    assert known_metrics() - shown == set(), "a metric that nobody sees"
