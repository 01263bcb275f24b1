"""What `busctl top` shows: the system's parts, and the jobs that run, as many as there is room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.text import Text

from cli.amounts import count, span
from cli.columns import Column, Columns
from cli.output import Part, printable
from cli.state_lines import summary
from workers.state.system import SystemState

COLUMNS = (
    Column("TIME", 5, 6, 6, right=True),
    Column("JOB", 16, 24, 5, "bold"),
    Column("TYPE", 9, 20, 4),
    Column("CLIENT", 8, 22, 3),
    Column("WORKER", 8, 20, 2),
)


@dataclass(frozen=True, slots=True)
class Running:
    """A job that runs."""

    job_id: str
    type: str
    client_id: str
    worker: str
    seconds: float

    @classmethod
    def of(cls, worker: str, told: dict[str, Any]) -> Running:
        """As its worker tells of it."""
        seconds = told.get("seconds")
        return cls(
            str(told.get("job_id", "")),
            str(told.get("type", "")),
            str(told.get("client_id", "")),
            worker,
            float(seconds) if isinstance(seconds, int | float) else 0.0,
        )


ORDERS: dict[str, tuple[str, Callable[[Running], Any]]] = {
    "t": ("time", lambda job: -job.seconds),
    "y": ("type", lambda job: (job.type, -job.seconds)),
    "c": ("client", lambda job: (job.client_id, -job.seconds)),
    "w": ("worker", lambda job: (job.worker, -job.seconds)),
}
"""By key: what jobs are sorted by."""


def running(system: SystemState) -> list[Running]:
    """The jobs that run, on every worker."""
    return [Running.of(worker.name, told) for worker in system.workers.found for told in worker.running]


def screen(system: SystemState, order: str, *, title: str, rate: float | None, width: int, height: int) -> Group:
    """One screen.

    Args:
        order: a key of `ORDERS`.
        title: its first line.
        rate: events that were stored a second, if that is known.
        width, height: of the terminal.
    """
    stored = "" if rate is None else f"   {rate:,.1f} events/s"
    shown = [_line([(title, "bold"), (stored, "dim")], width), Text("")]
    shown += [_line(line, width) for line in summary(system)]
    name, key = ORDERS[order]
    jobs = sorted(running(system), key=key)
    keys = "  ".join(f"{letter} {what}" for letter, (what, _) in ORDERS.items())
    about = f"{count(len(jobs), 'job')} running, sorted by {name}"
    shown += [Text(""), _line([(about, "bold"), (f"   q quit  {keys}", "dim")], width)]
    room = max(0, height - len(shown) - 2)
    return Group(*shown, *_jobs(jobs[:room], width), *_more(len(jobs) - room, width))


def _jobs(jobs: Sequence[Running], width: int) -> list[Text]:
    if not jobs:
        return []
    columns = Columns(COLUMNS, width)
    rows: list[dict[str, Part]] = [
        {
            "TIME": span(job.seconds),
            "JOB": job.job_id,
            "TYPE": job.type,
            "CLIENT": job.client_id,
            "WORKER": job.worker,
        }
        for job in jobs
    ]
    return [_line(columns.header(), width), *(_line(columns.row(row), width) for row in rows)]


def _more(number: int, width: int) -> list[Text]:
    return [_line([(f"and {number:,} more", "dim")], width)] if number > 0 else []


def _line(parts: Sequence[Part], width: int) -> Text:
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    text = Text.assemble(*((printable(text), style) for text, style in pairs), no_wrap=True)
    text.truncate(width, overflow="ellipsis")
    return text
