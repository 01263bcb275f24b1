"""LocalSystem: NATS, Valkey, a worker and the web process, started in order, watched and stopped in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bus.end_signals import end_signals
from bus.ending import end_task
from cli.browser import open_page
from cli.data_dir import AUTH_SECRET, LOGS, SERVERS, secret
from cli.dev_faults import DevFaults
from cli.dev_output import DevOutput
from cli.embedded import nats_command, valkey_command
from cli.errors import CommandFailed
from cli.keys import pressed
from cli.probes import http_ok, redis_answers, worker_listens
from cli.processes import Processes
from cli.reload import Sources, short

PAGE = "/system/"
READY_SECONDS = 60.0
ASK_EVERY = 0.1
CHECK_INTERVAL = 1.0
CLIENTS_GRACE = 5.0
SERVERS_GRACE = 3.0
"""Seconds to stop, first for web and worker, then for the servers they use: together under 10."""
DRAIN_TIMEOUT = 2.0
"""Seconds of the first that browsers get to go."""

LOOPBACK = "localhost,*.localhost,127.0.0.1,[::1]"
"""Under these names a browser reaches this machine, and no page of another site does."""

KEYS = ("auth_secret", "auth_public_key", "auth_jwks")
"""The settings that say which tokens are valid."""

QUIET = ("-W", "ignore:You're running the worker with superuser privileges")
"""For Python: Celery's advice is for who runs a worker for others."""

