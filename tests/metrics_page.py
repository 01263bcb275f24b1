"""What docs/reference/metrics.md says there is, and what a server shows."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.http import get

PAGE = Path(__file__).parent.parent / "docs/reference/metrics.md"
ROW = re.compile(r"^\| `(busctl_\w+)` \|", re.MULTILINE)
HELP = re.compile(r"^# HELP (busctl_\w+) ", re.MULTILINE)


def documented(part: str = "") -> set[str]:
    """The names in the page's table of a part, `web` or `worker`; by default in both."""
    text = PAGE.read_text()
    if part:
        text = text.partition(f"<!-- {part}: made")[2].partition(f"<!-- {part}: end")[0]
    return set(ROW.findall(text))


def shown(url: str) -> set[str]:
    """The names that a server shows, whether or not there are numbers already."""
    return {name for name in HELP.findall(get(url)[1]) if not name.endswith("_created")}


def counted(url: str) -> dict[str, float]:
    """Every sample that a server shows, by name and label values."""
    status, text = get(url)
    assert status == 200
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels() -> dict[str, set[str]]:
    """The labels of each metric that the page names. One of both parts has those of either."""
    found: dict[str, set[str]] = {}
    for row in PAGE.read_text().splitlines():
        if ROW.match(row):
            name, _, named, _ = row.removeprefix("| ").split(" | ", 3)
            found.setdefault(name.strip("`"), set()).update(re.findall(r"`(\w+)`", named))
    return found
