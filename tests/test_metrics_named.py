"""Whatever names a metric names one that exists, with labels that it has: alerts, dashboard, documents."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from quart_app import close_codes
from tests.metrics_page import PAGE, labels

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
NAMED = re.compile(r"\b(busctl_(?!client)[a-z_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
GROUPED = re.compile(r"\bby \(([^)]*)\)")
SCRAPED = {"instance", "job", "le"}
"""Labels that Prometheus adds, and those of histograms."""


def alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DEPLOY / "grafana/busctl.json").read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in alerts())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


def check(text: str) -> set[str]:
    """The metrics that a text names."""
    known, named = labels(), set()
    for name, matchers in NAMED.findall(text):
        base = re.sub(r"_(bucket|count|sum)$", "", name)
        metric = name if name in known else base
        assert metric in known, f"there is no metric {name}"
        assert set(MATCHER.findall(matchers)) <= known[metric] | SCRAPED, f"{name} has no such label: {matchers}"
        named.add(metric)
    return named


def test_expressions_name_what_exists() -> None:
    for expression in expressions():
        named = check(expression)
        grouped = {label.strip() for group in GROUPED.findall(expression) for label in group.split(",")}
        assert grouped <= SCRAPED.union(*(labels()[name] for name in named)), expression


def test_every_metric_is_on_the_dashboard() -> None:
    shown = set().union(*(check(target["expr"]) for panel in panels() for target in panel["targets"]))
    assert set(labels()) - shown - {"busctl_worker_tasks", "busctl_stream_used_bytes"} == set()


def test_alerts_say_what_to_do() -> None:
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())
    for rule in alerts():
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in ("critical", "warning", "info")


def test_panels_do_not_overlap() -> None:
    cells = [
        (x, y)
        for panel in panels()
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert {x for x, _ in cells} <= set(range(24))


def test_prometheus_takes_the_rules_and_the_dashboards_queries(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on PATH; install Debian's prometheus")
    queries = [target["expr"].replace("$__rate_interval", "5m") for panel in panels() for target in panel["targets"]]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    for what in (("config", DEPLOY / "prometheus/prometheus.yml"), ("rules", tmp_path / "rules.yml")):
        done = subprocess.run([promtool, "check", *map(str, what)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_faults_are_those_of_the_failure_table_and_move_what_exists() -> None:
    delivery = (ROOT / "docs/explanation/delivery.md").read_text()
    table = delivery.partition("## When something fails")[2].partition("\n## ")[0].splitlines()
    faults = {line.split(" | ")[0].removeprefix("| ") for line in table if line.startswith("| ") and " | " in line}
    faults = {fault for fault in faults if not fault.startswith("**")} - {"fault"}
    reasons = {code.name for code in close_codes.ALL}
    rows = PAGE.read_text().partition("| fault | metric |\n|---|---|\n")[2].splitlines()
    assert len(rows) > 30
    moving = {row.removeprefix("| ").removesuffix(" |").rsplit(" | ", 1)[0] for row in rows}
    assert faults - moving == set(), "docs/reference/metrics.md does not say which metric they move"
    for row in rows:
        fault, moved = row.removeprefix("| ").removesuffix(" |").rsplit(" | ", 1)
        assert fault in faults, f"docs/explanation/delivery.md has no such row (any more): {fault}"
        assert check(moved)
        assert set(re.findall(r'reason="(\w+)"', moved)) <= reasons


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name)
def test_documents_name_what_exists(page: Path) -> None:
    check("\n".join(re.findall(r"`(busctl_[a-z_]+(?:\{[^`]*\})?)`", page.read_text())))
