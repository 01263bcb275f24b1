"""The data directory of `busctl dev`, which one process may use at a time and its user alone may read.

What NATS and Valkey keep there is what people asked for and were told.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import CommandFailed

HOW_ON = "choose another with --data-dir"
SERVERS = ("nats", "valkey")
SECRET, AUTH_SECRET = "secret", "auth-secret"
LOGS = "logs"
OUR_FILES = frozenset({*SERVERS, SECRET, AUTH_SECRET, LOGS, "lock"})
"""All that we put there. A directory with something else in it is not ours alone, and keeps its mode."""


def secret(directory: Path, name: str = SECRET) -> str:
    """A secret that is made at the first start and kept, so that what it has signed is good after a restart.

    Args:
        name: its file: `SECRET` signs resume tokens, `AUTH_SECRET` identity tokens.

    Raises:
        CommandFailed: it can neither be read nor written.
    """
    path = directory / name
    try:
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
            os.fchmod(file.fileno(), 0o600)
            kept = file.read().strip()
            if len(kept) < 32:  # new, or not written to its end
                kept = secrets.token_hex(32)
                file.seek(0)
                file.write(kept)
                file.truncate()
        return kept
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CommandFailed(f"cannot use {path}: {reason}; {HOW_ON}") from error


def auth_secret(directory: Path) -> str | None:
    """The secret that a `busctl dev` there verifies identity tokens with; None when it has none.

    Raises:
        CommandFailed: it cannot be read.
    """
    path = directory / AUTH_SECRET
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CommandFailed(f"cannot read {path}: {reason}") from error


@contextmanager
def locked(directory: Path) -> Iterator[int]:
    """Make the directory and hold its lock. Yields the lock's descriptor; a process that inherits it holds it too.

    Raises:
        CommandFailed: it cannot be made or written, or another `busctl dev` uses it.
    """
    try:
        _make_private(directory)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        os.fchmod(lock, 0o600)
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


def _make_private(directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    if set(os.listdir(directory)) <= OUR_FILES and directory.stat().st_uid == os.geteuid():
        directory.chmod(0o700)
    for server in SERVERS:
        (directory / server).mkdir(mode=0o700, exist_ok=True)
        (directory / server).chmod(0o700)
