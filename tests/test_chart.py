"""The Helm chart: Helm renders it, Kubernetes would take what comes of it, and our processes what it gives them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from bus import Settings, redis_url
from bus.metrics_listener import MetricsListener
from quart_app import create_app
from testbed.ports import free_port
from testbed.servers import answers, wait_until
from tests.compose import Compose, seconds
from tests.metrics_page import labels

ROOT = Path(__file__).parent.parent
KUBERNETES = ROOT / "deploy/kubernetes"
CHART = KUBERNETES / "busctl"
HELM = ROOT / ".venv-chart/bin/python"
VARIABLES = {Settings.variable(field) for field in Settings.model_fields}
SECRET = {"values": {"BUS_SECRET": "0" * 32}}
Document = dict[str, Any]

REDIS = [
    *(f"{scheme}://h" for scheme in redis_url.TCP),
    *(f"{scheme}://h?master_name=m" for scheme in redis_url.SENTINEL),
    *(f"{scheme}:///run/redis" for scheme in redis_url.SOCKET),
]
"""One address of each scheme that is served."""

CASES: dict[str, Document] = {
    "as it is": {"secrets": SECRET},
    "all of it": {
        "secrets": {"existing": "ours"},
        "settings": {"BUS_STREAM_MAX_BYTES": 10_737_418_240, "BUS_APPEND_TIMEOUT": 1.5, "BUS_WEBSOCKET_DEFLATE": False},
        "image": {"tag": "1", "pullSecrets": ["key"]},
        "web": {
            "secret": "web-login",
            "settings": {"BUS_MAX_CONNECTIONS": 20000},
            "autoscaling": {"kind": "hpa"},
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "busctl", "operator": "Exists"}],
            "podAnnotations": {"a": "b"},
        },
        "worker": {"secret": "worker-login", "queues": ["celery", "heavy"], "autoscaling": {"kind": "hpa"}},
        "ingress": {"enabled": True, "host": "app.example.com", "className": "nginx", "tlsSecret": "tls"},
        "networkPolicy": {"enabled": True, "metricsFrom": [{"namespaceSelector": {}}]},
        "metrics": {"podMonitor": True},
    },
    "keda": {
        "secrets": SECRET,
        "prometheus": {"url": "http://prometheus:9090"},
        "web": {"autoscaling": {"kind": "keda"}},
        "worker": {"autoscaling": {"kind": "keda"}},
        "networkPolicy": {"enabled": True},
        "nats": {"streamReplicas": 1},
    },
    **{url: {"secrets": SECRET, "redis": {"url": url}} for url in REDIS},
    "a large number": {"secrets": SECRET, "settings": {"BUS_STREAM_MAX_BYTES": 2**53 + 1}},
    "a large number of web": {"secrets": SECRET, "web": {"settings": {"BUS_STREAM_MAX_BYTES": 1e22}}},
    "a large number in quotes": {"secrets": SECRET, "settings": {"BUS_STREAM_MAX_BYTES": str(2**53 + 1)}},
    "a number as a secret": {"secrets": {"values": {"BUS_SECRET": "0" * 32, "NATS_PASSWORD": 12345678901234567890}}},
    "more at least than at most": {
        "secrets": SECRET,
        "web": {"autoscaling": {"kind": "hpa", "minReplicas": 3, "maxReplicas": 2}},
    },
    "no secret": {},
    "a short secret": {"secrets": {"values": {"BUS_SECRET": "short"}}},
    "drained twice": {"secrets": SECRET, "web": {"settings": {"BUS_DRAIN_DELAY": 5}}},
    "misspelt": {"secrets": SECRET, "web": {"replica": 3}},
    "keda without Prometheus": {"secrets": SECRET, "worker": {"autoscaling": {"kind": "keda"}}},
    "no host": {"secrets": SECRET, "ingress": {"enabled": True}},
}


@pytest.fixture(scope="module")
def rendered() -> dict[str, Document]:
    """What comes of each case; one process renders all of them."""
    if not HELM.exists():
        missing = "nothing renders a Helm chart on this machine: make chart"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    script = ROOT / "tests/helm/render.py"
    values = json.dumps(list(CASES.values())).encode()
    done = subprocess.run([HELM, script, CHART], input=values, stdout=subprocess.PIPE, check=True, timeout=60)
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


GOOD = ("as it is", "all of it", "keda")


def one(documents: list[Document], kind: str, name: str) -> Document:
    [found] = [each for each in documents if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def pod(result: Document, part: str) -> Document:
    spec: Document = one(result["documents"], "Deployment", f"demo-{part}")["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("case", GOOD)
def test_helm_and_kubernetes_find_nothing_wrong(rendered: dict[str, Document], case: str) -> None:
    result = rendered[case]
    assert result["lint"] == []
    assert result["wrong"] == {"1.28": [], "1.37": []}
    kinds = {f"{document['kind']} {document['metadata']['name']}" for document in result["documents"]}
    assert {"Deployment demo-web", "Deployment demo-worker", "Service demo-web"} <= kinds
    assert {"PodDisruptionBudget demo-web", "PodDisruptionBudget demo-worker"} <= kinds
    assert ("Secret demo-secrets" in kinds) == (case != "all of it")
    scaled = {"as it is": (), "all of it": ("HorizontalPodAutoscaler",), "keda": ("ScaledObject",)}[case]
    assert {f"{kind} demo-{part}" for kind in scaled for part in ("web", "worker")} <= kinds
    assert ("replicas" in one(result["documents"], "Deployment", "demo-web")["spec"]) == (not scaled)
    assert {"Ingress demo-web", "PodMonitor demo"} <= kinds or case != "all of it"


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("a large number", "write it in quotes"),
        ("a large number of web", "write it in quotes"),
        ("a number as a secret", "/secrets/values/NATS_PASSWORD"),
        ("more at least than at most", "web.autoscaling: minReplicas must not be more than maxReplicas"),
        ("no secret", "openssl rand -hex 32"),
        ("a short secret", "/secrets/values/BUS_SECRET"),
        ("drained twice", "BUS_DRAIN_DELAY"),
        ("misspelt", "'replica' not allowed"),
        ("keda without Prometheus", "prometheus.url is needed"),
        ("no host", "ingress.host is needed"),
    ],
)
def test_values_that_cannot_be_are_refused_with_what_to_do(rendered: dict[str, Document], case: str, said: str) -> None:
    assert said in rendered[case]["error"]


def test_redis_may_be_wherever_a_process_takes_it_to_be(rendered: dict[str, Document]) -> None:
    for url in REDIS:
        assert redis_url.parse(url)
        assert one(rendered[url]["documents"], "ConfigMap", "demo-settings")["data"]["REDIS_URL"] == url


def test_a_large_number_in_quotes_is_that_number(rendered: dict[str, Document]) -> None:
    documents = rendered["a large number in quotes"]["documents"]
    assert one(documents, "ConfigMap", "demo-settings")["data"]["BUS_STREAM_MAX_BYTES"] == str(2**53 + 1)


@pytest.mark.parametrize("case", GOOD)
@pytest.mark.parametrize("part", ["web", "worker"])
def test_a_process_takes_the_environment_of_its_pod(
    rendered: dict[str, Document], case: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = rendered[case]["documents"]
    [container] = pod(rendered[case], part)["containers"]
    given: dict[str, str] = {}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            given |= one(documents, "ConfigMap", source["configMapRef"]["name"])["data"]
        elif source["secretRef"]["name"] == "demo-secrets":
            given |= one(documents, "Secret", "demo-secrets")["stringData"]
    given |= {each["name"]: each["value"] for each in container["env"]}
    assert given.keys() <= VARIABLES
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.stream_replicas == (1 if case == "keda" else 3)
    assert (settings.metrics_bind if part == "web" else settings.worker_metrics_bind) is not None
    if case == "all of it":
        assert (settings.stream_max_bytes, settings.append_timeout) == (10_737_418_240, 1.5)
        assert settings.max_connections == (20_000 if part == "web" else 10_000)
        secrets = [source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source]
        assert secrets == ["ours", f"{part}-login"]


def test_a_pod_runs_and_ends_like_the_service_of_compose_yaml(rendered: dict[str, Document]) -> None:
    services = Compose("compose.yaml", {"BUS_SECRET": ""}).services
    web, worker = pod(rendered["as it is"], "web"), pod(rendered["as it is"], "worker")
    assert web["containers"][0]["command"] == services["web"]["command"]
    [*program, concurrency] = worker["containers"][0]["command"]
    assert program == services["worker"]["command"][:-1]
    assert concurrency == "4"
    assert pod(rendered["all of it"], "worker")["containers"][0]["command"][-2:] == ["--queues", "celery,heavy"]
    for part in (web, worker):
        assert part["enableServiceLinks"] is False
        [container] = part["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is services["web"]["read_only"]
        assert container["securityContext"]["capabilities"]["drop"] == services["web"]["cap_drop"]
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == services["web"]["tmpfs"]
        assert f"--uid {part['securityContext']['runAsUser']}" in (ROOT / "Dockerfile").read_text()
    drain = {each["name"]: each["value"] for each in web["containers"][0]["env"]}["BUS_DRAIN_TIMEOUT"]
    [_, pause] = web["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert web["terminationGracePeriodSeconds"] == int(pause) + int(drain) + 20
    assert worker["terminationGracePeriodSeconds"] == 600 + seconds(services["worker"]["stop_grace_period"])


def test_probes_ask_for_what_a_web_process_answers(rendered: dict[str, Document]) -> None:
    [container] = pod(rendered["as it is"], "web")["containers"]
    rules = {rule.rule for rule in create_app(Settings.load()).url_map.iter_rules()}
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in rules
        assert container["command"][-1].endswith(f":{ports[asked['port']]}")
    [service] = one(rendered["as it is"]["documents"], "Service", "demo-web")["spec"]["ports"]
    assert service["targetPort"] in ports


@pytest.mark.parametrize("token", [None, "let me count"])
def test_the_probe_of_a_worker_asks_its_metrics_whoever_may_see_them(
    rendered: dict[str, Document], token: str | None
) -> None:
    [container] = pod(rendered["as it is"], "worker")["containers"]
    [_, *arguments] = container["livenessProbe"]["exec"]["command"]
    port = free_port()
    command = [sys.executable, *(argument.replace("9101", str(port)) for argument in arguments)]

    def asked() -> int:
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode

    assert asked() != 0
    listener = MetricsListener(lambda: b"", f"127.0.0.1:{port}", SecretStr(token) if token else None)
    listener.start()
    try:
        wait_until(lambda: answers(port), "metrics")
        assert asked() == 0
    finally:
        listener.end()


def queries(documents: list[Document]) -> Iterator[tuple[str, set[str]]]:
    """The metrics by which there are more or fewer pods, with their labels."""
    for document in documents:
        for trigger in document["spec"].get("triggers", []):
            for name, matchers in re.findall(r"(busctl_\w+)\{([^}]*)\}", trigger["metadata"]["query"]):
                yield name, set(re.findall(r"(\w+)=", matchers))
        for metric in document["spec"].get("metrics", []) if document["kind"] == "HorizontalPodAutoscaler" else []:
            asked = metric[metric["type"].lower()]["metric"]
            yield asked["name"], set(asked.get("selector", {}).get("matchLabels", {}))


def test_pods_are_counted_by_metrics_that_there_are(rendered: dict[str, Document]) -> None:
    known = labels()
    wanted = {"busctl_connections", "busctl_jobs_open"}
    for case in ("all of it", "keda"):
        scaled = [each for each in rendered[case]["documents"] if each["kind"] in SCALED]
        found = dict(queries(scaled))
        assert found.keys() == wanted
        assert all(used - {"namespace"} <= known[name] for name, used in found.items())
    rules = yaml.safe_load((KUBERNETES / "prometheus-adapter.yaml").read_text())["rules"]
    series = [rule["seriesQuery"].partition("{")[0] for kind in ("custom", "external") for rule in rules[kind]]
    assert set(series) == wanted


SCALED = ("HorizontalPodAutoscaler", "ScaledObject")


def test_notes_say_how_to_go_on_and_what_is_missing(rendered: dict[str, Document]) -> None:
    assert "exec deploy/demo-web -- busctl doctor" in rendered["as it is"]["notes"]
    assert "port-forward" in rendered["as it is"]["notes"]
    assert "https://app.example.com/system/" in rendered["all of it"]["notes"]
    assert "BUS_TRUSTED_PROXIES is not set" in rendered["all of it"]["notes"]
    assert "1 replica" in rendered["keda"]["notes"]


def test_every_value_is_in_the_schema_and_used() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    for part in ("web", "worker"):
        templates = templates.replace(f"${part}.", f".Values.{part}.autoscaling.")
        templates += re.sub(r"\.part\.", f".Values.{part}.", templates)
    used = set(re.findall(r"\.Values\.(\w+(?:\.\w+)*)", templates))
    assert {name for name in leaves(values, schema) if name not in used} == set()
    assert {name for name in used if not known(name, values)} == set()


def leaves(values: Document, schema: Document, above: str = "") -> Iterator[str]:
    """The values that somebody may set; what is below them is not the chart's."""
    for name, value in values.items():
        told = schema["properties"][name]
        if told.get("properties") and told.get("additionalProperties") is False:
            yield from leaves(value, told, f"{above}{name}.")
        else:
            yield f"{above}{name}"
    assert schema["properties"].keys() - {"global"} == values.keys()


def known(name: str, values: Document) -> bool:
    for part in name.split("."):
        if part == "BUS_SECRET":
            return True
        if part not in values:
            return False
        values = values[part]
    return True
