"""The production web process: Hypercorn through its Python API, with an orderly end.

`busctl serve` runs this. On SIGTERM, SIGHUP or SIGINT every client is told to come back (close code 1012) before the
listening sockets close: Hypercorn alone would cut them off, and on Python 3.12 and later wait for them for ever.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass
from ssl import SSLError
from typing import Any

import structlog
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config, Sockets

from bus import Bus, Settings
from bus.end_signals import end_signals
from bus.metrics_listener import MetricsListener
from bus.tracebacks import described
from quart_app.embedding import application
from quart_app.errors import BadCertificate, CannotHeal
from quart_app.finish import FINISH_TIMEOUT
from quart_app.server.control_socket import ControlSocket
from quart_app.server.drain import REQUESTS_TIMEOUT, Drain
from quart_app.server.hypercorn_inside import install
from quart_app.server.listener import WANT, Listener
from workers.enqueue import Enqueuer

log = structlog.get_logger(__name__)

OTHER_FILES = 100
"""Descriptors that a web process keeps from its clients: for NATS, Redis, files, and connections on their way out."""

GARBAGE_THRESHOLDS = (5_000, 4, 50)
"""New objects that start a collection, and how many collections of one kind start the next. A connection is many
objects that stay: with CPython's 700, 10, 10 a third of accepting it is looking for garbage among them. Fewer, larger
ones take longer each, and nobody is served meanwhile; so the youngest are looked at often, and all of them seldom."""


@dataclass(frozen=True)
class Tls:
    """What to serve HTTPS and wss:// with.

    Args:
        certfile: path of the certificate in PEM form, followed by those that lead to its authority.
        keyfile: path of its private key.
    """

    certfile: str
    keyfile: str


class ServerConfig(Config):
    """Hypercorn's configuration for a listener that is bound already. HTTP/1.1 only.

    Raises:
        BadCertificate: a file cannot be read, or the two do not belong together.
    """

    accesslog = None
    errorlog = logging.getLogger("hypercorn.error")
    include_server_header = False
    graceful_timeout = REQUESTS_TIMEOUT + FINISH_TIMEOUT

    def __init__(self, settings: Settings, listener: Listener, tls: Tls | None) -> None:
        self._listener = listener
        self.alpn_protocols = ["http/1.1"]
        self.backlog = settings.backlog
        self.keep_alive_timeout = settings.keep_alive_timeout
        self.read_timeout = settings.read_timeout  # type: ignore[assignment]  # a float does as well
        self.ssl_handshake_timeout = settings.handshake_timeout
        self.websocket_max_message_size = settings.max_frame_bytes
        self.websocket_ping_interval = settings.ping_interval
        if tls is not None:
            self.certfile, self.keyfile = tls.certfile, tls.keyfile
            # Without any password OpenSSL would ask for one at the terminal.
            password = settings.keyfile_password
            self.keyfile_password = password.get_secret_value() if password is not None else ""
            self._check(tls)

    def create_sockets(self) -> Sockets:
        """The listener, as what it serves."""
        if self.ssl_enabled:
            return Sockets([self._listener], [], [])
        return Sockets([], [self._listener], [])

    def _check(self, tls: Tls) -> None:
        for option, path in (("--certfile", tls.certfile), ("--keyfile", tls.keyfile)):
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                raise BadCertificate(f"cannot read {option} {path}: {error.strerror}") from error
        try:
            self.create_ssl_context()
        except (SSLError, OSError, ValueError) as error:
            reason = error.reason if isinstance(error, SSLError) and error.reason else str(error)
            raise BadCertificate(
                f"cannot serve TLS with --certfile {tls.certfile} and --keyfile {tls.keyfile}: {reason}; both must be "
                "PEM files that belong together, and an encrypted key needs BUS_KEYFILE_PASSWORD"
            ) from error


def serve(settings: Settings, bind: str, tls: Tls | None = None, control_socket: int | None = None) -> None:
    """Serve until SIGTERM, SIGHUP or SIGINT, then drain.

    Args:
        settings: of this process.
        bind: `host:port`, `unix:/path`, or `fd://N` for an inherited socket.
        tls: serve HTTPS and wss:// instead of HTTP and ws://.
        control_socket: the descriptor that leads to this process's supervisor.

    Raises:
        CannotListen: the address cannot be used.
        BadCertificate: TLS cannot be served with these files.
        CannotHeal: NATS has refused this process for `heal_timeout`, and every client was told to come back.
        BusError: NATS cannot be used, see `Bus.connect`, or Redis is another system's.
    """
    with Listener.bound(bind, mode=int(settings.socket_mode, 8)) as listener:
        config = ServerConfig(settings, listener, tls)
        settings = fitted(settings, raise_open_files())
        listener.limit = settings.max_connections + settings.max_http_connections
        listener.idle_limit = settings.max_http_connections
        asyncio.run(_serve(settings, config, listener, control_socket))


def fitted(settings: Settings, files: int) -> Settings:
    """The settings with as many connections as there are descriptors for, and a warning when that is fewer.

    Args:
        files: how many may be open.
    """
    room = files - min(OTHER_FILES, files // 2)
    if settings.max_connections + settings.max_http_connections <= room:
        return settings
    http = max(1, min(settings.max_http_connections, room // 4))
    websockets = max(1, min(settings.max_connections, room - http))
    log.warning(
        "fewer files may be open than BUS_MAX_CONNECTIONS and BUS_MAX_HTTP_CONNECTIONS need: fewer clients are let in; "
        "raise the limit, or lower the settings",
        open_files=files,
        max_connections=websockets,
        max_http_connections=http,
    )
    return settings.model_copy(update={"max_connections": websockets, "max_http_connections": http})


def raise_open_files() -> int:
    """Let this process have as many open files as the system allows it; how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS has a lower limit than the one it names
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft


