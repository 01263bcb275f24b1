"""`busctl dev`: the whole system on this machine, in one terminal."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bus import Settings
from cli.data_dir import locked
from cli.disk import fitting_stream
from cli.embedded import write_nats_config
from cli.errors import CommandFailed, Interrupted
from cli.local_system import PAGE, LocalSystem, Plan
from cli.options import NoColor, directory
from cli.reload import PACKAGES


def _port(value: int) -> int:
    if not 1 <= value <= 65535:
        raise typer.BadParameter(f"{value} is not a port; use 1 to 65535")
    return value


def _port_option(name: str, what: str) -> Any:
    return typer.Option(name, metavar="PORT", callback=_port, help=what)


Port = Annotated[int, _port_option("--port", "Where the web process listens.")]
NatsPort = Annotated[int, _port_option("--nats-port", "Where NATS listens.")]
MonitorPort = Annotated[int, _port_option("--monitor-port", "Where NATS shows its monitoring pages.")]
RedisPort = Annotated[int, _port_option("--redis-port", "Where Valkey listens.")]
DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir", metavar="DIR", parser=directory, help="Where NATS and Valkey keep their data over a restart."
    ),
]
Concurrency = Annotated[int, typer.Option("--concurrency", metavar="N", min=1, help="Jobs that run at a time.")]
Verbose = Annotated[
    bool,
    typer.Option("-v", "--verbose", metavar="", help="Show every line of every process, and not only what matters."),
]
Reload = Annotated[
    bool, typer.Option("--reload", metavar="", help="Restart web and worker when a source file changes.")
]


def dev(
    port: Port = 8000,
    nats_port: NatsPort = 4222,
    monitor_port: MonitorPort = 8222,
    redis_port: RedisPort = 6379,
    data_dir: DataDir = Path(".busctl"),
    concurrency: Concurrency = 2,
    reload: Reload = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
) -> None:
    """Run NATS, Valkey, a worker and the web process in this terminal.

    Prints "ready" and the page's address on standard output when all of them answer. What matters goes to standard
    error, a line each; all that they write, into files in the data directory. If NATS_URL or REDIS_URL is set, that
    server is used instead of starting one. It answers for the host names of this machine alone, unless
    BUS_ALLOWED_HOSTS says otherwise. With BUS_AUTH=jwt, busctl token mints tokens for it.

    Ctrl+C stops everything (exit status 130), and so do SIGTERM and a terminal that closes (0). When one of them dies,
    the others are stopped too (1). A second Ctrl+C kills at once.

    Example: busctl dev --port 8080 --reload
    """
    from workers.own_code import directories
    from workers.registry import discover_for  # here, because it imports every job, and other commands need none

    settings = Settings.load()
    discover_for(settings)  # a job that cannot be used is said at once, not by two processes among the lines of others
    own_nats, own_valkey = (name not in settings.model_fields_set for name in ("nats_url", "redis_url"))
    ports = {"--port": port}
    if own_nats:
        ports |= {"--nats-port": nats_port, "--monitor-port": monitor_port}
    if own_valkey:
        ports |= {"--redis-port": redis_port}
    _require_different(ports)
    plan = Plan(
        web_port=port,
        nats_url=f"nats://127.0.0.1:{nats_port}" if own_nats else settings.nats_url,
        redis_url=f"redis://127.0.0.1:{redis_port}/0" if own_valkey else settings.redis_url,
        given=settings.model_fields_set,
        nats_ports=(nats_port, monitor_port) if own_nats else None,
        redis_port=redis_port if own_valkey else None,
        data_dir=data_dir.absolute(),
        concurrency=concurrency,
        sources=[*PACKAGES, *directories(settings)] if reload else None,
        asks_for_tokens=settings.auth == "jwt",
        verbose=verbose,
        page=PAGE if settings.app is None else "/",
    )
    plan.servers()
    with locked(plan.data_dir) as lock:
        _require_free(ports)
        if own_nats:
            write_nats_config(plan.data_dir / "nats")
            if "stream_max_bytes" not in plan.given:
                most = fitting_stream(plan.data_dir / "nats", settings.stream_max_bytes)
                plan = replace(plan, stream_max_bytes=most)
        number = asyncio.run(LocalSystem(plan, lock).run())
    if number == signal.SIGINT:
        raise Interrupted("interrupted; everything was stopped")
    if number == signal.SIGPIPE:
        raise typer.Exit(1)


def _require_different(ports: dict[str, int]) -> None:
    for number, count in Counter(ports.values()).items():
        if count > 1:
            options = " and ".join(option for option, value in ports.items() if value == number)
            raise typer.BadParameter(f"{options} are both {number}; give each a port of its own")


def _require_free(ports: dict[str, int]) -> None:
    busy = []
    for option, number in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError as error:
                busy.append(f"port {number} cannot be used ({error.strerror}); choose another with {option}")
    if busy:
        raise CommandFailed(busy[0], below=busy[1:])
