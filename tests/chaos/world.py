"""The system under test: two workers, two web processes, NATS and Valkey, and who minds them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from bus import Settings
from testbed.planted import SECRET
from testbed.roles import PASSWORDS, add_tls, copied, write_passwords
from testbed.servers import Nats, Server, Valkey, Web, Worker
from testbed.system import System
from tests.certificates import self_signed
from tests.tokens import AUDIENCE, ISSUER, SHARED

RECONCILE_INTERVAL = 2.0
"""Seconds between two looks of a worker for jobs that nobody holds."""

RESTART_DEADLINE = 90.0
"""A server that is started while another one is away may fail, and is started again, for this long."""

STOP_DEADLINE = 90.0
"""Seconds that a process may take to end after SIGTERM, on a machine that others use too: a job waits for a NATS that
is away, and billiard lets a child wait 30 s until its last result is read, which no worker does that lost Redis."""

STREAM_BYTES = 4 * 1024 * 1024
"""A stream so small that a flood cuts what was stored before it within seconds."""
CLIENT_WINDOW = 4
CLIENT_OPEN_JOBS = 16
"""Few enough that a client's burst has a backlog, and at times is too much."""

LEADS = "this worker reconciles from now on"
"""What the worker logs that reconciles."""

PASSWORD = "chaos"

S = TypeVar("S", bound=Server)


