"""The file of a Unix socket: made, kept from other servers, and removed."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from contextlib import suppress

PROBE_TIMEOUT = 1.0
"""Seconds that a server has to take a connection by which it shows that it lives."""


class SocketFile:
    """The file by which clients find a Unix socket (unix(7)).

    Beside it stands `PATH.lock`, which is locked (flock(2)) for as long as the file is used, and free when its holder
    was killed. So two servers that start at once do not both take the path, one that does not listen yet is not taken
    for dead, and what a killed one left behind is replaced.

    Args:
        path: where it is made.
        mode: its permissions; who may write to it may connect.
    """

    def __init__(self, path: str, mode: int) -> None:
        self._path = path
        self._mode = mode
        self._lock: int | None = None
        self._made: tuple[int, int] | None = None

    def bind(self, listener: socket.socket) -> None:
        """Make it, and bind a socket that does not listen yet to it.

        Raises:
            OSError: a server that lives has the path, or something that is no socket, or it cannot be made there.
        """
        self._lock = _locked(self._lock_path)
        try:
            _clear(self._path)
            listener.bind(self._path)
            self._made = _identity(self._path)
            os.chmod(self._path, self._mode)  # before it listens nobody can connect
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove it, unless it is another's by now, and let go of the path."""
        with suppress(OSError):
            if self._made is not None and _identity(self._path) == self._made:
                os.unlink(self._path)
        self._made = None
        if self._lock is not None:
            with suppress(OSError):
                os.unlink(self._lock_path)
            os.close(self._lock)
            self._lock = None

    @property
    def _lock_path(self) -> str:
        return f"{self._path}.lock"


def _locked(path: str) -> int:
    """The descriptor of a file that is this process's alone from now on.

    Raises:
        OSError: another process has it, or it cannot be made.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            opened = os.fstat(descriptor)
            with suppress(FileNotFoundError):
                if _identity(path) == (opened.st_dev, opened.st_ino):
                    return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise _in_use() from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it just before


def _clear(path: str) -> None:
    """Remove a socket that no server listens on.

    Raises:
        OSError: one does, or it is no socket.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "there is something else with this path, which is left alone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(TimeoutError, BlockingIOError):
        probe.settimeout(PROBE_TIMEOUT)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise _in_use()


def _in_use() -> OSError:
    return OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino
