"""The socket between a supervisor and one of its web processes.

The web process says that it is ready, the supervisor when to stop. Its end, whatever the reason, tells either that
the other is gone; so no web process outlives a supervisor that was killed.
"""

from __future__ import annotations

import asyncio
import os

import structlog

from quart_app.server.drain import Drain

log = structlog.get_logger(__name__)

READY = b"r"
STOP = b"s"
HURRY = b"h"
CANNOT_HEAL = 75
"""Exit status of a web process that another with the same settings would not replace (EX_TEMPFAIL of sysexits.h)."""


class ControlSocket:
    """The web process's end.

    Args:
        descriptor: inherited.
        drain: what to begin when the supervisor says so, or is gone.
    """

    def __init__(self, descriptor: int, drain: Drain) -> None:
        self._descriptor = descriptor
        self._drain = drain
        self.lost = False
        """Whether the supervisor is gone."""
        asyncio.get_running_loop().add_reader(descriptor, self._hear)

    def ready(self) -> None:
        """Tell the supervisor that this process serves."""
        try:
            os.write(self._descriptor, READY)
        except OSError:
            self._on_lost()

    def _hear(self) -> None:
        try:
            words = os.read(self._descriptor, 16)
        except OSError:
            words = b""
        if not words:
            self._on_lost()
        elif HURRY in words:
            self._drain.hurry()
        else:
            self._drain.begin()

    def _on_lost(self) -> None:
        self.lost = True
        asyncio.get_running_loop().remove_reader(self._descriptor)
        log.warning("the supervisor is gone")
        self._drain.begin()
