"""ScheduleTable: the recurring schedules below the jobs that wait for their time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from bus import times
from bus.schedules import Remembered
from cli.columns import Column, Columns, fitting
from cli.output import Output, Part, room
from cli.when import about, ahead, local_minute

COLUMNS = (
    Column("SCHEDULE", 12, 24, 6, "bold"),
    Column("LAST", 20, 20, 2, "dim"),
    Column("NEXT", 20, 20, 4),
    Column("IN", 7, 7, 5, right=True),
    Column("RULE", 10, 30, 3),
)

PATIENCE = timedelta(seconds=10)
"""Until a time that has passed is called overdue."""


def show(output: Output, schedules: Sequence[Remembered]) -> None:
    """Print them: for people a table, for programs an object each, with `schedule` where that of a job has `job_id`.

    LAST and NEXT are the times for which there is a job, and for which there will be one. A schedule is overdue while
    an earlier job of it still runs, or no worker is there, and gone when no job of the workers has it any more.
    """
    if not schedules:
        return
    rows = [_cells(one) for one in schedules]
    columns = Columns(COLUMNS if room() is None else fitting(COLUMNS, rows), room())
    output.line()
    output.line(*columns.header())
    for one, row in zip(schedules, rows, strict=True):
        output.record(
            schedule=one.name,
            rule=one.definition,
            last=None if one.last is None else times.written(one.last),
            next=None if one.gone else times.written(one.next),
            gone=None if one.gone is None else times.written(one.gone),
        )
        output.line(*columns.row(row))


def _cells(one: Remembered) -> dict[str, Part]:
    if one.gone is not None:
        comes: Part = ("gone", "dim")
    elif ahead(one.next, datetime.now(UTC) - PATIENCE) is None:
        comes = ("overdue", "yellow")
    else:
        comes = about(one.next) if ahead(one.next) else "now"
    return {
        "SCHEDULE": one.name,
        "LAST": "" if one.last is None else local_minute(one.last),
        "NEXT": "" if one.gone else local_minute(one.next),
        "IN": comes,
        "RULE": one.definition,
    }
