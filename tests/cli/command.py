"""Run a command as a person would, with a deadline."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from testbed.fork_server import Forked
from testbed.servers import BIN

DEADLINE = 60.0
NO_NATS = "nats://127.0.0.1:1"
PLAIN = {"NATS_URL": NO_NATS, "REDIS_URL": "redis://127.0.0.1:1/0", "COLUMNS": "200"}
"""A plain environment: no servers, and no terminal."""
NO_STREAMS: Mapping[str, int] = {}


def busctl(
    *arguments: str | bytes, streams: Mapping[str, int] = NO_STREAMS, **env: str
) -> subprocess.CompletedProcess[str]:
    """The command's exit status and what it printed. It is forked from one that has imported everything.

    Args:
        streams: as for `ended`.
        env: added to a plain environment.
    """
    return ended([BIN / "busctl", *arguments], os.environ | PLAIN | env, streams=streams)


def started_busctl(*arguments: str | bytes, program: str = "busctl", **env: str) -> subprocess.CompletedProcess[str]:
    """As `busctl`, but started as people start it: for what is about the beginning of its process."""
    return from_nothing([BIN / program, *arguments], os.environ | PLAIN | env)


def from_nothing(
    command: Sequence[str | bytes | Path], env: Mapping[str, str], *, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """As `ended`, for a program that is started as people start it."""
    return subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, encoding="utf-8", timeout=DEADLINE, check=False
    )


def ended(
    command: Sequence[str | bytes | Path],
    env: Mapping[str, str],
    *,
    cwd: Path | None = None,
    streams: Mapping[str, int] = NO_STREAMS,
) -> subprocess.CompletedProcess[str]:
    """Exit status and output of a program that is forked from one that has imported everything.

    Args:
        env: its whole environment.
        cwd: where it runs.
        streams: descriptors to take for `stdin`, `stdout` or `stderr`. Else it reads nothing, and writes to a file.
    """
    with open(os.devnull) as nothing, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given = {"stdin": nothing.fileno(), "stdout": out.fileno(), "stderr": err.fileno(), **streams}
        process = Forked(command, env=env, streams=(given["stdin"], given["stdout"], given["stderr"]), cwd=cwd)
        try:
            process.wait(DEADLINE)
        finally:
            process.kill()
        return subprocess.CompletedProcess(process.args, process.wait(DEADLINE), _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
