"""A command that goes on while the test does something; every wait has a deadline."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from testbed.servers import BIN
from tests.cli.command import DEADLINE


class Background:
    """A running `busctl`, and the lines it prints."""

    def __init__(self, *arguments: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [BIN / "busctl", *arguments],
            env=os.environ | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._out = _Lines(self.process.stdout)
        self._err = _Lines(self.process.stderr)

    def line(self) -> str:
        """The next line of standard output."""
        return self._next(self._out, "standard output")

    def note(self, words: str) -> str:
        """The next line on standard error that has these words."""
        while words not in (line := self._next(self._err, f"standard error with {words!r}")):
            pass
        return line

    def interrupt(self) -> None:
        """As Ctrl+C does."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Wait for its end; the exit status."""
        return self.process.wait(DEADLINE)

    def kill(self) -> None:
        """End it if it has not ended by itself."""
        self.process.kill()
        self.process.wait(DEADLINE)
        self._out.close()
        self._err.close()

    def _next(self, lines: _Lines, where: str) -> str:
        try:
            line = lines.queue.get(timeout=DEADLINE)
        except queue.Empty:
            raise AssertionError(f"there was no line on {where}") from None
        assert line is not None, f"the command ended with {self.end()} and without a line on {where}"
        return line


@contextmanager
def background(*arguments: str, **env: str) -> Iterator[Background]:
    """Start a command; it is killed at the end of the block if it has not ended by itself."""
    command = Background(*arguments, **env)
    try:
        yield command
    finally:
        command.kill()


class _Lines:
    """The lines of a pipe, read on a thread so that waiting for one can have a deadline. None is its end."""

    def __init__(self, pipe: IO[str]) -> None:
        self.queue: queue.Queue[str | None] = queue.Queue()
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._thread.join(DEADLINE)
        self._pipe.close()

    def _read(self) -> None:
        for line in self._pipe:
            self.queue.put(line.rstrip("\n"))
        self.queue.put(None)