Check = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run, and where.

    Args:
        nats_ports: of an own NATS, for clients and for monitoring; None to use the one at `nats_url`.
        redis_port: of an own Valkey; None to use the one at `redis_url`.
        given: the settings that the environment has; for others there are values that suit one machine.
        data_dir: absolute.
        asks_for_tokens: whether clients have to prove who they are.
        sources: what to watch, to start web and worker again when it changes; None to let them run.
        page: the path of the page to look at.
        verbose: whether every line of every process is shown.
        stream_max_bytes: most bytes of events, where the disk has less room than the settings ask for.
    """

    web_port: int
    nats_url: str
    redis_url: str
    nats_ports: tuple[int, int] | None
    redis_port: int | None
    given: Set[str]
    data_dir: Path
    concurrency: int
    sources: Sequence[Path] | None
    page: str = PAGE
    verbose: bool = False
    stream_max_bytes: int | None = None
    asks_for_tokens: bool = False

    @property
    def url(self) -> str:
        """Of the page to look at."""
        return f"http://127.0.0.1:{self.web_port}{self.page}"

    def told(self, name: str) -> str:
        """What is said of a part once it answers."""
        return {
            "nats": f"listens on {self.nats_url} and http://127.0.0.1:{(self.nats_ports or (0, 0))[1]}",
            "valkey": f"listens on {self.redis_url}",
            "web": f"serves http://127.0.0.1:{self.web_port}/",
            "worker": f"takes jobs, {self.concurrency} at a time",
        }[name]

    def servers(self) -> dict[str, tuple[list[str], Check]]:
        """By name, the commands of the servers to start, and how to ask each whether it is ready.

        Raises:
            CommandFailed: one is not installed.
        """
        found: dict[str, tuple[list[str], Check]] = {}
        if self.nats_ports is not None:
            port, monitor_port = self.nats_ports
            command = nats_command(self.data_dir / "nats", port, monitor_port)
            found["nats"] = command, lambda: http_ok(monitor_port, "/healthz")
        if self.redis_port is not None:
            command = valkey_command(self.data_dir / "valkey", self.redis_port)
            found["valkey"] = command, lambda: redis_answers(self.redis_url)
        return found

    def clients(self) -> dict[str, tuple[list[str], Check]]:
        """Command and check of each process that uses the servers, in the order in which to stop them."""
        # -P: a directory named like one of our packages, where the command is typed, is not imported.
        python = [sys.executable, "-P", "-m"]
        # Looking for other workers would cost a second of every start, and here there are none.
        alone = ["--without-mingle", "--without-gossip"]
        return {
            "web": (
                [*python, "quart_app", "--bind", f"127.0.0.1:{self.web_port}"],
                lambda: http_ok(self.web_port, "/readyz"),
            ),
            "worker": (
                [*python[:2], *QUIET, *python[2:], "workers", *alone, "--concurrency", str(self.concurrency)],
                lambda: worker_listens(self.redis_url),
            ),
        }

    def env(self) -> dict[str, str]:
        """The environment of every child."""
        own = {"NATS_URL": self.nats_url, "REDIS_URL": self.redis_url, "PYTHONUNBUFFERED": "1"}
        if self.nats_ports is not None:  # which knows no users: what is set is for another server
            own |= dict.fromkeys(("NATS_USER", "NATS_PASSWORD", "NATS_CREDS", "NATS_NKEY", "NATS_CA", "NATS_CERT"), "")
            own |= dict.fromkeys(("NATS_KEY", "NATS_PASSWORD_FILE"), "")
        own |= {"BUS_DRAIN_DELAY": "0", "BUS_DRAIN_TIMEOUT": str(DRAIN_TIMEOUT)}
        if "secret" not in self.given:
            own["BUS_SECRET"] = secret(self.data_dir)
        if self.asks_for_tokens and self.given.isdisjoint(KEYS):
            own["BUS_AUTH_SECRET"] = secret(self.data_dir, AUTH_SECRET)
        if "allowed_hosts" not in self.given:
            own["BUS_ALLOWED_HOSTS"] = LOOPBACK
        if "console" not in self.given:
            own["BUS_CONSOLE"] = "local"
        if self.stream_max_bytes is not None:
            own["BUS_STREAM_MAX_BYTES"] = str(self.stream_max_bytes)
        return os.environ | own


class LocalSystem:
    """Runs a plan, from the first server's start to the last one's end.

    Args:
        plan: what to run.
        lock: descriptor of the data directory's lock.
    """

    def __init__(self, plan: Plan, lock: int) -> None:
        self._plan = plan
        self._signals: asyncio.Queue[int] = asyncio.Queue()
        self._output = DevOutput(
            plan.data_dir / LOGS, verbose=plan.verbose, on_unread=lambda: self._signals.put_nowait(signal.SIGPIPE)
        )
        self._show = self._output.show
        self._processes = Processes(self._output.hear, keep_open=[lock])
        self._faults = DevFaults(self._processes, self._show)
        self._unready: set[str] = set()
        self._reloading = False
        self._restarting: asyncio.Task[None] | None = None
        self._again = asyncio.Lock()
        """Held while something is stopped to be started again."""

    async def run(self) -> int:
        """Run until a signal, and return its number.

        Raises:
            CommandFailed: a child died or did not become ready; everything is stopped by then.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, *end_signals()):
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        async with self._processes, self._faults:
            signalled = asyncio.create_task(self._signals.get())
            living = asyncio.create_task(self._live())
            dying = asyncio.create_task(self._first_death())
            tasks = (signalled, living, dying)
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await asyncio.gather(*map(end_task, (*tasks, self._restarting)))
                await self._stop()
                self._output.close()
        for task in (dying, living):
            if not task.cancelled():
                task.result()
        return signalled.result()

    async def _live(self) -> None:
        if (most := self._plan.stream_max_bytes) is not None:
            kept = f"events are kept up to {most // 1024**2} MiB"
            self._show("dev", f"the disk of {self._plan.data_dir} is small: {kept} (BUS_STREAM_MAX_BYTES={most})")
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._start(self._plan.servers())
                # Looked at before web and worker read them: what is written while these begin is a change already.
                sources = None if self._plan.sources is None else Sources(self._plan.sources)
                await self._start(self._plan.clients())
        except TimeoutError:
            for name in sorted(self._unready):
                self._output.show_last_words(name)
            names = " and ".join(sorted(self._unready))
            raise CommandFailed(
                f"not ready within {READY_SECONDS:g} s: {names}; see the last lines above. Everything was stopped"
            ) from None
        ready = Text.assemble(("ready ", "bold green"), self._plan.url)
        Console(highlight=False).print(ready, soft_wrap=True)
        if self._plan.page == PAGE:
            web = f"http://127.0.0.1:{self._plan.web_port}"
            self._show("dev", f"the console: {web}/console/")
            self._show("dev", f"the wire: {web}/asyncapi/docs/")
        self._show("dev", f"every line of every process: {short(self._plan.data_dir / LOGS)}")
        with pressed(self._on_key) as heard:
            if heard:
                self._show("dev", "press o to open the page, r to restart the worker, q to quit")
            if sources is not None:
                await self._reload(sources)
            await asyncio.Event().wait()

    async def _start(self, wanted: dict[str, tuple[list[str], Check]]) -> None:
        self._launch(wanted)
        while self._unready & wanted.keys():
            await self._tell_who_answers(wanted)
            await asyncio.sleep(ASK_EVERY)

    async def _tell_who_answers(self, wanted: dict[str, tuple[list[str], Check]]) -> None:
        for name in sorted(self._unready & wanted.keys()):
            if await wanted[name][1]() and name in self._unready:
                self._unready.discard(name)
                self._show(name, self._plan.told(name))

    def _launch(self, wanted: dict[str, tuple[list[str], Check]]) -> None:
        self._unready |= wanted.keys()
        for name, (command, _) in wanted.items():
            # What the servers store is for nobody else; what jobs store is for the jobs to say.
            umask = 0o077 if name in SERVERS else -1
            self._processes.start(name, command, self._plan.env() | self._faults.env, umask=umask)

    async def _first_death(self) -> None:
        while True:
            process = await self._processes.deaths.get()
            message = f"{process.name} died with {process.how_it_ended()}"
            if not (self._reloading and process.name in self._plan.clients()):
                await process.said_all()
                self._output.show_last_words(process.name)
                raise CommandFailed(f"{message}; see its last lines above. Everything else was stopped")
            self._show("dev", f"{message}; it starts again when a source file changes")

    def _on_key(self, key: str) -> None:
        match key.lower():
            case "o":
                open_page(self._plan.url, lambda message: self._show("dev", message))
            case "q":
                self._signals.put_nowait(signal.SIGTERM)
            case "r" if self._restarting is None or self._restarting.done():
                self._restarting = asyncio.create_task(self._restart_worker(), name="restart the worker")

    async def _restart_worker(self) -> None:
        self._show("dev", "the worker starts again")
        try:
            async with self._again, asyncio.timeout(READY_SECONDS):
                await self._processes.stop(["worker"], CLIENTS_GRACE)
                await self._start({"worker": self._plan.clients()["worker"]})
        except TimeoutError:
            self._show("dev", f"the worker is not ready after {READY_SECONDS:g} s; see its log, and press r again")

    async def _reload(self, sources: Sources) -> None:
        self._reloading = True
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            await self._tell_who_answers(self._plan.clients())
            if changed := sources.changed():
                names = ", ".join(map(short, changed[:3])) + ("…" if changed[3:] else "")
                self._show("dev", f"{names} changed; web and worker start again")
                async with self._again:
                    await self._processes.stop(self._plan.clients(), CLIENTS_GRACE)
                    self._launch(self._plan.clients())

    async def _stop(self) -> None:
        """Stop in order; on one more signal, kill."""
        self._faults.thaw()
        self._show("dev", "stopping; press Ctrl+C again to kill at once")
        again = asyncio.create_task(self._signalled_again())
        orderly = asyncio.create_task(self._stop_in_order())
        await asyncio.wait((again, orderly), return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not orderly.done():
            self._processes.kill()
        await orderly

    async def _signalled_again(self) -> None:
        while await self._signals.get() == signal.SIGHUP:
            pass  # the kernel sends it as well as the shell

    async def _stop_in_order(self) -> None:
        await self._processes.stop(self._plan.clients(), CLIENTS_GRACE)
        await self._processes.stop(self._plan.servers(), SERVERS_GRACE)
