"""`busctl jobs`: which jobs there are, and how they stand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from bus import Bus, CorruptJob, Settings, UnknownJob, job_log, subjects
from bus.attempts import Attempt, attempts
from bus.job_log import JobState
from bus.messages import JobFailed, as_text
from cli.columns import LONGEST_SHOWN, Column, Columns
from cli.errors import Interrupted
from cli.events import EVENT_STYLES, STATES
from cli.names import client_option
from cli.options import AsJson, NoColor, Quiet, Server, Timeout, client_settings
from cli.output import Output, Part, room

FIRST_WINDOW = 1000
"""Events at the stream's end that are looked at first; eight times as many when they hold too few jobs."""
JOB_ID_WIDTH = 16
"""Characters of most job ids; those of jobs with a key have more."""
ROOM_FOR_IDS = 80
"""Columns of a terminal from which on these are whole too."""

Open = Annotated[bool, typer.Option("--open", metavar="", help="Only jobs that have not ended.")]
Failed = Annotated[bool, typer.Option("--failed", metavar="", help="Only jobs that have failed.")]
Client = Annotated[str | None, client_option("Only jobs of this client.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=100_000, help="Show so many, the newest.")]

Key = tuple[str, str]
"""Client id and job id."""


def jobs(
    open_only: Open = False,
    failed_only: Failed = False,
    client: Client = None,
    limit: Limit = 20,
    server: Server = None,
    timeout: Timeout = 5,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """List jobs and how they stand, the newest last.

    AGE is how long ago a job was submitted, TOOK how long it took from then to its end, TRY how often a worker
    has begun it.

    Example: busctl jobs --open --limit 50
    """
    if open_only and failed_only:
        raise typer.BadParameter("--open does not go with --failed: a job that has failed has ended")
    listing = OPEN if open_only else FAILED if failed_only else ALL
    output = Output(as_json=as_json, quiet=quiet)
    settings = client_settings(server, timeout)
    table = JobTable(output, with_client=client is None)

    def show(job: Listed) -> None:
        if as_json:
            output.record(**job.record())
        elif not quiet:
            table.add(job)

    try:
        count = asyncio.run(_list(settings, client, listing, limit, show))
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None
    table.end()
    if not count:
        output.line(f"No {listing.name}.")
    if count == limit:
        output.line((f"The newest {limit}; --limit shows more, if there are.", "dim"))


@dataclass(frozen=True, slots=True)
class Listed:
    """One job of the list."""

    state: JobState
    attempts: Sequence[Attempt]
    queued_at: datetime
    last_at: datetime

    @property
    def attempt(self) -> int:
        """How often a worker has begun it."""
        return self.attempts[-1].number if self.attempts else 0

    @property
    def text(self) -> str:
        """What is most worth knowing of it: what was asked for, or what came of it."""
        waits = self.state.state == "job_retrying"  # and why is more than what was asked for
        return as_text(self.state.last.payload if self.state.ended or waits else self.state.request.content)

    @property
    def age(self) -> timedelta:
        """Since it was submitted."""
        return datetime.now(UTC) - self.queued_at

    @property
    def took(self) -> timedelta | None:
        """From then to its end, if it has ended."""
        return self.last_at - self.queued_at if self.state.ended else None

    def record(self) -> dict[str, object]:
        """The whole of it, for programs."""
        return {
            "job_id": self.state.job_id,
            "client_id": self.state.client_id,
            "type": self.state.request.task_type,
            "runs": self.state.request.job_type,
            "content": self.state.request.content,
            "state": self.state.state,
            "ended": self.state.ended,
            "attempt": self.attempt,
            "attempts": [
                {"attempt": attempt.number, "started_at": attempt.started_at, "reason": attempt.reason}
                for attempt in self.attempts
            ],
            "retry_of": self.state.request.retry_of,
            "queued_at": self.queued_at.isoformat(),
            "last_at": self.last_at.isoformat(),
            "seq": self.state.seq,
            "text": as_text(self.state.last.payload),
        }


class JobTable:
    """Jobs as a table for people: printed as they come, and in a terminal at the end, with columns that fit.

    Args:
        output: where it is printed.
        with_client: whether there is a column for the client.
    """

    def __init__(self, output: Output, *, with_client: bool) -> None:
        self._output = output
        self._with_client = with_client
        self._room = room()
        self._rows: list[dict[str, Part]] = []
        self._columns: Columns | None = None

    def add(self, job: Listed) -> None:
        """Add a row. Of what is printed at the end it keeps only what is shown."""
        state = job.state
        text = job.text
        row: dict[str, Part] = {
            "JOB": state.job_id,
            "TYPE": state.request.task_type,
            "CLIENT": state.client_id,
            "STATE": (STATES[state.state], EVENT_STYLES.get(state.state, "")),
            "TRY": str(job.attempt or ""),
            "AGE": _span(job.age),
            "TOOK": "" if job.took is None else _span(job.took),
            "TEXT": text if self._room is None else text[:LONGEST_SHOWN],
        }
        if self._room is None:
            self._print(row, Columns(self._all(0), None))
        else:
            self._rows.append(row)

    def end(self) -> None:
        """Print what is left."""
        if self._rows:
            columns = Columns(self._all(max(len(str(row["JOB"])) for row in self._rows)), self._room)
            for row in self._rows:
                self._print(row, columns)

    def _print(self, row: dict[str, Part], columns: Columns) -> None:
        if self._columns is None:
            self._columns = columns
            self._output.line(*columns.header())
        self._output.line(*self._columns.row(row))

    def _all(self, longest_id: int) -> list[Column]:
        whole = JOB_ID_WIDTH if self._room is not None and self._room < ROOM_FOR_IDS else max(JOB_ID_WIDTH, longest_id)
        columns = [
            Column("JOB", whole, whole, 7, "bold", whole=True),
            Column("TYPE", 9, 20, 4),
            Column("CLIENT", 8, 22, 2),
            Column("STATE", 9, 9, 8),
            Column("TRY", 3, 3, 1, "dim", right=True),
            Column("AGE", 4, 4, 6, "dim", right=True),
            Column("TOOK", 4, 4, 3, "dim", right=True),
            Column("TEXT", 10, 24, 5),
        ]
        return [column for column in columns if column.name != "CLIENT" or self._with_client]


def _span(time: timedelta) -> str:
    seconds = max(0.0, time.total_seconds())
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit}"
    return f"{seconds:.0f}s"


async def _list(
    settings: Settings, client_id: str | None, listing: Listing, limit: int, show: Callable[[Listed], None]
) -> int:
    subject = subjects.ALL_JOBS if client_id is None else subjects.steps(client_id)
    count = 0
    async with Bus(settings, name="busctl jobs") as bus:
        for key in await listing.find(bus, subject, limit):
            job = await _look(bus, *key)
            if job is not None and listing.ended in (None, job.state.ended):
                show(job)
                count += 1
    return count


async def _newest(bus: Bus, subject: str, limit: int) -> list[Key]:
    """The jobs that were submitted last, found from the stream's end backwards."""
    state = await bus.stream.state()
    window = FIRST_WINDOW
    while True:
        after = max(state.first_seq - 1, state.last_seq - window)
        found: dict[Key, None] = {}
        async for step in job_log.steps(bus.stream, subject, after=after):
            if step.request is not None:
                found[step.client_id, step.job_id] = None
                if len(found) > limit:
                    del found[next(iter(found))]
        if len(found) == limit or after < state.first_seq:
            return list(found)
        window *= 8


async def _open(bus: Bus, subject: str, limit: int) -> list[Key]:
    """The open jobs that were submitted last. Remembers the ids of jobs that are open, and nothing else."""
    found: dict[Key, None] = {}
    async for step in job_log.steps(bus.stream, subject):
        if step.event.ended:
            found.pop((step.client_id, step.job_id), None)
        elif step.request is not None:
            found[step.client_id, step.job_id] = None
    return list(found)[-limit:]


async def _failed(bus: Bus, subject: str, limit: int) -> list[Key]:
    """The jobs that failed last."""
    found: dict[Key, None] = {}
    async for step in job_log.steps(bus.stream, subject):
        if isinstance(step.event, JobFailed):
            found[step.client_id, step.job_id] = None
            if len(found) > limit:
                del found[next(iter(found))]
    return list(found)


@dataclass(frozen=True, slots=True)
class Listing:
    """Which jobs are listed: how they are found, what they are called, and whether they have all ended, or none."""

    find: Callable[[Bus, str, int], Awaitable[list[Key]]]
    name: str
    ended: bool | None = None


ALL = Listing(_newest, "jobs")
OPEN = Listing(_open, "open jobs", ended=False)
FAILED = Listing(_failed, "failed jobs", ended=True)


async def _look(bus: Bus, client_id: str, job_id: str) -> Listed | None:
    try:
        state = await job_log.read(bus.stream, client_id, job_id)
    except (UnknownJob, CorruptJob):  # retention has cut it meanwhile, or another program wrote there
        return None
    if state.request_is_cut:
        return None  # what is left of it is cut next
    steps = [step async for step in job_log.steps(bus.stream, subjects.job(client_id, job_id))]
    return Listed(state, attempts(steps), steps[0].at, steps[-1].at) if steps else None
