"""Helm at work, in the environment of `make chart`: what a chart gives with each of several sets of values.

Reads from standard input a JSON array of values, and writes one of what came of them: `error`, or `documents`, `notes`
and, by Kubernetes version, what its schemas find `wrong` with those that are Kubernetes's own.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import helm_python
import kubernetes_validate
import yaml

VERSIONS = ("1.28", "1.37")
"""From the oldest that the chart is for, as far as there are schemas of it, to the newest."""
FOREIGN = ("keda.sh/", "monitoring.coreos.com/")


def came_of(chart: helm_python.Chart, path: str, values: dict[str, Any]) -> dict[str, Any]:
    try:
        chart.validate_schema(values)
        rendered = chart.render(values, name="demo", namespace="prod")
    except helm_python.HelmError as error:
        return {"error": str(error)}
    linted = helm_python.lint(path, values, strict=True)
    documents = [
        document
        for file, text in rendered.items()
        if file.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document is not None
    ]
    [notes] = [text for file, text in rendered.items() if file.endswith("NOTES.txt")]
    return {
        "documents": documents,
        "notes": notes,
        "lint": [message["error"] for message in linted["messages"] if message["severity"] > 1] + linted["errors"],
        "wrong": {version: list(wrong(documents, version)) for version in VERSIONS},
    }


def wrong(documents: list[dict[str, Any]], version: str) -> Any:
    for document in documents:
        if not document["apiVersion"].startswith(FOREIGN):
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{document['kind']}: {error}"


if __name__ == "__main__":
    path = sys.argv[1]
    with helm_python.Chart.load(path) as chart:
        json.dump([came_of(chart, path, values) for values in json.load(sys.stdin)], sys.stdout)