class World:
    """Starts and restarts the servers, and writes down what must not happen.

    Args:
        directory: for logs, data and the package with the misbehaving jobs.
        pool: Celery's pool of the second worker; the first one's is prefork.
        roles: whether web processes and workers log in to NATS as deploy/nats has them, over TLS, and clients prove who
            they are.
    """

    def __init__(self, directory: Path, pool: str, *, roles: bool = False) -> None:
        self.directory = directory
        self.pool = pool
        self.roles = roles
        self.workers: list[Worker] = []
        self.webs: list[Web] = []
        self.complaints: list[str] = []
        """What was seen that breaks a promise; empty at the end of a good run."""
        self.injected: Counter[str] = Counter()
        """Faults injected so far, by name."""
        self.under_way: list[str] = []
        """Those that happen at this moment."""
        self.logs: list[Path] = []
        self._locks: dict[Server, asyncio.Lock] = {}
        self._prepare(
            BUS_SECRET=SECRET,
            BUS_JOB_DELAY_SCALE="0.05",
            BUS_RECONCILE_INTERVAL=str(RECONCILE_INTERVAL),
            BUS_VISIBILITY_TIMEOUT="10",
            BUS_STREAM_MAX_BYTES=str(STREAM_BYTES),
            BUS_CLIENT_WINDOW=str(CLIENT_WINDOW),
            BUS_CLIENT_OPEN_JOBS=str(CLIENT_OPEN_JOBS),
            PYTHONPATH=os.pathsep.join([str(_install_jobs(directory)), *filter(None, [os.environ.get("PYTHONPATH")])]),
        )

    def _prepare(self, **settings: str) -> None:
        """Make the servers, of which none is started."""
        directory, roles = self.directory, self.roles
        self.system = System(directory, **settings)
        self._nats_config = directory / "nats.conf"
        nats = self.system.nats
        nats.arguments = (*nats.arguments, "-c", str(self._nats_config))
        self.program_url = f"nats://program:program@127.0.0.1:{nats.port}"
        """NATS for other programs, whose login stays good."""
        self._roles = copied(directory) if roles else None
        if self._roles is not None:
            accounts = self._roles / "accounts.conf"  # who watches belongs there, and is none of the roles
            program = "$worker_user, {user: program, password: program}"
            accounts.write_text(accounts.read_text().replace("$worker_user", program))
            add_tls(self._roles, *self_signed(directory))
        else:
            nats.url = f"nats://system:{PASSWORD}@127.0.0.1:{nats.port}"
        self.configure_nats()

    async def __aenter__(self) -> World:
        try:
            await asyncio.to_thread(self._start)
        except BaseException:
            await asyncio.to_thread(self._end)
            raise
        self._locks = {server: asyncio.Lock() for server in self.servers}
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._end)

    def _start(self) -> None:
        self.system.start()
        self.workers = [
            self._new(self.system.worker("--concurrency", "2", "--pool", pool, meets=True, **self._login("worker")))
            for pool in ("prefork", self.pool)
        ]
        self.webs = [self._new(self.system.web(**self._login("web"), **self._identity)) for _ in range(2)]

    def _end(self) -> None:
        self.system.stop()

    def _login(self, role: str) -> dict[str, str]:
        if self._roles is None:
            return {}
        return {"NATS_USER": role, "NATS_PASSWORD": PASSWORDS[role], "NATS_CA": str(self._roles / "tls" / "ca.crt")}

    @property
    def _identity(self) -> dict[str, str]:
        if self._roles is None:
            return {}
        who = {"BUS_AUTH_SECRET": SHARED, "BUS_AUTH_ISSUER": ISSUER, "BUS_AUTH_AUDIENCE": AUDIENCE}
        return {"BUS_AUTH": "jwt", **who}

    def _new(self, server: S) -> S:
        self.logs.append(server.log)
        return server

    @property
    def servers(self) -> list[Server]:
        """Every server, the ones that others need first."""
        return [*self.nats, self.valkey, *self.workers, *self.webs]

    @property
    def nats(self) -> Sequence[Nats]:
        """Every NATS server."""
        return [self.system.nats]

    @property
    def valkey(self) -> Valkey:
        """Celery's Redis."""
        return self.system.valkey

    @property
    def settings(self) -> Settings:
        """Settings of a program that uses the same servers."""
        return Settings.load(
            nats_url=self.system.nats.url if self._roles is None else self.program_url,
            redis_url=self.valkey.url,
            visibility_timeout=10,
            stream_max_bytes=STREAM_BYTES,
        )

    @property
    def reconciler(self) -> Worker:
        """The worker that was the last to say that it reconciles."""

        def since(worker: Worker) -> str:
            lines = [line for line in worker.output().splitlines() if LEADS in line]
            return lines[-1] if lines else ""

        return max(self.workers, key=since)

    def configure_nats(
        self, *, password: str = PASSWORD, max_connections: str = "1000", max_payload: str = "1MB"
    ) -> None:
        """Write NATS's configuration, and have it read if NATS runs."""
        users = f'{{user: system, password: "{password}"}}, {{user: program, password: program}}'
        logins = f"authorization {{ users = [{users}] }}"
        if self._roles is not None:
            write_passwords(self._roles, PASSWORDS if password == PASSWORD else dict.fromkeys(PASSWORDS, password))
            here = self._roles.relative_to(self.directory)
            logins = f"include {here}/accounts.conf\ninclude {here}/tls.conf"
        self._nats_config.write_text(f"max_connections: {max_connections}\nmax_payload: {max_payload}\n{logins}\n")
        process = self.system.nats.process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGHUP)

    def lock(self, server: Server) -> asyncio.Lock:
        """Held while a fault has this server in its hands."""
        return self._locks[server]

    def complain(self, complaint: str) -> None:
        """Note a broken promise."""
        self.complaints.append(complaint)

    async def start_again(self, server: Server) -> None:
        """Start a server that has ended, as a supervisor does: until it stays up."""
        await asyncio.to_thread(self._start_again, server)

    def _start_again(self, server: Server) -> None:
        number = len(self.logs)
        end = time.monotonic() + RESTART_DEADLINE
        while True:
            number += 1
            server.log = self.directory / f"{server.name}-{number}.log"
            self.logs.append(server.log)
            try:
                server.start()
            except AssertionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)
            else:
                return

    async def stop(self, server: Server) -> None:
        """SIGTERM; complain unless it ends in time with status 0 and leaves no process."""
        await asyncio.to_thread(self._stop, server)

    def _stop(self, server: Server) -> None:
        assert server.process is not None
        begun = time.monotonic()
        pid = server.pid
        status = server.stop(STOP_DEADLINE)
        # nats-server ends with 1 on SIGTERM where it was told nothing else; only our own processes promise 0.
        if status != 0 and server in (*self.workers, *self.webs):
            took = time.monotonic() - begun
            self.complain(f"{server.name} (log {server.log}) ended with {status} {took:.1f} s after SIGTERM")
        if left := processes_in(pid):
            self.complain(f"{server.name} left processes {left}")

    def find_dead(self) -> None:
        """Complain about servers that have ended though nobody asked them to."""
        for server in self.servers:
            if server.process is not None and (status := server.process.poll()) is not None:
                self.complain(f"{server.name} (log {server.log}) ended by itself with {status}")


def children(pid: int) -> list[int]:
    """The child processes of a process."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def processes_in(group: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, _, pgrp = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(pgrp) == group and state != "Z":
                found.append(int(entry.name))
    return found


def resident_bytes(pid: int) -> int:
    """The resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def kill_quietly(pid: int) -> None:
    """SIGKILL to a process that may have ended already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


async def until(condition: Callable[[], bool], deadline: float, every: float = 0.2) -> bool:
    """Poll until `condition` holds. False when it does not within `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(every)
    return True


def _install_jobs(directory: Path) -> Path:
    package = directory / "package"
    info = package / "chaos-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chaos\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[busctl.jobs]\nchaos = chaos_jobs\n")
    (package / "chaos_jobs.py").write_text((Path(__file__).parent / "chaos_jobs.py").read_text())
    return package
