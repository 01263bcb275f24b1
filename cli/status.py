"""`busctl status`: how the system stands, on one screen."""

from __future__ import annotations

import asyncio

from cli.errors import CommandFailed, Interrupted
from cli.options import AsJson, NoColor, Quiet, Server, Timeout, client_settings
from cli.output import Output
from cli.state_lines import INDENT, lines
from workers.state.system import look_once


def status(
    server: Server = None,
    timeout: Timeout = 1.2,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Show how NATS, the event stream, Redis, workers, web processes and jobs stand.

    Takes less than three seconds, whatever is broken. Exit status 1 when the system cannot do its work.

    Example: busctl status
    """
    output = Output(as_json=as_json, quiet=quiet)
    settings = client_settings(server, timeout)
    try:
        system = asyncio.run(look_once(settings, "busctl status"))
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None
    output.record(**system.record())
    for line in lines(system):
        output.line(*line, indent=INDENT)
    if system.faults:
        raise CommandFailed(f"{'; '.join(system.faults)}. 'busctl doctor' says how to mend it")
