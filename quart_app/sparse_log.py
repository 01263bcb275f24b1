"""Log lines that others can provoke, at most one a second."""

from __future__ import annotations

import time
from typing import Any

import structlog

INTERVAL = 1.0
"""Least seconds between two lines."""


class SparseLog:
    """A warning that is logged at most once a second, with how often it was left out since.

    Args:
        event: the line's text.
    """

    def __init__(self, event: str) -> None:
        self._event = event
        self._log = structlog.get_logger(__name__)
        self._next = 0.0
        self._left_out = 0

    def warn(self, **about: Any) -> None:
        """Log it, or leave it out.

        Args:
            about: this time.
        """
        now = time.monotonic()
        if now < self._next:
            self._left_out += 1
            return
        if self._left_out:
            about["more"] = self._left_out
        self._log.warning(self._event, **about)
        self._next, self._left_out = now + INTERVAL, 0
