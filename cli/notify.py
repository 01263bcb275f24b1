"""`busctl notify`: tell everybody something."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Annotated

import typer

from bus import BusError, InvalidName, NotPermitted, SyncBus, SystemNotification, UnsupportedServer, subjects
from cli.errors import CommandFailed, Interrupted
from cli.options import AsJson, NoColor, Quiet, Server, Timeout, client_settings, seconds
from cli.output import Output, shortened
from cli.streams import given

LONGEST_INTERVAL = 86_400


def _some_text(value: str) -> str:
    if not value.strip():
        raise typer.BadParameter("the message is empty; say something")
    return value


def _group(value: str) -> str:
    try:
        subjects.group(value)
    except InvalidName as error:
        raise typer.BadParameter(str(error)) from None
    return value


Words = Annotated[
    str,
    typer.Argument(
        metavar="MESSAGE",
        callback=_some_text,
        help="What to say; - for what comes on standard input.",
        show_default=False,
    ),
]
Repeat = Annotated[int, typer.Option("--repeat", metavar="N", min=1, help="Say it so many times.")]
Interval = Annotated[
    float,
    typer.Option(
        "--interval",
        metavar="SECONDS",
        callback=seconds(0, LONGEST_INTERVAL),
        help="Wait so long between two of them.",
    ),
]
Group = Annotated[str, typer.Option("--group", metavar="NAME", callback=_group, help="The audience.")]


def notify(
    message: Words,
    repeat: Repeat = 1,
    interval: Interval = 1,
    group: Group = "system",
    server: Server = None,
    timeout: Timeout = 5,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Tell everybody something, live in every open page.

    Exits with 0 only when the stream has acknowledged every notification. Who is offline sees them on return.

    Example: busctl notify "Server restart in 5 minutes" --repeat 3 --interval 2
    """
    output = Output(as_json=as_json, quiet=quiet)
    settings = client_settings(server, timeout)
    stored = 0
    try:
        message = given(message, "message")
        with SyncBus(settings, name="busctl notify", declare=False) as bus:
            output.line("Sending to group ", (group, "bold"), ": ", shortened(message))
            _look_first(bus)
            for n in range(1, repeat + 1):
                if n > 1:
                    time.sleep(interval)
                [seq] = bus.broadcast_event(SystemNotification(payload=message), groups=[group])
                stored = n
                output.line(f"  {n}/{repeat} ", ("✓", "green"), f" stored as event {seq}")
                output.record(event="stored", n=n, of=repeat, group=group, seq=seq)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {_sent(stored, repeat)}") from None
    except BusError as error:
        doubt = "; the next one may be stored all the same" if getattr(error, "maybe_done", False) else ""
        raise CommandFailed(f"{error} ({_sent(stored, repeat)}{doubt})") from error
    output.line(("Sent.", "green") if repeat == 1 else (f"All {repeat} sent.", "green"))


def _look_first(bus: SyncBus) -> None:
    # A user may be allowed to send and nothing else; if nothing stores it, the answer to it says so.
    with suppress(NotPermitted, UnsupportedServer):
        bus.call(lambda bus: bus.stream.declare(update=False))


def _sent(stored: int, repeat: int) -> str:
    return f"{stored} of {repeat} sent"
