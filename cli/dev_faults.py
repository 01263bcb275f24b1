"""Faults on demand: what the page of `busctl dev` may do to its own system, so that people can see it heal."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from cli.processes import Process, Processes

FREEZE_SECONDS = 5.0
ASKED_WITHIN = 2.0
"""Seconds in which who has connected has to say what it wants."""
LONGEST_NAME = 64


class DevFaults:
    """Listens on a Unix socket for the name of a fault, one in a line, and answers with a line that says what was done.

    async with DevFaults(processes, show) as faults:
        env = faults.env

    Args:
        processes: the children of this command.
        show: hears, as lines of `dev`, what was done.
    """

    def __init__(self, processes: Processes, show: Callable[[str, str], None]) -> None:
        self._processes = processes
        self._show = show
        self._frozen: Process | None = None
        self._faults: dict[str, Callable[[], Awaitable[str]]] = {
            "kill-worker": self._kill_worker,
            "freeze-redis": self._freeze_redis,
        }

    async def __aenter__(self) -> DevFaults:
        self._directory = tempfile.mkdtemp(prefix="busctl-")  # for this user alone; and short, as such a path must be
        self._server = await asyncio.start_unix_server(self._answer, self._path, limit=LONGEST_NAME)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.thaw()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def env(self) -> dict[str, str]:
        """What tells the web process where to ask."""
        return {"BUS_DEV_SOCKET": str(self._path)}

    @property
    def _path(self) -> Path:
        return Path(self._directory, "dev.sock")

    def thaw(self) -> None:
        """End what is frozen: it could not be stopped in order."""
        if self._frozen is not None:
            with suppress(ProcessLookupError):
                os.kill(self._frozen.pid, signal.SIGCONT)
            self._frozen = None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ASKED_WITHIN):
                name = (await reader.readline()).decode(errors="replace").strip()
            fault = self._faults.get(name)
            answer = f"error: there is no fault {name!r}" if fault is None else await fault()
            self._show("dev", f"asked by the page: {answer}")
            writer.write(f"{answer}\n".encode())
            await writer.drain()
        except (TimeoutError, ValueError, ConnectionError):
            pass  # whoever that was, it is gone or is no page of ours
        finally:
            writer.close()

    async def _kill_worker(self) -> str:
        """The children that run the jobs; Celery replaces them. Without it, `busctl dev` itself would end."""
        worker = self._processes.running("worker")
        children = await asyncio.to_thread(_children, worker.pid) if worker is not None else []
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        if not children:
            return "error: no process of the worker was found; is ps installed?"
        return f"killed the worker's processes {', '.join(map(str, children))}"

    async def _freeze_redis(self) -> str:
        valkey = self._processes.running("valkey")
        if valkey is None:
            return "error: REDIS_URL names a server that busctl dev did not start"
        if self._frozen is not None:
            return "error: Redis is frozen already"
        os.kill(valkey.pid, signal.SIGSTOP)
        self._frozen = valkey
        asyncio.get_running_loop().call_later(FREEZE_SECONDS, self.thaw)
        return f"froze Redis for {FREEZE_SECONDS:g} s"


def _children(pid: int) -> list[int]:
    """The processes that this one has started, as every Unix lists them."""
    try:
        listed = subprocess.run(["ps", "-A", "-o", "ppid=,pid="], capture_output=True, text=True, timeout=ASKED_WITHIN)
    except (OSError, subprocess.TimeoutExpired):
        return []
    pairs = (line.split() for line in listed.stdout.splitlines())
    return [int(child) for parent, child in pairs if int(parent) == pid]
