"""How much of a disk the events of `busctl dev` may take."""

from __future__ import annotations

import shutil
from pathlib import Path

from cli.errors import CommandFailed

SHARE = 4
"""One part of so many of the disk's room is for events; nats-server grants three quarters of what is free."""
LEAST = 8 * 1024 * 1024
"""Bytes of events below which it is not worth a start."""


def fitting_stream(directory: Path, wanted: int) -> int | None:
    """The most bytes of events for the disk that `directory` is on; None when `wanted` fits.

    What is in the directory counts as free, so that a stream that grows does not shrink its own bound. The answer is a
    power of two, so that another start finds the same one although the disk is a little fuller.

    Raises:
        CommandFailed: there is hardly any room.
    """
    try:
        taken = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        room = (shutil.disk_usage(directory).free + taken) // SHARE
    except OSError as error:
        raise CommandFailed(f"cannot see how much room {directory} has: {error.strerror or error}") from error
    if wanted <= room:
        return None
    if room < LEAST:
        raise CommandFailed(
            f"the disk of {directory} has no room for events: {SHARE * LEAST} bytes are needed, {SHARE * room} are "
            "free; make room, or choose another disk with --data-dir"
        )
    return 1 << (room.bit_length() - 1)
