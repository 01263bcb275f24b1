"""`busctl notify`: tell everybody something, or a group, one client or one user."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, cast, get_args

import typer

from bus import BusError, NotPermitted, SyncBus, SystemNotification, UnsupportedServer, times
from bus.messages import Level
from cli import completion
from cli.audience import Client, Group, User, audience
from cli.errors import CommandFailed, Interrupted
from cli.events import moment
from cli.expiry import expiry, require_time_to_show
from cli.options import AsJson, NoColor, Quiet, Server, Timeout, client_settings, seconds
from cli.output import Output, shortened
from cli.streams import given

LONGEST_INTERVAL = 86_400
MOST_TIMES = 1_000_000


def _some_text(value: str) -> str:
    if not value.strip():
        raise typer.BadParameter("the message is empty; say something")
    return value


def _level(value: str) -> Level:
    if value not in get_args(Level):
        raise typer.BadParameter(f"'{value}' is no level; use one of {', '.join(get_args(Level))}")
    return cast(Level, value)


Words = Annotated[
    str,
    typer.Argument(
        metavar="MESSAGE",
        callback=_some_text,
        help="What to say; - for what comes on standard input.",
        show_default=False,
    ),
]
Repeat = Annotated[int, typer.Option("--repeat", metavar="N", min=1, max=MOST_TIMES, help="Say it so many times.")]
Interval = Annotated[
    float,
    typer.Option(
        "--interval",
        metavar="SECONDS",
        callback=seconds(0, LONGEST_INTERVAL),
        help="Wait so long between two of them.",
    ),
]
Importance = Annotated[
    Level | None,
    typer.Option(
        "--level",
        metavar="|".join(get_args(Level)),
        parser=_level,
        autocompletion=completion.levels,
        help="How much it matters: a critical one stays in view until it is dismissed.",
    ),
]
Expires = Annotated[
    str | None,
    typer.Option(
        "--expires",
        metavar="WHEN",
        help="When it is not shown any more: so long after it is sent (10m, 1h30m), or a time (2026-12-01T06:00:00Z).",
    ),
]


def notify(
    message: Words,
    repeat: Repeat = 1,
    interval: Interval = 1,
    group: Group = None,
    client: Client = None,
    user: User = None,
    level: Importance = None,
    expires: Expires = None,
    server: Server = None,
    timeout: Timeout = 5,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Tell everybody something, live in every open page; or a group, one client or one user.

    Exits with 0 only when the stream has acknowledged every notification. Who is offline sees them on return, unless
    they have expired by then.

    Example: busctl notify "Server restart in 5 minutes" --level critical --expires 10m
    """
    who = audience(group, client, user)
    _check(expires, last_in=(repeat - 1) * interval)
    output = Output(as_json=as_json, quiet=quiet)
    settings = client_settings(server, timeout)
    stored = 0
    try:
        message = given(message, "message")
        said = shortened(message)
        with SyncBus(settings, name="busctl notify", declare=False) as bus:
            output.line(f"Sending to {who.kind} ", (who.name, "bold"), f" as {level}: " if level else ": ", said)
            _look_first(bus)
            for n in range(1, repeat + 1):
                if n > 1:
                    time.sleep(interval)
                event = SystemNotification(payload=message, level=level, expires_at=_expires_at(expires))
                seq = who.tell(bus, event)
                stored = n
                output.line(f"  {n}/{repeat} ", ("✓", "green"), f" stored as event {seq}{_until(event)}")
                output.record(event="stored", n=n, of=repeat, **who.record, seq=seq, **json.loads(event.encode()))
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {_sent(stored, repeat)}") from None
    except BusError as error:
        doubt = "; the next one may be stored all the same" if getattr(error, "maybe_done", False) else ""
        raise CommandFailed(f"{error} ({_sent(stored, repeat)}{doubt})") from error
    output.line(("Sent.", "green") if repeat == 1 else (f"All {repeat} sent.", "green"))


def _check(expires: str | None, *, last_in: float) -> None:
    try:
        if expires is not None:
            require_time_to_show(expires, sent=datetime.now(UTC) + timedelta(seconds=last_in))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--expires'") from None


def _expires_at(expires: str | None) -> str | None:
    return None if expires is None else times.written(expiry(expires, sent=datetime.now(UTC)))


def _until(event: SystemNotification) -> str:
    time = moment(event.expires_at or "")
    return f", shown until {time:%Y-%m-%d %H:%M:%S}" if time else ""


def _look_first(bus: SyncBus) -> None:
    # A user may be allowed to send and nothing else; if nothing stores it, the answer to it says so.
    with suppress(NotPermitted, UnsupportedServer):
        bus.call(lambda bus: bus.stream.declare(update=False))


def _sent(stored: int, repeat: int) -> str:
    return f"{stored} of {repeat} sent"
