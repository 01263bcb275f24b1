"""Run a command in a terminal of a given width, or with its standard streams connected to odd things."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.text import Text

from testbed.fork_server import Forked
from testbed.servers import BIN
from tests.cli.command import DEADLINE


@dataclass(frozen=True)
class Shown:
    """What a terminal was sent."""

    returncode: int
    raw: str

    @property
    def lines(self) -> list[Text]:
        """Line by line, without its colours."""
        return [Text.from_ansi(line) for line in self.raw.replace("\r\n", "\n").splitlines()]


def in_terminal(
    *arguments: str, columns: int, until: str | None = None, typed: tuple[tuple[str, str], ...] = (), **env: str
) -> Shown:
    """The command's output on a terminal; `env` is added to an environment that says nothing of terminals.

    Args:
        until: the command is interrupted, as by Ctrl+C, once it has shown this.
        typed: keys that are pressed, one after the other, each once the command has shown the text before it.
    """
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    plain = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    process = Forked(
        [BIN / "busctl", *arguments], env=plain | {"TERM": "xterm-256color"} | env, streams=(side, side, side)
    )
    os.close(side)
    data, end = b"", time.monotonic() + DEADLINE
    seen, keys = 0, list(typed)
    try:
        while time.monotonic() < end:
            if not select.select([main], [], [], 1)[0]:
                continue
            try:
                data += os.read(main, 65536)
            except OSError:  # the process has ended and nothing is left
                break
            if keys and keys[0][0] in data[seen:].decode(errors="replace"):
                os.write(main, keys.pop(0)[1].encode())
                seen = len(data)
            if until is not None and until in data.decode(errors="replace"):
                process.send_signal(signal.SIGINT)
                until = None
        return Shown(process.wait(DEADLINE), data.decode())
    finally:
        process.kill()
        os.close(main)


class Shell:
    """A shell that somebody types into, with what its terminal was sent."""

    def __init__(self, main: int) -> None:
        self._main = main
        self._raw = ""
        self._from = 0

    def type(self, keys: str) -> None:
        """Press these keys; what `until` waits for comes after them."""
        self._from = len(self._raw)
        os.write(self._main, keys.encode())

    def until(self, text: str) -> None:
        """Wait until the terminal was sent this."""
        end = time.monotonic() + DEADLINE
        while text not in self._raw[self._from :]:
            assert time.monotonic() < end, f"there was no {text!r} in {self._raw!r}"
            if select.select([self._main], [], [], 1)[0]:
                self._raw += os.read(self._main, 65536).decode(errors="replace")
        self._from = self._raw.index(text, self._from) + len(text)


@contextmanager
def shell(**env: str) -> Iterator[Shell]:
    """A shell with `busctl` on its path, in a terminal that closes at the end of the block."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    plain = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    plain |= {"PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "xterm-256color", "PS1": "$ ", "HISTFILE": ""}
    command = ["setsid", "--ctty", "bash", "--norc", "--noprofile", "-i"]
    process = subprocess.Popen(command, env=plain | env, stdin=side, stdout=side, stderr=side)
    os.close(side)
    try:
        yield Shell(main)
    finally:
        os.close(main)
        process.wait(DEADLINE)


def in_shell(script: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A line for the shell, with `busctl` on its path; status and output are those of the whole line."""
    plain = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {script}"],
        env=plain | {"PATH": f"{BIN}:{os.environ['PATH']}"} | env,
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
    )
