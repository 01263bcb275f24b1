"""Children that are started, heard and ended together, with everything that they start themselves."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from bus.exit_status import described
from cli.errors import CommandFailed
from cli.reaper import Reaper

LineShown = Callable[[str, str], None]
"""Called with a process's name and one line it wrote."""

LONGEST_LINE = 16 * 1024
"""Bytes after which a line is shown in parts."""
LAST_WORDS = 1.0
"""Seconds that the output of an ended process may take to arrive."""


class Process:
    """One child in a session of its own, so that the terminal's Ctrl+C does not reach it.

    Args:
        name: what people call it.
        command: the program and its arguments.
        env: its whole environment.
        show: hears every line of its standard output and standard error.
        umask: what others may not do with files that it makes; -1 for what this process has.
    """

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], show: LineShown, *, umask: int = -1
    ) -> None:
        self.name = name
        self.stopping = False
        self.ended = asyncio.Event()
        self._command = command
        self._show = show
        read, write = os.pipe()
        try:
            self._popen = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                start_new_session=True,
                umask=umask,
            )
        except OSError as error:
            os.close(read)
            raise CommandFailed(f"cannot start {name}: {error}") from error
        finally:
            os.close(write)
        self._output = asyncio.create_task(self._read_lines(read), name=f"output of {name}")

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of its process group."""
        return self._popen.pid

    def reap(self) -> bool:
        """Whether it has ended since the last call. Its own children end with it."""
        if self.ended.is_set() or self._popen.poll() is None:
            return False
        self.kill()
        self.ended.set()
        return True

    def how_it_ended(self) -> str:
        """For example `exit status 1` or `signal SIGKILL`."""
        return described(self._popen.returncode)

    def kill(self) -> None:
        """SIGKILL to it and everything it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def stop(self, grace: float) -> None:
        """SIGTERM, then SIGKILL after `grace` seconds; wait for its last words."""
        self.stopping = True
        if not self.ended.is_set():
            self._popen.terminate()
        try:
            async with asyncio.timeout(grace):
                await self.ended.wait()
        except TimeoutError:
            self._show(self.name, f"did not stop within {grace:g} s and was killed")
            self.kill()
            await self.ended.wait()
        await self.said_all()
        self._output.cancel()
        await asyncio.gather(self._output, return_exceptions=True)

    async def said_all(self) -> None:
        """Wait until everything that it wrote before it ended was heard, for a second at most."""
        await asyncio.wait({self._output}, timeout=LAST_WORDS)

    async def _read_lines(self, descriptor: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
        )
        rest = b""
        try:
            while data := await reader.read(LONGEST_LINE):
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._show_line(line)
        finally:
            transport.close()
            self._show_line(rest)

    def _show_line(self, line: bytes) -> None:
        if text := line.decode(errors="replace").rstrip():
            self._show(self.name, text)


class Processes:
    """The children of one command. Leaving the block ends what is left of them.

    async with Processes(show, keep_open=()) as processes:
        web = processes.start("web", command, env)
        dead = await processes.deaths.get()

    Args:
        show: hears every line of every child.
        keep_open: file descriptors, such as that of a lock, to be held until the last child is gone even when this
            process is killed.
    """

    def __init__(self, show: LineShown, keep_open: Iterable[int] = ()) -> None:
        self.deaths: asyncio.Queue[Process] = asyncio.Queue()
        """Those that ended without being asked to."""
        self._show = show
        self._keep_open = tuple(keep_open)
        self._running: list[Process] = []

    async def __aenter__(self) -> Processes:
        self._reaper = Reaper(self._keep_open)
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()
        await self.stop([process.name for process in self._running], grace=0)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
        self._reaper.close()

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str], *, umask: int = -1) -> Process:
        """Start a child; the arguments are those of `Process`.

        Raises:
            CommandFailed: its program cannot be run.
        """
        process = Process(name, command, env, self._show, umask=umask)
        self._running.append(process)
        self._reaper.started(process.pid)
        return process

    def running(self, name: str) -> Process | None:
        """The child of this name; None when there is none, or it has ended."""
        return next((one for one in self._running if one.name == name and not one.ended.is_set()), None)

    async def stop(self, names: Iterable[str], grace: float) -> None:
        """End these together: SIGTERM in their order, and SIGKILL to those that take longer than `grace` seconds."""
        chosen = [process for name in names for process in self._running if process.name == name]
        await asyncio.gather(*(process.stop(grace) for process in chosen))
        for process in chosen:
            self._running.remove(process)

    def kill(self) -> None:
        """SIGKILL to all of them at once."""
        for process in self._running:
            process.stopping = True
            process.kill()

    def _reap(self) -> None:
        for process in self._running:
            if process.reap():
                self._reaper.ended(process.pid)
                if not process.stopping:
                    self.deaths.put_nowait(process)
