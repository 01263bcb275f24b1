"""`busctl serve`: production web processes."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer


def _address(value: str) -> str:
    from bus import bind_address  # here: the process that serves takes this one's place, and imports all of it again

    try:
        if bind_address.unix_path(value) is None:
            bind_address.parse(value, lowest=0)
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} cannot be listened on: {error}") from None
    return value


Bind = Annotated[
    str,
    typer.Option(
        "--bind",
        metavar="ADDRESS",
        callback=_address,
        help="Where to listen: HOST:PORT, with 0.0.0.0 for every address and [::1] for IPv6, or unix:/PATH.",
    ),
]
Workers = Annotated[
    int, typer.Option("--workers", metavar="N", min=1, max=1024, help="How many processes share the address.")
]
Certfile = Annotated[
    str | None,
    typer.Option("--certfile", metavar="PATH", help="Certificate and chain, PEM: serve https:// and wss:// only."),
]
Keyfile = Annotated[
    str | None,
    typer.Option(
        "--keyfile", metavar="PATH", help="Its private key, PEM; BUS_KEYFILE_PASSWORD opens an encrypted one."
    ),
]


def serve(
    bind: Bind = "127.0.0.1:8000", workers: Workers = 1, certfile: Certfile = None, keyfile: Keyfile = None
) -> None:
    """Run production web processes until SIGTERM.

    On SIGTERM or Ctrl+C every client is told to come back (close code 1012), then it exits with 0; a second signal
    makes that quicker. A process that dies is replaced if there are several. Settings are environment variables:
    NATS_URL, REDIS_URL, BUS_ALLOWED_ORIGINS, BUS_LOG_FORMAT and others.

    Example: NATS_URL=nats://bus:4222 busctl serve --bind 0.0.0.0:8000 --workers 2
    """
    if (certfile is None) != (keyfile is None):
        raise typer.BadParameter("--certfile and --keyfile go together")
    os.environ.pop("BUS_DEV_SOCKET", None)  # that is for `busctl dev` alone
    sys.stdout.flush()
    # The web process takes this one's place, so signals and the exit status need no forwarding. -P: a directory
    # named like one of our packages, where the command happens to be typed, is not imported.
    command = [sys.executable, "-P", "-m", "quart_app", "--bind", bind, "--workers", str(workers)]
    if certfile is not None and keyfile is not None:
        command += ["--certfile", certfile, "--keyfile", keyfile]
    os.execv(sys.executable, command)  # noqa: S606
