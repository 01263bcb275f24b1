"""Write the reference pages that are made from the code: `python docs/reference/generate.py`.

With `--check`, only say whether they are up to date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from cli_page import cli_page
from prometheus_client.metrics import MetricWrapperBase
from pydantic_core import PydanticUndefined
from wire_page import wire_page

from bus import Settings
from quart_app import close_codes
from quart_app.metrics import Metrics
from workers.child_counters import ChildCounter
from workers.job_metrics import JobMetrics
from workers.metrics import WorkerMetrics

HERE = Path(__file__).parent


def settings_page() -> str:
    """Every environment variable, from `bus.Settings`."""
    lines = [
        "# Settings",
        "",
        "Every process reads these environment variables once, when it starts. A value that cannot be used stops it",
        "with one line that names the variable, and exit status 1. Times are seconds and sizes are bytes, as plain",
        "numbers without unit. White space around a value is not part of it; quotes around one are refused. A variable",
        "that begins with `BUS_` and is none of these is warned about and changes nothing.",
        "",
        "Each value may also stand in a file: `BUS_SECRET_FILE=/run/secrets/bus_secret` is read when `BUS_SECRET`",
        "itself is not set, and so for every other variable. The file's last line break is not part of the value.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    inherited = [field for field in Settings.model_fields if field not in Settings.__annotations__]
    for field in (*Settings.__annotations__, *inherited):
        info = Settings.model_fields[field]
        default = "" if info.default in (PydanticUndefined, ()) else f"`{info.default}`"
        lines.append(f"| `{Settings.variable(field)}` | {default} | {info.description} |")
    return "\n".join(lines) + "\n"


def close_codes_page() -> str:
    """Every code with which this side closes a WebSocket, from `quart_app.close_codes`."""
    lines = [
        "# Close codes",
        "",
        "With what the server closes a WebSocket, and the reason it sends. *Come back* says whether connecting again",
        "can help by itself; with `bus.v1` nothing is missed then. Codes below 4000 are those of RFC 6455.",
        "",
        "| code | reason | come back |",
        "|---|---|---|",
    ]
    lines += [f"| {close.code} | {close.reason} | {'yes' if close.reconnect else 'no'} |" for close in close_codes.ALL]
    lines += [
        "",
        "4401 has a reason that says what is wrong with a token: see [secure](../how-to/secure.md). 1006, which",
        "browsers report when a connection broke or a handshake was refused, is never sent: come back, after pauses",
        "that grow. Errors in frames, and refused handshakes: [the wire](wire.md).",
    ]
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """Every metric: what is said around them stands in the page itself."""
    page = METRICS.read_text()
    for name, rows in {"web": described(Metrics()), "worker": described(WorkerMetrics(()))}.items():
        page = with_table(page, name, ["| metric | type | labels | meaning |", "|---|---|---|---|", *rows])
    return page


def with_table(page: str, name: str, lines: Iterable[str]) -> str:
    """A page with these lines between its marks of this name."""
    begin, end = f"<!-- {name}: made by generate.py -->\n", f"<!-- {name}: end -->"
    before, _, rest = page.partition(begin)
    return before + begin + "\n".join(lines) + "\n" + end + rest.partition(end)[2]


def described(metrics: object) -> Iterator[str]:
    """A row for each metric that this object has."""
    for metric in vars(metrics).values():
        if isinstance(metric, JobMetrics):
            yield from described(metric)
        elif isinstance(metric, MetricWrapperBase | ChildCounter):
            family = metric.describe()[0]
            name = family.name + "_total" * (family.type == "counter")
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            yield f"| `{name}` | {family.type} | {labels} | {family.documentation} |"


def operate_page() -> str:
    """How to operate it: what alerts mean and what to do stands in their rules."""
    document = yaml.safe_load((HERE.parent.parent / "deploy/prometheus/alerts.yml").read_text())
    rows = [
        f"| {summary(rule)} | {rule['labels']['severity']} | `{rule['alert']}` | {rule['annotations']['description']} |"
        for group in document["groups"]
        for rule in group["rules"]
    ]
    return with_table(OPERATE.read_text(), "alerts", ["| what | how bad | alert | do |", "|---|---|---|---|", *rows])


def summary(rule: dict[str, Any]) -> str:
    """What an alert says, with the names of labels in place of their values, and … in place of the number."""
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"*\1*", rule["annotations"]["summary"])
    return re.sub(r"\{\{ \$value[^}]* \}\}", "…", text)


METRICS = HERE / "metrics.md"
OPERATE = HERE.parent / "how-to/operate.md"
PAGES = {
    OPERATE: operate_page,
    METRICS: metrics_page,
    HERE / "cli.md": cli_page,
    HERE / "wire.md": wire_page,
    HERE / "settings.md": settings_page,
    HERE / "close-codes.md": close_codes_page,
}


def main(arguments: list[str]) -> str | None:
    """Write the pages, or with `--check` return what is wrong with them."""
    for path, page in PAGES.items():
        if "--check" not in arguments:
            path.write_text(page())
        elif not path.exists() or path.read_text() != page():
            return f"{path.name} is not what the code says; run python docs/reference/generate.py"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
