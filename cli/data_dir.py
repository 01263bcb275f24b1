"""The data directory of `busctl dev`, which one process may use at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import CommandFailed

HOW_ON = "choose another with --data-dir"


def secret(directory: Path) -> str:
    """The secret that signs resume tokens, made at the first start, so that clients can resume after a restart.

    Raises:
        CommandFailed: it can neither be read nor written.
    """
    path = directory / "secret"
    try:
        if not path.exists():
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
        return path.read_text()
    except OSError as error:
        raise CommandFailed(f"cannot use {path}: {error.strerror}; {HOW_ON}") from error


@contextmanager
def locked(directory: Path) -> Iterator[int]:
    """Make the directory and hold its lock. Yields the lock's descriptor; a process that inherits it holds it too.

    Raises:
        CommandFailed: it cannot be made or written, or another `busctl dev` uses it.
    """
    try:
        for server in ("nats", "valkey"):
            (directory / server).mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CommandFailed(f"cannot use the data directory {directory}: {error.strerror}; {HOW_ON}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode(errors="replace").strip()
        os.close(lock)
        raise CommandFailed(
            f"the data directory {directory} is in use by another busctl dev (process {holder or 'unknown'}); "
            f"stop that one, or {HOW_ON}"
        ) from None
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield lock
    finally:
        os.close(lock)
