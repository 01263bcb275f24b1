"""When a job that is submitted for later begins: how that is asked for, and how it is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from bus import durations, times
from bus.job_log import JobState
from bus.messages import MOST_AHEAD
from cli.output import shortened

In = Annotated[
    str | None,
    typer.Option("--in", metavar="DURATION", help="Let it begin so much later, as in 90s, 10m, 2h, 1d or 1h30m."),
]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="Let it begin at this time, as in 2026-12-01T06:00Z or …T06:00+01:00."),
]
LATEST = f"a job may begin {MOST_AHEAD // 86_400} days from now at the latest"
NOW = "to run it at once, leave that out"
UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def begins(after: str | None, at: str | None, now: datetime) -> datetime | None:
    """When a job is to begin, as `--in` and `--at` have it: in UTC; None for at once.

    Args:
        after: a duration.
        at: a time with its time zone.
        now: the time now, with a time zone.

    Raises:
        BadParameter: both are given, or one that cannot be, has passed or is too far ahead; the message says what to
            write.
    """
    if after is not None and at is not None:
        raise typer.BadParameter("--in does not go with --at: both say when the job begins")
    if after is not None:
        return _after(after, now)
    return None if at is None else _at(at, now)


def _after(text: str, now: datetime) -> datetime:
    try:
        seconds = durations.read(text.removeprefix("-"))
    except ValueError as error:
        raise typer.BadParameter(f"--in {shortened(text, 40)!r} {error}") from None
    if text.startswith("-") or not seconds:
        raise typer.BadParameter(f"--in {shortened(text, 40)!r} is not ahead; {NOW}")
    if seconds > MOST_AHEAD:
        raise typer.BadParameter(f"--in {shortened(text, 40)!r} is too far ahead: {LATEST}")
    return now.astimezone(UTC) + timedelta(seconds=seconds)


def _at(text: str, now: datetime) -> datetime:
    shown = shortened(text, 40)
    try:
        time = times.read(text)
    except ValueError as error:
        raise typer.BadParameter(f"--at {shown!r} {_local(text) or error}") from None
    if time <= now:
        raise typer.BadParameter(f"--at {shown!r} has passed; {NOW}")
    if time - now > timedelta(seconds=MOST_AHEAD):
        raise typer.BadParameter(f"--at {shown!r} is too far ahead: {LATEST}")
    return time


def _local(text: str) -> str | None:
    """What to write instead, when a time lacks its time zone alone. Taken for local time it would be guessed twice."""
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return None
        here, there = time.astimezone(), time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    if here.utcoffset() == there.utcoffset():
        return f"names no time zone; write {_iso(there)}"
    return f"names no time zone; for the time of this machine write {_iso(here)}, for UTC {_iso(there)}"


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="auto" if time.microsecond or time.second else "minutes").replace("+00:00", "Z")


def waits_until(job: JobState, now: datetime | None = None) -> datetime | None:
    """When a job begins that waits for its time; None for any other."""
    return ahead(job.request.begins, now) if job.state == "job_queued" else None


def ahead(time: datetime | None, now: datetime | None = None) -> datetime | None:
    """A time, if it is still to come."""
    return time if time is not None and time > (now or datetime.now(UTC)) else None


def local(time: datetime) -> str:
    """A time in the time zone of this machine, with that zone's name."""
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def local_minute(time: datetime) -> str:
    """A time in the time zone of this machine, without its seconds."""
    return f"{time.astimezone():%Y-%m-%d %H:%M %Z}"


def until(time: datetime, now: datetime | None = None) -> str:
    """How long it is until then, in its two largest units."""
    left = _left(time, now)
    parts = []
    for unit, length in UNITS:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def about(time: datetime, now: datetime | None = None) -> str:
    """How long it is until then, in one unit of which there are two at least."""
    left = _left(time, now)
    unit, length = next((one for one in UNITS if left >= 2 * one[1]), UNITS[-1])
    return f"{round(left / length)} {unit}"


def _left(time: datetime, now: datetime | None) -> int:
    return max(0, round((time - (now or datetime.now(UTC))).total_seconds()))
