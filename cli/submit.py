"""`busctl submit`: hand in a job, and perhaps wait for its end."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from bus import AppendRefused, Bus, BusUnavailable, Settings, Stored, job_log, subjects
from bus.job_log import JobRequest, JobState
from cli.errors import CommandFailed, Interrupted
from cli.events import STATES, record, text
from cli.follow import Follower
from cli.names import client_option
from cli.options import PANEL, AsJson, NoColor, Quiet, Server, client_settings, seconds
from cli.output import Output, printable, shortened
from cli.streams import given

NATS_TIMEOUT = 5.0


def _length(what: str, most: int) -> Any:
    def check(value: str | None) -> str | None:
        if value is not None and not 1 <= len(value) <= most:
            raise typer.BadParameter(f"{what} has 1 to {most} characters, not {len(value)}")
        return value

    return check


JobType = Annotated[
    str, typer.Argument(metavar="TYPE", callback=_length("a job type", 64), help="What to do.", show_default=False)
]
Content = Annotated[
    str,
    typer.Argument(
        metavar="CONTENT", help="The text to work on; - for what comes on standard input.", show_default=False
    ),
]
Wait = Annotated[bool, typer.Option("--wait", metavar="", help="Wait for the job's end and print its result.")]
JobKey = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        callback=_length("a key", 128),
        help="The same key from the same client is the same job.",
    ),
]
Client = Annotated[str, client_option("Whose job it is.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        callback=lambda value: None if value is None else seconds(0.1, 86_400)(value),
        help=f"Longest to wait for NATS to answer ({NATS_TIMEOUT:g} if not given), and with --wait for the job's end "
        "(no limit if not given).",
        rich_help_panel=PANEL,
    ),
]


def submit(
    job_type: JobType,
    content: Content,
    wait: Wait = False,
    key: JobKey = None,
    client: Client = "cli",
    server: Server = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Hand in a job and print its id; with --wait, print its result.

    Exits with 0 once the job is stored, even while Redis is away: it runs when Redis is back. With --wait, exits
    with 0 for a result, and with 1 when the job failed, was cancelled or took too long.

    Example: busctl submit translate hello --wait
    """
    try:
        content = given(content, "content")
    except KeyboardInterrupt:
        raise Interrupted("interrupted; nothing was handed in") from None
    submission = Submission(
        JobRequest(task_type=job_type, job_type=job_type, content=content),
        client_id=client,
        job_id=job_log.new_job_id() if key is None else job_log.job_id_of_key(client, key),
        output=Output(as_json=as_json, quiet=quiet),
        beside=Console(stderr=True, highlight=False, quiet=quiet),
        as_json=as_json,
    )
    settings = client_settings(server, NATS_TIMEOUT if timeout is None else timeout)
    try:
        asyncio.run(submission.run(settings, wait=wait, patience=timeout))
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {submission.outlook}") from None


