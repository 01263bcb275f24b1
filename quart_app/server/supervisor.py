"""Several web processes on one address: started together, each replaced when it dies, ended in order.

Every process listens on a socket of its own, between which the kernel shares out connections, or all on one Unix
socket. The supervisor holds those sockets too, so that what waits to be accepted by a process that died is there for
the one that takes its place. Hypercorn's own workers are not used: one that ends badly ends all of them.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from functools import partial
from tempfile import TemporaryDirectory

import structlog
from prometheus_client.multiprocess import mark_process_dead

from bus import Settings
from bus.end_signals import end_signals
from bus.exit_status import described
from bus.metrics_listener import MetricsListener
from quart_app.errors import BadCertificate
from quart_app.metrics import SHARED_DIR, shared_text
from quart_app.server.control_socket import CANNOT_HEAL, HURRY, READY, STOP
from quart_app.server.listener import INHERITED, Listener
from quart_app.server.serve import ServerConfig, Tls

log = structlog.get_logger(__name__)

AFTER_DRAIN = 20.0
"""Seconds for what a web process does after its clients have gone: end handlers, hand jobs over, leave NATS."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds before a process that died is replaced; twice as long each time, unless it served longer than that."""


class WebProcess:
    """One web process, as its supervisor sees it."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ready = False
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, listener: Listener, tls: Tls | None, env: Mapping[str, str]) -> WebProcess:
        """Start `python -m quart_app` on a listener."""
        ours, theirs = socket.socketpair()
        with theirs:
            # -P: a directory named like one of our packages, where the command was typed, is not imported.
            command = [sys.executable, "-P", "-m", "quart_app", "--bind", f"{INHERITED}{listener.fileno()}"]
            command += ["--control-socket", str(theirs.fileno())]
            if tls is not None:
                command += ["--certfile", tls.certfile, "--keyfile", tls.keyfile]
            try:
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=DEVNULL, env=env, pass_fds=(listener.fileno(), theirs.fileno())
                )
            except BaseException:
                ours.close()
                raise
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def started(self) -> bool:
        """Whether it serves now; False when it has ended instead."""
        try:
            self.ready = await self._reader.read(1) == READY
        except ConnectionError:
            self.ready = False
        return self.ready

    async def ended(self) -> int:
        """Wait for its end; the exit status, or the negative number of the signal that killed it."""
        status = await self._process.wait()
        self._writer.close()
        return status

    def tell(self, word: bytes) -> None:
        """Send one of the words of `quart_app.server.control_socket`."""
        self._writer.write(word)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process.returncode is None:
            self._process.kill()


class Supervisor:
    """Runs several web processes until SIGTERM, SIGHUP or SIGINT.

    Args:
        settings: of all of them.
        bind: `host:port`, or `unix:/path`.
        tls: as for `serve`.
        count: of web processes.
        grace: seconds past the drain deadline after which a web process that has not ended is killed.

    Raises:
        CannotListen: the address cannot be used.
        BadCertificate: TLS cannot be served with these files.
    """

    def __init__(self, settings: Settings, bind: str, tls: Tls | None, count: int, grace: float = AFTER_DRAIN) -> None:
        self._settings = settings
        self._grace = grace
        self._tls = tls
        self._listeners = Listener.several(bind, count, mode=int(settings.socket_mode, 8))
        try:
            ServerConfig(settings, self._listeners[0], tls)
        except BadCertificate:
            self._end_listeners()
            raise
        self._counters = TemporaryDirectory(prefix="busctl-metrics-")
        self._env = os.environ | {SHARED_DIR: self._counters.name}
        if settings.secret is None:
            log.warning("BUS_SECRET is not set: clients can resume until this service is restarted")
            self._env[Settings.variable("secret")] = secrets.token_hex(32)
        self._processes: set[WebProcess] = set()
        self._words: list[bytes] = []
        self._stopping = asyncio.Event()
        self._decided = asyncio.Event()
        self._proven = False
        self._failed = False

    async def run(self) -> bool:
        """Whether all web processes ended in order after a signal. False, too, when the first one could not start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, *end_signals()):
            loop.add_signal_handler(number, self._stop)
        metrics = MetricsListener(
            partial(shared_text, self._counters.name), self._settings.metrics_bind, self._settings.metrics_token
        )
        try:
            metrics.start()
            async with asyncio.TaskGroup() as group:
                # Alone at first: what is wrong with one would be wrong with all, and is said once.
                group.create_task(self._keep(self._listeners[0]))
                await self._decided.wait()
                for listener in self._listeners[1:] if self._proven else ():
                    group.create_task(self._keep(listener))
        finally:
            for process in self._processes:
                process.kill()
            await asyncio.to_thread(metrics.end)
            self._end_listeners()
            self._counters.cleanup()
        return not self._failed

    def _stop(self) -> None:
        self._words.append(HURRY if self._words else STOP)
        for process in self._processes:
            process.tell(self._words[-1])
        if not self._stopping.is_set():
            self._stopping.set()
            for listener in self._listeners:
                listener.close()  # the web processes still have theirs, and answer until they close them
            deadline = self._settings.drain_delay + self._settings.drain_timeout + self._grace
            asyncio.get_running_loop().call_later(deadline, self._kill)

    def _end_listeners(self) -> None:
        for listener in self._listeners:
            listener.end()

    def _kill(self) -> None:
        for process in self._processes:
            log.error("a web process did not end in time and is killed", pid=process.pid)
            self._failed = True
            process.kill()

    async def _keep(self, listener: Listener) -> None:
        """Run one web process after another on a listener."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            began = loop.time()
            how = await self._run_one(listener)
            if self._stopping.is_set():
                break
            if not self._proven:
                self._failed = True
                log.error("the first web process could not start", how=how)
                break
            if loop.time() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            log.error("a web process ended; another takes its place", how=how, seconds=pause)
            await self._pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._decided.set()

    async def _run_one(self, listener: Listener) -> str:
        """Run a web process to its end, and say how it ended."""
        try:
            process = await WebProcess.start(listener, self._tls, self._env)
        except OSError as error:
            return f"could not be run: {error}"
        self._processes.add(process)
        for word in self._words:
            process.tell(word)
        if await process.started():
            log.info("a web process serves", pid=process.pid)
            self._proven = True
            self._decided.set()
        status = await process.ended()
        self._processes.discard(process)
        mark_process_dead(process.pid, self._counters.name)  # type: ignore[no-untyped-call]
        if status == CANNOT_HEAL and not self._stopping.is_set():
            self._failed = True
            log.error("a web process cannot work with these settings; ending all", pid=process.pid)
            self._stop()
        elif self._stopping.is_set() and process.ready and status != 0:
            self._failed = True
            log.error("a web process did not end in order", pid=process.pid, how=described(status))
        return f"process {process.pid}, {described(status)}"

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