async def _serve(settings: Settings, config: Config, listener: Listener, control_socket: int | None) -> None:
    app, edge = application(settings)
    install(settings, closed=edge.metrics.closed_here, listener=listener)
    drain = Drain(settings, edge.admission, edge.pipeline.hub, listener)
    edge.on_lost = drain.give_up
    supervisor = ControlSocket(control_socket, drain) if control_socket is not None else None
    bind = settings.metrics_bind if supervisor is None else None  # the supervisor shows those of all
    metrics_listener = MetricsListener(edge.metrics.text, bind, settings.metrics_token)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_tell_unless_peer)
    for number in (signal.SIGINT, *end_signals()):
        # A terminal or systemd signals the supervisor and its children both: only the supervisor says when to hurry.
        loop.add_signal_handler(number, drain.signalled if supervisor is None else drain.begin)

    async def drained() -> None:
        if supervisor is not None:
            supervisor.ready()
        await drain.run()

    try:
        metrics_listener.start()
        if await _bus_answers(settings, drain):
            gc.freeze()
            gc.set_threshold(*GARBAGE_THRESHOLDS)
            await hypercorn_serve(app, config, shutdown_trigger=drained)
            if drain.lost is not None:
                raise CannotHeal(drain.lost)
    finally:
        await asyncio.to_thread(metrics_listener.end)
        if supervisor is not None and supervisor.lost:
            edge.metrics.remove_shared()


def _tell_unless_peer(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What a peer does to its own connection is no trouble of ours, such as TLS that does not end in order."""
    error = context.get("exception")
    if "transport" in context and isinstance(error, OSError):
        log.debug("a connection broke", error=described(error))
    elif "socket" in context and isinstance(error, OSError) and error.errno in WANT:
        # asyncio waits a second before it tries again
        log.error("new clients have to wait: the system has no more for them; raise its limits", error=error.strerror)
    else:
        loop.default_exception_handler(context)


async def _bus_answers(settings: Settings, drain: Drain) -> bool:
    """Whether NATS can be used, and Redis is not another system's; False when the drain began before that was known.

    Hypercorn hides why a startup failed in an error of its own; asking first keeps the reason whole.
    """

    async def ask() -> None:
        async with Bus(settings, name="busctl web", update_stream=True) as bus, Enqueuer(settings, bus):
            pass

    asking = asyncio.create_task(ask())
    stopping = asyncio.create_task(drain.begun.wait())
    try:
        await asyncio.wait((asking, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        while not asking.done():
            asking.cancel()  # again and again: on Python 3.11 asyncio.wait_for can swallow it
            await asyncio.wait({asking}, timeout=1)
    await asyncio.gather(asking, return_exceptions=True)
    if drain.begun.is_set():
        return False
    asking.result()
    return True