class Submission:
    """One job on its way.

    Args:
        request: as it was typed; an unknown type is replaced before it is stored.
        client_id: whose job it is.
        job_id: the id it gets.
        output: where its id, events and result go.
        beside: standard error, for notes and progress.
        as_json: events are printed as they come.
    """

    def __init__(
        self, request: JobRequest, *, client_id: str, job_id: str, output: Output, beside: Console, as_json: bool
    ) -> None:
        self.outlook = "nothing was handed in"
        """What has become of the job so far."""
        self._request = request
        self._client_id = client_id
        self._job_id = job_id
        self._output = output
        self._beside = beside
        self._as_json = as_json

    async def run(self, settings: Settings, *, wait: bool, patience: float | None) -> None:
        """Hand it in, and wait for its end at most `patience` seconds.

        Raises:
            BusError: it was not, or perhaps not, handed in.
            CommandFailed: it did not end well, or not in time.
        """
        self._find_type()
        async with Bus(settings, name="busctl submit") as bus:
            if not wait:
                self._show_accepted(await self._hand_in(bus, settings))
                return
            try:
                async with asyncio.timeout(patience):
                    end = await self._wait(bus, settings)
            except TimeoutError:
                raise CommandFailed(f"job {self._job_id} has not ended within {patience:g} s; {self.outlook}") from None
        self._show_end(end)

    def _find_type(self) -> None:
        # Here, because it imports every job, and other commands need none.
        from workers.registry import DEFAULT, discover, resolve

        asked = self._request.task_type
        found = resolve(discover(), asked)
        if found.name != asked:
            self._say(f"no job type {shortened(asked)!r}: running {DEFAULT}")
        self._request = self._request.model_copy(update={"job_type": found.name})

    async def _hand_in(self, bus: Bus, settings: Settings) -> JobState:
        from workers.enqueue import BrokerUnavailable, enqueue_once
        from workers.redis_owner import ForeignRedis, Identity

        self.outlook = f"the job may have been handed in: see 'busctl jobs --client {self._client_id}'"
        try:
            job = await job_log.create(bus.stream, self._client_id, self._request, job_id=self._job_id)
        except AppendRefused:
            job = await job_log.read(bus.stream, self._client_id, self._job_id)
            self._say(f"that key was used before: job {job.job_id} ({STATES[job.state]})")
            self._accepted()
            return job
        except BusUnavailable as error:
            if error.maybe_done:
                raise CommandFailed(f"{error} ({self.outlook})") from error
            raise
        self._accepted()
        try:
            identity = Identity((await bus.stream.state()).epoch)
            await asyncio.to_thread(enqueue_once, settings, job, identity)
        except ForeignRedis as error:
            self._say(f"{error} (the job is stored as queued; a worker of its own system runs it)", "yellow")
        except BrokerUnavailable as error:
            self._say(f"{error} (the job is stored as queued; a worker runs it when Redis is back)", "yellow")
        return job

    def _accepted(self) -> None:
        self.outlook = f"the job goes on: follow it with 'busctl watch --job {self._job_id}'"

    async def _wait(self, bus: Bus, settings: Settings) -> dict[str, Any]:
        subject = subjects.job(self._client_id, self._job_id)
        with ExitStack() as stack:
            bar = None
            if self._beside.is_terminal and not self._beside.quiet and not self._as_json:
                bar = stack.enter_context(_progress(self._beside))
                task = bar.add_task("handing in", total=None)

            def on_progress(stored: Stored) -> None:
                address = subjects.parse(stored.subject)
                if bar is not None and address is not None and address.job_id == self._job_id:
                    event = record(stored)
                    if isinstance(done := event["payload"], int | float):
                        bar.update(task, total=1, completed=done)
                    bar.update(task, description=shortened(str(event.get("message") or "running"), 40))

            if bar is not None:
                await bus.subscribe_progress(self._client_id, on_progress)
            async with Follower(bus, subject, after=0, tell=self._say) as follower:
                await self._hand_in(bus, settings)
                async for stored in follower:
                    event = record(stored)
                    if self._as_json:
                        self._output.record(**event)
                    if bar is not None:
                        bar.update(task, description=STATES.get(event["action"], "running"))
                    if job_log.step_of(stored).event.ended:
                        return event
        raise AssertionError("a follower goes on for ever")

    def _show_accepted(self, job: JobState) -> None:
        stored = Stored(job.seq, subjects.job(job.client_id, job.job_id), job.last.encode().encode())
        self._output.record(**record(stored))
        self._output.line(job.job_id)

    def _show_end(self, event: dict[str, Any]) -> None:
        match event["action"]:
            case "job_result":
                for line in text(event).split("\n"):
                    self._output.line(line)
            case "job_cancelled":
                raise CommandFailed(f"job {self._job_id} was cancelled; hand it in again if it is still wanted")
            case _:
                raise CommandFailed(f"job {self._job_id} failed: {event.get('reason') or text(event)}")

    def _say(self, message: str, style: str = "") -> None:
        self._beside.print(Text(printable(message), style), soft_wrap=True)


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
