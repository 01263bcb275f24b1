"""`busctl submit`: submit a job, and perhaps wait for its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext, suppress
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from bus import Bus, BusUnavailable, CorruptJob, Settings, Stored, job_log, subjects
from bus.job_log import JobState
from bus.messages import TaskPayload
from cli.content import content_of
from cli.errors import CommandFailed, Interrupted
from cli.events import INTERRUPTIONS, STATES, is_news, record, result, text
from cli.hand_over import hand_over
from cli.live_text import LiveText
from cli.names import client_option
from cli.options import PANEL, AsJson, NoColor, Quiet, Server, client_settings, seconds
from cli.output import Output, printable, shortened
from cli.streams import given
from workers import submission
from workers.client_jobs import ClientJobs
from workers.errors import TooManyJobs
from workers.registry import DEFAULT, Job, discover, resolve

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
    list[str],
    typer.Argument(
        metavar="CONTENT",
        help="The text to work on, or what else the job takes: JSON, or name=value for each field; - for what comes on "
        "standard input.",
        show_default=False,
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
    """Submit a job and print its id; with --wait, print its result.

    Exits with 0 once the job is stored, even while Redis is away: it runs when Redis is back. With --wait, exits
    with 0 for a result, and with 1 when the job failed, was cancelled or took too long. What the job writes while it
    runs is printed as it comes.

    Example: busctl submit translate hello --wait
    """
    beside = Console(stderr=True, highlight=False, quiet=quiet)
    try:
        words = [given(content[0], "content")] if len(content) == 1 else content
        settings = client_settings(server, NATS_TIMEOUT if timeout is None else timeout)
        jobs = _find_jobs(settings, job_type, beside)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; nothing was submitted") from None
    command = Submit(
        TaskPayload(task_type=job_type, content=content_of(resolve(jobs, job_type), words)),
        jobs,
        client_id=client,
        job_id=submission.new_job_id(client, key),
        output=Output(as_json=as_json, quiet=quiet),
        beside=beside,
        as_json=as_json,
    )
    try:
        asyncio.run(command.run(settings, wait=wait, patience=timeout))
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {command.outlook}") from None


def _find_jobs(settings: Settings, asked: str, beside: Console) -> Mapping[str, Job]:
    jobs = discover(example_jobs=settings.example_jobs)
    if resolve(jobs, asked).name != asked:
        _say(beside, f"no job type {shortened(asked)!r}: running {DEFAULT}")
    return jobs


def _say(beside: Console, message: str, style: str = "") -> None:
    beside.print(Text(printable(message), style), soft_wrap=True)


class Submit:
    """One job on its way.

    Args:
        task: what to do.
        jobs: the registered jobs by name.
        client_id: whose job it is.
        job_id: the id it gets.
        output: where its id, events and result go.
        beside: standard error, for notes and progress.
        as_json: events are printed as they come.
    """

    def __init__(
        self,
        task: TaskPayload,
        jobs: Mapping[str, Job],
        *,
        client_id: str,
        job_id: str,
        output: Output,
        beside: Console,
        as_json: bool,
    ) -> None:
        self.outlook = "nothing was submitted"
        """What has become of the job so far."""
        self._task = task
        self._jobs = jobs
        self._client_id = client_id
        self._job_id = job_id
        self._output = output
        self._beside = beside
        self._as_json = as_json
        self._live = LiveText(output, self._say)

    async def run(self, settings: Settings, *, wait: bool, patience: float | None) -> None:
        """Submit it, and wait for its end at most `patience` seconds.

        Raises:
            BusError: it was not submitted, or perhaps not.
            CommandFailed: it did not end well, or not in time.
        """
        async with Bus(settings, name="busctl submit") as bus:
            if not wait:
                self._show_accepted(await self._submit(bus, settings))
                return
            try:
                async with asyncio.timeout(patience):
                    end = await self._wait(bus, settings)
                self._show_end(end)
            except TimeoutError:
                raise CommandFailed(f"job {self._job_id} has not ended within {patience:g} s; {self.outlook}") from None
            finally:
                self._live.end_line()

    async def _submit(self, bus: Bus, settings: Settings) -> JobState:
        async def enqueue(job: JobState) -> None:
            self._accepted()
            await hand_over(bus, settings, job, lambda message: self._say(message, "yellow"))

        listed = f"see 'busctl jobs --client {self._client_id}'"
        self.outlook = f"the job may have been accepted: {listed}"
        try:
            submitted = await submission.submit(
                bus,
                self._jobs,
                self._task,
                client_id=self._client_id,
                job_id=self._job_id,
                queue=nullcontext(enqueue),
                client_jobs=ClientJobs(bus, settings),
            )
            self._accepted()
        except TooManyJobs as error:
            raise CommandFailed(f"{error}; {listed}") from error
        except BusUnavailable as error:
            if error.maybe_done:
                raise CommandFailed(f"{error}: {listed}") from error
            raise
        if not submitted.accepted:
            self._say(f"that key was used before: job {self._job_id} ({STATES[submitted.job.state]})")
        return submitted.job

    def _accepted(self) -> None:
        self.outlook = f"the job goes on: follow it with 'busctl watch --job {self._job_id}'"

    async def _wait(self, bus: Bus, settings: Settings) -> dict[str, Any]:
        steps, output = subjects.job(self._client_id, self._job_id), subjects.output(self._client_id, self._job_id)
        with ExitStack() as stack:
            bar = None
            if self._beside.is_terminal and not self._beside.quiet and not self._as_json:
                bar = stack.enter_context(_progress(self._beside))
                task = bar.add_task("submitting", total=None)

            def on_progress(stored: Stored) -> None:
                address = subjects.parse(stored.subject)
                if bar is not None and address is not None and address.job_id == self._job_id:
                    event = record(stored)
                    if isinstance(done := event["payload"], int | float):
                        bar.update(task, total=1, completed=done)
                    bar.update(task, description=shortened(str(event.get("message") or "running"), 40))

            if bar is not None:
                await bus.subscribe_progress(self._client_id, on_progress)
            async with bus.follow(
                steps, output, after=0, on_interruption=lambda interruption: self._say(INTERRUPTIONS[interruption])
            ) as events:
                await self._submit(bus, settings)
                async for stored in events:
                    event = record(stored)
                    if self._as_json and is_news(event):
                        self._output.record(**event)
                    if event["action"] == "job_output":
                        if bar is not None:
                            bar.stop()  # it would stand in the text
                        self._live.piece(event)
                    elif bar is not None:
                        bar.update(task, description=STATES.get(event["action"], "running"))
                    if event["action"] == "job_retrying":
                        self._say(text(event))
                    with suppress(CorruptJob):  # another program wrote on the job's subject
                        if job_log.step_of(stored).event.ended:
                            return event
        raise AssertionError("a job is followed until it ends")

    def _show_accepted(self, job: JobState) -> None:
        stored = Stored(job.seq, subjects.job(job.client_id, job.job_id), job.last.encode().encode())
        self._output.record(**record(stored))
        self._output.line(job.job_id)

    def _show_end(self, event: dict[str, Any]) -> None:
        match event["action"]:
            case "job_result":
                self._live.finish(result(event))
            case "job_cancelled":
                raise CommandFailed(f"job {self._job_id} was cancelled; submit it again if it is still wanted")
            case _:
                raise CommandFailed(f"job {self._job_id} failed: {event.get('reason') or text(event)}")

    def _say(self, message: str, style: str = "") -> None:
        _say(self._beside, message, style)


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
