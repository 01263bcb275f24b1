"""A command that goes on while the test does something; every wait has a deadline."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from testbed.fork_server import Forked
from testbed.servers import BIN
from tests.cli.command import DEADLINE


class Background:
    """A running `busctl`, and the lines it prints."""

    def __init__(self, *arguments: str, **env: str) -> None:
        (out, to_out), (err, to_err) = os.pipe(), os.pipe()
        with open(os.devnull) as nothing, open(to_out, "w"), open(to_err, "w"):
            streams = nothing.fileno(), to_out, to_err
            self.process = Forked([BIN / "busctl", *arguments], env=os.environ | env, streams=streams)
        self._out = _Lines(os.fdopen(out, encoding="utf-8"))
        self._err = _Lines(os.fdopen(err, encoding="utf-8"))

    def line(self) -> str:
        """The next line of standard output."""
        return self._next(self._out, "standard output")

    def note(self, words: str) -> str:
        """The next line on standard error that has these words."""
        while words not in (line := self._next(self._err, f"standard error with {words!r}")):
            pass
        return line

    def rest(self) -> tuple[list[str], list[str]]:
        """The lines of standard output and standard error that are left, when the command has written its last."""
        return self._out.rest(), self._err.rest()

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

    def rest(self) -> list[str]:
        self._thread.join(DEADLINE)
        return [line for line in iter(self.queue.get_nowait, None) if line is not None]

    def _read(self) -> None:
        for line in self._pipe:
            self.queue.put(line.rstrip("\n"))
        self.queue.put(None)
