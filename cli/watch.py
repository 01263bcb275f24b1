"""`busctl watch`: follow events live."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer
from rich.console import Console

from bus import Bus, Interruption, Settings, Stored, subjects
from bus.ending import cancellable
from cli import completion
from cli.columns import Column, Columns
from cli.errors import Interrupted
from cli.events import INTERRUPTIONS, is_news, level, moment, record, style, text
from cli.job_ids import find
from cli.job_table import SHORTEST_ID
from cli.live_text import LiveText
from cli.names import client_option, name
from cli.options import AsJson, NoColor, Quiet, Server, Timeout, client_settings
from cli.output import Output, Part, room, say

COLUMNS = (
    Column("TIME", 8, 8, 3, "dim"),
    Column("WHO", 10, 22, 1),
    Column("JOB", 8, 16, 2, "dim", whole=True),
    Column("WHAT", 12, 12, 5),
    Column("TEXT", 9, 24, 4),
)

Client = Annotated[str | None, client_option("Only events of this client.")]
Group = Annotated[
    str | None, typer.Option("--group", metavar="NAME", callback=name("group"), help="Only events for this group.")
]
Job = Annotated[
    str | None,
    typer.Option(
        "--job",
        metavar="JOB",
        callback=name("job id"),
        autocompletion=completion.job_ids,
        help="Only this job's events, from its first on; the beginning of its id will do.",
    ),
]


def watch(
    client: Client = None,
    group: Group = None,
    job: Job = None,
    server: Server = None,
    timeout: Timeout = 5,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Show events as they are stored, of all clients and groups, until Ctrl+C.

    When NATS goes away and comes back, everything that was stored meanwhile follows, each event once. With --job,
    what the job writes is shown as text that grows.

    Example: busctl watch --group system
    """
    if group and (client or job):
        raise typer.BadParameter("--group goes with neither --client nor --job: an event is for a group or a client")
    watcher = Watcher(Output(as_json=as_json, quiet=quiet), quiet=quiet, one_job=job is not None)
    settings = client_settings(server, timeout)
    try:
        asyncio.run(cancellable(_watch(settings, watcher, client, group, job)))
    except KeyboardInterrupt:
        shown = f"{watcher.shown} event{'' if watcher.shown == 1 else 's'}"
        raise Interrupted(f"interrupted after {shown}") from None


async def _watch(settings: Settings, watcher: Watcher, client: str | None, group: str | None, job: str | None) -> None:
    async with Bus(settings, name="busctl watch") as bus:
        followed: tuple[str, ...]
        if group:
            followed = (subjects.group(group),)
        elif job:
            owner, job = await find(bus, job, client)
            followed = subjects.job(owner, job), subjects.output(owner, job)
        else:
            followed = (subjects.client(client) if client else subjects.STREAM_SUBJECTS,)
        await watcher.run(bus, followed, after=0 if job else None)


class Watcher:
    """Prints events.

    Args:
        output: where events go; sentences about NATS go to standard error.
        quiet: leave those out too.
        one_job: they are those of one job, so that what it writes is one text.
    """

    def __init__(self, output: Output, *, quiet: bool, one_job: bool) -> None:
        self.shown = 0
        self._live = LiveText(output, self._tell) if one_job else None
        self._output = output
        self._beside = Console(stderr=True, highlight=False, quiet=quiet)

    async def run(self, bus: Bus, followed: tuple[str, ...], *, after: int | None) -> None:
        """Print until cancelled: what was stored after this sequence, or from now on.

        Args:
            followed: `bus.` subjects, wildcards allowed.
        """
        async with bus.follow(*followed, after=after, on_interruption=self._tell_of) as events:
            self._tell("watching; Ctrl+C ends it")
            try:
                async for stored in events:
                    self._show(stored)
            finally:
                if self._live is not None:
                    self._live.end_line()

    def _show(self, stored: Stored) -> None:
        event = record(stored)
        if not is_news(event):
            return
        self.shown += 1
        self._output.record(**event)
        if self._live is not None:
            if event["action"] == "job_output":
                self._live.piece(event)
                return
            self._live.end_line()
            if event["action"] == "job_result" and self._live.has(text(event)):
                event["payload"] = "what is above"
        self._output.line(*self._row(stored, event))

    def _row(self, stored: Stored, event: dict[str, Any]) -> list[Part]:
        stored_at = moment(stored.timestamp)
        action, width = event["action"], room()
        cells: dict[str, Part] = {
            "TIME": f"{stored_at:%H:%M:%S}" if stored_at else "",
            "WHO": str(event.get("client_id") or event.get("group") or event.get("subject", "")),
            "JOB": str(event.get("job_id", ""))[: None if width is None else SHORTEST_ID],
            "WHAT": (action.removeprefix("job_").removeprefix("system_"), style(event)),
            "TEXT": level(event) + text(event),
        }
        return Columns(COLUMNS, width).row(cells)  # anew each time: a terminal may change its size

    def _tell_of(self, interruption: Interruption) -> None:
        self._tell(INTERRUPTIONS[interruption])

    def _tell(self, message: str) -> None:
        say(self._beside, message, "dim")
