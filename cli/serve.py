"""`busctl serve`: one production web process."""

from __future__ import annotations

import os
import re
import sys
from typing import Annotated

import typer

from bus import Settings


def _address(value: str) -> str:
    match = re.fullmatch(r"(\[[^\]]+\]|[^:]+):(\d{1,5})", value)
    if match is None or int(match[2]) > 65535:
        raise typer.BadParameter(f"{value!r} is no HOST:PORT, such as 0.0.0.0:8000 or [::1]:8000")
    return value


Bind = Annotated[
    str,
    typer.Option("--bind", metavar="HOST:PORT", callback=_address, help="Where to listen; 0.0.0.0 for every address."),
]


def serve(bind: Bind = "127.0.0.1:8000") -> None:
    """Run a production web process until SIGTERM.

    On SIGTERM or Ctrl+C every client is told to come back (close code 1012), then it exits with 0. Settings are
    environment variables: NATS_URL, REDIS_URL, BUS_ALLOWED_ORIGINS, BUS_LOG_FORMAT and others.

    Example: NATS_URL=nats://bus:4222 busctl serve --bind 0.0.0.0:8000
    """
    Settings.load()
    sys.stdout.flush()
    # The web process takes this one's place, so signals and the exit status need no forwarding. -P: a directory
    # named like one of our packages, where the command happens to be typed, is not imported.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "quart_app", "--bind", bind])  # noqa: S606
